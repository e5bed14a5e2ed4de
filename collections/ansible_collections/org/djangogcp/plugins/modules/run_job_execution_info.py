#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_job_execution_info
short_description: Read the newest executions of a Cloud Run job
version_added: 0.9.0
description:
  - Reads the newest executions of a job.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  job:
    description:
      - The job's id.
    type: str
    required: true
  location:
    description:
      - The region.
    type: str
    required: true
  limit:
    description:
      - How many executions to read at most.
    type: int
    default: 5
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See when the database was migrated last
  org.djangogcp.run_job_execution_info:
    project: my-project
    location: us-central1
    job: polls-migrate
    limit: 1
  register: result
"""

RETURN = r"""
executions:
  description: The executions, newest first; empty when there is no such job.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls-migrate-x7k2p
      succeeded: true
      exit_code: 0
      completion_time: "2026-01-31T12:00:00.000000Z"
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._run import Executions

ARGUMENT_SPEC = {
    "job": {"type": "str", "required": True},
    "location": {"type": "str", "required": True},
    "limit": {"type": "int", "default": 5},
}


def work(task: Task) -> Json:
    """Read them."""
    executions = Executions(task.client, task.project, task.params["location"], task.params["job"])
    try:
        found = executions.list(task.params["limit"])
    except ApiError as error:
        if error.status != 404:
            raise
        found = []
    return {"changed": False, "executions": found}


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules={"job": rules.JOB, "limit": rules.between(1, 1000)})


if __name__ == "__main__":
    main()
