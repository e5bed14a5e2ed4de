# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.filter.policy_problems import policy_problems

SITE = {
    "djangogcp_site": "polls",
    "djangogcp_region": "europe-west1",
    "djangogcp_public": True,
    "djangogcp_public_by": "no_invoker_iam_check",
    "djangogcp_static": "bucket",
    "djangogcp_static_bucket": "p-polls-static",
    "djangogcp_secret_locations": [],
    "djangogcp_database_instance": "djangogcp",
    "djangogcp_network": "",
}
ENFORCED = [{"enforce": True}]
CUSTOMER = [{"values": {"allowedValues": ["C0abc1234"]}}]
SECRETS = [
    f"secret polls-{name}"
    for name in (
        "secret-key",
        "superuser-password",
        "web-db-password",
        "migrator-db-password",
        "web-database-url",
        "migrator-database-url",
    )
]
STATIC = "forbids the public bucket of static files. Set djangogcp_static to image, so that the site serves them itself."


def allowed(*locations):
    return [{"values": {"allowedValues": list(locations)}}]


def problems(policies, existing=(), static_public=True, **values):
    return policy_problems({**SITE, **values}, policies, existing, static_public)


@pytest.mark.parametrize(
    "policies",
    [
        {},
        {
            "gcp.resourceLocations": [{"allowAll": True}],
            "storage.publicAccessPrevention": [{"enforce": False}],
        },
        {"iam.allowedPolicyMemberDomains": [{"allowAll": True}], "gcp.resourceLocations": []},
        {"gcp.resourceLocations": [{"values": {"deniedValues": ["us-central1"]}}]},
    ],
)
def test_what_nobody_forbids_is_no_problem(policies):
    assert problems(policies) == []


def test_a_public_bucket_can_be_forbidden_twice():
    assert problems({"storage.publicAccessPrevention": ENFORCED}) == [
        f"storage.publicAccessPrevention {STATIC}"
    ]
    assert problems({"iam.allowedPolicyMemberDomains": CUSTOMER}) == [
        f"iam.allowedPolicyMemberDomains {STATIC}"
    ]
    assert problems({"iam.allowedPolicyMemberDomains": [{"denyAll": True}]}) != []
    both = {"storage.publicAccessPrevention": ENFORCED, "iam.allowedPolicyMemberDomains": CUSTOMER}
    (problem,) = problems(both)
    assert problem.startswith(
        "storage.publicAccessPrevention and iam.allowedPolicyMemberDomains forbid the public"
    )
    assert problems(both, djangogcp_static="image") == []
    assert problems(both, static_public="false") == []


def test_what_everybody_was_granted_before_stays_unless_it_is_prevented():
    there = ["bucket p-polls-static"]
    assert problems({"iam.allowedPolicyMemberDomains": CUSTOMER}, there) == []
    assert problems({"storage.publicAccessPrevention": ENFORCED}, there) != []


@pytest.mark.parametrize(
    ("invoker", "domains", "public_by", "way"),
    [
        (True, False, "no_invoker_iam_check", "Set djangogcp_public_by to all_users."),
        (True, True, "no_invoker_iam_check", "Set djangogcp_public to false:"),
        (False, True, "all_users", "Set djangogcp_public_by to no_invoker_iam_check."),
        (True, True, "all_users", "Set djangogcp_public to false:"),
        (False, True, "no_invoker_iam_check", None),
        (True, False, "all_users", None),
    ],
)
def test_everybody_is_let_in_by_the_way_that_is_left(invoker, domains, public_by, way):
    policies = {
        **({"run.managed.requireInvokerIam": ENFORCED} if invoker else {}),
        **({"iam.allowedPolicyMemberDomains": CUSTOMER} if domains else {}),
    }
    found = problems(policies, djangogcp_static="image", djangogcp_public_by=public_by)
    assert [way in one for one in found] == ([True] if way else [])
    assert (
        problems(policies, djangogcp_static="image", djangogcp_public_by=public_by, djangogcp_public=False)
        == []
    )


@pytest.mark.parametrize(
    ("rules", "values", "said"),
    [
        (
            allowed("us-east1", "us-east1-b", "us"),
            {},
            "does not allow europe-west1. Set djangogcp_region to a region that it allows (us-east1).",
        ),
        (allowed("in:us-locations"), {}, "(in:us-locations)."),
        ([{"denyAll": True}], {}, "(other regions)."),
        (allowed("europe-west1"), {}, "(global). Set djangogcp_secret_locations to [europe-west1]."),
        (allowed("in:europe-locations"), {}, "djangogcp_secret_locations to [europe-west1]."),
        (
            allowed("in:europe-west1-locations"),
            {"djangogcp_secret_locations": ["us-east1"]},
            "does not allow secrets in us-east1.",
        ),
        (allowed("europe-west1", "global"), {}, None),
        (allowed("is:EUROPE-WEST1"), {"djangogcp_secret_locations": ["europe-west1"]}, None),
        ([{"values": {"deniedValues": ["global"]}}], {}, "(global)."),
    ],
)
def test_everything_is_where_it_may_be(rules, values, said):
    found = problems({"gcp.resourceLocations": rules}, **values)
    assert [said in one for one in found] == ([True] if said else []), found


def test_secrets_that_are_there_stay_where_they_are():
    policies = {"gcp.resourceLocations": allowed("europe-west1")}
    assert problems(policies, SECRETS) == []
    assert problems(policies, SECRETS[1:]) != []


def test_an_instance_with_a_public_address_is_used_if_it_is_there():
    (problem,) = problems({"sql.restrictPublicIp": ENFORCED})
    assert problem.startswith(
        "sql.restrictPublicIp forbids the public address of the SQL instance djangogcp. "
    )
    assert "Set djangogcp_network to a VPC network with private services access" in problem
    assert "djangogcp_subnetwork to a subnetwork in europe-west1" in problem
    assert problems({"sql.restrictPublicIp": ENFORCED}, ["SQL instance djangogcp"]) == []
    assert problems({"sql.restrictPublicIp": ENFORCED}, djangogcp_network="sites") == []


def test_all_problems_come_at_once():
    policies = {
        "gcp.resourceLocations": allowed("europe-west1"),
        "iam.allowedPolicyMemberDomains": CUSTOMER,
        "run.managed.requireInvokerIam": ENFORCED,
        "sql.restrictPublicIp": ENFORCED,
    }
    assert [one.partition(" ")[0] for one in problems(policies)] == list(policies)
