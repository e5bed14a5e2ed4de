"""Connections as the front serves them: what is kept, what is refused, and how bodies are framed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from gcp_emulator.front.http import forward, serve_connection
from gcp_emulator.front.messages import Headers, Request, Response


def converse(sent: bytes, response: Response | None = None) -> tuple[bytes, list[tuple[str, bytes]]]:
    """What a client that sends all at once gets, and the requests (target, body) that were answered."""
    answered: list[tuple[str, bytes]] = []

    async def answer(request: Request) -> Response:
        answered.append((request.target, await request.read()))
        return response or Response(200, Headers([("Date", "today")]), b"ok")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_connection(reader, writer, answer, scheme="http")
        writer.close()

    async def run() -> bytes:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(sent)
            writer.write_eof()
            received = await asyncio.wait_for(reader.read(), 10)
            writer.close()
        return received

    return asyncio.run(run()), answered


OK = b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 2\r\n\r\nok"


def test_requests_in_one_packet_are_answered_in_order() -> None:
    sent = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none" + (
        b"POST /d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\nTrailer: t\r\n\r\n"
    )
    assert converse(sent) == (OK + OK, [("/a?b=c", b"one"), ("/d", b"two")])


def test_a_client_that_waits_is_told_to_go_on() -> None:
    sent = (
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000
    )
    received, [(_, body)] = converse(sent)
    assert len(body) == 70000
    assert received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n") == OK


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
    ],
)
def test_the_connection_ends_after_the_answer(head: bytes) -> None:
    received, answered = converse(head + b"\r\n")
    assert received == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert answered == [("/", b"")]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded: line\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nLong: " + b"x" * 66_000, 431),
    ],
)
def test_what_is_no_request_is_refused(sent: bytes, status: int) -> None:
    received, answered = converse(sent)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert answered == []


async def _pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_a_body_of_unknown_length_comes_in_chunks() -> None:
    response = Response(200, Headers([("Date", "today")]), _pieces(b"one", b"", b"three"))
    received, _ = converse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", response)
    head = b"HTTP/1.1 200 OK\r\nDate: today\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert received == head + b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"


def test_a_body_of_unknown_length_ends_with_the_connection_for_who_knows_no_chunks() -> None:
    response = Response(200, Headers([("Date", "today")]), _pieces(b"one", b"two"))
    received, _ = converse(b"GET / HTTP/1.0\r\n\r\n", response)
    assert received == b"HTTP/1.1 200 OK\r\nDate: today\r\nConnection: close\r\n\r\nonetwo"


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(status: int) -> None:
    received, _ = converse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Response(status, Headers(), b""))
    assert b"ontent-" not in received
    assert received.endswith(b"\r\n\r\n")


def test_a_head_request_gets_the_length_only() -> None:
    assert converse(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")[0] == OK.removesuffix(b"ok")


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\0b", "€"])
def test_no_field_of_an_answer_ends_its_line(value: str) -> None:
    received, _ = converse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Response(200, Headers([("X", value)])))
    assert received == b""


def test_what_a_body_holds_is_let_go_when_the_client_is_gone() -> None:
    async def run() -> None:
        let_go = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                let_go.set()

        # Referred to from here as well: nothing but an end that is asked for ends it.
        response = Response(200, Headers(), endless())

        async def answer(_request: Request) -> Response:
            return response

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve_connection(reader, writer, answer, scheme="http")
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.transport.abort()
            await asyncio.wait_for(let_go.wait(), 10)

    asyncio.run(run())


def test_an_answer_shorter_than_its_length_is_not_taken_for_whole() -> None:
    response = Response(200, Headers([("Content-Length", "5"), ("Date", "today")]), _pieces(b"one"))
    received, _ = converse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2, response)
    assert received == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: today\r\n\r\none"


OPENED = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OPEN = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n"


def talk(sent: bytes, answer: bytes, *, ends: str) -> tuple[bytes, bytes, bool]:
    """What a client of a front gets before whom a server answers and then echoes; the head that the server got; and whether
    both connections have ended once either end (the ``client`` or the ``server``) has closed its own."""

    async def run() -> tuple[bytes, bytes, bool]:
        heads: list[bytes] = []
        served = asyncio.Event()

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            while data := await reader.read(100):
                writer.write(b"echo:" + data)
                if ends == "server":
                    break
            writer.close()
            served.set()

        async def pass_on(request: Request) -> Response:
            upstream = await asyncio.open_connection(*server.sockets[0].getsockname())
            return await forward(request, *upstream)

        async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve_connection(reader, writer, pass_on, scheme="http")
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        public = await asyncio.start_server(front, "127.0.0.1", 0)
        async with server, public, asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(*public.sockets[0].getsockname())
            writer.write(sent)
            got = b""
            while not got.endswith((b"hello", b"0\r\n\r\n")):
                got += await reader.read(1000)
            if ends == "client":
                writer.write_eof()
            await served.wait()
            rest = await reader.read()
            writer.close()
        return got, heads[0], rest == b""

    return asyncio.run(run())


@pytest.mark.parametrize("ends", ["client", "server"])
def test_a_websocket_goes_both_ways_until_either_end_closes(ends: str) -> None:
    got, head, ended = talk(
        # A client may send its first frame with its request, and a server its own with its answer.
        OPEN + b"hello",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\nfirst,",
        ends=ends,
    )
    assert got == OPENED + b"first,echo:hello"
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
    assert b"Sec-WebSocket-Key: k\r\n" in head
    assert ended


def test_a_server_may_refuse_a_websocket() -> None:
    got, _head, ended = talk(
        OPEN, b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ends="client"
    )
    assert got.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"Connection: close\r\n" in got
    assert ended


def test_no_other_protocol_is_asked_for() -> None:
    _got, head, _ended = talk(
        OPEN.replace(b"WebSocket", b"h2c"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ends="client",
    )
    assert b"Upgrade" not in head
