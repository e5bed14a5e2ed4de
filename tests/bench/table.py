"""The table that `make bench` prints, and its place in the README."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"(<!-- bench: begin -->\n).*?(<!-- bench: end -->)", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One measurement. ``met`` is None where there is no target, ``beside`` empty where nothing is compared."""

    what: str
    figure: str
    beside: str = ""
    target: str = ""
    met: bool | None = None

    def cells(self) -> list[str]:
        """The row's texts in the order of the table's columns."""
        verdict = {None: "", True: "yes", False: "**no**"}[self.met]
        return [self.what, self.figure, self.beside, self.target, verdict]


_HEAD = ["measured", "figure", "beside it", "target", "met"]


def plain(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    cells = [_HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0].rstrip()), *lines[1:]])


def markdown(rows: Sequence[Row]) -> str:
    """The table for the README."""
    lines = [_HEAD, ["---"] * len(_HEAD), *(row.cells() for row in rows)]
    return "".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |\n" for line in lines)


def machine() -> str:
    """What the figures were measured on."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    name = model[1].strip() if model else platform.machine()
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} CPUs ({name}), Python {platform.python_version()}, load {load:.1f}"


def write(rows: Sequence[Row], began_on: str) -> None:
    """Puts the table between the README's two marks. ``began_on`` is :func:`machine` before the first measurement."""
    old = README.read_text("utf-8")
    text = f"Measured by `make bench` on {began_on} when it began.\n\n{markdown(rows)}"
    new, found = _BLOCK.subn(lambda block: block[1] + text + block[2], old)
    if not found:
        raise SystemExit(f"{README} has no marks `bench: begin` and `bench: end` for the table")
    README.write_text(new, "utf-8")


def median(values: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def high(values: Sequence[float], share: float = 0.99) -> float:
    """The value that ``share`` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
