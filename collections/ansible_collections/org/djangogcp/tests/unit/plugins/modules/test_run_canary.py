# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""For how long a canary is watched, what is asked meanwhile, and how it ends."""

import json

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.modules import run_canary

URL = "https://run.googleapis.com/v2/projects/p/locations/l/services/polls"
LOG = "https://logging.googleapis.com/v2/entries:list"
SINCE = "2026-11-29T10:00:00Z"


def service(**shares):
    return {
        "updateTime": SINCE,
        "annotations": {"djangogcp/canary": json.dumps({"revision": "new", "before": {"old": 100}})},
        "trafficStatuses": [{"revision": name, "percent": percent} for name, percent in shares.items()],
    }


SPLIT = service(old=90, new=10)


def page(*statuses, latency="0.200s"):
    """A page of the log of requests."""
    return {
        "entries": [
            {
                "timestamp": SINCE,
                "httpRequest": {
                    "status": status,
                    "latency": latency,
                    "requestMethod": "GET",
                    "requestUrl": "https://polls.run.app/a",
                },
            }
            for status in statuses
        ]
    }


def run(client, **options):
    defaults = {name: option.get("default") for name, option in run_canary.ARGUMENT_SPEC.items()}
    params = {
        **defaults,
        "project": "p",
        "location": "l",
        "name": "polls",
        "candidate_tag": "candidate",
        **options,
    }
    return run_canary.work(Task(params, client))


def test_a_good_canary_is_watched_until_the_time_is_over(google, client, fake_clock, monkeypatch):
    told = []
    monkeypatch.setattr(_progress, "tell", told.append)
    google.answer("GET", URL, SPLIT)
    google.answer("POST", LOG, page(*[200] * 30))
    found = run(client, seconds=90)["canary"]
    assert sum(fake_clock.slept) == pytest.approx(90)
    assert (found["requests"], found["errors"], found["p95_ms"], found["is_judged"]) == (30, 0, 200, True)
    assert found["text"] == (
        "new, with 10 % of the traffic, answered 30 requests: 0 errors of the server, 95 % within 200 ms."
    )
    assert len(told) >= 2
    assert told[0].startswith(found["text"])
    assert told[0].endswith(" of 1 min 30 s")
    # The old revision is not asked about while all is good.
    filters = {body["filter"] for body in google.bodies("POST")}
    assert filters == {
        'resource.type="cloud_run_revision" AND resource.labels.revision_name=("new")'
        f' AND timestamp>="{SINCE}" AND log_id("run.googleapis.com/requests")'
    }


def test_a_bad_canary_ends_it_at_once_and_tells_what_was_seen(google, client, fake_clock):
    google.answer("GET", URL, SPLIT)
    google.answer(
        "POST", LOG, page(200), page(200, 500, 500), page(*[200] * 20), {"entries": [{"textPayload": "boom"}]}
    )
    with pytest.raises(run_canary.CanaryError) as caught:
        run(client, seconds=3600)
    assert sum(fake_clock.slept) < 60
    assert caught.value.message == (
        "new is bad with 10 % of the traffic: 2 of 3 requests were answered with an error of the server (66.7%, of the old revision"
        " 0.0%): max_error_ratio is 0.05.\nErrors: 500 GET /a (2).\nWhat new printed last:\nboom"
    )
    assert caught.value.as_fail_json()["canary"]["errors"] == 2


def test_what_the_old_revision_does_no_better_is_no_fault_of_the_new_one(google, client):
    google.answer("GET", URL, SPLIT)
    google.answer("POST", LOG, page(*[500] * 30))
    assert run(client, seconds=10)["canary"]["errors"] == 30


def test_without_enough_requests_it_is_told_that_nobody_judged(google, client):
    google.answer("GET", URL, SPLIT)
    google.answer("POST", LOG, {})
    found = run(client, seconds=10)["canary"]
    assert found["is_judged"] is False
    assert found["text"] == "new, with 10 % of the traffic, answered 0 requests."


@pytest.mark.parametrize("moved", [service(old=100), service(old=50, new=50), {}])
def test_traffic_that_somebody_moves_ends_it(google, client, moved):
    google.answer("GET", URL, SPLIT, moved)
    google.answer("POST", LOG, {})
    with pytest.raises(DjangoGcpError, match="somebody has moved the traffic of service polls meanwhile"):
        run(client, seconds=60)


def test_without_a_canary_there_is_nothing_to_watch(google, client):
    google.answer("GET", URL, service(old=100))
    with pytest.raises(DjangoGcpError, match="no canary has a part of its traffic"):
        run(client)
