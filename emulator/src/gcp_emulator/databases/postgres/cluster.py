"""PostgreSQL servers: one :class:`Cluster` per Cloud SQL instance.

A cluster lives in one folder::

    cluster.json         port and version, remembered from start to start
    admin-password       of the superuser, 0600, never leaves the machine
    server.log           what PostgreSQL prints
    server/data          PGDATA, owned by the account that PostgreSQL runs as
    server/backups/ID    physical copies, each a cluster that can be started

The methods block; callers on an event loop use ``asyncio.to_thread``. Servers listen on 127.0.0.1 only, take
scram-sha-256 passwords only, have no unix socket, and shut down when the emulator ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg2
import psycopg2.extensions

from gcp_emulator.databases.files import free_port, is_free, replace_file
from gcp_emulator.databases.postgres.binaries import PostgresBinaries
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

#: The superuser, named as in Cloud SQL, where only Google's own agents use it.
ADMIN = "cloudsqladmin"

#: Settings that every server gets beneath those of its instance. A commit survives the crash of any process, for it is
#: written before it is confirmed; surviving a crash of the machine is not worth an fsync per commit.
_BASE_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "off",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p]: user=%u,db=%d ",
}
_HBA = "host all all 127.0.0.1/32 scram-sha-256\nhost replication {admin} 127.0.0.1/32 scram-sha-256\n"
#: What a running server keeps for itself, and what has no meaning after it; as pg_basebackup leaves out.
_NOT_IN_BACKUPS = frozenset({"postmaster.pid", "postmaster.opts", "pg_internal.init"})
_EMPTY_IN_BACKUPS = frozenset(
    {
        "pg_wal",
        "pg_replslot",
        "pg_dynshmem",
        "pg_notify",
        "pg_serial",
        "pg_snapshots",
        "pg_stat_tmp",
        "pg_subtrans",
    }
)
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.01


class Cluster:
    """One PostgreSQL server with its data."""

    def __init__(self, directory: Path, binaries: PostgresBinaries) -> None:
        self.directory = directory.resolve()
        self.binaries = binaries
        self._server_dir = self.directory / "server"
        self._data = self._server_dir / "data"
        self._backups = self._server_dir / "backups"
        self._log = self.directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    # What is remembered ------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 of the last start."""
        return int(json.loads((self.directory / "cluster.json").read_text("utf-8"))["port"])

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.directory / "admin-password").read_text("utf-8")

    def _remember(self, port: int) -> None:
        text = json.dumps({"port": port, "version": self.binaries.version})
        replace_file(self.directory / "cluster.json", text + "\n")

    def version(self) -> int | None:
        """The major version that made the data, or None when there are none."""
        try:
            return int((self._data / "PG_VERSION").read_text("utf-8"))
        except FileNotFoundError:
            return None

    # Life --------------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Makes the data folder (initdb: UTF-8, checksums, C.UTF-8 or en_US.UTF-8). ServerError when it is there."""
        if self.version() is not None:
            raise ServerError(f"There is a PostgreSQL cluster in {self.directory} already.")
        account = find_account()
        self.directory.mkdir(parents=True, exist_ok=True)
        for folder in (self._server_dir, self._backups):
            folder.mkdir(mode=0o700, exist_ok=True)
            own(folder, account)
        password = secrets.token_urlsafe(24)
        replace_file(self.directory / "admin-password", password, mode=0o600)
        # initdb reads the password as the account that it runs as.
        password_file = self._server_dir / "password"
        replace_file(password_file, password, mode=0o600)
        own(password_file, account)
        arguments = [self.binaries.program("initdb"), "--pgdata", str(self._data), "--username", ADMIN]
        arguments += [
            "--data-checksums",
            "--no-sync",
            "--no-instructions",
            "--encoding",
            "UTF8",
            "--locale",
            _locale(),
        ]
        arguments += [
            "--auth",
            "scram-sha-256",
            "--pwfile",
            str(password_file),
            "-L",
            str(self.binaries.share_dir),
        ]
        try:
            run(self._command(arguments), what=f"initdb for {self._data}")
        except ServerError:
            shutil.rmtree(self._data, ignore_errors=True)
            raise
        finally:
            password_file.unlink()
        self._remember(free_port())

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Starts the server with ``settings`` (names as in postgresql.conf) and returns when it takes connections.

        The port of the last start is kept when it is free, else another is taken and remembered. A server that was
        killed recovers by itself. ServerError when another emulator runs this cluster, or the server does not come
        up: the text ends with its last words.
        """
        self._wait_for_orphan()
        if self.status().state == "crashed":
            log.warning("PostgreSQL in %s was not shut down; it recovers now", self.directory)
            (self._data / "postmaster.pid").unlink(missing_ok=True)
        for attempt in range(3):
            port = self.port if attempt == 0 and is_free(self.port) else free_port()
            if port != self.port:
                log.warning(
                    "port %d of %s is taken; PostgreSQL listens on %d now", self.port, self.directory, port
                )
                self._remember(port)
            self.configure(settings or {})
            if self._launch():
                return
        raise ServerError(f"PostgreSQL in {self.directory} found no free port: {self.last_words()}")

    def configure(self, settings: Mapping[str, str]) -> None:
        """Writes the configuration; it holds from the next start or :meth:`reload`."""
        merged = {**_BASE_SETTINGS, **settings, "port": str(self.port)}
        lines = [
            f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in sorted(merged.items())
        ]
        account = find_account()
        for name, text in (
            ("postgresql.conf", "\n".join(lines) + "\n"),
            ("pg_hba.conf", _HBA.format(admin=ADMIN)),
        ):
            replace_file(self._data / name, text, mode=0o600)
            own(self._data / name, account)

    def reload(self, settings: Mapping[str, str]) -> None:
        """Applies the settings that need no restart."""
        self.configure(settings)
        os.kill(self._running_pid(), signal.SIGHUP)

    def stop(self) -> None:
        """Shuts down fast (clients are disconnected, data are complete); nothing when it does not run."""
        status = self.status()
        if status.state != "running" or status.pid is None:
            return
        if self._process is None:
            raise ServerError(self._foreign(status))
        with contextlib.suppress(ProcessLookupError):
            os.kill(status.pid, signal.SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error(
                "PostgreSQL in %s did not stop in %d s; it is stopped at once", self.directory, _STOP_SECONDS
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(status.pid, signal.SIGQUIT)
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
        if self.version() is None:
            return Status("absent")
        try:
            lines = (self._data / "postmaster.pid").read_text("utf-8").splitlines()
            pid, port = int(lines[0]), int(lines[3])
        except (FileNotFoundError, IndexError, ValueError):
            return Status("stopped")
        # A pid alone may be another program's by now; a postmaster works in its data folder.
        try:
            alive = os.path.samefile(f"/proc/{pid}/cwd", self._data)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            alive = False
        return Status("running" if alive else "crashed", pid, port)

    def last_words(self) -> str:
        """The end of the server's log, on one line."""
        return last_words(self._log)

    # Use ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def connect(
        self, database: str = "postgres", user: str = ADMIN, password: str | None = None
    ) -> Iterator[psycopg2.extensions.connection]:
        """An autocommit connection, closed at the end; the superuser's unless ``user`` and ``password`` are given."""
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            user=user,
            password=self.password if password is None else password,
            connect_timeout=10,
            application_name="cloudsql",
        )
        try:
            connection.autocommit = True
            yield connection
        finally:
            connection.close()

    def backup(self, name: str) -> int:
        """A physical copy of the running server under ``server/backups/NAME``; its size in bytes.

        With the write-ahead log that it needs, so that it is a cluster that can be started. Made as pg_basebackup makes one, which
        not every installation has: https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP.
        """
        target = self._backups / name
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                self._copy_to(target, cursor)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        account = find_account()
        for path in (target, *target.rglob("*")):
            own(path, account)
        return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())

    def _copy_to(self, target: Path, cursor: psycopg2.extensions.cursor) -> None:
        begin, end = "SELECT pg_backup_start('backup', true)", "SELECT labelfile FROM pg_backup_stop(false)"
        if self.binaries.major < 15:
            begin = "SELECT pg_start_backup('backup', true, false)"
            end = "SELECT labelfile FROM pg_stop_backup(false)"
        # Until this session ends it keeps the log from being recycled.
        cursor.execute("SELECT pg_create_physical_replication_slot('backup', true, true)")
        cursor.execute(begin)
        _copy_living(self._data, target, leave_out=_NOT_IN_BACKUPS, empty=_EMPTY_IN_BACKUPS)
        cursor.execute(end)
        (label,) = cursor.fetchone() or ("",)
        replace_file(target / "backup_label", label, mode=0o600)
        _copy_living(self._data / "pg_wal", target / "pg_wal")

    def drop_backup(self, name: str) -> None:
        """Removes a backup; FileNotFoundError when there is none."""
        shutil.rmtree(self._backups / name)

    # Inside ------------------------------------------------------------------------------------------------------

    def _command(self, arguments: list[str], *, dies_by: str | None = None) -> list[str]:
        needed = [self._server_dir, *self.binaries.folders]
        return command(arguments, find_account(), needed, dies_by=dies_by)

    def _launch(self) -> bool:
        """True when the server takes connections, False when its port was taken meanwhile."""
        self._log.touch(mode=0o600)
        offset = self._log.stat().st_size
        # A fast shutdown: https://www.postgresql.org/docs/current/server-shutdown.html.
        arguments = self._command([self.binaries.program("postgres"), "-D", str(self._data)], dies_by="INT")
        with self._log.open("ab") as output:
            self._process = spawn(arguments, output)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                with self._log.open("rb") as printed:
                    printed.seek(offset)
                    text = printed.read().decode("utf-8", "replace")
                self._process = None
                if "Address already in use" in text:
                    return False
                raise ServerError(f"PostgreSQL in {self.directory} did not start: {tail(text)}")
            if self._is_ready():
                return True
            time.sleep(_POLL_SECONDS)
        raise ServerError(
            f"PostgreSQL in {self.directory} took longer than {_START_SECONDS:.0f} s to start: {self.last_words()}"
        )

    def _is_ready(self) -> bool:
        """The eighth line of the pid file, as pg_ctl reads it."""
        try:
            lines = (self._data / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and self.status().state == "running"

    def _running_pid(self) -> int:
        status = self.status()
        if status.state != "running" or status.pid is None:
            raise ServerError(
                f"PostgreSQL in {self.directory} does not run ({status.state}): {self.last_words()}"
            )
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
            f"The PostgreSQL server of {self.directory} already runs (pid {status.pid}, port {status.port}) and was not "
            "started by this emulator. Stop the emulator that started it."
        )


def _copy_living(
    source: Path,
    target: Path,
    *,
    leave_out: frozenset[str] = frozenset(),
    empty: frozenset[str] = frozenset(),
) -> None:
    """Copies a folder in which files come and go; of the folders ``empty`` only the folders."""
    for folder, folders, files in os.walk(source):
        copy = target / Path(folder).relative_to(source)
        copy.mkdir(mode=0o700, exist_ok=True)
        for name in empty.intersection(folders):
            (copy / name).mkdir(mode=0o700)
            folders.remove(name)
        for name in set(files) - leave_out:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(Path(folder, name), copy / name)


def _locale() -> str:
    """Cloud SQL's default collation is en_US.UTF8; where the machine lacks it, C.UTF-8 keeps the encoding right."""
    known = (
        subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.lower().split()
    )
    return "en_US.UTF-8" if "en_us.utf8" in known else "C.UTF-8"
