#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secretmanager_secrets_info
short_description: Read secrets of Secret Manager
version_added: 0.9.0
description:
  - Tells of the secrets of a project and of their versions. No value is read unless O(show_values=true), or O(value_versions) names it.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._info
options:
  show_values:
    description:
      - Whether the value of the newest enabled version of each secret is read, which needs C(secretmanager.versions.access) on it. A task
        that asks for it should have C(no_log=true).
    type: bool
    default: false
  value_versions:
    description:
      - By secret the numbers of the versions whose values are read, for a task that has pinned them. Such a task should have C(no_log=true).
    type: dict
    default: {}
  show_readers:
    description:
      - Whether it is told who may read the values of each secret by a role on the secret itself, whose C(secretmanager.secrets.getIamPolicy) it needs.
    type: bool
    default: false
seealso:
  - module: org.djangogcp.secretmanager_secrets
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See which versions the secrets of a site have
  org.djangogcp.secretmanager_secrets_info:
    project: my-project
    names: [polls-secret-key, polls-web-database-url]
  register: result

- name: Read a password that a person asked for
  org.djangogcp.secretmanager_secrets_info:
    project: my-project
    names: [polls-secret-key]
    show_values: true
  register: password
  no_log: true

- name: Read the version that a release was given
  org.djangogcp.secretmanager_secrets_info:
    project: my-project
    names: [polls-secret-key]
    value_versions:
      polls-secret-key: ["1"]
  register: pinned
  no_log: true
"""

RETURN = r"""
secrets:
  description:
    - The secrets, with all their versions, the newest first.
    - With O(show_readers=true), C(readers) are the members that have C(roles/secretmanager.secretAccessor) or may do more by a role on the secret.
    - With O(show_values=true), C(value) is the text that the newest enabled version holds, none if there is no such version.
    - With O(value_versions), C(values) are the texts of the versions that were named, by their numbers.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls-secret-key
      project: my-project
      locations: []
      labels: {site: polls}
      versions:
        - version: "2"
          state: ENABLED
          create_time: "2026-01-02T03:04:05.678901Z"
        - version: "1"
          state: DISABLED
          create_time: "2026-01-01T03:04:05.678901Z"
"""

import re

from ansible_collections.org.djangogcp.plugins.module_utils import _policies
from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Ids
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import (
    SECRET,
    read_text,
    versions_of,
)

ARGUMENT_SPEC = {
    **INFO_ARGS,
    "show_values": {"type": "bool", "default": False},
    "value_versions": {"type": "dict", "default": {}, "no_log": False},
    "show_readers": {"type": "bool", "default": False},
}
_RULES = {
    "value_versions": rules.each_entry(
        "lists of numbers by names of secrets",
        rules.SECRET_ID.test,
        lambda numbers: (
            isinstance(numbers, list) and all(re.fullmatch(r"[1-9][0-9]*", str(one)) for one in numbers)
        ),
        1000,
    )
}
#: The roles that may read a value (https://cloud.google.com/secret-manager/docs/access-control).
_READERS = (
    "roles/owner",
    "roles/secretmanager.admin",
    "roles/secretmanager.secretAccessor",
)


def versions(task: Task, ids: Ids) -> Json:
    """All versions of a secret, the newest first, and values where they are asked for."""
    found = versions_of(task.client, task.project, ids["name"])
    told: Json = {"versions": found}
    if task.params["show_readers"]:
        told["readers"] = _readers(task, ids["name"])
    if pinned := task.params["value_versions"].get(ids["name"]):
        numbers = map(str, pinned)
        told["values"] = {one: read_text(task.client, task.project, ids["name"], one) for one in numbers}
    if not task.params["show_values"]:
        return told
    newest = next((one["version"] for one in found if one["state"] == "ENABLED"), None)
    value = None if newest is None else read_text(task.client, task.project, ids["name"], newest)
    return {**told, "value": value}


def _readers(task: Task, secret: str) -> list[str]:
    policy = _policies.read_policy(
        task.client, _policies.Resource("secret", task.project, secret), may_be_absent=False
    )
    members = {
        _policies.normal_member(member)
        for binding in policy.get("bindings") or []
        if binding.get("role") in _READERS
        for member in binding.get("members") or []
    }
    return sorted(members)


def main() -> None:
    """Run the module."""
    run_info_module(
        ARGUMENT_SPEC, SECRET, "secrets", rule=rules.SECRET_ID, place_rules=_RULES, beside=versions
    )


if __name__ == "__main__":
    main()
