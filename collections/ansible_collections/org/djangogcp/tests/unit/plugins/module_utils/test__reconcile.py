# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    ApiError,
    ImmutableError,
    OperationError,
    WaitTimeoutError,
)
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Change, Field, Kind
from ansible_collections.org.djangogcp.plugins.module_utils._marks import (
    ForeignError,
    LabelsPlace,
    Mark,
    Ownership,
)
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait, long_running
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    ResourceSpec,
    merge_patch,
    metageneration,
    patch_with_mask,
    put_whole,
    reconcile,
)

API = "https://toys.googleapis.com/v1"
TOYS = f"{API}/projects/p/toys"
TOY = f"{TOYS}/car"
IDS = {"project": "p", "name": "car"}
FIELDS = (
    Field("color"),
    Field("wheels", wire="parts.wheels"),
    Field("region", change=Change.IMMUTABLE),
    Field("labels", kind=Kind.MAP),
    Field("tags", kind=Kind.SET),
    Field("key", kind=Kind.SECRET),
    Field("uid", change=Change.OUTPUT),
)
SPEC = ResourceSpec(
    noun="toy",
    api=API,
    path="projects/{project}/toys/{name}",
    permission="toys.toys",
    id_param="toyId",
    fields=FIELDS,
    predicted=lambda ids, wire: {"uid": f"uid-of-{ids['name']}"},
)
MISSING = (404, {"error": {"code": 404, "status": "NOT_FOUND", "message": "no such toy"}})
RED = {
    "color": "red",
    "parts": {"wheels": 4},
    "region": "r1",
    "labels": {"a": "1"},
    "etag": "e1",
    "uid": "u1",
}


def test_a_missing_resource_is_made_and_read_again(google, client):
    google.answer("GET", TOY, MISSING, RED)
    google.answer("POST", TOYS, RED)
    outcome = reconcile(client, SPEC, IDS, {"color": "red", "wheels": 4, "labels": {"a": "1"}})
    assert google.calls == ["GET car", "POST toys", "GET car"]
    assert google.sent[1].params == {"toyId": "car"}
    assert google.sent[1].body == {"color": "red", "parts": {"wheels": 4}, "labels": {"a": "1"}}
    assert outcome.changed
    assert outcome.actions == ["create toy car"]
    assert outcome.resource["uid"] == "u1"
    assert outcome.diff["before"] == {"state": "absent"}
    assert outcome.diff["after"] == {"state": "present", "color": "red", "wheels": 4, "labels": {"a": "1"}}


def test_what_is_so_is_one_read(google, client):
    google.answer("GET", TOY, RED)
    outcome = reconcile(client, SPEC, IDS, {"color": "red", "wheels": 4, "region": "r1"})
    assert not outcome.changed
    assert google.calls == ["GET car"]
    assert outcome.diff["before"] == outcome.diff["after"]


def test_only_what_differs_is_patched_with_its_mask_and_etag(google, client):
    google.answer("GET", TOY, RED, {**RED, "color": "blue"})
    google.answer("PATCH", TOY, {})
    outcome = reconcile(client, SPEC, IDS, {"color": "blue", "wheels": 4})
    assert google.sent[1].params == {"updateMask": "color"}
    assert google.sent[1].body == {"color": "blue", "etag": "e1"}
    assert outcome.diff["before"] == {"color": "red", "wheels": 4}
    assert outcome.diff["after"] == {"color": "blue", "wheels": 4}


def test_empty_values_can_be_asked_for(google, client):
    google.answer("GET", TOY, {**RED, "tags": ["x"]}, {"etag": "e2"})
    google.answer("PATCH", TOY, {})
    reconcile(client, SPEC, IDS, {"color": "", "labels": {}, "tags": []})
    assert google.sent[1].params == {"updateMask": "color,labels,tags"}
    assert google.sent[1].body == {"color": "", "labels": {}, "tags": [], "etag": "e1"}


def test_a_merge_patch_removes_keys_of_maps_with_null(google, client):
    spec = ResourceSpec(
        noun="toy",
        api=API,
        path="projects/{project}/toys/{name}",
        permission="t",
        fields=FIELDS,
        update=merge_patch,
        guard=metageneration,
    )
    google.answer("GET", TOY, {**RED, "metageneration": "7"})
    google.answer("PATCH", TOY, {})
    reconcile(client, spec, IDS, {"labels": {"b": "2"}})
    assert google.sent[1].params == {"ifMetagenerationMatch": "7"}
    assert google.sent[1].body == {"labels": {"b": "2", "a": None}}


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_only_reads(google, client, state):
    google.answer("GET", TOY, RED)
    assert reconcile(client, SPEC, IDS, {"color": "blue"}, state=state, check_mode=True).changed
    assert google.calls == ["GET car"]


NESTED = dataclasses.replace(
    SPEC,
    fields=(
        Field("engine", wire="parts.engine", fields=(Field("fuel"), Field("size"))),
        Field("front", one_of=("front", "rear"), fields=(Field("ratio"),)),
        Field("rear", one_of=("front", "rear"), fields=(Field("ratio"),)),
    ),
)


@pytest.mark.parametrize(
    ("update", "method", "body"),
    [
        (patch_with_mask, "PATCH", {"parts": {"engine": None}, "front": None, "rear": {"ratio": 2}}),
        (merge_patch, "PATCH", {"parts": {"engine": None}, "front": None, "rear": {"ratio": 2}}),
        (put_whole, "PUT", {"parts": {"wheels": 4}, "rear": {"ratio": 2}}),
    ],
)
def test_what_is_empty_and_what_was_replaced_is_removed(google, client, update, method, body):
    server = {"parts": {"wheels": 4, "engine": {"fuel": "gas"}}, "front": {"ratio": 1}}
    google.answer("GET", TOY, server)
    google.answer(method, TOY, {})
    spec = dataclasses.replace(NESTED, update=update)
    reconcile(client, spec, IDS, {"engine": {}, "rear": {"ratio": 2}}, wait=Wait(enabled=False))
    assert google.bodies(method) == [body]
    if update is patch_with_mask:
        assert google.sent[-1].params["updateMask"] == "front,parts.engine,rear"


def test_check_mode_shows_what_would_be_there(google, client):
    google.answer("GET", TOY, MISSING)
    outcome = reconcile(client, SPEC, IDS, {"color": "red", "key": "hunter2"}, check_mode=True)
    assert outcome.resource["color"] == "red"
    assert outcome.resource["uid"] == "uid-of-car"
    assert outcome.diff["after"] == {"state": "present", "color": "red", "key": "********"}
    assert "hunter2" not in repr(outcome)


def test_check_and_real_mode_tell_the_same_difference(google, client):
    google.answer("GET", TOY, RED, RED, {**RED, "color": "blue"})
    google.answer("PATCH", TOY, {})
    asked = {"color": "blue", "labels": {"a": "1"}}
    predicted = reconcile(client, SPEC, IDS, asked, check_mode=True)
    assert reconcile(client, SPEC, IDS, asked).diff == predicted.diff


def test_an_immutable_difference_is_refused_before_anything_is_written(google, client):
    google.answer("GET", TOY, RED)
    with pytest.raises(ImmutableError) as caught:
        reconcile(client, SPEC, IDS, {"region": "r2", "color": "blue"})
    assert caught.value.message == (
        "Failed to update toy car: Google Cloud cannot change region from 'r1' to 'r2'. "
        "Ask for what is there, or delete the toy and run again to make it anew."
    )
    assert google.calls == ["GET car"]


def test_a_lost_race_is_read_and_planned_anew(google, client, refuse):
    google.answer(
        "GET", TOY, RED, {**RED, "labels": {"a": "1", "b": "2"}, "etag": "e2"}, {**RED, "color": "blue"}
    )
    google.answer("PATCH", TOY, refuse(409, "ABORTED", "stale etag"), {})
    reconcile(client, SPEC, IDS, {"color": "blue"})
    assert google.calls == ["GET car", "PATCH car", "GET car", "PATCH car", "GET car"]
    assert google.sent[3].body == {"color": "blue", "etag": "e2"}


def test_a_race_that_is_always_lost_ends_with_the_error(google, client, refuse):
    google.answer("GET", TOY, RED)
    google.answer("PATCH", TOY, refuse(412, "FAILED_PRECONDITION", "Condition does not match"))
    with pytest.raises(
        ApiError,
        match=r"^Failed to update toy car: Condition does not match \(HTTP 412 FAILED_PRECONDITION\)\. "
        r"Somebody else changed it at the same time; run again\.$",
    ):
        reconcile(client, SPEC, IDS, {"color": "blue"})
    assert google.calls.count("PATCH car") == 6


def test_a_resource_that_a_parallel_run_makes_first_is_taken_over(google, client, refuse):
    google.answer("GET", TOY, MISSING, RED)
    google.answer("POST", TOYS, refuse(409, "ALREADY_EXISTS", "taken"))
    outcome = reconcile(client, SPEC, IDS, {"color": "red"})
    assert not outcome.changed


def test_a_name_that_is_taken_but_cannot_be_seen_is_an_error(google, client, refuse):
    google.answer("GET", TOY, MISSING)
    google.answer("POST", TOYS, refuse(409, "ALREADY_EXISTS", "taken"))
    with pytest.raises(ApiError, match=r"^Failed to create toy car: taken \(HTTP 409 ALREADY_EXISTS\)\."):
        reconcile(client, SPEC, IDS, {"color": "red"})


def test_secret_managers_stale_etag_is_a_lost_race(google, client, refuse):
    google.answer("GET", TOY, RED, {**RED, "etag": "e2"}, {**RED, "color": "blue"})
    google.answer("PATCH", TOY, refuse(400, "FAILED_PRECONDITION", "The etag provided does not match"), {})
    assert reconcile(client, SPEC, IDS, {"color": "blue"}).changed


def test_a_database_that_a_lost_answer_made_is_taken_over(google, client, refuse):
    google.answer("GET", TOY, MISSING, RED)
    exists = 'failed to create database red. Detail: pq: database "red" already exists.'
    google.answer("POST", TOYS, refuse(400, "invalid", exists))
    outcome = reconcile(client, SPEC, IDS, {"color": "red"})
    assert not outcome.changed


def test_a_resource_that_was_not_ready_is_changed_so_that_it_is_looked_at_again(google, client):
    spec = dataclasses.replace(
        SPEC, retry=lambda toy, asked: {"labels": {"again": "1"}} if toy.get("broken") else {}
    )
    google.answer("GET", TOY, {**RED, "broken": True}, {**RED, "labels": {"again": "1"}})
    google.answer("PATCH", TOY, {})
    assert reconcile(client, spec, IDS, {"color": "red"}).changed
    assert google.bodies("PATCH")[0]["labels"] == {"again": "1"}
    assert not reconcile(client, spec, IDS, {"color": "red"}).changed


BUSY = (409, {"error": {"code": 409, "message": "busy", "errors": [{"reason": "operationInProgress"}]}})


def test_a_busy_resource_is_waited_for_and_not_read_each_time(google, client):
    google.answer("GET", TOY, RED, {**RED, "color": "blue"})
    google.answer("PATCH", TOY, *[BUSY] * 9, {})
    assert reconcile(client, SPEC, IDS, {"color": "blue"}).changed
    assert [one.method for one in google.sent] == ["GET", *["PATCH"] * 10, "GET"]


def test_what_somebody_changed_while_a_resource_was_busy_is_read(google, client, refuse):
    google.answer("GET", TOY, RED, {**RED, "labels": {"other": "1"}}, {**RED, "color": "blue"})
    google.answer("PATCH", TOY, BUSY, refuse(409, "ABORTED", "stale"), {})
    assert reconcile(client, SPEC, IDS, {"color": "blue"}).changed
    assert [one.method for one in google.sent] == ["GET", "PATCH", "PATCH", "GET", "PATCH", "GET"]


def test_a_resource_that_somebody_made_while_its_instance_was_busy_is_taken(google, client, refuse):
    google.answer("GET", TOY, MISSING, RED)
    google.answer("POST", TOYS, BUSY, refuse(409, "ALREADY_EXISTS", "exists"))
    assert not reconcile(client, SPEC, IDS, {"color": "red"}).changed


def test_403_is_never_absent(google, client, refuse):
    google.answer("GET", TOY, refuse(403, "PERMISSION_DENIED", "The caller does not have permission"))
    with pytest.raises(ApiError) as caught:
        reconcile(client, SPEC, IDS, {}, state="absent")
    assert caught.value.message == (
        "Failed to read toy car: The caller does not have permission (HTTP 403 PERMISSION_DENIED). "
        "Grant the caller the permission toys.toys.get."
    )


def test_deleting_what_is_absent_changes_nothing(google, client):
    google.answer("GET", TOY, MISSING)
    assert not reconcile(client, SPEC, IDS, {}, state="absent").changed


def test_a_resource_that_vanishes_while_it_is_deleted_is_deleted(google, client):
    google.answer("GET", TOY, RED)
    google.answer("DELETE", TOY, MISSING)
    outcome = reconcile(client, SPEC, IDS, {"color": "red"}, state="absent")
    assert outcome.changed
    assert outcome.actions == ["delete toy car"]
    assert outcome.diff["after"] == {"state": "absent"}


def test_a_new_resource_that_cannot_be_seen_yet_is_waited_for(google, client):
    google.answer("GET", TOY, MISSING, MISSING, MISSING, RED)
    google.answer("POST", TOYS, RED)
    assert reconcile(client, SPEC, IDS, {"color": "red"}).resource["uid"] == "u1"


def test_what_is_asked_may_depend_on_what_is_there(google, client):
    google.answer("GET", TOY, RED)
    google.answer("PATCH", TOY, {})
    reconcile(client, SPEC, IDS, lambda current: {"color": current["color"] + "dish"})
    assert google.bodies("PATCH") == [{"color": "reddish", "etag": "e1"}]
    assert google.calls == ["GET car", "PATCH car", "GET car"]


def test_a_secret_field_is_written_whenever_it_is_asked(google, client):
    google.answer("GET", TOY, RED)
    assert not reconcile(client, SPEC, IDS, {"key": None}).changed
    google.answer("PATCH", TOY, {})
    outcome = reconcile(client, SPEC, IDS, {"key": "hunter2"})
    assert google.bodies("PATCH") == [{"key": "hunter2", "etag": "e1"}]
    assert outcome.diff["before"] == {"key": "********"}
    assert outcome.diff["after"] == {"key": "******** (new)"}


class TestOperations:
    SPEC = ResourceSpec(
        noun="toy", api=API, path="projects/{project}/toys/{name}", permission="toys.toys", fields=FIELDS,
        operations=long_running, pending=lambda toy: toy.get("state") == "CREATING",
    )  # fmt: skip

    def test_the_operation_and_then_the_resource_are_waited_for(self, google, client):
        google.answer("GET", TOY, MISSING, {**RED, "state": "CREATING"}, RED)
        google.answer("POST", TOYS, {"name": "operations/1"})
        google.answer(
            "GET", f"{API}/operations/1", {"name": "operations/1"}, {"name": "operations/1", "done": True}
        )
        assert reconcile(client, self.SPEC, IDS, {"color": "red"}).resource["uid"] == "u1"

    def test_an_operation_that_fails_is_an_error(self, google, client):
        google.answer("GET", TOY, MISSING)
        google.answer(
            "POST", TOYS, {"name": "operations/1", "done": True, "error": {"code": 9, "message": "no steel."}}
        )
        with pytest.raises(OperationError) as caught:
            reconcile(client, self.SPEC, IDS, {"color": "red"})
        assert caught.value.message == "Failed to create toy car: no steel."

    def test_a_deadline_ends_the_wait_and_says_how_to_go_on(self, google, client, fake_clock):
        google.answer("GET", TOY, MISSING)
        google.answer("POST", TOYS, {"name": "operations/1"})
        google.answer("GET", f"{API}/operations/1", {"name": "operations/1"})
        with pytest.raises(WaitTimeoutError) as caught:
            reconcile(client, self.SPEC, IDS, {"color": "red"}, wait=Wait(timeout=30))
        assert caught.value.message == (
            "Failed to create toy car: not finished after 30 seconds. It goes on in Google Cloud: run again to wait for it, "
            "or raise wait_timeout."
        )
        assert caught.value.as_fail_json()["timed_out"] is True
        assert sum(fake_clock.slept) == pytest.approx(30)

    def test_what_an_interrupted_run_started_is_waited_for(self, google, client):
        google.answer("GET", TOY, {**RED, "state": "CREATING"}, {**RED, "state": "CREATING"}, RED)
        assert not reconcile(client, self.SPEC, IDS, {"color": "red"}).changed

    def test_without_wait_the_operation_is_left_alone(self, google, client):
        google.answer("GET", TOY, MISSING)
        google.answer("POST", TOYS, {"name": "operations/1"})
        outcome = reconcile(client, self.SPEC, IDS, {"color": "red"}, wait=Wait(enabled=False))
        assert google.calls == ["GET car", "POST toys"]
        assert outcome.resource["color"] == "red"


class TestOwnership:
    """What a mark says of who made a resource, before anything is changed."""

    MARKED = dataclasses.replace(SPEC, mark=LabelsPlace())
    OURS = Ownership(Mark("polls", "r1"))
    LABELS = {"managed-by": "djangogcp", "site": "polls", "region": "r1"}

    def run(self, client, asked, ownership=None, **options):
        return reconcile(client, self.MARKED, IDS, asked, ownership=ownership or self.OURS, **options)

    def test_what_is_made_carries_the_mark(self, google, client):
        google.answer("GET", TOY, MISSING, {**RED, "labels": {"a": "1", **self.LABELS}})
        google.answer("POST", TOYS, {})
        self.run(client, {"color": "red", "labels": {"a": "1"}})
        assert google.sent[1].body["labels"] == {"a": "1", **self.LABELS}

    def test_what_a_site_made_is_its_own(self, google, client):
        google.answer("GET", TOY, {**RED, "labels": self.LABELS})
        assert not self.run(client, {"color": "red"}).changed
        assert self.run(client, {"color": "blue"}, check_mode=True).changed

    def test_the_mark_does_not_come_back_by_itself(self, google, client):
        """Somebody who takes the mark away has taken the resource."""
        google.answer("GET", TOY, RED)
        with pytest.raises(ForeignError, match="somebody else made it"):
            self.run(client, {"color": "red"})
        assert google.calls == ["GET car"]

    def test_the_refusal_tells_every_difference_and_no_parts_of_containers(self, google, client):
        google.answer("GET", TOY, RED)
        with pytest.raises(ForeignError) as caught:
            self.run(client, {"color": "blue", "wheels": 3, "tags": ["x"], "labels": {"a": "1"}})
        assert caught.value.reason.endswith(
            "It differs from what is asked: color is 'red', asked 'blue'; wheels is 4, asked 3; tags is not set, asked ['x']."
        )
        assert "Nothing of it was changed." in caught.value.message

    def test_of_what_is_adopted_only_what_is_explicit_changes(self, google, client):
        google.answer("GET", TOY, RED, {**RED, "color": "blue"})
        google.answer("PATCH", TOY, {})
        ownership = dataclasses.replace(self.OURS, adopt=("toy car",), explicit=("color", "labels"))
        self.run(client, {"color": "blue", "wheels": 3, "labels": {"b": "2"}}, ownership)
        assert google.sent[1].body == {"color": "blue", "labels": {"a": "1", "b": "2"}, "etag": "e1"}

    @pytest.mark.parametrize(
        ("owner", "told"),
        [
            ({"site": "shop", "region": "r1"}, "it belongs to the site shop in r1."),
            ({"site": "polls", "region": "r2"}, "two sites of a project cannot have one name"),
            (
                {"site": "polls", "region": "r1", "purpose": "media"},
                "it holds the media of the site polls in r1",
            ),
            ({}, "it belongs to the sites of this project together."),
        ],
    )
    def test_what_another_site_made_is_named(self, google, client, owner, told):
        google.answer("GET", TOY, {**RED, "labels": {"managed-by": "djangogcp", **owner}})
        with pytest.raises(ForeignError, match=told):
            self.run(client, {"color": "red"})

    def test_a_former_name_is_replaced(self, google, client):
        google.answer("GET", TOY, {**RED, "labels": {**self.LABELS, "site": "votes"}})
        google.answer("PATCH", TOY, {})
        self.run(client, {"labels": {}}, dataclasses.replace(self.OURS, former_sites=("votes",)))
        assert google.sent[1].body["labels"] == self.LABELS

    def test_nothing_is_deleted_that_is_not_the_sites_own(self, google, client):
        google.answer("GET", TOY, {**RED, "labels": {**self.LABELS, "site": "shop"}})
        outcome = self.run(client, {}, dataclasses.replace(self.OURS, adopt=("toy car",)), state="absent")
        assert not outcome.changed
        assert outcome.warnings == ["The toy car was left alone: it is not this site's own."]
        assert google.calls == ["GET car"]

    def test_a_race_between_two_sites_is_seen(self, google, client):
        """It was free when this run looked, and another site was faster."""
        theirs = {**RED, "labels": {**self.LABELS, "site": "shop"}}
        google.answer("GET", TOY, MISSING, theirs)
        google.answer("POST", TOYS, (409, {"error": {"status": "ALREADY_EXISTS", "message": "exists"}}))
        with pytest.raises(ForeignError, match="it belongs to the site shop"):
            self.run(client, {"color": "red"})
