"""Folders and organisations, where a seed declares none."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from emulator.tests.running import RunningEmulator

BASE = "https://cloudresourcemanager.googleapis.com"
FOLDERS = f"{BASE}/v3/folders"


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    return emulator.session()


def ok(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def finished(session: requests.Session, operation: dict[str, Any]) -> dict[str, Any]:
    """The response of an operation, once it has ended; both versions tell of it."""
    deadline = time.monotonic() + 10
    while not operation.get("done"):
        assert time.monotonic() < deadline
        operation = ok(session.get(f"{BASE}/v1/{operation['name']}"))
    response: dict[str, Any] = operation["response"]
    return response


def make(session: requests.Session, name: str = "Sites", parent: str = "organizations/12") -> dict[str, Any]:
    return finished(session, ok(session.post(FOLDERS, json={"displayName": name, "parent": parent})))


def test_the_life_of_a_folder(session: requests.Session) -> None:
    begun = ok(session.post(FOLDERS, json={"displayName": "Sites", "parent": "organizations/12"}))
    assert set(begun) - {"done"} == {"name"}
    made = finished(session, begun)
    assert made["@type"] == "type.googleapis.com/google.cloud.resourcemanager.v3.Folder"
    assert (made["displayName"], made["parent"], made["state"]) == ("Sites", "organizations/12", "ACTIVE")
    url = f"{BASE}/v3/{made['name']}"
    assert ok(session.get(url)) == {key: made[key] for key in made if key != "@type"}
    assert ok(session.get(f"{url}?$alt=json;enum-encoding=int"))["state"] == 1
    renamed = finished(
        session, ok(session.patch(f"{url}?updateMask=displayName", json={"displayName": "Shops"}))
    )
    assert (renamed["displayName"], renamed["etag"] != made["etag"]) == ("Shops", True)
    gone = ok(session.delete(url))
    assert (gone["done"], "name" in gone, gone["response"]["state"]) == (True, False, "DELETE_REQUESTED")
    assert ok(session.get(f"{FOLDERS}?parent=organizations/12")) == {}
    assert len(ok(session.get(f"{FOLDERS}?parent=organizations/12&showDeleted=true"))["folders"]) == 1
    back = finished(session, ok(session.post(f"{url}:undelete", json={})))
    assert (back["state"], "deleteTime" in back) == ("ACTIVE", False)


def test_folders_are_searched(session: requests.Session) -> None:
    made = make(session)
    inner = make(session, "Small", made["name"])
    query = f'state=ACTIVE AND parent={made["name"]} AND displayName="Small"'
    found = ok(session.get(f"{FOLDERS}:search", params={"query": query}))["folders"]
    assert [one["name"] for one in found] == [inner["name"]]
    assert ok(session.get(f"{FOLDERS}:search", params={"query": 'displayName="None"'})) == {}


def test_folders_that_cannot_be_are_refused(session: requests.Session) -> None:
    outer = make(session)
    inner = make(session, "Small", outer["name"])
    again = session.post(FOLDERS, json={"displayName": "Sites", "parent": "organizations/12"})
    assert (again.status_code, again.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    for body in (
        {"displayName": "x", "parent": "organizations/12"},
        {"displayName": "Good", "parent": "nowhere/1"},
    ):
        assert session.post(FOLDERS, json=body).status_code == 400
    below = session.post(f"{BASE}/v3/{outer['name']}:move", json={"destinationParent": inner["name"]})
    assert below.json()["error"]["message"] == "A folder cannot be moved below itself."
    full = session.delete(f"{BASE}/v3/{outer['name']}")
    assert (full.status_code, full.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")


def test_who_made_a_folder_administers_it(emulator: RunningEmulator, session: requests.Session) -> None:
    url = f"{BASE}/v3/{make(session)['name']}"
    policy = ok(session.post(f"{url}:getIamPolicy", json={}))
    assert [one["role"] for one in policy["bindings"]] == [
        "roles/resourcemanager.folderAdmin",
        "roles/resourcemanager.folderEditor",
    ]
    assert {one["members"][0] for one in policy["bindings"]} == {emulator.owner}


def test_the_policy_of_an_organization_is_kept(session: requests.Session) -> None:
    url = f"{BASE}/v1/organizations/12"
    assert ok(session.post(f"{url}:getIamPolicy", json={})) == {"etag": "ACAB"}
    binding = {"role": "roles/resourcemanager.organizationAdmin", "members": ["user:a@example.com"]}
    ok(session.post(f"{url}:setIamPolicy", json={"policy": {"bindings": [binding]}}))
    assert ok(session.post(f"{BASE}/v3/organizations/12:getIamPolicy", json={}))["bindings"] == [binding]


def test_nothing_is_open_to_whoever_has_not_signed_in(emulator: RunningEmulator) -> None:
    assert emulator.session(None).get(f"{FOLDERS}:search").status_code == 401
