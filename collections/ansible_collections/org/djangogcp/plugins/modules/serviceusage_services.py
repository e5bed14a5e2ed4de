#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: serviceusage_services
short_description: Manage which APIs a project has enabled
version_added: 0.9.0
description:
  - Enables, or disables, a list of Google Cloud APIs. APIs that are not in the list are left alone.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._wait
options:
  services:
    description: The names of the APIs.
    type: list
    elements: str
    required: true
  state:
    description:
      - Whether they are enabled.
      - Google Cloud refuses to disable an API that another enabled one depends on.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Ensure the APIs of a deploy
  org.djangogcp.serviceusage_services:
    project: my-project
    services:
      - run.googleapis.com
      - sqladmin.googleapis.com
      - secretmanager.googleapis.com

- name: Disable an API
  org.djangogcp.serviceusage_services:
    project: my-project
    services:
      - redis.googleapis.com
    state: absent
"""

RETURN = r"""
services:
  description: The asked APIs.
  returned: success
  type: list
  elements: dict
  sample:
    - name: run.googleapis.com
      enabled: true
      changed: true
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [enable run.googleapis.com]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import STATE_ARG, WAIT_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.serviceusage import (
    disable_service,
    enable_services,
    enabled_services,
)

ARGUMENT_SPEC = {
    "services": {"type": "list", "elements": "str", "required": True},
    "state": STATE_ARG,
    **WAIT_ARGS,
}


def to_change(asked: t.Iterable[str], enabled: set[str], enable: bool) -> list[str]:
    """The asked APIs that are not as asked, each once and in the asked order."""
    return [name for name in dict.fromkeys(asked) if (name in enabled) != enable]


def work(task: Task) -> dict[str, t.Any]:
    asked, enable = list(dict.fromkeys(task.params["services"])), task.params["state"] == "present"
    enabled = enabled_services(task.client, task.project)
    changed = to_change(asked, enabled, enable)
    if not task.check_mode and enable:
        enable_services(task.client, task.project, changed, task.wait)
    elif not task.check_mode:
        for name in changed:
            disable_service(task.client, task.project, name, task.wait)
    verb = "enable" if enable else "disable"
    return {
        "changed": bool(changed),
        "services": [{"name": name, "enabled": enable, "changed": name in changed} for name in asked],
        "actions": [f"{verb} {name}" for name in changed],
        "diff": {
            "before": {"enabled": [name for name in asked if name in enabled]},
            "after": {"enabled": asked if enable else []},
        },
    }


def main() -> None:
    run_module(ARGUMENT_SPEC, work, rules={"services": rules.API})


if __name__ == "__main__":
    main()
