# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: network_problems
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What a network lacks that the private database of a site is to be in
description:
  - Says what a site cannot be deployed without, each with the commands that make it.
options:
  _input:
    description: The network and the subnetwork, as M(org.djangogcp.compute_network_info) returns them.
    type: dict
    required: true
  network:
    description: The network that was asked for, by its name or its full name.
    type: str
    required: true
  subnetwork:
    description: The subnetwork that was asked for.
    type: str
    required: true
  project:
    description: The project of the site.
    type: str
    required: true
  region:
    description: The region of the site.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a network that the database cannot be in
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(' ') }}"
  vars:
    problems: "{{ found | org.djangogcp.network_problems('default', 'default', 'my-project', 'europe-west1') }}"
"""

RETURN = r"""
_value:
  description: A sentence for each problem, with the commands that solve it.
  type: list
  elements: str
  sample:
    - >-
      The project my-project has no network sites (djangogcp_network). Make it: gcloud services enable compute.googleapis.com --project=my-project
      && gcloud compute networks create sites --project=my-project --subnet-mode=custom
"""

import typing as t

#: Cloud Run, "Direct VPC with a VPC network": it takes 16 addresses at a time, twice as many as there are instances, of a /26 at least.
_LONGEST_PREFIX = 26
_API = "servicenetworking.googleapis.com"


def network_problems(
    found: t.Mapping[str, t.Any], network: str, subnetwork: str, project: str, region: str
) -> list[str]:
    """What a network lacks. See DOCUMENTATION."""
    host = network.split("/")[1] if "/" in network else project
    name, inside = network.rpartition("/")[2], subnetwork.rpartition("/")[2]
    problems = []
    if not found["network"]:
        problems.append(
            f"The project {host} has no network {name} (djangogcp_network). Make it: gcloud services enable compute.googleapis.com"
            f" --project={host} && gcloud compute networks create {name} --project={host} --subnet-mode=custom"
        )
    if not found["subnetwork"]:
        problems.append(
            f"The network {name} has no subnetwork {inside} in {region} (djangogcp_subnetwork). Name one of its own, or make it, in a range"
            f" that is free: gcloud compute networks subnets create {inside} --project={host} --network={name} --region={region}"
            f" --range=10.8.0.0/{_LONGEST_PREFIX}"
        )
    elif found["network"] and found["subnetwork"]["network"] != found["network"]["name"]:
        problems.append(
            f"The subnetwork {inside} (djangogcp_subnetwork) is of the network {found['subnetwork']['network'].rpartition('/')[2]}, and not of"
            f" {name} (djangogcp_network)."
        )
    elif int(found["subnetwork"]["ip_cidr_range"].rpartition("/")[2]) > _LONGEST_PREFIX:
        problems.append(
            f"The subnetwork {inside} (djangogcp_subnetwork) has the range {found['subnetwork']['ip_cidr_range']}: expected"
            f" /{_LONGEST_PREFIX} or larger, because Cloud Run takes 16 addresses at a time. Enlarge it: gcloud compute networks subnets"
            f" expand-ip-range {inside} --project={host} --region={region} --prefix-length={_LONGEST_PREFIX}"
        )
    if not (found["network"] or {}).get("private_services_access"):
        reserved = f"google-managed-services-{name}"
        problems.append(
            f"The network {name} (djangogcp_network) has no private services access, through which a database without a public address is"
            f" reached. Make it: gcloud services enable {_API} --project={host} && gcloud compute addresses create {reserved}"
            f" --project={host} --global --purpose=VPC_PEERING --prefix-length=20 --network={name} && gcloud services vpc-peerings connect"
            f" --project={host} --service={_API} --ranges={reserved} --network={name}"
        )
    return problems


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"network_problems": network_problems}
