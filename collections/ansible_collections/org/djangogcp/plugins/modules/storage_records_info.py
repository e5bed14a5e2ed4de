#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_records_info
short_description: Read numbered records of a Cloud Storage bucket
version_added: 0.9.0
description:
  - Reads the newest records that M(org.djangogcp.storage_record) has written. A bucket that is not there has none.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  bucket:
    description: The bucket.
    type: str
    required: true
  folder:
    description: What the names of the objects begin with.
    type: str
    default: releases
  limit:
    description: How many records are read.
    type: int
    default: 50
seealso:
  - module: org.djangogcp.storage_record
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read what was released
  org.djangogcp.storage_records_info:
    project: my-project
    bucket: my-project-polls-releases
  register: result
"""

RETURN = r"""
records:
  description: The records, the newest first, each with its C(number).
  returned: success
  type: list
  elements: dict
  sample:
    - number: 7
      revision: polls-00007-abc
      who: alice@example.com
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._records import Records

ARGUMENT_SPEC = {
    "bucket": {"type": "str", "required": True},
    "folder": {"type": "str", "default": "releases"},
    "limit": {"type": "int", "default": 50},
}
#: What Google accepts.
RULES = {"bucket": rules.BUCKET, "folder": rules.OBJECT, "limit": rules.between(1, 1000)}


def work(task: Task) -> dict[str, t.Any]:
    """Read the newest records."""
    records = Records(task.client, task.params["bucket"], task.params["folder"])
    newest = records.numbers()[: task.params["limit"]]
    found = for_each(newest, records.read)
    return {"changed": False, "records": [one for one in found if one is not None]}


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES, only_reads=True)


if __name__ == "__main__":
    main()
