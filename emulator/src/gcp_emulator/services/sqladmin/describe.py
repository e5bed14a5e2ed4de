"""Database instances on the state page, with what is in those that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gcp_emulator.engine.describe import Cell, Code, Group, Panel, Quiet, Section, Table, Tile, state
from gcp_emulator.engine.errors import Json
from gcp_emulator.services.sqladmin.engines import engine_of


@dataclass(frozen=True)
class Shown:
    """What is in an instance, as the API tells it; ``problem`` says why that is not known, ``served`` whether a server runs for it."""

    databases: Sequence[Json] = ()
    users: Sequence[Json] = ()
    problem: str = ""
    served: bool = True


def describe(instances: Sequence[tuple[Json, Shown]]) -> Section:
    """The instances of a project."""
    return Section(
        "Databases",
        [Group([_instance(*one) for one in instances], "There is no database instance.")],
        tiles=[Tile(len(instances), "database instances")],
    )


def _instance(record: Json, content: Shown) -> Panel:
    settings = record["settings"]
    flags = ", ".join(f"{flag['name']}={flag['value']}" for flag in settings.get("databaseFlags", []))
    facts: dict[str, Cell] = {
        "Version": (
            record["databaseVersion"],
            Quiet(f" ({_runs(record) if content.served else 'no server runs here'})"),
        ),
        "Machine": ", ".join(settings.get(name, "") for name in ("tier", "edition", "availabilityType")),
        "Region": record["region"],
        "Connection": Code(record.get("connectionName", "")),
        "Deletion protection": "on" if settings.get("deletionProtectionEnabled") else "off",
    }
    databases = [[one["name"], one["charset"], one["collation"]] for one in content.databases]
    users = [
        [
            one["name"],
            one.get("type", "BUILT_IN").replace("_", " ").lower(),
            ", ".join(one.get("databaseRoles", [])),
        ]
        for one in content.users
    ]
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


def _runs(record: Json) -> str:
    asked, installed = (engine_of(record[name]) for name in ("databaseVersion", "databaseInstalledVersion"))
    if asked.is_mysql and "runs" in record:
        differences = record["differences"]
        return f"MySQL {record['runs']} runs" + (
            f" in its place: {'; '.join(differences)}" if differences else ""
        )
    if installed.major == asked.major:
        return f"runs {installed.version}"
    return f"{installed.version} runs in its place, for no {asked.label} {asked.major} is installed"
