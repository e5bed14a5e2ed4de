"""The modules of what machines are in: networks, subnetworks, routers, firewall rules and addresses."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.workloads.machines import Machine, MachineError

from tests.integration.cloud import PROJECT, REGION, Cloud

COMPUTE = f"compute.googleapis.com/compute/v1/projects/{PROJECT}"
PLACES = {
    "compute_network": "global/networks",
    "compute_subnetwork": f"regions/{REGION}/subnetworks",
    "compute_router": f"regions/{REGION}/routers",
    "compute_firewall": "global/firewalls",
    "compute_address": f"regions/{REGION}/addresses",
    "compute_instance": f"zones/{REGION}-a/instances",
}
HERE = {"region": REGION}
#: By module what it makes, and one change of that with what is then there.
LIVES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "compute_network": (
        {"description": "Machines"},
        {"routing_mode": "GLOBAL"},
        {"autoCreateSubnetworks": False, "description": "Machines"},
    ),
    "compute_subnetwork": (
        {**HERE, "network": "life", "ip_cidr_range": "10.10.0.0/24"},
        {"private_ip_google_access": False},
        {"privateIpGoogleAccess": False},
    ),
    "compute_router": (
        {**HERE, "network": "life", "nats": [{"name": "sites"}]},
        {"nats": [{"name": "sites", "min_ports_per_vm": 128}]},
        {"region": f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/regions/{REGION}"},
    ),
    "compute_firewall": (
        {
            "network": "life",
            "allowed": [{"ip_protocol": "tcp", "ports": ["80", "443"]}],
            "source_ranges": ["130.211.0.0/22", "35.191.0.0/16"],
            "target_tags": ["polls"],
        },
        {"allowed": [{"ip_protocol": "tcp", "ports": ["80"]}], "log": True},
        {"allowed": [{"IPProtocol": "tcp", "ports": ["80"]}], "priority": 1000},
    ),
    "compute_address": (
        {**HERE, "labels": {"team": "web"}},
        {"labels": {"team": "shop", "stage": "test"}},
        {"labels": {"team": "shop", "stage": "test"}},
    ),
}


def noun(module: str) -> str:
    return {"compute_firewall": "firewall rule"}.get(module, module.removeprefix("compute_"))


@pytest.mark.parametrize("module", LIVES)
def test_a_life(cloud: Cloud, module: str) -> None:
    first, change, there = LIVES[module]
    if "network" in first:
        cloud.ok("compute_network", name="life")
    url = f"{COMPUTE}/{PLACES[module]}/life"
    planned = cloud.ok(module, check=True, name="life", **first)
    assert planned["actions"] == [f"create {noun(module)} life"]
    assert cloud.absent(url)
    made = cloud.ok(module, name="life", **first)
    assert made["actions"] == planned["actions"]
    foreseen, seen = planned["diff"]["after"], made["diff"]["after"]
    assert {**foreseen, "network": seen.get("network")} == {**seen, "network": seen.get("network")}
    assert cloud.ok(module, name="life", **first)["changed"] is False

    asked = {**first, **change}
    before = cloud.api(url)
    assert cloud.ok(module, check=True, name="life", **asked)["actions"] == [f"update {noun(module)} life"]
    assert cloud.api(url) == before
    assert cloud.ok(module, name="life", **asked)["actions"] == [f"update {noun(module)} life"]
    found = cloud.api(url)
    assert {name: found.get(name) for name in there} == there
    assert cloud.ok(module, name="life", **asked)["changed"] is False

    absent = {"name": "life", "state": "absent", **({} if "region" not in first else HERE)}
    assert cloud.ok(module, check=True, **absent)["actions"] == [f"delete {noun(module)} life"]
    assert cloud.ok(module, **absent)["actions"] == [f"delete {noun(module)} life"]
    assert cloud.absent(url)
    assert cloud.ok(module, **absent)["changed"] is False


def test_what_somebody_added_to_a_rule_is_taken_away(cloud: Cloud) -> None:
    asked: dict[str, Any] = {
        "name": "exact",
        "network": "default",
        "allowed": [{"ip_protocol": "tcp", "ports": ["80"]}],
        "source_ranges": ["10.0.0.0/8"],
    }
    cloud.ok("compute_network", name="default", auto_create_subnetworks=True)
    cloud.ok("compute_firewall", **asked)
    body = {"sourceRanges": ["10.0.0.0/8", "0.0.0.0/0"], "allowed": [{"IPProtocol": "all"}]}
    cloud.api(f"{COMPUTE}/global/firewalls/exact", method="PATCH", body=body)
    assert cloud.ok("compute_firewall", **asked)["changed"] is True
    made = cloud.api(f"{COMPUTE}/global/firewalls/exact")
    assert made["sourceRanges"] == ["10.0.0.0/8"]
    assert made["allowed"] == [{"IPProtocol": "tcp", "ports": ["80"]}]


def test_what_would_open_to_the_whole_world_is_said_by_somebody(cloud: Cloud) -> None:
    allowed = [{"ip_protocol": "tcp", "ports": ["22"]}]
    assert "source_ranges is missing: without it" in cloud.error(
        "compute_firewall", name="open", network="default", allowed=allowed
    )
    assert "a rule has one of them" in cloud.error(
        "compute_firewall", name="open", network="default", source_ranges=["10.0.0.0/8"]
    )


def test_what_cannot_change_is_told(cloud: Cloud) -> None:
    cloud.ok("compute_network", name="fixed")
    cloud.ok("compute_subnetwork", name="fixed", network="fixed", ip_cidr_range="10.20.0.0/24", **HERE)
    told = cloud.error(
        "compute_subnetwork", name="fixed", network="fixed", ip_cidr_range="10.20.0.0/20", **HERE
    )
    assert told == (
        "Failed to update subnetwork fixed: Google Cloud cannot change ip_cidr_range from '10.20.0.0/24' to '10.20.0.0/20'."
        " Make another subnetwork beside it, and move what is in it."
    )
    in_use = cloud.error("compute_network", name="fixed", state="absent")
    assert in_use.startswith("Failed to delete network fixed: ")
    assert "is already being used by" in in_use


def test_an_address_of_the_whole_world_is_another_one(cloud: Cloud) -> None:
    cloud.ok("compute_address", name="twice", **HERE)
    world = cloud.ok("compute_address", name="twice")
    assert world["changed"] is True
    assert world["address"]["status"] == "RESERVED"
    assert cloud.api(f"{COMPUTE}/global/addresses/twice")["address"] == world["address"]["address"]


ZONE = f"{REGION}-a"
MACHINE = {
    "name": "web",
    "zone": ZONE,
    "machine_type": "e2-small",
    "boot_image": "projects/debian-cloud/global/images/family/debian-12",
    "boot_disk_size_gb": 20,
    "boot_disk_type": "pd-balanced",
    "subnetwork": f"projects/{PROJECT}/regions/{REGION}/subnetworks/machines",
    "tags": ["web"],
    "labels": {"team": "shop"},
    "metadata": {"enable-oslogin": "TRUE"},
}
INSTANCE = f"{COMPUTE}/{PLACES['compute_instance']}/web"


@pytest.fixture(scope="module")
def subnetwork(cloud: Cloud) -> None:
    cloud.ok("compute_network", name="machines")
    cloud.ok("compute_subnetwork", name="machines", network="machines", ip_cidr_range="10.50.0.0/24", **HERE)


@pytest.mark.usefixtures("subnetwork")
def test_the_life_of_an_instance(cloud: Cloud) -> None:
    assert cloud.ok("compute_instance", check=True, **MACHINE)["actions"] == ["create instance web"]
    assert cloud.absent(INSTANCE)
    assert cloud.ok("compute_instance", **MACHINE)["instance"]["status"] == "RUNNING"
    made = cloud.api(INSTANCE)
    assert made["machineType"].endswith(f"zones/{ZONE}/machineTypes/e2-small")
    assert made["shieldedInstanceConfig"] == {
        "enableSecureBoot": True,
        "enableVtpm": True,
        "enableIntegrityMonitoring": True,
    }
    assert "accessConfigs" not in made["networkInterfaces"][0], "nobody asked for an external address"
    assert not made.get("serviceAccounts"), "nor for rights"
    disk = cloud.api(f"{COMPUTE}/zones/{ZONE}/disks/web")
    assert (disk["sizeGb"], disk["type"].rpartition("/")[2]) == ("20", "pd-balanced")
    assert cloud.ok("compute_instance", **MACHINE)["changed"] is False

    asked = {**MACHINE, "tags": ["web", "shop"], "labels": {}, "metadata": {"release": "7"}}
    assert cloud.ok("compute_instance", check=True, **asked)["actions"] == ["update instance web"]
    assert cloud.api(INSTANCE) == made
    cloud.ok("compute_instance", **asked)
    changed = cloud.api(INSTANCE)
    assert changed["metadata"]["items"] == [{"key": "release", "value": "7"}]
    assert sorted(changed["tags"]["items"]) == ["shop", "web"]
    assert changed.get("labels", {}) == {}
    assert cloud.ok("compute_instance", **asked)["changed"] is False

    larger = {**asked, "machine_type": "e2-medium"}
    refused = cloud.error("compute_instance", **larger)
    assert refused.startswith("Failed to update instance web: ")
    assert "Run again with allow_restart: true when the instance may restart." in refused
    assert cloud.api(INSTANCE) == changed
    cloud.ok("compute_instance", allow_restart=True, **larger)
    assert cloud.api(INSTANCE)["machineType"].endswith("/e2-medium")
    assert cloud.ok("compute_instance", **larger)["changed"] is False

    absent = {"name": "web", "zone": ZONE, "state": "absent"}
    assert cloud.ok("compute_instance", **absent)["actions"] == ["delete instance web"]
    assert cloud.absent(INSTANCE)
    assert cloud.absent(f"{COMPUTE}/zones/{ZONE}/disks/web")
    assert cloud.ok("compute_instance", **absent)["changed"] is False


@pytest.mark.usefixtures("subnetwork")
def test_an_instance_has_the_address_and_the_account_that_it_is_asked_for(cloud: Cloud) -> None:
    cloud.ok("iam_service_accounts", service_accounts=[{"name": "machines"}])
    address = cloud.ok("compute_address", name="web", **HERE)["address"]["address"]
    account = f"machines@{PROJECT}.iam.gserviceaccount.com"
    asked = {
        **MACHINE,
        "name": "addressed",
        "external_address": address,
        "service_accounts": [{"email": account}],
    }
    cloud.ok("compute_instance", **asked)
    made = cloud.api(f"{COMPUTE}/{PLACES['compute_instance']}/addressed")
    assert made["networkInterfaces"][0]["accessConfigs"][0]["natIP"] == address
    assert made["serviceAccounts"] == [
        {"email": account, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
    ]
    assert cloud.ok("compute_instance", **asked)["changed"] is False
    in_use = cloud.error("compute_address", name="web", state="absent", **HERE)
    assert "is already being used by" in in_use


@pytest.mark.usefixtures("subnetwork")
def test_what_an_instance_cannot_be_made_of_is_told_by_google(cloud: Cloud) -> None:
    images = "Set boot_image, which of a site is compute_engine_image, to one of those that there are: gcloud compute images list --project=debian-cloud"
    for change, said, cure in (
        ({"boot_image": "projects/debian-cloud/global/images/family/debian-1"}, "debian-1", images),
        ({"boot_image": "projects/debian-cloud/global/images/debian-1-v1"}, "debian-1-v1", images),
        ({"machine_type": "e9-huge"}, "e9-huge", ""),
        ({"zone": f"{REGION}-z"}, f"{REGION}-z", ""),
    ):
        told = cloud.error("compute_instance", **{**MACHINE, "name": "never", **change})
        assert told.startswith("Failed to ")
        assert said in told
        assert cure in told


@pytest.mark.usefixtures("subnetwork")
@pytest.mark.parametrize(
    ("code", "message", "cure"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", "The zone has no resources. Try a different zone, or try again later.", "compute_engine_zone"),
        ("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded.  Limit: 8.0 in region us-central1.", f"iam-admin/quotas?project={PROJECT}"),
    ],
)  # fmt: skip
def test_what_is_not_to_be_had_is_told_and_had_later(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, code: str, message: str, cure: str
) -> None:
    async def start(_machine: Machine) -> None:
        raise MachineError(code, message)

    asked = {**MACHINE, "name": "later"}
    with monkeypatch.context() as patched:
        patched.setattr(cloud.running.context.machines, "start", start)
        told = cloud.error("compute_instance", **asked)
    assert told.startswith(f"Failed to create instance later: {message.rstrip('.')} ({code}). ")
    assert cure in told
    assert cloud.ok("compute_instance", **asked)["instance"]["status"] == "RUNNING"
    cloud.ok("compute_instance", name="later", zone=ZONE, state="absent")
