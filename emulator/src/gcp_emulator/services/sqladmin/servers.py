"""The database servers behind the instances: which runs where, started and stopped in threads."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import psycopg2
import pymysql

from gcp_emulator.databases.process import ServerError
from gcp_emulator.databases.server import DatabaseServer
from gcp_emulator.engine.errors import ApiError, Json, failed_precondition
from gcp_emulator.services.sqladmin import rules
from gcp_emulator.services.sqladmin.engines import MYSQL, POSTGRES, Engine, engine_of
from gcp_emulator.services.sqladmin.kinds import MysqlKind, PostgresKind, ServerKind

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=DatabaseServer)


class Servers:
    """One server per instance, below one folder; keys are ``PROJECT/INSTANCE``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kinds: dict[str, ServerKind] = {
            POSTGRES: PostgresKind(directory / "programs"),
            MYSQL: MysqlKind(),
        }
        self._servers: dict[str, tuple[DatabaseServer, ServerKind]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._attached: dict[str, tuple[str, int]] = {}

    def attach(self, key: str, host: str, port: int) -> None:
        """Lets the instance's clients into a server that somebody else runs, and administers."""
        self._attached[key] = (host, port)

    def is_attached(self, key: str) -> bool:
        """Whether somebody else runs the instance's server."""
        return key in self._attached

    def address(self, key: str) -> tuple[str, int]:
        """Host and port of the instance's server; ApiError when none runs."""
        return self._attached.get(key) or ("127.0.0.1", self[key].port)

    def __getitem__(self, key: str) -> DatabaseServer:
        """The server of an instance; ApiError when it has none that runs here."""
        if key in self._attached:
            raise failed_precondition(
                "gcp-emulator does not run the server of {}, which is at {}:{}: administer it there. Nothing was done.".format(
                    key, *self._attached[key]
                )
            )
        if key not in self._servers:
            raise rules.wrong_state()
        return self._servers[key][0]

    def get(self, key: str, kind: type[S]) -> S:
        """The server of an instance, which is of that class; ApiError when it has none that runs here."""
        server = self[key]
        assert isinstance(server, kind)
        return server

    def require_served(self, key: str, record: Json) -> None:
        """FAILED_PRECONDITION when no server runs for the instance: it is of another engine, or a replica."""
        if not record["served"]:
            engine = engine_of(record["databaseVersion"])
            what = "replicas" if engine.is_postgres else f"servers of {engine.label}"
            how = (
                " unless one was brought with tools/mysql.py"
                if engine.is_mysql and engine.series >= (8, 0)
                else ""
            )
            raise failed_precondition(
                f"gcp-emulator does not run {what}{how}: nobody can connect to {key}, of which there is the control plane only. Nothing was done."
            )

    async def choose(self, engine: Engine) -> tuple[str, list[str]] | None:
        """The version of the server that runs for one that is asked for, and what a site may meet otherwise in it.

        None for what has the control plane only: SQL Server, MySQL before 8.0, and MySQL where no server was brought. FAILED_PRECONDITION
        without a PostgreSQL.
        """
        kind = self._kinds.get(engine.name)
        if kind is None or (engine.is_mysql and engine.series < (8, 0)):
            return None
        try:
            return await asyncio.to_thread(kind.choose, engine)
        except ApiError:
            if engine.is_mysql:
                return None
            raise

    async def run(
        self,
        key: str,
        kind: type[S],
        work: Callable[Concatenate[S, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """``work(server, ...)`` in a thread, one at a time per instance; ``kind`` is the class of its server."""
        server = self.get(key, kind)
        return await asyncio.to_thread(self._locked, key, lambda: work(server, *args, **kwargs))

    async def backup(self, key: str, name: str) -> int:
        """Makes a backup of that name; its size in bytes."""
        server = self[key]
        return await asyncio.to_thread(self._locked, key, lambda: server.backup(name))

    async def drop_backup(self, key: str, name: str) -> None:
        """Removes a backup."""
        server = self[key]
        await asyncio.to_thread(self._locked, key, lambda: server.drop_backup(name))

    def _locked(self, key: str, work: Callable[[], T]) -> T:
        # A thread cannot be cancelled: stopping waits here until a server that is being made is complete.
        with self._locks.setdefault(key, threading.Lock()):
            return work()

    async def create(self, key: str, settings: Json, engine: Engine, root_password: str | None) -> None:
        """Makes and starts the server of a new instance; what an interrupted attempt left is removed first."""
        kind = self._kinds[engine.name]
        server = await asyncio.to_thread(kind.new, self._directory / key, engine)
        # Known before it is made: stopping waits until it is complete.
        self._servers[key] = server, kind
        await asyncio.to_thread(self._locked, key, lambda: kind.make(server, engine, settings, root_password))

    async def start(self, key: str, settings: Json, engine: Engine) -> None:
        """Starts an instance's server with the programs of the version that made its data."""
        kind = self._kinds[engine.name]

        def start() -> None:
            if key not in self._servers:
                self._servers[key] = kind.reopen(self._directory / key), kind
            server = self._servers[key][0]
            # The settings that the last start had; the next change checks them anew.
            if active(settings) and server.status().state != "running":
                server.start(rules.server_settings(settings, engine))

        await asyncio.to_thread(self._locked, key, start)

    async def apply(self, key: str, settings: Json, engine: Engine, *, restart: bool) -> None:
        """Gives a running server new settings; starts or stops it as the activation policy says."""
        server, kind = self[key], self._servers[key][1]

        def apply() -> None:
            running = server.status().state == "running"
            if not active(settings):
                server.stop()
            elif not running:
                server.start(rules.server_settings(settings, engine))
            elif restart:
                server.restart(kind.known_settings(server, settings, engine))
            else:
                server.reload(kind.known_settings(server, settings, engine))

        await asyncio.to_thread(self._locked, key, apply)

    async def destroy(self, key: str) -> None:
        """Stops the server and removes its data and backups."""
        if key not in self._servers:
            return
        server, _ = self._servers[key]
        await asyncio.to_thread(self._locked, key, server.destroy)
        del self._servers[key]

    async def stop(self) -> None:
        """Stops every server."""
        keys = list(self._servers)
        for key, error in zip(
            keys,
            await asyncio.gather(*(self._stop(key) for key in keys), return_exceptions=True),
            strict=True,
        ):
            if error is not None:
                log.error("stopping the server of %s: %s", key, error)

    async def _stop(self, key: str) -> None:
        await asyncio.to_thread(self._locked, key, self._servers[key][0].stop)


def active(settings: Json) -> bool:
    """Whether the activation policy lets the server run."""
    return bool(settings.get("activationPolicy") != "NEVER")


def failure(error: psycopg2.Error | pymysql.MySQLError | ServerError) -> str:
    """A server's message on one line, as Cloud SQL quotes it."""
    if isinstance(error, psycopg2.Error) and error.diag.message_primary:
        return error.diag.message_primary
    text = error.args[-1] if isinstance(error, pymysql.MySQLError) and error.args else error
    return " ".join(str(text).split())
