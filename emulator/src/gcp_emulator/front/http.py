"""HTTP/1.1 over asyncio streams with h11: the server side of a connection, and one request as a client."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache

import h11

from gcp_emulator.front.messages import BrokenConnectionError, Headers, PeerGoneError, Request, Response

Answer = Callable[[Request], Awaitable[Response]]
_CHUNK = 64 * 1024
#: Longest request head (Google's load balancers allow 60 kB).
_MAX_HEAD = 64 * 1024
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


class _Events:
    """h11 events of one connection, read from a stream."""

    def __init__(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connection = connection
        self._reader = reader
        self._writer = writer

    async def next(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            if self.connection.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            event = self.connection.next_event()
            if event is h11.NEED_DATA:
                _acknowledge_at_once(self._writer)
                try:
                    data = await self._reader.read(_CHUNK)
                except (ConnectionError, TimeoutError):
                    data = b""
                self.connection.receive_data(data)
                continue
            return event  # type: ignore[return-value]

    async def send(self, *sent: h11.Event) -> None:
        """Sends events in one write: each write is a TLS record and a system call."""
        data = b"".join(self.connection.send(event) or b"" for event in sent)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def data(self) -> AsyncIterator[bytes]:
        """The body that follows a head."""
        while True:
            event = await self.next()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise PeerGoneError("the peer closed the connection in the middle of a body")


def _acknowledge_at_once(writer: asyncio.StreamWriter) -> None:
    """Clients behind a proxy leave Nagle's algorithm on: a delayed acknowledgement of the head would hold their body back.

    The kernel forgets the wish after a while, so it is made before every read.
    """
    sock = writer.get_extra_info("socket")
    if (
        sock is not None
        and sock.family in (socket.AF_INET, socket.AF_INET6)
        and hasattr(socket, "TCP_QUICKACK")
    ):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _decode(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    return Headers((bytes(key).decode("latin-1"), bytes(value).decode("latin-1")) for key, value in raw)


def _encode(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items]


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
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
    events = _Events(connection, reader, writer)
    while True:
        try:
            head = await events.next()
        except h11.RemoteProtocolError as error:
            # 501 is h11's hint for an unknown Transfer-Encoding: the request is wrong, not the server.
            await _refuse(
                events, error.error_status_hint if error.error_status_hint < 500 else 400, str(error)
            )
            return None
        if not isinstance(head, h11.Request):
            return None
        if head.method == b"CONNECT":
            name, _, port = head.target.decode("latin-1").rpartition(":")
            if re.fullmatch(r"[0-9]{1,5}", port) is None:
                await _refuse(events, 400, "CONNECT takes HOST:PORT")
                return None
            return Connect(name.strip("[]"), int(port))
        request = _request(head, scheme, host)
        request.body = events.data()
        try:
            response = await answer(request)
        except BrokenConnectionError:
            _reset(writer)
            return None
        try:
            await _send_response(events, response, head=head.method == b"HEAD")
            # What the handler did not read would be taken for the next request.
            async for _ in request.body:
                pass
        except (ConnectionError, h11.ProtocolError, asyncio.IncompleteReadError):
            return None
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return None
        connection.start_next_cycle()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST, as a peer that crashes does."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _request(head: h11.Request, scheme: str, host: str | None) -> Request:
    headers = _decode(head.headers)
    target = head.target.decode("latin-1")
    named = headers.get("host") or ""
    if not target.startswith("/") and "://" in target:
        scheme, _, rest = target.partition("://")
        named, slash, tail = rest.partition("/")
        target = slash + tail or "/"
    path, _, query = target.partition("?")
    return Request(head.method.decode(), scheme, host or named, path, query, headers)


async def _send_response(events: _Events, response: Response, *, head: bool) -> None:
    headers = Headers(response.headers.items)
    headers.remove(*_HOP_BY_HOP)
    body = response.body
    if isinstance(body, bytes):
        # A HEAD answer may carry the length of the body that it leaves out.
        if not (head and "content-length" in headers) and response.status not in (204, 304):
            headers.set("Content-Length", str(len(body)))
    elif "content-length" not in headers:
        headers.set("Transfer-Encoding", "chunked")
    if "date" not in headers:
        headers.set("Date", _http_date())
    started = h11.Response(status_code=response.status, headers=_encode(headers))
    if isinstance(body, bytes):
        data = [h11.Data(data=body)] if body and not head else []
        await events.send(started, *data, h11.EndOfMessage())
        return
    await events.send(started)
    if not head:
        async for part in body:
            if part:
                await events.send(h11.Data(data=part))
    await events.send(h11.EndOfMessage())


async def _refuse(events: _Events, status: int, reason: str) -> None:
    with contextlib.suppress(ConnectionError, h11.ProtocolError):
        text = f"{reason}\n".encode()
        headers = [(b"Content-Length", str(len(text)).encode()), (b"Connection", b"close")]
        await events.send(h11.Response(status_code=status, headers=headers))
        await events.send(h11.Data(data=text))
        await events.send(h11.EndOfMessage())


def _http_date() -> str:
    return _date_of(int(time.time()))


@lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return formatdate(second, usegmt=True)


async def forward(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Response:
    """Sends ``request`` over an open connection to a server and returns its response with a streaming body.

    The connection is closed when the body ends. Raises ConnectionError or h11.ProtocolError when the server
    breaks off or does not speak HTTP.
    """
    connection = h11.Connection(h11.CLIENT)
    events = _Events(connection, reader, writer)
    headers = Headers(request.headers.items)
    headers.remove(*_HOP_BY_HOP, "expect")
    has_length = "content-length" in headers
    chunked = not has_length and (request.headers.get("transfer-encoding") or "").lower() == "chunked"
    if chunked:
        headers.set("Transfer-Encoding", "chunked")
    headers.set("Connection", "close")
    await events.send(h11.Request(method=request.method, target=request.target, headers=_encode(headers)))
    async for part in request.body:
        if has_length or chunked:
            await events.send(h11.Data(data=part))
    await events.send(h11.EndOfMessage())
    while True:
        event = await events.next()
        if isinstance(event, h11.Response):
            break
        if not isinstance(event, h11.InformationalResponse):
            raise ConnectionResetError("the server closed the connection without a response")
    answer_headers = _decode(event.headers)
    answer_headers.remove(*_HOP_BY_HOP)

    async def body() -> AsyncIterator[bytes]:
        try:
            async for part in events.data():
                yield part
        finally:
            writer.close()

    return Response(event.status_code, answer_headers, body())
