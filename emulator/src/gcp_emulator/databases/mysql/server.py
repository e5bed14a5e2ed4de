"""MySQL servers: one :class:`MysqlServer` per Cloud SQL instance.

They have no unix socket, and offer TLS by a certificate that they make for themselves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection

from gcp_emulator.databases.files import free_port, replace_file
from gcp_emulator.databases.mysql import zones
from gcp_emulator.databases.mysql.binaries import MysqlBinaries
from gcp_emulator.databases.process import (
    ServerError,
    find_account,
    own,
    run,
)
from gcp_emulator.databases.server import DatabaseServer

log = logging.getLogger(__name__)

#: The superuser, named as Cloud SQL's, which only Google's own agents use there.
ADMIN = "cloudsqladmin"
#: From where every client comes: the server is reached through the emulator only.
CLIENT = "127.0.0.1"

#: Settings that every server gets beneath those of its instance. A commit survives the crash of any process, for it is written before it is
#: confirmed; surviving a crash of the machine is not worth an fsync per commit.
_BASE_SETTINGS = {
    "bind_address": "127.0.0.1",
    "skip_name_resolve": "ON",
    "secure_file_priv": "NULL",
    "local_infile": "OFF",
    "character_set_server": "utf8mb4",
    "innodb_flush_log_at_trx_commit": "2",
    "innodb_doublewrite": "OFF",
    "innodb_buffer_pool_size": "32M",
    "loose_innodb_log_file_size": "8M",
    "loose_innodb_redo_log_capacity": "32M",
    "loose_performance_schema": "OFF",
    "log_error_verbosity": "2",
    "default_time_zone": "+00:00",
}
#: What the data folder is made with: small files, for every instance has its own.
_INITIAL = ["--loose-innodb-log-file-size=8M"]
#: Errors of SET GLOBAL: it needs a restart, there is no such variable, a value that this version does not take.
_READ_ONLY, _UNKNOWN, _WRONG = 1238, 1193, 1231
#: Of a server, not of its data.
_NOT_COPIED = shutil.ignore_patterns("auto.cnf", "*.pid", "ibtmp1", "#innodb_temp", "*.err")
_READY = "ready for connections"
_QUIET_SECONDS = 30.0
_POLL_SECONDS = 0.02


class MysqlServer(DatabaseServer):
    """One MySQL server with its data."""

    PRODUCT = "MySQL"
    PID_FILE = "server.pid"
    # A shutdown: https://dev.mysql.com/doc/refman/8.4/en/unix-signal-response.html.
    STOP_SIGNAL = signal.SIGTERM
    KILL_SIGNAL = signal.SIGKILL

    def __init__(self, directory: Path, binaries: MysqlBinaries) -> None:
        super().__init__(directory, binaries.version, binaries.folders)
        self.binaries = binaries

    # Life --------------------------------------------------------------------------------------------------------

    def create(self, initial: Path | None = None) -> None:
        """Makes the data folder, from a copy of ``initial`` where there is one; what is made is left there for the next.

        ServerError when there are data already, or MySQL cannot make them.
        """
        if self._data.exists():
            raise ServerError(f"There is a MySQL server in {self.directory} already.")
        self._make_folders()
        if initial is not None and initial.is_dir():
            shutil.copytree(initial, self._data, ignore=_NOT_COPIED)
            self._hand_over(self._data)
        else:
            self._initialize()
            if initial is not None:
                _keep(self._data, initial)
        self._remember(free_port())

    def _initialize(self) -> None:
        script = self._server_dir / "zones.sql"
        replace_file(script, "".join(f"{line};\n" for line in zones.statements()))
        arguments = ["--no-defaults", "--initialize-insecure", f"--init-file={script}", *_INITIAL]
        try:
            run(
                self._command([*self.binaries.command, *arguments, *self._places()]),
                what=f"making the data of MySQL in {self._data}",
            )
        except ServerError:
            shutil.rmtree(self._data, ignore_errors=True)
            raise
        finally:
            script.unlink()

    def _configure(self, settings: Mapping[str, str]) -> None:
        lines = [f"{name} = {value}" for name, value in {**_BASE_SETTINGS, "port": str(self.port)}.items()]
        # A flag of Cloud SQL may be of a later version than the one that runs; `loose_` has it told, and the start go on.
        lines += [f"loose_{name} = {_quoted(value)}" for name, value in sorted(settings.items())]
        replace_file(self._server_dir / "my.cnf", "\n".join(["[mysqld]", *lines]) + "\n", mode=0o600)
        own(self._server_dir / "my.cnf", find_account())

    def reload(self, settings: Mapping[str, str]) -> None:
        """A setting that is no longer among them gets its default again."""
        self._running_pid()
        before = self._settings()
        self._configure(settings)
        with self.connect() as connection, connection.cursor() as cursor:
            for name in sorted(before.keys() - settings.keys()):
                self._set(cursor, name, None)
            for name, value in settings.items():
                if before.get(name) != value:
                    self._set(cursor, name, value)

    def _settings(self) -> dict[str, str]:
        """The settings of the last start, without the server's own."""
        text = (self._server_dir / "my.cnf").read_text("utf-8")
        found = re.findall(r'^loose_(\w+) = "(.*)"$', text, re.MULTILINE)
        return {name: value.replace('\\"', '"').replace("\\\\", "\\") for name, value in found}

    def _set(self, cursor: Any, name: str, value: str | None) -> None:
        number = value is not None and re.fullmatch(r"-?\d+(\.\d+)?", value)
        try:
            if value is None:
                cursor.execute(f"SET GLOBAL `{name}` = DEFAULT")
            else:
                cursor.execute(
                    f"SET GLOBAL `{name}` = " + (value if number else "%s"), () if number else (value,)
                )
        except pymysql.MySQLError as error:
            if error.args[0] in (_UNKNOWN, _WRONG):
                log.warning("MySQL %s in %s does not take the flag %s=%s; it is shown and not applied", self.binaries.version, self.directory, name, value)  # fmt: skip
            elif error.args[0] != _READ_ONLY:
                raise ServerError(
                    f"MySQL in {self.directory} does not take {name}={value}: {error.args[-1]}"
                ) from None

    # Use ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def connect(
        self, database: str | None = None, user: str = ADMIN, password: str | None = None
    ) -> Iterator[Connection[Any]]:
        """An autocommit connection, closed at the end; the superuser's unless ``user`` and ``password`` are given."""
        connection = pymysql.connect(
            host=CLIENT,
            port=self.port,
            database=database,
            user=user,
            password=self.password if password is None else password,
            connect_timeout=10,
            charset="utf8mb4",
            autocommit=True,
        )
        try:
            yield connection
        finally:
            connection.close()

    def _back_up(self, target: Path) -> None:
        """Nobody writes while it is made, and it is complete when InnoDB's log stood still all the time."""
        deadline = time.monotonic() + _QUIET_SECONDS
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("FLUSH TABLES WITH READ LOCK")
            while True:
                began = _quiet_log(cursor, deadline)
                shutil.copytree(self._data, target, ignore=_NOT_COPIED)
                if _quiet_log(cursor, deadline) == began:
                    return
                shutil.rmtree(target)

    # Inside ------------------------------------------------------------------------------------------------------

    def _places(self) -> list[str]:
        base, share = self.binaries.base_dir, self.binaries.share_dir
        # From 8.2 on a component in it has passwords forgotten that were changed.
        plugins = [f"--plugin-dir={base / 'lib/plugin'}"] if (base / "lib/plugin").is_dir() else []
        return [
            f"--basedir={base}",
            f"--datadir={self._data}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
            *plugins,
        ]

    @contextlib.contextmanager
    def _starting(self) -> Iterator[list[str]]:
        options = [f"--defaults-file={self._server_dir / 'my.cnf'}", *self._places(), f"--pid-file={self._pid_file}", "--socket=", "--mysqlx=OFF"]  # fmt: skip
        with self._administrator() as administrator:
            yield [*self.binaries.command, *options, *administrator]

    def _is_ready(self, printed: str) -> bool:
        return _READY in printed

    def _complaint(self, printed: str) -> str:
        """Its errors, which come before a page of farewells."""
        errors = [line for line in printed.splitlines() if "[ERROR]" in line]
        return super()._complaint("\n".join(errors) or printed)

    @contextlib.contextmanager
    def _administrator(self) -> Iterator[list[str]]:
        """Options of a start that makes the superuser, which only this machine's emulator knows."""
        path = self._server_dir / "administrator.sql"
        account = f"'{ADMIN}'@'{CLIENT}'"
        statements = [
            # What the server is told at its start is no transaction to be written down anywhere else.
            "SET sql_log_bin = 0",
            f"CREATE USER IF NOT EXISTS {account}",
            f"ALTER USER {account} IDENTIFIED WITH caching_sha2_password BY '{self.password}'",
            f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION",
            "DROP USER IF EXISTS 'root'@'localhost'",
        ]
        replace_file(path, ";\n".join(statements) + ";\n", mode=0o600)
        own(path, find_account())
        try:
            yield [f"--init-file={path}"]
        finally:
            path.unlink()


def initial_data(binaries: MysqlBinaries) -> Path:
    """Where fresh data are kept, from which those of new servers are copied: making them takes ten seconds and more."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return home / "gcp-emulator" / "mysql" / f"{binaries.version}-with-zones"


def _keep(data: Path, initial: Path) -> None:
    """Leaves a copy of fresh data for the next server; another that does the same at the same time does no harm."""
    initial.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=initial.parent, prefix=".mysql-") as name:
        copy = Path(name) / "data"
        shutil.copytree(data, copy, ignore=_NOT_COPIED)
        with contextlib.suppress(OSError):
            copy.rename(initial)


def _quiet_log(cursor: Any, deadline: float) -> str:
    """Where InnoDB's log ends, once all that it tells of is in the files of the tables. ServerError when that does not come."""
    while time.monotonic() < deadline:
        cursor.execute("SHOW ENGINE INNODB STATUS")
        text = cursor.fetchone()[2]
        end, checkpoint = (
            re.search(rf"{words}\s+(\d+)", text) for words in ("Log sequence number", "Last checkpoint at")
        )
        if end is not None and checkpoint is not None and end[1] == checkpoint[1]:
            return str(end[1])
        time.sleep(_POLL_SECONDS)
    raise ServerError(
        "MySQL had not written all its pages in time for a backup. Try again when less is going on."
    )


def _quoted(value: str) -> str:
    """A value of an option file (https://dev.mysql.com/doc/refman/8.4/en/option-files.html)."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
