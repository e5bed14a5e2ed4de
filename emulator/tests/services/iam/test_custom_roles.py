"""Custom roles: stored with an etag, granted like others, and gone when they are deleted."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

BASE = f"https://iam.googleapis.com/v1/projects/{PROJECT}/roles"
ROLE = f"projects/{PROJECT}/roles/reader"
READER = "user:reader@example.com"
SECRETS = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    return emulator.session()


@pytest.fixture
def role(session: requests.Session) -> dict[str, Any]:
    body = {
        "roleId": "reader",
        "role": {"title": "Reader", "stage": "GA", "includedPermissions": ["secretmanager.secrets.list"]},
    }
    made = session.post(BASE, json=body)
    assert made.status_code == 200, made.text
    found: dict[str, Any] = made.json()
    return found


def test_a_role_is_shown_in_full_and_listed_in_short(session: requests.Session, role: dict[str, Any]) -> None:
    assert role == {
        "name": ROLE,
        "title": "Reader",
        "stage": "GA",
        "includedPermissions": ["secretmanager.secrets.list"],
        "etag": role["etag"],
    }
    assert session.get(f"{BASE}/reader").json() == role
    short = {key: value for key, value in role.items() if key != "includedPermissions"}
    assert session.get(BASE).json() == {"roles": [short]}
    assert session.get(f"{BASE}?view=FULL").json() == {"roles": [role]}


def test_a_stale_etag_is_refused(session: requests.Session, role: dict[str, Any]) -> None:
    changed = session.patch(f"{BASE}/reader?updateMask=title", json={"title": "Other", "etag": role["etag"]})
    assert changed.json()["title"] == "Other"
    assert changed.json()["etag"] != role["etag"]
    stale = session.patch(f"{BASE}/reader", json={"title": "Third", "etag": role["etag"]})
    assert (stale.status_code, stale.json()["error"]["status"]) == (409, "ABORTED")


def test_a_custom_role_grants_what_it_holds_until_it_is_deleted(
    emulator: RunningEmulator, session: requests.Session, role: dict[str, Any]
) -> None:
    reader = emulator.session(READER)
    emulator.grant(f"projects/{PROJECT}", ROLE, READER)
    assert reader.get(SECRETS).status_code == 200
    assert reader.get(f"{SECRETS}/s").status_code == 403
    session.patch(f"{BASE}/reader?updateMask=includedPermissions", json={"includedPermissions": []})
    assert reader.get(SECRETS).status_code == 403
    session.patch(
        f"{BASE}/reader?updateMask=includedPermissions",
        json={"includedPermissions": ["secretmanager.secrets.list"]},
    )
    deleted = session.delete(f"{BASE}/reader").json()
    assert deleted["deleted"] is True
    assert reader.get(SECRETS).status_code == 403
    assert session.get(BASE).json() == {}
    assert session.get(f"{BASE}?showDeleted=true").json()["roles"][0]["deleted"] is True
    assert session.delete(f"{BASE}/reader").status_code == 400
    assert session.patch(f"{BASE}/reader", json={"title": "x"}).status_code == 400
    back = session.post(f"{BASE}/reader:undelete", json={"etag": deleted["etag"]})
    assert "deleted" not in back.json()
    assert reader.get(SECRETS).status_code == 200
    assert session.post(f"{BASE}/reader:undelete", json={}).status_code == 400


def test_a_role_that_is_not_there_cannot_be_granted(session: requests.Session) -> None:
    url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}"
    policy = {"bindings": [{"role": ROLE, "members": [READER]}]}
    refused = session.post(f"{url}:setIamPolicy", json={"policy": policy})
    assert refused.json()["error"]["message"] == f"Role {ROLE} is not supported for this resource."


def test_the_id_of_a_role_is_taken_also_when_it_is_deleted(
    session: requests.Session, role: dict[str, Any]
) -> None:
    again = {"roleId": "reader", "role": {"title": "Reader"}}
    taken = session.post(BASE, json=again)
    message = f"A role named reader in projects/{PROJECT} already exists."
    assert (taken.status_code, taken.json()["error"]["message"]) == (409, message)
    session.delete(f"{BASE}/reader")
    refused = session.post(BASE, json=again).json()["error"]
    assert (refused["status"], "in a deleted state" in refused["message"]) == ("FAILED_PRECONDITION", True)


def test_a_new_role_is_named_by_its_id_alone(session: requests.Session) -> None:
    named = {"roleId": "writer", "role": {"name": f"projects/{PROJECT}/roles/writer"}}
    refused = session.post(BASE, json=named)
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "Must not specify role.name.")


@pytest.mark.parametrize(("role_id", "status"), [("ab", 400), ("a b c", 400), ("reader", 409)])
def test_ids_that_cannot_be_are_refused(
    session: requests.Session, role: dict[str, Any], role_id: str, status: int
) -> None:
    assert session.post(BASE, json={"roleId": role_id, "role": {}}).status_code == status


def test_a_name_that_no_role_can_have_is_refused(session: requests.Session) -> None:
    made = session.post(BASE, json={"roleId": "web-reader", "role": {"title": "Reader"}})
    assert (made.status_code, made.json()["error"]["message"]) == (
        400,
        'The role_id "web-reader" is invalid. It doesn\'t match pattern "[a-zA-Z0-9_\\.]{3,64}". The role_id must be 3 to 64 characters '
        "long and can be a mix of uppercase and lowercase English letters, digits, underscores and periods.",
    )
    looked_at = session.get(f"{BASE}/web-reader")
    assert (looked_at.status_code, looked_at.json()["error"]["message"]) == (
        400,
        'The role name must be in the form "roles/{role}", "organizations/{organization_id}/roles/{role}", or '
        '"projects/{project_id}/roles/{role}".',
    )


@pytest.mark.parametrize("permission", ["run.jobs.fly", "resourcemanager.projects.list", "storage.*"])
def test_a_role_of_a_project_has_permissions_that_it_can_give(
    session: requests.Session, permission: str
) -> None:
    made = {
        "roleId": "odd_one",
        "role": {"title": "Odd", "includedPermissions": ["run.jobs.run", permission]},
    }
    refused = session.post(BASE, json=made)
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        f"Permission {permission} is not valid.",
    )


def test_an_organization_has_roles_that_its_projects_bind(emulator: RunningEmulator) -> None:
    session = emulator.session()
    url = "https://iam.googleapis.com/v1/organizations/12/roles"
    body = {"roleId": "lister", "role": {"includedPermissions": ["secretmanager.secrets.list"]}}
    made = session.post(url, json=body).json()
    assert made["name"] == "organizations/12/roles/lister"
    again = session.post(url, json=body)
    assert again.json()["error"]["message"] == "A role named lister in organizations/12 already exists."
    reader = emulator.session(READER)
    assert reader.get(SECRETS).status_code == 403
    emulator.grant(f"projects/{PROJECT}", made["name"], READER)
    assert reader.get(SECRETS).status_code == 200
    assert session.delete(f"{url}/lister").json()["deleted"] is True
    assert reader.get(SECRETS).status_code == 403
