"""Private connections of networks, and the DNS domains that are peered over them."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

COMPUTE = "https://compute.googleapis.com/compute/v1"
BASE = "https://servicenetworking.googleapis.com/v1"
CONNECTIONS = f"{BASE}/services/servicenetworking.googleapis.com/connections"
PEERING = "servicenetworking-googleapis-com"
NETWORK = f"projects/{PROJECT}/global/networks/inner"


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    """Of an owner with a network and two ranges that are reserved in it."""
    session = emulator.session()
    network = {"name": "inner", "autoCreateSubnetworks": False}
    compute(session, session.post(f"{COMPUTE}/projects/{PROJECT}/global/networks", json=network))
    # A network may be named with and without its project, and by its link.
    for name, spelling in (
        ("one", NETWORK),
        ("two", "global/networks/inner"),
        ("three", f"{COMPUTE}/{NETWORK}"),
    ):
        body = {
            "name": name,
            "addressType": "INTERNAL",
            "purpose": "VPC_PEERING",
            "prefixLength": 20,
            "network": spelling,
        }
        compute(session, session.post(f"{COMPUTE}/projects/{PROJECT}/global/addresses", json=body))
    return session


def compute(session: requests.Session, answer: requests.Response) -> None:
    assert answer.status_code == 200, answer.text
    path = answer.json()["selfLink"].partition("/compute/v1")[2]
    assert session.post(f"{COMPUTE}{path}/wait").json()["status"] == "DONE"


def response(
    emulator: RunningEmulator, session: requests.Session, answer: requests.Response
) -> dict[str, Any]:
    """What an operation ends with."""
    assert answer.status_code == 200, answer.text
    name = answer.json()["name"]
    emulator.run(emulator.context.operations.wait(name, 10))
    operation = session.get(f"{BASE}/{name}").json()
    assert (operation["name"], operation["done"]) == (name, True)
    found: dict[str, Any] = operation["response"]
    return found


def listed(session: requests.Session, emulator: RunningEmulator) -> Any:
    network = NETWORK.replace(PROJECT, emulator.number)
    answer = session.get(CONNECTIONS, params={"network": network})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_life_of_a_connection(emulator: RunningEmulator, session: requests.Session) -> None:
    assert listed(session, emulator) == {}
    body = {"network": NETWORK.replace(PROJECT, emulator.number), "reservedPeeringRanges": ["one"]}
    query = {"updateMask": "reservedPeeringRanges"}
    assert session.patch(f"{CONNECTIONS}/-", params=query, json=body).status_code == 404
    made = session.patch(f"{CONNECTIONS}/-", params=query | {"force": "true"}, json=body)
    connection = body | {"peering": PEERING, "service": "services/servicenetworking.googleapis.com"}
    assert response(emulator, session, made) == {
        "@type": "type.googleapis.com/google.cloud.servicenetworking.v1.Connection",
        **connection,
    }
    assert listed(session, emulator) == {"connections": [connection]}
    (peering,) = session.get(f"{COMPUTE}/{NETWORK}").json()["peerings"]
    assert (peering["name"], peering["state"]) == (PEERING, "ACTIVE")
    every = body | {"reservedPeeringRanges": ["one", "two", "three"]}
    changed = session.patch(f"{CONNECTIONS}/{PEERING}", params=query, json=every)
    assert response(emulator, session, changed)["reservedPeeringRanges"] == ["one", "two", "three"]
    # Whoever ends the peering has ended the connection.
    compute(session, session.post(f"{COMPUTE}/{NETWORK}/removePeering", json={"name": PEERING}))
    assert listed(session, emulator) == {}


def test_a_connection_is_created_and_deleted(emulator: RunningEmulator, session: requests.Session) -> None:
    body = {"network": NETWORK, "reservedPeeringRanges": ["two"]}
    response(emulator, session, session.post(CONNECTIONS, json=body))
    fewer = session.post(CONNECTIONS, json=body | {"reservedPeeringRanges": ["one"]})
    assert (fewer.status_code, fewer.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    gone = session.post(f"{CONNECTIONS}/{PEERING}", json={"consumerNetwork": NETWORK})
    assert response(emulator, session, gone) == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert listed(session, emulator) == {}


@pytest.mark.parametrize("ranges", [[], ["absent"]])
def test_ranges_have_to_be_reserved_for_it(session: requests.Session, ranges: list[str]) -> None:
    refused = session.post(CONNECTIONS, json={"network": NETWORK, "reservedPeeringRanges": ranges})
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_stranger_learns_nothing(emulator: RunningEmulator, session: requests.Session) -> None:
    stranger = emulator.session("user:stranger@example.com")
    answer = stranger.get(CONNECTIONS, params={"network": NETWORK})
    assert answer.status_code == 403
    assert "servicenetworking.services.get" in answer.json()["error"]["message"]


def test_dns_domains_need_a_connection(emulator: RunningEmulator, session: requests.Session) -> None:
    url = f"{BASE}/services/servicenetworking.googleapis.com/projects/{emulator.number}/global/networks/inner/peeredDnsDomains"
    domain = {"name": "office", "dnsSuffix": "office.example.com."}
    assert session.post(url, json=domain).status_code == 400
    connected = session.post(CONNECTIONS, json={"network": NETWORK, "reservedPeeringRanges": ["one"]})
    response(emulator, session, connected)
    assert session.get(url).json() == {}
    made = response(emulator, session, session.post(url, json=domain))
    assert made == {
        "@type": "type.googleapis.com/google.cloud.servicenetworking.v1.PeeredDnsDomain",
        **domain,
    }
    assert session.get(url).json() == {"peeredDnsDomains": [domain]}
    assert session.post(url, json=domain).status_code == 409
    gone = response(emulator, session, session.delete(f"{url}/office"))
    assert gone == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert session.get(url).json() == {}
    assert session.delete(f"{url}/office").status_code == 404
