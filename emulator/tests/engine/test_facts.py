"""The facts of all services against the documents and the roles."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.engine.discovery import load, vendored
from gcp_emulator.engine.facts import apis, load_facts, read_yaml
from gcp_emulator.engine.iam import role_has

APIS = apis()
#: Roles that hold nearly everything prove nothing.
_BROAD = {
    "roles/owner",
    "roles/editor",
    "roles/viewer",
    "roles/iam.securityAdmin",
    "roles/iam.securityReviewer",
}


def _versions(api: str) -> list[Any]:
    return [load(name, version) for name, version in vendored() if name == api]


@pytest.mark.parametrize("api", APIS)
def test_facts_speak_of_methods_that_exist_and_tell_their_source(api: str) -> None:
    raw = read_yaml(f"services/{api}/facts.yaml")
    assert raw["source"].startswith("https://")
    assert raw["status"] in ("verified", "assumed")
    known = {method for document in _versions(api) for method in document.methods}
    assert set(load_facts(api).methods) - known == set()


@pytest.mark.parametrize("api", APIS)
def test_every_permission_is_in_some_predefined_role(api: str) -> None:
    roles = [name for name in read_yaml("engine/roles.yaml")["roles"] if name not in _BROAD]
    nobody = {
        permission
        for facts in load_facts(api).methods.values()
        for permission in facts.permissions
        if not any(role_has(role, permission) for role in roles)
    }
    assert nobody == set()
