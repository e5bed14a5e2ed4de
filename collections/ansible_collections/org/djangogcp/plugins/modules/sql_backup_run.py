#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_backup_run
short_description: Make a backup of a Cloud SQL instance, or delete one
version_added: 0.9.0
description:
  - Makes a backup of all databases of an instance, beside those that are made every day, and waits for its end. It stays until somebody deletes it,
    or the instance.
  - When the answer to the start is lost, it fails, and another run makes another backup.
  - With O(state=absent) deletes such a backup. Those that are made every day Cloud SQL deletes itself, and none of them is ever deleted here.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._wait
attributes:
  diff_mode:
    support: partial
    details: Of O(state=absent).
  idempotent:
    support: partial
    details: Each run with O(state=present) makes another backup.
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
  state:
    description: Whether a backup is made, or those of O(backup_ids) are deleted.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: What it is made for.
    type: str
    default: ""
  backup_ids:
    description: The ids of the backups that are deleted with O(state=absent).
    type: list
    elements: str
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

- name: Delete it
  org.djangogcp.sql_backup_run:
    project: my-project
    instance: djangogcp
    state: absent
    backup_ids: ["1764431999123"]
"""

RETURN = r"""
backup_id:
  description: The id of the backup, by which it is restored. Empty in check mode.
  returned: when O(state=present)
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
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import STATE_ARG, WAIT_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import sql_operation, while_busy
from ansible_collections.org.djangogcp.plugins.module_utils._retention import size
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import API

ARGUMENT_SPEC = {
    "instance": {"type": "str", "required": True},
    "state": STATE_ARG,
    "description": {"type": "str", "default": ""},
    "backup_ids": {"type": "list", "elements": "str"},
    **WAIT_ARGS,
}
#: What Google accepts.
RULES = {
    "instance": rules.SQL_INSTANCE,
    "description": rules.line(2048),
    "backup_ids": rules.BACKUP_ID,
}


def check(params: Json) -> list[str]:
    """What would be dropped in silence: an option of the other state."""
    if params["state"] == "absent":
        return (
            ["description is set: expected state to be present beside it."] if params["description"] else []
        )
    is_set = params["backup_ids"] is not None
    return ["backup_ids is set: expected state to be absent beside it."] if is_set else []


def work(task: Task) -> dict[str, t.Any]:
    """Make the backup, or delete some.

    Sources: sqladmin v1, backupRuns.insert, Operation.backupContext.
    """
    if task.params["state"] == "absent":
        return delete(task)
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


def delete(task: Task) -> dict[str, t.Any]:
    """Delete what is there of some backups on demand, one after the other, since an instance has one operation at a time.

    Sources: sqladmin v1, backupRuns.get (type: ON_DEMAND), backupRuns.delete; that one which is not there is 404 is assumed.
    """
    instance, client = task.params["instance"], task.client
    url = f"{API}/projects/{task.project}/instances/{instance}/backupRuns"
    deadline = Deadline(task.wait.timeout, client.clock)
    shown = []
    for backup in dict.fromkeys(task.params["backup_ids"]):
        look = Call(f"read the backup {backup} of SQL instance {instance}", "cloudsql.backupRuns.get")
        found = client.find(f"{url}/{backup}", look)
        if found is None or found.get("type") != "ON_DEMAND":
            continue
        if not task.check_mode:
            delete_one(task, f"{url}/{backup}", backup, deadline)
        made = str(found.get("endTime") or found.get("enqueuedTime") or "")[:10]
        shown.append(f"backup {backup} of {made} ({size(int(found.get('maxChargeableBytes') or 0))})")
    return {
        "changed": bool(shown),
        "actions": [f"delete {one} of SQL instance {instance}" for one in shown],
        "diff": {"before": "".join(f"{one}\n" for one in shown), "after": ""},
    }


def delete_one(task: Task, url: str, backup: str, deadline: Deadline) -> None:
    """Delete a backup; one that is gone is deleted."""
    call = Call(f"delete the backup {backup}", "cloudsql.backupRuns.delete")
    try:
        operation = while_busy(lambda: task.client.request("DELETE", url, call), deadline)
    except ApiError as error:
        if error.status == 404:
            return
        raise
    if task.wait.enabled:
        sql_operation(task.client, API, operation, deadline, call)


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC, work, rules=RULES, check=check, required_if=[("state", "absent", ("backup_ids",))]
    )


if __name__ == "__main__":
    main()
