# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network and its subnetwork, told as a database and Cloud Run need them."""

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.modules.compute_network_info import work

BASE = "https://compute.googleapis.com/compute/v1/"
NETWORK = "projects/p/global/networks/sites"
SUBNETWORK = "projects/p/regions/us-east1/subnetworks/sites"
PEERING = {"name": "servicenetworking-googleapis-com", "state": "ACTIVE"}


def read(client, **params):
    asked = {"network": "sites", "region": "us-east1", "subnetwork": None, "project": "p", **params}
    return work(Task(asked, client))


def answer(google, network=NETWORK, subnetwork=SUBNETWORK, **more):
    google.answer("GET", BASE + network, {"name": "sites", **more})
    inside = {
        "network": BASE.replace("compute.googleapis.com", "www.googleapis.com") + network,
        "ipCidrRange": "10.8.0.0/26",
    }
    google.answer("GET", BASE + subnetwork, inside)


@pytest.mark.parametrize(
    ("peerings", "has_access"),
    [
        ([PEERING], True),
        ([{**PEERING, "state": "INACTIVE"}], False),
        ([{**PEERING, "name": "partners"}], False),
        (None, False),
    ],
)
def test_private_services_access_is_a_peering_that_is_active(google, client, peerings, has_access):
    answer(google, **({"peerings": peerings} if peerings else {}))
    assert read(client) == {
        "changed": False,
        "network": {"name": NETWORK, "private_services_access": has_access},
        "subnetwork": {"name": SUBNETWORK, "network": NETWORK, "ip_cidr_range": "10.8.0.0/26"},
    }


@pytest.mark.parametrize(
    ("subnetwork", "path"),
    [
        (None, "projects/host/regions/us-east1/subnetworks/sites"),
        ("web", "projects/host/regions/us-east1/subnetworks/web"),
        ("projects/q/regions/us-east1/subnetworks/web", "projects/q/regions/us-east1/subnetworks/web"),
    ],
)
def test_a_subnetwork_is_of_the_project_of_its_network(google, client, subnetwork, path):
    network = "projects/host/global/networks/sites"
    answer(google, network, path)
    assert read(client, network=network, subnetwork=subnetwork)["subnetwork"]["name"] == path


def test_what_is_not_there_is_none(google, client, refuse):
    google.answer("GET", BASE + NETWORK, refuse(404, "NOT_FOUND", "It was not found."))
    google.answer("GET", BASE + SUBNETWORK, refuse(404, "NOT_FOUND", "It was not found."))
    assert read(client) == {"changed": False, "network": None, "subnetwork": None}


def test_who_may_not_look_is_told(google, client, refuse):
    google.answer("GET", BASE + NETWORK, refuse(403, "PERMISSION_DENIED", "Required permission."))
    with pytest.raises(ApiError, match=r"roles/compute\.networkViewer"):
        read(client)
