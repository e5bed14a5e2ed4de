"""The table of docs/kinds.md, from the kinds that are tried.

Usage: python -m tests.kinds.table   (writes it)
"""

from __future__ import annotations

import re

from tests.e2e.rehearsal import ROOT
from tests.kinds.kinds import KINDS, UNTRIED

PAGE = ROOT / "docs" / "kinds.md"
_PLACE = re.compile(r"(<!-- kinds: begin -->\n).*?(<!-- kinds: end -->)", re.DOTALL)


def filled_in(page: str) -> str:
    """The page with its table as it has to be."""
    return _PLACE.sub(lambda found: found[1] + _table() + found[2], page)


def _table() -> str:
    rows = ["| kind | begun by | deploys | and |", "| --- | --- | --- | --- |"]
    for kind in KINDS.values():
        lines = ", ".join(f"`{name}: {value}`" for name, value in kind.variables.items())
        deploys = f"unedited, with {lines} in the inventory" if kind.variables else "unedited"
        installed = f"what {kind.lock} holds is installed" if kind.lock else ""
        rows.append(
            f"| {kind.title} | {kind.begun} | {deploys} | {'; '.join(filter(None, (installed, kind.remark)))} |"
        )
    rows += [f"| {one.title} | {one.begun} | not tried | {one.why} |" for one in UNTRIED]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(filled_in(PAGE.read_text("utf-8")), "utf-8")
