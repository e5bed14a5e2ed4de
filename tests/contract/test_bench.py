"""`make bench`, tried with next to no work: that it measures, prints and writes. Its figures mean nothing here."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.bench import emulator, table


def test_the_emulator_is_measured_and_the_table_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not pytest's folder: paths of sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = emulator.measure(Path(folder), starts=1, requests_=20, seconds=0.2)
    assert [row.what.partition(": ")[0] for row in rows] == ["emulator"] * 5
    assert all(row.met is not None and row.figure and row.target for row in rows)
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n", "utf-8")
    monkeypatch.setattr(table, "README", readme)
    table.write(rows, "a machine")
    written = readme.read_text("utf-8")
    assert written.startswith("before\n<!-- bench: begin -->\nMeasured by `make bench` on a machine")
    assert written.endswith("|\n<!-- bench: end -->\nafter\n")
    assert "old" not in written
    assert all(row.what in written for row in rows)


def test_a_readme_without_a_place_for_the_table_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing\n", "utf-8")
    monkeypatch.setattr(table, "README", readme)
    with pytest.raises(SystemExit, match="no marks"):
        table.write([table.Row("a", "1")], "a machine")


def test_a_missed_target_stands_out() -> None:
    rows = [table.Row("slow", "2 s", "", "1 s", False), table.Row("fast", "1 s", "2 s | 3 s", "1 s", True)]
    assert "| slow | 2 s |  | 1 s | **no** |" in table.markdown(rows)
    assert "2 s \\| 3 s" in table.markdown(rows)
    assert table.plain(rows).splitlines()[2].split() == ["slow", "2", "s", "1", "s", "**no**"]
