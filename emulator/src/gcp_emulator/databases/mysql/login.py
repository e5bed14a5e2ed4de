"""The door before a MySQL server: passes on who logs in, and then only pipes.

The server sees all clients come from this machine. Cloud SQL's sees those of its proxy and connectors as ``cloudsqlproxy~ADDRESS``, and says so
when it refuses one. Neither offers TLS inside the connection, which is one of TLS already
(https://github.com/GoogleCloudPlatform/cloud-sql-proxy/issues/1085): so the server takes it for an open one. That is why a client that
believes its unix socket to be safe, and sends a password as it is, is refused where an account has caching_sha2_password and the server has
not seen its password since the last start (https://github.com/GoogleCloudPlatform/cloud-sql-proxy/issues/2317).

Connectors, of which Google's proxy is one from 2.19 on, say before the first packet of a client whether it is at a unix socket (the "metadata exchange" of
https://github.com/GoogleCloudPlatform/cloud-sql-go-connector, internal/mdx/metadata_exchange.proto and internal/cloudsql/metadataexchange.go). What the server
does with it is not published; here it then takes a client's way for as safe as the client does, so that the login of issue 2317 works, which the proxy's change
log says of 2.19. No answer is given: a connector that has heard the greeting expects none.
Source of the packets: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl

from gcp_emulator.databases.mysql.server import CLIENT
from gcp_emulator.databases.pipe import pipe

_OK, _ERROR = 0x00, 0xFF
#: What a server can: https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html.
_CLIENT_SSL = 0x0800
#: Behind the version in a greeting: the number of the connection, eight bytes of its nonce, a zero.
_BEFORE_CAPABILITIES = 4 + 8 + 1
_LOGIN_SECONDS = 60.0
_HEAD = 4
#: What a connector's message begins with; its length follows in four bytes. No packet of a client begins so: it would have the number 76.
_METADATA = b"CSQLMDEX"
_METADATA_LENGTH = 4
#: Of `MetadataExchangeRequest`: the field client_protocol_type, and its value for a unix socket.
_PROTOCOL_TYPE, _UNIX_SOCKET = 2, 3
#: The types of protobuf's fields that are numbers, and that begin with their length.
_NUMBER, _LENGTH = 0, 2
#: So much of a client's response, which is its capabilities, the longest packet and the character set, is said before TLS begins.
_SSL_REQUEST = 32


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    server: tuple[str, int],
    client: str,
    *,
    is_connector: bool = False,
) -> None:
    """Serves one client of the ``server`` (host and port) until both have ended, and closes ``writer``.

    ``client`` is the host that is told for it; ``is_connector``: it may say how it is connected itself. OSError when the server does not answer; a
    client that leaves or sends nonsense is just gone.
    """
    server_reader, server_writer = await asyncio.open_connection(*server)
    login = _Login(reader, writer, server_reader, server_writer, client)
    try:
        async with asyncio.timeout(_LOGIN_SECONDS):
            await login.run(is_connector=is_connector)
    except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, ssl.SSLError):
        for side in (server_writer, writer):
            side.close()
            with contextlib.suppress(OSError):
                await side.wait_closed()
        return
    except BaseException:
        server_writer.close()
        writer.close()
        raise
    await pipe(reader, writer, server_reader, server_writer)


class _Login:
    """What both sides say until the server has let the client in or not."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        client: str,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._server_reader, self._server_writer = server_reader, server_writer
        self._client = client
        #: How many packets the server got that the client knows nothing of: each packet has a number.
        self._ahead = 0

    async def run(self, *, is_connector: bool) -> None:
        """Passes on what both say, up to the server's verdict."""
        number, greeting = await _packet(self._server_reader)
        if greeting[:1] == bytes([_ERROR]):
            await _send(self._writer, number, self._refusal(greeting))
            return
        await _send(self._writer, number, _without_tls(greeting))
        head, protocol = await self._reader.readexactly(_HEAD), 0
        if is_connector and _METADATA.startswith(head):
            head, protocol = b"", await self._metadata()
        number, response = await _packet(self._reader, head)
        if protocol == _UNIX_SOCKET:
            response = await self._begin_tls(number, response)
        await _send(self._server_writer, number + self._ahead, response)
        answers = asyncio.create_task(self._pass_answers())
        try:
            await self._pass_verdict()
        finally:
            answers.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answers

    async def _metadata(self) -> int:
        """How the client of a connector is connected, as the rest of its message says."""
        await self._reader.readexactly(len(_METADATA) - _HEAD)
        length = int.from_bytes(await self._reader.readexactly(_METADATA_LENGTH), "big")
        return _field(await self._reader.readexactly(length), _PROTOCOL_TYPE)

    async def _begin_tls(self, number: int, response: bytes) -> bytes:
        """Goes on with the server in TLS, so that it takes a password as it is; returns the client's response as it is then."""
        capabilities = int.from_bytes(response[:4], "little") | _CLIENT_SSL
        response = capabilities.to_bytes(4, "little") + response[4:]
        await _send(self._server_writer, number, response[:_SSL_REQUEST])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # It is a server of this machine, with a certificate that it made for itself.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        await self._server_writer.start_tls(context)
        self._ahead = 1
        return response

    async def _pass_answers(self) -> None:
        """What the client says until it is logged in; whoever leaves is told to the server."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                number, payload = await _packet(self._reader)
                await _send(self._server_writer, number + self._ahead, payload)
        self._server_writer.close()

    async def _pass_verdict(self) -> None:
        while True:
            number, payload = await _packet(self._server_reader)
            kind = payload[0] if payload else _ERROR
            if kind == _ERROR:
                payload = self._refusal(payload)
            await _send(self._writer, number - self._ahead, payload)
            if kind in (_ERROR, _OK):
                return

    def _refusal(self, payload: bytes) -> bytes:
        """A refusal that tells the host of the client."""
        return payload.replace(f"'{CLIENT}'".encode(), f"'{self._client}'".encode())


async def _packet(reader: asyncio.StreamReader, head: bytes = b"") -> tuple[int, bytes]:
    """The number and the content of the next packet, of which the head may have been read already."""
    head = head or await reader.readexactly(_HEAD)
    return head[3], await reader.readexactly(int.from_bytes(head[:3], "little"))


async def _send(writer: asyncio.StreamWriter, number: int, payload: bytes) -> None:
    writer.write(len(payload).to_bytes(3, "little") + bytes([number]) + payload)
    await writer.drain()


def _field(message: bytes, wanted: int) -> int:
    """The value of a field of a protobuf message that is a number (https://protobuf.dev/programming-guides/encoding); 0 where there is none.

    Fields with a length are left out. ConnectionError for any other, and for one that ends too early.
    """
    stream = io.BytesIO(message)

    def number() -> int:
        value = shift = 0
        while byte := stream.read(1):
            value |= (byte[0] & 0x7F) << shift
            shift += 7
            # The highest bit says that more follows.
            if not byte[0] & 0x80:
                return value
        raise ConnectionError("a message of a connector ends in the middle of a number")

    found = 0
    while stream.tell() < len(message):
        field, kind = divmod(number(), 8)
        value = number()
        if kind == _LENGTH:
            stream.seek(value, io.SEEK_CUR)
        elif kind != _NUMBER:
            raise ConnectionError(f"a message of a connector has a field of the type {kind}")
        elif field == wanted:
            found = value
    return found


def _without_tls(greeting: bytes) -> bytes:
    """A greeting of a server that does not offer TLS."""
    place = greeting.index(0, 1) + 1 + _BEFORE_CAPABILITIES
    capabilities = int.from_bytes(greeting[place : place + 2], "little") & ~_CLIENT_SSL
    return greeting[:place] + capabilities.to_bytes(2, "little") + greeting[place + 2 :]
