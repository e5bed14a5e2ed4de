#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_users
short_description: Manage the users of a Cloud SQL instance
version_added: 0.9.0
description:
  - Makes a list of users of a Cloud SQL instance of PostgreSQL or MySQL what is asked, one after the other, since an instance does one
    thing at a time.
  - The password of a built-in user is the newest version of a secret, read in the module and never returned, or random and
    known to nobody.
  - Cloud SQL never tells a password. So the module writes into the annotations of the secret which version it has given to the
    user, and gives the user the newest version when that is another one. A password that was changed by hand is not noticed.
    When the annotation is lost, the password is given again.
  - A built-in user that is made without O(users[].database_roles) is a member of C(cloudsqlsuperuser).
  - What Cloud SQL's API tells of a user's roles may be absent, late, or less than all, since users are changed by SQL, too.
    With O(check_database) the database itself is asked.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
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
            C(.gserviceaccount.com). With O(users[].host), which is
            not sent then, the whole address, of which MySQL takes what stands before the C(@).
        type: str
        required: true
      state:
        description:
          - Whether it exists. PostgreSQL refuses to remove a user that owns something.
        type: str
        choices: [present, absent]
        default: present
      # From the table USER of _services/sqladmin.py: written by tests/module_docs.py.
      type:
        description: Who proves who the user is, the database or IAM. It cannot be changed later.
        type: str
        choices: [BUILT_IN, CLOUD_IAM_USER, CLOUD_IAM_SERVICE_ACCOUNT, CLOUD_IAM_GROUP]
        default: BUILT_IN
      host:
        description: The host that a user of MySQL comes from, V(%) for any. Users of one name and different hosts are different
          users.
        type: str
      password_policy:
        description: What is asked of the password of a user of MySQL.
        type: dict
        suboptions:
          allowed_failed_attempts:
            description: How often a wrong password may be given.
            type: int
          enable_failed_attempts_check:
            description: Whether wrong passwords lock the user.
            type: bool
          enable_password_verification:
            description: Whether the user has to give the old password to change it.
            type: bool
          password_expiration_duration:
            description: How long the password is valid, such as V(2592000s).
            type: str
      database_roles:
        description: All roles that the user is a member of, in any order. Others are revoked, unless O(users[].append_roles=true).
        type: list
        elements: str
      # End of the table.
      password_secret:
        description:
          - The name of the secret in the same project that holds the password of a built-in user. The value is a string in UTF-8. Refused
            for users of other types.
        type: str
      random_password:
        description:
          - Whether a user that is made gets a random password that is kept nowhere, for a role that others are members of.
        type: bool
        default: false
      per_version:
        description:
          - Whether each version of O(users[].password_secret) has a user of its own, whose name is O(users[].name), an underscore
            and the version's number. A new version makes a new user and leaves the passwords of others alone, so that what
            runs with an older version goes on.
          - With O(users[].state=absent) the users of all versions are removed, or those that O(users[].in_use_version) tells.
        type: bool
        default: false
      in_use_version:
        description:
          - With O(users[].state=absent) and O(users[].per_version=true), the number of the version whose user is the one in use
            from now on. The users of older versions are removed, except the one that was in use until now.
          - Which one is in use is kept in the annotations of O(users[].password_secret). When it is not known, none is removed.
        type: str
      kept_roles:
        description: Roles that stay when the user is a member of them, and are not granted otherwise. Needs O(users[].database_roles).
        type: list
        elements: str
        default: []
      append_roles:
        description: Whether roles of the user that are not in O(users[].database_roles) stay. Needs that option.
        type: bool
        default: false
  check_database:
    description:
      - A database of a PostgreSQL instance that the caller may connect to as an IAM database user. There is looked, by SQL, which roles the
        users with O(users[].database_roles) are members of, whether these memberships are in force, and whether a user who is not asked to be
        a member of C(cloudsqlsuperuser) has the attributes C(CREATEROLE) or C(CREATEDB). What differs is corrected, and what cannot be is
        an error, or for attributes a warning.
    type: str
  claim_secret:
    description:
      - The secret, which only this site has, in whose annotations the O(mark) is written as a claim before a built-in user is made, because
        a user has no labels. Required with O(mark). Users with O(users[].append_roles=true) are shared, and not claimed.
    type: str
seealso:
  - module: org.djangogcp.secretmanager_secrets
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
        random_password: true
        database_roles: []
      - name: polls_web
        password_secret: polls-web-db-password
        per_version: true
        database_roles: [polls_web]
      - name: deployer@my-project.iam.gserviceaccount.com
        type: CLOUD_IAM_SERVICE_ACCOUNT
        database_roles: [cloudsqlsuperuser]
    # By SQL, as the deployer: the API may not know what the users really may.
    check_database: polls

- name: Take all further roles from a user
  org.djangogcp.sql_users:
    project: my-project
    instance: djangogcp
    users:
      - name: polls_web
        database_roles: []

- name: Remove the users of earlier passwords, once nothing uses them any more
  org.djangogcp.sql_users:
    project: my-project
    instance: djangogcp
    users:
      - name: polls_web
        state: absent
        password_secret: polls-web-db-password
        per_version: true
        in_use_version: "3"

- name: Ensure a user of MySQL
  org.djangogcp.sql_users:
    project: my-project
    instance: shop
    users:
      - name: clerk
        host: "%"
        password_secret: clerk-db-password

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
  description:
    - The users in the asked order, as they are now, or would be in check mode. With O(users[].per_version=true) those that were removed.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls_migrator
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
  sample: [create SQL user polls_migrator]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    WAIT_ARGS,
    repeated_problems,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._claims import Claims
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, many_results, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import USER
from ansible_collections.org.djangogcp.plugins.module_utils._sql_rights import ensure_rights
from ansible_collections.org.djangogcp.plugins.module_utils._sql_users import ensure_users

ARGUMENT_SPEC: dict[str, t.Any] = {
    "instance": {"type": "str", "required": True},
    "users": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "state": STATE_ARG,
            **table_options(USER.fields),
            "password_secret": {"type": "str", "no_log": False},
            "random_password": {"type": "bool", "default": False, "no_log": False},
            "per_version": {"type": "bool", "default": False},
            "in_use_version": {"type": "str"},
            "kept_roles": {"type": "list", "elements": "str", "default": []},
            "append_roles": {"type": "bool", "default": False},
        },
    },
    "check_database": {"type": "str"},
    "claim_secret": {"type": "str", "no_log": False},
    **MARK_ARGS,
    **WAIT_ARGS,
}

#: What Google accepts.
RULES = {
    "instance": rules.SQL_INSTANCE,
    "check_database": rules.SQL_DATABASE,
    "users.name": rules.SQL_USER,
    "users.password_secret": rules.SECRET_ID,
    "users.kept_roles": rules.SQL_USER,
    "users.in_use_version": rules.between(1, 1_000_000),
}


def work(task: Task) -> dict[str, t.Any]:
    instance, users = task.params["instance"], task.params["users"]
    claims = Claims.from_params(task.client, task.params)
    done = [(user, one) for user in users for one in ensure_users(task, instance, user, claims)]
    database = task.params["check_database"]
    if database is None:
        return many_results("users", [outcome for dummy, outcome in done])
    return many_results("users", ensure_rights(task, instance, database, done))


def _user_problems(user: dict[str, t.Any], name: str) -> list[str]:
    present = user["state"] == "present"
    problems = []
    if user["random_password"] and user["password_secret"] is not None:
        problems.append(f"{name}.random_password and {name}.password_secret exclude one another.")
    if user["in_use_version"] is not None and (present or not user["per_version"]):
        problems.append(f"{name}.in_use_version is set: expected state absent and per_version true as well.")
    needs_secret = user["per_version"] and (present or user["in_use_version"] is not None)
    if needs_secret and user["password_secret"] is None:
        problems.append(f"{name}.per_version is true: expected password_secret as well.")
    return problems


def check(params: dict[str, t.Any]) -> list[str]:
    """What would be dropped in silence."""
    names = [
        {
            "name": f"{user['name']}{'_N' if user['per_version'] else ''}{'@' + user['host'] if user['host'] else ''}"
        }
        for user in params["users"]
    ]
    problems = repeated_problems(names, "users")
    for number, user in enumerate(params["users"]):
        problems += _user_problems(user, f"users[{number}]")
        if user["append_roles"] and user["database_roles"] is None:
            problems.append(f"users[{number}].append_roles is true: expected database_roles as well.")
        if user["kept_roles"] and user["database_roles"] is None:
            problems.append(f"users[{number}].kept_roles is set: expected database_roles as well.")
        if user["host"] is not None and params["check_database"] is not None:
            problems.append(
                f"users[{number}].host is set: expected no check_database, because only PostgreSQL is asked there."
            )
        if user["password_secret"] is not None and user["type"] != "BUILT_IN":
            problems.append(
                f"users[{number}].password_secret is set: expected none, because a user of the type {user['type']} has no password."
            )
    return problems


def main() -> None:
    run_module(
        ARGUMENT_SPEC,
        work,
        rules=RULES,
        tables={"users": USER.fields},
        check=check,
    )


if __name__ == "__main__":
    main()
