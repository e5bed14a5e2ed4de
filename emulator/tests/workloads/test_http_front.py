"""What passing a request on to an instance takes, and gives back."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from gcp_emulator.front.messages import Headers, Request
from gcp_emulator.workloads.http_front import pass_on


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_client_that_goes_before_the_end_of_the_answer_gives_its_place_back(pieces: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nbegun")
        # Until the other side has closed the connection.
        await reader.read()
        writer.close()

    async def scenario() -> None:
        given_back = asyncio.Event()
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()

        async def connect(stack: contextlib.AsyncExitStack) -> Any:
            reader, writer = await asyncio.open_connection(*address)
            stack.callback(given_back.set)
            stack.callback(writer.close)
            return SimpleNamespace(), reader, writer

        async with server:
            request = Request("GET", "http", "site.run.app", "/", "", Headers())
            response = (await pass_on(request, connect, 60)).response
            assert response is not None
            assert not isinstance(response.body, bytes)
            for _piece in range(pieces):
                assert await anext(response.body) == b"begun"
            assert not given_back.is_set()
            del response
            await asyncio.wait_for(given_back.wait(), 30)

    asyncio.run(scenario())
