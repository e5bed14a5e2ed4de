"""Direct VPC egress: which network a template leads into, and what keeps it from running."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.services.compute.ports import Networks

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.run.support import PARENT, REGION, Client

SAMPLE = "us-docker.pkg.dev/cloudrun/container/hello"
HOST = "network-host"
LINK = "https://www.googleapis.com/compute/v1/"


def service(**access: Any) -> dict[str, Any]:
    return {"template": {"containers": [{"image": SAMPLE}], "vpcAccess": access}}


@pytest.fixture
def client(emulator: RunningEmulator) -> Client:
    """Of a project with the networks ``inner`` and ``small``, beside one that has ``shared``."""
    emulator.call(emulator.emulator.open_project, HOST, RunningEmulator.owner)
    declare = emulator.context.ports.find(Networks).declare
    for project, name, cidr in (
        (PROJECT, "inner", "10.8.0.0/26"),
        (PROJECT, "small", "10.8.0.0/28"),
        (HOST, "shared", "10.8.0.0/26"),
    ):
        emulator.call(declare, project, name, REGION, cidr)
    return Client(emulator)


def refusal(client: Client, **interface: str) -> tuple[str, str]:
    """Why a service in this network is not ready, and the reason of the condition."""
    operation = client.create(service(networkInterfaces=[interface]))
    condition = client.get(f"{PARENT}/services/web")["terminalCondition"]
    assert operation["error"]["message"] == condition["message"]
    client.done(client.call("DELETE", f"{PARENT}/services/web"))
    return condition["message"].partition("cannot serve traffic. ")[2], condition["reason"]


@pytest.mark.parametrize(
    "interface",
    [
        {"network": "inner"},
        {"subnetwork": "inner"},
        {"network": "inner", "subnetwork": f"projects/{PROJECT}/regions/{REGION}/subnetworks/inner"},
        {"network": f"{LINK}projects/{PROJECT}/global/networks/inner"},
    ],
)
def test_a_network_is_named_as_compute_engine_names_it(client: Client, interface: dict[str, str]) -> None:
    made = client.create(service(networkInterfaces=[interface], egress="PRIVATE_RANGES_ONLY"))
    assert made["response"]["template"]["vpcAccess"]["networkInterfaces"] == [interface]
    assert made["response"]["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def test_what_is_not_there_or_too_small_is_no_network_to_run_in(client: Client) -> None:
    missing = f"projects/{PROJECT}/regions/{REGION}/subnetworks/none"
    assert refusal(client, network="none") == (
        f"VPC subnetwork '{missing}' was not found.",
        "VPC_NETWORK_NOT_FOUND",
    )
    message, reason = refusal(client, network="inner", subnetwork="small")
    assert (message.startswith("Subnetwork "), reason) == (True, "VPC_NETWORK_NOT_FOUND")
    elsewhere = f"projects/{PROJECT}/regions/europe-west1/subnetworks/default"
    assert refusal(client, subnetwork=elsewhere)[1] == "VPC_NETWORK_NOT_FOUND"
    link = f"{LINK}projects/{PROJECT}/regions/{REGION}/subnetworks/small"
    assert refusal(client, network="small")[0].startswith(
        f"Instance failed to start because of insufficient free IP addresses in the subnetwork {link} when"
    )
    client.emulator.disable("compute.googleapis.com")
    assert refusal(client, network="inner")[0].startswith("Compute Engine API has not been used in project")


def test_a_shared_network_is_used_when_its_project_lets_cloud_run(client: Client) -> None:
    network = f"projects/{HOST}/global/networks/shared"
    agent = f"service-{client.emulator.number}@serverless-robot-prod.iam.gserviceaccount.com"
    message, _ = refusal(client, network=network)
    assert "Permission 'compute.subnetworks.use' denied" in message
    assert agent in message
    client.emulator.grant(f"projects/{HOST}", "roles/compute.networkUser", f"serviceAccount:{agent}")
    made = client.create(service(networkInterfaces=[{"network": network}]))
    assert made["response"]["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def test_a_job_whose_network_is_not_there_does_not_run(client: Client) -> None:
    task = service(networkInterfaces=[{"network": "none"}])["template"]
    operation = client.create_job({"template": {"template": task}}, "one")
    assert "subnetworks/none' was not found" in operation["error"]["message"]


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ({"egress": "ALL_TRAFFIC"}, "one and only one of connector and network_interfaces must be set."),
        (
            {"connector": "c", "networkInterfaces": [{"network": "inner"}]},
            "one and only one of connector and network_interfaces must be set.",
        ),
        ({"networkInterfaces": [{"network": "inner"}] * 2}, "only one network interface is supported."),
        ({"networkInterfaces": [{}]}, "at least one of network and subnetwork must be set."),
    ],
)
def test_there_is_one_way_into_one_network(client: Client, access: dict[str, Any], message: str) -> None:
    answer = client.call("POST", f"{PARENT}/services", service(**access), serviceId="web")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(message)
