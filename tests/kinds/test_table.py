"""docs/kinds.md says what is tried."""

from __future__ import annotations

from tests.kinds import table


def test_the_table_is_that_of_the_kinds_that_are_tried() -> None:
    page = table.PAGE.read_text("utf-8")
    assert page == table.filled_in(page), "write it anew: .venv/bin/python -m tests.kinds.table"
    assert "| Django |" in page
