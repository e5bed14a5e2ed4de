# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import requests
from ansible_collections.org.djangogcp.plugins.module_utils._fields import decode, differences
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    RETRY_ANNOTATION,
    Executions,
    Overrides,
    candidate,
    is_placeholder,
    with_another_try,
    with_candidate,
    with_placeholder,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import (
    PLACEHOLDER_ANNOTATION,
    SERVICE,
)

TEMPLATE = next(field for field in SERVICE.fields if field.name == "template")
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


def service(image="app@sha256:1", created="polls-1", ready="polls-1", percent=100):
    """A service as Cloud Run answers it."""
    prefix = "projects/p/locations/l/services/polls/revisions/"
    return {
        "template": {"containers": [{"image": image}]},
        "latestCreatedRevision": prefix + created,
        "latestReadyRevision": prefix + ready,
        "trafficStatuses": [{"type": LATEST, "percent": percent}],
    }


def asked(image):
    return {"template": {"containers": [{"image": image}]}}


def test_the_first_revision_of_a_new_service_serves_at_once():
    assert with_candidate(None, asked("app@sha256:1"), "candidate") == asked("app@sha256:1")


def test_with_nothing_to_try_out_the_newest_revision_has_all_traffic():
    result = with_candidate(service(), asked("app@sha256:1"), "candidate")
    assert result == {**asked("app@sha256:1"), "traffic": [{"type": LATEST, "percent": 100}]}


def test_a_changed_template_gets_a_tag_and_no_traffic_while_the_old_revision_is_pinned():
    result = with_candidate(service(), asked("app@sha256:2"), "candidate")
    assert result["traffic"] == [
        {"type": REVISION, "revision": "polls-1", "percent": 100},
        {"type": LATEST, "percent": 0, "tag": "candidate"},
    ]


def test_a_revision_that_an_interrupted_run_left_behind_is_tried_out():
    interrupted = service(image="app@sha256:2", created="polls-2", ready="polls-2")
    interrupted["trafficStatuses"] = [{"type": REVISION, "revision": "polls-1", "percent": 100}]
    result = with_candidate(interrupted, asked("app@sha256:2"), "candidate")
    assert result["traffic"][-1] == {"type": LATEST, "percent": 0, "tag": "candidate"}


def test_as_long_as_nothing_serves_the_next_revision_does():
    failed = service(ready="")
    failed["trafficStatuses"] = []
    assert with_candidate(failed, asked("app@sha256:2"), "candidate") == asked("app@sha256:2")


def test_a_placeholder_needs_nothing_of_the_release_but_what_may_run() -> None:
    container = {
        "image": "app@sha256:1",
        "env": [{"name": "KEY", "value_source": {"secret_key_ref": {"secret": "key", "version": "1"}}}],
        "volume_mounts": [{"name": "cloudsql", "mount_path": "/cloudsql"}],
        "startup_probe": {"http_get": {"path": "/live"}},
    }
    release = {
        "service_account": "web@p",
        "scaling": {"min_instance_count": 3, "max_instance_count": 9},
        "containers": [container],
        "volumes": [{"name": "cloudsql"}],
    }
    placeholder = {"command": ["python", "-c"], "args": ["serve()"]}
    result = with_placeholder({"labels": {"site": "polls"}, "template": release}, placeholder)
    assert result == {
        "labels": {"site": "polls"},
        "template": {
            "service_account": "web@p",
            "annotations": {PLACEHOLDER_ANNOTATION: "true"},
            "scaling": {"min_instance_count": 0, "max_instance_count": 1},
            "containers": [{"image": "app@sha256:1", "command": ["python", "-c"], "args": ["serve()"]}],
        },
        "traffic": [{"type": LATEST, "percent": 100}],
    }


def test_beside_a_placeholder_even_the_same_template_is_a_candidate() -> None:
    placed = service()
    placed["template"]["annotations"] = {PLACEHOLDER_ANNOTATION: "true"}
    assert is_placeholder(placed)
    assert not is_placeholder(service())
    assert not is_placeholder(None)
    result = with_candidate(placed, asked("app@sha256:1"), "candidate")
    assert result["traffic"] == [
        {"type": REVISION, "revision": "polls-1", "percent": 100},
        {"type": LATEST, "percent": 0, "tag": "candidate"},
    ]


def test_a_template_whose_revision_did_not_start_is_tried_again_as_a_new_one():
    failed = service(created="polls-2", ready="polls-1")
    failed["template"]["annotations"] = {"team": "web"}
    result = with_another_try(failed, asked("app@sha256:1"))
    assert result["template"]["annotations"] == {"team": "web", RETRY_ANNOTATION: "polls-2"}


def test_a_template_whose_revision_is_ready_is_left_alone():
    assert with_another_try(service(), asked("app@sha256:1")) == asked("app@sha256:1")
    assert with_another_try(None, asked("app@sha256:1")) == asked("app@sha256:1")
    assert with_another_try(service(created="polls-2"), {"traffic": []}) == {"traffic": []}


def test_the_candidate_is_what_carries_the_tag_without_traffic():
    tried = service(created="polls-2")
    tried["trafficStatuses"].append({"type": LATEST, "tag": "candidate", "uri": "https://candidate---polls"})
    assert candidate(tried, "candidate") == {"revision": "polls-2", "uri": "https://candidate---polls"}
    assert candidate(service(), "candidate") is None


JOB_URL = "https://run.googleapis.com/v2/projects/p/locations/l/jobs/migrate"
LOST = requests.exceptions.ConnectionError("Connection aborted.", ConnectionResetError(104, "reset by peer"))


def job(newest):
    containers = [{"image": "app@sha256:1", "args": ["migrate"]}]
    return {
        "template": {"template": {"containers": containers}},
        "latestCreatedExecution": {"name": newest},
    }


def test_an_execution_whose_answer_was_lost_is_found_again(google, client):
    google.answer("GET", JOB_URL, job("migrate-1"), job("migrate-2"))
    google.answer("POST", f"{JOB_URL}:run", LOST)
    containers = [{"image": "app@sha256:1", "args": ["migrate"]}]
    google.answer(
        "GET",
        f"{JOB_URL}/executions/migrate-2",
        {"name": "migrate-2", "template": {"containers": containers}},
    )
    assert Executions(client, "p", "l", "migrate").start(Overrides())["name"] == "migrate-2"
    assert len(google.bodies("POST")) == 1


@pytest.mark.parametrize(("newest", "args"), [("migrate-1", ["migrate"]), ("migrate-2", ["another"])])
def test_an_execution_that_was_not_started_is_started_once_more(google, client, newest, args):
    google.answer("GET", JOB_URL, job("migrate-1"), job(newest))
    google.answer("POST", f"{JOB_URL}:run", (503, ""), {"metadata": {"name": "migrate-3"}})
    containers = [{"image": "app@sha256:1", "args": args}]
    google.answer(
        "GET",
        f"{JOB_URL}/executions/migrate-2",
        {"name": "migrate-2", "template": {"containers": containers}},
    )
    assert Executions(client, "p", "l", "migrate").start(Overrides())["name"] == "migrate-3"


COMPLETED = {"type": "Completed", "state": "CONDITION_SUCCEEDED"}
SUCCEEDED = {"completionTime": "2026-01-01T00:00:00Z", "conditions": [COMPLETED]}
FAILED = {
    "completionTime": "2026-01-01T00:00:00Z",
    "conditions": [{"type": "Completed", "state": "CONDITION_FAILED"}],
}


@pytest.mark.parametrize(
    ("state", "args", "counts"),
    [
        (SUCCEEDED, ["migrate"], True),
        ({}, ["migrate"], True),
        (FAILED, ["migrate"], False),
        (SUCCEEDED, ["another"], False),
        ({}, ["another"], False),
    ],
)
def test_the_newest_execution_counts_when_it_runs_or_ran_what_the_job_says(
    google, client, state, args, counts
):
    google.answer("GET", JOB_URL, job("migrate-1"))
    template = {"containers": [{"image": "app@sha256:1", "args": args}]}
    newest = {"name": "migrate-1", "template": template, **state}
    google.answer("GET", f"{JOB_URL}/executions/migrate-1", newest)
    assert Executions(client, "p", "l", "migrate").newest_as_is() == (newest if counts else None)


def test_an_execution_without_overrides_sends_none():
    assert Overrides().body() == {}


def test_overrides_are_sent_as_the_api_has_them():
    assert Overrides(["check"], {"B": "2", "A": "1"}, 60).body() == {
        "overrides": {
            "containerOverrides": [
                {"args": ["check"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
            ],
            "timeout": "60s",
        }
    }


def test_an_empty_list_of_arguments_is_an_override():
    assert Overrides([]).body() == {"overrides": {"containerOverrides": [{"args": []}]}}


def test_a_number_that_came_as_text_is_no_difference():
    found = {"template": {"maxInstanceRequestConcurrency": 8, "scaling": {"maxInstanceCount": 4}}}
    scaling = {"min_instance_count": "0", "max_instance_count": "4"}
    wanted = {"template": {"max_instance_request_concurrency": "8", "scaling": scaling}}
    assert differences(wanted, decode(found, SERVICE.fields), SERVICE.fields) == []
    scaling["max_instance_count"] = "5"
    assert [one.name for one in differences(wanted, decode(found, SERVICE.fields), SERVICE.fields)] == [
        "template.scaling.max_instance_count"
    ]
