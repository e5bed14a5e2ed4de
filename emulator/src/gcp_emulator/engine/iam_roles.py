"""Which permissions and predefined roles there are, and what fits which type of resource, as data: roles.yaml, predefined_roles.yaml,
role_levels.yaml, permissions.yaml and the permissions in the facts.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from functools import cache

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.facts import apis, load_facts, read_yaml

_PERMISSION = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z][A-Za-z0-9_-]*){2}")
#: Resources whose policies may give anything.
_CONTAINERS = frozenset({"projects", "folders", "organizations", "billingAccounts"})


@cache
def role_permissions(role: str) -> tuple[str, ...] | None:
    """The permission patterns of a predefined role; none where they are not known, None when there is no such role."""
    found = read_yaml("engine/roles.yaml")["roles"].get(role)
    if found is None:
        return () if role in _predefined() else None
    return tuple(_spelt_out(found["permissions"]))


@cache
def role_has(role: str, permission: str) -> bool:
    """Whether ``role`` grants ``permission`` (``*`` in the data matches any text)."""
    return any(fnmatch.fnmatchcase(permission, pattern) for pattern in role_permissions(role) or ())


@cache
def role_names() -> tuple[str, ...]:
    """Every predefined role, sorted."""
    return tuple(sorted({*_predefined(), *read_yaml("engine/roles.yaml")["roles"]}))


@cache
def known_permissions() -> frozenset[str]:
    """Every permission that the data name; there are more (see `is_permission`)."""
    found = {
        permission
        for api in apis()
        for facts in load_facts(api).methods.values()
        for permission in facts.permissions
    }
    for service, kinds in _complete().items():
        found.update(f"{service}.{permission}" for permission in _spelt_out(kinds))
    for name in read_yaml("engine/roles.yaml")["roles"]:
        found.update(permission for permission in role_permissions(name) or () if "*" not in permission)
    return frozenset(found)


def is_permission(permission: str) -> bool:
    """Whether Google has this permission, as far as the data tell: of a service whose permissions are not all known, any may be one."""
    if _PERMISSION.fullmatch(permission) is None:
        return False
    return permission in known_permissions() or permission.partition(".")[0] not in _complete()


@cache
def permission_fits(permission: str, resource: str) -> bool:
    """Whether a policy of ``resource`` can give ``permission``."""
    if not is_permission(permission):
        return False
    services = _services_of(resource)
    if services is None:
        return not (resource.startswith("projects/") and _is_above_projects(permission))
    return permission.partition(".")[0] in services


@cache
def role_fits(role: str, resource: str) -> bool:
    """Whether a policy of ``resource`` can bind a predefined role: one that gives something there, or whose permissions are not known.

    Some are for certain levels of the resource hierarchy only.
    """
    levels = _levels().get(role)
    if levels is not None:
        return _collection(resource) in levels
    services = _services_of(resource)
    patterns = role_permissions(role) or ()
    return (
        services is None
        or not patterns
        or any(
            fnmatch.fnmatchcase(service, pattern.partition(".")[0])
            for pattern in patterns
            for service in services
        )
    )


def _services_of(resource: str) -> frozenset[str] | None:
    """The services that have a policy for this type of resource (``.../secrets/s``: secretmanager); None where anything may be in it."""
    collection = _collection(resource)
    if collection in _CONTAINERS:
        return None
    ending = f".{collection}.setIamPolicy".lower()
    found = {
        permission.partition(".")[0]
        for permission in known_permissions()
        if permission.lower().endswith(ending)
    }
    return frozenset(found) or None


def _collection(resource: str) -> str:
    return resource.split("/")[-2]


@cache
def _levels() -> dict[str, frozenset[str]]:
    """The collections whose policies can bind a role, of those roles that not every level can."""
    entries: list[Json] = read_yaml("engine/role_levels.yaml")["levels"]
    return {f"roles/{role}": frozenset(entry["levels"]) for entry in entries for role in entry["roles"]}


@cache
def _is_above_projects(permission: str) -> bool:
    above: Json = read_yaml("engine/permissions.yaml")["above_projects"]
    return any(
        fnmatch.fnmatchcase(permission, f"{service}.{pattern}")
        for service, kinds in above.items()
        for pattern in _spelt_out(kinds)
    )


@cache
def _predefined() -> frozenset[str]:
    listed: dict[str, str] = read_yaml("engine/predefined_roles.yaml")["roles"]
    return frozenset(f"roles/{first}.{rest}" for first, names in listed.items() for rest in names.split())


def _complete() -> Json:
    services: Json = read_yaml("engine/permissions.yaml")["services"]
    return services


def _spelt_out(kinds: dict[str, Iterable[str]]) -> Iterator[str]:
    for kind, verbs in kinds.items():
        for verb in verbs:
            yield f"{kind}.{verb}"
