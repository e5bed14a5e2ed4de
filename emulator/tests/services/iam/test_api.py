"""Service accounts, their keys and policies; predefined roles."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.tests.running import RunningEmulator

BASE = "https://iam.googleapis.com/v1"
CRM = "https://cloudresourcemanager.googleapis.com/v1/projects"


def _create(emulator: RunningEmulator, account_id: str = "shop-web", **fields: Any) -> dict[str, Any]:
    body = {"accountId": account_id, "serviceAccount": fields}
    answer = emulator.session().post(f"{BASE}/projects/{emulator.project}/serviceAccounts", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_account_is_found_by_every_one_of_its_names(emulator: RunningEmulator) -> None:
    made = _create(emulator, displayName="Shop")
    email = f"shop-web@{emulator.project}.iam.gserviceaccount.com"
    assert (made["name"], made["email"], made["displayName"]) == (
        f"projects/{emulator.project}/serviceAccounts/{email}",
        email,
        "Shop",
    )
    session = emulator.session()
    for project in (emulator.project, emulator.number, "-"):
        for name in (email, made["uniqueId"]):
            assert session.get(f"{BASE}/projects/{project}/serviceAccounts/{name}").json() == made
    listed = session.get(f"{BASE}/projects/{emulator.project}/serviceAccounts").json()
    assert listed == {"accounts": [made]}


@pytest.mark.parametrize(
    ("account_id", "status", "message"),
    [
        ("web", 400, 'The account ID "web" does not have a length between 6 and 30.'),
        ("a" * 31, 400, f'The account ID "{"a" * 31}" does not have a length between 6 and 30.'),
        (
            "Shop-web",
            400,
            'The account ID "Shop-web" does not match the pattern "[a-z]([-a-z0-9]*[a-z0-9])".',
        ),
        (
            "taken-name",
            409,
            "Service account taken-name already exists within project projects/test-project.",
        ),
    ],
)
def test_bad_and_taken_names_are_refused(
    emulator: RunningEmulator, account_id: str, status: int, message: str
) -> None:
    _create(emulator, "taken-name")
    answer = emulator.session().post(
        f"{BASE}/projects/{emulator.project}/serviceAccounts", json={"accountId": account_id}
    )
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, message)


def test_an_unknown_account_is_404_for_those_who_may_know(emulator: RunningEmulator) -> None:
    email = f"nobody@{emulator.project}.iam.gserviceaccount.com"
    for project in (emulator.project, "-"):
        url = f"{BASE}/projects/{project}/serviceAccounts/{email}"
        answer = emulator.session().get(url)
        assert (answer.status_code, answer.json()["error"]["message"]) == (
            404,
            "Unknown service account",
        )
        assert answer.json()["error"]["status"] == "NOT_FOUND"
        assert answer.json()["error"]["errors"] == [
            {"domain": "global", "message": "Unknown service account", "reason": "notFound"}
        ]
        assert emulator.session("user:stranger@example.com").get(url).status_code == 403


def test_patch_changes_what_the_mask_names(emulator: RunningEmulator) -> None:
    made = _create(emulator, displayName="Shop", description="old")
    session = emulator.session()
    url = f"{BASE}/{made['name']}"
    body = {"serviceAccount": {"description": "new", "displayName": "x"}, "updateMask": "description"}
    changed = session.patch(url, json=body).json()
    assert (changed["displayName"], changed["description"]) == ("Shop", "new")
    assert changed["etag"] != made["etag"]
    stale = session.patch(
        url,
        json={
            "serviceAccount": {"description": "y", "etag": made["etag"]},
            "updateMask": "description",
        },
    )
    assert (stale.status_code, stale.json()["error"]["status"]) == (409, "ABORTED")
    wrong = session.patch(url, json={"serviceAccount": {}, "updateMask": "email"})
    assert wrong.status_code == 400
    renamed = session.put(url, json={"displayName": "Shop 2", "etag": changed["etag"]}).json()
    assert (renamed["displayName"], renamed["description"]) == ("Shop 2", "new")


def test_a_deleted_account_stays_in_policies_without_power_and_comes_back(emulator: RunningEmulator) -> None:
    made = _create(emulator)
    member = f"serviceAccount:{made['email']}"
    emulator.grant(f"projects/{emulator.project}", "roles/run.viewer", member)
    session, acting = emulator.session(), emulator.session(member)
    project = f"{CRM}/{emulator.project}"
    asked = {"permissions": ["run.services.get"]}
    assert acting.post(f"{project}:testIamPermissions", json=asked).json() == asked
    assert session.delete(f"{BASE}/{made['name']}").json() == {}
    assert acting.post(f"{project}:testIamPermissions", json=asked).status_code == 401
    policy = session.post(f"{project}:getIamPolicy", json={}).json()
    members = next(b["members"] for b in policy["bindings"] if b["role"] == "roles/run.viewer")
    assert members == [f"deleted:{member}?uid={made['uniqueId']}"]
    assert session.post(f"{project}:setIamPolicy", json={"policy": policy}).status_code == 200

    restored = session.post(
        f"{BASE}/projects/{emulator.project}/serviceAccounts/{made['uniqueId']}:undelete", json={}
    )
    assert restored.json()["restoredAccount"]["email"] == made["email"]
    assert emulator.session(member).post(f"{project}:testIamPermissions", json=asked).json() == asked


def test_an_account_made_anew_has_nothing_of_the_old_one(emulator: RunningEmulator) -> None:
    made = _create(emulator)
    member = f"serviceAccount:{made['email']}"
    emulator.grant(f"projects/{emulator.project}", "roles/run.viewer", member)
    emulator.session().delete(f"{BASE}/{made['name']}")
    again = _create(emulator)
    assert again["uniqueId"] != made["uniqueId"]
    answer = emulator.session(member).post(
        f"{CRM}/{emulator.project}:testIamPermissions", json={"permissions": ["run.services.get"]}
    )
    assert answer.json() == {}


def test_the_policy_of_an_account_says_who_may_act_as_it(emulator: RunningEmulator) -> None:
    made = _create(emulator)
    session = emulator.session()
    url = f"{BASE}/{made['name']}"
    policy = session.post(f"{url}:getIamPolicy").json()
    policy["bindings"] = [{"role": "roles/iam.serviceAccountUser", "members": ["user:dev@example.com"]}]
    assert session.post(f"{url}:setIamPolicy", json={"policy": policy}).status_code == 200
    asked = {"permissions": ["iam.serviceAccounts.actAs", "iam.serviceAccounts.delete"]}
    allowed = emulator.session("user:dev@example.com").post(f"{url}:testIamPermissions", json=asked)
    assert allowed.json() == {"permissions": ["iam.serviceAccounts.actAs"]}
    refused = emulator.session("user:dev@example.com").delete(url)
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        403,
        f"Permission 'iam.serviceAccounts.delete' denied on resource '{made['name']}' (or it may not exist).",
    )


def test_keys_are_made_listed_and_deleted(emulator: RunningEmulator) -> None:
    made = _create(emulator)
    session = emulator.session()
    url = f"{BASE}/{made['name']}/keys"
    key = session.post(url, json={}).json()
    user_keys = session.get(url, params={"keyTypes": "USER_MANAGED"}).json()["keys"]
    assert [k["name"] for k in user_keys] == [key["name"]]
    assert "privateKeyData" not in user_keys[0]
    (system,) = session.get(url, params={"keyTypes": "SYSTEM_MANAGED"}).json()["keys"]
    refused = session.delete(f"{BASE}/{system['name']}")
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    assert session.delete(f"{BASE}/{key['name']}").json() == {}
    assert session.get(f"{BASE}/{key['name']}").status_code == 404


def test_roles_tell_their_permissions(emulator: RunningEmulator) -> None:
    session = emulator.session("user:anybody@example.com")
    role = session.get(f"{BASE}/roles/run.jobsExecutorWithOverrides").json()
    assert role["includedPermissions"] == [
        "run.executions.cancel",
        "run.jobs.run",
        "run.jobs.runWithOverrides",
    ]
    admin = session.get(f"{BASE}/roles/run.admin").json()
    assert "run.services.setIamPolicy" in admin["includedPermissions"]
    assert not any("*" in permission for permission in admin["includedPermissions"])
    unknown = session.get(f"{BASE}/roles/run.emperor")
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (
        404,
        "The role named roles/run.emperor was not found.",
    )
    listed = session.get(f"{BASE}/roles", params={"pageSize": "10000"}).json()["roles"]
    assert "includedPermissions" not in listed[0]
    assert {"roles/owner", "roles/run.admin", "roles/cloudsql.client"} <= {role["name"] for role in listed}
    assert len(listed) > 2000
    bare = session.get(f"{BASE}/roles/firebasehosting.admin").json()
    assert ("includedPermissions" in bare, "grants nothing" in bare["description"]) == (False, True)
