"""How the servers of each engine are made, opened again, and told their settings. All of it blocks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

from gcp_emulator.databases.mysql import accounts
from gcp_emulator.databases.mysql.binaries import MysqlBinaries
from gcp_emulator.databases.mysql.binaries import find_binaries as find_mysql
from gcp_emulator.databases.mysql.binaries import nearest as nearest_mysql
from gcp_emulator.databases.mysql.server import MysqlServer, initial_data
from gcp_emulator.databases.postgres import roles
from gcp_emulator.databases.postgres.binaries import PostgresBinaries, curate, find_binaries, nearest
from gcp_emulator.databases.postgres.cluster import Cluster
from gcp_emulator.databases.process import ServerError
from gcp_emulator.databases.server import DatabaseServer, made_by
from gcp_emulator.engine.errors import Json, failed_precondition
from gcp_emulator.services.sqladmin import rules
from gcp_emulator.services.sqladmin.engines import Engine

log = logging.getLogger(__name__)


class ServerKind(Protocol):
    """The servers of one engine."""

    def choose(self, engine: Engine) -> tuple[str, list[str]]:
        """The version of the server that runs for one that is asked for, and what a site may meet otherwise in it.

        ApiError when there is none.
        """

    def new(self, directory: Path, engine: Engine) -> DatabaseServer:
        """A server that has to be made."""

    def make(self, server: DatabaseServer, engine: Engine, settings: Json, root_password: str | None) -> None:
        """Makes and starts a server; what an interrupted attempt left is removed first."""

    def reopen(self, directory: Path) -> DatabaseServer:
        """The server of data that are there, with the programs of the version that made them."""

    def known_settings(self, server: DatabaseServer, settings: Json, engine: Engine) -> dict[str, str]:
        """The settings that a server that runs knows: it may be of another version than the instance's."""


class PostgresKind:
    """PostgreSQL with Cloud SQL's extensions; ``directory`` is where the curated programs are."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def choose(self, engine: Engine) -> tuple[str, list[str]]:
        binaries = self._programs(engine.major)
        other = binaries.major != engine.major
        return binaries.version, ["it is of another major version"] if other else []

    def new(self, directory: Path, engine: Engine) -> Cluster:
        return Cluster(directory, self._programs(engine.major))

    def make(self, server: DatabaseServer, engine: Engine, settings: Json, root_password: str | None) -> None:
        assert isinstance(server, Cluster)
        if server.directory.exists():
            server.destroy()
        server.create()
        server.start()
        roles.bootstrap(server, root_password)
        server.restart(self.known_settings(server, settings, engine))

    def reopen(self, directory: Path) -> Cluster:
        major = int((directory / "server/data/PG_VERSION").read_text("utf-8"))
        binaries = self._programs(major)
        if binaries.major != major:
            raise ServerError(
                f"The data of {directory} were made by PostgreSQL {major}, and only {binaries.version} is installed. "
                f"Install PostgreSQL {major}, or delete the instance."
            )
        return Cluster(directory, binaries)

    def _programs(self, major: int) -> PostgresBinaries:
        """The installed server for that major version, or the nearest."""
        try:
            chosen = nearest(find_binaries(), major)
        except LookupError:
            raise failed_precondition(
                "gcp-emulator found no PostgreSQL server programs on PATH or in the distribution's folders. Install the "
                "distribution's postgresql package. Nothing was done."
            ) from None
        limits = rules.limits()
        allowed, trusted = frozenset(limits["extensions"]), frozenset(limits["trusted_extensions"])
        return curate(chosen, self._directory, allowed, trusted)

    def known_settings(self, server: DatabaseServer, settings: Json, engine: Engine) -> dict[str, str]:
        assert isinstance(server, Cluster)
        wanted = rules.server_settings(settings, engine)
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT lower(name) FROM pg_settings")
            known = {name for (name,) in cursor.fetchall()}
        unknown = sorted(name for name in wanted if "." not in name and name.lower() not in known)
        if unknown:
            log.warning(
                "PostgreSQL %s in %s does not know the flags %s; they are shown and not applied",
                server.binaries.version, server.directory, ", ".join(unknown),
            )  # fmt: skip
        return {name: value for name, value in wanted.items() if name not in unknown}


class MysqlKind:
    """MySQL from 8.0 on, where a server was brought (``tools/mysql.py``)."""

    def choose(self, engine: Engine) -> tuple[str, list[str]]:
        binaries = _mysql_programs(engine)
        return binaries.version, binaries.differences(engine.series)

    def new(self, directory: Path, engine: Engine) -> MysqlServer:
        return MysqlServer(directory, _mysql_programs(engine))

    def make(self, server: DatabaseServer, engine: Engine, settings: Json, root_password: str | None) -> None:
        assert isinstance(server, MysqlServer)
        if server.directory.exists():
            server.destroy()
        server.create(initial_data(server.binaries))
        server.start(self.known_settings(server, settings, engine))
        accounts.bootstrap(server, root_password, plugin(server, engine, settings))

    def reopen(self, directory: Path) -> MysqlServer:
        version = made_by(directory)
        for binaries in find_mysql():
            if binaries.version == version:
                return MysqlServer(directory, binaries)
        raise ServerError(
            f"The data of {directory} were made by MySQL {version}, which is no longer there. Bring it again with "
            "tools/mysql.py, or delete the instance."
        )

    def known_settings(self, server: DatabaseServer, settings: Json, engine: Engine) -> dict[str, str]:
        # What it does not know it leaves out itself, and says so.
        return rules.server_settings(settings, engine)


def plugin(server: MysqlServer, engine: Engine, settings: Json) -> str:
    """How new users of an instance log in.

    8.4 does not have mysql_native_password ("ERROR 4052": https://github.com/apache/airflow/pull/72785).
    """
    asked = rules.server_settings(settings, engine).get("default_authentication_plugin")
    is_native = asked == accounts.NATIVE_PASSWORD and server.binaries.has_native_password
    return accounts.NATIVE_PASSWORD if is_native else accounts.CACHING_SHA2


def _mysql_programs(engine: Engine) -> MysqlBinaries:
    try:
        return nearest_mysql(find_mysql(), engine.series)
    except LookupError:
        raise failed_precondition(
            "gcp-emulator found no MySQL server program. Bring one with tools/mysql.py. Nothing was done."
        ) from None
