"""The PostgreSQL servers behind the instances: which runs where, started and stopped in threads."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import psycopg2

from gcp_emulator.databases.postgres import roles as postgres_roles
from gcp_emulator.databases.postgres.binaries import PostgresBinaries, curate, find_binaries, nearest
from gcp_emulator.databases.postgres.cluster import Cluster
from gcp_emulator.databases.postgres.process import PostgresError
from gcp_emulator.engine.errors import Json, failed_precondition
from gcp_emulator.services.sqladmin import rules
from gcp_emulator.services.sqladmin.engines import engine_of

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class Servers:
    """One :class:`Cluster` per instance, below one folder; keys are ``PROJECT/INSTANCE``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._clusters: dict[str, Cluster] = {}
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

    def __getitem__(self, key: str) -> Cluster:
        """The cluster of an instance; ApiError when it has none that runs here."""
        if key in self._attached:
            raise failed_precondition(
                "gcp-emulator does not run the server of {}, which is at {}:{}: administer it there. Nothing was done.".format(
                    key, *self._attached[key]
                )
            )
        cluster = self._clusters.get(key)
        if cluster is None:
            raise rules.wrong_state()
        return cluster

    def require_served(self, key: str, record: Json) -> None:
        """FAILED_PRECONDITION when no server runs for the instance: it is of another engine, or a replica."""
        if not record["served"]:
            engine = engine_of(record["databaseVersion"])
            what = "replicas" if engine.is_postgres else f"servers of {engine.label}"
            raise failed_precondition(
                f"gcp-emulator does not run {what}: nobody can connect to {key}, of which there is the control plane only. Nothing was done."
            )

    async def choose(self, major: int) -> PostgresBinaries:
        """The installed server for that major version, or the nearest; FAILED_PRECONDITION when there is none."""

        def find() -> PostgresBinaries:
            chosen = nearest(find_binaries(), major)
            limits = rules.limits()
            allowed, trusted = frozenset(limits["extensions"]), frozenset(limits["trusted_extensions"])
            return curate(chosen, self._directory / "programs", allowed, trusted)

        try:
            return await asyncio.to_thread(find)
        except LookupError:
            raise failed_precondition(
                "gcp-emulator found no PostgreSQL server programs on PATH or in the distribution's folders. Install the "
                "distribution's postgresql package. Nothing was done."
            ) from None

    async def run(
        self, key: str, work: Callable[Concatenate[Cluster, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``work(cluster, ...)`` in a thread, one at a time per instance."""
        cluster = self[key]
        return await asyncio.to_thread(self._locked, key, lambda: work(cluster, *args, **kwargs))

    def _locked(self, key: str, work: Callable[[], T]) -> T:
        # A thread cannot be cancelled: stopping waits here until a server that is being made is complete.
        with self._locks.setdefault(key, threading.Lock()):
            return work()

    async def create(self, key: str, settings: Json, major: int, root_password: str | None) -> None:
        """Makes and starts the server of a new instance; what an interrupted attempt left is removed first."""
        cluster = Cluster(self._directory / key, await self.choose(major))
        self._clusters[key] = cluster

        def make() -> None:
            if cluster.directory.exists():
                cluster.destroy()
            cluster.create()
            cluster.start()
            postgres_roles.bootstrap(cluster, root_password)
            cluster.restart(_known_settings(cluster, settings))

        await asyncio.to_thread(self._locked, key, make)

    async def start(self, key: str, settings: Json) -> None:
        """Starts an instance's server with the programs of the version that made its data."""
        cluster = self._clusters.get(key)
        if cluster is None:
            directory = self._directory / key
            major = int((directory / "server/data/PG_VERSION").read_text("utf-8"))
            binaries = await self.choose(major)
            if binaries.major != major:
                raise PostgresError(
                    f"The data of {directory} were made by PostgreSQL {major}, and only {binaries.version} is installed. "
                    f"Install PostgreSQL {major}, or delete the instance."
                )
            cluster = self._clusters[key] = Cluster(directory, binaries)
        await self.run(key, _start, settings)

    async def apply(self, key: str, settings: Json, *, restart: bool) -> None:
        """Gives a running server new settings; starts or stops it as the activation policy says."""
        await self.run(key, _apply, settings, restart)

    async def destroy(self, key: str) -> None:
        """Stops the server and removes its data and backups."""
        if key not in self._clusters:
            return
        await self.run(key, Cluster.destroy)
        del self._clusters[key]

    async def stop(self) -> None:
        """Stops every server."""
        keys = list(self._clusters)
        for key, error in zip(
            keys,
            await asyncio.gather(*(self.run(key, Cluster.stop) for key in keys), return_exceptions=True),
            strict=True,
        ):
            if error is not None:
                log.error("stopping the server of %s: %s", key, error)


def active(settings: Json) -> bool:
    """Whether the activation policy lets the server run."""
    return bool(settings.get("activationPolicy") != "NEVER")


def _start(cluster: Cluster, settings: Json) -> None:
    """Starts with the settings that the last start had; the next change checks them anew."""
    if active(settings) and cluster.status().state != "running":
        cluster.start(rules.server_settings(settings))


def _apply(cluster: Cluster, settings: Json, restart: bool) -> None:
    running = cluster.status().state == "running"
    if not active(settings):
        cluster.stop()
    elif not running:
        cluster.start(rules.server_settings(settings))
    elif restart:
        cluster.restart(_known_settings(cluster, settings))
    else:
        cluster.reload(_known_settings(cluster, settings))


def _known_settings(cluster: Cluster, settings: Json) -> dict[str, str]:
    """The settings that the installed version knows: it may be another than the instance's."""
    wanted = rules.server_settings(settings)
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT lower(name) FROM pg_settings")
        known = {name for (name,) in cursor.fetchall()}
    unknown = sorted(name for name in wanted if "." not in name and name.lower() not in known)
    if unknown:
        log.warning(
            "PostgreSQL %s in %s does not know the flags %s; they are shown and not applied",
            cluster.binaries.version, cluster.directory, ", ".join(unknown),
        )  # fmt: skip
    return {name: value for name, value in wanted.items() if name not in unknown}


def postgres_failure(error: psycopg2.Error | PostgresError) -> str:
    """PostgreSQL's message on one line, as Cloud SQL quotes it."""
    if isinstance(error, psycopg2.Error) and error.diag.message_primary:
        return error.diag.message_primary
    return " ".join(str(error).split())
