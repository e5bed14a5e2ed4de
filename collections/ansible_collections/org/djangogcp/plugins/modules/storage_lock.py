#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_lock
short_description: Take and give back a lock in a Cloud Storage bucket
version_added: 0.9.0
description:
  - A lock is an object that only one of several machines can create. It tells who holds it, since when, for how long at most, and what for.
  - With O(state=present) the lock is taken, or waited for. Where it is held, the module fails and tells all that.
  - A lock of a run on the same machine that has ended without giving it back is taken from it, and so is one whose time is over, by Cloud
    Storage's clock. A warning tells whose it was. No other lock is taken from anybody.
  - A run that is interrupted (Ctrl-C) gives back what it holds where the module runs in Ansible's own process.
  - In check mode nothing is taken.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
attributes:
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Who takes a lock twice waits for itself.
options:
  bucket:
    description: The bucket that the lock is in.
    type: str
    required: true
  name:
    description: The name of the object.
    type: str
    default: lock.json
  state:
    description:
      - Whether this run holds the lock.
      - With V(absent) and O(generation) it is given back, if it is still that one. Without O(generation) it is taken away, whoever holds it.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description: Who takes it, for those who wait. Required to take it.
    type: str
  reason:
    description: What for, for those who wait, for instance V(a deploy of polls). Required to take it.
    type: str
  lifetime_seconds:
    description: After how long others may take it. It has to be longer than what it is for may last.
    type: int
    default: 10800
  wait_timeout:
    description: For how many seconds to wait for a lock that is held. With V(0) the module fails at once.
    type: int
    default: 0
  unlock_command:
    description: What a person runs who knows that the holder is gone. It is told with a lock that is held. One of C(gcloud) if not set.
    type: str
  generation:
    description: The RV(generation) of the lock to give back.
    type: str
seealso:
  - name: Request preconditions
    description: What makes an object a lock.
    link: https://cloud.google.com/storage/docs/request-preconditions
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Take the lock, and wait for it for five minutes
  org.djangogcp.storage_lock:
    project: my-project
    bucket: my-project-polls-releases
    owner: alice@example.com
    reason: a deploy of polls
    wait_timeout: 300
  register: lock

- name: Give it back
  org.djangogcp.storage_lock:
    project: my-project
    bucket: my-project-polls-releases
    state: absent
    generation: "{{ lock.generation }}"

- name: Take it away from whoever holds it
  org.djangogcp.storage_lock:
    project: my-project
    bucket: my-project-polls-releases
    state: absent
"""

RETURN = r"""
generation:
  description: Which of all locks of that name this is. Empty in check mode.
  returned: when O(state=present)
  type: str
  sample: "1769860800000000"
held:
  description: The lock that was taken away, or would be in check mode; nothing if nobody held it.
  returned: when O(state=absent) and O(generation) is not set
  type: dict
  sample:
    owner: alice@example.com
    reason: a deploy of polls
    host: laptop
    since: 2026-01-31 12:00:00 UTC
    until: 2026-01-31 15:00:00 UTC
    generation: "1769860800000000"
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [take the lock gs://my-project-polls-releases/lock.json]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import STATE_ARG
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._locks import Lock, Locks
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module

ARGUMENT_SPEC = {
    "bucket": {"type": "str", "required": True},
    "name": {"type": "str", "default": "lock.json"},
    "state": STATE_ARG,
    "owner": {"type": "str"},
    "reason": {"type": "str"},
    "lifetime_seconds": {"type": "int", "default": 10800},
    "wait_timeout": {"type": "int", "default": 0},
    "unlock_command": {"type": "str"},
    "generation": {"type": "str"},
}
#: What Google accepts, and what can be told in a line.
RULES = {
    "bucket": rules.BUCKET,
    "name": rules.OBJECT,
    "owner": rules.line(1024),
    "reason": rules.line(1024),
    "lifetime_seconds": rules.LOCK_SECONDS,
    "wait_timeout": rules.WAIT_SECONDS,
    "unlock_command": rules.line(1024),
    "generation": rules.GENERATION,
}
_FOR_TAKING = ("owner", "reason", "unlock_command")


def check(params: Json) -> list[str]:
    """What would be dropped in silence: options for taking a lock that is given back, and the other way round."""
    if params["state"] == "present":
        return ["generation is set: expected state to be absent beside it."] if params["generation"] else []
    return [f"{name} is set: expected state to be present beside it." for name in _FOR_TAKING if params[name]]


def work(task: Task) -> dict[str, t.Any]:
    """Take the lock, give it back, or take it away."""
    params = task.params
    where = f"gs://{params['bucket']}/{params['name']}"
    locks = Locks(task.client, params["bucket"], params["name"])
    if params["state"] == "present":
        taken = {"changed": True, "actions": [f"take the lock {where}"]}
        if task.check_mode:
            return {**taken, "generation": ""}
        lock = Lock.new(params["owner"], params["reason"], params["lifetime_seconds"])
        unlock = params["unlock_command"] or f"gcloud storage rm {where}"
        cure = f"If it is certain that it has ended, unlock: {unlock}"
        generation, warnings = locks.acquire(lock, params["wait_timeout"], cure)
        return {**taken, "generation": generation, "warnings": warnings}
    if params["generation"]:
        given = {"changed": True, "actions": [f"give back the lock {where}"]}
        if task.check_mode:
            return given
        warning = locks.release(params["generation"])
        return {**given, "warnings": [warning] if warning else []}
    held = locks.find() if task.check_mode else locks.break_()
    return {
        "changed": held is not None,
        "actions": [] if held is None else [f"take the lock {where} from {held}"],
        "held": None if held is None else held.as_dict(),
    }


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules=RULES,
        check=check,
        required_if=[("state", "present", ("owner", "reason"))],
    )


if __name__ == "__main__":
    main()
