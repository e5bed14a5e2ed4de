"""HTTP/1.1 over asyncio streams: the server side of a connection, and one request as a client."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache

from gcp_emulator.front.messages import BrokenConnectionError, Headers, Request, Response
from gcp_emulator.front.wire import (
    LAST_CHUNK,
    Head,
    Incoming,
    ProtocolError,
    chunk,
    request_head,
    response_head,
)

Answer = Callable[[Request], Awaitable[Response]]
_HOP_BY_HOP = (
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)


@dataclass(frozen=True)
class Connect:
    """The client asked for a tunnel to ``host``:``port``."""

    host: str
    port: int


async def serve_connection(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Answer,
    *,
    scheme: str,
    host: str | None = None,
) -> Connect | None:
    """Answers requests until the connection ends; returns a :class:`Connect` when the client asks for a tunnel.

    ``host`` overrides the Host header (the name a tunnel was opened to).
    """
    incoming = Incoming(reader, writer, responses=False)
    while True:
        try:
            head = await incoming.head()
            if head is None:
                return None
            _check(head)
        except ProtocolError as error:
            await _refuse(writer, error.status, str(error))
            return None
        if head.method == "CONNECT":
            name, _, port = head.target.rpartition(":")
            if re.fullmatch(r"[0-9]{1,5}", port) is None:
                await _refuse(writer, 400, "CONNECT takes HOST:PORT")
                return None
            return Connect(name.strip("[]"), int(port))
        incoming.waits_for_continue = (head.headers.get("expect") or "").lower() == "100-continue"
        request = _request(head, scheme, host)
        request.body = incoming.data()
        if _asks_for_socket(head):
            request.socket = incoming.other_protocol()
        try:
            response = await answer(request)
        except BrokenConnectionError:
            _reset(writer)
            return None
        # A client that still waits for leave to send its body takes the answer for a refusal: it may send the body, or not.
        reusable = head.keep_alive and not incoming.waits_for_continue
        try:
            if not await _send_response(writer, response, head, reusable=reusable):
                return None
            # What the handler did not read would be taken for the next request.
            async for _ in incoming.data():
                pass
        except (ConnectionError, ProtocolError, asyncio.IncompleteReadError):
            return None
        finally:
            # What a body holds, such as a place on an instance, is not left to the garbage collector.
            if isinstance(response.body, AsyncGenerator):
                await response.body.aclose()


def _check(head: Head) -> None:
    """What the parser leaves to its user (https://www.rfc-editor.org/rfc/rfc9112#section-3.2)."""
    if head.version not in ("1.0", "1.1"):
        raise ProtocolError(f"HTTP/{head.version} is not spoken here")
    hosts = sum(name.lower() == "host" for name, _ in head.headers.items)
    if hosts > 1 or (hosts == 0 and head.version == "1.1"):
        raise ProtocolError("a request has one Host field")
    if (head.headers.get("transfer-encoding") or "chunked").lower() != "chunked":
        raise ProtocolError("the only transfer encoding is chunked")


def _asks_for_socket(head: Head) -> bool:
    """Whether a request opens a WebSocket (https://www.rfc-editor.org/rfc/rfc6455#section-4.1). No other protocol is changed to."""
    wishes = (head.headers.get("connection") or "").lower().replace(" ", "").split(",")
    return (
        head.method == "GET"
        and head.version == "1.1"
        and "upgrade" in wishes
        and (head.headers.get("upgrade") or "").lower() == "websocket"
    )


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST, as a peer that crashes does."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _request(head: Head, scheme: str, host: str | None) -> Request:
    target = head.target
    named = head.headers.get("host") or ""
    if not target.startswith("/") and "://" in target:
        scheme, _, rest = target.partition("://")
        named, slash, tail = rest.partition("/")
        target = slash + tail or "/"
    path, _, query = target.partition("?")
    return Request(head.method, scheme, host or named, path, query, head.headers)


async def _send_response(
    writer: asyncio.StreamWriter, response: Response, to: Head, *, reusable: bool
) -> bool:
    """Answers the request ``to``; returns whether the connection may be used again (not when ``reusable`` is false).

    ProtocolError when the response cannot be sent, or not to its end.
    """
    headers = Headers(response.headers.items)
    headers.remove(*_HOP_BY_HOP)
    body = response.body
    if response.status == 101 and not isinstance(body, bytes):
        await _send_socket(writer, headers, body)
        return False
    without_length = response.status in (204, 304)
    bodyless = to.method == "HEAD" or without_length
    chunked = False
    if isinstance(body, bytes):
        # A HEAD answer may carry the length of the body that it leaves out.
        if not without_length and not (bodyless and "content-length" in headers):
            headers.set("Content-Length", str(len(body)))
    elif not without_length and "content-length" not in headers:
        # HTTP/1.0 knows no chunks: there the end of the connection ends the body.
        chunked = to.version == "1.1"
        if chunked:
            headers.set("Transfer-Encoding", "chunked")
    if "date" not in headers:
        headers.set("Date", _http_date())
    if not reusable:
        headers.set("Connection", "close")
    started = response_head(response.status, headers)
    # Head and body in one write: each is a TLS record and a system call.
    writer.write(started if bodyless or not isinstance(body, bytes) else started + body)
    await writer.drain()
    if not isinstance(body, bytes) and to.method != "HEAD":
        length = "0" if without_length else headers.get("content-length")
        await _send_body(writer, body, length, chunked=chunked)
    return reusable


async def _send_socket(
    writer: asyncio.StreamWriter, headers: Headers, received: AsyncIterator[bytes]
) -> None:
    """Changes a connection to WebSocket, and passes on what the server sends until it ends."""
    headers.set("Connection", "Upgrade")
    headers.set("Upgrade", "websocket")
    writer.write(response_head(101, headers))
    async for part in received:
        writer.write(part)
        await writer.drain()


async def _send_body(
    writer: asyncio.StreamWriter, body: AsyncIterator[bytes], length: str | None, *, chunked: bool
) -> None:
    sent = 0
    async for part in body:
        if not part:
            continue
        sent += len(part)
        if length is not None and sent > int(length):
            raise ProtocolError(f"the body is longer than its length of {length} bytes")
        writer.write(chunk(part) if chunked else part)
        await writer.drain()
    if length is not None and sent < int(length):
        raise ProtocolError(f"the body is shorter than its length of {length} bytes")
    if chunked:
        writer.write(LAST_CHUNK)
        await writer.drain()


async def _refuse(writer: asyncio.StreamWriter, status: int, reason: str) -> None:
    text = f"{reason}\n".encode()
    headers = Headers([("Content-Length", str(len(text))), ("Connection", "close")])
    with contextlib.suppress(ConnectionError):
        writer.write(response_head(status, headers) + text)
        await writer.drain()


def _http_date() -> str:
    return _date_of(int(time.time()))


@lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return formatdate(second, usegmt=True)


async def forward(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Response:
    """Sends ``request`` over an open connection to a server and returns its response with a streaming body.

    The connection is closed when the body ends. Raises ConnectionError or ProtocolError when the server
    breaks off or does not speak HTTP.
    """
    headers = Headers(request.headers.items)
    headers.remove(*_HOP_BY_HOP, "expect")
    has_length = "content-length" in headers
    chunked = not has_length and (request.headers.get("transfer-encoding") or "").lower() == "chunked"
    if chunked:
        headers.set("Transfer-Encoding", "chunked")
    headers.set("Connection", "close")
    if request.socket is not None:
        headers.set("Connection", "Upgrade")
        headers.set("Upgrade", "websocket")
    writer.write(request_head(request.method, request.target, headers))
    await writer.drain()
    async for part in request.body:
        if has_length or chunked:
            writer.write(chunk(part) if chunked else part)
            await writer.drain()
    if chunked:
        writer.write(LAST_CHUNK)
        await writer.drain()
    incoming = Incoming(reader, writer, responses=True)
    head = await _final_head(incoming)
    answer_headers = Headers(head.headers.items)
    answer_headers.remove(*_HOP_BY_HOP)
    if head.status == 101:
        if request.socket is None:
            raise ProtocolError("the server changes to a protocol that nobody asked for")
        return Response(101, answer_headers, _both_ways(request.socket, incoming.other_protocol(), writer))
    framed = "content-length" in head.headers or "transfer-encoding" in head.headers

    async def body() -> AsyncIterator[bytes]:
        try:
            if request.method != "HEAD":
                async for part in incoming.data(until_closed=not framed):
                    yield part
        finally:
            writer.close()

    return Response(head.status, answer_headers, body())


async def _both_ways(
    sent: AsyncIterator[bytes], received: AsyncIterator[bytes], writer: asyncio.StreamWriter
) -> AsyncIterator[bytes]:
    """What a server sends, while it is sent what its client does. Ends when either of them has closed its connection."""

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            async for part in sent:
                writer.write(part)
                await writer.drain()
        # The server, too, is then to end what it does for this client.
        writer.close()

    sending = asyncio.create_task(send())
    try:
        with contextlib.suppress(ConnectionError):
            async for part in received:
                yield part
    finally:
        sending.cancel()
        writer.close()


async def _final_head(incoming: Incoming) -> Head:
    """The head of the response, behind the interim ones."""
    while True:
        head = await incoming.head()
        if head is None:
            raise ConnectionResetError("the server closed the connection without a response")
        if head.status >= 200 or head.status == 101:
            return head
        async for _ in incoming.data():
            pass
