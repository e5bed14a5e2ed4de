"""The log of requests: which methods were called, by whom, in which order, with which end."""

from __future__ import annotations

from typing import Any

from gcp_emulator.engine.requests import RequestLog
from gcp_emulator.front.messages import Headers, Request

from emulator.tests.running import PROJECT, RunningEmulator

SECRETS = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"


def _seen(emulator: RunningEmulator, after: int = 0) -> list[dict[str, Any]]:
    session = emulator.session(None)
    found: list[dict[str, Any]] = session.get(f"{emulator.proxy}/_emulator/requests?after={after}").json()[
        "requests"
    ]
    return found


def test_it_tells_method_caller_and_end_in_order(emulator: RunningEmulator) -> None:
    session = emulator.session()
    session.post(f"{SECRETS}?secretId=x", json={"replication": {"automatic": {}}})
    session.get(f"{SECRETS}/y")
    emulator.session(None).get(SECRETS)
    keys = ("number", "method", "http", "caller", "status")
    assert [tuple(entry[key] for key in keys) for entry in _seen(emulator)] == [
        (1, "secretmanager.projects.secrets.create", "POST", emulator.owner, 200),
        (2, "secretmanager.projects.secrets.get", "GET", emulator.owner, 404),
        (3, "secretmanager.projects.secrets.list", "GET", "", 401),
    ]
    (last,) = _seen(emulator, after=2)
    assert (last["host"], last["path"], last["params"]) == (
        "secretmanager.googleapis.com",
        f"/v1/projects/{PROJECT}/secrets",
        {"parent": f"projects/{PROJECT}"},
    )
    assert last["milliseconds"] > 0


def test_uploads_and_tokens_have_names_and_no_secret_is_kept(emulator: RunningEmulator) -> None:
    session = emulator.session()
    session.post(f"https://storage.googleapis.com/storage/v1/b?project={PROJECT}", json={"name": "bucket-x"})
    session.post(
        "https://storage.googleapis.com/upload/storage/v1/b/bucket-x/o?uploadType=media&name=o", data=b"1"
    )
    session.get("https://storage.googleapis.com/bucket-x/o")
    session.post(
        "https://oauth2.googleapis.com/token",
        data={"grant_type": "refresh_token", "refresh_token": "r3fresh"},
    )
    seen = _seen(emulator)
    assert [(entry["method"], entry["status"]) for entry in seen] == [
        ("storage.buckets.insert", 200),
        ("storage.objects.insert", 200),
        ("storage.objects.get", 200),
        ("oauth2.token", 400),
    ]
    assert "r3fresh" not in str(seen)


def test_what_nothing_answers_is_there_too(emulator: RunningEmulator) -> None:
    emulator.session().get("https://datastore.googleapis.com/v1/projects/p")
    assert [(entry["method"], entry["host"], entry["status"]) for entry in _seen(emulator)] == [
        ("", "datastore.googleapis.com", 404)
    ]
    emulator.expect_unhandled("GET https://datastore.googleapis.com/v1/projects/p")


def test_a_number_is_asked_for_by_a_number(emulator: RunningEmulator) -> None:
    answer = emulator.session(None).get(f"{emulator.proxy}/_emulator/requests?after=x")
    assert (answer.status_code, answer.text) == (400, "after is the number of a request\n")


def test_only_the_newest_are_kept() -> None:
    log = RequestLog(kept=3)
    for number in range(5):
        log.open(Request("GET", "https", "host", f"/{number}", "", Headers()))
    assert [entry.path for entry in log.after()] == ["/2", "/3", "/4"]
    assert [entry.number for entry in log.after(4)] == [5]
