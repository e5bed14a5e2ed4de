"""What a service says of itself on the state page, as plain data: one renderer shows it, and knows no API.

A cell is a string, a piece (a badge, a link ...), or several of them; an empty one is shown as a dash. The value of a secret is in none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Union

from gcp_emulator.engine import clock

#: How the stylesheet colours a state; each is also a word, so that no meaning hangs on a colour.
_TONES = {
    "good": ("SUCCEEDED", "SUCCESS", "RUNNABLE", "ENABLED", "DONE", "READY"),
    "bad": ("FAILED", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"),
    "busy": ("RECONCILING", "PENDING", "RUNNING", "WORKING", "QUEUED", "PENDING_CREATE", "MAINTENANCE"),
    "warn": ("WARNING", "CANCELLED", "DISABLED", "DESTROYED", "STOPPED", "SUSPENDED"),
}


def tone(state: str) -> str:
    """``good``, ``bad``, ``busy``, ``warn`` or "" for a state of any of the APIs."""
    return next((name for name, states in _TONES.items() if state in states), "")


@dataclass(frozen=True)
class Badge:
    """A word on a coloured ground."""

    text: str
    tone: str = ""
    kind: ClassVar = "badge"


def state(name: str) -> Badge:
    """A state as a word and a tone: ``CONDITION_SUCCEEDED`` reads ``succeeded``."""
    bare = name.removeprefix("CONDITION_").removeprefix("EXECUTION_")
    return Badge(bare.replace("_", " ").lower(), tone(bare))


@dataclass(frozen=True)
class Link:
    """``href`` is an address, or a path of the page, to which the project is added."""

    text: str
    href: str
    kind: ClassVar = "link"


@dataclass(frozen=True)
class Code:
    """A name as one would type it."""

    text: str
    kind: ClassVar = "code"


@dataclass(frozen=True)
class Quiet:
    """What matters less than what it stands beside."""

    text: str
    kind: ClassVar = "quiet"


@dataclass(frozen=True)
class Message:
    """What went wrong, on lines of its own."""

    text: str
    kind: ClassVar = "message"


@dataclass(frozen=True)
class Moment:
    """A timestamp."""

    timestamp: str
    kind: ClassVar = "moment"


@dataclass(frozen=True)
class Took:
    """So many seconds; None while it goes on."""

    seconds: float | None
    kind: ClassVar = "took"


@dataclass(frozen=True)
class Size:
    """So many bytes."""

    count: int
    kind: ClassVar = "size"


@dataclass(frozen=True)
class Share:
    """So much of the whole, with a bar."""

    percent: int
    kind: ClassVar = "share"


@dataclass(frozen=True)
class Items:
    """A list within a cell, each on a line of its own when ``lines``."""

    cells: Sequence[Cell]
    lines: bool = False
    kind: ClassVar = "items"


@dataclass(frozen=True)
class Details:
    """A list that opens when one asks for it."""

    summary: str
    cells: Sequence[Cell]
    kind: ClassVar = "details"


Piece = Badge | Link | Code | Quiet | Message | Moment | Took | Size | Share | Items | Details
Cell = Union[str, Piece, Sequence["Cell"]]  # noqa: UP007 - a forward reference has no `|`


@dataclass(frozen=True)
class Table:
    """The first cell of a row is what the row is about. ``numbers`` are the columns set to the right."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: frozenset[str] = frozenset()
    #: What a table without rows says instead; without such a string it is left out.
    empty: str = ""


@dataclass(frozen=True)
class Panel:
    """One thing with all that belongs to it."""

    title: Cell
    badges: Sequence[Badge] = ()
    message: str = ""
    facts: Mapping[str, Cell] = field(default_factory=dict)
    more: Sequence[Cell] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Group:
    """Panels or tables under a heading of their own, or right under that of the page."""

    content: Sequence[Panel | Table]
    empty: str
    title: str = ""
    anchor: str = ""
    note: str = ""


@dataclass(frozen=True)
class Tile:
    """How many there are of something, for the first page. ``anchor`` is a group of the service's page."""

    count: int
    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Site:
    """What a browser can be sent to, for the first page."""

    name: str
    address: str
    badges: Sequence[Badge] = ()
    note: str = ""


@dataclass(frozen=True)
class Filter:
    """A field that narrows down what is shown: it comes back in the query under its name."""

    label: str
    name: str
    value: str


@dataclass(frozen=True)
class Section:
    """A page about one service, or about a part of it."""

    title: str
    groups: Sequence[Group]
    lead: str = ""
    #: The page that this one is a part of.
    above: Link | None = None
    filter: Filter | None = None
    tiles: Sequence[Tile] = ()
    sites: Sequence[Site] = ()


@dataclass(frozen=True)
class Page:
    """Where a service's page is, and its title in the menu."""

    path: str
    title: str


@dataclass(frozen=True)
class View:
    """What somebody looks at: a project, and of the service's page the part whose name follows its path ("" for all)."""

    project: str
    number: str
    part: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """The seconds between two timestamps; None while one of them is missing."""
    if not begin or not end:
        return None
    return (clock.parse_timestamp(end) - clock.parse_timestamp(begin)).total_seconds()
