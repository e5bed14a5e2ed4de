"""The modules that tell of resources: what the module that makes them returns, of some by name and of all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.cloud import BARE_PROJECT, NOBODY, PROJECT, REGION, Cloud

NAME = f"{PROJECT}-told"
#: For each module what makes two resources, and the key of both results.
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "secretmanager_secrets_info": (
        "secretmanager_secrets",
        {"secrets": [{"name": "told", "generate": {}}, {"name": "told-2"}]},
    ),
    "iam_service_accounts_info": (
        "iam_service_accounts",
        {"service_accounts": [{"name": "told-account"}, {"name": "told-account-2"}]},
    ),
    "storage_buckets_info": (
        "storage_buckets",
        {"buckets": [{"name": NAME, "location": REGION}, {"name": f"{NAME}-2", "location": REGION}]},
    ),
}


@pytest.mark.parametrize("module", MADE)
def test_what_was_made_is_told(cloud: Cloud, module: str) -> None:
    maker, options = MADE[module]
    (key,) = options
    made = [
        {name: value for name, value in one.items() if name not in ("changed", "version", "retired_versions")}
        for one in cloud.ok(maker, **options)[key]
    ]
    names = [one["name"] for one in made]
    before = cloud.resources()

    def told(**asked: Any) -> list[dict[str, Any]]:
        result = cloud.ok(module, **asked)
        assert result["changed"] is False
        return [{name: value for name, value in one.items() if name != "versions"} for one in result[key]]

    assert told(names=[*names, "absent-one"]) == made
    assert [one for one in sorted(told(), key=lambda one: str(one["name"])) if one["name"] in names] == made
    assert told(project=BARE_PROJECT) == []
    assert cloud.resources() == before


def test_a_value_is_told_to_who_asks_for_it(cloud: Cloud) -> None:
    made = [{"name": "asked-for", "value": "first"}, {"name": "without-version"}]
    cloud.ok("secretmanager_secrets", secrets=made)
    cloud.ok("secretmanager_secrets", secrets=[{"name": "asked-for", "value": "second"}])
    names = [one["name"] for one in made]
    told = cloud.ok("secretmanager_secrets_info", names=names, show_values=True)["secrets"]
    assert {one["name"]: one["value"] for one in told} == {"asked-for": "second", "without-version": None}
    pinned = {"asked-for": ["1", 2]}
    (told,) = cloud.ok("secretmanager_secrets_info", names=["asked-for"], value_versions=pinned)["secrets"]
    assert told["values"] == {"1": "first", "2": "second"}
    assert "value" not in told
    wrong = cloud.error("secretmanager_secrets_info", names=["asked-for"], value_versions={"asked-for": "1"})
    assert "value_versions" in wrong
    refused = cloud.error("secretmanager_secrets_info", user=NOBODY, names=names, show_values=True)
    assert "secretmanager.secrets.get" in refused
    # No other test may have printed a value.
    cloud.ok("secretmanager_secrets", secrets=[{"name": name, "state": "absent"} for name in names])


def test_versions_are_told_without_their_values(cloud: Cloud) -> None:
    value = "what-only-the-secret-knows"
    cloud.ok("secretmanager_secrets", secrets=[{"name": "versioned", "value": value}])
    cloud.ok(
        "secretmanager_secrets",
        secrets=[{"name": "versioned", "value": f"{value}-2", "old_versions": "disable"}],
    )
    (told,) = cloud.ok("secretmanager_secrets_info", names=["versioned"])["secrets"]
    assert [(one["version"], one["state"]) for one in told["versions"]] == [
        ("2", "ENABLED"),
        ("1", "DISABLED"),
    ]
    assert value not in cloud.run("secretmanager_secrets_info", names=["versioned"]).text


def test_who_may_read_a_secret_is_told_to_who_asks_for_it(cloud: Cloud) -> None:
    cloud.ok("secretmanager_secrets", secrets=[{"name": "read-by-one", "value": "shown-to-nobody"}])
    account = "serviceAccount:reader@other.iam.gserviceaccount.com"
    for role in ("roles/secretmanager.secretAccessor", "roles/secretmanager.viewer"):
        grant = {"resource_type": "secret", "resource": "read-by-one", "role": role, "members": [account]}
        cloud.ok("iam_members", members=[grant])
    (told,) = cloud.ok("secretmanager_secrets_info", names=["read-by-one"], show_readers=True)["secrets"]
    assert told["readers"] == [account]
    assert "readers" not in cloud.ok("secretmanager_secrets_info", names=["read-by-one"])["secrets"][0]
    cloud.ok("secretmanager_secrets", secrets=[{"name": "read-by-one", "state": "absent"}])
