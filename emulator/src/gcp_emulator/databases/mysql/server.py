"""MySQL servers: one :class:`MysqlServer` per Cloud SQL instance.

A server lives in one folder::

    server.json          port and version, remembered from start to start
    admin-password       of the superuser, 0600, never leaves the machine
    server.log           what MySQL prints
    server/my.cnf        the settings of the next start
    server/data          the data folder, owned by the account that MySQL runs as
    server/backups/ID    physical copies, each a data folder that can be started

The methods block; callers on an event loop use ``asyncio.to_thread``. Servers listen on 127.0.0.1 only, without a unix
socket, offer TLS by a certificate that they make for themselves, and shut down when the emulator ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection

from gcp_emulator.databases.files import free_port, is_free, replace_file
from gcp_emulator.databases.mysql import zones
from gcp_emulator.databases.mysql.binaries import MysqlBinaries
from gcp_emulator.databases.process import (
    ServerError,
    command,
    find_account,
    last_words,
    own,
    run,
    spawn,
    tail,
)
from gcp_emulator.databases.server import Status

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
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_QUIET_SECONDS = 30.0
_POLL_SECONDS = 0.02


class MysqlServer:
    """One MySQL server with its data."""

    def __init__(self, directory: Path, binaries: MysqlBinaries) -> None:
        self.directory = directory.resolve()
        self.binaries = binaries
        self._server_dir = self.directory / "server"
        self._data = self._server_dir / "data"
        self._backups = self._server_dir / "backups"
        self._log = self.directory / "server.log"
        self._pid_file = self._data / "server.pid"
        self._process: subprocess.Popen[bytes] | None = None

    # What is remembered ------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 of the last start."""
        return int(json.loads((self.directory / "server.json").read_text("utf-8"))["port"])

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.directory / "admin-password").read_text("utf-8")

    def _remember(self, port: int) -> None:
        text = json.dumps({"port": port, "version": self.binaries.version})
        replace_file(self.directory / "server.json", text + "\n")

    # Life --------------------------------------------------------------------------------------------------------

    def create(self, initial: Path | None = None) -> None:
        """Makes the data folder, from a copy of ``initial`` where there is one; what is made is left there for the next.

        ServerError when there are data already, or MySQL cannot make them.
        """
        if self._data.exists():
            raise ServerError(f"There is a MySQL server in {self.directory} already.")
        account = find_account()
        self.directory.mkdir(parents=True, exist_ok=True)
        for folder in (self._server_dir, self._backups):
            folder.mkdir(mode=0o700, exist_ok=True)
            own(folder, account)
        replace_file(self.directory / "admin-password", secrets.token_urlsafe(24), mode=0o600)
        if initial is not None and initial.is_dir():
            self._copy(initial, self._data)
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
                self._command([*arguments, *self._places()]), what=f"making the data of MySQL in {self._data}"
            )
        except ServerError:
            shutil.rmtree(self._data, ignore_errors=True)
            raise
        finally:
            script.unlink()

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Starts the server with ``settings`` (names of its system variables) and returns when it takes connections.

        What this version does not know is left out, and logged. The port of the last start is kept when it is free, else another is taken
        and remembered. A server that was killed recovers by itself. ServerError when another emulator runs this server, or it does not
        come up: the text ends with its last words.
        """
        self._wait_for_orphan()
        if self.status().state == "crashed":
            log.warning("MySQL in %s was not shut down; it recovers now", self.directory)
            self._pid_file.unlink(missing_ok=True)
        for attempt in range(3):
            port = self.port if attempt == 0 and is_free(self.port) else free_port()
            if port != self.port:
                log.warning(
                    "port %d of %s is taken; MySQL listens on %d now", self.port, self.directory, port
                )
                self._remember(port)
            self._configure(settings or {})
            if self._launch():
                return
        raise ServerError(f"MySQL in {self.directory} found no free port: {self.last_words()}")

    def _configure(self, settings: Mapping[str, str]) -> None:
        """Writes the configuration of the next start."""
        lines = [f"{name} = {value}" for name, value in {**_BASE_SETTINGS, "port": str(self.port)}.items()]
        # A flag of Cloud SQL may be of a later version than the one that runs; `loose_` has it told, and the start go on.
        lines += [f"loose_{name} = {_quoted(value)}" for name, value in sorted(settings.items())]
        replace_file(self._server_dir / "my.cnf", "\n".join(["[mysqld]", *lines]) + "\n", mode=0o600)
        own(self._server_dir / "my.cnf", find_account())

    def reload(self, settings: Mapping[str, str]) -> None:
        """Applies the settings that need no restart; one that is no longer among them gets its default again."""
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

    def stop(self) -> None:
        """Shuts down (clients are disconnected, data are complete); nothing when it does not run."""
        status = self.status()
        if status.state != "running" or status.pid is None:
            return
        if self._process is None:
            raise ServerError(self._foreign(status))
        with contextlib.suppress(ProcessLookupError):
            os.kill(status.pid, signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("MySQL in %s did not stop in %d s; it is killed", self.directory, _STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.kill(status.pid, signal.SIGKILL)
            self._process.wait(_STOP_SECONDS)
        self._process = None

    def restart(self, settings: Mapping[str, str] | None = None) -> None:
        """Stops and starts."""
        self.stop()
        self.start(settings)

    def destroy(self) -> None:
        """Stops the server and removes the folder with all data and backups."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=False)

    def status(self) -> Status:
        """Whether the server runs, by its pid file and the process behind it."""
        if not self._data.is_dir():
            return Status("absent")
        try:
            pid = int(self._pid_file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return Status("stopped")
        # A pid alone may be another program's by now; mysqld works in its data folder.
        try:
            alive = os.path.samefile(f"/proc/{pid}/cwd", self._data)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            alive = False
        return Status("running" if alive else "crashed", pid, self.port)

    def last_words(self) -> str:
        """The end of the server's log, on one line."""
        return last_words(self._log)

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

    def backup(self, name: str) -> int:
        """A physical copy of the running server under ``server/backups/NAME``; its size in bytes.

        Nobody writes while it is made, and it is complete when InnoDB's log stood still all the time.
        """
        target = self._backups / name
        deadline = time.monotonic() + _QUIET_SECONDS
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute("FLUSH TABLES WITH READ LOCK")
                while True:
                    began = _quiet_log(cursor, deadline)
                    self._copy(self._data, target)
                    if _quiet_log(cursor, deadline) == began:
                        break
                    shutil.rmtree(target)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())

    def drop_backup(self, name: str) -> None:
        """Removes a backup; FileNotFoundError when there is none."""
        shutil.rmtree(self._backups / name)

    # Inside ------------------------------------------------------------------------------------------------------

    def _copy(self, source: Path, target: Path) -> None:
        shutil.copytree(source, target, ignore=_NOT_COPIED)
        account = find_account()
        for path in (target, *target.rglob("*")):
            own(path, account)

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

    def _command(self, arguments: list[str], *, dies_by: str | None = None) -> list[str]:
        needed = [self._server_dir, *self.binaries.folders]
        return command([*self.binaries.command, *arguments], find_account(), needed, dies_by=dies_by)

    def _launch(self) -> bool:
        """True when the server takes connections, False when its port was taken meanwhile."""
        self._log.touch(mode=0o600)
        offset = self._log.stat().st_size
        arguments = [f"--defaults-file={self._server_dir / 'my.cnf'}", *self._places(), f"--pid-file={self._pid_file}", "--socket=", "--mysqlx=OFF"]  # fmt: skip
        with self._administrator() as options, self._log.open("ab") as output:
            # A shutdown: https://dev.mysql.com/doc/refman/8.4/en/unix-signal-response.html.
            self._process = spawn(self._command([*arguments, *options], dies_by="TERM"), output)
            return self._wait_until_ready(self._process, offset)

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

    def _wait_until_ready(self, process: subprocess.Popen[bytes], offset: int) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            with self._log.open("rb") as printed:
                printed.seek(offset)
                text = printed.read().decode("utf-8", "replace")
            if ended:
                self._process = None
                if "Address already in use" in text:
                    return False
                raise ServerError(f"MySQL in {self.directory} did not start: {_complaint(text)}")
            if _READY in text:
                return True
            time.sleep(_POLL_SECONDS)
        raise ServerError(
            f"MySQL in {self.directory} took longer than {_START_SECONDS:.0f} s to start: {self.last_words()}"
        )

    def _running_pid(self) -> int:
        status = self.status()
        if status.state != "running" or status.pid is None:
            raise ServerError(f"MySQL in {self.directory} does not run ({status.state}): {self.last_words()}")
        return status.pid

    def _wait_for_orphan(self) -> None:
        """A server whose emulator was killed is shutting down; one that stays belongs to another emulator."""
        deadline = time.monotonic() + 5.0
        while (status := self.status()).state == "running":
            if time.monotonic() > deadline:
                raise ServerError(self._foreign(status))
            time.sleep(_POLL_SECONDS)

    def _foreign(self, status: Status) -> str:
        return (
            f"The MySQL server of {self.directory} already runs (pid {status.pid}, port {status.port}) and was not "
            "started by this emulator. Stop the emulator that started it."
        )


def initial_data(binaries: MysqlBinaries) -> Path:
    """Where fresh data are kept, from which those of new servers are copied: making them takes ten seconds and more."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return home / "gcp-emulator" / "mysql" / f"{binaries.version}-with-zones"


def made_by(directory: Path) -> str:
    """The version of MySQL that made the data below ``directory``; FileNotFoundError when there are none."""
    return str(json.loads((directory / "server.json").read_text("utf-8"))["version"])


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


def _complaint(text: str) -> str:
    """What a server printed that did not come up: its errors, which come before a page of farewells."""
    errors = [line for line in text.splitlines() if "[ERROR]" in line]
    return tail("\n".join(errors) or text)
