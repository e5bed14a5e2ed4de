#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_record
short_description: Write a numbered record into a Cloud Storage bucket
version_added: 0.9.0
description:
  - Writes what is given as JSON into an object with the next number, such as C(releases/000007.json). It is written once. No record is ever changed
    or deleted.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
attributes:
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each run writes another record.
options:
  bucket:
    description: The bucket.
    type: str
    required: true
  folder:
    description: What the names of the objects begin with.
    type: str
    default: releases
  content:
    description: What is written. It must hold no value of a secret.
    type: dict
    required: true
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
"""

RETURN = r"""
number:
  description: The number of the record. V(0) in check mode.
  returned: success
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
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._records import Records, name_of

ARGUMENT_SPEC = {
    "bucket": {"type": "str", "required": True},
    "folder": {"type": "str", "default": "releases"},
    "content": {"type": "dict", "required": True},
}
#: What Google accepts.
RULES = {"bucket": rules.BUCKET, "folder": rules.OBJECT}


def work(task: Task) -> dict[str, t.Any]:
    """Write the record."""
    bucket, folder = task.params["bucket"], task.params["folder"]
    if task.check_mode:
        return {"changed": True, "number": 0, "actions": [f"write a record into gs://{bucket}/{folder}"]}
    number = Records(task.client, bucket, folder).write(task.params["content"])
    action = f"write the record gs://{bucket}/{name_of(folder, number)}"
    return {"changed": True, "number": number, "actions": [action]}


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES)


if __name__ == "__main__":
    main()
