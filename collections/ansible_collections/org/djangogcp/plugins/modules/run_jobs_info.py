#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_jobs_info
short_description: Read Cloud Run jobs
version_added: 0.9.0
description:
  - Tells of the Cloud Run jobs of a region. What they have run is told by M(org.djangogcp.run_job_execution_info).
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._info
options:
  location:
    description: The region, for instance V(us-central1).
    type: str
    required: true
seealso:
  - module: org.djangogcp.run_jobs
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read all jobs of a region
  org.djangogcp.run_jobs_info:
    project: my-project
    location: us-central1
  register: result
"""

RETURN = r"""
jobs:
  description: The jobs, each as M(org.djangogcp.run_jobs) returns it, but for what only a change tells.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls-migrate
      project: my-project
      location: us-central1
      labels: {site: polls}
      execution_count: 3
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import JOB

ARGUMENT_SPEC = {"location": {"type": "str", "required": True}, **INFO_ARGS}


def main() -> None:
    """Run the module."""
    run_info_module(ARGUMENT_SPEC, JOB, "jobs", rule=rules.JOB)


if __name__ == "__main__":
    main()
