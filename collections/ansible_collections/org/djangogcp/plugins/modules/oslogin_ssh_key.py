#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oslogin_ssh_key
short_description: Manage an SSH key of OS Login
version_added: 0.9.0
description:
  - Imports a public key into the login profile of who is calling, for some hours, and tells the name to log in with to virtual machines that have
    C(enable-oslogin) in their metadata; or removes it.
  - Whoever logs in needs C(roles/compute.osLogin), or C(roles/compute.osAdminLogin) for the rights of root, and C(roles/iam.serviceAccountUser) on the
    service account of the machine.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
options:
  key:
    description:
      - The public key, as it is in a file such as C(id_ed25519.pub). It is told from others without its comment.
    type: str
    required: true
  account:
    description:
      - The e-mail address of the user or service account whose profile it is. Who is calling if not set; others' profiles are for the administrators of
        an organization.
    type: str
  lifetime:
    description:
      - For how many seconds the key is good. A key that is there and has more than half of that left is as asked; otherwise it is imported anew. One that
        is good for ever gets an end.
    type: int
    default: 28800
  state:
    description:
      - Whether the key is there.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: org.djangogcp.compute_instance_info
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Log in with a key for a working day
  org.djangogcp.oslogin_ssh_key:
    project: my-project
    key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKb6dMYbUqcDbI6JjRGJ5mSzsm6c8hAxUVA5Z1tRrmT1 deploy
  register: login

- name: Let it be good for a day
  org.djangogcp.oslogin_ssh_key:
    project: my-project
    key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKb6dMYbUqcDbI6JjRGJ5mSzsm6c8hAxUVA5Z1tRrmT1 deploy
    lifetime: 86400

- name: Remove it
  org.djangogcp.oslogin_ssh_key:
    project: my-project
    key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKb6dMYbUqcDbI6JjRGJ5mSzsm6c8hAxUVA5Z1tRrmT1 deploy
    state: absent
"""

RETURN = r"""
account:
  description: Whose profile it is.
  returned: success
  type: str
  sample: you@example.com
username:
  description: The name to log in with. Empty in check mode if the profile has none yet, and where the key is absent.
  returned: success
  type: str
  sample: you_example_com
expires:
  description: When the key ends. Empty where it is absent.
  returned: success
  type: str
  sample: "2026-01-31T20:00:00Z"
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [import the SSH key of you@example.com]
"""

import datetime
import time

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import STATE_ARG
from ansible_collections.org.djangogcp.plugins.module_utils._caller import find_caller
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._services import oslogin

ARGUMENT_SPEC = {
    # A public key hides nothing.
    "key": {"type": "str", "required": True, "no_log": False},
    "account": {"type": "str"},
    "lifetime": {"type": "int", "default": 28800},
    "state": STATE_ARG,
}
RULES = {"key": rules.SSH_PUBLIC_KEY, "account": rules.ACCOUNT, "lifetime": rules.KEY_SECONDS}


def work(task: Task) -> Json:
    """Import the key, or remove it."""
    account = task.params["account"] or find_caller(task.client)["email"]
    profile = oslogin.find_profile(task.client, account, task.project)
    return (_absent if task.params["state"] == "absent" else _present)(task, account, profile)


def _present(task: Task, account: str, profile: Json) -> Json:
    key, lifetime, now = task.params["key"].strip(), int(task.params["lifetime"]), time.time()
    there = oslogin.key_of(profile, key)
    ends = int((there or {}).get("expirationTimeUsec") or 0)
    username = oslogin.username_of(profile, task.project)
    if username and now + lifetime / 2 < ends / 1e6:
        return _result(account, username, ends, [])
    fresh = int((now + lifetime) * 1e6)
    if not task.check_mode:
        imported = oslogin.import_key(task.client, account, task.project, key, fresh)
        username = oslogin.username_of(imported, task.project)
    before = f"SSH key that ends {_moment(ends)}\n" if there else ""
    return _result(account, username, fresh, [f"import the SSH key of {account}"], before)


def _absent(task: Task, account: str, profile: Json) -> Json:
    there = oslogin.key_of(profile, task.params["key"])
    if there is None:
        return _result(account, "", 0, [])
    if not task.check_mode:
        oslogin.delete_key(task.client, account, there["fingerprint"])
    ends = int(there.get("expirationTimeUsec") or 0)
    return _result(
        account, "", 0, [f"delete the SSH key of {account}"], f"SSH key that ends {_moment(ends)}\n"
    )


def _result(account: str, username: str, ends: int, actions: list[str], before: str = "") -> Json:
    after = f"SSH key that ends {_moment(ends)}\n" if ends else ""
    return {
        "changed": bool(actions),
        "account": account,
        "username": username,
        "expires": _moment(ends) if ends else "",
        "actions": actions,
        "diff": {"before": before, "after": after} if actions else {"before": after, "after": after},
    }


def _moment(microseconds: int) -> str:
    if not microseconds:
        return "never"
    moment = datetime.datetime.fromtimestamp(microseconds // 1_000_000, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES)


if __name__ == "__main__":
    main()
