"""Worker pools of Cloud Run on a running emulator, with real instances."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.run.support import PARENT, REPOSITORY, Client, add_image, add_repository, until

POOL = f"{PARENT}/workerPools/worker"
WORKER = """
    import os, signal, sys, time
    print("started", os.environ["CLOUD_RUN_WORKER_POOL"], os.environ["CLOUD_RUN_WORKER_POOL_REVISION"], os.environ.get("COLOUR"),
          os.environ.get("PORT"), flush=True)
    def end(*_):
        print("ended", flush=True)
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    if os.environ.get("LIFE"):
        time.sleep(float(os.environ["LIFE"]))
        sys.exit(4)
    while True:
        time.sleep(60)
"""


def worker(count: int | None = 1, colour: str = "blue", **changes: Any) -> dict[str, Any]:
    env = {"COLOUR": colour, **changes.pop("env", {})}
    container = {
        "image": f"{REPOSITORY}/worker",
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }
    scaling = {} if count is None else {"scaling": {"manualInstanceCount": count}}
    return {**scaling, "template": {"containers": [container], **changes}}


@pytest.fixture
def api(emulator: RunningEmulator) -> Client:
    client = Client(emulator)
    add_repository(client)
    add_image(client, "worker", WORKER)
    return client


def create(api: Client, body: Any, **params: Any) -> Any:
    return api.done(api.call("POST", f"{PARENT}/workerPools", body, workerPoolId="worker", **params))


def patch(api: Client, body: Any, mask: str) -> Any:
    return api.done(api.call("PATCH", POOL, body, updateMask=mask))


def lines(api: Client) -> list[str]:
    """What the instances have printed and Cloud Run has said of them, in order."""

    def read() -> list[str]:
        entries = [entry for _, entry in api.emulator.context.logs.entries(PROJECT)]
        return [
            str(entry["textPayload"])
            for entry in entries
            if entry["resource"]["type"] == "cloud_run_worker_pool"
        ]

    return api.emulator.call(read)


def count(api: Client, word: str) -> int:
    return sum(line.startswith(word) for line in lines(api))


def started(api: Client, number: int) -> None:
    """Waits until so many instances have said that they run."""
    until(lambda: count(api, "started") == number)


def test_its_instances_run_as_many_as_were_asked_and_are_told_who_they_are(api: Client) -> None:
    pool = create(api, worker(2))["response"]
    revision = pool["latestReadyRevision"]
    assert revision.startswith(f"{POOL}/revisions/worker-00001-")
    assert not {"uri", "urls", "trafficStatuses"} & set(pool)
    assert pool["scaling"] == {"manualInstanceCount": 2}
    latest = {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST", "percent": 100}
    assert pool["instanceSplits"] == pool["instanceSplitStatuses"] == [latest]
    assert [one["type"] for one in pool["conditions"]] == ["InstanceSplitsReady", "ConfigurationsReady"]
    started(api, 2)
    assert set(lines(api)) == {f"started worker {revision.rpartition('/')[2]} blue None"}
    [entry] = [one for _, one in api.emulator.call(lambda: api.emulator.context.logs.entries(PROJECT))][:1]
    assert entry["resource"]["labels"]["worker_pool_name"] == "worker"


def test_more_and_fewer_instances_are_no_new_revision(api: Client) -> None:
    first = create(api, worker(1))["response"]
    started(api, 1)
    more = patch(api, worker(3), "scaling")["response"]
    assert more["latestCreatedRevision"] == first["latestCreatedRevision"]
    started(api, 3)
    assert patch(api, {"scaling": {"manualInstanceCount": 0}}, "scaling")["response"]["scaling"] == {
        "manualInstanceCount": 0
    }
    until(lambda: count(api, "ended") == 3)
    assert api.get(POOL)["scaling"] == {"manualInstanceCount": 0}


def test_one_without_instances_is_ready_and_starts_them_later(api: Client) -> None:
    create(api, worker(0))
    assert lines(api) == []
    patch(api, worker(1), "scaling")
    started(api, 1)


def test_a_changed_template_ends_the_old_instances(api: Client) -> None:
    create(api, worker(1))
    started(api, 1)
    patch(api, worker(1, "green"), "template")
    until(lambda: count(api, "ended") == 1)
    started(api, 2)
    assert [line.split()[3] for line in lines(api) if line.startswith("started")] == ["blue", "green"]
    revisions = api.get(f"{POOL}/revisions")["revisions"]
    assert [one["name"].split("-")[-2] for one in revisions] == ["00002", "00001"]
    assert revisions[0]["workerPool"] == "worker"
    assert api.call("DELETE", revisions[0]["name"]).status_code == 400
    assert "response" in api.done(api.call("DELETE", revisions[1]["name"]))


def test_instances_are_split_among_revisions(api: Client) -> None:
    first = create(api, worker(4))["response"]["latestReadyRevision"].rpartition("/")[2]
    started(api, 4)
    splits = [
        {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION", "revision": first, "percent": 50},
        {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST", "percent": 50},
    ]
    patch(api, {**worker(4, "green"), "instanceSplits": splits}, "template,instanceSplits")
    until(lambda: count(api, "ended") == 2)
    started(api, 6)
    assert api.get(POOL)["instanceSplitStatuses"] == splits
    short = [{**splits[1], "percent": 60}]
    assert api.call("PATCH", POOL, {"instanceSplits": short}, updateMask="instanceSplits").status_code == 400


def test_an_instance_that_ends_is_replaced_and_the_log_tells(api: Client) -> None:
    create(api, worker(1, env={"LIFE": "0.1"}))
    until(lambda: count(api, "started") >= 2)
    assert "Container called exit(4)." in lines(api)


def test_an_image_that_is_not_there_is_no_revision_that_is_ready(api: Client) -> None:
    body = worker(1)
    body["template"]["containers"][0]["image"] = f"{REPOSITORY}/none"
    failed = create(api, body)
    assert f"Image '{REPOSITORY}/none' not found." in failed["error"]["message"]
    pool = api.get(POOL)
    assert pool["terminalCondition"]["state"] == "CONDITION_FAILED"
    assert "latestReadyRevision" not in pool
    again = api.done(api.call("PATCH", POOL, worker(1), updateMask="template", forceNewRevision=True))
    assert again["response"]["latestReadyRevision"] == again["response"]["latestCreatedRevision"]


def test_a_startup_probe_has_to_pass(api: Client) -> None:
    body = worker(1)
    probe = {"tcpSocket": {"port": 9999}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1}
    body["template"]["containers"][0]["startupProbe"] = probe
    assert "failed the configured startup probe checks" in create(api, body)["error"]["message"]


def test_validate_only_makes_nothing_and_deleting_ends_the_instances(api: Client) -> None:
    assert create(api, worker(1), validateOnly=True)["response"]["template"]["containers"]
    assert api.get(f"{PARENT}/workerPools") == {}
    create(api, worker(1))
    started(api, 1)
    assert [one["name"] for one in api.get(f"{PARENT}/workerPools")["workerPools"]] == [POOL]
    assert api.call("POST", f"{PARENT}/workerPools", worker(1), workerPoolId="worker").status_code == 409
    api.done(api.call("DELETE", POOL))
    assert api.call("GET", POOL).status_code == 404
    assert count(api, "ended") == count(api, "started") == 1


def test_who_may_change_it_is_a_policy_of_its_own(api: Client) -> None:
    create(api, worker(0))
    binding = {"role": "roles/run.admin", "members": ["user:dev@example.com"]}
    answer = api.call("POST", f"{POOL}:setIamPolicy", {"policy": {"bindings": [binding]}})
    assert answer.json()["bindings"] == [binding]
    dev = Client(api.emulator, "user:dev@example.com")
    assert dev.call("GET", POOL).status_code == 200
    assert dev.call("GET", f"{PARENT}/workerPools").status_code == 403


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"ports": [{"containerPort": 8080}]}, "ports should not be set for worker pools"),
        ({"env": [{"name": "CLOUD_RUN_WORKER_POOL", "value": "x"}]}, "reserved env names"),
        ({"readinessProbe": {"httpGet": {"path": "/"}}}, "gcp-emulator does not emulate"),
    ],
)
def test_what_it_cannot_have_is_refused(api: Client, change: dict[str, Any], part: str) -> None:
    body = worker(1)
    body["template"]["containers"][0].update(change)
    answer = api.call("POST", f"{PARENT}/workerPools", body, workerPoolId="worker")
    assert (answer.status_code, part in answer.json()["error"]["message"]) == (400, True)


def test_it_comes_back_with_the_emulator(api: Client) -> None:
    create(api, worker(1))
    started(api, 1)
    state, port = api.emulator.emulator.settings.state, api.emulator.proxy
    api.emulator.stop()
    second = RunningEmulator(state)
    try:
        again = Client(second)
        assert port != second.proxy
        started(again, 2)
    finally:
        second.stop()
