#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_address
short_description: Manage a static IP address
version_added: 0.9.0
description:
  - Reserves and releases an address, of a region or, for a load balancer, of the whole world.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description:
      - The name of the address.
    type: str
    required: true
  region:
    description:
      - The region, for instance V(us-central1). Without it the address is one of the whole world, for a load balancer.
    type: str
  # From the table ADDRESS of _services/compute.py: written by tests/module_docs.py.
  description:
    description: What it is for.
    type: str
  address_type:
    description: Whether it is of the internet. It cannot be changed later.
    type: str
    choices: [EXTERNAL, INTERNAL]
    default: EXTERNAL
  labels:
    description: The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products,
      C(goog-*).
    type: dict
  # End of the table.
  state:
    description:
      - Whether the address is there. One that is in use cannot be released.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Reserve the address of a machine
  org.djangogcp.compute_address:
    project: my-project
    region: us-central1
    name: polls
  register: result

- name: Reserve the address of a load balancer
  org.djangogcp.compute_address:
    project: my-project
    name: polls-world

- name: Label the address of the machine
  org.djangogcp.compute_address:
    project: my-project
    region: us-central1
    name: polls
    labels:
      site: polls

- name: Release the address of the machine
  org.djangogcp.compute_address:
    project: my-project
    region: us-central1
    name: polls
    state: absent
"""

RETURN = r"""
address:
  description: The address, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: polls
    region: us-central1
    address: 203.0.113.7
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [create address web]
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
from ansible_collections.org.djangogcp.plugins.module_utils._services.compute import ADDRESS, address_spec

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "region": {"type": "str"},
    **table_options(ADDRESS.fields),
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def work(task: Task) -> Json:
    """Make the address what is asked."""
    return reconciled(task, "address", address_spec(task.params["region"]), "region", "name")


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.ADDRESS, "region": rules.REGION},
        tables={"": ADDRESS.fields},
    )


if __name__ == "__main__":
    main()
