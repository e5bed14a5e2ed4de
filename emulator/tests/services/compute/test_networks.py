"""Networks, subnetworks, addresses and routers, as Compute Engine tells them."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

API = "https://compute.googleapis.com/compute/v1"
LINKS = "https://www.googleapis.com/compute/v1"
GLOBAL = f"projects/{PROJECT}/global"
REGION = f"projects/{PROJECT}/regions/europe-west3"


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    return emulator.session()


def ok(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refusal(answer: requests.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert "status" not in error
    return answer.status_code, error["errors"][0]["reason"], error["message"]


def done(session: requests.Session, answer: requests.Response) -> dict[str, Any]:
    """What an operation ends as."""
    path = ok(answer)["selfLink"].removeprefix(LINKS)
    ended = ok(session.post(f"{API}{path}/wait"))
    assert ended["status"] == "DONE"
    assert ok(session.get(f"{API}{path}")) == ended
    return ended


def make(session: requests.Session, place: str, collection: str, **body: Any) -> dict[str, Any]:
    done(session, session.post(f"{API}/{place}/{collection}", json=body))
    return ok(session.get(f"{API}/{place}/{collection}/{body['name']}"))


def test_labels_that_google_does_not_take_are_refused(session: requests.Session) -> None:
    url = f"{API}/{GLOBAL}/addresses"
    key = session.post(url, json={"name": "front", "labels": {"costCenter": "1"}})
    assert refusal(key) == (
        400,
        "invalid",
        "Invalid value for field 'resource.labels': ''. Label key 'costCenter' violates format constraints. The key must start with a "
        "lowercase character, can only contain lowercase letters, numeric characters, underscores and dashes. The key can be at most 63 "
        "characters long. International characters are allowed.",
    )
    made = make(session, GLOBAL, "addresses", name="front", labels={"cost-center": "1"})
    change = {"labels": {"cost-center": "One"}, "labelFingerprint": made["labelFingerprint"]}
    assert refusal(session.post(f"{url}/front/setLabels", json=change)) == (
        400,
        "invalid",
        "Invalid value for field 'resource.labels': ''. Label value 'One' violates format constraints. The value can only contain lowercase "
        "letters, numeric characters, underscores and dashes. The value can be at most 63 characters long. International characters are "
        "allowed.",
    )
    assert ok(session.get(f"{url}/front"))["labels"] == {"cost-center": "1"}


def test_the_life_of_a_network_and_its_operations(session: requests.Session) -> None:
    url = f"{API}/{GLOBAL}/networks"
    missing = f"The resource '{GLOBAL}/networks/inner' was not found"
    assert refusal(session.get(f"{url}/inner")) == (404, "notFound", missing)
    begun = ok(session.post(url, json={"name": "inner", "autoCreateSubnetworks": False}))
    assert (begun["kind"], begun["operationType"], begun["status"], begun["progress"]) == (
        "compute#operation",
        "insert",
        "RUNNING",
        0,
    )
    assert begun["targetLink"] == f"{LINKS}/{GLOBAL}/networks/inner"
    assert begun["user"] == "owner@example.com"
    ended = ok(session.post(f"{API}/{GLOBAL}/operations/{begun['name']}/wait"))
    assert (ended["progress"], ended["targetId"]) == (100, begun["targetId"])
    network = ok(session.get(f"{url}/inner"))
    assert network.pop("creationTimestamp")
    assert network == {
        "kind": "compute#network",
        "id": begun["targetId"],
        "name": "inner",
        "autoCreateSubnetworks": False,
        "networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL",
        "routingConfig": {"routingMode": "REGIONAL", "bgpBestPathSelectionMode": "LEGACY"},
        "selfLink": f"{LINKS}/{GLOBAL}/networks/inner",
        "selfLinkWithId": f"{LINKS}/{GLOBAL}/networks/{begun['targetId']}",
    }
    taken = session.post(url, json={"name": "inner", "autoCreateSubnetworks": False})
    assert refusal(taken) == (409, "alreadyExists", f"The resource '{GLOBAL}/networks/inner' already exists")
    done(session, session.patch(f"{url}/inner", json={"routingConfig": {"routingMode": "GLOBAL"}}))
    changed = ok(session.get(f"{url}/inner"))["routingConfig"]
    assert changed == {"routingMode": "GLOBAL", "bgpBestPathSelectionMode": "LEGACY"}
    done(session, session.delete(f"{url}/inner"))
    assert refusal(session.get(f"{url}/inner"))[0] == 404


def test_a_project_has_a_default_network_with_a_subnetwork_in_every_region(session: requests.Session) -> None:
    listed = ok(session.get(f"{API}/{GLOBAL}/networks"))
    assert listed["kind"] == "compute#networkList"
    (network,) = listed["items"]
    assert (network["name"], network["description"]) == ("default", "Default network for the project")
    assert f"{LINKS}/{REGION}/subnetworks/default" in network["subnetworks"]
    subnetwork = ok(session.get(f"{API}/{REGION}/subnetworks/default"))
    assert (subnetwork["ipCidrRange"], subnetwork["gatewayAddress"]) == ("10.156.0.0/20", "10.156.0.1")
    assert subnetwork["region"] == f"{LINKS}/{REGION}"
    assert {
        name: subnetwork[name] for name in ("privateIpGoogleAccess", "purpose", "stackType", "state")
    } == {
        "privateIpGoogleAccess": False,
        "purpose": "PRIVATE",
        "stackType": "IPV4_ONLY",
        "state": "READY",
    }
    everywhere = ok(session.get(f"{API}/projects/{PROJECT}/aggregated/subnetworks"))["items"]
    assert everywhere["regions/europe-west3"]["subnetworks"] == [subnetwork]
    done(session, session.delete(f"{API}/{GLOBAL}/networks/default"))
    assert refusal(session.get(f"{API}/{REGION}/subnetworks/default"))[0] == 404


def test_what_is_in_a_network_keeps_it(session: requests.Session) -> None:
    make(session, GLOBAL, "networks", name="inner", autoCreateSubnetworks=False)
    link = f"{LINKS}/{GLOBAL}/networks/inner"
    subnetwork = make(
        session,
        REGION,
        "subnetworks",
        name="apps",
        network=f"{GLOBAL}/networks/inner",
        ipCidrRange="10.7.0.0/24",
    )
    assert subnetwork["network"] == link
    kept = (
        f"The network resource '{GLOBAL}/networks/inner' is already being used by '{REGION}/subnetworks/apps'"
    )
    refused = session.delete(f"{API}/{GLOBAL}/networks/inner")
    assert refusal(refused) == (400, "resourceInUseByAnotherResource", kept)
    overlapping = {"name": "more", "network": link, "ipCidrRange": "10.7.0.128/25"}
    assert refusal(session.post(f"{API}/{REGION}/subnetworks", json=overlapping))[0] == 400
    for body in (
        overlapping | {"network": "global/networks/none"},
        overlapping | {"ipCidrRange": "10.7.0.1/24"},
    ):
        assert refusal(session.post(f"{API}/{REGION}/subnetworks", json=body))[:2] == (400, "invalid")


@pytest.mark.parametrize(
    ("url", "body", "message"),
    [
        (
            f"{GLOBAL}/networks",
            {"autoCreateSubnetworks": True},
            "Required field 'resource.name' not specified",
        ),
        (
            f"{GLOBAL}/networks",
            {"name": "In_Valid"},
            "Invalid value for field 'resource.name': 'In_Valid'. Must be a match of regex "
            "'(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'",
        ),
        (
            f"projects/{PROJECT}/regions/atlantis1/addresses",
            {"name": "a"},
            "Invalid value for field 'region': 'atlantis1'. Unknown region.",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    session: requests.Session, url: str, body: dict[str, Any], message: str
) -> None:
    status, _, said = refusal(session.post(f"{API}/{url}", json=body))
    assert (status, said) == (400, message)


def test_a_range_for_peering_gets_addresses_that_nothing_has(session: requests.Session) -> None:
    make(session, GLOBAL, "networks", name="inner", autoCreateSubnetworks=False)
    make(
        session,
        REGION,
        "subnetworks",
        name="apps",
        network="global/networks/inner",
        ipCidrRange="10.0.0.0/15",
    )
    ranges = []
    for name in ("first", "second"):
        given = {"addressType": "INTERNAL", "purpose": "VPC_PEERING", "prefixLength": 16}
        made = make(session, GLOBAL, "addresses", name=name, network=f"{GLOBAL}/networks/inner", **given)
        # The spelling of the network is kept (recorded).
        assert made["network"] == f"{GLOBAL}/networks/inner"
        assert (made["kind"], made["status"]) == ("compute#address", "RESERVED")
        ranges.append(f"{made['address']}/{made['prefixLength']}")
    assert ranges == ["10.2.0.0/16", "10.3.0.0/16"]


def test_addresses_of_a_region(session: requests.Session) -> None:
    inside = make(session, REGION, "addresses", name="inside", addressType="INTERNAL")
    assert ipaddress.ip_address(inside["address"]) in ipaddress.ip_network("10.156.0.0/20")
    assert (inside["purpose"], inside["networkTier"], inside["region"]) == (
        "GCE_ENDPOINT",
        "PREMIUM",
        f"{LINKS}/{REGION}",
    )
    outside = make(session, REGION, "addresses", name="outside")
    assert outside["addressType"] == "EXTERNAL"
    listed = ok(session.get(f"{API}/{REGION}/addresses", params={"filter": 'name != "inside"'}))
    assert [one["name"] for one in listed["items"]] == ["outside"]
    assert "items" not in ok(session.get(f"{API}/{REGION}/addresses", params={"filter": "name eq x.*"}))
    assert refusal(session.get(f"{API}/{REGION}/addresses", params={"filter": "name"}))[0] == 400


def test_lists_are_filtered_and_ordered_in_every_place(session: requests.Session) -> None:
    for name, purpose in (("one", "web"), ("three", "web"), ("two", "mail")):
        make(session, REGION, "addresses", name=name, labels={"for": purpose})
    regional, everywhere = f"{API}/{REGION}/addresses", f"{API}/projects/{PROJECT}/aggregated/addresses"

    def names(url: str, **query: str) -> list[str]:
        return [one["name"] for one in ok(session.get(url, params=query)).get("items", [])]

    for text, expected in (
        ("labels.for = web", ["one", "three"]),
        ("(labels.for = mail) OR (name = one)", ["one", "two"]),
        ("(name eq t.*) (labels.for ne web)", ["two"]),
        ("labels.missing:*", []),
    ):
        assert names(regional, filter=text) == expected
    assert names(regional, orderBy="creationTimestamp desc") == ["two", "three", "one"]
    assert names(regional, orderBy="name", maxResults="2") == ["one", "three"]
    in_all = ok(session.get(everywhere, params={"filter": "labels.for = mail"}))["items"]
    assert [[one["name"] for one in place["addresses"]] for place in in_all.values()] == [["two"]]
    regions = ok(session.get(f"{API}/projects/{PROJECT}/regions", params={"filter": "name = europe-west1"}))
    assert [one["name"] for one in regions["items"]] == ["europe-west1"]
    for query in ({"orderBy": "size"}, {"filter": "name ="}, {"filter": "name eq ("}):
        assert refusal(session.get(regional, params=query))[0] == 400


def test_labels_have_a_fingerprint_of_their_own(session: requests.Session) -> None:
    address = make(session, GLOBAL, "addresses", name="front")
    url = f"{API}/{GLOBAL}/addresses/front"
    stale = session.post(f"{url}/setLabels", json={"labels": {"a": "b"}, "labelFingerprint": "AAAA"})
    assert refusal(stale)[:2] == (412, "conditionNotMet")
    body = {"labels": {"a": "b"}, "labelFingerprint": address["labelFingerprint"]}
    answer = ok(session.post(f"{url}/setLabels", json=body))
    assert (answer["operationType"], answer["status"]) == ("setLabels", "DONE")
    labelled = ok(session.get(url))
    assert labelled["labels"] == {"a": "b"}
    assert labelled["labelFingerprint"] != address["labelFingerprint"]


def test_a_router_is_filled_in_and_patched(session: requests.Session) -> None:
    router = make(
        session, REGION, "routers", name="out", network="global/networks/default", description="one"
    )
    assert (router["network"], router["encryptedInterconnectRouter"]) == (
        f"{LINKS}/{GLOBAL}/networks/default",
        False,
    )
    nat = {
        "name": "nat",
        "natIpAllocateOption": "AUTO_ONLY",
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
    }
    url = f"{API}/{REGION}/routers/out"
    done(session, session.patch(url, json={"nats": [nat]}))
    filled = {
        "autoNetworkTier": "PREMIUM",
        "effectiveTcpTimeWaitTimeoutSec": 120,
        "endpointTypes": ["ENDPOINT_TYPE_VM"],
        "type": "PUBLIC",
    }
    assert ok(session.get(url)) == router | {"nats": [nat | filled]}
    done(session, session.patch(url, json={"description": None}))
    assert "description" not in ok(session.get(url))


def test_the_rest_is_said_not_to_be_emulated(session: requests.Session, emulator: RunningEmulator) -> None:
    refused = session.get(f"{API}/projects/{PROJECT}/zones/europe-west3-a/autoscalers")
    assert refused.status_code == 400
    assert "gcp-emulator does not emulate compute.autoscalers.list" in refused.json()["error"]["message"]
    emulator.context.unhandled.clear()
