"""The facts of all services against the documents and the roles."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
from gcp_emulator.engine.discovery import load
from gcp_emulator.engine.facts import load_facts, read_yaml
from gcp_emulator.engine.iam import role_has

_FACTS = resources.files("gcp_emulator").joinpath("facts")
APIS = sorted(
    file.name.removesuffix(".yaml")
    for file in _FACTS.iterdir()
    if file.name.endswith(".yaml") and "methods" in read_yaml(file.name)
)
#: Roles that hold nearly everything prove nothing.
_BROAD = {
    "roles/owner",
    "roles/editor",
    "roles/viewer",
    "roles/iam.securityAdmin",
    "roles/iam.securityReviewer",
}


def _versions(api: str) -> list[Any]:
    folder = resources.files("gcp_emulator").joinpath("discovery")
    names = [file.name.split(".") for file in folder.iterdir() if file.name.startswith(f"{api}.")]
    return [load(name, version) for name, version, _ in names]


@pytest.mark.parametrize("api", APIS)
def test_facts_speak_of_methods_that_exist_and_tell_their_source(api: str) -> None:
    raw = read_yaml(f"{api}.yaml")
    assert raw["source"].startswith("https://")
    assert raw["status"] in ("verified", "assumed")
    known = {method for document in _versions(api) for method in document.methods}
    assert set(load_facts(api).methods) - known == set()


@pytest.mark.parametrize("api", APIS)
def test_every_permission_is_in_some_predefined_role(api: str) -> None:
    roles = [name for name in read_yaml("roles.yaml")["roles"] if name not in _BROAD]
    nobody = {
        permission
        for facts in load_facts(api).methods.values()
        for permission in facts.permissions
        if not any(role_has(role, permission) for role in roles)
    }
    assert nobody == set()
