"""The door before a PostgreSQL server: reads who wants to log in, lets somebody else decide how, then only pipes.

PostgreSQL itself knows passwords only. Who is authenticated here by other means is logged in with a password that only
the server's keeper knows. Source: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable

from gcp_emulator.databases.pipe import pipe
from gcp_emulator.databases.postgres.wire import Scram

_CANCEL, _SSL, _GSSENC = 80877102, 80877103, 80877104
#: PostgreSQL's own limits, so that nobody fills the memory before being known.
_MAX_STARTUP, _MAX_PASSWORD = 10_000, 65_536
_LOGIN_SECONDS = 60.0

#: Asks the client for a password in clear text.
Ask = Callable[[], Awaitable[str]]
#: Gets the user's name; returns the password for the server, or None when the server shall ask the client itself.
Authenticate = Callable[[str, Ask], Awaitable[str | None]]


class LoginRefusedError(Exception):
    """The text of the FATAL error that the client gets (SQLSTATE 28000)."""


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    server: tuple[str, int],
    authenticate: Authenticate,
) -> None:
    """Serves one client of the ``server`` (host and port) until both have ended, and closes ``writer``.

    OSError when the server does not answer; a client that leaves or sends nonsense is just gone.
    """
    server_reader, server_writer = await asyncio.open_connection(*server)
    try:
        async with asyncio.timeout(_LOGIN_SECONDS):
            logged_in = await _log_in(reader, writer, server_reader, server_writer, authenticate)
    except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, ValueError):
        logged_in = False
    except BaseException:
        server_writer.close()
        writer.close()
        raise
    if logged_in:
        await pipe(reader, writer, server_reader, server_writer)
        return
    for side in (server_writer, writer):
        side.close()
        with contextlib.suppress(OSError):
            await side.wait_closed()


async def _log_in(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    server_reader: asyncio.StreamReader,
    server_writer: asyncio.StreamWriter,
    authenticate: Authenticate,
) -> bool:
    """False when the client has been refused."""
    startup = await _startup(reader, writer)

    async def ask() -> str:
        writer.write(b"R" + struct.pack("!ii", 8, 3))
        await writer.drain()
        kind, payload = await _message(reader, _MAX_PASSWORD)
        if kind != b"p":
            raise ValueError("no password")
        return payload.rstrip(b"\0").decode("utf-8", "replace")

    password = None
    if user := _user(startup):
        try:
            password = await authenticate(user, ask)
        except LoginRefusedError as error:
            _refuse(writer, str(error))
            await writer.drain()
            return False
    server_writer.write(startup)
    return password is None or await _forward_login(writer, server_reader, server_writer, password)


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The start-up or cancel message, whole. Encryption is declined: the way here is safe already."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!ii", head)
        if not 8 <= length <= _MAX_STARTUP:
            raise ValueError("not PostgreSQL's protocol")
        message = head + await reader.readexactly(length - 8)
        if code not in (_SSL, _GSSENC):
            return message
        writer.write(b"N")
        await writer.drain()


def _user(startup: bytes) -> str | None:
    """The user of a start-up message; None for a cancel message."""
    if struct.unpack_from("!i", startup, 4)[0] == _CANCEL:
        return None
    parts = startup[8:].split(b"\0")
    return dict(zip(parts[::2], parts[1::2], strict=False)).get(b"user", b"").decode("utf-8", "replace")


async def _forward_login(
    writer: asyncio.StreamWriter,
    server_reader: asyncio.StreamReader,
    server_writer: asyncio.StreamWriter,
    password: str,
) -> bool:
    """Answers the server's question; its verdict goes to the client."""
    scram = Scram(password)
    while True:
        kind, payload = await _message(server_reader, _MAX_PASSWORD)
        done = kind == b"R" and payload == struct.pack("!i", 0)
        if kind != b"R" or done:
            writer.write(kind + struct.pack("!i", len(payload) + 4) + payload)
            await writer.drain()
        elif answer := scram.answer(payload):
            server_writer.write(b"p" + struct.pack("!i", len(answer) + 4) + answer)
        if done or kind == b"E":
            return done


async def _message(reader: asyncio.StreamReader, limit: int) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!ci", await reader.readexactly(5))
    if not 4 <= length <= limit:
        raise ValueError("not PostgreSQL's protocol")
    return kind, await reader.readexactly(length - 4)


def _refuse(writer: asyncio.StreamWriter, text: str) -> None:
    fields = b"SFATAL\0VFATAL\0C28000\0M" + text.encode() + b"\0\0"
    writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
