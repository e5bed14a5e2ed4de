"""Groups of instances: those that a caller fills, and those that a manager does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulator.tests.running import PROJECT, RunningEmulator, until
from emulator.tests.services.compute.conftest import API, IMAGE, LINKS, ZONE, Caller, refusal

GROUP = f"{ZONE}/instanceGroups/site"
MANAGER = f"{ZONE}/instanceGroupManagers/site"
REGION = f"projects/{PROJECT}/regions/us-central1"
TEMPLATES = f"projects/{PROJECT}/global/instanceTemplates"


def template(caller: Caller, name: str, **more: Any) -> str:
    """The link of a new template."""
    properties = {
        "machineType": "e2-small",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": IMAGE}}],
        "networkInterfaces": [{"network": "global/networks/default"}],
        **more,
    }
    link: str = caller.make(TEMPLATES, name=name, properties=properties)["selfLink"]
    return link


def stable(caller: Caller, manager: str = MANAGER) -> dict[str, Any]:
    """The manager when all is as it is to be."""

    def look() -> dict[str, Any] | None:
        found = caller.get(manager)
        return (
            found if found["status"]["isStable"] and found["status"]["versionTarget"]["isReached"] else None
        )

    found: dict[str, Any] = until(look)
    return found


def managed(caller: Caller, manager: str = MANAGER) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        caller.post(f"{manager}/listManagedInstances").json().get("managedInstances", [])
    )
    return found


def names(caller: Caller, manager: str = MANAGER) -> set[str]:
    return {one["name"] for one in managed(caller, manager)}


def test_an_unmanaged_group(caller: Caller) -> None:
    """Recorded: computeinstancegroup--computeinstancegroup."""
    for name in ("one", "two"):
        caller.machine(name)
    ports = [{"name": "http", "port": 8080}]
    made = caller.make(f"{ZONE}/instanceGroups", name="site", namedPorts=ports)
    assert (made["size"], made["namedPorts"]) == (0, ports)
    links = [{"instance": f"{ZONE}/instances/{name}"} for name in ("one", "two")]
    assert caller.do(f"{GROUP}/addInstances", {"instances": links})["operationType"] == "addInstances"
    group = caller.get(GROUP)
    assert (group["size"], group["network"]) == (2, f"{LINKS}/projects/{PROJECT}/global/networks/default")
    assert refusal(caller.post(f"{GROUP}/addInstances", {"instances": links}))[1] == "memberAlreadyExists"
    listed = caller.post(f"{GROUP}/listInstances").json()
    assert listed["items"] == [
        {"instance": f"{LINKS}/{ZONE}/instances/{name}", "status": "RUNNING", "namedPorts": ports}
        for name in ("one", "two")
    ]
    assert listed["kind"] == "compute#instanceGroupsListInstances"
    caller.do(f"{GROUP}/setNamedPorts", {"namedPorts": [{"name": "https", "port": 8443}]})
    assert caller.post(f"{GROUP}/setNamedPorts", {"namedPorts": [], "fingerprint": "AAAA"}).status_code == 412
    caller.do(f"{GROUP}/removeInstances", {"instances": links[:1]})
    assert caller.get(GROUP)["namedPorts"] == [{"name": "https", "port": 8443}]
    assert refusal(caller.post(f"{GROUP}/removeInstances", {"instances": links[:1]}))[1] == "memberNotFound"
    caller.delete(f"{ZONE}/instances/two")
    assert caller.get(GROUP)["size"] == 0
    caller.delete(GROUP)


def test_a_manager_without_a_template(caller: Caller) -> None:
    """Recorded: computeinstancegroupmanager--zonalcomputeinstancegroupmanager-direct and --regionalcomputeinstancegroupmanager."""
    policy = {"maxSurge": {"fixed": 3}, "maxUnavailable": {"fixed": 3}, "minimalAction": "RESTART"}
    for place in (ZONE, REGION):
        path = f"{place}/instanceGroupManagers"
        made = caller.make(path, name="app", baseInstanceName="app", targetSize=3, updatePolicy=policy)
        assert made["instanceGroup"] == f"{LINKS}/{place}/instanceGroups/app"
        assert made["status"] == {"isStable": True, "versionTarget": {"isReached": True}}
        assert (made["targetSize"], made["updatePolicy"]["maxSurge"]["fixed"]) == (3, 3)
        patched = caller.ended(caller.session.patch(f"{API}/{path}/app", json={"targetSize": 4}))
        assert patched["operationType"] == "patch"
        assert caller.get(f"{path}/app")["targetSize"] == 4
        caller.delete(f"{path}/app")


def test_a_manager_makes_and_removes_instances(caller: Caller) -> None:
    link = template(caller, "v1", labels={"site": "polls"})
    config = {"properties": {"labels": {"env": "prod"}, "metadata": {"release": "7"}}}
    caller.make(
        f"{ZONE}/instanceGroupManagers",
        name="site",
        baseInstanceName="web",
        versions=[{"instanceTemplate": link}],
        targetSize=2,
        namedPorts=[{"name": "http", "port": 80}],
        allInstancesConfig=config,
    )
    found = stable(caller)
    assert (found["instanceTemplate"], found["currentActions"]["none"]) == (link, 2)
    one = managed(caller)[0]
    assert (one["instanceStatus"], one["currentAction"], one["version"]) == (
        "RUNNING",
        "NONE",
        {"instanceTemplate": link},
    )
    vm = caller.get(one["instance"].removeprefix(f"{LINKS}/"))
    assert vm["name"].startswith("web-")
    assert vm["labels"] == {"site": "polls", "env": "prod"}
    metadata = {item["key"]: item["value"] for item in vm["metadata"]["items"]}
    assert metadata["release"] == "7"
    assert metadata["created-by"].endswith("/zones/us-central1-a/instanceGroupManagers/site")
    group = caller.get(GROUP)
    assert (group["size"], group["namedPorts"]) == (2, [{"name": "http", "port": 80}])
    assert refusal(caller.session.delete(f"{API}/{GROUP}"))[1] == "invalidResourceUsage"
    used = caller.session.delete(f"{API}/{TEMPLATES}/v1")
    assert refusal(used)[1:] == (
        "resourceInUseByAnotherResource",
        f"The instance template resource '{TEMPLATES}/v1' is already being used by '{MANAGER}'",
    )
    caller.do(f"{MANAGER}/resize", size=3)
    assert stable(caller)["currentActions"]["none"] == 3
    # One that somebody deletes is made anew.
    gone = names(caller).pop()
    caller.delete(f"{ZONE}/instances/{gone}")
    until(lambda: len(names(caller)) == 3)
    assert gone not in names(caller)
    caller.do(f"{MANAGER}/resize", size=1)
    assert stable(caller)["currentActions"]["none"] == 1
    service = caller.make(
        f"projects/{PROJECT}/global/backendServices", name="back", backends=[{"group": f"{LINKS}/{GROUP}"}]
    )
    assert "already being used" in refusal(caller.session.delete(f"{API}/{MANAGER}"))[2]
    caller.delete(f"projects/{PROJECT}/global/backendServices/{service['name']}")
    caller.delete(MANAGER)
    assert "items" not in caller.get(f"{ZONE}/instances")
    assert "items" not in caller.get(f"{ZONE}/disks")
    assert caller.session.get(f"{API}/{GROUP}").status_code == 404


def test_a_rolling_update_replaces_every_instance(caller: Caller) -> None:
    old, new = template(caller, "v1"), template(caller, "v2")
    policy = {"type": "PROACTIVE", "maxSurge": {"fixed": 1}, "maxUnavailable": {"fixed": 0}}
    caller.make(
        f"{ZONE}/instanceGroupManagers", name="site", instanceTemplate=old, targetSize=3, updatePolicy=policy
    )
    stable(caller)
    before = names(caller)
    caller.ended(caller.session.patch(f"{API}/{MANAGER}", json={"versions": [{"instanceTemplate": new}]}))
    assert stable(caller)["instanceTemplate"] == new
    assert before.isdisjoint(names(caller))
    assert {one["version"]["instanceTemplate"] for one in managed(caller)} == {new}
    # A canary: one of the new template, the others of the old.
    versions = [{"instanceTemplate": old, "targetSize": {"fixed": 1}}, {"instanceTemplate": new}]
    caller.ended(caller.session.patch(f"{API}/{MANAGER}", json={"versions": versions}))
    stable(caller)
    found = [one["version"]["instanceTemplate"] for one in managed(caller)]
    assert (found.count(old), found.count(new)) == (1, 2)


def test_the_caller_chooses_when_updates_are_opportunistic(caller: Caller) -> None:
    old, new = template(caller, "v1"), template(caller, "v2")
    caller.make(f"{ZONE}/instanceGroupManagers", name="site", instanceTemplate=old, targetSize=2)
    stable(caller)
    first, second = (one["instance"] for one in managed(caller))
    caller.do(f"{MANAGER}/setInstanceTemplate", {"instanceTemplate": new})
    assert caller.get(MANAGER)["status"]["versionTarget"]["isReached"] is False
    caller.do(f"{MANAGER}/applyUpdatesToInstances", {"instances": [first], "minimalAction": "NONE"})
    found = {one["instance"]: one["version"]["instanceTemplate"] for one in managed(caller)}
    assert found == {first: new, second: old}
    caller.do(f"{MANAGER}/recreateInstances", {"instances": [second]})
    assert stable(caller)["currentActions"]["none"] == 2
    caller.do(f"{MANAGER}/deleteInstances", {"instances": [first]})
    assert caller.get(MANAGER)["targetSize"] == 1
    caller.do(f"{MANAGER}/abandonInstances", {"instances": [second]})
    assert managed(caller) == []
    assert caller.get(second.removeprefix(f"{LINKS}/"))["status"] == "RUNNING"
    assert caller.post(f"{MANAGER}/recreateInstances", {"instances": [first]}).status_code == 400


def test_a_regional_manager_spreads_over_zones(caller: Caller) -> None:
    link = template(caller, "v1")
    path = f"{REGION}/instanceGroupManagers"
    caller.make(path, name="site", baseInstanceName="web", instanceTemplate=link, targetSize=4)
    found = stable(caller, f"{path}/site")
    assert found["updatePolicy"]["maxSurge"] == {"fixed": 3, "calculated": 3}
    zones = sorted(
        one["instance"].split("/zones/")[1].split("/")[0] for one in managed(caller, f"{path}/site")
    )
    assert zones == ["us-central1-a", "us-central1-a", "us-central1-b", "us-central1-c"]
    listed = caller.post(f"{REGION}/instanceGroups/site/listInstances").json()
    assert len(listed["items"]) == 4


@pytest.mark.parametrize(
    ("policy", "field", "message"),
    [
        (
            {"maxUnavailable": {"fixed": 1}},
            "maxUnavailable.fixed': '1'",
            "Fixed updatePolicy.maxUnavailable for regional managed instance group has to be either 0 or at least equal to the number of zones.",
        ),
        (
            {"maxSurge": {"fixed": 2}},
            "maxSurge.fixed': '2'",
            "Fixed updatePolicy.maxSurge for regional managed instance group has to be either 0 or at least equal to the number of zones.",
        ),
        (
            {"replacementMethod": "RECREATE", "maxSurge": {"fixed": 3}},
            "maxSurge': '{\n  \"fixed\": 3\n}'",
            "maxSurge must be equal to 0 when replacement method is set to RECREATE",
        ),
        ({"maxSurge": {"percent": 20}}, "maxSurge.percent': '20'", None),
        (
            {"maxSurge": {"fixed": 0}, "maxUnavailable": {"fixed": 0}},
            "': ''",
            "maxSurge and maxUnavailable cannot both be 0.",
        ),
    ],
)
def test_policies_that_are_refused(
    caller: Caller, policy: dict[str, Any], field: str, message: str | None
) -> None:
    body = {"name": "site", "baseInstanceName": "web", "targetSize": 3, "updatePolicy": policy}
    status, _, told = refusal(caller.post(f"{REGION}/instanceGroupManagers", body))
    assert status == 400
    assert field in told
    assert message is None or told.endswith(message)


def test_what_a_restart_left_undone_is_done(
    caller: Caller, emulator: RunningEmulator, tmp_path: Path
) -> None:
    caller.make(
        f"{ZONE}/instanceGroupManagers", name="site", instanceTemplate=template(caller, "v1"), targetSize=2
    )
    stable(caller)
    lost = names(caller).pop()
    emulator.call(emulator.context.store.collection("compute.instances").delete, f"{ZONE}/instances/{lost}")
    emulator.stop()
    again = RunningEmulator(tmp_path / "state", machines="records")
    try:
        assert stable(Caller(again.session()))["currentActions"]["none"] == 2
        assert lost not in names(Caller(again.session()))
    finally:
        again.stop()


@pytest.mark.parametrize("size", [-1, 2001])
def test_sizes_that_are_refused(caller: Caller, size: int) -> None:
    body = {"name": "site", "targetSize": size}
    assert caller.post(f"{ZONE}/instanceGroupManagers", body).status_code == 400


def test_one_version_has_no_size_of_its_own(caller: Caller) -> None:
    version = {"instanceTemplate": template(caller, "v1"), "targetSize": {"fixed": 1}}
    body = {"name": "site", "targetSize": 1, "versions": [version]}
    assert "Exactly one version" in refusal(caller.post(f"{ZONE}/instanceGroupManagers", body))[2]


def test_an_unknown_template(caller: Caller) -> None:
    body = {"name": "site", "targetSize": 1, "instanceTemplate": "global/instanceTemplates/none"}
    assert refusal(caller.post(f"{ZONE}/instanceGroupManagers", body))[2] == (
        "Invalid value for field 'resource.instanceTemplate': 'global/instanceTemplates/none'. The referenced instance template resource cannot be "
        "found."
    )


def test_without_machines_a_manager_tells_its_errors(tmp_path: Path) -> None:
    """Its instances are made by the way of all others, so there are none, and it is not stable."""
    running = RunningEmulator(tmp_path / "state")
    try:
        caller = Caller(running.session())
        caller.make(
            f"{ZONE}/instanceGroupManagers",
            name="site",
            instanceTemplate=template(caller, "v1"),
            targetSize=1,
        )
        found = until(lambda: caller.get(f"{MANAGER}/listErrors").get("items"))
        assert found[0]["error"]["code"] == "UNSUPPORTED_OPERATION"
        assert found[0]["instanceActionDetails"]["action"] == "CREATING"
        assert managed(caller) == []
        assert caller.get(MANAGER)["status"]["isStable"] is False
    finally:
        running.stop()
