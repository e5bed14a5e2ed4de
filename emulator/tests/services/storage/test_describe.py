"""Buckets and objects on the state page."""

from __future__ import annotations

import pytest
from gcp_emulator.engine.describe import Link, Size, Table, View
from gcp_emulator.services.storage import describe


def test_the_newest_objects_are_shown_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "SHOWN", 2)
    found = [
        {"name": f"o{number}", "size": "1024", "updated": f"2026-01-0{number + 1}T00:00:00Z"}
        for number in range(5)
    ]
    section = describe.objects(View("p", "1", "b"), found)
    (table,) = section.groups[0].content
    assert isinstance(table, Table)
    assert table.caption == "5 objects; the newest 2 are shown"
    assert [row[0] for row in table.rows] == ["o4", "o3"]


def test_buckets_tell_how_much_is_in_them() -> None:
    section = describe.buckets([("b", {"project": "p"}, [1024] * 5), ("empty", {"project": "p"}, [])])
    (table,) = section.groups[0].content
    assert isinstance(table, Table)
    assert [row[:3] for row in table.rows] == [
        [Link("b", "/storage/b"), "5", Size(5120)],
        [Link("empty", "/storage/empty"), "0", Size(0)],
    ]
    assert (section.tiles[0].count, section.tiles[0].text) == (2, "buckets, 5 objects")
