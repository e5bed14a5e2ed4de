"""MySQL servers, with each that is there."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from gcp_emulator.databases.mysql.server import ADMIN, MysqlServer, initial_data
from gcp_emulator.databases.process import ServerError
from gcp_emulator.databases.server import made_by

from emulator.tests.databases.mysql.support import installed

BINARIES = installed()
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about running as root")


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder that every account can enter, as pytest's own (0700) is not."""
    path = Path(tempfile.mkdtemp(prefix="mysql-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module", params=BINARIES, ids=lambda one: one.version)
def made(room: Path, request: pytest.FixtureRequest) -> Iterator[MysqlServer]:
    server = MysqlServer(room / request.param.version, request.param)
    server.create(initial_data(request.param))
    yield server
    server.destroy()


@pytest.fixture
def server(made: MysqlServer) -> Iterator[MysqlServer]:
    """A stopped server with data."""
    yield made
    made.stop()


def scalar(server: MysqlServer, statement: str) -> Any:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return row[0] if row else None


def test_a_started_server_listens_on_loopback_only_and_speaks_tls_to_who_asks(server: MysqlServer) -> None:
    server.start()
    assert scalar(server, "SELECT @@bind_address") == "127.0.0.1"
    assert scalar(server, "SELECT @@socket") == ""
    assert scalar(server, "SELECT @@character_set_server") == "utf8mb4"
    assert scalar(server, "SELECT @@collation_server") == "utf8mb4_0900_ai_ci"
    assert server.status().state == "running"
    with (
        pymysql.connect(
            host="127.0.0.1", port=server.port, user=ADMIN, password=server.password, ssl={"ssl": True}
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
        assert cursor.fetchone()[1].startswith("TLSv1.")


def test_the_superuser_needs_its_password_which_only_the_owner_reads(server: MysqlServer) -> None:
    server.start()
    assert stat.S_IMODE((server.directory / "admin-password").stat().st_mode) == 0o600
    assert not (server.directory / "server/administrator.sql").exists()
    for user, password in ((ADMIN, "wrong"), ("root", "")):
        with (
            pytest.raises(pymysql.OperationalError, match=f"Access denied for user '{user}'@"),
            server.connect(user=user, password=password),
        ):
            pass


@as_root
def test_the_server_does_not_run_as_root(server: MysqlServer) -> None:
    server.start()
    assert Path(f"/proc/{server.status().pid}").stat().st_uid != 0


def test_settings_reach_the_server_and_those_it_does_not_know_are_left_out(
    server: MysqlServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.start({"max_connections": "37", "sql_mode": "ANSI_QUOTES", "no_such_flag": "1"})
    assert scalar(server, "SELECT @@max_connections") == 37
    assert scalar(server, "SELECT @@sql_mode") == "ANSI_QUOTES"
    before = scalar(server, "SELECT @@back_log")
    server.reload({"max_connections": "38", "long_query_time": "1.5", "back_log": "77", "other_flag": "on"})
    assert scalar(server, "SELECT @@max_connections") == 38
    assert float(scalar(server, "SELECT @@global.long_query_time")) == 1.5
    assert "STRICT_TRANS_TABLES" in scalar(server, "SELECT @@global.sql_mode")
    # That one needs a restart.
    assert scalar(server, "SELECT @@back_log") == before
    assert "does not take the flag other_flag=on" in caplog.text


def test_zones_have_names(server: MysqlServer) -> None:
    server.start()
    for zone, hour in (("Europe/Berlin", 14), ("Asia/Kolkata", 17), ("America/New_York", 8)):
        assert scalar(server, f"SELECT hour(convert_tz('2026-07-01 12:00:00', 'UTC', '{zone}'))") == hour


def test_data_and_port_survive_a_restart(server: MysqlServer) -> None:
    server.start()
    port = server.port
    scalar(server, "CREATE DATABASE IF NOT EXISTS kept")
    server.restart()
    assert scalar(server, "SHOW DATABASES LIKE 'kept'") == "kept"
    assert server.port == port
    assert made_by(server.directory) == server.binaries.version


def test_stopping_a_stopped_server_does_nothing(server: MysqlServer) -> None:
    server.stop()
    assert server.status().state == "stopped"


def test_a_taken_port_is_replaced_and_the_new_one_remembered(server: MysqlServer) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", server.port))
        other.listen()
        taken = server.port
        server.start()
        assert server.port != taken
        assert scalar(server, "SELECT 1") == 1
    assert MysqlServer(server.directory, server.binaries).port == server.port


def test_a_killed_server_is_known_as_crashed_and_recovers(server: MysqlServer) -> None:
    server.start()
    scalar(server, "CREATE DATABASE IF NOT EXISTS survivor")
    process, pid = server._process, server.status().pid
    assert process is not None
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    process.wait(10)
    assert server.status().state == "crashed"
    server.start()
    assert scalar(server, "SHOW DATABASES LIKE 'survivor'") == "survivor"


def test_a_server_of_another_emulator_is_left_alone(server: MysqlServer) -> None:
    server.start()
    other = MysqlServer(server.directory, server.binaries)
    expected = (
        f"The MySQL server of {server.directory} already runs (pid {server.status().pid}, port {server.port}) and was not "
        "started by this emulator. Stop the emulator that started it."
    )
    for action in (other.stop, other.start):
        with pytest.raises(ServerError) as caught:
            action()
        assert str(caught.value) == expected
    assert scalar(server, "SELECT 1") == 1


def test_a_server_is_not_made_twice(server: MysqlServer) -> None:
    with pytest.raises(ServerError) as caught:
        server.create()
    assert str(caught.value) == f"There is a MySQL server in {server.directory} already."


def test_a_server_that_cannot_start_says_why(server: MysqlServer) -> None:
    with pytest.raises(ServerError, match=r"did not start: .*transaction-isolation"):
        server.start({"transaction_isolation": "NONSENSE"})
    assert server.status().state == "stopped"


def test_a_backup_is_a_data_folder_that_starts(server: MysqlServer, room: Path) -> None:
    server.start()
    scalar(server, "CREATE DATABASE IF NOT EXISTS books")
    with server.connect("books") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS pages (number INT PRIMARY KEY)")
        cursor.execute("REPLACE INTO pages VALUES (1), (2)")
        assert server.backup("first") > 10**6
        cursor.execute("REPLACE INTO pages VALUES (3)")
    again = MysqlServer(room / f"again-{server.binaries.version}", server.binaries)
    again.create(server.directory / "server/backups/first")
    try:
        again.start()
        assert scalar(again, "SELECT count(*) FROM books.pages") == 2
    finally:
        again.destroy()
    server.drop_backup("first")
    with pytest.raises(FileNotFoundError):
        server.drop_backup("first")


def test_the_server_ends_with_its_emulator_however_that_ends(server: MysqlServer) -> None:
    script = textwrap.dedent(
        f"""
        import os, sys, signal
        from pathlib import Path
        from gcp_emulator.databases.mysql.binaries import find_binaries
        from gcp_emulator.databases.mysql.server import MysqlServer, initial_data
        binaries = next(one for one in find_binaries() if one.version == {server.binaries.version!r})
        server = MysqlServer(Path({str(server.directory)!r}), binaries)
        server.start()
        print(server.status().pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the server outlived its emulator by 20 s"
        time.sleep(0.05)
    assert server.status().state == "stopped"
