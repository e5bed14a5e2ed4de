#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_instance
short_description: Manage a virtual machine of Compute Engine
version_added: 0.9.0
description:
  - Creates, updates and deletes an instance with one boot disk, which is deleted with it, and one network card.
  - A change is made while the instance runs, if Google Cloud can do that; for others see O(allow_restart).
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description:
      - The name of the instance.
    type: str
    required: true
  zone:
    description:
      - The zone, for instance V(us-central1-a).
    type: str
    required: true
  allow_restart:
    description:
      - Whether the instance may restart for a change, for instance of O(machine_type). Otherwise such a change is an error.
    type: bool
    default: false
  # From the table INSTANCE of _services/compute.py: written by tests/module_docs.py.
  machine_type:
    description: The machine type, for instance V(e2-small).
    type: str
  boot_image:
    description: The image of the boot disk, as C(projects/PROJECT/global/images/IMAGE) or C(projects/PROJECT/global/images/family/FAMILY).
      Not compared with what is there.
    type: str
  boot_disk_size_gb:
    description: The size of the boot disk. Not compared with what is there.
    type: int
  boot_disk_type:
    description: The type of the boot disk, for instance V(pd-balanced). Not compared with what is there.
    type: str
  subnetwork:
    description: The subnetwork, as C(projects/PROJECT/regions/REGION/subnetworks/SUBNETWORK). Not compared with what is there.
    type: str
  external_address:
    description: 'The external address: an IP address that was reserved in the region, or V(ephemeral). Without it the instance
      has none, and reaches the internet by Cloud NAT. Not compared with what is there.'
    type: str
  service_accounts:
    description: The service account that programs on the instance are, at most one. Without one they have no rights.
    type: list
    elements: dict
    suboptions:
      email:
        description: Its e-mail address.
        type: str
        required: true
      scopes:
        description: The OAuth scopes. What the account may do is for its roles to say.
        type: list
        elements: str
        default: ['https://www.googleapis.com/auth/cloud-platform']
  metadata:
    description: 'The metadata. Keys that are not in it are removed. Whoever may look at the instance reads them: no secrets.'
    type: dict
  tags:
    description: The network tags, by which firewall rules know the instance.
    type: list
    elements: str
  labels:
    description: The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products,
      C(goog-*).
    type: dict
  secure_boot:
    description: Whether only signed software boots.
    type: bool
    default: true
  vtpm:
    description: Whether it has a virtual Trusted Platform Module.
    type: bool
    default: true
  integrity_monitoring:
    description: Whether Google Cloud compares how it boots with how it booted first.
    type: bool
    default: true
  deletion_protection:
    description: Whether it cannot be deleted.
    type: bool
    default: false
  # End of the table.
  state:
    description:
      - Whether the instance is there. Its boot disk goes with it.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: org.djangogcp.compute_subnetwork
  - module: org.djangogcp.compute_firewall
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Make a machine without an external address
  org.djangogcp.compute_instance:
    project: my-project
    zone: us-central1-a
    name: polls
    machine_type: e2-small
    boot_image: projects/debian-cloud/global/images/family/debian-12
    subnetwork: projects/my-project/regions/us-central1/subnetworks/default
    metadata:
      enable-oslogin: "TRUE"

- name: Label it
  org.djangogcp.compute_instance:
    project: my-project
    zone: us-central1-a
    name: polls
    machine_type: e2-small
    boot_image: projects/debian-cloud/global/images/family/debian-12
    subnetwork: projects/my-project/regions/us-central1/subnetworks/default
    labels:
      site: polls

- name: Delete it with its disk
  org.djangogcp.compute_instance:
    project: my-project
    zone: us-central1-a
    name: polls
    state: absent
"""

RETURN = r"""
instance:
  description: The instance, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: polls
    zone: us-central1-a
    machine_type: e2-small
    status: RUNNING
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [create instance polls]
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
from ansible_collections.org.djangogcp.plugins.module_utils._services.compute import INSTANCE, instance_spec

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "zone": {"type": "str", "required": True},
    "allow_restart": {"type": "bool", "default": False},
    **table_options(INSTANCE.fields),
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}
_NEEDED = ("machine_type", "boot_image", "subnetwork")


def work(task: Task) -> Json:
    """Make the instance what is asked."""
    spec = instance_spec(allow_restart=task.params["allow_restart"])
    return reconciled(task, "instance", spec, "zone", "name")


def check(params: Json) -> list[str]:
    """What an instance cannot be made without, and what it can have but one of."""
    if params["state"] == "absent":
        return []
    missing = [name for name in _NEEDED if params[name] is None]
    found = [f"{name} is missing: an instance cannot be made without it" for name in missing]
    if len(params["service_accounts"] or []) > 1:
        found.append("service_accounts has more than one: an instance has at most one")
    return found


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.INSTANCE, "zone": rules.ZONE},
        tables={"": INSTANCE.fields},
        check=check,
    )


if __name__ == "__main__":
    main()
