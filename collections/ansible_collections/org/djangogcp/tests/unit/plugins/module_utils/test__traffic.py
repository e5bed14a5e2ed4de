# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""A part of the traffic for a canary, and the way back."""

import json

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    moved_traffic,
    with_candidate,
    with_deployed,
)
from ansible_collections.org.djangogcp.plugins.module_utils._traffic import (
    LATEST,
    REVISION,
    Standing,
    standing,
    with_canary,
    with_traffic_before,
)

NOTED = {"before": {"polls-1": 100}, "digest": "aa", "revision": "polls-2"}


def service(shares, newest="polls-2", **annotations):
    """A service as Cloud Run answers it."""
    prefix = "projects/p/locations/l/services/polls/revisions/"
    return {
        "template": {"containers": [{"image": "app@sha256:2"}]},
        "latestCreatedRevision": prefix + newest,
        "latestReadyRevision": prefix + newest,
        "annotations": {f"djangogcp/{name.replace('_', '-')}": value for name, value in annotations.items()},
        "trafficStatuses": [
            {"type": REVISION, "revision": name, "percent": percent} for name, percent in shares.items()
        ],
    }


def split(percent=10, **annotations):
    """A service with a canary."""
    return service({"polls-1": 100 - percent, "polls-2": percent}, canary=json.dumps(NOTED), **annotations)


def test_a_canary_has_a_part_and_what_served_before_is_remembered():
    before = service({"polls-1": 100}, deployed_revision="polls-1")
    asked = with_canary(before, {}, 10, "aa", "candidate")
    assert asked["traffic"] == [
        {"type": REVISION, "revision": "polls-1", "percent": 90},
        {"type": REVISION, "revision": "polls-2", "percent": 10, "tag": "candidate"},
    ]
    assert json.loads(asked["annotations"].pop("djangogcp/canary")) == NOTED
    assert asked["annotations"] == {"djangogcp/deployed-revision": "polls-1"}
    # The next step begins where this one is.
    next_one = with_canary(split(10), {}, 50, "aa", "candidate")
    assert [one["percent"] for one in next_one["traffic"]] == [50, 50]
    assert json.loads(next_one["annotations"]["djangogcp/canary"]) == NOTED


def test_what_several_revisions_had_is_shared_in_proportion():
    three = service({"polls-0": 33, "polls-1": 67})
    shares = {
        one["revision"]: one["percent"] for one in with_canary(three, {}, 10, "", "candidate")["traffic"]
    }
    assert shares == {"polls-0": 29, "polls-1": 61, "polls-2": 10}
    tiny = service({"polls-0": 1, "polls-1": 99})
    shares = {
        one["revision"]: one["percent"] for one in with_canary(tiny, {}, 99, "", "candidate")["traffic"]
    }
    assert shares == {"polls-1": 1, "polls-2": 99}


def test_where_nothing_else_serves_there_is_no_canary():
    for shares in ({}, {"polls-2": 100}):
        with pytest.raises(DjangoGcpError, match="nothing else serves that could have the rest"):
            with_canary(service(shares), {}, 10, "", "candidate")


def test_the_traffic_is_as_it_was_before_and_the_release_is_taken_out():
    asked = with_traffic_before(split(50, taken_out="bb"), {}, "candidate")
    assert asked == {
        "annotations": {"djangogcp/canary": "", "djangogcp/taken-out": "bb,aa"},
        "traffic": [
            {"type": REVISION, "revision": "polls-1", "percent": 100},
            {"type": LATEST, "percent": 0, "tag": "candidate"},
        ],
    }
    # Of what somebody has moved nothing is.
    for shares in ({"polls-1": 100}, {"polls-2": 100}, {"polls-2": 50, "polls-0": 50}):
        assert with_traffic_before(service(shares, canary=json.dumps(NOTED)), {}, "candidate") == {}


@pytest.mark.parametrize(
    "noted", ["", "{}", "nonsense", "[]", '{"revision": "polls-2", "before": {"polls-1": "x"}}']
)
def test_without_a_note_there_is_no_canary(noted):
    assert standing(None) is None
    assert standing(service({"polls-1": 90, "polls-2": 10}, canary=noted)) is None


def test_a_canary_is_known_by_every_run():
    assert standing(split(10)) == Standing("polls-2", 10, {"polls-1": 100}, "aa")
    assert moved_traffic(split(10, deployed_revision="polls-1")) is None
    by_hand = service({"polls-1": 90, "polls-2": 10}, deployed_revision="polls-1")
    assert moved_traffic(by_hand) == {"deployed": "polls-1", "serving": "polls-1"}


def test_what_a_run_left_that_was_ended_begins_again_without_traffic():
    asked = {"template": {"containers": [{"image": "app@sha256:2"}]}}
    found = with_candidate(split(10, deployed_revision="polls-1"), asked, "candidate")
    assert found["traffic"] == [
        {"type": REVISION, "revision": "polls-1", "percent": 100},
        {"type": LATEST, "percent": 0, "tag": "candidate"},
    ]
    assert found["annotations"]["djangogcp/canary"] == ""
    assert "djangogcp/taken-out" not in found["annotations"]


def test_a_canary_that_is_given_all_the_traffic_is_none_any_more():
    found = with_deployed(split(50), {}, "polls-2", [])["annotations"]
    assert found == {"djangogcp/canary": "", "djangogcp/deployed-revision": "polls-2"}
