"""Secrets on the state page: names, labels and the states of versions. What a version holds is not even read."""

from __future__ import annotations

from gcp_emulator.engine.describe import Cell, Code, Group, Items, Moment, Section, Table, Tile, View, state
from gcp_emulator.engine.store import Collection


def describe(secrets: Collection, versions: Collection, view: View) -> Section:
    """The secrets of a project."""
    rows: list[list[Cell]] = [
        [
            full.rpartition("/")[2],
            Items(_versions(versions, full) or ["none"]),
            _labels(record.get("labels", {})),
            Moment(record["createTime"]),
        ]
        for full, record in secrets.items(f"projects/{view.project}/secrets/")
    ]
    table = Table(f"{len(rows)} secrets", ("Name", "Versions", "Labels", "Made"), rows)
    return Section(
        "Secrets",
        [Group([table], "There is no secret.")],
        lead="Names and versions. Their values are never shown here.",
        tiles=[Tile(len(rows), "secrets")],
    )


def _labels(labels: dict[str, str]) -> Cell:
    return Items([Code(f"{name}={value}") for name, value in labels.items()]) if labels else ""


def _versions(versions: Collection, secret: str) -> list[Cell]:
    found = [
        (int(name.rpartition("/")[2]), body["state"]) for name, body in versions.items(f"{secret}/versions/")
    ]
    return [(f"{number} ", state(named)) for number, named in sorted(found, reverse=True)]
