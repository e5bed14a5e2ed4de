"""Load balancers as they are stored: what they are filled in with, how they name one another, and what that keeps."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from emulator.tests.running import PROJECT, RunningEmulator

API = "https://compute.googleapis.com/compute/v1"
LINKS = "https://www.googleapis.com/compute/v1"
GLOBAL = f"projects/{PROJECT}/global"
REGION = f"projects/{PROJECT}/regions/us-central1"


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    return emulator.session()


def done(session: requests.Session, answer: requests.Response) -> dict[str, Any]:
    """What an operation ends as."""
    assert answer.status_code == 200, answer.text
    path = answer.json()["selfLink"].removeprefix(LINKS)
    ended: dict[str, Any] = session.post(f"{API}{path}/wait").json()
    assert ended["status"] == "DONE", ended
    return ended


def make(session: requests.Session, place: str, collection: str, **body: Any) -> dict[str, Any]:
    done(session, session.post(f"{API}/{place}/{collection}", json=body))
    return read(session, place, collection, body["name"])


def read(session: requests.Session, place: str, collection: str, name: str) -> dict[str, Any]:
    answer = session.get(f"{API}/{place}/{collection}/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def balancer(session: requests.Session) -> requests.Session:
    """The caller who has made what answers at a global address, from the health check on."""
    make(session, GLOBAL, "healthChecks", name="alive", type="HTTP")
    make(
        session,
        GLOBAL,
        "backendServices",
        name="site",
        healthChecks=["global/healthChecks/alive"],
        protocol="HTTP",
    )
    service = f"{GLOBAL}/backendServices/site"
    make(
        session,
        GLOBAL,
        "urlMaps",
        name="paths",
        defaultService=service,
        pathMatchers=[{"name": "all", "defaultService": service}],
    )
    make(session, GLOBAL, "targetHttpProxies", name="plain", urlMap=f"{GLOBAL}/urlMaps/paths")
    make(
        session,
        GLOBAL,
        "forwardingRules",
        name="front",
        target=f"{GLOBAL}/targetHttpProxies/plain",
        portRange="80",
        labels={"site": "polls"},
    )
    return session


def test_what_is_filled_in(balancer: requests.Session) -> None:
    check = read(balancer, GLOBAL, "healthChecks", "alive")
    assert check["httpHealthCheck"] == {"port": 80, "proxyHeader": "NONE", "requestPath": "/"}
    assert (check["checkIntervalSec"], check["unhealthyThreshold"]) == (5, 2)
    service = read(balancer, GLOBAL, "backendServices", "site")
    assert (service["port"], service["portName"], service["timeoutSec"]) == (80, "http", 30)
    rule = read(balancer, GLOBAL, "forwardingRules", "front")
    assert (rule["portRange"], rule["IPProtocol"], rule["loadBalancingScheme"]) == (
        "80-80",
        "TCP",
        "EXTERNAL",
    )
    assert rule["labels"] == {"site": "polls"}
    assert rule["IPAddress"].startswith("198.1")


def test_names_of_others_are_links_at_any_depth(balancer: requests.Session) -> None:
    service = f"{LINKS}/{GLOBAL}/backendServices/site"
    paths = read(balancer, GLOBAL, "urlMaps", "paths")
    assert (paths["defaultService"], paths["pathMatchers"][0]["defaultService"]) == (service, service)
    checks = read(balancer, GLOBAL, "backendServices", "site")["healthChecks"]
    assert checks == [f"{LINKS}/{GLOBAL}/healthChecks/alive"]
    # Recorded: this one stays as it was written.
    assert read(balancer, GLOBAL, "targetHttpProxies", "plain")["urlMap"] == f"{GLOBAL}/urlMaps/paths"


def test_what_another_names_is_kept(balancer: requests.Session) -> None:
    chain = (
        ("health check", "healthChecks/alive", "backendServices/site"),
        ("backend service", "backendServices/site", "urlMaps/paths"),
        ("URL map", "urlMaps/paths", "targetHttpProxies/plain"),
        ("target HTTP proxy", "targetHttpProxies/plain", "forwardingRules/front"),
    )
    for noun, path, user in chain:
        refused = balancer.delete(f"{API}/{GLOBAL}/{path}")
        assert refused.status_code == 400, path
        expected = f"The {noun} resource '{GLOBAL}/{path}' is already being used by '{GLOBAL}/{user}'"
        assert refused.json()["error"]["message"] == expected
    for path in ("forwardingRules/front", *(path for _, path, _ in reversed(chain))):
        done(balancer, balancer.delete(f"{API}/{GLOBAL}/{path}"))


def test_operations_are_called_as_recorded(balancer: requests.Session) -> None:
    """The answers of global URL maps are done at once; a target is set by `SetTarget`."""
    second = balancer.post(f"{API}/{GLOBAL}/urlMaps", json={"name": "second"}).json()
    assert second["status"] == "DONE"
    make(balancer, GLOBAL, "targetHttpProxies", name="other", urlMap=f"{GLOBAL}/urlMaps/second")
    target = {"target": f"{GLOBAL}/targetHttpProxies/other"}
    moved = balancer.post(f"{API}/{GLOBAL}/forwardingRules/front/setTarget", json=target)
    assert done(balancer, moved)["operationType"] == "SetTarget"
    rule = read(balancer, GLOBAL, "forwardingRules", "front")
    assert rule["target"] == f"{LINKS}/{GLOBAL}/targetHttpProxies/other"
    proxy = f"{API}/projects/{PROJECT}/targetHttpProxies/other/setUrlMap"
    done(balancer, balancer.post(proxy, json={"urlMap": f"{GLOBAL}/urlMaps/paths"}))
    assert read(balancer, GLOBAL, "targetHttpProxies", "other")["urlMap"] == f"{GLOBAL}/urlMaps/paths"


def test_an_update_replaces_and_keeps_to_the_fingerprint(balancer: requests.Session) -> None:
    before = read(balancer, GLOBAL, "backendServices", "site")
    url = f"{API}/{GLOBAL}/backendServices/site"
    stale = balancer.patch(url, json={"timeoutSec": 60, "fingerprint": "AAAA"})
    assert stale.status_code == 412
    done(balancer, balancer.patch(url, json={"timeoutSec": 60, "fingerprint": before["fingerprint"]}))
    changed = read(balancer, GLOBAL, "backendServices", "site")
    assert changed["timeoutSec"] == 60
    assert changed["fingerprint"] != before["fingerprint"]
    assert changed["id"] == before["id"]
    replaced = {"name": "site", "healthChecks": [], "fingerprint": changed["fingerprint"]}
    done(balancer, balancer.put(url, json=replaced))
    assert read(balancer, GLOBAL, "backendServices", "site")["timeoutSec"] == 30


def test_secrets_are_not_told_again(session: requests.Session) -> None:
    service = make(
        session, GLOBAL, "backendServices", name="inner", iap={"enabled": True, "oauth2ClientSecret": "s3"}
    )
    assert service["iap"] == {
        "enabled": True,
        "oauth2ClientSecretSha256": hashlib.sha256(b"s3").hexdigest(),
    }
    pem, key, expires = _certificate()
    own = make(session, REGION, "sslCertificates", name="own", certificate=pem, privateKey=key)
    assert (own["type"], own["selfManaged"], own["expireTime"]) == (
        "SELF_MANAGED",
        {"certificate": pem},
        expires,
    )
    assert "privateKey" not in own
    wrong = session.post(f"{API}/{GLOBAL}/sslCertificates", json={"name": "bad", "certificate": "none"})
    assert wrong.status_code == 400
    managed = make(session, GLOBAL, "sslCertificates", name="google", managed={"domains": ["a.example.com"]})
    assert (managed["type"], managed["managed"]["status"]) == ("MANAGED", "PROVISIONING")


def _certificate() -> tuple[str, str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example.com")])
    begins = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return (
        built.public_bytes(serialization.Encoding.PEM).decode(),
        secret.decode(),
        "2026-04-01T00:00:00.000000Z",
    )


def test_profiles_say_what_an_ssl_policy_allows(session: requests.Session) -> None:
    policy = make(session, GLOBAL, "sslPolicies", name="tls", profile="RESTRICTED", minTlsVersion="TLS_1_2")
    assert len(policy["enabledFeatures"]) == 6
    url = f"{API}/{GLOBAL}/sslPolicies/tls"
    changed = done(
        session, session.patch(url, json={"profile": "MODERN", "fingerprint": policy["fingerprint"]})
    )
    assert changed["operationType"] == "compute.sslPolicies.patch"
    features = read(session, GLOBAL, "sslPolicies", "tls")["enabledFeatures"]
    assert len(features) == 10
    assert features == sorted(features)


def test_rules_of_a_security_policy_are_in_order(session: requests.Session) -> None:
    everybody = {"versionedExpr": "SRC_IPS_V1", "config": {"srcIpRanges": ["*"]}}
    rules = [
        {"action": "deny(403)", "match": everybody, "priority": 2147483647},
        {"action": "allow", "match": everybody, "priority": 1000, "preview": True},
    ]
    policy = make(session, GLOBAL, "securityPolicies", name="armor", rules=rules)
    assert policy["type"] == "CLOUD_ARMOR"
    assert [(rule["priority"], rule["preview"]) for rule in policy["rules"]] == [
        (1000, True),
        (2147483647, False),
    ]
    assert make(session, GLOBAL, "securityPolicies", name="open")["rules"][0]["action"] == "allow"


def test_a_serverless_endpoint_group_names_one_service(session: requests.Session) -> None:
    group = {"name": "run", "networkEndpointType": "SERVERLESS"}
    refused = session.post(f"{API}/{REGION}/networkEndpointGroups", json=group)
    assert refused.status_code == 400
    made = session.post(
        f"{API}/{REGION}/networkEndpointGroups", json={**group, "cloudRun": {"service": "polls"}}
    )
    assert made.json()["operationType"] == "compute.regionNetworkEndpointGroups.insert"
    done(session, made)
    found = read(session, REGION, "networkEndpointGroups", "run")
    assert (found["size"], found["region"]) == (0, f"{LINKS}/{REGION}")


def test_firewalls_and_templates(session: requests.Session) -> None:
    wall = make(session, GLOBAL, "firewalls", name="web", allowed=[{"IPProtocol": "tcp", "ports": ["80"]}])
    assert (wall["direction"], wall["priority"], wall["sourceRanges"]) == ("INGRESS", 1000, ["0.0.0.0/0"])
    assert wall["network"] == f"{LINKS}/{GLOBAL}/networks/default"
    assert session.delete(f"{API}/{GLOBAL}/networks/default").status_code == 400
    properties = {
        "machineType": "e2-small",
        "disks": [{"boot": True}],
        "networkInterfaces": [{"network": "global/networks/default"}],
    }
    template = make(session, GLOBAL, "instanceTemplates", name="small", properties=properties)["properties"]
    assert template["disks"][0]["deviceName"] == "boot"
    assert template["networkInterfaces"][0]["name"] == "nic0"
    assert template["scheduling"] == {
        "automaticRestart": True,
        "onHostMaintenance": "MIGRATE",
        "preemptible": False,
    }


def test_regions_and_zones(session: requests.Session) -> None:
    region = session.get(f"{API}/{REGION}").json()
    assert (region["status"], len(region["zones"])) == ("UP", 4)
    zone = session.get(f"{API}/projects/{PROJECT}/zones/us-central1-f").json()
    assert (zone["kind"], zone["region"]) == ("compute#zone", f"{LINKS}/{REGION}")
    absent = session.get(f"{API}/projects/{PROJECT}/zones/us-central1-z")
    assert absent.status_code == 404
    assert (
        absent.json()["error"]["message"]
        == f"The resource 'projects/{PROJECT}/zones/us-central1-z' was not found"
    )
    listed = session.get(f"{API}/projects/{PROJECT}/zones", params={"filter": ""}).json()
    assert listed["kind"] == "compute#zoneList"
    names = {one["name"] for one in listed["items"]}
    assert {"europe-west1-b", "us-east1-d"} <= names
    assert "europe-west1-a" not in names
