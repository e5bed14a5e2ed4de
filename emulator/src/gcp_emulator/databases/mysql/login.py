"""The door before a MySQL server: passes on who logs in, and then only pipes.

The server sees all clients come from this machine. Cloud SQL's sees those of its proxy and connectors as ``cloudsqlproxy~ADDRESS``, and says so
when it refuses one. Neither offers TLS inside the connection, which is one of TLS already
(https://github.com/GoogleCloudPlatform/cloud-sql-proxy/issues/1085): so the server takes it for an open one. That is why a client that
believes its unix socket to be safe, and sends a password as it is, is refused where an account has caching_sha2_password and the server has
not seen its password since the last start (https://github.com/GoogleCloudPlatform/cloud-sql-proxy/issues/2317); nothing is done for that here.
Source of the packets: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html.
"""

from __future__ import annotations

import asyncio
import contextlib

from gcp_emulator.databases.mysql.server import CLIENT
from gcp_emulator.databases.pipe import pipe

_OK, _ERROR = 0x00, 0xFF
#: What a server can: https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html.
_CLIENT_SSL = 0x0800
#: Behind the version in a greeting: the number of the connection, eight bytes of its nonce, a zero.
_BEFORE_CAPABILITIES = 4 + 8 + 1
_LOGIN_SECONDS = 60.0
_HEAD = 4


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: tuple[str, int], client: str
) -> None:
    """Serves one client of the ``server`` (host and port) until both have ended, and closes ``writer``.

    ``client`` is the host that is told for it. OSError when the server does not answer; a client that leaves or sends nonsense is just gone.
    """
    server_reader, server_writer = await asyncio.open_connection(*server)
    answers = asyncio.create_task(_pass_answers(reader, writer, server_writer))
    try:
        async with asyncio.timeout(_LOGIN_SECONDS):
            await _log_in(writer, server_reader, client)
    except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
        for side in (server_writer, writer):
            side.close()
            with contextlib.suppress(OSError):
                await side.wait_closed()
        return
    except BaseException:
        server_writer.close()
        writer.close()
        raise
    finally:
        answers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answers
    await pipe(reader, writer, server_reader, server_writer)


async def _pass_answers(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_writer: asyncio.StreamWriter
) -> None:
    """What the client says until it is logged in; whoever leaves is told to the server."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            server_writer.write(data)
            await server_writer.drain()
    server_writer.close()


async def _log_in(writer: asyncio.StreamWriter, server_reader: asyncio.StreamReader, client: str) -> None:
    """Passes on what the server says, up to its verdict."""
    is_greeting = True
    while True:
        head = await server_reader.readexactly(_HEAD)
        payload = await server_reader.readexactly(int.from_bytes(head[:3], "little"))
        kind = payload[0] if payload else _ERROR
        if kind == _ERROR:
            payload = payload.replace(f"'{CLIENT}'".encode(), f"'{client}'".encode())
        elif is_greeting:
            payload = _without_tls(payload)
        writer.write(len(payload).to_bytes(3, "little") + head[3:] + payload)
        await writer.drain()
        if kind == _ERROR or (kind == _OK and not is_greeting):
            return
        is_greeting = False


def _without_tls(greeting: bytes) -> bytes:
    """A greeting of a server that does not offer TLS."""
    place = greeting.index(0, 1) + 1 + _BEFORE_CAPABILITIES
    capabilities = int.from_bytes(greeting[place : place + 2], "little") & ~_CLIENT_SSL
    return greeting[:place] + capabilities.to_bytes(2, "little") + greeting[place + 2 :]
