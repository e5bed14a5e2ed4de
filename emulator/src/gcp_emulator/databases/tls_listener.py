"""The TLS port of a database server, open to holders of a certificate of the server's authority."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable

from gcp_emulator.databases.tls import Client, ServerAuthority, read_client
from gcp_emulator.front.tasks import Connections

log = logging.getLogger(__name__)

#: Where Cloud SQL's connectors knock (https://cloud.google.com/sql/docs/postgres/sql-proxy#how-works).
PORT = 3307
_HANDSHAKE_SECONDS = 20.0

#: Serves one client.
Serve = Callable[[Client, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TlsListener:
    """Listens for one server."""

    def __init__(self, authority: ServerAuthority, serve: Serve) -> None:
        self._authority = authority
        self._serve = serve
        self._servers: dict[str, asyncio.Server] = {}
        self._connections = Connections(self._handle)
        self._context: ssl.SSLContext | None = None

    async def listen(self, addresses: Iterable[str]) -> None:
        """Listens on port 3307 of exactly these addresses; OSError when one cannot be had."""
        wanted = set(addresses)
        for address in self._servers.keys() - wanted:
            self._servers.pop(address).close()
        if missing := wanted - self._servers.keys():
            self._context = await asyncio.to_thread(self._authority.server_context)
            for address in missing:
                # Not with `ssl`: a handshake of the server's own is nobody's task, and outlives it.
                self._servers[address] = await asyncio.start_server(self._accept, address, PORT)

    async def close(self) -> None:
        """Closes the port and every connection."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        await self._connections.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The handshake is to find its first bytes: the client sends them unasked.
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        self._connections.accept(reader, writer)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._context
        try:
            await writer.start_tls(self._context, ssl_handshake_timeout=_HANDSHAKE_SECONDS)
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            await self._serve(read_client(certificate), reader, writer)
        except OSError as error:
            log.debug("a connection to %s ended: %s", self._authority.name, error)
