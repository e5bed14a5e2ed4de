"""The views of the state page: from the store to plain data, without a server."""

from __future__ import annotations

import base64
import datetime
import json

import pytest
from gcp_emulator.console import pages
from gcp_emulator.console.views import access, activity, common, data, run
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.store import Store

SERVICE = "projects/p/locations/us-central1/services/shop"
CONTAINER = {
    "image": "us-central1-docker.pkg.dev/p/r/shop@sha256:" + "ab" * 32,
    "env": [
        {"name": "DEBUG", "value": "plain-value"},
        {"name": "SECRET_KEY", "valueSource": {"secretKeyRef": {"secret": "shop-key", "version": "3"}}},
    ],
    "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
}


@pytest.fixture
def store() -> Store:
    return Store(None)


def ready(state: str) -> Json:
    return {"type": "Ready", "state": f"CONDITION_{state}"}


def deploy(store: Store) -> None:
    """A service with two revisions; the newer one has a tag and no traffic."""
    for number, state in (("1", "SUCCEEDED"), ("2", "FAILED")):
        status = {"createTime": f"2026-01-0{number}T00:00:00.000000Z", "conditions": [ready(state)]}
        store.collection("run.revisions").put(
            f"{SERVICE}/revisions/shop-{number}", {"spec": {"containers": [CONTAINER]}, "status": status}
        )
    traffic = [{"percent": 100}, {"revision": "shop-2", "tag": "candidate"}]
    status = {
        "terminalCondition": ready("SUCCEEDED"),
        "latestReadyRevision": f"{SERVICE}/revisions/shop-1",
        "trafficStatuses": traffic,
    }
    store.collection("run.services").put(SERVICE, {"spec": {"invokerIamDisabled": True}, "status": status})


def test_a_service_shows_its_traffic_and_its_address_for_a_browser(store: Store) -> None:
    deploy(store)
    (service,) = run.services(store, "p", "123", 8910)
    assert service["address"] == "http://shop-123.us-central1.run.app.localhost:8910/"
    assert service["state"] == {"text": "ready", "tone": "good"}
    assert service["public"] is True
    assert [(one["revision"], one["percent"], one["tag"]) for one in service["traffic"]] == [
        ("shop-1", 100, ""),
        ("shop-2", 0, "candidate"),
    ]
    assert service["traffic"][1]["address"].startswith("http://candidate---shop-123.")


def test_revisions_are_newest_first_with_their_share_of_the_traffic(store: Store) -> None:
    deploy(store)
    (service,) = run.services(store, "p", "123", 8910)
    shown = [(one["name"], one["percent"], one["state"]["text"]) for one in service["revisions"]]
    assert shown == [("shop-2", 0, "failed"), ("shop-1", 100, "ready")]


def test_variables_show_names_and_secrets_and_no_values(store: Store) -> None:
    deploy(store)
    (service,) = run.services(store, "p", "123", 8910)
    assert service["revisions"][0]["variables"] == [
        {"name": "DEBUG", "secret": ""},
        {"name": "SECRET_KEY", "secret": "shop-key version 3"},
    ]
    assert "plain-value" not in json.dumps(service)


def test_another_projects_services_are_not_shown(store: Store) -> None:
    deploy(store)
    assert run.services(store, "other", "123", 8910) == []


def test_secrets_come_without_what_they_hold(store: Store) -> None:
    put_secret(store, "key", b"s3cr3t-value")
    (secret,) = data.secrets(store, "p")
    assert secret["name"] == "key"
    assert [version["number"] for version in secret["versions"]] == ["10", "9"]
    assert base64.b64encode(b"s3cr3t-value").decode() not in json.dumps(secret)


def put_secret(store: Store, name: str, value: bytes) -> None:
    """A secret with the versions 9 and 10, which both hold ``value``."""
    full = f"projects/p/secrets/{name}"
    store.collection("secretmanager.secrets").put(full, {"createTime": "2026-01-01T00:00:00Z"})
    for number in ("9", "10"):
        record = {
            "state": "ENABLED",
            "createTime": "2026-01-01T00:00:00Z",
            "data": base64.b64encode(value).decode(),
        }
        store.collection("secretmanager.versions").put(f"{full}/versions/{number}", record)


def entry(**fields: object) -> Json:
    resource = {"type": "cloud_run_revision", "labels": {"service_name": "shop"}}
    return {"timestamp": "2026-01-01T00:00:00Z", "severity": "ERROR", "resource": resource, **fields}


@pytest.mark.parametrize("value", [b"hunter2-hunter2", b'qu"ote\nd-value'])
def test_a_secret_that_a_program_prints_is_hidden(store: Store, value: bytes) -> None:
    put_secret(store, "key", value)
    entries = [
        entry(textPayload=f"password is {value.decode()}!"),
        entry(jsonPayload={"message": "m", "password": value.decode()}),
    ]
    rows = activity.log_entries(store, enumerate(entries))
    assert rows[1]["text"] == "password is [secret]!"
    assert rows[0]["rest"] == '{"password": "[secret]"}'


def test_a_row_of_the_log_says_where_it_comes_from(store: Store) -> None:
    (row,) = activity.log_entries(store, [(7, entry(textPayload="boom"))])
    assert (row["number"], row["source"], row["kind"], row["severity"], row["tone"]) == (
        7,
        "shop",
        "cloud run revision",
        "error",
        "bad",
    )


def operation(store: Store, name: str, begun: str, ended: str | None, **fields: object) -> None:
    full = f"projects/p/operations/{name}"
    times = {"method": "m", "begun": f"2026-01-01T00:{begun}.000000Z"}
    if ended:
        times["ended"] = f"2026-01-01T00:{ended}.000000Z"
    store.collection("operations.times").put(full, times)
    store.collection("operations").put(
        full, {"done": ended is not None, "metadata": {"name": f"a/{name}"}, **fields}
    )


def test_operations_are_bars_on_one_scale_and_a_pause_begins_another(store: Store) -> None:
    operation(store, "old", "00:00", "00:02")
    operation(store, "first", "10:00", "10:10")
    operation(store, "second", "10:05", "10:20", error={"message": "no"})
    latest, earlier = activity.operations(store, "p", "1", limit=10)
    assert latest["seconds"] == 20
    assert [(one["target"], one["x"], one["width"]) for one in latest["spans"]] == [
        ("first", 0, 500),
        ("second", 250, 750),
    ]
    assert latest["spans"][1]["state"] == {"text": "failed", "tone": "bad"}
    assert latest["spans"][1]["message"] == "no"
    assert [one["target"] for one in earlier["spans"]] == ["old"]


def test_an_operation_that_goes_on_reaches_to_the_end(store: Store) -> None:
    operation(store, "slow", "00:00", None)
    (stretch,) = activity.operations(store, "p", "1", limit=10)
    (span,) = stretch["spans"]
    assert span["state"] == {"text": "running", "tone": "busy"}
    assert (span["x"], span["width"]) == (0, activity.WIDTH)


def test_an_operation_of_another_project_is_not_shown(store: Store) -> None:
    operation(store, "first", "00:00", "00:02")
    assert activity.operations(store, "other", "2", limit=10) == []


def test_grants_go_by_resource_with_the_project_first(store: Store) -> None:
    policies = store.collection("iam.policies")
    store.collection("storage.buckets").put("mine", {"project": "p"})
    store.collection("storage.buckets").put("theirs", {"project": "other"})
    account = "web@p.iam.gserviceaccount.com"
    store.collection("iam.serviceAccounts").put(account, {"projectId": "p"})
    binding = {"role": "roles/viewer", "members": [f"serviceAccount:{account}"]}
    for name in (
        "projects/p",
        "projects/p/secrets/key",
        "projects/_/buckets/mine",
        "projects/_/buckets/theirs",
    ):
        policies.put(name, {"bindings": [binding]})
    shown = [(one["kind"], one["name"]) for one in access.bindings(store, "p")]
    assert shown == [("project", "p"), ("bucket", "mine"), ("secret", "key")]
    assert [(one["email"], one["grants"]) for one in access.accounts(store, "p")] == [(account, 3)]


def test_the_newest_objects_are_shown_up_to_the_limit(store: Store) -> None:
    store.collection("storage.buckets").put("b", {"project": "p"})
    for number in range(5):
        body = {
            "name": f"o{number}",
            "size": "1024",
            "updated": f"2026-01-0{number + 1}T00:00:00Z",
            "generation": 1,
        }
        store.collection("storage.objects").put(f"b/o{number}", body)
    found = data.objects(store, "p", "b", "", limit=2)
    assert found is not None
    assert (found["count"], [one["name"] for one in found["objects"]]) == (5, ["o4", "o3"])
    assert data.objects(store, "other", "b", "", limit=2) is None
    (bucket,) = data.buckets(store, "p")
    assert (bucket["objects"], bucket["bytes"]) == (5, 5120)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.04, "40 ms"), (1.25, "1.2 s"), (75.4, "1 min 15 s")]
)
def test_durations_read_like_speech(seconds: float | None, text: str) -> None:
    assert pages.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (51554, "50.3 KiB"), (3 * 2**40, "3072.0 GiB")]
)
def test_sizes_have_units(count: int, text: str) -> None:
    assert pages.size(count) == text


def test_a_moment_of_another_day_says_its_day() -> None:
    now = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert pages.moment("2026-01-02T03:04:05.6Z", now) == "03:04:05"
    assert pages.moment("2026-01-01T03:04:05.6Z", now) == "1 Jan 2026 03:04:05"


def test_a_link_escapes_what_a_name_may_hold() -> None:
    assert pages.link('/storage/a"b/../c', project="p&q") == "/storage/a%22b/../c?project=p%26q"
    assert pages.link("/run", project="") == "/run"


def test_a_dotted_name_breaks_behind_its_dots_and_is_escaped() -> None:
    assert pages.breakable("run.<b>.get") == "run.<wbr>&lt;b&gt;.<wbr>get"


def test_an_image_is_named_by_the_beginning_of_its_digest() -> None:
    assert common.short_digest(CONTAINER["image"]) == "shop@sha256:abababababab"
