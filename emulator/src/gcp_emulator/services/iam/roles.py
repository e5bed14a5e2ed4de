"""Predefined roles as roles.get and roles.list show them.

``*`` in engine/roles.yaml is spelt out over the permissions that the emulator knows.
Source: https://cloud.google.com/iam/docs/reference/rest/v1/roles.
"""

from __future__ import annotations

from gcp_emulator.engine.errors import Json, not_found
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.iam_roles import known_permissions, role_has, role_permissions

UNKNOWN = "The emulator does not know the permissions of this role: here it grants nothing."


def role_view(name: str, *, full: bool) -> Json:
    """The Role resource, with ``includedPermissions`` when ``full``; NOT_FOUND."""
    if role_permissions(name) is None:
        raise not_found(f"The role named {name} was not found.")
    role = read_yaml("engine/roles.yaml")["roles"].get(name)
    view: Json = {"name": name, "stage": "GA", "etag": "AA=="}
    view |= {"title": role["title"]} if role else {"description": UNKNOWN}
    if full:
        view["includedPermissions"] = [p for p in sorted(known_permissions()) if role_has(name, p)]
    return view
