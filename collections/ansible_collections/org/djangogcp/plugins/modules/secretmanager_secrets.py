#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secretmanager_secrets
short_description: Manage secrets of Secret Manager and their values
version_added: 0.9.0
description:
  - Makes a list of secrets what is asked, in parallel, and adds a version where the value is not the asked one.
  - A value can be given, generated once, or composed of the values of other secrets without any of them leaving the module.
  - No value is ever returned, only the number of the version that holds it.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
options:
  secrets:
    description: The secrets.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name.
        type: str
        required: true
      state:
        description: Whether the secret exists. V(absent) deletes it with all its versions.
        type: str
        choices: [present, absent]
        default: present
      # From the table SECRET of _services/secretmanager.py: written by tests/module_docs.py.
      locations:
        description:
          - The regions that hold the value. It cannot be changed later.
          - Google Cloud chooses them if not set or V([]).
        type: list
        elements: str
      labels:
        description: The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products,
          C(goog-*).
        type: dict
      annotations:
        description: The annotations. Annotations that are not in it are removed, so V({}) removes all.
        type: dict
      # End of the table.
      value:
        description: The value. A version is added when the newest one holds another value.
        type: str
      generate:
        description:
          - Generate a value when there is no enabled newest version, and never again.
        type: dict
        suboptions:
          length:
            description: The number of characters.
            type: int
            default: 50
          alphabet:
            description: The characters to choose from.
            type: str
            default: abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789
          copy_from:
            description:
              - The name of a secret whose value is taken instead of a generated one, where it has an enabled newest version.
              - What is renamed keeps its passwords and keys with it.
            type: str
          newer_than:
            description:
              - The number of a version that is replaced. A value is generated, too, when the newest version is not a later one.
              - What a run has generated before it failed is so used by the next one.
            type: int
      template:
        description:
          - A string in which each C({key}) is replaced by the value of the secret that O(secrets[].values_from) names for it,
            C({key|urlencode}) by the value as an address holds it, where all but letters, digits and C(-._~) is percent-encoded,
            and C({key|version}) by the number of the version that holds the value.
          - The values are texts of at least one character in UTF-8.
          - A version is added when the newest one holds another value.
        type: str
      values_from:
        description: For each key of O(secrets[].template) the name of a secret, of this task or one that exists.
        type: dict
      old_versions:
        description:
          - What happens to the versions before the newest. V(disable) can be undone, V(destroy) cannot.
          - Something that runs with a pinned older version fails when it starts anew after that.
        type: str
        choices: [keep, disable, destroy]
        default: keep
      kept_versions:
        description: The numbers of older versions that O(secrets[].old_versions) leaves alone.
        type: list
        elements: int
        default: []
      destroy_after_days:
        description:
          - With O(secrets[].old_versions=disable), after how many days what it has disabled is destroyed, when it runs again. Never if not set.
          - When a version was disabled is noted in the annotation C(djangogcp-disabled) of the secret. What somebody else has disabled is left alone.
        type: int
seealso:
  - module: org.djangogcp.iam_members
  - name: Secret Manager
    description: The API's reference.
    link: https://cloud.google.com/secret-manager/docs/reference/rest
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Ensure the secrets of a site
  org.djangogcp.secretmanager_secrets:
    project: my-project
    secrets:
      - name: polls-secret-key
        generate: {length: 64}
        labels: {site: polls}
      - name: polls-web-db-password
        generate: {length: 32}
      - name: polls-web-database-url
        template: postgres://polls_web_{password|version}:{password|urlencode}@/polls?host=/cloudsql/my-project:europe-west1:djangogcp
        values_from:
          password: polls-web-db-password

- name: Ensure a secret with a given value, and disable what it replaces
  org.djangogcp.secretmanager_secrets:
    project: my-project
    secrets:
      - name: polls-mail-password
        value: "{{ polls_mail_password }}"
        old_versions: disable

- name: Delete a secret
  org.djangogcp.secretmanager_secrets:
    project: my-project
    secrets:
      - name: polls-mail-password
        state: absent
"""

RETURN = r"""
secrets:
  description: The secrets in the asked order, without their values.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls-secret-key
      project: my-project
      changed: true
      labels: {site: polls}
      version: "1"
      retired_versions: []
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [create secret polls-secret-key, add version 1 to secret polls-secret-key]
"""

import string
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._secrets import SecretsRun
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import SECRET

ARGUMENT_SPEC: dict[str, t.Any] = {
    "secrets": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "no_log": False,  # the name is not a secret; the value has its own
        "mutually_exclusive": [("value", "generate", "template")],
        "required_together": [("template", "values_from")],
        "options": {
            "name": {"type": "str", "required": True},
            "state": STATE_ARG,
            **table_options(SECRET.fields),
            "value": {"type": "str", "no_log": True},
            "generate": {
                "type": "dict",
                "options": {
                    "length": {"type": "int", "default": 50},
                    "alphabet": {"type": "str", "default": string.ascii_letters + string.digits},
                    "copy_from": {"type": "str", "no_log": False},  # a name, too
                    "newer_than": {"type": "int"},
                },
            },
            "template": {"type": "str"},
            "values_from": {"type": "dict"},
            "old_versions": {"type": "str", "choices": ["keep", "disable", "destroy"], "default": "keep"},
            "kept_versions": {"type": "list", "elements": "int", "default": []},
            "destroy_after_days": {"type": "int"},
        },
    },
    **MARK_ARGS,
}

#: What Google accepts.
RULES = {
    "secrets.name": rules.SECRET_ID,
    "secrets.value": rules.SECRET_VALUE,
    "secrets.template": rules.SECRET_VALUE,
    "secrets.generate.length": rules.between(1, 65536),
    "secrets.generate.alphabet": rules.ALPHABET,
    "secrets.generate.copy_from": rules.SECRET_ID,
    "secrets.generate.newer_than": rules.between(0, 999999999),
    "secrets.kept_versions": rules.between(1, 999999999),
    "secrets.destroy_after_days": rules.DAYS,
    "secrets.values_from": rules.SECRET_IDS,
}


def work(task: Task) -> dict[str, t.Any]:
    return SecretsRun(task).result()


def main() -> None:
    run_module(ARGUMENT_SPEC, work, rules=RULES, tables={"secrets": SECRET.fields})


if __name__ == "__main__":
    main()
