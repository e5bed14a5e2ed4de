"""PostgreSQL servers: one :class:`Cluster` per Cloud SQL instance.

They take scram-sha-256 passwords only and have no unix socket.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg2
import psycopg2.extensions

from gcp_emulator.databases.files import free_port, replace_file
from gcp_emulator.databases.postgres.binaries import PostgresBinaries
from gcp_emulator.databases.process import (
    ServerError,
    find_account,
    own,
    run,
)
from gcp_emulator.databases.server import DatabaseServer

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
#: What it says while processes of a server that was killed are not gone (CreateSharedMemoryAndSemaphores in
#: https://github.com/postgres/postgres/blob/master/src/backend/port/sysv_shmem.c).
_STILL_USED = "pre-existing shared memory block"
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


class Cluster(DatabaseServer):
    """One PostgreSQL server with its data."""

    PRODUCT = "PostgreSQL"
    PID_FILE = "postmaster.pid"
    # A fast shutdown, and an immediate one: https://www.postgresql.org/docs/current/server-shutdown.html.
    STOP_SIGNAL = signal.SIGINT
    KILL_SIGNAL = signal.SIGQUIT

    def __init__(self, directory: Path, binaries: PostgresBinaries) -> None:
        super().__init__(directory, binaries.version, binaries.folders)
        self.binaries = binaries

    # Life --------------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Makes the data folder (initdb: UTF-8, checksums, C.UTF-8 or en_US.UTF-8). ServerError when it is there."""
        if self._data.exists():
            raise ServerError(f"There is a PostgreSQL cluster in {self.directory} already.")
        self._make_folders()
        # initdb reads the password as the account that it runs as.
        password_file = self._server_dir / "password"
        replace_file(password_file, self.password, mode=0o600)
        own(password_file, find_account())
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

    def _configure(self, settings: Mapping[str, str]) -> None:
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
        self._configure(settings)
        os.kill(self._running_pid(), signal.SIGHUP)

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

    def _back_up(self, target: Path) -> None:
        """With the write-ahead log that it needs, so that it is a cluster that can be started. Made as pg_basebackup makes one, which
        not every installation has: https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP.
        """
        with self.connect() as connection, connection.cursor() as cursor:
            self._copy_to(target, cursor)

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

    # Inside ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _starting(self) -> Iterator[list[str]]:
        yield [self.binaries.program("postgres"), "-D", str(self._data)]

    def _is_still_used(self, printed: str) -> bool:
        return _STILL_USED in printed

    def _is_ready(self, printed: str) -> bool:
        """The eighth line of the pid file says it, as pg_ctl reads it."""
        try:
            lines = self._pid_file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and self.status().state == "running"


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
