"""Instances: how they are made, changed, stopped, started and removed, and what says whether they really run."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator import app
from gcp_emulator.workloads.machines import Machine, RecordedMachines

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.compute.conftest import API, IMAGE, LINKS, ZONE, Caller, refusal

VM = f"{ZONE}/instances/web"
REGION = f"projects/{PROJECT}/regions/us-central1"


def test_without_machines_an_instance_ends_in_an_error(tmp_path: Path) -> None:
    """Nothing is there afterwards, and the text says what to do."""
    running = RunningEmulator(tmp_path / "state")
    try:
        caller = Caller(running.session())
        disk = {"boot": True, "initializeParams": {"sourceImage": IMAGE}}
        body = {"name": "web", "machineType": "e2-small", "disks": [disk], "networkInterfaces": [{}]}
        ended = caller.ended(caller.post(f"{ZONE}/instances", body), fails=True)
        told = ended["error"]["errors"][0]
        assert told["code"] == "UNSUPPORTED_OPERATION"
        assert "runs no virtual machines" in told["message"]
        assert "--machines records" in told["message"]
        assert ended["httpErrorStatusCode"] == 400
        assert caller.session.get(f"{API}/{VM}").status_code == 404
        assert "items" not in caller.get(f"{ZONE}/disks")
    finally:
        running.stop()


def test_what_an_instance_is_filled_in_with(caller: Caller) -> None:
    vm = caller.machine("web", metadata={"items": [{"key": "a", "value": "1"}]}, tags={"items": ["http"]})
    assert (vm["status"], vm["kind"], vm["zone"]) == ("RUNNING", "compute#instance", f"{LINKS}/{ZONE}")
    disk = vm["disks"][0]
    assert disk["source"] == f"{LINKS}/{ZONE}/disks/web"
    assert (disk["deviceName"], disk["index"], disk["mode"], disk["diskSizeGb"]) == (
        "boot",
        0,
        "READ_WRITE",
        "20",
    )
    boot = caller.get(f"{ZONE}/disks/web")
    assert boot["users"] == [f"{LINKS}/{VM}"]
    assert boot["sourceImage"].endswith("/images/debian-12-bookworm-v20261014")
    interface = vm["networkInterfaces"][0]
    assert (interface["name"], interface["networkIP"]) == ("nic0", "10.128.0.2")
    assert interface["subnetwork"] == f"{LINKS}/{REGION}/subnetworks/default"
    assert interface["accessConfigs"][0]["name"] == "External NAT"
    assert interface["accessConfigs"][0]["natIP"].startswith("198.1")
    # Secure boot is off unless it is asked for.
    assert vm["shieldedInstanceConfig"] == {
        "enableSecureBoot": False,
        "enableVtpm": True,
        "enableIntegrityMonitoring": True,
    }
    assert vm["scheduling"]["provisioningModel"] == "STANDARD"
    assert vm["deletionProtection"] is False
    second = caller.machine("db")["networkInterfaces"][0]
    assert second["networkIP"] == "10.128.0.3"
    assert second["accessConfigs"][0]["natIP"] != interface["accessConfigs"][0]["natIP"]
    found = caller.get(f"projects/{PROJECT}/aggregated/instances")["items"]
    assert [one["name"] for one in found["zones/us-central1-a"]["instances"]] == ["db", "web"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"machineType": "zones/us-central1-a/machineTypes/e2-tiny"},
            "Invalid value for field 'resource.machineType': 'zones/us-central1-a/machineTypes/e2-tiny'. Machine type with name 'e2-tiny' does "
            "not exist in zone 'us-central1-a'.",
        ),
        (
            {
                "disks": [
                    {
                        "boot": True,
                        "initializeParams": {"sourceImage": "projects/docker4x/global/images/docker"},
                    }
                ]
            },
            "Invalid value for field 'resource.disks[0].initializeParams.sourceImage': 'projects/docker4x/global/images/docker'. The referenced "
            "image resource cannot be found.",
        ),
        (
            {"disks": [{"boot": True, "source": f"{ZONE}/disks/none"}]},
            f"Invalid value for field 'resource.disks[0].source': '{ZONE}/disks/none'. The referenced disk resource cannot be found.",
        ),
        (
            {"networkInterfaces": [{"network": "global/networks/none"}]},
            "Invalid value for field 'resource.networkInterfaces[0].network': 'global/networks/none'. The referenced network resource cannot be "
            "found.",
        ),
        ({"metadata": {"items": [{"key": "a b"}]}}, None),
        ({"name": "Web"}, None),
        ({"name": ""}, "Required field 'resource.name' not specified"),
    ],
)
def test_instances_that_are_refused(caller: Caller, given: dict[str, Any], message: str | None) -> None:
    answer = caller.post(f"{ZONE}/instances", {"name": "web", "networkInterfaces": [{}], **given})
    status, _, told = refusal(answer)
    assert status == 400
    assert message is None or told == message


def test_an_unknown_zone(caller: Caller) -> None:
    refused = caller.post(f"projects/{PROJECT}/zones/us-east1/instances", {"name": "web"})
    assert refusal(refused) == (400, "invalid", "Invalid value for field 'zone': 'us-east1'. Unknown zone.")


def test_stop_change_and_start(caller: Caller) -> None:
    """Recorded: computeinstance--computeinstancewithencrypteddisk-direct."""
    caller.machine("web")
    bigger = {"machineType": "zones/us-central1-a/machineTypes/n1-standard-2"}
    running = caller.ended(caller.post(f"{VM}/setMachineType", bigger), fails=True)
    assert running["error"]["errors"][0]["message"] == (
        "Invalid resource usage: 'Instance should be in the STOPPED state.'"
    )
    assert caller.do(f"{VM}/stop")["operationType"] == "stop"
    assert caller.get(VM)["status"] == "TERMINATED"
    assert caller.do(f"{VM}/setMachineType", bigger)["operationType"] == "setMachineType"
    caller.do(f"{VM}/setServiceAccount", {})
    caller.do(f"{VM}/setScheduling", {"automaticRestart": False})
    caller.do(
        f"{VM}/setLabels", {"labels": {"env": "prod"}, "labelFingerprint": caller.get(VM)["labelFingerprint"]}
    )
    caller.do(f"{VM}/start")
    vm = caller.get(VM)
    assert (vm["status"], vm["machineType"]) == ("RUNNING", bigger["machineType"])
    assert (vm["labels"], vm["scheduling"]["automaticRestart"]) == ({"env": "prod"}, False)
    assert vm["scheduling"]["onHostMaintenance"] == "MIGRATE"
    assert caller.do(f"{VM}/reset")["operationType"] == "reset"


@pytest.mark.parametrize(
    ("verb", "field", "content"),
    [
        ("setMetadata", "metadata", {"items": [{"key": "release", "value": "2"}]}),
        ("setTags", "tags", {"items": ["web"]}),
    ],
)
def test_metadata_and_tags_have_fingerprints(
    caller: Caller, verb: str, field: str, content: dict[str, Any]
) -> None:
    before = caller.machine("web")[field]["fingerprint"]
    for stale in ({}, {"fingerprint": "AAAA"}):
        refused = caller.post(f"{VM}/{verb}", {**content, **stale})
        assert refusal(refused)[:2] == (412, "conditionNotMet")
    caller.do(f"{VM}/{verb}", {**content, "fingerprint": before})
    after = caller.get(VM)[field]
    assert after["items"] == content["items"]
    assert after["fingerprint"] != before


def test_a_request_id_repeats_the_answer(caller: Caller) -> None:
    number = str(uuid.uuid4())
    body = {"name": "data", "sizeGb": "10"}
    first = caller.post(f"{ZONE}/disks", body, requestId=number)
    second = caller.post(f"{ZONE}/disks", body, requestId=number)
    assert (second.status_code, second.json()["name"]) == (200, first.json()["name"])
    caller.ended(first)
    assert caller.post(f"{ZONE}/disks", body, requestId=str(uuid.uuid4())).status_code == 409
    for wrong in ("1", "00000000-0000-0000-0000-000000000000"):
        assert caller.post(f"{ZONE}/disks", {"name": "other"}, requestId=wrong).status_code == 400


def test_update_takes_the_least_disruptive_action(caller: Caller) -> None:
    vm = caller.machine("web")
    put = f"{API}/{VM}"
    changed = {**vm, "labels": {"env": "prod"}}
    caller.ended(caller.session.put(put, json=changed, params={"mostDisruptiveAllowedAction": "NO_EFFECT"}))
    assert caller.get(VM)["labels"] == {"env": "prod"}
    bigger = {**caller.get(VM), "machineType": "zones/us-central1-a/machineTypes/e2-medium"}
    refused = caller.session.put(put, json=bigger, params={"mostDisruptiveAllowedAction": "REFRESH"})
    assert refusal(refused)[:2] == (400, "invalidResourceUsage")
    caller.ended(caller.session.put(put, json=bigger, params={"mostDisruptiveAllowedAction": "RESTART"}))
    after = caller.get(VM)
    assert (after["machineType"], after["status"]) == (bigger["machineType"], "RUNNING")
    assert after["lastStopTimestamp"]
    stale = caller.session.put(put, json={**after, "fingerprint": vm["fingerprint"], "labels": {}})
    assert stale.status_code == 412
    # What it cannot change is refused, and not left out.
    assert caller.session.put(put, json={**after, "disks": []}).status_code == 400


def test_what_an_instance_uses_is_kept(caller: Caller) -> None:
    reserved = caller.make(f"{REGION}/addresses", name="front")["address"]
    caller.make(f"{ZONE}/disks", name="data")
    interface = {"network": "global/networks/default", "accessConfigs": [{"natIP": reserved}]}
    boot = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": IMAGE}}
    disks = [boot, {"source": f"{ZONE}/disks/data"}]
    caller.machine("web", networkInterfaces=[interface], disks=disks)
    address = caller.get(f"{REGION}/addresses/front")
    assert (address["status"], address["users"]) == ("IN_USE", [f"{LINKS}/{VM}"])
    for path, noun in (
        (f"{ZONE}/disks/data", "disk"),
        (f"{REGION}/subnetworks/default", "subnetwork"),
        (f"{REGION}/addresses/front", "address"),
    ):
        refused = caller.session.delete(f"{API}/{path}")
        assert refusal(refused) == (
            400,
            "resourceInUseByAnotherResource",
            f"The {noun} resource '{path}' is already being used by '{VM}'",
        )
    twice = caller.post(
        f"{ZONE}/instances",
        {"name": "db", "networkInterfaces": [{}], "disks": [{"source": f"{ZONE}/disks/data"}]},
    )
    assert refusal(twice)[1] == "resourceInUseByAnotherResource"
    again = caller.post(f"{ZONE}/instances", {"name": "db", "networkInterfaces": [interface]})
    assert "already in-use" in refusal(again)[2]
    caller.delete(VM)
    assert caller.session.get(f"{API}/{ZONE}/disks/web").status_code == 404
    assert caller.get(f"{REGION}/addresses/front")["status"] == "RESERVED"
    caller.delete(f"{ZONE}/disks/data")
    caller.delete(f"{REGION}/addresses/front")


def test_two_that_are_asked_for_at_once_have_addresses_of_their_own(caller: Caller) -> None:
    interface = {"network": "global/networks/default", "accessConfigs": [{}]}
    begun = [
        caller.post(f"{ZONE}/instances", {"name": name, "networkInterfaces": [interface]})
        for name in ("a", "b")
    ]
    for answer in begun:
        caller.ended(answer)
    found = [caller.get(f"{ZONE}/instances/{name}")["networkInterfaces"][0] for name in ("a", "b")]
    assert sorted(one["networkIP"] for one in found) == ["10.128.0.2", "10.128.0.3"]
    assert len({one["accessConfigs"][0]["natIP"] for one in found}) == 2


def test_an_address_that_is_asked_for(caller: Caller) -> None:
    caller.make(f"{REGION}/addresses", name="inner", addressType="INTERNAL", address="10.128.0.2")
    interface = {"network": "global/networks/default"}
    assert (
        caller.machine("db", networkInterfaces=[interface])["networkInterfaces"][0]["networkIP"]
        == "10.128.0.3"
    )
    asked = {**interface, "networkIP": "10.128.0.2"}
    assert (
        caller.machine("web", networkInterfaces=[asked])["networkInterfaces"][0]["networkIP"] == "10.128.0.2"
    )
    assert caller.get(f"{REGION}/addresses/inner")["users"] == [f"{LINKS}/{VM}"]
    for wrong in ("10.128.0.2", "10.0.0.5", "here"):
        body = {"name": "late", "networkInterfaces": [{**interface, "networkIP": wrong}]}
        assert "IP address is not free" in refusal(caller.post(f"{ZONE}/instances", body))[2]


def test_disks_are_attached_and_detached(caller: Caller) -> None:
    caller.machine("web")
    caller.make(f"{ZONE}/disks", name="data")
    caller.do(f"{VM}/attachDisk", {"source": f"{ZONE}/disks/data", "deviceName": "data"})
    assert [one["deviceName"] for one in caller.get(VM)["disks"]] == ["boot", "data"]
    caller.do(f"{VM}/setDiskAutoDelete", deviceName="data", autoDelete="true")
    assert caller.get(VM)["disks"][1]["autoDelete"] is True
    caller.do(f"{VM}/detachDisk", deviceName="data")
    assert "users" not in caller.get(f"{ZONE}/disks/data")
    assert caller.post(f"{VM}/detachDisk", deviceName="data").status_code == 400


def test_deletion_protection(caller: Caller) -> None:
    caller.machine("web", deletionProtection=True)
    refused = caller.session.delete(f"{API}/{VM}")
    assert refusal(refused)[1] == "invalidResourceUsage"
    caller.do(f"{VM}/setDeletionProtection", deletionProtection="false")
    caller.delete(VM)


def test_a_record_tells_nothing_of_itself(caller: Caller) -> None:
    caller.machine("web", metadata={"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]})
    output = caller.get(f"{VM}/serialPort", port=1)
    assert (output["contents"], output["next"]) == ("", "0")
    asked = caller.session.get(f"{API}/{VM}/getGuestAttributes", params={"queryPath": "hostkeys/"})
    assert refusal(asked) == (
        404,
        "notFound",
        "The resource 'hostkeys/' of type 'Guest Attribute' was not found.",
    )


def test_an_account_that_one_may_act_as(emulator: RunningEmulator, caller: Caller) -> None:
    """There has to be such an account, too; the project's default one is named, or left out."""
    email = f"site-vm@{PROJECT}.iam.gserviceaccount.com"
    body = {"name": "web", "networkInterfaces": [{}], "serviceAccounts": [{"email": email, "scopes": []}]}
    denied = "The user does not have access to service account '{}'. User: '{}'. Ask a project owner to grant you the "
    denied += "iam.serviceAccountUser role on the service account"
    refused = refusal(caller.post(f"{ZONE}/instances", body))
    assert refused == (400, "SERVICE_ACCOUNT_ACCESS_DENIED", denied.format(email, "owner@example.com"))
    accounts = f"https://iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts"
    assert caller.session.post(accounts, json={"accountId": "site-vm"}).status_code == 200
    member = "user:dev@example.com"
    emulator.grant(f"projects/{PROJECT}", "roles/compute.instanceAdmin.v1", member)
    developer = Caller(emulator.session(member))
    refused = refusal(developer.post(f"{ZONE}/instances", body))
    assert refused == (400, "SERVICE_ACCOUNT_ACCESS_DENIED", denied.format(email, "dev@example.com"))
    emulator.grant(f"projects/{PROJECT}/serviceAccounts/{email}", "roles/iam.serviceAccountUser", member)
    developer.do(f"{ZONE}/instances", body)
    assert caller.machine("db", serviceAccounts=[{"email": "default"}])["serviceAccounts"][0]["email"] == (
        f"{emulator.number}-compute@developer.gserviceaccount.com"
    )


def test_an_instance_of_a_template(caller: Caller) -> None:
    """Recorded: computeinstancegroup--computeinstancegroup."""
    properties = {
        "machineType": "e2-small",
        "disks": [{"boot": True, "initializeParams": {"sourceImage": IMAGE}}],
        "networkInterfaces": [{"network": "global/networks/default"}],
        "labels": {"site": "polls"},
    }
    template = f"projects/{PROJECT}/global/instanceTemplates"
    made = caller.make(template, name="small", properties=properties)
    assert made["selfLink"] == f"https://compute.googleapis.com/compute/v1/{template}/small"
    caller.do(
        f"{ZONE}/instances",
        {"name": "web", "metadata": {}, "zone": ""},
        sourceInstanceTemplate=f"{template}/small",
    )
    vm = caller.get(VM)
    assert (vm["labels"], vm["machineType"]) == ({"site": "polls"}, f"{LINKS}/{ZONE}/machineTypes/e2-small")
    unknown = caller.post(template, {"name": "wrong", "properties": {"machineType": "c2-standard-2"}})
    assert refusal(unknown)[2] == (
        "Invalid value for field 'resource.properties.machineType': 'c2-standard-2'. Instance properties must provide existing machine type."
    )


def test_the_state_page_says_that_nothing_runs(caller: Caller, emulator: RunningEmulator) -> None:
    caller.machine("web")
    page = emulator.session(None).get(f"{emulator.proxy}/instances", params={"project": PROJECT})
    assert page.status_code == 200
    assert "Not running: instances are records only (--machines records)." in page.text
    assert "record only" in page.text


def test_a_restart_without_machines_stops_what_ran(
    caller: Caller, emulator: RunningEmulator, tmp_path: Path
) -> None:
    caller.machine("web")
    emulator.stop()
    again = RunningEmulator(tmp_path / "state")
    try:
        assert Caller(again.session()).get(VM)["status"] == "TERMINATED"
    finally:
        again.stop()


class Together(RecordedMachines):
    """Starts no machine before another is to be started, too."""

    def __init__(self) -> None:
        self._both = asyncio.Barrier(2)

    async def start(self, machine: Machine) -> None:
        async with asyncio.timeout(10):
            await self._both.wait()


def test_what_ran_is_started_again_all_at_a_time(
    caller: Caller, emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("web", "db"):
        caller.machine(name)
    emulator.stop()
    monkeypatch.setitem(app.MACHINES, "records", lambda folder, host: Together())
    again = RunningEmulator(tmp_path / "state", machines="records")
    try:
        found = Caller(again.session()).get(f"{ZONE}/instances")["items"]
        assert {one["name"]: one["status"] for one in found} == {"web": "RUNNING", "db": "RUNNING"}
    finally:
        again.stop()
