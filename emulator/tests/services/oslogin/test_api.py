"""Login profiles: keys and when they end, POSIX accounts and their names, and who may log in to which machine."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import pytest
import requests
from gcp_emulator import seed
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.oslogin.ports import LoginProfiles, LoginUser

from emulator.tests.running import OWNER, PROJECT, RunningEmulator

EMAIL = OWNER.partition(":")[2]
USER = f"https://oslogin.googleapis.com/v1/users/{EMAIL}"
MEMBER = "user:someone@example.com"


def public_key(seed_of_it: int = 0) -> str:
    """A key of the right form that nobody has the other half of."""
    kind = b"ssh-ed25519"
    blob = len(kind).to_bytes(4) + kind + (32).to_bytes(4) + bytes([seed_of_it]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def fingerprint(key: str) -> str:
    return hashlib.sha256(base64.b64decode(key.split()[1])).hexdigest()


def in_seconds(seconds: float) -> str:
    return str(int((time.time() + seconds) * 1e6))


def ok(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def imported(session: requests.Session, key: str, project: str = PROJECT, **more: str) -> dict[str, Any]:
    body = {"key": key, **more}
    found: dict[str, Any] = ok(
        session.post(f"{USER}:importSshPublicKey", json=body, params={"projectId": project})
    )["loginProfile"]
    return found


def users(emulator: RunningEmulator, project: str = PROJECT) -> list[LoginUser]:
    return emulator.call(lambda: list(emulator.context.ports.find(LoginProfiles).users(project)))


def test_an_imported_key_makes_the_account_that_one_logs_in_with(emulator: RunningEmulator) -> None:
    session, ends = emulator.session(), in_seconds(3600)
    profile = imported(session, f"{public_key()} me@laptop", expirationTimeUsec=ends)
    (account,) = profile["posixAccounts"]
    assert account["username"] == "owner_example_com"
    assert account["homeDirectory"] == "/home/owner_example_com"
    assert account["uid"] == account["gid"]
    assert 2**16 <= int(account["uid"]) < 2**31
    assert (account["primary"], account["accountId"]) == (True, PROJECT)
    assert account["name"] == f"users/{EMAIL}/projects/{PROJECT}"
    mark = fingerprint(public_key())
    assert profile["sshPublicKeys"] == {
        mark: {
            "key": f"{public_key()} me@laptop",
            "fingerprint": mark,
            "expirationTimeUsec": ends,
            "name": f"users/{EMAIL}/sshPublicKeys/{mark}",
        }
    }
    assert ok(session.get(f"{USER}/loginProfile", params={"projectId": emulator.number})) == profile
    uid = int(account["uid"])
    assert users(emulator) == [
        LoginUser(
            "owner_example_com",
            uid,
            uid,
            "/home/owner_example_com",
            (f"{public_key()} me@laptop",),
            EMAIL,
        )
    ]
    assert users(emulator, "other") == []
    # Importing once more gives another end, and no other account.
    again = imported(session, public_key())
    assert again["posixAccounts"] == [account]
    assert "expirationTimeUsec" not in again["sshPublicKeys"][mark]


def test_a_key_ends(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    session = emulator.session()
    imported(session, public_key(), expirationTimeUsec=in_seconds(60))
    imported(session, public_key(1))
    later = time.time() + 61
    monkeypatch.setattr("gcp_emulator.services.oslogin.api.time.time", lambda: later)
    assert set(ok(session.get(f"{USER}/loginProfile"))["sshPublicKeys"]) == {fingerprint(public_key(1))}
    assert session.get(f"{USER}/sshPublicKeys/{fingerprint(public_key())}").status_code == 404
    assert [one.ssh_keys for one in users(emulator)] == [(public_key(1),)]


def test_the_life_of_a_key(emulator: RunningEmulator) -> None:
    session, mark = emulator.session(), fingerprint(public_key())
    made = ok(session.post(f"{USER}/sshPublicKeys", json={"key": public_key()}))
    url = f"{USER}/sshPublicKeys/{mark}"
    assert ok(session.get(url)) == made
    assert session.post(f"{USER}/sshPublicKeys", json={"key": public_key()}).status_code == 409
    ends = in_seconds(60)
    changed = session.patch(
        url, params={"updateMask": "expirationTimeUsec"}, json={"expirationTimeUsec": ends}
    )
    assert ok(changed)["expirationTimeUsec"] == ends
    refused = session.patch(url, params={"updateMask": "key"}, json={"key": public_key(1)})
    assert refused.status_code == 400
    assert ok(session.delete(url)) == {}
    assert session.delete(url).status_code == 404
    # Without a project there was no account.
    assert users(emulator) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"key": "ssh-ed25519 !"}, "key"),
        ({"key": public_key().replace("ssh-ed25519 ", "ssh-rsa ")}, "key"),
        ({"key": "ssh-ed25519"}, "key"),
        ({"key": ""}, "key"),
        ({"key": public_key(), "expirationTimeUsec": "1"}, "expirationTimeUsec"),
    ],
)
def test_what_is_no_key_is_refused(emulator: RunningEmulator, body: dict[str, str], field: str) -> None:
    answer = emulator.session().post(f"{USER}:importSshPublicKey", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["fieldViolations"][0]["field"] == field


def test_a_profile_is_of_its_user(emulator: RunningEmulator) -> None:
    other = emulator.session(MEMBER)
    assert other.get(f"{USER}/loginProfile").status_code == 403
    assert other.post(f"{USER}:importSshPublicKey", json={"key": public_key()}).status_code == 403
    assert emulator.session(None).get(f"{USER}/loginProfile").status_code == 401
    # By its number, too.
    session = emulator.session()
    number = ok(session.get(f"{USER}/loginProfile"))["name"]
    assert ok(session.get(f"https://oslogin.googleapis.com/v1/users/{number}/loginProfile"))["name"] == number


def test_a_project_that_is_not_there_or_has_no_os_login(emulator: RunningEmulator) -> None:
    session = emulator.session()
    body = {"key": public_key()}
    missing = session.post(f"{USER}:importSshPublicKey", json=body, params={"projectId": "nowhere"})
    assert missing.status_code == 403
    emulator.disable("oslogin.googleapis.com")
    disabled = session.post(f"{USER}:importSshPublicKey", json=body, params={"projectId": PROJECT})
    assert disabled.status_code == 403
    assert disabled.json()["error"]["details"][0]["reason"] == "SERVICE_DISABLED"


def test_accounts_are_made_and_deleted_by_themselves(emulator: RunningEmulator) -> None:
    session = emulator.session()
    made = ok(session.post(f"{USER}/projects/{PROJECT}", json={}))
    assert made["username"] == "owner_example_com"
    assert ok(session.delete(f"{USER}/projects/{PROJECT}")) == {}
    assert session.delete(f"{USER}/projects/{PROJECT}").status_code == 404
    assert ok(session.get(f"{USER}/loginProfile")).get("posixAccounts", []) == []


def test_names_of_service_accounts_and_of_people_from_elsewhere(emulator: RunningEmulator) -> None:
    accounts = emulator.context.ports.find(Accounts)
    robot = emulator.call(accounts.create, PROJECT, "deployer")
    file = emulator.emulator.settings.state / "seed.yaml"
    file.write_text(
        json.dumps(
            {
                "organizations": [{"id": "123456789012", "domain": "example.com"}],
                "projects": [{"id": "ours", "parent": "organizations/123456789012"}],
            }
        )
    )
    emulator.call(seed.apply, emulator.context, file)
    emulator.call(emulator.context.projects.set_enabled, "ours", "oslogin.googleapis.com", enabled=True)

    def name(member: str, project: str) -> str:
        email = member.partition(":")[2]
        answer = emulator.session(member).post(
            f"https://oslogin.googleapis.com/v1/users/{email}:importSshPublicKey",
            json={"key": public_key()},
            params={"projectId": project},
        )
        return str(ok(answer)["loginProfile"]["posixAccounts"][0]["username"])

    assert name(f"serviceAccount:{robot['email']}", "ours") == f"sa_{robot['uniqueId']}"
    assert name("user:Some.One@example.com", "ours") == "some_one_example_com"
    assert name("user:guest@elsewhere.org", "ours") == "ext_guest_elsewhere_org"
    assert name("user:guest@elsewhere.org", PROJECT) == "guest_elsewhere_org"


def test_who_may_log_in(emulator: RunningEmulator) -> None:
    path = f"projects/{PROJECT}/zones/us-central1-a/instances/web"
    robot = emulator.call(emulator.context.ports.find(Accounts).create, PROJECT, "web-robot")
    instance = {"serviceAccounts": [{"email": robot["email"]}]}
    emulator.call(emulator.context.store.collection("compute.instances").put, path, instance)

    def may(member: str) -> str:
        profiles = emulator.context.ports.find(LoginProfiles)
        return emulator.call(profiles.may_log_in, member.partition(":")[2], path)

    assert may(OWNER) == "admin"
    assert may(MEMBER) == ""
    emulator.grant(f"projects/{PROJECT}", "roles/compute.osLogin", MEMBER)
    assert may(MEMBER) == "", "without the right to act as the account of the machine"
    emulator.grant(robot["name"], "roles/iam.serviceAccountUser", MEMBER)
    assert may(MEMBER) == "login"
    emulator.grant(f"projects/{PROJECT}", "roles/compute.osAdminLogin", MEMBER)
    assert may(MEMBER) == "admin"
    emulator.call(emulator.context.store.collection("compute.instances").delete, path)
    assert may(OWNER) == "", "there is no such machine"
