# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a network lacks for a private database, each with the commands that make it."""

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.filter.network_problems import network_problems

NETWORK = {"name": "projects/p/global/networks/sites", "private_services_access": True}
SUBNETWORK = {
    "name": "projects/p/regions/us-east1/subnetworks/web",
    "network": "projects/p/global/networks/sites",
    "ip_cidr_range": "10.8.0.0/26",
}


def problems(named="sites", **found):
    described = {"network": NETWORK, "subnetwork": SUBNETWORK, **found}
    return network_problems(described, named, "web", "p", "us-east1")


@pytest.mark.parametrize("cidr", ["10.8.0.0/26", "10.0.0.0/8"])
def test_what_has_everything_is_no_problem(cidr):
    assert problems(subnetwork={**SUBNETWORK, "ip_cidr_range": cidr}) == []


def test_everything_that_is_missing_is_told_at_once_with_what_makes_it():
    network, subnetwork, access = problems(network=None, subnetwork=None)
    assert network.startswith("The project p has no network sites (djangogcp_network). Make it: ")
    assert network.endswith("gcloud compute networks create sites --project=p --subnet-mode=custom")
    assert "gcloud services enable compute.googleapis.com --project=p && " in network
    assert subnetwork.startswith(
        "The network sites has no subnetwork web in us-east1 (djangogcp_subnetwork). "
    )
    assert subnetwork.endswith(
        "gcloud compute networks subnets create web --project=p --network=sites --region=us-east1 --range=10.8.0.0/26"
    )
    reserve = (
        "gcloud compute addresses create google-managed-services-sites --project=p --global --purpose=VPC_PEERING --prefix-length=20"
        " --network=sites"
    )
    connect = (
        "gcloud services vpc-peerings connect --project=p --service=servicenetworking.googleapis.com"
        " --ranges=google-managed-services-sites --network=sites"
    )
    assert access.endswith(f"{reserve} && {connect}")


def test_a_network_without_private_services_access_lacks_that_alone():
    (problem,) = problems(network={**NETWORK, "private_services_access": False})
    assert problem.startswith("The network sites (djangogcp_network) has no private services access")


def test_the_commands_are_for_the_project_of_a_shared_network():
    shared = "projects/host-project/global/networks/sites"
    found = problems(shared, network=None, subnetwork=None)
    assert all("--project=host-project" in one and "--project=p" not in one for one in found)


def test_a_subnetwork_of_another_network_is_named():
    other = {**SUBNETWORK, "network": "projects/p/global/networks/other"}
    assert problems(subnetwork=other) == [
        "The subnetwork web (djangogcp_subnetwork) is of the network other, and not of sites (djangogcp_network)."
    ]


def test_a_subnetwork_that_is_too_small_is_enlarged():
    (problem,) = problems(subnetwork={**SUBNETWORK, "ip_cidr_range": "10.8.0.0/27"})
    assert "has the range 10.8.0.0/27: expected /26 or larger" in problem
    assert problem.endswith("expand-ip-range web --project=p --region=us-east1 --prefix-length=26")
