"""Secret Manager over HTTP, as any client meets it."""

from __future__ import annotations

import base64
import time

import google_crc32c
import pytest
import requests
from gcp_emulator.engine import clock

from emulator.tests.running import RunningEmulator

BASE = "https://secretmanager.googleapis.com/v1"


def _create(emulator: RunningEmulator, name: str = "one") -> None:
    answer = emulator.session().post(
        f"{BASE}/projects/{emulator.project}/secrets?secretId={name}", json={"replication": {"automatic": {}}}
    )
    assert answer.status_code == 200, answer.text


def _add(emulator: RunningEmulator, payload: bytes, name: str = "one") -> dict[str, str]:
    data = base64.b64encode(payload).decode()
    answer = emulator.session().post(
        f"{BASE}/projects/{emulator.project}/secrets/{name}:addVersion", json={"payload": {"data": data}}
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_secret_version_gives_its_payload_back(emulator: RunningEmulator) -> None:
    _create(emulator)
    _add(emulator, b"first")
    added = _add(emulator, b"second")
    assert added["name"] == f"projects/{emulator.number}/secrets/one/versions/2"
    accessed = (
        emulator.session()
        .get(f"{BASE}/projects/{emulator.project}/secrets/one/versions/latest:access")
        .json()
    )
    assert accessed["name"] == f"projects/{emulator.number}/secrets/one/versions/2"
    assert base64.b64decode(accessed["payload"]["data"]) == b"second"
    assert accessed["payload"]["dataCrc32c"] == str(google_crc32c.value(b"second"))


def test_an_unknown_secret_is_404_in_google_s_words(emulator: RunningEmulator) -> None:
    answer = emulator.session().get(f"{BASE}/projects/{emulator.project}/secrets/none")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "code": 404,
        "message": f"Secret [projects/{emulator.number}/secrets/none] not found.",
        "status": "NOT_FOUND",
    }


def test_a_reader_of_one_secret_cannot_read_another(emulator: RunningEmulator) -> None:
    for name in ("one", "two"):
        _create(emulator, name)
        _add(emulator, b"x", name)
    reader = "user:reader@example.com"
    emulator.grant(f"projects/{emulator.project}/secrets/one", "roles/secretmanager.secretAccessor", reader)
    session = emulator.session(reader)
    codes = [
        session.get(f"{BASE}/projects/{emulator.project}/secrets/{name}/versions/1:access").status_code
        for name in ("one", "two")
    ]
    assert codes == [200, 403]


def test_a_payload_that_was_damaged_on_its_way_is_refused(emulator: RunningEmulator) -> None:
    _create(emulator)
    url = f"{BASE}/projects/{emulator.project}/secrets/one:addVersion"
    payload = {"data": base64.b64encode(b"123456789").decode(), "dataCrc32c": str(0xE3069283)}
    added = emulator.session().post(url, json={"payload": payload}).json()
    assert added["clientSpecifiedPayloadChecksum"] is True
    refused = emulator.session().post(url, json={"payload": payload | {"dataCrc32c": "1"}})
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "The secret payload does not match its checksum.",
    )


@pytest.mark.parametrize("verb", ["disable", "destroy"])
def test_a_version_that_is_not_enabled_cannot_be_accessed(emulator: RunningEmulator, verb: str) -> None:
    _create(emulator)
    _add(emulator, b"x")
    version = f"{BASE}/projects/{emulator.project}/secrets/one/versions/1"
    assert emulator.session().post(f"{version}:{verb}", json={}).status_code == 200
    answer = emulator.session().get(f"{version}:access")
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")


def test_secrets_survive_a_restart(emulator: RunningEmulator) -> None:
    _create(emulator)
    _add(emulator, b"kept")
    emulator.stop()
    again = RunningEmulator(emulator.emulator.settings.state)
    try:
        path = f"{BASE}/projects/{emulator.project}/secrets/one/versions/1:access"
        assert base64.b64decode(again.session().get(path).json()["payload"]["data"]) == b"kept"
    finally:
        again.stop()


TOPICS = [{"name": "projects/test-project/topics/t"}]


def _make(emulator: RunningEmulator, name: str, **fields: object) -> requests.Response:
    body = {"replication": {"automatic": {}}, **fields}
    return emulator.session().post(f"{BASE}/projects/{emulator.project}/secrets?secretId={name}", json=body)


def test_how_long_a_secret_lives_is_told_as_its_end(emulator: RunningEmulator) -> None:
    made = _make(emulator, "brief", ttl="86400s", labels={"a": "b"}, annotations={"c": "d"}).json()
    assert ("ttl" in made, made["labels"], made["annotations"]) == (False, {"a": "b"}, {"c": "d"})
    lived = clock.parse_timestamp(made["expireTime"]) - clock.parse_timestamp(made["createTime"])
    assert abs(lived.total_seconds() - 86400) < 60
    url = f"{BASE}/projects/{emulator.project}/secrets/brief"
    longer = emulator.session().patch(f"{url}?updateMask=ttl", json={"ttl": "172800s"}).json()
    assert longer["expireTime"] > made["expireTime"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"topics": TOPICS, "rotation": {"rotationPeriod": "3600s"}},
            "Next rotation time must be set while the rotation period is set.",
        ),
        (
            {"rotation": {"nextRotationTime": "2030-01-01T00:00:00Z"}},
            "There must be at least one topic configured when a Rotation policy is set.",
        ),
    ],
)
def test_a_rotation_needs_a_time_and_topics(
    emulator: RunningEmulator, fields: dict[str, object], message: str
) -> None:
    refused = _make(emulator, "turning", **fields)
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, message)


def test_labels_that_google_does_not_take_are_refused(emulator: RunningEmulator) -> None:
    refused = _make(emulator, "labelled", labels={"owner": "web@example.com"})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(
        'Invalid field "labels.owner"; value "web@example.com" does not'
    )
    _create(emulator)
    address = f"{BASE}/projects/{emulator.project}/secrets/one?updateMask=labels"
    changed = emulator.session().patch(address, json={"labels": {"Owner": "web"}})
    assert changed.status_code == 400
    assert changed.json()["error"]["message"].startswith('Invalid field "labels"; key "Owner" does not')


def test_an_alias_is_of_a_version_that_is_there(emulator: RunningEmulator) -> None:
    assert _make(emulator, "early", versionAliases={"prod": "1"}).status_code == 400
    _create(emulator)
    _add(emulator, b"first")
    url = f"{BASE}/projects/{emulator.project}/secrets/one"
    session = emulator.session()
    refused = session.patch(f"{url}?updateMask=versionAliases", json={"versionAliases": {"prod": "2"}})
    assert refused.json()["error"]["message"] == "Aliases cannot be assigned to versions that don't exist"
    named = session.patch(f"{url}?updateMask=versionAliases", json={"versionAliases": {"prod": "1"}})
    assert named.json()["versionAliases"] == {"prod": "1"}
    assert session.get(f"{url}/versions/prod").json()["name"].endswith("/versions/1")


def test_a_version_may_be_destroyed_later(emulator: RunningEmulator) -> None:
    assert _make(emulator, "one", versionDestroyTtl="86400s").status_code == 200
    _add(emulator, b"first")
    session = emulator.session()
    version = f"{BASE}/projects/{emulator.project}/secrets/one/versions/1"
    waiting = session.post(f"{version}:destroy", json={}).json()
    assert (waiting["state"], "destroyTime" in waiting) == ("DISABLED", False)
    due = clock.parse_timestamp(waiting["scheduledDestroyTime"])
    assert emulator.call(emulator.context.timers.due, "secretmanager.destroy", _name(emulator)) == due
    saved = session.post(f"{version}:enable", json={}).json()
    assert (saved["state"], "scheduledDestroyTime" in saved) == ("ENABLED", False)
    assert emulator.call(emulator.context.timers.due, "secretmanager.destroy", _name(emulator)) is None


def test_a_version_that_was_to_be_destroyed_is_when_its_time_has_come(emulator: RunningEmulator) -> None:
    assert _make(emulator, "one", versionDestroyTtl="0.05s").status_code == 200
    _add(emulator, b"first")
    session = emulator.session()
    version = f"{BASE}/projects/{emulator.project}/secrets/one/versions/1"
    assert session.post(f"{version}:destroy", json={}).json()["state"] == "DISABLED"
    deadline = time.monotonic() + 10
    while (found := session.get(version).json())["state"] != "DESTROYED":
        assert time.monotonic() < deadline
    assert ("destroyTime" in found, "scheduledDestroyTime" in found) == (True, False)


def _name(emulator: RunningEmulator) -> str:
    return f"projects/{emulator.project}/secrets/one/versions/1"
