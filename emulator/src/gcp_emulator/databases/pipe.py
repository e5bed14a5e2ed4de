"""Bytes between a client and PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib


async def pipe(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    server_reader: asyncio.StreamReader,
    server_writer: asyncio.StreamWriter,
) -> None:
    """Passes bytes both ways until both sides have ended, then closes both."""
    try:
        await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))
    finally:
        for side in (server_writer, writer):
            side.close()
            with contextlib.suppress(OSError):
                await side.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes from one side to the other until either ends; then the other is told."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
