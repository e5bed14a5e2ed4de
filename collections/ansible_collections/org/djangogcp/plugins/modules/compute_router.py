#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_router
short_description: Manage a Cloud Router with Cloud NAT
version_added: 0.9.0
description:
  - Creates, updates and deletes a router, with the gateways of L(Cloud NAT,https://cloud.google.com/nat/docs/overview) by which machines without an
    external address reach the internet.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description:
      - The name of the router.
    type: str
    required: true
  region:
    description:
      - The region, for instance V(us-central1).
    type: str
    required: true
  # From the table ROUTER of _services/compute.py: written by tests/module_docs.py.
  description:
    description: What it is for.
    type: str
  network:
    description: The VPC network, by its name or as C(projects/PROJECT/global/networks/NETWORK). It cannot be changed later.
    type: str
  nats:
    description: 'The gateways of Cloud NAT: by what address machines without one of their own reach the internet.'
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the gateway.
        type: str
        required: true
      nat_ip_allocate_option:
        description: Whether Google Cloud takes addresses as it needs them.
        type: str
        choices: [AUTO_ONLY, MANUAL_ONLY]
        default: AUTO_ONLY
      nat_ips:
        description: The addresses of V(MANUAL_ONLY), as C(projects/PROJECT/regions/REGION/addresses/ADDRESS).
        type: list
        elements: str
      source_subnetwork_ip_ranges_to_nat:
        description: Whose traffic goes through it.
        type: str
        choices: [ALL_SUBNETWORKS_ALL_IP_RANGES, ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES]
        default: ALL_SUBNETWORKS_ALL_IP_RANGES
      min_ports_per_vm:
        description: So many ports at least has each machine.
        type: int
  # End of the table.
  state:
    description:
      - Whether the router is there.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Let machines without an address reach the internet
  org.djangogcp.compute_router:
    project: my-project
    region: us-central1
    name: sites
    network: default
    nats:
      - name: sites

- name: Give each machine more ports
  org.djangogcp.compute_router:
    project: my-project
    region: us-central1
    name: sites
    network: default
    nats:
      - name: sites
        min_ports_per_vm: 256

- name: Delete it
  org.djangogcp.compute_router:
    project: my-project
    region: us-central1
    name: sites
    state: absent
"""

RETURN = r"""
router:
  description: The router, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: sites
    region: us-central1
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [create router web]
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
from ansible_collections.org.djangogcp.plugins.module_utils._services.compute import ROUTER

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "region": {"type": "str", "required": True},
    **table_options(ROUTER.fields),
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def work(task: Task) -> Json:
    """Make the router what is asked."""
    return reconciled(task, "router", ROUTER, "region", "name")


def check(params: Json) -> list[str]:
    """What a router cannot be made without."""
    if params["state"] == "absent":
        return []
    return [
        f"{name} is missing: a router cannot be made without it"
        for name in ("network",)
        if params[name] is None
    ]


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.ROUTER, "region": rules.REGION},
        tables={"": ROUTER.fields},
        check=check,
    )


if __name__ == "__main__":
    main()
