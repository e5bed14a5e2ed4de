# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""The life of a worker pool."""

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import RETRY_ANNOTATION
from ansible_collections.org.djangogcp.plugins.modules import run_worker_pool

POOLS = "https://run.googleapis.com/v2/projects/p/locations/l/workerPools"
URL = f"{POOLS}/worker"
REVISIONS = "projects/p/locations/l/workerPools/worker/revisions"
MISSING = (404, {"error": {"code": 404, "status": "NOT_FOUND", "message": "no"}})
DONE = {"name": "operations/x", "done": True}
TEMPLATE = {"containers": [{"image": "app", "args": ["work"]}]}
READY = {
    "template": TEMPLATE,
    "scaling": {"manualInstanceCount": 2},
    "latestCreatedRevision": f"{REVISIONS}/worker-1",
    "latestReadyRevision": f"{REVISIONS}/worker-1",
    "etag": "e1",
}


def run(client, **options):
    params = {
        **dict.fromkeys(run_worker_pool.ARGUMENT_SPEC),
        "project": "p",
        "location": "l",
        "name": "worker",
        "state": "present",
        **options,
    }
    return run_worker_pool.work(Task(params, client))


def test_a_pool_that_is_absent_is_made(google, client):
    google.answer("GET", URL, MISSING, READY)
    google.answer("POST", POOLS, DONE)
    result = run(client, template=TEMPLATE, scaling={"manual_instance_count": 2})
    assert result["actions"] == ["create worker pool worker"]
    assert result["worker_pool"]["latest_ready_revision"] == "worker-1"
    (made,) = [one for one in google.sent if one.method == "POST"]
    assert made.params == {"workerPoolId": "worker"}
    assert made.body == {"template": TEMPLATE, "scaling": {"manualInstanceCount": 2}}


def test_a_pool_that_is_as_asked_stays(google, client):
    google.answer("GET", URL, READY)
    assert run(client, template=TEMPLATE, scaling={"manual_instance_count": "2"})["changed"] is False
    assert google.calls == ["GET worker"]


@pytest.mark.parametrize("asked", [0, "0"])
def test_no_instances_are_not_the_same_as_nothing_asked(google, client, asked):
    google.answer("GET", URL, READY)
    google.answer("PATCH", URL, DONE)
    assert run(client, scaling={"manual_instance_count": asked})["changed"] is True
    (change,) = [one for one in google.sent if one.method == "PATCH"]
    assert change.params == {"updateMask": "scaling.manualInstanceCount"}
    assert change.body == {"scaling": {"manualInstanceCount": 0}, "etag": "e1"}


def test_a_revision_that_was_not_ready_is_tried_again(google, client):
    broken = {**READY, "latestCreatedRevision": f"{REVISIONS}/worker-2"}
    google.answer("GET", URL, broken, READY)
    google.answer("PATCH", URL, DONE)
    assert run(client, template=TEMPLATE)["actions"] == ["update worker pool worker"]
    (body,) = google.bodies("PATCH")
    assert body["template"] == {**TEMPLATE, "annotations": {RETRY_ANNOTATION: "worker-2"}}


def test_a_pool_is_deleted_once(google, client):
    google.answer("GET", URL, READY)
    google.answer("DELETE", URL, DONE)
    assert run(client, state="absent")["actions"] == ["delete worker pool worker"]
    google.answer("GET", URL, MISSING)
    assert run(client, state="absent")["changed"] is False


LOG = "https://logging.googleapis.com/v2/entries:list"
SYSTEM_LOG = "projects/p/logs/run.googleapis.com%2Fvarlog%2Fsystem"
REVISION = {
    "conditions": [
        {"type": "Ready", "state": "CONDITION_SUCCEEDED", "lastTransitionTime": "2026-11-01T12:00:00.5Z"}
    ]
}


def end(timestamp):
    return {
        "entries": [
            {"textPayload": "Container called exit(1).", "logName": SYSTEM_LOG, "timestamp": timestamp}
        ]
    }


def test_a_container_that_ends_at_once_is_told_with_what_it_printed(google, client):
    google.answer("GET", URL, MISSING, READY)
    google.answer("POST", POOLS, DONE)
    google.answer("GET", f"{URL}/revisions/worker-1", REVISION)
    # It takes a while to end, and to be told.
    printed = {"entries": [{"textPayload": "No module named celery"}]}
    google.answer("POST", LOG, {}, {}, end("2026-11-01T12:00:09Z"), printed)
    with pytest.raises(DjangoGcpError) as error:
        run(client, template=TEMPLATE, settle_seconds=10)
    assert error.value.message == (
        "Failed to deploy worker pool worker: its container ended within 10 seconds, and is started again and again."
        " What revision worker-1 printed:\nNo module named celery"
    )
    asked = google.bodies("POST")[-2]["filter"]
    assert asked == (
        'resource.type="cloud_run_worker_pool" AND resource.labels.revision_name="worker-1" AND logName="'
        + SYSTEM_LOG
        + '"'
    )


def test_a_container_that_goes_on_is_watched_and_is_right(google, client, fake_clock):
    google.answer("GET", URL, MISSING, READY)
    google.answer("POST", POOLS, DONE)
    google.answer("GET", f"{URL}/revisions/worker-1", REVISION)
    # Another end, which came when it had worked.
    google.answer("POST", LOG, end("2026-11-01T12:00:10.6Z"))
    assert run(client, template=TEMPLATE, settle_seconds=10)["changed"] is True
    assert sum(fake_clock.slept) == pytest.approx(10)


def test_what_ended_at_once_is_tried_again_and_what_works_is_left_alone(google, client):
    google.answer("GET", URL, READY)
    google.answer("GET", f"{URL}/revisions/worker-1", REVISION)
    google.answer("POST", LOG, {})
    assert run(client, template=TEMPLATE, settle_seconds=10)["changed"] is False
    again = {
        **READY,
        "latestCreatedRevision": f"{REVISIONS}/worker-2",
        "latestReadyRevision": f"{REVISIONS}/worker-2",
    }
    google.answer("GET", URL, READY, again)
    google.answer("POST", LOG, end("2026-11-01T12:00:01Z"), {})
    google.answer("PATCH", URL, DONE)
    google.answer("GET", f"{URL}/revisions/worker-2", REVISION)
    assert run(client, template=TEMPLATE, settle_seconds=10)["actions"] == ["update worker pool worker"]
    (body,) = google.bodies("PATCH")
    assert body["template"]["annotations"] == {RETRY_ANNOTATION: "worker-1"}
