"""Certificates, authorizations and maps: stored as Google tells them, and no key is told again."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

HOST = "https://certificatemanager.googleapis.com/v1"
PLACE = f"projects/{PROJECT}/locations/global"


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    return emulator.session()


def message(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


def done(session: requests.Session, answer: requests.Response) -> dict[str, Any]:
    """The operation of an answer at its end."""
    assert answer.status_code == 200, answer.text
    operation: dict[str, Any] = answer.json()
    while not operation.get("done"):
        operation = session.get(f"{HOST}/{operation['name']}").json()
    return operation


def make(session: requests.Session, kind: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    word = kind.rpartition("/")[2].removesuffix("s").replace("Entrie", "Entry")
    answer = session.post(f"{HOST}/{PLACE}/{kind}", params={f"{word}Id": name}, json=body)
    operation = done(session, answer)
    assert operation["metadata"]["verb"] == "create"
    assert operation["metadata"]["target"] == f"{PLACE}/{kind}/{name}"
    response: dict[str, Any] = operation["response"]
    return response


def test_an_authorization_tells_the_record_for_the_zone(session: requests.Session) -> None:
    address = f"{HOST}/{PLACE}/dnsAuthorizations/shop"
    assert (
        message(session.get(address), 404) == f'dnsAuthorization "{PLACE}/dnsAuthorizations/shop" not found'
    )
    made = make(session, "dnsAuthorizations", "shop", {"domain": "shop.example.com"})
    assert made["@type"] == "type.googleapis.com/google.cloud.certificatemanager.v1.DnsAuthorization"
    assert made["dnsResourceRecord"] == {
        "data": "authorize.certificatemanager.goog.",
        "name": "_acme-challenge.shop.example.com.",
        "type": "CNAME",
    }
    assert made["type"] == "FIXED_RECORD"
    changed = session.patch(
        address,
        params={"updateMask": "description,labels"},
        json={"description": "Of the shop", "labels": {"team": "web"}},
    )
    assert done(session, changed)["metadata"]["verb"] == "update"
    found = session.get(address).json()
    assert (found["description"], found["labels"], found["domain"]) == (
        "Of the shop",
        {"team": "web"},
        "shop.example.com",
    )
    gone = done(session, session.delete(address))
    assert gone["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert session.get(address).status_code == 404


def test_a_certificate_of_googles_needs_its_authorizations(session: requests.Session) -> None:
    name = f"{PLACE}/dnsAuthorizations/shop"
    body = {"managed": {"domains": ["shop.example.com"], "dnsAuthorizations": [name]}}
    refused = session.post(f"{HOST}/{PLACE}/certificates", params={"certificateId": "shop"}, json=body)
    assert message(refused, 404) == f'dnsAuthorization "{name}" not found'
    make(session, "dnsAuthorizations", "shop", {"domain": "shop.example.com"})
    made = make(session, "certificates", "shop", body)
    assert made["managed"]["state"] == "ACTIVE"
    assert made["managed"]["authorizationAttemptInfo"] == [
        {"domain": "shop.example.com", "state": "AUTHORIZED"}
    ]
    two = {"managed": body["managed"], "selfManaged": {"pemCertificate": "x", "pemPrivateKey": "y"}}
    refused = session.post(f"{HOST}/{PLACE}/certificates", params={"certificateId": "two"}, json=two)
    assert message(refused, 400).startswith("Exactly one of managed, managedIdentity and selfManaged")


def test_a_key_is_taken_in_and_never_told(session: requests.Session, emulator: RunningEmulator) -> None:
    own = {"pemCertificate": "the chain", "pemPrivateKey": "the very secret key"}
    make(session, "certificates", "own", {"selfManaged": own})
    found = session.get(f"{HOST}/{PLACE}/certificates/own")
    assert found.json()["selfManaged"] == {"pemCertificate": "the chain"}
    listed = session.get(f"{HOST}/{PLACE}/certificates")
    assert "very secret" not in listed.text


def test_the_entries_of_a_map(session: requests.Session) -> None:
    entries = "certificateMaps/sites/certificateMapEntries"
    body: dict[str, Any] = {"hostname": "shop.example.com", "certificates": [f"{PLACE}/certificates/shop"]}
    address = f"{HOST}/{PLACE}/{entries}"
    asked = {"certificateMapEntryId": "shop"}
    assert message(session.post(address, params=asked, json=body), 404) == (
        f'certificateMap "{PLACE}/certificateMaps/sites" not found'
    )
    make(session, "certificateMaps", "sites", {})
    assert message(session.post(address, params=asked, json=body), 404) == (
        f'certificate "{PLACE}/certificates/shop" not found'
    )
    make(session, "certificates", "shop", {"managed": {"domains": ["shop.example.com"]}})
    assert message(session.post(address, params=asked, json={**body, "matcher": "PRIMARY"}), 400) == (
        "Exactly one of hostname and matcher has to be set."
    )
    assert make(session, entries, "shop", body)["state"] == "ACTIVE"
    assert [one["hostname"] for one in session.get(address).json()["certificateMapEntries"]] == [
        "shop.example.com"
    ]
