"""What others ask of Cloud SQL: the way into an instance, and instances of servers that somebody else runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.identity import Identity
from gcp_emulator.front.tasks import ConnectionHandler


@dataclass(frozen=True)
class PrivateServer:
    """A server at its private address and the port of its protocol; ``serve`` takes one client and closes its connection."""

    address: str
    port: int
    serve: ConnectionHandler


class SqlSockets(Protocol):
    """The ways of what runs on Google Cloud: the sockets ``/cloudsql/CONNECTION_NAME``, and private addresses."""

    def private_servers(self, network: str) -> list[PrivateServer]:
        """The servers that have an address in a network, given by its path."""

    async def connect_instance(
        self,
        connection_name: str,
        identity: Identity,
        network: str | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> str | None:
        """Serves one client as ``identity`` and closes ``writer``; what the log of the client says when it was not let in.

        ``network`` is the path of the network that the client sends to, if any: private addresses are reached from there only.
        """

    def socket_path(self, connection_name: str) -> str:
        """The path of an instance's socket below the folder of all of them."""


class Attachments(Protocol):
    """Instances whose servers somebody else runs."""

    def attach(self, project: str, body: Json, host: str, port: int) -> None:
        """Registers an instance of the server at ``host``:``port``; ``body`` as of sql.instances.insert. ApiError."""
