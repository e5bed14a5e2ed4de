# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of OS Login: when one is imported, and when it is as asked."""

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.modules import oslogin_ssh_key

USER = "https://oslogin.googleapis.com/v1/users/a@example.com"
KEY = "ssh-ed25519 AAAAC3Nz"
NOW = 1_000_000_000.0
ACCOUNT = {"accountId": "p", "username": "a_example_com", "primary": True}


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr(oslogin_ssh_key.time, "time", lambda: NOW)


def profile(left=None, accounts=(ACCOUNT,), key=f"{KEY} me@laptop"):
    """A profile with a key that has so many seconds left, or none at all."""
    one = {"key": key, "fingerprint": "0a1b"}
    if left:
        one["expirationTimeUsec"] = str(int((NOW + left) * 1e6))
    return {"name": "1", "posixAccounts": list(accounts), "sshPublicKeys": {"0a1b": one}}


def run(client, *, check_mode=False, **params):
    asked = {
        "project": "p",
        "key": KEY,
        "account": "a@example.com",
        "lifetime": 3600,
        "state": "present",
        **params,
    }
    return oslogin_ssh_key.work(Task(asked, client, check_mode))


def test_a_key_is_imported_and_tells_the_name(google, client):
    google.answer("GET", f"{USER}/loginProfile", {"name": "1"})
    google.answer("POST", f"{USER}:importSshPublicKey", {"loginProfile": profile(3600)})
    found = run(client, key=f"{KEY} deploy\n")
    assert found == {
        "changed": True,
        "account": "a@example.com",
        "username": "a_example_com",
        "expires": "2001-09-09T02:46:40Z",
        "actions": ["import the SSH key of a@example.com"],
        "diff": {"before": "", "after": "SSH key that ends 2001-09-09T02:46:40Z\n"},
    }
    assert google.bodies("POST") == [
        {"key": f"{KEY} deploy", "expirationTimeUsec": str(int((NOW + 3600) * 1e6))}
    ]
    assert [one.params for one in google.sent] == [{"projectId": "p"}, {"projectId": "p"}]


@pytest.mark.parametrize(
    ("there", "changed"),
    [
        (profile(1801), False),
        (profile(7200), False),
        (profile(1800), True),
        (profile(), True),
        (profile(3600, accounts=()), True),
        (profile(3600, key="ssh-ed25519 BBBB"), True),
        (profile(3600, accounts=({"accountId": "other", "username": "a_example_com"},)), False),
    ],
    ids=[
        "more than half",
        "more than asked",
        "half",
        "for ever",
        "no account",
        "another key",
        "an account elsewhere",
    ],
)
def test_a_key_with_more_than_half_of_its_time_is_as_asked(google, client, there, changed):
    google.answer("GET", f"{USER}/loginProfile", there)
    google.answer("POST", f"{USER}:importSshPublicKey", {"loginProfile": profile(3600)})
    found = run(client)
    assert found["changed"] is changed
    assert found["username"] == "a_example_com"
    assert google.calls == [
        "GET loginProfile",
        *(["POST a@example.com:importSshPublicKey"] if changed else []),
    ]


def test_check_mode_imports_nothing(google, client):
    google.answer("GET", f"{USER}/loginProfile", {"name": "1"})
    found = run(client, check_mode=True)
    assert (found["changed"], found["username"]) == (True, "")
    assert google.calls == ["GET loginProfile"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_key_is_removed(google, client, check_mode):
    google.answer("GET", f"{USER}/loginProfile", profile(60))
    google.answer("DELETE", f"{USER}/sshPublicKeys/0a1b", {})
    found = run(client, state="absent", check_mode=check_mode)
    assert found["actions"] == ["delete the SSH key of a@example.com"]
    assert found["diff"] == {"before": "SSH key that ends 2001-09-09T01:47:40Z\n", "after": ""}
    assert google.calls == ["GET loginProfile", *([] if check_mode else ["DELETE 0a1b"])]


def test_a_key_that_is_not_there_is_not_removed(google, client):
    google.answer("GET", f"{USER}/loginProfile", profile(60, key="ssh-ed25519 BBBB"))
    assert run(client, state="absent")["changed"] is False


def test_who_is_calling_is_asked_of_google(google, client):
    google.answer("GET", "https://www.googleapis.com/oauth2/v2/userinfo", {"email": "a@example.com"})
    google.answer("GET", f"{USER}/loginProfile", profile(3600))
    assert run(client, account=None)["account"] == "a@example.com"


def test_the_profile_of_another_is_refused(google, client, refuse):
    google.answer("GET", f"{USER}/loginProfile", refuse(403, "PERMISSION_DENIED", "Not yours."))
    with pytest.raises(
        ApiError, match=r"Failed to read the login profile of a@example\.com: Not yours \(HTTP 403"
    ):
        run(client)
