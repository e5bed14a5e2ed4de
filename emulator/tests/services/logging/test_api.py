"""Cloud Logging over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.tests.running import RunningEmulator

BASE = "https://logging.googleapis.com/v2"
STDOUT = "run.googleapis.com/stdout"
RESOURCE = {"type": "cloud_run_job", "labels": {"job_name": "shop-migrate", "location": "europe-west1"}}


def _print(emulator: RunningEmulator, *lines: str) -> None:
    for line in lines:
        emulator.call(emulator.context.logs.write_line, emulator.project, STDOUT, RESOURCE, line)


def _list(emulator: RunningEmulator, **body: Any) -> dict[str, Any]:
    request = {"resourceNames": [f"projects/{emulator.project}"]} | body
    answer = emulator.session().post(f"{BASE}/entries:list", json=request)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _texts(listed: dict[str, Any]) -> list[str]:
    return [entry["textPayload"] for entry in listed.get("entries", [])]


def test_printed_lines_are_listed_oldest_first(emulator: RunningEmulator) -> None:
    _print(emulator, "one", "two", "three")
    listed = _list(emulator, filter='resource.type="cloud_run_job" resource.labels.job_name="shop-migrate"')
    assert _texts(listed) == ["one", "two", "three"]
    assert listed["entries"][0]["logName"] == f"projects/{emulator.project}/logs/run.googleapis.com%2Fstdout"
    assert _texts(_list(emulator, orderBy="timestamp desc")) == ["three", "two", "one"]
    assert _list(emulator, filter='resource.labels.job_name="other"') == {}


def test_a_json_line_becomes_a_structured_entry(emulator: RunningEmulator) -> None:
    _print(emulator, '{"severity": "ERROR", "message": "broken", "code": 7}', "plain")
    (entry,) = _list(emulator, filter="severity>=ERROR jsonPayload.code=7")["entries"]
    assert (entry["severity"], entry["jsonPayload"]) == ("ERROR", {"message": "broken", "code": 7})


@pytest.mark.parametrize("order", ["timestamp asc", "timestamp desc"])
def test_pages_hold_every_entry_once_even_when_more_are_written(
    emulator: RunningEmulator, order: str
) -> None:
    _print(emulator, *(str(number) for number in range(5)))
    first = _list(emulator, pageSize=2, orderBy=order)
    _print(emulator, "later")
    rest = _list(emulator, pageSize=10, orderBy=order, pageToken=first["nextPageToken"])
    seen = _texts(first) + _texts(rest)
    expected = ["0", "1", "2", "3", "4"]
    assert seen == ([*expected, "later"] if order == "timestamp asc" else expected[::-1])
    assert "nextPageToken" not in rest


@pytest.mark.parametrize("order", ["timestamp asc", "timestamp desc"])
def test_a_page_may_be_empty_and_not_the_last(emulator: RunningEmulator, order: str) -> None:
    _print(emulator, "one", "two")
    emulator.plan({"method": "logging.entries.list", "kind": "empty_page"})
    first = _list(emulator, orderBy=order)
    assert list(first) == ["nextPageToken"]
    rest = _list(emulator, orderBy=order, pageToken=first["nextPageToken"])
    assert sorted(_texts(rest)) == ["one", "two"]
    assert "nextPageToken" not in rest


def test_written_entries_are_listed(emulator: RunningEmulator) -> None:
    body = {
        "logName": f"projects/{emulator.number}/logs/releases",
        "resource": {"type": "global"},
        "labels": {"site": "shop"},
        "entries": [
            {"textPayload": "begun", "severity": "NOTICE", "timestamp": "2026-01-02T03:04:05Z"},
            {"jsonPayload": {"step": 2}, "labels": {"by": "ci"}},
        ],
    }
    session = emulator.session()
    assert session.post(f"{BASE}/entries:write", json=body | {"dryRun": True}).status_code == 200
    assert _list(emulator) == {}
    assert session.post(f"{BASE}/entries:write", json=body).status_code == 200
    begun, step = _list(emulator, filter='labels.site="shop"')["entries"]
    assert (begun["textPayload"], begun["severity"], begun["timestamp"]) == (
        "begun",
        "NOTICE",
        "2026-01-02T03:04:05.000000Z",
    )
    assert (step["jsonPayload"], step["labels"]) == ({"step": 2}, {"site": "shop", "by": "ci"})
    logs = session.get(f"{BASE}/projects/{emulator.project}/logs").json()
    assert logs == {"logNames": [f"projects/{emulator.project}/logs/releases"]}


def test_reading_and_writing_need_their_permissions(emulator: RunningEmulator) -> None:
    writer = "user:writer@example.com"
    emulator.grant(f"projects/{emulator.project}", "roles/logging.logWriter", writer)
    session = emulator.session(writer)
    body = {
        "logName": f"projects/{emulator.project}/logs/x",
        "resource": {"type": "global"},
        "entries": [{"textPayload": "a"}],
    }
    assert session.post(f"{BASE}/entries:write", json=body).status_code == 200
    refused = session.post(f"{BASE}/entries:list", json={"resourceNames": [f"projects/{emulator.project}"]})
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        403,
        f"Permission 'logging.logEntries.list' denied on resource 'projects/{emulator.project}' (or it may not exist).",
    )
    emulator.disable("logging.googleapis.com")
    off = emulator.session().post(
        f"{BASE}/entries:list", json={"resourceNames": [f"projects/{emulator.project}"]}
    )
    assert off.json()["error"]["details"][0]["reason"] == "SERVICE_DISABLED"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceNames": []}, 400),
        ({"resourceNames": ["folders/1"]}, 400),
        ({"resourceNames": ["projects/no-such-project"]}, 403),
        ({"orderBy": "severity"}, 400),
        ({"pageSize": 2000}, 400),
        ({"pageToken": "nonsense"}, 400),
        ({"filter": "severity>="}, 400),
        ({"filters": "x"}, 400),
    ],
)
def test_bad_requests_are_refused(emulator: RunningEmulator, body: dict[str, Any], status: int) -> None:
    request = {"resourceNames": [f"projects/{emulator.project}"]} | body
    assert emulator.session().post(f"{BASE}/entries:list", json=request).status_code == status
