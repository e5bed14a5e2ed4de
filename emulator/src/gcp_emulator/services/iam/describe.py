"""Service accounts, and who was granted what on which resource, on the state page."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gcp_emulator.engine.describe import Badge, Cell, Group, Items, Panel, Quiet, Section, Table, Tile
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.iam_roles import role_permissions

Grants = tuple[str, list[Json]]
"""A resource and the bindings of its policy."""


def describe(accounts: Iterable[Json], grants: Iterable[Grants]) -> Section:
    """The service accounts of a project and the policies of everything in it."""
    found = sorted(grants, key=_place)
    bound = [member for _, bindings in found for one in bindings for member in one["members"]]
    rows = [_account(one, bound) for one in accounts]
    table = Table(
        f"{len(rows)} service accounts",
        ("Account", "Name", "Roles that it has"),
        rows,
        frozenset({"Roles that it has"}),
    )
    return Section(
        "Who may do what",
        [
            Group([table], "There is no service account.", "Service accounts"),
            Group(
                [_resource(*one) for one in found],
                "Nothing was granted to anybody.",
                "Grants",
                note="A grant on the project holds for everything in it.",
            ),
        ],
        tiles=[Tile(len(rows), "service accounts")],
    )


def _account(record: Json, bound: list[str]) -> list[Cell]:
    email = record["email"]
    disabled = (" ", Badge("disabled", "warn")) if record.get("disabled") else ()
    return [(email, *disabled), record.get("displayName", ""), str(bound.count(f"serviceAccount:{email}"))]


def _resource(resource: str, bindings: list[Json]) -> Panel:
    kind, name = _words(resource)
    rows = [[_role(one["role"]), Items(one["members"], lines=True)] for one in bindings]
    return Panel(
        (Quiet(kind), f" {name}"), tables=[Table(f"Grants on {resource}", ("Role", "Members"), rows)]
    )


def _role(role: str) -> Cell:
    if role.startswith("roles/") and not role_permissions(role):
        return (role, " ", Badge("permissions unknown: grants nothing", "warn"))
    return role


def _place(grants: Grants) -> tuple[bool, str, str]:
    """The project first."""
    kind, name = _words(grants[0])
    return kind != "project", kind, name


def _words(resource: str) -> tuple[str, str]:
    """``projects/p/serviceAccounts/a`` -> ``service account``, ``a``."""
    collection, name = resource.split("/")[-2:]
    words = re.sub(r"([A-Z])", r" \1", collection).lower()
    return re.sub(r"ies$", "y", words) if words.endswith("ies") else words.removesuffix("s"), name
