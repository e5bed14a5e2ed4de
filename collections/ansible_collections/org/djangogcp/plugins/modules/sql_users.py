#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_users
short_description: Manage the users of a Cloud SQL instance
version_added: 1.0.0
description:
  - Makes a list of users of a Cloud SQL for PostgreSQL instance what is asked, one after the other, since an instance does one
    thing at a time.
  - The password of a built-in user is the newest version of a secret, read in the module and never returned.
  - Cloud SQL never tells a password. So the module writes into the annotations of the secret which version it has given to the
    user, and gives the user the newest version when that is another one. A password that was changed by hand is not noticed.
    When the annotation is lost, the password is given again.
  - A built-in user that is made without O(users[].database_roles) is a member of C(cloudsqlsuperuser).
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._wait
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
  users:
    description: The users.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name. For O(users[].type=CLOUD_IAM_SERVICE_ACCOUNT) the account's e-mail address, with or without
            C(.gserviceaccount.com).
        type: str
        required: true
      state:
        description:
          - Whether it exists. PostgreSQL refuses to remove a user that owns something.
        type: str
        choices: [present, absent]
        default: present
      type:
        description: Who proves who the user is, the database or IAM. It cannot be changed later.
        type: str
        choices: [BUILT_IN, CLOUD_IAM_USER, CLOUD_IAM_SERVICE_ACCOUNT, CLOUD_IAM_GROUP]
        default: BUILT_IN
      password_secret:
        description: The name of the secret in the same project that holds the password of a built-in user. Refused for others.
        type: str
      database_roles:
        description:
          - All roles that the user is a member of, in any order. Others are revoked, unless O(users[].append_roles=true).
        type: list
        elements: str
      append_roles:
        description: Whether roles of the user that are not in O(users[].database_roles) stay. Needs that option.
        type: bool
        default: false
  secrets:
    description:
      - What M(org.djangogcp.secrets) returned as RV(org.djangogcp.secrets#module:secrets) in the same run, so that the secrets of the
        passwords are not read once more. A secret that is not among them is read.
    type: list
    elements: dict
seealso:
  - module: org.djangogcp.secrets
  - module: org.djangogcp.sql_statements
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Ensure the users of a site
  org.djangogcp.sql_users:
    project: my-project
    instance: djangogcp
    users:
      - name: polls_migrator
        password_secret: polls-migrator-db-password
      - name: polls_web
        password_secret: polls-web-db-password
      - name: deployer@my-project.iam.gserviceaccount.com
        type: CLOUD_IAM_SERVICE_ACCOUNT
        database_roles: [cloudsqlsuperuser]

- name: Take all further roles from a user
  org.djangogcp.sql_users:
    project: my-project
    instance: djangogcp
    users:
      - name: polls_web
        database_roles: []

- name: Remove a user
  org.djangogcp.sql_users:
    project: my-project
    instance: djangogcp
    users:
      - name: polls_web
        state: absent
"""

RETURN = r"""
users:
  description: The users in the asked order, as they are now, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls_web
      instance: djangogcp
      project: my-project
      type: BUILT_IN
      password_version: "1"
      changed: true
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [create SQL user polls_web]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    STATE_ARG,
    WAIT_ARGS,
    repeated_problems,
)
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, many_results, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._rules import unknown
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import SECRET
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import USER
from ansible_collections.org.djangogcp.plugins.module_utils._sql_users import ensure_user

ARGUMENT_SPEC: dict[str, t.Any] = {
    "instance": {"type": "str", "required": True},
    "users": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "state": STATE_ARG,
            "type": {
                "type": "str",
                "choices": ["BUILT_IN", "CLOUD_IAM_USER", "CLOUD_IAM_SERVICE_ACCOUNT", "CLOUD_IAM_GROUP"],
                "default": "BUILT_IN",
            },
            "password_secret": {"type": "str", "no_log": False},
            "database_roles": {"type": "list", "elements": "str"},
            "append_roles": {"type": "bool", "default": False},
        },
    },
    "secrets": {"type": "list", "elements": "dict", "no_log": False},
    **WAIT_ARGS,
}

#: What Google accepts.
RULES = {
    "instance": rules.SQL_INSTANCE,
    "users.name": rules.SQL_USER,
    "users.password_secret": rules.SECRET_ID,
}


def desired(user: dict[str, t.Any]) -> dict[str, t.Any]:
    """What is asked of one user, the password aside."""
    return {name: user[name] for name in ("type", "database_roles")}


def work(task: Task) -> dict[str, t.Any]:
    instance = task.params["instance"]
    return many_results(
        "users", [ensure_user(task, instance, user, desired(user)) for user in task.params["users"]]
    )


#: What the module secrets says of a secret.
_OF_A_SECRET = {
    "name",
    "project",
    "changed",
    "version",
    "retired_versions",
    *(field.name for field in SECRET.fields),
}


def check(params: dict[str, t.Any]) -> list[str]:
    """What would be dropped in silence."""
    problems = repeated_problems(params["users"], "users")
    for number, user in enumerate(params["users"]):
        if user["append_roles"] and user["database_roles"] is None:
            problems.append(f"users[{number}].append_roles is true: expected database_roles as well.")
        if user["password_secret"] is not None and user["type"] != "BUILT_IN":
            problems.append(
                f"users[{number}].password_secret is set: expected none, because a user of the type {user['type']} has no password."
            )
    for number, secret in enumerate(params["secrets"] or []):
        prefix = f"secrets[{number}]."
        problems += [
            unknown(name, "a result of the module org.djangogcp.secrets", _OF_A_SECRET, prefix)
            for name in secret
            if name not in _OF_A_SECRET
        ]
    return problems


def main() -> None:
    run_module(ARGUMENT_SPEC, work, rules=RULES, tables={"users": USER.fields}, check=check)


if __name__ == "__main__":
    main()
