# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""What has failed last, and what could not be read of it."""

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.modules import failures_info

RUN = "https://run.googleapis.com/v2/projects/p/locations/us-central1"
BUILDS = "https://cloudbuild.googleapis.com/v1/projects/p/locations/us-central1/builds"
LOG = "https://logging.googleapis.com/v2/entries:list"
IMAGE = "us-central1-docker.pkg.dev/p/polls/polls"


def run(client, **options):
    params = {
        "project": "p",
        "location": "us-central1",
        "service": None,
        "jobs": [],
        "images": [],
        "build_locations": ["us-central1"],
        **options,
    }
    return failures_info.work(Task(params, client))


@pytest.fixture
def log(google):
    entry = {"insertId": "1", "timestamp": "2026-11-29T17:00:00Z", "textPayload": "no such thing"}
    google.answer("POST", LOG, {"entries": [entry]})


def service(serving):
    return {
        "name": "projects/p/locations/us-central1/services/polls",
        "latestCreatedRevision": "projects/p/locations/us-central1/services/polls/revisions/polls-2",
        "latestReadyRevision": "projects/p/locations/us-central1/services/polls/revisions/polls-1",
        "trafficStatuses": [{"revision": serving, "percent": 100}],
        "updateTime": "2026-11-29T17:00:00Z",
        "terminalCondition": {"state": "CONDITION_FAILED", "message": "Revision 'polls-2' is not ready."},
    }


def test_the_newest_revision_if_it_does_not_serve_and_is_not_ready(google, client, log):
    revision = {
        "createTime": "2026-11-29T16:59:00Z",
        "conditions": [
            {"type": "Active", "state": "CONDITION_SUCCEEDED"},
            {"type": "Ready", "state": "CONDITION_FAILED", "message": "It failed to start."},
        ],
    }
    google.answer("GET", f"{RUN}/services/polls", service("polls-1"))
    google.answer("GET", f"{RUN}/services/polls/revisions/polls-2", revision, (404, {}))
    (found,) = run(client, service="polls")["failures"]
    assert found == {
        "kind": "revision",
        "name": "polls-2",
        "of": "polls",
        "time": "2026-11-29T16:59:00Z",
        "message": "It failed to start.",
        "lines": ["no such thing"],
    }
    # One that could not even be made.
    assert run(client, service="polls")["failures"][0]["message"] == "Revision 'polls-2' is not ready."
    google.answer("GET", f"{RUN}/services/polls", service("polls-2"))
    assert run(client, service="polls")["failures"] == []
    google.answer("GET", f"{RUN}/services/polls", (404, {}))
    assert run(client, service="polls") == {"changed": False, "failures": [], "unread": []}


def execution(name, state, **fields):
    return {
        "name": f"projects/p/locations/us-central1/jobs/polls-migrate/executions/{name}",
        "createTime": "2026-11-29T17:00:00Z",
        "completionTime": "2026-11-29T17:01:00Z",
        "conditions": [
            {"type": "Completed", "state": state, "message": "The container exited with an error."}
        ],
        **fields,
    }


def test_the_newest_execution_of_a_job_if_it_failed(google, client, log):
    url = f"{RUN}/jobs/polls-migrate/executions"
    google.answer("GET", f"{url}/x2/tasks", {"tasks": []})
    google.answer("GET", url, {"executions": [execution("x2", "CONDITION_FAILED")]})
    (found,) = run(client, jobs=["polls-migrate"])["failures"]
    assert (found["kind"], found["name"], found["of"]) == ("execution", "x2", "polls-migrate")
    assert found["message"] == "The container exited with an error."
    assert found["lines"] == ["no such thing"]
    google.answer("GET", url, {"executions": [execution("x3", "CONDITION_SUCCEEDED")]}, {})
    assert run(client, jobs=["polls-migrate"])["failures"] == []
    assert run(client, jobs=["polls-migrate"])["failures"] == []
    google.answer("GET", url, {"executions": [execution("x2", "CONDITION_RECONCILING", completionTime=None)]})
    assert run(client, jobs=["polls-migrate"])["failures"] == []


def test_the_newest_build_of_an_image_if_it_failed(google, client, log):
    def build(number, status, image=IMAGE):
        return {
            "id": f"b{number}",
            "status": status,
            "createTime": f"2026-11-29T17:0{number}:00Z",
            "images": [f"{image}:source-{number}"],
            "failureInfo": {"detail": "Build failed; check build logs for details"},
        }

    google.answer(
        "GET",
        BUILDS,
        {"builds": [build(4, "FAILURE", f"{IMAGE}-other"), build(3, "FAILURE"), build(2, "SUCCESS")]},
    )
    (found,) = run(client, images=[IMAGE])["failures"]
    assert (found["name"], found["of"]) == ("b3", IMAGE)
    assert found["message"] == "It ended with FAILURE: Build failed; check build logs for details"
    google.answer("GET", BUILDS, {"builds": [build(3, "WORKING"), build(2, "FAILURE")]})
    assert run(client, images=[IMAGE])["failures"] == []


def test_where_an_api_is_off_nothing_has_failed(google, client, refuse):
    off = refuse(
        403, "PERMISSION_DENIED", "It has not been used in project 1 before.", reason="SERVICE_DISABLED"
    )
    google.answer("GET", f"{RUN}/jobs/polls-migrate/executions", off)
    google.answer("GET", BUILDS, off)
    assert run(client, jobs=["polls-migrate"], images=[IMAGE]) == {
        "changed": False,
        "failures": [],
        "unread": [],
    }


def test_what_cannot_be_read_is_told_and_the_rest_is_read(google, client, refuse, log):
    url = f"{RUN}/jobs/polls-migrate/executions"
    google.answer("GET", f"{url}/x2/tasks", {"tasks": []})
    google.answer("GET", url, {"executions": [execution("x2", "CONDITION_FAILED")]})
    google.answer("GET", BUILDS, refuse(403, "PERMISSION_DENIED", "The caller does not have permission"))
    found = run(client, jobs=["polls-migrate"], images=[IMAGE])
    assert [one["name"] for one in found["failures"]] == ["x2"]
    (why,) = found["unread"]
    assert "cloudbuild.builds.list" in why
    assert "roles/cloudbuild.builds.editor" in why
