#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_subnetwork
short_description: Manage a subnetwork
version_added: 0.9.0
description:
  - Creates, updates and deletes a subnetwork of a VPC network.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description:
      - The name of the subnetwork.
    type: str
    required: true
  region:
    description:
      - The region, for instance V(us-central1).
    type: str
    required: true
  # From the table SUBNETWORK of _services/compute.py: written by tests/module_docs.py.
  description:
    description: What it is for.
    type: str
  network:
    description: The VPC network, by its name or as C(projects/PROJECT/global/networks/NETWORK). It cannot be changed later.
    type: str
  ip_cidr_range:
    description: The addresses of the subnetwork, for instance V(10.10.0.0/24). They cannot be changed later.
    type: str
  private_ip_google_access:
    description: Whether machines without an external address reach Google's APIs.
    type: bool
    default: true
  # End of the table.
  state:
    description:
      - Whether the subnetwork is there.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Make the subnetwork of the machines
  org.djangogcp.compute_subnetwork:
    project: my-project
    region: us-central1
    name: machines
    network: default
    ip_cidr_range: 10.10.0.0/24

- name: Keep machines without an external address from Google's APIs
  org.djangogcp.compute_subnetwork:
    project: my-project
    region: us-central1
    name: machines
    network: default
    ip_cidr_range: 10.10.0.0/24
    private_ip_google_access: false

- name: Delete it
  org.djangogcp.compute_subnetwork:
    project: my-project
    region: us-central1
    name: machines
    state: absent
"""

RETURN = r"""
subnetwork:
  description: The subnetwork, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: machines
    region: us-central1
    ip_cidr_range: 10.10.0.0/24
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [create subnetwork web]
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
from ansible_collections.org.djangogcp.plugins.module_utils._services.compute import SUBNETWORK

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "region": {"type": "str", "required": True},
    **table_options(SUBNETWORK.fields),
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def work(task: Task) -> Json:
    """Make the subnetwork what is asked."""
    return reconciled(task, "subnetwork", SUBNETWORK, "region", "name")


def check(params: Json) -> list[str]:
    """What a subnetwork cannot be made without."""
    if params["state"] == "absent":
        return []
    return [
        f"{name} is missing: a subnetwork cannot be made without it"
        for name in ("network", "ip_cidr_range")
        if params[name] is None
    ]


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.NETWORK_NAME, "region": rules.REGION},
        tables={"": SUBNETWORK.fields},
        check=check,
    )


if __name__ == "__main__":
    main()
