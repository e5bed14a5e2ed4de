"""The state page over HTTP: read only, and nothing from anywhere else."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from gcp_emulator.console import activity
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.describe import View
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.faults import Faults
from gcp_emulator.engine.service import Service
from gcp_emulator.front.messages import Headers, Request, Response

if TYPE_CHECKING:
    from gcp_emulator.console.pages import Pages
    from gcp_emulator.engine.requests import Entry

log = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: How many rows a page shows at first.
_REQUESTS, _ENTRIES, _OPERATIONS, _LATEST = 200, 300, 100, 8
#: Between two looks at what is new, and between two signs of life, in seconds.
_LOOK, _ALIVE = 0.4, 15.0

_View = Callable[["Console", "Visit"], Coroutine[Any, Any, Response]]


class Visit:
    """One request for a page: its path, its query, and the project it is about."""

    def __init__(self, request: Request, projects: list[Json]) -> None:
        self.request = request
        self.path = unquote(request.path)
        self.query = dict(request.query_pairs)
        self.projects = projects
        wanted = self.query.get("project", "")
        self.project: Json | None = next((one for one in projects if wanted in ("", one["projectId"])), None)

    @property
    def id(self) -> str:
        """The project's id; "" without a project, which no resource has."""
        return str(self.project["projectId"]) if self.project else ""

    @property
    def number(self) -> str:
        return str(self.project["projectNumber"]) if self.project else ""

    @property
    def page(self) -> str:
        """The path of a service's page, if it is for one: its first part."""
        return "/" + self.path.split("/")[1]

    @property
    def view(self) -> View:
        """What is looked at of a service."""
        part = self.path.removeprefix(self.page).removeprefix("/")
        return View(self.id, self.number, part, self.query)

    @property
    def kept(self) -> str:
        """The project for the links of the page; "" when there is only one."""
        return self.id if len(self.projects) > 1 else ""


class Console:
    """Answers what a browser asks the emulator's own address."""

    def __init__(self, context: Context, faults: Faults, services: Sequence[Service]) -> None:
        self._context = context
        self._plan = faults
        self._services = services
        #: The services that have a page, by its path: those that build on most of the others first.
        self._described = {one.page.path: one for one in reversed(services) if one.page is not None}
        titles = {one.page.path: one.page.title for one in self._described.values() if one.page is not None}
        #: Path -> title, in the order of the menu.
        self.menu = {"/": "Overview", **titles, **_OWN_PAGES}

    @cached_property
    def _pages(self) -> Pages:
        # Imported with the first page: most emulators are never looked at, and jinja2 would slow their start.
        from gcp_emulator.console.pages import Pages

        return Pages(self.menu)

    async def answer(self, request: Request) -> Response:
        """The page, style or stream at this address; never raises."""
        if request.method not in ("GET", "HEAD"):
            response = _plain("This page shows and changes nothing: GET only.\n", 405)
            response.headers.set("Allow", "GET, HEAD")
            return response
        if request.path.startswith("/static/"):
            return self._static(request.path.removeprefix("/static/"))
        visit = Visit(request, self._context.projects.all())
        try:
            return await self._view(visit)(self, visit)
        except Exception:
            log.error("%s", traceback.format_exc())
            return _plain("This page could not be made; the emulator's log says why.\n", 500)

    def _view(self, visit: Visit) -> _View:
        if visit.query.get("project") and visit.project is None:
            return Console._missing
        if visit.page in self._described:
            return Console._section
        return _VIEWS.get(visit.path, Console._missing)

    @staticmethod
    def _static(name: str) -> Response:
        path = _STATIC / name
        if path.parent != _STATIC or not path.is_file():
            return _plain("There is no such file.\n", 404)
        return _response(path.read_bytes(), _TYPES[path.suffix])

    def _page(self, visit: Visit, template: str, *, status: int = 200, **values: object) -> Response:
        from gcp_emulator.console.pages import project_choices

        html = self._pages.render(
            template,
            path=visit.page if visit.page in self._described else visit.path,
            project=visit.project,
            kept=visit.kept,
            choices=project_choices(visit.projects, visit.project),
            problems=len(self._context.unhandled) + sum(not fault["spent"] for fault in self._faults()),
            **values,
        )
        return _response(html.encode(), "text/html; charset=utf-8", status)

    # ---------------------------------------------------------------- pages

    async def _missing(self, visit: Visit) -> Response:
        return self._page(visit, "missing", status=404)

    async def _overview(self, visit: Visit) -> Response:
        pages = [(path, await service.describe(visit.view)) for path, service in self._described.items()]
        sections = [(path, section) for path, section in pages if section is not None]
        return self._page(
            visit,
            "overview",
            sites=[site for _, section in sections for site in section.sites],
            tiles=[(path, tile) for path, section in sections for tile in section.tiles],
            stretches=self._stretches(visit, _LATEST)[:1],
            state=str(self._context.state),
            user=next((path.stem for path in sorted(self._context.state.glob("credentials/*.json"))), ""),
        )

    async def _section(self, visit: Visit) -> Response:
        section = await self._described[visit.page].describe(visit.view)
        if section is None:
            return await self._missing(visit)
        return self._page(visit, "section", section=section)

    async def _operations(self, visit: Visit) -> Response:
        return self._page(visit, "operations", stretches=self._stretches(visit, _OPERATIONS))

    def _stretches(self, visit: Visit, limit: int) -> list[Json]:
        return activity.operations(self._context.operations.spans(visit.id, visit.number), limit=limit)

    async def _requests(self, visit: Visit) -> Response:
        entries = self._context.requests.after()[-_REQUESTS:]
        rows = activity.requests(entry.view() for entry in entries)
        return self._page(visit, "requests", rows=rows, last=entries[-1].number if entries else 0)

    async def _logs(self, visit: Visit) -> Response:
        rows = self._log_rows(visit, 0)
        return self._page(visit, "logs", rows=rows, last=rows[0]["number"] if rows else 0)

    def _log_rows(self, visit: Visit, after: int) -> list[Json]:
        entries = self._context.logs.newest(visit.id, _ENTRIES, after=after)
        hidden = (value for service in self._services for value in service.hidden())
        return activity.log_entries(hidden, entries) if entries else []

    async def _problems(self, visit: Visit) -> Response:
        return self._page(visit, "problems", unhandled=list(self._context.unhandled), faults=self._faults())

    def _faults(self) -> list[Json]:
        return activity.faults(self._plan.view())

    # ---------------------------------------------------------------- streams

    async def _live_requests(self, visit: Visit) -> Response:
        pending: dict[int, Entry] = {}
        last = _after(visit)

        def look() -> tuple[int, list[Json]]:
            nonlocal last
            for entry in self._context.requests.after(last):
                pending[entry.number] = entry
                last = entry.number
            ended = [entry for entry in pending.values() if entry.status]
            for entry in ended:
                del pending[entry.number]
            return last, activity.requests(entry.view() for entry in ended)

        return self._stream("requests_rows", look)

    async def _live_logs(self, visit: Visit) -> Response:
        last = _after(visit)

        def look() -> tuple[int, list[Json]]:
            nonlocal last
            rows = self._log_rows(visit, last)
            last = rows[0]["number"] if rows else last
            return last, rows

        return self._stream("logs_rows", look)

    def _stream(self, template: str, look: Callable[[], tuple[int, list[Json]]]) -> Response:
        """Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): rows of the table as HTML."""

        async def events() -> AsyncIterator[bytes]:
            yield b": here\n\n"
            quiet = 0.0
            while True:
                number, rows = look()
                if rows:
                    html = self._pages.render(template, rows=rows)
                    lines = "".join(f"data: {line}\n" for line in html.splitlines())
                    yield f"id: {number}\n{lines}\n".encode()
                    quiet = 0.0
                elif quiet >= _ALIVE:
                    # A write is how a server learns that nobody listens any more.
                    yield b": still here\n\n"
                    quiet = 0.0
                await asyncio.sleep(_LOOK)
                quiet += _LOOK

        response = _response(b"", "text/event-stream")
        response.body = events()
        return response


_VIEWS: dict[str, _View] = {
    "/": Console._overview,
    "/operations": Console._operations,
    "/requests": Console._requests,
    "/logs": Console._logs,
    "/problems": Console._problems,
    "/live/requests": Console._live_requests,
    "/live/logs": Console._live_logs,
}
_OWN_PAGES = {
    "/operations": "Operations",
    "/requests": "Requests",
    "/logs": "Logs",
    "/problems": "Problems",
}


def _after(visit: Visit) -> int:
    """The number after which rows are new: what the browser saw last, or what the page says; else 0."""
    given = visit.request.headers.get("last-event-id") or visit.query.get("after", "")
    return int(given) if given.isdecimal() else 0


def _plain(text: str, status: int) -> Response:
    return _response(text.encode(), "text/plain; charset=utf-8", status)


def _response(body: bytes, content_type: str, status: int = 200) -> Response:
    headers = Headers(
        [
            ("Content-Type", content_type),
            ("Content-Security-Policy", _POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ]
    )
    return Response(status, headers, body)
