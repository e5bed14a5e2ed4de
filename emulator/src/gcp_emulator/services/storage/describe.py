"""Buckets and the newest of their objects on the state page."""

from __future__ import annotations

from collections.abc import Iterable

from gcp_emulator.engine.describe import Cell, Filter, Group, Link, Moment, Section, Size, Table, Tile, View
from gcp_emulator.engine.errors import Json

#: How many objects a page shows.
SHOWN = 200
_PATH = "/storage"


def buckets(found: Iterable[tuple[str, Json, list[int]]]) -> Section:
    """Buckets: name, record, and the sizes of the objects."""
    rows: list[list[Cell]] = []
    objects = 0
    for name, record, sizes in found:
        objects += len(sizes)
        rows.append(
            [
                Link(name, f"{_PATH}/{name}"),
                str(len(sizes)),
                Size(sum(sizes)),
                f"{record.get('location', '')}, {record.get('storageClass', '')}",
                "kept" if record.get("versioning", {}).get("enabled") else "not kept",
                record.get("iamConfiguration", {}).get("publicAccessPrevention", "inherited"),
            ]
        )
    columns = ("Name", "Objects", "Size", "Where", "Versions", "Prevention of public access")
    table = Table("Buckets", columns, rows, numbers=frozenset({"Objects", "Size"}))
    return Section(
        "Storage",
        [Group([table], "There is no bucket.")],
        tiles=[Tile(len(rows), f"buckets, {objects} objects")],
    )


def objects(view: View, found: list[Json]) -> Section:
    """One bucket, with the objects whose names begin with the prefix that was asked for."""
    prefix = view.query.get("prefix", "")
    newest = sorted(found, key=lambda one: str(one.get("updated", "")), reverse=True)[:SHOWN]
    rows: list[list[Cell]] = [
        [
            one["name"],
            Size(int(one["size"])),
            one.get("contentType", ""),
            Moment(one.get("updated", "")),
        ]
        for one in newest
    ]
    more = f"; the newest {len(rows)} are shown" if len(found) > len(rows) else ""
    table = Table(
        f"{len(found)} objects{more}", ("Name", "Size", "Type", "Written"), rows, frozenset({"Size"})
    )
    return Section(
        view.part,
        [Group([table], "There is no such object." if prefix else "The bucket is empty.")],
        above=Link("Storage", _PATH),
        filter=Filter("Names that start with", "prefix", prefix),
    )
