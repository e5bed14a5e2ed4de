#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_network
short_description: Manage a VPC network
version_added: 0.9.0
description:
  - Creates, updates and deletes a network of L(Virtual Private Cloud,https://cloud.google.com/vpc/docs/vpc).
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description:
      - The name of the network.
    type: str
    required: true
  # From the table NETWORK of _services/compute.py: written by tests/module_docs.py.
  description:
    description: What it is for.
    type: str
  auto_create_subnetworks:
    description: Whether the network has a subnetwork in each region. It cannot be changed later.
    type: bool
    default: false
  routing_mode:
    description: Whether routers learn routes of their own region only.
    type: str
    choices: [REGIONAL, GLOBAL]
  # End of the table.
  state:
    description:
      - Whether the network is there. What is in it has to be deleted first.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Make a network without subnetworks
  org.djangogcp.compute_network:
    project: my-project
    name: sites
    description: Machines of the Django sites

- name: Let its routers learn the routes of all regions
  org.djangogcp.compute_network:
    project: my-project
    name: sites
    routing_mode: GLOBAL

- name: Delete it
  org.djangogcp.compute_network:
    project: my-project
    name: sites
    state: absent
"""

RETURN = r"""
network:
  description: The network, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: sites
    routing_mode: REGIONAL
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [create network web]
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    WAIT_ARGS,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, reconciled, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.compute import NETWORK

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    **table_options(NETWORK.fields),
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def work(task: Task) -> Json:
    """Make the network what is asked."""
    return reconciled(task, "network", NETWORK, "name")


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.NETWORK_NAME},
        tables={"": NETWORK.fields},
    )


if __name__ == "__main__":
    main()
