"""Database instances on the state page, with what is in those that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gcp_emulator.databases.postgres.roles import Database, User
from gcp_emulator.engine.describe import Cell, Code, Group, Panel, Quiet, Section, Table, Tile, state
from gcp_emulator.engine.errors import Json


@dataclass(frozen=True)
class Content:
    """What a running instance told of itself; ``problem`` says why it could not."""

    databases: Sequence[Database] = ()
    users: Sequence[User] = ()
    problem: str = ""


def describe(instances: Sequence[tuple[Json, Content]]) -> Section:
    """The instances of a project."""
    return Section(
        "Databases",
        [Group([_instance(*one) for one in instances], "There is no database instance.")],
        tiles=[Tile(len(instances), "database instances")],
    )


def _instance(record: Json, content: Content) -> Panel:
    settings = record["settings"]
    installed = record.get("databaseInstalledVersion")
    flags = ", ".join(f"{flag['name']}={flag['value']}" for flag in settings.get("databaseFlags", []))
    facts: dict[str, Cell] = {
        "Version": (record["databaseVersion"], Quiet(f" (really runs {installed})") if installed else ""),
        "Machine": ", ".join(settings.get(name, "") for name in ("tier", "edition", "availabilityType")),
        "Region": record["region"],
        "Connection": Code(record.get("connectionName", "")),
        "Deletion protection": "on" if settings.get("deletionProtectionEnabled") else "off",
    }
    databases = [[one.name, one.charset, one.collation] for one in content.databases]
    users = [[one.name, one.type.replace("_", " ").lower(), ", ".join(one.roles)] for one in content.users]
    return Panel(
        record["name"],
        [state(record["state"])],
        content.problem,
        facts | ({"Flags": Code(flags)} if flags else {}),
        tables=[
            Table("Databases", ("Name", "Character set", "Collation"), databases),
            Table("Users", ("Name", "Kind", "Member of"), users),
        ],
    )
