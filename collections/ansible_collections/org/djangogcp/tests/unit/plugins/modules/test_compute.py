# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import uuid

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import OperationError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.modules import compute_firewall, compute_network

API = "https://compute.googleapis.com/compute/v1/projects/p/global"
# The host of Google's links is another one than that of its API.
LINK = "https://www.googleapis.com/compute/v1/projects/p/global"
MISSING = (404, {"error": {"code": 404, "message": "no"}})
RUNNING = {"name": "operation-1", "status": "RUNNING", "selfLink": f"{LINK}/operations/operation-1"}
MADE = {
    "name": "sites",
    "autoCreateSubnetworks": False,
    "routingConfig": {"routingMode": "REGIONAL"},
    "selfLink": f"{LINK}/networks/sites",
}


def run(module, client, name, **options):
    given = {
        **{key: spec.get("default") for key, spec in module.ARGUMENT_SPEC.items()},
        "project": "p",
        "name": name,
        **options,
    }
    return module.work(Task(given, client, False))


def test_a_write_says_who_it_is_and_its_operation_is_followed(google, client):
    google.answer("GET", f"{API}/networks/sites", MISSING, MADE)
    google.answer("POST", f"{API}/networks", RUNNING)
    google.answer("GET", f"{API}/operations/operation-1", RUNNING, {**RUNNING, "status": "DONE"})
    assert run(compute_network, client, "sites")["actions"] == ["create network sites"]
    [made] = [one for one in google.sent if one.method == "POST"]
    # Absent, it would be a network of the kind before there were subnetworks.
    assert made.body == {"name": "sites", "autoCreateSubnetworks": False}
    assert uuid.UUID(made.params["requestId"])


NO_CAPACITY = (
    "The zone 'projects/p/zones/us-east1-b' does not have enough resources available to fulfill the request.  "
    "Try a different zone, or try again later."
)
ANOTHER_ZONE = (
    "Take another zone of the region{}, which of a site is compute_engine_zone, or another machine type, which is compute_engine_machine_type, "
    "or run again later."
)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            {"code": "QUOTA_EXCEEDED", "message": "Quota 'NETWORKS' exceeded.  Limit: 5.0 globally."},
            "Quota 'NETWORKS' exceeded.  Limit: 5.0 globally (QUOTA_EXCEEDED). Delete what nobody needs, or ask for more: "
            "https://console.cloud.google.com/iam-admin/quotas?project=p",
        ),
        (
            {"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": NO_CAPACITY},
            f"{NO_CAPACITY[:-1]} (ZONE_RESOURCE_POOL_EXHAUSTED). {ANOTHER_ZONE.format('')}",
        ),
        (
            {
                "code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
                "message": "No room.",
                "errorDetails": [
                    {"help": {"links": []}},
                    {"errorInfo": {"metadatas": {"zonesAvailable": "us-east1-c,us-east1-d"}}},
                ],
            },
            f"No room (ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS). {ANOTHER_ZONE.format(' (us-east1-c or us-east1-d)')}",
        ),
        ({"code": "CONDITION_NOT_MET", "message": "No."}, "No (CONDITION_NOT_MET)."),
    ],
)
def test_an_operation_that_is_done_with_an_error_has_failed(google, client, error, told):
    google.answer("GET", f"{API}/networks/sites", MISSING)
    google.answer("POST", f"{API}/networks", {**RUNNING, "status": "DONE", "error": {"errors": [error]}})
    with pytest.raises(OperationError) as caught:
        run(compute_network, client, "sites")
    assert caught.value.message == f"Failed to create network sites: {told}"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"network": None}, "network is missing"),
        ({"allowed": None}, "allowed and denied are missing"),
        ({"source_ranges": None}, "source_ranges is missing"),
        ({"source_tags": ["web"], "target_service_accounts": ["a@p.iam.gserviceaccount.com"]}, "in one rule"),
    ],
)
def test_a_rule_that_somebody_cannot_mean_is_refused(options, problem):
    good = {
        **{key: spec.get("default") for key, spec in compute_firewall.ARGUMENT_SPEC.items()},
        "network": "sites",
        "allowed": [{"ip_protocol": "tcp"}],
        "source_ranges": ["10.0.0.0/8"],
    }
    assert compute_firewall.check(good) == []
    assert problem in " ".join(compute_firewall.check({**good, **options}))
    assert compute_firewall.check({**good, **options, "state": "absent"}) == []
