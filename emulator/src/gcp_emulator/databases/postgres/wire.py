"""A session that runs SQL text as PostgreSQL's simple query protocol does.

psycopg2 keeps only the last result of several statements and converts values to Python's types. Cloud SQL's executeSql
answers with every statement's result, in PostgreSQL's own text form; this is what comes over the wire.
Source: https://www.postgresql.org/docs/current/protocol.html, RFC 5802 and RFC 7677 (SCRAM-SHA-256).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import struct

from gcp_emulator.databases.results import Execution, Result, ServerMessage, SqlError, SqlTimeoutError

_PROTOCOL = 196608
_CANCEL = 80877102


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
    """Logs in on 127.0.0.1 and runs ``sql``, which may hold several statements (one implicit transaction).

    Rows beyond ``row_limit`` (per statement) are dropped; rows beyond ``byte_limit`` (of all values) are dropped and
    their result is marked truncated. SqlError when the login is refused, SqlTimeoutError after ``seconds``,
    OSError when no server answers.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    session = _Session(reader, writer)
    try:
        async with asyncio.timeout(seconds):
            await session.login(user, database, password)
            execution = await session.query(sql, row_limit, byte_limit)
            await session.name_types(execution)
    except TimeoutError:
        await session.cancel(port)
        raise SqlTimeoutError(f"The statements ran longer than {seconds:g} s and were cancelled.") from None
    finally:
        await session.close()
    return execution


class _Session:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._key = b""
        self._status = b"I"

    async def login(self, user: str, database: str, password: str) -> None:
        options = {
            "user": user,
            "database": database,
            "application_name": "cloudsql-data-api",
            "client_encoding": "UTF8",
        }
        body = (
            b"".join(key.encode() + b"\0" + value.encode() + b"\0" for key, value in options.items()) + b"\0"
        )
        self._writer.write(struct.pack("!ii", len(body) + 8, _PROTOCOL) + body)
        scram = Scram(password)
        while True:
            kind, payload = await self._receive()
            if kind == b"E":
                raise SqlError(_server_message(payload))
            if kind == b"R":
                answer = scram.answer(payload)
                if answer:
                    self._send(b"p", answer)
            elif kind == b"K":
                self._key = payload
            elif kind == b"Z":
                return

    async def query(self, sql: str, row_limit: int | None, byte_limit: int | None) -> Execution:
        self._send(b"Q", sql.encode() + b"\0")
        execution = Execution()
        current: Result | None = None
        size = 0
        while True:
            kind, payload = await self._receive()
            if kind == b"T":
                current = Result(columns=_columns(payload))
            elif kind == b"D" and current is not None:
                size += len(payload)
                if byte_limit is not None and size > byte_limit:
                    current.truncated = True
                elif row_limit is None or len(current.rows) < row_limit:
                    current.rows.append(_row(payload))
            elif kind == b"C":
                current = current or Result()
                current.tag = payload[:-1].decode()
                execution.results.append(current)
                current = None
            elif kind == b"N":
                execution.notices.append(_server_message(payload))
            elif kind == b"E":
                execution.error = _server_message(payload)
            elif kind == b"G":
                # COPY FROM STDIN has no data to come: the statement is told so and fails.
                self._send(b"f", b"COPY from the client is not possible here\0")
            elif kind == b"Z":
                self._status = payload
                return execution

    async def name_types(self, execution: Execution) -> None:
        """Turns the type numbers of the columns into names, which only the database knows for sure."""
        numbers = {number for result in execution.results for _, number in result.columns}
        if not numbers:
            return
        text = (
            f"SELECT oid, upper(typname) FROM pg_catalog.pg_type WHERE oid IN ({', '.join(sorted(numbers))})"  # noqa: S608 (numbers)
        )
        rollback = "ROLLBACK; " if self._status == b"E" else ""
        found = await self.query(rollback + text, None, None)
        names = {row[0]: row[1] or "" for row in found.results[-1].rows} if found.results else {}
        for result in execution.results:
            result.columns = [(name, names.get(number, number)) for name, number in result.columns]

    async def cancel(self, port: int) -> None:
        """Ends what the server still does for this session."""
        if self._key:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(struct.pack("!ii", 16, _CANCEL) + self._key)
                await writer.drain()
                writer.close()

    async def close(self) -> None:
        self._writer.write(b"X\0\0\0\4")
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _send(self, kind: bytes, payload: bytes) -> None:
        self._writer.write(kind + struct.pack("!i", len(payload) + 4) + payload)

    async def _receive(self) -> tuple[bytes, bytes]:
        try:
            kind, length = struct.unpack("!ci", await self._reader.readexactly(5))
            return kind, await self._reader.readexactly(length - 4)
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("PostgreSQL closed the connection.") from None


class Scram:
    """The client's side of SCRAM-SHA-256."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._nonce = secrets.token_urlsafe(18)
        self._server_signature = b""

    def answer(self, payload: bytes) -> bytes:
        """The reply to an authentication message; empty when none is expected."""
        (step,) = struct.unpack_from("!i", payload)
        data = payload[4:]
        if step == 0:
            return b""
        if step == 10:
            first = f"n,,n=,r={self._nonce}".encode()
            return b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first
        if step == 11:
            return self._prove(data)
        if step == 12:
            if base64.b64decode(data.removeprefix(b"v=")) != self._server_signature:
                raise ConnectionAbortedError("The server does not know the password that it asks for.")
            return b""
        raise ConnectionAbortedError(
            f"PostgreSQL asks for an authentication that is not scram-sha-256 ({step})."
        )

    def _prove(self, data: bytes) -> bytes:
        fields = dict(part.split("=", 1) for part in data.decode().split(","))
        if not fields["r"].startswith(self._nonce):
            raise ConnectionAbortedError("The server answered another client's nonce.")
        salt, rounds = base64.b64decode(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, rounds)
        without_proof = f"c=biws,r={fields['r']}"
        message = f"n=,r={self._nonce},{data.decode()},{without_proof}".encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(left ^ right for left, right in zip(client_key, signature, strict=True))
        self._server_signature = _hmac(_hmac(salted, b"Server Key"), message)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _server_message(payload: bytes) -> ServerMessage:
    fields = {
        part[:1]: part[1:].decode("utf-8", "replace") for part in payload.rstrip(b"\0").split(b"\0") if part
    }
    return ServerMessage(
        severity=fields.get(b"V") or fields.get(b"S", "ERROR"),
        code=fields.get(b"C", ""),
        message=fields.get(b"M", ""),
        detail=fields.get(b"D", ""),
        hint=fields.get(b"H", ""),
    )


def _columns(payload: bytes) -> list[tuple[str, str]]:
    """Names and, for now, type numbers."""
    (count,) = struct.unpack_from("!h", payload)
    columns: list[tuple[str, str]] = []
    position = 2
    for _ in range(count):
        end = payload.index(b"\0", position)
        name = payload[position:end].decode()
        _, _, type_number, _, _, _ = struct.unpack_from("!ihIhih", payload, end + 1)
        columns.append((name, str(type_number)))
        position = end + 19
    return columns


def _row(payload: bytes) -> list[str | None]:
    (count,) = struct.unpack_from("!h", payload)
    values: list[str | None] = []
    position = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", payload, position)
        position += 4
        if length < 0:
            values.append(None)
        else:
            values.append(payload[position : position + length].decode("utf-8", "replace"))
            position += length
    return values
