# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""What Google Cloud fills in, or writes in another way, is no difference: repositories, secrets, buckets and Cloud Run."""

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._services.artifactregistry import REPOSITORY
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import JOB, SERVICE, WORKER_POOL
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import BUCKET
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import decode, lay_over

KEEP_TEN = {
    "action": "KEEP",
    "mostRecentVersions": {"keepCount": 10, "packageNamePrefixes": ["web", "worker"]},
}
OLD = {"action": "DELETE", "condition": {"olderThan": "1209600s", "tagState": "UNTAGGED"}}
#: As Artifact Registry tells them.
TOLD = {
    "keep-ten": {
        "action": "KEEP",
        "id": "keep-ten",
        "mostRecentVersions": {"keepCount": 10, "packageNamePrefixes": ["worker", "web"]},
    },
    "old": {"id": "old", "condition": {"tagState": "UNTAGGED", "olderThan": "1209600s"}, "action": "DELETE"},
}


def changed(spec, asked, told):
    """The names of the options that a second run would change."""
    return [one.name for one in differences(asked, decode(told, spec.fields), spec.fields)]


@pytest.mark.parametrize(
    "policies",
    [
        {"keep-ten": KEEP_TEN, "old": OLD},
        {"old": OLD, "keep-ten": {"id": "keep-ten", **KEEP_TEN}},
        {
            "old": OLD,
            "keep-ten": {
                **KEEP_TEN,
                "mostRecentVersions": {**KEEP_TEN["mostRecentVersions"], "keepCount": "10"},
            },
        },
        {
            "keep-ten": KEEP_TEN,
            "old": {**OLD, "condition": {"olderThan": "1209600.0s", "tagState": "UNTAGGED"}},
        },
    ],
)
def test_cleanup_policies_are_told_with_their_names_and_in_another_order(policies):
    assert changed(REPOSITORY, {"cleanup_policies": policies}, {"cleanupPolicies": TOLD}) == []


@pytest.mark.parametrize(
    "policies",
    [
        {"keep-ten": KEEP_TEN},
        {"keep-ten": KEEP_TEN, "old": {**OLD, "action": "KEEP"}},
        {"keep-ten": KEEP_TEN, "older": OLD},
        {
            "keep-ten": KEEP_TEN,
            "old": {**OLD, "condition": {"olderThan": "1209601s", "tagState": "UNTAGGED"}},
        },
        {},
    ],
)
def test_another_cleanup_policy_is_a_difference(policies):
    assert changed(REPOSITORY, {"cleanup_policies": policies}, {"cleanupPolicies": TOLD}) == [
        "cleanup_policies"
    ]
    assert lay_over({"cleanupPolicies": TOLD}, {"cleanup_policies": policies}, REPOSITORY.fields) == {
        "cleanupPolicies": policies
    }


def container(secret):
    value = {"secret_key_ref": {"secret": secret, "version": "3"}}
    return {"template": {"containers": [{"env": [{"name": "PASSWORD", "value_source": value}]}]}}


@pytest.mark.parametrize(
    ("asked", "told", "names"),
    [
        ("smtp", "smtp", []),
        ("smtp", "projects/4711/secrets/smtp", []),
        ("projects/mail/secrets/smtp", "projects/mail/secrets/smtp", []),
        ("projects/mail/secrets/smtp", "projects/4711/secrets/smtp", []),
        ("projects/mail/secrets/smtp", "projects/shop/secrets/smtp", ["template.containers"]),
        ("projects/mail/secrets/smtp", "smtp", ["template.containers"]),
    ],
)
def test_a_secret_may_be_one_of_another_project(asked, told, names):
    wire = lay_over({}, container(told), SERVICE.fields)
    assert changed(SERVICE, container(asked), wire) == names


@pytest.mark.parametrize("timeout", ["90s", "90.0s", "90.000s"])
def test_a_duration_is_told_in_its_shortest_form(timeout):
    assert changed(SERVICE, {"template": {"timeout": timeout}}, {"template": {"timeout": "90s"}}) == []
    assert changed(SERVICE, {"template": {"timeout": timeout}}, {"template": {"timeout": "90.500s"}}) == [
        "template.timeout"
    ]
    task = {"template": {"template": {"timeout": timeout}}}
    assert changed(JOB, task, {"template": {"template": {"timeout": "90s"}}}) == []


def test_a_network_is_told_by_its_full_name():
    told = {
        "template": {"vpcAccess": {"networkInterfaces": [{"network": "projects/hub/global/networks/core"}]}}
    }
    asked = {"template": {"vpc_access": {"network_interfaces": [{"network": "core"}]}}}
    assert changed(SERVICE, asked, told) == []
    asked["template"]["vpc_access"]["network_interfaces"][0]["network"] = "projects/shop/global/networks/core"
    assert changed(SERVICE, asked, told) == ["template.vpc_access.network_interfaces"]


@pytest.mark.parametrize(
    ("spec", "option", "wire", "kind"),
    [
        (SERVICE, "traffic", "traffic", "TRAFFIC_TARGET"),
        (WORKER_POOL, "instance_splits", "instanceSplits", "INSTANCE_SPLIT"),
    ],
)
def test_all_of_it_is_the_newest_revision_s_when_nothing_is_asked(spec, option, wire, kind):
    newest = {"type": f"{kind}_ALLOCATION_TYPE_LATEST", "percent": 100}
    pinned = {"type": f"{kind}_ALLOCATION_TYPE_REVISION", "revision": "web-00001", "percent": 100}
    assert changed(spec, {option: []}, {wire: [newest]}) == []
    assert changed(spec, {option: [newest]}, {}) == []
    assert changed(spec, {option: []}, {wire: [pinned]}) == [option]
    assert changed(
        spec, {option: [{**newest, "percent": 50}, {**pinned, "percent": 50}]}, {wire: [newest]}
    ) == [option]
    assert (
        changed(
            spec,
            {option: [pinned]},
            {wire: [{**pinned, "revision": "projects/p/locations/l/services/web/revisions/web-00001"}]},
        )
        == []
    )


def test_no_network_is_asked_and_none_is_there():
    asked = {"template": {"vpc_access": {"network_interfaces": []}}}
    assert changed(SERVICE, asked, {"template": {}}) == []


def test_numbers_of_a_lifecycle_rule_may_be_told_as_text():
    rule = {"action": {"type": "Delete"}, "condition": {"age": 30, "num_newer_versions": 2}}
    told = {"action": {"type": "Delete"}, "condition": {"age": "30", "numNewerVersions": "2"}}
    assert changed(BUCKET, {"lifecycle_rules": [rule]}, {"lifecycle": {"rule": [told]}}) == []
    assert changed(
        BUCKET, {"lifecycle_rules": [rule]}, {"lifecycle": {"rule": [{**told, "condition": {"age": "30"}}]}}
    )
