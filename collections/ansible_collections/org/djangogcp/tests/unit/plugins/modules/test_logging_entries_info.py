# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""What is shown of a log, and how one goes on."""

import datetime
import re

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.modules import logging_entries_info

URL = "https://logging.googleapis.com/v2/entries:list"


def entry(number, **fields):
    return {
        "insertId": f"id{number}",
        "timestamp": f"2026-11-29T17:00:{number:02d}.123456789Z",
        "resource": {"type": "cloud_run_revision", "labels": {"revision_name": "polls-1"}},
        **fields,
    }


def page(*entries):
    """As Cloud Logging gives them: the newest first."""
    return {"entries": list(reversed(entries))}


def run(client, **options):
    params = {
        "project": "p",
        "filter": 'a="1" OR b="2"',
        "since_seconds": 60,
        "limit": 100,
        "follow_seconds": 0,
        **options,
    }
    return logging_entries_info.work(Task(params, client))["lines"]


@pytest.fixture
def told(monkeypatch):
    lines = []
    monkeypatch.setattr(_progress, "tell", lines.append)
    return lines


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"textPayload": "begun\n  and more"}, ["polls-1 begun", "  and more"]),
        ({"jsonPayload": {"message": "no"}, "severity": "ERROR"}, ["polls-1 ERROR: no"]),
        (
            {"resource": {"labels": {"job_name": "polls-migrate", "project_id": "p"}}, "textPayload": "OK"},
            ["polls-migrate OK"],
        ),
        ({"resource": {"type": "global"}, "textPayload": "OK"}, ["- OK"]),
        ({"textPayload": ""}, ["polls-1 "]),
        (
            {
                "httpRequest": {
                    "requestMethod": "GET",
                    "requestUrl": "https://h/a/?b=1",
                    "status": 200,
                    "latency": "0.01s",
                }
            },
            ["polls-1 GET /a/?b=1 200 0.01s"],
        ),
        (
            {
                "httpRequest": {"requestMethod": "GET", "requestUrl": "https://h/", "status": 503},
                "textPayload": "No instance.",
            },
            ["polls-1 GET / 503 No instance."],
        ),
        # The site's own line about a request.
        (
            {
                "httpRequest": {"requestUrl": "https://h/a", "status": 404},
                "jsonPayload": {"message": "Not Found: /a"},
            },
            ["polls-1 Not Found: /a"],
        ),
    ],
)
def test_a_line_has_its_moment_and_what_it_comes_from(google, client, told, fields, shown):
    google.answer("POST", URL, page(entry(1, **fields)))
    assert run(client) == [f"2026-11-29T17:00:01Z {shown[0]}", *shown[1:]]
    assert told == []


def test_the_filter_is_one_condition_beside_the_time(google, client):
    google.answer("POST", URL, page())
    run(client, since_seconds=3600, limit=7)
    body = google.sent[0].body
    found = re.fullmatch(r'\(a="1" OR b="2"\) AND timestamp>="([^"]+Z)"', body["filter"])
    began = datetime.datetime.fromisoformat(found[1])
    assert 3590 < (datetime.datetime.now(datetime.UTC) - began).total_seconds() < 3610
    assert body["pageSize"] == 7


def test_what_comes_is_told_once_also_when_it_comes_late(google, client, told, fake_clock):
    one, late, two = (entry(number, textPayload=str(number)) for number in (3, 2, 4))
    google.answer("POST", URL, page(one), page(one), page(late, one, two), page())
    assert run(client, since_seconds=10**9, follow_seconds=5) == [
        f"2026-11-29T17:00:0{number}Z polls-1 {number}" for number in (3, 2, 4)
    ]
    assert told == [f"2026-11-29T17:00:0{number}Z polls-1 {number}" for number in (3, 2, 4)]
    assert fake_clock.slept == [2, 2, 1]
    begins = [re.search(r'timestamp>="([^"]+)"', sent.body["filter"])[1] for sent in google.sent]
    # Each look goes back over the minute before the newest entry.
    assert begins[1:] == [f"2026-11-29T16:59:0{number}.123456Z" for number in (3, 3, 4)]
    assert [sent.body["pageSize"] for sent in google.sent] == [100, 1000, 1000, 1000]


def test_a_log_that_may_not_be_read_is_an_error(google, client):
    google.answer(
        "POST", URL, (403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "no"}})
    )
    with pytest.raises(DjangoGcpError, match="Failed to read the log: no"):
        run(client)
