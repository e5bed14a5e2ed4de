#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_record
short_description: Write a numbered record into a Cloud Storage bucket, or delete old ones
version_added: 0.9.0
description:
  - Writes what is given as JSON into an object with the next number, such as C(releases/000007.json). It is written once, and never changed.
  - With O(state=absent) deletes the records before one.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
attributes:
  diff_mode:
    support: partial
    details: Of O(state=absent).
  idempotent:
    support: partial
    details: Each run with O(state=present) writes another record.
options:
  bucket:
    description: The bucket.
    type: str
    required: true
  folder:
    description: What the names of the objects begin with.
    type: str
    default: releases
  state:
    description: Whether a record is written, or old ones are deleted.
    type: str
    choices: [present, absent]
    default: present
  content:
    description: What is written. It must hold no value of a secret. For O(state=present).
    type: dict
  first:
    description: The number of the first record that stays. For O(state=absent).
    type: int
seealso:
  - module: org.djangogcp.storage_records_info
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Write down what was released
  org.djangogcp.storage_record:
    project: my-project
    bucket: my-project-polls-releases
    content:
      revision: polls-00007-abc
      who: alice@example.com

- name: Delete the records before the seventh
  org.djangogcp.storage_record:
    project: my-project
    bucket: my-project-polls-releases
    state: absent
    first: 7
"""

RETURN = r"""
number:
  description: The number of the record. V(0) in check mode.
  returned: when O(state=present)
  type: int
  sample: 7
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [write the record gs://my-project-polls-releases/releases/000007.json]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import STATE_ARG
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._records import Records, name_of

ARGUMENT_SPEC = {
    "bucket": {"type": "str", "required": True},
    "folder": {"type": "str", "default": "releases"},
    "state": STATE_ARG,
    "content": {"type": "dict"},
    "first": {"type": "int"},
}
#: What Google accepts.
RULES = {"bucket": rules.BUCKET, "folder": rules.OBJECT, "first": rules.between(0, 999999)}
#: Which option is for which state.
_FOR = {"content": "present", "first": "absent"}


def check(params: Json) -> list[str]:
    """What would be dropped in silence: an option of the other state."""
    return [
        f"{name} is set: expected state to be {state} beside it."
        for name, state in _FOR.items()
        if params[name] is not None and params["state"] != state
    ]


def work(task: Task) -> dict[str, t.Any]:
    """Write the record, or delete the old ones."""
    bucket, folder = task.params["bucket"], task.params["folder"]
    records = Records(task.client, bucket, folder)
    if task.params["state"] == "absent":
        going = [number for number in records.numbers() if number < task.params["first"]]
        if not task.check_mode:
            for_each(going, records.delete)
        names = [f"gs://{bucket}/{name_of(folder, number)}" for number in going]
        return {
            "changed": bool(going),
            "actions": [f"delete the record {name}" for name in names],
            "diff": {"before": "".join(f"record {name}\n" for name in names), "after": ""},
        }
    if task.check_mode:
        return {"changed": True, "number": 0, "actions": [f"write a record into gs://{bucket}/{folder}"]}
    number = records.write(task.params["content"])
    action = f"write the record gs://{bucket}/{name_of(folder, number)}"
    return {"changed": True, "number": number, "actions": [action]}


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules=RULES,
        check=check,
        required_if=[("state", "present", ("content",)), ("state", "absent", ("first",))],
    )


if __name__ == "__main__":
    main()
