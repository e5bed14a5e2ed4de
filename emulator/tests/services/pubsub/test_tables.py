"""Topics, subscriptions and snapshots: stored, and nothing said of messages."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import requests
from gcp_emulator.engine.operations import Profile

from emulator.tests.running import PROJECT, RunningEmulator

BASE = f"https://pubsub.googleapis.com/v1/projects/{PROJECT}"
TOPIC = f"projects/{PROJECT}/topics/orders"
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/worker"


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    session = emulator.session()
    ok(session.put(f"{BASE}/topics/orders", json={}))
    return session


def ok(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def message(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


def test_the_life_of_a_topic(session: requests.Session) -> None:
    assert ok(session.get(f"{BASE}/topics/orders")) == {"name": TOPIC}
    taken = session.put(f"{BASE}/topics/orders", json={})
    assert message(taken, 409) == "Resource already exists in the project (resource=orders)."
    changed = ok(
        session.patch(f"{BASE}/topics/orders", json={"topic": {"labels": {"a": "b"}}, "updateMask": "labels"})
    )
    assert changed["labels"] == {"a": "b"}
    assert ok(session.get(f"{BASE}/topics")) == {"topics": [changed]}
    ok(session.delete(f"{BASE}/topics/orders"))
    assert message(session.get(f"{BASE}/topics/orders"), 404) == "Resource not found (resource=orders)."


def test_names_that_cannot_be_are_refused(session: requests.Session) -> None:
    for name in ("ab", "goog-mine", "1st"):
        refused = session.put(f"{BASE}/topics/{name}", json={})
        assert message(refused, 400) == f"Invalid [topics] name: (name=projects/{PROJECT}/topics/{name})"


@pytest.mark.parametrize("address", ["topics/labelled", "subscriptions/labelled", "snapshots/labelled"])
def test_labels_that_google_does_not_take_are_refused(session: requests.Session, address: str) -> None:
    body = {"labels": {"Team": "web"}, "topic": TOPIC, "subscription": SUBSCRIPTION}
    wanted = {
        "topics": ("labels",),
        "subscriptions": ("labels", "topic"),
        "snapshots": ("labels", "subscription"),
    }
    fields = {key: body[key] for key in wanted[address.partition("/")[0]]}
    ok(session.put(f"{BASE}/subscriptions/worker", json={"topic": TOPIC}))
    refused = message(session.put(f"{BASE}/{address}", json=fields), 400)
    assert refused.startswith(
        'You have passed an invalid argument to the service (argument=Invalid labels: Invalid field "labels"; key "Team" does not conform'
    )


def test_the_life_of_a_subscription(session: requests.Session) -> None:
    made = ok(
        session.put(f"{BASE}/subscriptions/worker", json={"topic": TOPIC, "enableMessageOrdering": True})
    )
    assert made == {
        "name": SUBSCRIPTION,
        "topic": TOPIC,
        "ackDeadlineSeconds": 10,
        "enableMessageOrdering": True,
        "expirationPolicy": {"ttl": "2678400s"},
        "messageRetentionDuration": "604800s",
        "pushConfig": {},
        "state": "ACTIVE",
    }
    change = {"subscription": {"ackDeadlineSeconds": 60}, "updateMask": "ackDeadlineSeconds"}
    assert ok(session.patch(f"{BASE}/subscriptions/worker", json=change))["ackDeadlineSeconds"] == 60
    change = {"subscription": {"topic": f"{TOPIC}2"}, "updateMask": "topic"}
    refused = session.patch(f"{BASE}/subscriptions/worker", json=change)
    assert message(refused, 400) == "The field 'topic' cannot be changed."
    assert ok(session.get(f"{BASE}/topics/orders/subscriptions")) == {"subscriptions": [SUBSCRIPTION]}
    ok(session.delete(f"{BASE}/topics/orders"))
    assert ok(session.get(f"{BASE}/subscriptions/worker"))["topic"] == "_deleted-topic_"


def test_a_topic_that_takes_something_in_has_a_state(session: requests.Session) -> None:
    files = {"cloudStorage": {"bucket": "uploads", "textFormat": {}}}
    made = ok(session.put(f"{BASE}/topics/uploads", json={"ingestionDataSourceSettings": files}))
    assert made["state"] == "ACTIVE"


def test_what_is_written_to_cloud_storage_is_text_or_avro(session: requests.Session) -> None:
    files = {"bucket": "exports", "maxDuration": "120s", "avroConfig": {"writeMetadata": True}}
    body = {"topic": TOPIC, "ackDeadlineSeconds": 20, "cloudStorageConfig": files}
    made = ok(session.put(f"{BASE}/subscriptions/files", json=body))
    assert made["cloudStorageConfig"] == {**files, "state": "ACTIVE"}
    assert made["ackDeadlineSeconds"] == 120
    change = {"bucket": "exports", "avroConfig": {}}
    changed = ok(
        session.patch(
            f"{BASE}/subscriptions/files",
            json={"subscription": {"cloudStorageConfig": change}, "updateMask": "cloudStorageConfig"},
        )
    )
    assert changed["cloudStorageConfig"] == {"bucket": "exports", "textConfig": {}, "state": "ACTIVE"}


def test_a_subscription_that_fills_a_table_has_a_state_of_its_own(session: requests.Session) -> None:
    table = {"table": f"{PROJECT}.orders.all", "writeMetadata": True}
    made = ok(session.put(f"{BASE}/subscriptions/table", json={"topic": TOPIC, "bigqueryConfig": table}))
    assert made["bigqueryConfig"] == {**table, "state": "ACTIVE"}


def test_the_attributes_of_a_push_are_told_by_changes_only(session: requests.Session) -> None:
    push = {"pushEndpoint": "https://shop.example.com/orders"}
    body = {"topic": TOPIC, "pushConfig": push}
    address = f"{BASE}/subscriptions/push"
    versioned = {**push, "attributes": {"x-goog-version": "v1"}}
    assert ok(session.put(address, json=body))["pushConfig"] == versioned
    assert ok(session.get(address))["pushConfig"] == push
    attributes = {"x-goog-version": "v1beta1", "tenant": "shop"}
    change = {"subscription": {"pushConfig": {**push, "attributes": attributes}}, "updateMask": "pushConfig"}
    assert ok(session.patch(address, json=change))["pushConfig"] == {**push, "attributes": attributes}
    assert ok(session.get(f"{BASE}/subscriptions"))["subscriptions"][0]["pushConfig"] == push


def test_a_subscription_needs_its_topic_and_the_right_to_attach(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    missing = session.put(f"{BASE}/subscriptions/worker", json={"topic": f"{TOPIC}-none"})
    assert message(missing, 404) == "Resource not found (resource=orders-none)."
    emulator.grant(f"projects/{PROJECT}", "roles/pubsub.editor", "user:ann@example.com")
    ok(emulator.session("user:ann@example.com").put(f"{BASE}/subscriptions/mine", json={"topic": TOPIC}))
    emulator.grant(f"projects/{PROJECT}", "roles/pubsub.viewer", "user:eve@example.com")
    refused = emulator.session("user:eve@example.com").put(
        f"{BASE}/subscriptions/hers", json={"topic": TOPIC}
    )
    assert "Permission 'pubsub.subscriptions.create' denied" in message(refused, 403)


def test_a_snapshot_keeps_the_topic_of_its_subscription(session: requests.Session) -> None:
    ok(session.put(f"{BASE}/subscriptions/worker", json={"topic": TOPIC}))
    made = ok(
        session.put(f"{BASE}/snapshots/before", json={"subscription": SUBSCRIPTION, "labels": {"a": "b"}})
    )
    assert (made["topic"], made["labels"]) == (TOPIC, {"a": "b"})
    change = {"snapshot": {"labels": {}}, "updateMask": "labels"}
    assert ok(session.patch(f"{BASE}/snapshots/before", json=change))["expireTime"] == made["expireTime"]
    assert ok(session.get(f"{BASE}/topics/orders/snapshots")) == {"snapshots": [made["name"]]}
    ok(session.delete(f"{BASE}/snapshots/before"))
    assert ok(session.get(f"{BASE}/snapshots")) == {}


def test_a_topic_has_a_policy_that_lets_others_publish(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    policy = {"bindings": [{"role": "roles/pubsub.publisher", "members": ["user:ann@example.com"]}]}
    ok(session.post(f"{BASE}/topics/orders:setIamPolicy", json={"policy": policy}))
    wanted = {"permissions": ["pubsub.topics.publish", "pubsub.topics.delete"]}
    tested = emulator.session("user:ann@example.com").post(
        f"{BASE}/topics/orders:testIamPermissions", json=wanted
    )
    assert ok(tested) == {"permissions": ["pubsub.topics.publish"]}


def test_nothing_is_published(emulator: RunningEmulator, session: requests.Session) -> None:
    answer = session.post(f"{BASE}/topics/orders:publish", json={"messages": [{"data": "aGk="}]})
    assert "does not emulate pubsub.projects.topics.publish; nothing was done" in message(answer, 400)
    emulator.expect_unhandled("pubsub.projects.topics.publish")


def test_the_life_of_a_schema(session: requests.Session) -> None:
    url, name = f"{BASE}/schemas", f"projects/{PROJECT}/schemas/order"
    missing = session.get(f"{url}/order")
    assert message(missing, 404) == f"Resource not found (resource={name})."
    body = {"type": "AVRO", "definition": '{"type": "string"}'}
    made = ok(session.post(url, params={"schemaId": "order"}, json=body))
    assert (made["name"], made["type"], made["definition"]) == (name, "AVRO", body["definition"])
    assert made["revisionId"]
    assert made["revisionCreateTime"]
    assert ok(session.get(f"{url}/order")) == made
    (basic,) = ok(session.get(url))["schemas"]
    assert set(made) - set(basic) == {"definition"}
    settings = {"schemaSettings": {"schema": name, "encoding": "JSON"}}
    assert ok(session.put(f"{BASE}/topics/typed", json=settings))["schemaSettings"]["schema"] == name
    absent = {"schemaSettings": {"schema": f"{name}-none", "encoding": "JSON"}}
    assert session.put(f"{BASE}/topics/untyped", json=absent).status_code == 404
    ok(session.delete(f"{url}/order"))
    assert session.get(f"{url}/order").status_code == 404


def test_policies_of_subscriptions_are_made_whole(session: requests.Session) -> None:
    body = {
        "topic": TOPIC,
        "retryPolicy": {"minimumBackoff": "20s"},
        "deadLetterPolicy": {"deadLetterTopic": TOPIC},
    }
    made = ok(session.put(f"{BASE}/subscriptions/worker", json=body))
    assert made["retryPolicy"] == {"minimumBackoff": "20s", "maximumBackoff": "600s"}
    assert made["deadLetterPolicy"]["maxDeliveryAttempts"] == 5
    cleared = {"subscription": {"name": SUBSCRIPTION}, "updateMask": "ackDeadlineSeconds"}
    assert ok(session.patch(f"{BASE}/subscriptions/worker", json=cleared))["ackDeadlineSeconds"] == 10
    for wrong in ({"ackDeadlineSeconds": 601}, {"deadLetterPolicy": {"maxDeliveryAttempts": 4}}):
        refused = session.put(f"{BASE}/subscriptions/other", json={"topic": TOPIC, **wrong})
        assert refused.status_code == 400


def test_a_new_subscription_is_found_a_moment_later(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "state", Profile("realistic", 0.5))
    try:
        session = running.session()
        ok(session.put(f"{BASE}/topics/orders", json={}))
        url = f"{BASE}/subscriptions/worker"
        ok(session.put(url, json={"topic": TOPIC}))
        wait = running.context.operations.profile.drawn("pubsub.projects.subscriptions.create", SUBSCRIPTION)
        ends = time.monotonic() + wait
        statuses = [session.get(url).status_code]
        while statuses[-1] == 404:
            assert time.monotonic() < ends + 10
            statuses.append(session.get(url).status_code)
        assert (statuses[0], statuses[-1]) == (404, 200)
    finally:
        running.stop()
