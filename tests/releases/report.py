"""A scenario with its visitors, and what is told of it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from tests.bench.table import high
from tests.releases.load import Asked, failures
from tests.releases.scenarios import Scenario, next_deploy
from tests.releases.site import Site

#: How many of a scenario's failed requests are told.
_TOLD = 10
HEAD = (
    "scenario",
    "ended with",
    "requests",
    "a second",
    "failed",
    "apart",
    "95 % within",
    "slowest",
    "lock",
    "next deploy",
)


@dataclass
class Row:
    """What was seen of a scenario. ``wrong``: empty, or why it is not as it has to be."""

    title: str
    ended: str = ""
    lock: str = ""
    next_deploy: str = ""
    apart: str = ""
    wrong: str = ""
    asked: list[Asked] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether no request failed, and everything ended as it has to."""
        return not self.wrong and not self.failed

    def cells(self) -> list[str]:
        """The texts of the table."""
        seconds = [one.seconds for one in self.asked]
        took = max(one.due for one in self.asked) - min(one.due for one in self.asked)
        return [
            self.title,
            f"**{self.wrong}**" if self.wrong else self.ended,
            f"{len(seconds):,}",
            f"{len(seconds) / took:.0f}",
            f"**{len(self.failed)}**" if self.failed else "0",
            self.apart,
            f"{high(seconds, 0.95):.2f} s",
            f"{max(seconds):.1f} s",
            self.lock,
            self.next_deploy,
        ]


def seen(site: Site, scenario: Scenario) -> Row:
    """Runs a scenario while people visit the site, and the next deploy."""
    row = Row(scenario.title)
    with site.visited(scenario.name) as load:
        try:
            row.ended = scenario.run(site)
            row.lock = site.lock()
            row.next_deploy = next_deploy(site) if scenario.is_followed else ""
        except AssertionError as error:
            traceback.print_exc()
            row.wrong = str(error).strip().splitlines()[0][:200] if str(error) else "not as it has to be"
    row.asked = load.asked
    apart = [one for one in load.asked if scenario.apart(one)]
    row.apart = f"{len(apart):,} {scenario.apart_is}" if scenario.apart_is else ""
    if scenario.apart_is and not apart:
        row.wrong = row.wrong or f"nobody saw {scenario.apart_is}"
    row.failed = list(failures(one for one in load.asked if not scenario.apart(one)))
    row.failed += [f"the upload {caption} is lost" for caption in site.lost_uploads(load.asked)]
    return row


def table(rows: list[Row]) -> str:
    """In Markdown."""
    lines = [list(HEAD), ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |\n" for line in lines)


def told(rows: list[Row]) -> str:
    """The failed requests, the first ones of each scenario."""
    lines = []
    for row in rows:
        lines += [f"* {row.title}: {line}" for line in row.failed[:_TOLD]]
        if len(row.failed) > _TOLD:
            lines.append(f"* {row.title}: and {len(row.failed) - _TOLD} more")
    return "\n".join(lines)
