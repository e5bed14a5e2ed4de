"""Addresses of what runs behind the emulator: of machines, of database servers. Whoever runs it offers the way there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Way = Callable[[str, int], Awaitable[Connection] | None]
"""Given a host in its canonical spelling and a port: what opens a connection, or None where the host is none of its own. A ConnectionError of
the opening says in words why nobody gets in."""


class NobodyListensError(ConnectionRefusedError):
    """Nothing listens at the port, to which whoever asks would have been let in."""


class Ways:
    """All of them. An address that two offer is that of the first."""

    def __init__(self) -> None:
        self._ways: list[Way] = []

    def add(self, way: Way) -> None:
        self._ways.append(way)

    def find(self, host: str, port: int) -> Awaitable[Connection] | None:
        """What opens a connection to a host that is reached here; None for any other."""
        return next((found for way in self._ways if (found := way(host, port)) is not None), None)
