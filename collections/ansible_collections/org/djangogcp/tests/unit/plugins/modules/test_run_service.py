# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first release of a service, step by step: a placeholder, a candidate beside it, traffic for what was tried out."""

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Change
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import (
    DEPLOYED_ANNOTATION,
    PLACEHOLDER_ANNOTATION,
)
from ansible_collections.org.djangogcp.plugins.modules import run_service, run_service_info

SERVICES = "https://run.googleapis.com/v2/projects/p/locations/l/services"
URL = f"{SERVICES}/polls"
NAME = "projects/p/locations/l/services/polls/revisions"
MISSING = (404, {"error": {"code": 404, "status": "NOT_FOUND", "message": "no"}})
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
DONE = {"name": "operations/x", "done": True}
MARK = {PLACEHOLDER_ANNOTATION: "true"}
TEMPLATE = {"containers": [{"image": "app", "env": [{"name": "A", "value": "1"}]}]}
# What Google fills in: a probe of the port, which must not stay beside the release's own.
PLACED = {
    "annotations": MARK,
    "containers": [
        {
            "image": "app",
            "command": ["python"],
            "args": ["-c", "x"],
            "startupProbe": {"tcpSocket": {"port": 8080}},
        }
    ],
}


def found(template, created, ready, *traffic):
    """A service as Cloud Run answers it."""
    return {
        "template": template,
        "latestCreatedRevision": f"{NAME}/{created}",
        "latestReadyRevision": f"{NAME}/{ready}" if ready else "",
        "trafficStatuses": list(traffic),
        "traffic": list(traffic),
        "etag": created,
    }


PLACEHOLDER_SERVES = found(PLACED, "polls-1", "polls-1", {"type": LATEST, "percent": 100})
CANDIDATE_WAITS = found(
    TEMPLATE,
    "polls-2",
    "polls-2",
    {"type": REVISION, "revision": "polls-1", "percent": 100},
    {"type": LATEST, "tag": "candidate", "uri": "https://candidate---polls"},
)


def task(client, check_mode=False, **options):
    params = {
        **dict.fromkeys(run_service.ARGUMENT_SPEC),
        "project": "p",
        "location": "l",
        "name": "polls",
        "state": "present",
        "template": TEMPLATE,
        "candidate_tag": "candidate",
        "placeholder": {"command": ["python"], "args": ["-c", "x"], "tries_grants": False},
        **options,
    }
    return Task(params, client, check_mode)


def revisions(google):
    google.answer("GET", f"{URL}/revisions/polls-1", {"annotations": MARK, "containers": [{"image": "app"}]})
    google.answer("GET", f"{URL}/revisions/polls-2", {"containers": [{"image": "app"}]})


def test_the_first_release_waits_beside_a_placeholder_that_has_the_traffic(google, client):
    google.answer("GET", URL, MISSING, PLACEHOLDER_SERVES, PLACEHOLDER_SERVES, CANDIDATE_WAITS)
    google.answer("POST", SERVICES, DONE)
    google.answer("PATCH", URL, DONE)
    revisions(google)
    result = run_service.work(task(client))
    (placed,) = google.bodies("POST")
    assert placed["template"]["containers"] == [{"image": "app", "command": ["python"], "args": ["-c", "x"]}]
    assert placed["traffic"] == [{"type": LATEST, "percent": 100}]
    (released,) = google.bodies("PATCH")
    # Nothing of the placeholder is left, neither its command nor the probe that Google gave it.
    assert released["template"] == TEMPLATE
    assert released["traffic"] == [
        {"type": REVISION, "revision": "polls-1", "percent": 100},
        {"type": LATEST, "percent": 0, "tag": "candidate"},
    ]
    assert (result["changed"], result["actions"]) == (True, ["create service polls", "update service polls"])
    assert result["diff"]["before"] == {"state": "absent"}
    assert result["candidate"] == {"revision": "polls-2", "uri": "https://candidate---polls"}
    assert [(one["revision"], one["placeholder"]) for one in result["serving"]] == [("polls-1", True)]


def test_a_placeholder_is_given_code_that_tries_what_was_granted_a_moment_ago(google, client, granted):
    granted.note(Change("bucket", "static", "roles/storage.objectViewer", "serviceAccount:web@p"))
    granted.note(Change("project", "p", "roles/cloudsql.client", "serviceAccount:web@p"))
    granted.note(Change("bucket", "static", "roles/storage.objectViewer", "serviceAccount:other@p"))
    google.answer("GET", URL, (404, ""), PLACEHOLDER_SERVES, PLACEHOLDER_SERVES, CANDIDATE_WAITS)
    google.answer("POST", SERVICES, DONE)
    google.answer("PATCH", URL, DONE)
    revisions(google)
    sockets = {"name": "cloudsql", "cloud_sql_instance": {"instances": ["p:l:main"]}}
    template = {**TEMPLATE, "service_account": "web@p", "volumes": [sockets]}
    placeholder = {"command": ["python"], "args": ["-c", "x"], "tries_grants": True}
    run_service.work(task(client, template=template, placeholder=placeholder))
    (placed,) = google.bodies("POST")
    *given, code = placed["template"]["containers"][0]["args"]
    assert given == ["-c", "x"]
    defined = {}
    exec(code, defined)
    assert sorted(right["name"] for right in defined["RIGHTS"]) == [
        "roles/cloudsql.client on project p was granted",
        "roles/storage.objectViewer on bucket static was granted",
    ]
    assert callable(defined["refused"])


def test_a_run_that_was_killed_after_the_placeholder_is_gone_on_with(google, client):
    google.answer("GET", URL, PLACEHOLDER_SERVES, PLACEHOLDER_SERVES, CANDIDATE_WAITS)
    google.answer("PATCH", URL, DONE)
    revisions(google)
    result = run_service.work(task(client))
    assert result["candidate"]["revision"] == "polls-2"
    assert len(google.bodies("PATCH")) == 1


OWN = ["https://polls-1.l.run.app", "https://polls-ab3-uc.a.run.app"]
LISTS = {"ALLOWED_HOSTS": "", "ORIGINS": "https://"}


def lists(hosts, origins):
    """A template that is told its hosts."""
    env = [
        {"name": "ALLOWED_HOSTS", "value": hosts},
        {"name": "ORIGINS", "value": origins},
        {"name": "A", "value": "1"},
    ]
    return {"containers": [{"image": "app", "env": env}]}


TOLD = lists(
    "polls-1.l.run.app,www.example.com,polls-ab3-uc.a.run.app,candidate---polls-1.l.run.app,candidate---polls-ab3-uc.a.run.app",
    "https://polls-1.l.run.app,https://polls-ab3-uc.a.run.app,https://candidate---polls-1.l.run.app,"
    "https://candidate---polls-ab3-uc.a.run.app",
)


def test_the_first_release_knows_the_addresses_that_its_placeholder_was_given(google, client):
    placed = {**PLACEHOLDER_SERVES, "urls": OWN, "uri": OWN[1]}
    google.answer("GET", URL, MISSING, placed, placed, {**CANDIDATE_WAITS, "urls": OWN})
    google.answer("POST", SERVICES, DONE)
    google.answer("PATCH", URL, DONE)
    revisions(google)
    template = lists("polls-1.l.run.app,www.example.com", "https://polls-1.l.run.app")
    run_service.work(task(client, template=template, own_hosts=LISTS))
    (sent,) = google.bodies("PATCH")
    assert sent["template"]["containers"] == TOLD["containers"]


def test_a_service_that_knows_its_addresses_is_as_asked(google, client):
    serves = found(TOLD, "polls-2", "polls-2", {"type": LATEST, "percent": 100})
    revisions(google)
    template = lists("polls-1.l.run.app,www.example.com", "")
    for urls in (OWN, OWN[::-1]):
        google.answer(
            "GET",
            URL,
            {**serves, "urls": urls, "uri": urls[0], "annotations": {DEPLOYED_ANNOTATION: "polls-2"}},
        )
        assert not run_service.work(task(client, template=template, own_hosts=LISTS))["changed"]


def test_a_release_whose_answer_was_lost_is_not_made_twice(google, client):
    google.answer("GET", URL, PLACEHOLDER_SERVES, PLACEHOLDER_SERVES, CANDIDATE_WAITS)
    stale = (409, {"error": {"code": 409, "status": "ABORTED", "message": "etag"}})
    google.answer("PATCH", URL, stale)
    revisions(google)
    assert run_service.work(task(client))["candidate"]["revision"] == "polls-2"
    assert len(google.bodies("PATCH")) == 1


def test_a_release_that_was_not_tried_out_is_a_candidate_in_every_run(google, client):
    google.answer("GET", URL, CANDIDATE_WAITS)
    revisions(google)
    result = run_service.work(task(client))
    assert (result["changed"], result["candidate"]["revision"]) == (False, "polls-2")
    # A deploy with nothing to do asks no more than it did without a placeholder.
    assert google.calls == ["GET polls", "GET polls-1"]


def test_a_service_whose_first_revision_did_not_start_gets_a_placeholder(google, client):
    failed = found(TEMPLATE, "polls-0", "")
    google.answer("GET", URL, failed, PLACEHOLDER_SERVES, PLACEHOLDER_SERVES, CANDIDATE_WAITS)
    google.answer("PATCH", URL, DONE)
    revisions(google)
    result = run_service.work(task(client))
    placed, released = google.bodies("PATCH")
    assert placed["template"]["annotations"][PLACEHOLDER_ANNOTATION] == "true"
    assert released["template"] == TEMPLATE
    assert result["candidate"]["revision"] == "polls-2"


@pytest.mark.parametrize(
    ("current", "action"), [(MISSING, "create service polls"), (PLACEHOLDER_SERVES, "update service polls")]
)
def test_check_mode_predicts_the_release(google, client, current, action):
    google.answer("GET", URL, current)
    revisions(google)
    result = run_service.work(task(client, check_mode=True))
    assert (result["changed"], result["actions"], result["candidate"]) == (True, [action], None)
    assert result["service"]["template"]["containers"][0]["env"] == [
        {"name": "A", "value": "1", "value_source": None}
    ]
    assert result["service"]["template"]["containers"][0]["command"] == []
    assert {one.method for one in google.sent} == {"GET"}


def test_traffic_is_for_the_revision_that_was_tried_out(google, client):
    traffic = [{"type": LATEST, "percent": 100}]
    options = {"template": None, "candidate_tag": None, "placeholder": None, "traffic": traffic}
    google.answer("GET", URL, CANDIDATE_WAITS)
    google.answer("PATCH", URL, DONE)
    revisions(google)
    with pytest.raises(DjangoGcpError) as caught:
        run_service.work(task(client, **options, latest_revision="polls-1"))
    assert caught.value.message == (
        "Failed to update service polls: its newest revision is polls-2 and not polls-1. "
        "Somebody else has deployed at the same time. Run again."
    )
    assert google.bodies("PATCH") == []
    run_service.work(task(client, **options, latest_revision="polls-2"))
    (promoted,) = google.bodies("PATCH")
    assert promoted["traffic"] == traffic
    assert promoted["annotations"] == {DEPLOYED_ANNOTATION: "polls-2"}


def test_the_log_of_a_revision_is_read_when_it_is_asked_for(google, client):
    google.answer("GET", URL, CANDIDATE_WAITS)
    revisions(google)
    logging = "https://logging.googleapis.com/v2/entries:list"
    google.answer("POST", logging, {"entries": [{"textPayload": "second"}, {"textPayload": "first"}]})
    params = {"project": "p", "location": "l", "name": "polls", "candidate_tag": None}
    assert run_service_info.work(Task({**params, "log_revision": None}, client))["log"] == []
    result = run_service_info.work(Task({**params, "log_revision": "polls-2"}, client))
    assert result["log"] == ["first", "second"]
    assert 'revision_name="polls-2"' in google.bodies("POST")[0]["filter"]


def test_traffic_for_a_service_that_somebody_has_deleted_is_one_message(google, client):
    google.answer("GET", URL, MISSING)
    asked = task(
        client, template=None, placeholder=None, latest_revision="polls-2", traffic=[{"percent": 100}]
    )
    with pytest.raises(
        DjangoGcpError, match="traffic to polls-2: service polls is not there any more"
    ) as caught:
        run_service.work(asked)
    assert caught.value.message.endswith("run again.")
    assert google.bodies("POST") == []
