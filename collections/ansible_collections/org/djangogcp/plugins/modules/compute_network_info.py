#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_network_info
short_description: Read a VPC network, and whether a private database can be in it
version_added: 0.9.0
description:
  - Tells of a VPC network, of one of its subnetworks, and whether the network has private services access, which a Cloud SQL instance without a
    public address needs. What is not there is V(none).
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  network:
    description:
      - The network, by its name or as C(projects/PROJECT/global/networks/NETWORK).
    type: str
    required: true
  region:
    description:
      - The region of the subnetwork.
    type: str
    required: true
  subnetwork:
    description:
      - The subnetwork, by its name or as C(projects/PROJECT/regions/REGION/subnetworks/SUBNETWORK). That with the name of the network if not set,
        and in the project of the network if only its name is given.
    type: str
seealso:
  - module: org.djangogcp.sql_instance
  - module: org.djangogcp.run_service
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See whether a network takes a private database
  org.djangogcp.compute_network_info:
    project: my-project
    network: default
    region: europe-west1
  register: result
"""

RETURN = r"""
network:
  description:
    - The network.
  returned: success
  type: dict
  sample:
    name: projects/my-project/global/networks/default
    private_services_access: true
subnetwork:
  description:
    - The subnetwork.
  returned: success
  type: dict
  sample:
    name: projects/my-project/regions/europe-west1/subnetworks/default
    network: projects/my-project/global/networks/default
    ip_cidr_range: 10.132.0.0/20
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module

ARGUMENT_SPEC = {
    "network": {"type": "str", "required": True},
    "region": {"type": "str", "required": True},
    "subnetwork": {"type": "str"},
}

_BASE = "https://compute.googleapis.com/compute/v1/"
#: The peering that private services access is. Source: servicenetworking:v1, Connection.peering.
_PEERING = "servicenetworking-googleapis-com"


def _path(name: str, project: str, collection: str) -> str:
    return name if "/" in name else f"projects/{project}/{collection}/{name}"


def work(task: Task) -> dict[str, t.Any]:
    """Read all of it."""
    network_path = _path(task.params["network"], task.project, "global/networks")
    asked = task.params["subnetwork"] or network_path.rpartition("/")[2]
    path = _path(asked, network_path.split("/")[1], f"regions/{task.params['region']}/subnetworks")
    network = task.client.find(
        _BASE + network_path, Call(f"read network {task.params['network']}", "compute.networks.get")
    )
    subnetwork = task.client.find(_BASE + path, Call(f"read subnetwork {asked}", "compute.subnetworks.get"))
    active = [
        one["name"] for one in (network or {}).get("peerings") or [] if one.get("state", "ACTIVE") == "ACTIVE"
    ]
    return {
        "changed": False,
        "network": network and {"name": network_path, "private_services_access": _PEERING in active},
        "subnetwork": subnetwork
        and {
            "name": path,
            "network": subnetwork["network"].rpartition("/compute/v1/")[2],
            "ip_cidr_range": subnetwork["ipCidrRange"],
        },
    }


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"network": rules.NETWORK, "subnetwork": rules.SUBNETWORK, "region": rules.LOCATION},
        only_reads=True,
    )


if __name__ == "__main__":
    main()
