"""SQL text that a MySQL server is sent, with each server that is there."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.databases.mysql import query
from gcp_emulator.databases.mysql.server import ADMIN, MysqlServer, initial_data
from gcp_emulator.databases.results import Execution, SqlError, SqlTimeoutError

from emulator.tests.databases.mysql.support import installed


@pytest.fixture(scope="module", params=installed(), ids=lambda one: one.version)
def server(request: pytest.FixtureRequest) -> Iterator[MysqlServer]:
    folder = Path(tempfile.mkdtemp(prefix="mysql-test-"))
    folder.chmod(0o755)
    made = MysqlServer(folder / "server", request.param)
    made.create(initial_data(request.param))
    made.start()
    yield made
    made.destroy()
    shutil.rmtree(folder)


def run(server: MysqlServer, sql: str, seconds: float = 30, **limits: Any) -> Execution:
    login = (server.port, "mysql", ADMIN, limits.pop("password", server.password))
    return asyncio.run(query.execute(*login, sql, seconds=seconds, **limits))


def test_what_came_of_each_statement_is_told_in_text(server: MysqlServer) -> None:
    execution = run(server, "DO 1; SELECT 1.50 AS price, NULL AS none, 'a' AS letter")
    assert [result.tag for result in execution.results] == ["0 rows affected", "1 rows"]
    last = execution.results[1]
    assert last.rows == [["1.50", None, "a"]]
    assert last.columns[0] == ("price", "NEWDECIMAL")


def test_the_first_error_ends_it(server: MysqlServer) -> None:
    execution = run(server, "DO 1; SELECT * FROM nowhere; DO 2")
    assert execution.error is not None
    assert execution.error.code == "1146"
    assert len(execution.results) == 1


def test_limits_of_rows_and_bytes_are_kept(server: MysqlServer) -> None:
    three = "SELECT 'aaaa' UNION ALL SELECT 'bbbb' UNION ALL SELECT 'cccc'"
    assert run(server, three, row_limit=2).results[0].rows == [["aaaa"], ["bbbb"]]
    cut = run(server, three, byte_limit=9).results[0]
    assert (cut.rows, cut.truncated) == ([["aaaa"], ["bbbb"]], True)


def test_a_refused_login_is_said(server: MysqlServer) -> None:
    with pytest.raises(SqlError, match=f"Access denied for user '{ADMIN}'"):
        run(server, "DO 1", password="wrong")


def test_what_takes_too_long_is_ended_on_the_server_too(server: MysqlServer) -> None:
    with pytest.raises(SqlTimeoutError, match=r"^The statements ran longer than 1 s and were cancelled\.$"):
        run(server, "SELECT sleep(60)", seconds=1)
    running = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT sleep%'"
    assert run(server, running).results[0].rows == [["0"]]
