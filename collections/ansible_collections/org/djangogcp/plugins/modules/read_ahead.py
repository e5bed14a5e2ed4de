#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: read_ahead
short_description: Read at once what the tasks after this one look at
version_added: 0.9.0
description:
  - Private to the role preflight. Reads resources, and what tasks look at beside them, all at the same time, and keeps the answers
    for the other modules of this collection in the same run, which then need not ask one after the other.
  - An answer is used for a minute at most, and not once the run has changed anything of the same API. Values of secrets are not read.
  - What cannot be read is left to the task that needs it, which tells why.
  - Nothing is read where a module runs in a process of its own, which knows of no run.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  resources:
    description:
      - The resources.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description:
          - The kind of resource. Of V(project) the enabled APIs are read.
        type: str
        required: true
        choices:
          - artifact_repository
          - bucket
          - compute_address
          - compute_firewall
          - compute_instance
          - compute_network
          - compute_router
          - compute_subnetwork
          - project
          - run_job
          - run_service
          - run_worker_pool
          - secret
          - service_account
          - sql_database
          - sql_instance
          - sql_user
      name:
        description:
          - Its name.
        type: str
        required: true
      location:
        description:
          - Its region, for what is in one.
        type: str
      instance:
        description:
          - The SQL instance that it is in.
        type: str
      policy:
        description:
          - Whether its IAM policy is looked at, too.
        type: bool
        default: false
seealso:
  - module: org.djangogcp.ownership_info
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read ahead what the next tasks look at
  org.djangogcp.read_ahead:
    project: my-project
    resources:
      - {type: project, name: my-project, policy: true}
      - {type: run_service, name: polls, location: europe-west1}
"""

RETURN = r"""
looks:
  description: How many looks were taken. Some may have found nothing.
  returned: success
  type: int
  sample: 47
"""

import functools
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _ahead
from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._policies import Resource, read_policy
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import read
from ansible_collections.org.djangogcp.plugins.module_utils._run import Executions, serving
from ansible_collections.org.djangogcp.plugins.module_utils._services.iam import account_email
from ansible_collections.org.djangogcp.plugins.module_utils._services.resources import (
    LOCATED,
    SPECS,
    found_by,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import newest_version
from ansible_collections.org.djangogcp.plugins.module_utils._services.serviceusage import enabled_services
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import running_operation

ARGUMENT_SPEC: dict[str, t.Any] = {
    "resources": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "required_if": [
            *(("type", kind, ["location"]) for kind in LOCATED),
            ("type", "sql_database", ["instance"]),
            ("type", "sql_user", ["instance"]),
        ],
        "options": {
            "type": {"type": "str", "required": True, "choices": sorted([*SPECS, "project"])},
            "name": {"type": "str", "required": True},
            "location": {"type": "str"},
            "instance": {"type": "str"},
            "policy": {"type": "bool", "default": False},
        },
    },
}

#: What Google accepts.
RULES = {
    "resources.name": rules.RESOURCE_NAME,
    "resources.location": rules.LOCATION,
    "resources.instance": rules.SQL_INSTANCE,
}

# A look is short and waits for its answer nearly all the time.
_LOOKS_AT_ONCE = 24

Look = t.Callable[[], object]


def looks(task: Task, resource: Json) -> list[Look]:
    """What the modules look at first of a resource, each by the very function that they use."""
    client, project, kind, name = task.client, task.project, resource["type"], resource["name"]
    found: list[Look] = []
    if resource["policy"]:
        named = account_email(project, name) if kind == "service_account" else name
        place = Resource(kind, project, named, resource["location"] or "")
        found.append(functools.partial(read_policy, client, place, True))
    if kind == "project":
        return [*found, functools.partial(enabled_services, client, project)]
    spec, ids = found_by(kind, project, resource)
    if kind == "run_service":
        return [*found, functools.partial(_service_and_who_serves, task, ids)]
    found.append(functools.partial(read, client, spec, ids, ahead=True))
    if kind == "run_job":
        executions = Executions(client, project, ids["location"], name)
        found.append(lambda: next(executions.newest_first(ahead=True), None))
    if kind == "secret":
        found.append(functools.partial(newest_version, client, project, name))
    if kind == "sql_instance":
        found.append(functools.partial(running_operation, client, project, name))
    return found


def _service_and_who_serves(task: Task, ids: dict[str, str]) -> None:
    service = read(task.client, SPECS["run_service"], ids, ahead=True)
    if service is not None:
        serving(task.client, ids, service)


def take(look: Look) -> None:
    """Take a look. What goes wrong is told by the task that needs it."""
    try:
        look()
    except DjangoGcpError:
        return


def work(task: Task) -> Json:
    """Read all of it, where the tasks after this one can have it."""
    if not _ahead.run:
        return {"changed": False, "looks": 0}
    task.client.forget_old_answers()
    wanted = [look for resource in task.params["resources"] for look in looks(task, resource)]
    for_each(wanted, take, at_once=_LOOKS_AT_ONCE)
    return {"changed": False, "looks": len(wanted)}


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES, only_reads=True, reads_ahead=True)


if __name__ == "__main__":
    main()
