"""The TLS port of a database server, open to holders of a certificate of the server's authority."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from gcp_emulator.databases.postgres.tls import Client, ServerAuthority, read_client

log = logging.getLogger(__name__)

#: Where Cloud SQL's connectors knock (https://cloud.google.com/sql/docs/postgres/sql-proxy#how-works).
PORT = 3307
_HANDSHAKE_SECONDS = 20.0

#: Serves one client and closes its connection.
Serve = Callable[[Client, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TlsListener:
    """Listens for one server."""

    def __init__(self, authority: ServerAuthority, serve: Serve) -> None:
        self._authority = authority
        self._serve = serve
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, addresses: Iterable[str]) -> None:
        """Listens on port 3307 of exactly these addresses; OSError when one cannot be had."""
        wanted = set(addresses)
        for address in self._servers.keys() - wanted:
            self._servers.pop(address).close()
        if missing := wanted - self._servers.keys():
            context = await asyncio.to_thread(self._authority.server_context)
            for address in missing:
                self._servers[address] = await asyncio.start_server(
                    self._accept, address, PORT, ssl=context, ssl_handshake_timeout=_HANDSHAKE_SECONDS
                )

    async def close(self) -> None:
        """Closes the port and every connection."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._handle(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            await self._serve(read_client(certificate), reader, writer)
        except OSError as error:
            log.debug("a connection to %s ended: %s", self._authority.name, error)
        finally:
            writer.close()
