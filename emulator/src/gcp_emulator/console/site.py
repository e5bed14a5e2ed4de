"""The state page over HTTP: read only, and nothing from anywhere else."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import psycopg2

from gcp_emulator.console.views import access, activity, data, run
from gcp_emulator.databases.postgres import roles as postgres_roles
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.faults import Faults
from gcp_emulator.front.messages import Headers, Request, Response
from gcp_emulator.services.sqladmin.servers import Servers

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
_REQUESTS, _ENTRIES, _OBJECTS, _OPERATIONS, _LATEST = 200, 300, 200, 100, 8
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
    def kept(self) -> str:
        """The project for the links of the page; "" when there is only one."""
        return self.id if len(self.projects) > 1 else ""


class Console:
    """Answers what a browser asks the emulator's own address."""

    def __init__(self, context: Context, faults: Faults, servers: Servers) -> None:
        self._context = context
        self._plan = faults
        self._servers = servers

    @cached_property
    def _pages(self) -> Pages:
        # Imported with the first page: most emulators are never looked at, and jinja2 would slow their start.
        from gcp_emulator.console.pages import Pages

        return Pages()

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

    @staticmethod
    def _view(visit: Visit) -> _View:
        if visit.query.get("project") and visit.project is None:
            return Console._missing
        if visit.path.startswith("/storage/"):
            return Console._bucket
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
            path="/storage" if visit.path.startswith("/storage/") else visit.path,
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
        store, context = self._context.store, self._context
        buckets = data.buckets(store, visit.id)
        secrets = data.secrets(store, visit.id)
        return self._page(
            visit,
            "overview",
            services=run.services(store, visit.id, visit.number, context.port),
            jobs=run.jobs(store, visit.id),
            instances=data.instances(store, visit.id, {}),
            buckets=buckets,
            secrets=secrets,
            accounts=access.accounts(store, visit.id),
            stretches=activity.operations(store, visit.id, visit.number, limit=_LATEST)[:1],
            state=str(context.state),
        )

    async def _run(self, visit: Visit) -> Response:
        store, port = self._context.store, self._context.port
        services = run.services(store, visit.id, visit.number, port)
        return self._page(visit, "run", services=services, jobs=run.jobs(store, visit.id))

    async def _databases(self, visit: Visit) -> Response:
        store = self._context.store
        contents = {}
        for key, record in store.collection("sqladmin.instances").items(f"{visit.id}/"):
            if record["state"] == "RUNNABLE":
                contents[key] = await self._content(key)
        return self._page(visit, "databases", instances=data.instances(store, visit.id, contents))

    async def _content(self, key: str) -> data.Content:
        servers = self._servers
        try:
            databases = await servers.run(key, postgres_roles.list_databases)
            return data.Content(databases, await servers.run(key, postgres_roles.list_users))
        except (ApiError, psycopg2.Error) as error:
            return data.Content(problem=f"The server does not answer: {error}")

    async def _storage(self, visit: Visit) -> Response:
        return self._page(visit, "storage", buckets=data.buckets(self._context.store, visit.id))

    async def _bucket(self, visit: Visit) -> Response:
        bucket, prefix = visit.path.removeprefix("/storage/"), visit.query.get("prefix", "")
        found = data.objects(self._context.store, visit.id, bucket, prefix, limit=_OBJECTS)
        if found is None:
            return await self._missing(visit)
        return self._page(visit, "bucket", bucket=found)

    async def _secrets(self, visit: Visit) -> Response:
        return self._page(visit, "secrets", secrets=data.secrets(self._context.store, visit.id))

    async def _access(self, visit: Visit) -> Response:
        store = self._context.store
        return self._page(
            visit,
            "access",
            accounts=access.accounts(store, visit.id),
            resources=access.bindings(store, visit.id),
        )

    async def _operations(self, visit: Visit) -> Response:
        found = activity.operations(self._context.store, visit.id, visit.number, limit=_OPERATIONS)
        return self._page(visit, "operations", stretches=found)

    async def _requests(self, visit: Visit) -> Response:
        entries = self._context.requests.after()[-_REQUESTS:]
        rows = activity.requests(entry.view() for entry in entries)
        return self._page(visit, "requests", rows=rows, last=entries[-1].number if entries else 0)

    async def _logs(self, visit: Visit) -> Response:
        rows = self._log_rows(visit, 0)
        return self._page(visit, "logs", rows=rows, last=rows[0]["number"] if rows else 0)

    def _log_rows(self, visit: Visit, after: int) -> list[Json]:
        entries = self._context.logs.newest(visit.id, _ENTRIES, after=after)
        return activity.log_entries(self._context.store, entries) if entries else []

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
    "/run": Console._run,
    "/databases": Console._databases,
    "/storage": Console._storage,
    "/secrets": Console._secrets,
    "/access": Console._access,
    "/operations": Console._operations,
    "/requests": Console._requests,
    "/logs": Console._logs,
    "/problems": Console._problems,
    "/live/requests": Console._live_requests,
    "/live/logs": Console._live_logs,
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
