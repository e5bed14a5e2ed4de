"""Predefined roles as roles.get and roles.list show them.

``*`` in engine/roles.yaml is spelt out over the permissions that the emulated APIs use.
Source: https://cloud.google.com/iam/docs/reference/rest/v1/roles.
"""

from __future__ import annotations

from functools import cache

from gcp_emulator.engine.errors import Json, not_found
from gcp_emulator.engine.facts import apis, load_facts, read_yaml
from gcp_emulator.engine.iam import role_has, role_permissions


@cache
def known_permissions() -> tuple[str, ...]:
    """Every permission that a role names or that a method of an emulated API requires, sorted."""
    found: set[str] = set()
    for api in apis():
        for facts in load_facts(api).methods.values():
            found.update(facts.permissions)
    for name in read_yaml("engine/roles.yaml")["roles"]:
        found.update(permission for permission in role_permissions(name) or () if "*" not in permission)
    return tuple(sorted(found))


def role_names() -> list[str]:
    return list(_roles())


def role_view(name: str, *, full: bool) -> Json:
    """The Role resource, with ``includedPermissions`` when ``full``; NOT_FOUND."""
    role = _roles().get(name)
    if role is None:
        raise not_found(f"The role named {name} was not found.")
    view: Json = {"name": name, "title": role["title"], "stage": "GA", "etag": "AA=="}
    if full:
        view["includedPermissions"] = [p for p in known_permissions() if role_has(name, p)]
    return view


def _roles() -> dict[str, Json]:
    roles: dict[str, Json] = read_yaml("engine/roles.yaml")["roles"]
    return roles
