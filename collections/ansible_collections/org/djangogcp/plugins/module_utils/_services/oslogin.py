# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""OS Login v1: the login profile of a user or service account. Source of every wire name: the discovery document oslogin:v1.

It is no table: a key is not changed but imported again, and what it is wanted for, the name to log in with, is told by the profile.
"""

from __future__ import annotations

import typing as t
import urllib.parse

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json

_API = "https://oslogin.googleapis.com/v1"


def _user(user: str) -> str:
    return f"{_API}/users/{urllib.parse.quote(user, safe='@')}"


def find_profile(client: Client, user: str, project: str) -> Json:
    """The login profile with the POSIX account of a project; {} where there is none."""
    call = Call(f"read the login profile of {user}")
    return client.find(f"{_user(user)}/loginProfile", call, params={"projectId": project}) or {}


def key_of(profile: Json, key: str) -> Json | None:
    """A public key of a profile, whatever its comment; None where it is not there."""
    wanted = key.split()[:2]
    keys = (profile.get("sshPublicKeys") or {}).values()
    return next((one for one in keys if str(one.get("key", "")).split()[:2] == wanted), None)


def username_of(profile: Json, project: str) -> str:
    """The name to log in with to the machines of a project; "" where the profile has none yet."""
    accounts: list[Json] = profile.get("posixAccounts") or []
    own = [one for one in accounts if one.get("accountId") == project] or accounts
    first = next((one for one in own if one.get("primary")), own[0] if own else {})
    return str(first.get("username", ""))


def import_key(client: Client, user: str, project: str, key: str, expires: int) -> Json:
    """Give a profile a public key, or one that it has another end (in microseconds since the epoch); the profile.

    Importing a key once more does no harm, so it is repeated where the answer was lost.
    """
    answer = client.request(
        "POST",
        f"{_user(user)}:importSshPublicKey",
        Call(f"import the SSH key of {user}"),
        params={"projectId": project},
        body={"key": key, "expirationTimeUsec": str(expires)},
        repeatable=True,
    )
    return t.cast(Json, answer.get("loginProfile") or {})


def delete_key(client: Client, user: str, fingerprint: str) -> None:
    """Take a public key out of a profile; it may be gone already."""
    client.request(
        "DELETE",
        f"{_user(user)}/sshPublicKeys/{fingerprint}",
        Call(f"delete the SSH key {fingerprint} of {user}"),
    )
