"""Enabling APIs."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
from gcp_emulator.engine.facts import read_yaml

from emulator.tests.running import RunningEmulator

BASE = "https://serviceusage.googleapis.com/v1"


@pytest.fixture
def fresh(emulator: RunningEmulator) -> RunningEmulator:
    """With a second project that has what Google enables in new ones."""
    emulator.call(emulator.context.projects.create, "fresh-project", created="2026-01-01T00:00:00Z")
    emulator.grant("projects/fresh-project", "roles/owner", emulator.owner)
    return emulator


def _finish(session: requests.Session, operation: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while not operation.get("done"):
        assert time.monotonic() < deadline
        operation = session.get(f"{BASE}/{operation['name']}").json()
    return operation


def _enabled(session: requests.Session) -> list[str]:
    answer = session.get(
        f"{BASE}/projects/fresh-project/services", params={"filter": "state:ENABLED", "pageSize": "200"}
    ).json()
    return [service["config"]["name"] for service in answer["services"]]


def test_a_new_project_has_the_default_apis_only(fresh: RunningEmulator) -> None:
    assert _enabled(fresh.session()) == read_yaml("engine/projects.yaml")["enabled"]


def test_apis_are_enabled_in_a_batch_by_an_operation(fresh: RunningEmulator) -> None:
    session = fresh.session()
    number = fresh.call(fresh.context.projects.number, "fresh-project")
    body = {"serviceIds": ["run.googleapis.com", "iam.googleapis.com"]}
    started = session.post(f"{BASE}/projects/fresh-project/services:batchEnable", json=body).json()
    assert not started.get("done")
    finished = _finish(session, started)
    assert [(s["name"], s["state"]) for s in finished["response"]["services"]] == [
        (f"projects/{number}/services/run.googleapis.com", "ENABLED"),
        (f"projects/{number}/services/iam.googleapis.com", "ENABLED"),
    ]
    assert {"run.googleapis.com", "artifactregistry.googleapis.com", "iamcredentials.googleapis.com"} <= set(
        _enabled(session)
    )
    again = session.post(f"{BASE}/projects/fresh-project/services:batchEnable", json=body).json()
    assert (again["name"], again["done"]) == ("operations/noop.DONE_OPERATION", True)


def test_a_disabled_api_refuses_calls_in_google_s_words(fresh: RunningEmulator) -> None:
    session = fresh.session()
    number = fresh.call(fresh.context.projects.number, "fresh-project")
    answer = session.get("https://secretmanager.googleapis.com/v1/projects/fresh-project/secrets")
    error = answer.json()["error"]
    assert answer.status_code == 403
    assert error["message"].startswith(
        f"Secret Manager API has not been used in project {number} before or it is disabled. Enable it by visiting "
        f"https://console.developers.google.com/apis/api/secretmanager.googleapis.com/overview?project={number} then retry."
    )
    assert error["details"][0]["reason"] == "SERVICE_DISABLED"
    service = f"{BASE}/projects/fresh-project/services/secretmanager.googleapis.com"
    assert session.get(service).json()["state"] == "DISABLED"
    _finish(session, session.post(f"{service}:enable", json={}).json())
    assert session.get(service).json()["state"] == "ENABLED"
    assert (
        session.get("https://secretmanager.googleapis.com/v1/projects/fresh-project/secrets").status_code
        == 200
    )


def test_disabling_asks_about_dependents(emulator: RunningEmulator) -> None:
    session = emulator.session()
    service = f"{BASE}/projects/{emulator.project}/services/iamcredentials.googleapis.com"
    refused = session.post(f"{service}:disable", json={})
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "The service iamcredentials.googleapis.com is depended on by the following active service(s): "
        "iam.googleapis.com; Please specify disable_dependent_services=true if you want to proceed with disabling "
        "all services.",
    )
    _finish(session, session.post(f"{service}:disable", json={"disableDependentServices": True}).json())
    names = [f"projects/{emulator.project}/services/{n}.googleapis.com" for n in ("iam", "iamcredentials")]
    answer = session.get(
        f"{BASE}/projects/{emulator.project}/services:batchGet", params=[("names", n) for n in names]
    )
    assert [s["state"] for s in answer.json()["services"]] == ["DISABLED", "DISABLED"]


def test_unknown_services_and_long_batches_are_refused(emulator: RunningEmulator) -> None:
    session = emulator.session()
    url = f"{BASE}/projects/{emulator.project}/services:batchEnable"
    unknown = session.post(url, json={"serviceIds": ["run.googleapis.com", "rum.googleapis.com"]})
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (
        403,
        "Not found or permission denied for service(s): rum.googleapis.com.",
    )
    long = session.post(url, json={"serviceIds": ["run.googleapis.com"] * 21})
    assert (long.status_code, long.json()["error"]["message"]) == (
        400,
        "Number of services must not exceed the maximum batch size (20).",
    )
    assert session.post(url, json={}).status_code == 400


def test_enabling_needs_its_permission(emulator: RunningEmulator) -> None:
    viewer = "user:viewer@example.com"
    emulator.grant(f"projects/{emulator.project}", "roles/serviceusage.serviceUsageViewer", viewer)
    session = emulator.session(viewer)
    service = f"{BASE}/projects/{emulator.project}/services/run.googleapis.com"
    assert session.get(service).status_code == 200
    assert session.post(f"{service}:enable", json={}).status_code == 403


def test_lists_come_in_pages(emulator: RunningEmulator) -> None:
    session = emulator.session()
    url, seen, token = f"{BASE}/projects/{emulator.project}/services", [], ""
    while True:
        page = session.get(url, params={"pageSize": "7", "pageToken": token}).json()
        seen += [service["config"]["name"] for service in page["services"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert seen == sorted(read_yaml("services/serviceusage/facts.yaml")["services"])
    assert session.get(url, params={"filter": "name:run"}).status_code == 400


def test_every_emulated_api_can_be_enabled(emulator: RunningEmulator) -> None:
    known = set(read_yaml("services/serviceusage/facts.yaml")["services"])
    enabled = emulator.call(emulator.context.projects.enabled, emulator.project)
    assert set(enabled) - known == {"www.googleapis.com"}  # OAuth's document, which needs no enabling


BETA = "https://serviceusage.googleapis.com/v1beta1/projects/test-project/services"


@pytest.mark.parametrize(
    ("service", "agent"),
    [
        ("pubsub", "service-{}@gcp-sa-pubsub.iam.gserviceaccount.com"),
        ("run", "service-{}@serverless-robot-prod.iam.gserviceaccount.com"),
        ("bigquery", "bq-{}@bigquery-encryption.iam.gserviceaccount.com"),
        ("compute", None),
    ],
)
def test_the_agent_of_a_service_is_told(emulator: RunningEmulator, service: str, agent: str | None) -> None:
    url = f"{BETA}/{service}.googleapis.com:generateServiceIdentity"
    first = emulator.session().post(url).json()
    assert (first["done"], first["response"].get("email")) == (True, agent and agent.format(emulator.number))
    assert emulator.session().post(url).json() == first
    assert first["response"]["@type"].endswith("/google.api.serviceusage.v1beta1.ServiceIdentity")


def test_no_agent_is_told_of_a_service_that_is_none(emulator: RunningEmulator) -> None:
    answer = emulator.session().post(f"{BETA}/none.googleapis.com:generateServiceIdentity")
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        403,
        "Not found or permission denied for service(s): none.googleapis.com.",
    )
