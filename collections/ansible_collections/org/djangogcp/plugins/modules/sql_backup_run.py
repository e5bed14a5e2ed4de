#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_backup_run
short_description: Make a backup of a Cloud SQL instance
version_added: 0.9.0
description:
  - Makes a backup of all databases of an instance, beside those that are made every day, and waits for its end. It stays until somebody deletes it,
    or the instance.
  - When the answer to the start is lost, it fails, and another run makes another backup.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._wait
attributes:
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each run makes another backup.
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
  description:
    description: What it is made for.
    type: str
    default: ""
seealso:
  - module: org.djangogcp.sql_instance
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Make a backup before something that cannot be taken back
  org.djangogcp.sql_backup_run:
    project: my-project
    instance: djangogcp
    description: before the votes are counted anew
"""

RETURN = r"""
backup_id:
  description: The id of the backup, by which it is restored. Empty in check mode.
  returned: success
  type: str
  sample: "1764431999123"
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [make the backup 1764431999123 of SQL instance djangogcp]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import WAIT_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import sql_operation, while_busy
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import API

ARGUMENT_SPEC = {
    "instance": {"type": "str", "required": True},
    "description": {"type": "str", "default": ""},
    **WAIT_ARGS,
}
#: What Google accepts.
RULES = {"instance": rules.SQL_INSTANCE, "description": rules.line(2048)}


def work(task: Task) -> dict[str, t.Any]:
    """Make the backup.

    Sources: sqladmin v1, backupRuns.insert, Operation.backupContext.
    """
    instance = task.params["instance"]
    if task.check_mode:
        return {"changed": True, "backup_id": "", "actions": [f"make a backup of SQL instance {instance}"]}
    call = Call(f"make a backup of SQL instance {instance}", "cloudsql.backupRuns.create")
    url = f"{API}/projects/{task.project}/instances/{instance}/backupRuns"
    body = {"description": task.params["description"]} if task.params["description"] else {}
    deadline = Deadline(task.wait.timeout, task.client.clock)
    operation = while_busy(lambda: task.client.request("POST", url, call, body=body), deadline)
    backup = str((operation.get("backupContext") or {}).get("backupId", ""))
    if task.wait.enabled:
        operation = sql_operation(task.client, API, operation, deadline, call)
        backup = str((operation.get("backupContext") or {}).get("backupId", "")) or backup
    return {
        "changed": True,
        "backup_id": backup,
        "actions": [f"make the backup {backup} of SQL instance {instance}"],
    }


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES)


if __name__ == "__main__":
    main()
