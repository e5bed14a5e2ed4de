"""A session that runs SQL text, which may hold several statements, and tells what came of each in MySQL's own text form."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE

from gcp_emulator.databases.results import Execution, Result, ServerMessage, SqlError, SqlTimeoutError

_TYPES = {number: name for name, number in vars(FIELD_TYPE).items() if isinstance(number, int)}
#: The client's own error for an answer that does not come in time (CR_SERVER_LOST).
_LOST = 2013


async def execute(
    port: int,
    database: str,
    user: str,
    password: str,
    sql: str,
    *,
    seconds: float,
    row_limit: int | None = None,
    byte_limit: int | None = None,
) -> Execution:
    """Logs in on 127.0.0.1 and runs ``sql``; each statement is a transaction of its own unless it begins one.

    Rows beyond ``row_limit`` (per statement) are dropped; rows beyond ``byte_limit`` (of all values) are dropped and their result is marked
    truncated. SqlError when the login is refused, SqlTimeoutError after ``seconds``.
    """
    options = {"host": "127.0.0.1", "port": port, "database": database, "user": user, "password": password}
    return await asyncio.to_thread(_execute, options, sql, seconds, row_limit, byte_limit)


def _execute(
    options: dict[str, Any], sql: str, seconds: float, row_limit: int | None, byte_limit: int | None
) -> Execution:
    try:
        connection = pymysql.connect(
            **options, charset="utf8mb4", autocommit=True, conv={}, client_flag=CLIENT.MULTI_STATEMENTS,
            connect_timeout=10, read_timeout=seconds,
        )  # fmt: skip
    except pymysql.MySQLError as error:
        raise SqlError(_message(error)) from None
    execution = Execution()
    left = byte_limit
    with contextlib.closing(connection), connection.cursor() as cursor:
        try:
            cursor.execute(sql)
            more: Any = True
            while more:
                result, left = _result(cursor, row_limit, left)
                execution.results.append(result)
                more = cursor.nextset()
        except pymysql.MySQLError as error:
            if error.args and error.args[0] == _LOST:
                _kill(options, int(connection.thread_id()))  # type: ignore[no-untyped-call]
                raise SqlTimeoutError(
                    f"The statements ran longer than {seconds:g} s and were cancelled."
                ) from None
            execution.error = _message(error)
    return execution


def _result(cursor: Any, row_limit: int | None, left: int | None) -> tuple[Result, int | None]:
    """The statement's result, and how many bytes more are told."""
    if cursor.description is None:
        return Result(tag=f"{cursor.rowcount} rows affected"), left
    result = Result([(column[0], _TYPES.get(column[1], str(column[1]))) for column in cursor.description])
    for row in cursor.fetchall():
        values = [_text(value) for value in row]
        if left is not None:
            left -= sum(len(value.encode()) for value in values if value is not None)
        if left is not None and left < 0:
            result.truncated = True
        elif row_limit is None or len(result.rows) < row_limit:
            result.rows.append(values)
    result.tag = f"{len(result.rows)} rows"
    return result, left


def _text(value: Any) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _kill(options: dict[str, Any], thread: int) -> None:
    """Ends what the server still does for a session; a user may do so for its own."""
    with (
        contextlib.suppress(pymysql.MySQLError),
        contextlib.closing(pymysql.connect(**options)) as connection,
    ):
        connection.kill(thread)  # type: ignore[no-untyped-call]


def _message(error: pymysql.MySQLError) -> ServerMessage:
    code = str(error.args[0]) if len(error.args) > 1 else ""
    return ServerMessage("ERROR", code, str(error.args[-1]) if error.args else str(error))
