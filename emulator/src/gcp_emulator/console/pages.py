"""Templates to HTML: every value is escaped, every address is made in one place."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json

_TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """The templates, compiled as they are needed."""

    def __init__(self, menu: Mapping[str, str]) -> None:
        """``menu`` is path -> title, in order."""
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(breakable=breakable, moment=moment, duration=duration, size=size)
        self._templates.globals.update(link=link, menu=menu)

    def render(self, template: str, **values: object) -> str:
        """The page or fragment ``template`` (without ``.html``)."""
        return self._templates.get_template(f"{template}.html").render(values)


def link(path: str, **query: str) -> str:
    """A path of this page with its query; empty values are left out."""
    kept = {name: value for name, value in query.items() if value}
    return quote(path) + (f"?{urlencode(kept)}" if kept else "")


def breakable(name: str) -> Markup:
    """A dotted name that may be broken into lines behind its dots; escaped."""
    return Markup(".<wbr>").join(name.split("."))


def moment(timestamp: str, now: datetime.datetime | None = None) -> str:
    """A timestamp for people, in UTC: the time, and the day before it unless it is today."""
    when, today = clock.parse_timestamp(timestamp), (now or clock.now()).date()
    return when.strftime("%H:%M:%S" if when.date() == today else "%-d %b %Y %H:%M:%S")


def duration(seconds: float | None) -> str:
    """``0.04`` -> ``40 ms``, ``75.4`` -> ``1 min 15 s``; "" for None."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def size(count: int) -> str:
    """Bytes in the units of Cloud Storage: ``51554`` -> ``50.3 KiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes everything")


def project_choices(projects: list[Json], chosen: Json | None) -> list[Json]:
    """The projects for the switch of the page; empty when there is nothing to choose."""
    if len(projects) < 2:
        return []
    return [{"id": one["projectId"], "chosen": one is chosen} for one in projects]
