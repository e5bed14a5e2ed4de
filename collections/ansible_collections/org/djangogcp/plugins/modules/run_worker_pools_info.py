#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_worker_pools_info
short_description: Read Cloud Run worker pools
version_added: 0.9.0
description:
  - Tells of the Cloud Run worker pools of a region, and which revisions have their instances.
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
  - module: org.djangogcp.run_worker_pool
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read all worker pools of a region
  org.djangogcp.run_worker_pools_info:
    project: my-project
    location: us-central1
  register: result
"""

RETURN = r"""
worker_pools:
  description: The worker pools, each as M(org.djangogcp.run_worker_pool) returns it.
  returned: success
  type: list
  elements: dict
  contains:
    serving:
      description: The revisions that have its instances, each with C(revision), C(percent) and C(image).
      returned: always
      type: list
      elements: dict
  sample:
    - name: polls-worker
      project: my-project
      location: us-central1
      labels: {site: polls}
      scaling: {manual_instance_count: 1}
      serving:
        - revision: polls-worker-00001-abc
          percent: 100
          image: us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Ids
from ansible_collections.org.djangogcp.plugins.module_utils._run import working
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import WORKER_POOL

ARGUMENT_SPEC = {"location": {"type": "str", "required": True}, **INFO_ARGS}


def serving(task: Task, ids: Ids) -> Json:
    """Which revisions have the instances."""
    return {"serving": working(task.client, ids)}


def main() -> None:
    """Run the module."""
    run_info_module(ARGUMENT_SPEC, WORKER_POOL, "worker_pools", rule=rules.WORKER_POOL, beside=serving)


if __name__ == "__main__":
    main()
