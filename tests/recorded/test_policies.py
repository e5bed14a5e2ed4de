"""Grants that Google Cloud has recorded are there for a second run, in whatever form and order it tells them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._policies import Grant, with_grants

from tests.recorded.told import FOLDER, MISSING, Json, conversations

pytestmark = pytest.mark.skipif(not FOLDER, reason=MISSING)


def policies() -> Iterator[tuple[str, list[Grant], Json]]:
    """The name of each conversation in which a policy was written, what it grants, and what was told when it was read next."""
    for one in conversations():
        for position, exchange in enumerate(one.exchanges):
            if ":setIamPolicy" not in exchange.url or exchange.status != 200:
                continue
            address = exchange.url.partition(":setIamPolicy")[0]
            grants = [
                Grant(binding["role"], tuple(binding["members"]), binding.get("condition"))
                for binding in exchange.request["policy"].get("bindings", [])
            ]
            for after in one.exchanges[position + 1 :]:
                if after.url.startswith(f"{address}:getIamPolicy"):
                    yield one.name, grants, after.response
                    break


def test_what_was_granted_is_granted_for_a_second_run() -> None:
    tried = 0
    for name, grants, policy in policies():
        tried += len(grants)
        assert with_grants(policy, grants) == policy, name
        assert with_grants(policy, reversed(grants)) == policy, name
        for grant in grants:
            shouted = tuple(
                member.upper().replace("SERVICEACCOUNT:", "serviceAccount:") for member in grant.members
            )
            assert with_grants(policy, [Grant(grant.role, shouted, grant.condition)]) == policy, name
            gone = Grant(grant.role, grant.members, grant.condition, present=False)
            assert grant.role not in [
                one["role"] for one in with_grants(policy, [gone]).get("bindings", [])
            ], name
            other = Grant(grant.role, ("user:somebody.else@example.com",), grant.condition)
            assert with_grants(policy, [other]) != policy, name
    print(f"policies: {tried} grants tried")
    if not tried:
        pytest.skip("no recorded conversation grants anything")
