"""Notifications of buckets: kept and shown, of topics where the project's agent may publish."""

from __future__ import annotations

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

API = "https://storage.googleapis.com/storage/v1"
CONFIGS = f"{API}/b/noisy-bucket/notificationConfigs"
TOPIC = f"projects/{PROJECT}/topics/changes"
PUBSUB = f"https://pubsub.googleapis.com/v1/{TOPIC}"


@pytest.fixture
def owner(emulator: RunningEmulator) -> requests.Session:
    """The owner of a bucket, and of a topic to which nobody may publish yet."""
    session = emulator.session()
    assert session.post(f"{API}/b?project={PROJECT}", json={"name": "noisy-bucket"}).status_code == 200
    assert session.put(PUBSUB, json={}).status_code == 200
    return session


def agent(emulator: RunningEmulator) -> str:
    return f"service-{emulator.number}@gs-project-accounts.iam.gserviceaccount.com"


def grant(emulator: RunningEmulator, owner: requests.Session) -> None:
    bindings = [{"role": "roles/pubsub.publisher", "members": [f"serviceAccount:{agent(emulator)}"]}]
    answer = owner.post(f"{PUBSUB}:setIamPolicy", json={"policy": {"bindings": bindings}})
    assert answer.status_code == 200, answer.text


def test_the_life_of_a_notification(emulator: RunningEmulator, owner: requests.Session) -> None:
    grant(emulator, owner)
    assert owner.get(CONFIGS).json() == {"kind": "storage#notifications"}
    body = {
        "payload_format": "JSON_API_V1",
        "topic": TOPIC,
        "event_types": ["OBJECT_FINALIZE"],
        "object_name_prefix": "media/",
        "custom_attributes": {"site": "one"},
    }
    made = owner.post(CONFIGS, json=body).json()
    assert made.pop("etag")
    assert made == body | {
        "kind": "storage#notification",
        "id": "1",
        "selfLink": "https://www.googleapis.com/storage/v1/b/noisy-bucket/notificationConfigs/1",
        "topic": f"//pubsub.googleapis.com/{TOPIC}",
    }
    again = owner.post(CONFIGS, json={"payload_format": "NONE", "topic": f"//pubsub.googleapis.com/{TOPIC}"})
    assert again.json()["id"] == "2"
    assert [one["id"] for one in owner.get(CONFIGS).json()["items"]] == ["1", "2"]
    assert owner.delete(f"{CONFIGS}/1").status_code == 204
    assert owner.get(f"{CONFIGS}/1").status_code == 404
    assert owner.delete(f"{API}/b/noisy-bucket").status_code == 204
    assert owner.get(CONFIGS).status_code == 404


def test_the_agent_of_the_project_has_to_publish(emulator: RunningEmulator, owner: requests.Session) -> None:
    refused = owner.post(CONFIGS, json={"payload_format": "NONE", "topic": TOPIC})
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == (
        f"The service account '{agent(emulator)}' does not have permission to publish messages to to the Cloud Pub/Sub topic "
        f"'//pubsub.googleapis.com/{TOPIC}', or that topic does not exist."
    )
    absent = owner.post(CONFIGS, json={"payload_format": "NONE", "topic": f"{TOPIC}-none"})
    assert absent.status_code == 400
    assert absent.json()["error"]["message"].startswith("Cloud Pub/Sub topic '//pubsub.googleapis.com/")


@pytest.mark.parametrize(
    "change", [{"payload_format": "XML"}, {"event_types": ["OBJECT_READ"]}, {"topic": "changes"}]
)
def test_what_cannot_be_is_refused(
    emulator: RunningEmulator, owner: requests.Session, change: dict[str, object]
) -> None:
    grant(emulator, owner)
    body = {"payload_format": "NONE", "topic": TOPIC} | change
    assert owner.post(CONFIGS, json=body).status_code == 400


def test_a_stranger_sees_none(emulator: RunningEmulator, owner: requests.Session) -> None:
    stranger = emulator.session("user:stranger@example.com")
    assert stranger.get(CONFIGS).status_code == 403
    assert stranger.post(CONFIGS, json={"payload_format": "NONE", "topic": TOPIC}).status_code == 403
