"""What others ask of Cloud SQL: the way into an instance, and instances of servers that somebody else runs."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.identity import Identity


class SqlSockets(Protocol):
    """The sockets ``/cloudsql/CONNECTION_NAME`` of what runs on Google Cloud."""

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
