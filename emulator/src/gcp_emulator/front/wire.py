"""HTTP/1.1 messages on a stream: parsed by httptools (llhttp, Node's parser), written here."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

import httptools

from gcp_emulator.front.messages import Headers, PeerGoneError

_CHUNK = 64 * 1024
#: Longest head (Google's load balancers allow 60 kB).
_MAX_HEAD = 64 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class ProtocolError(Exception):
    """A message that is none. ``status`` is what a server answers to it."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Head:
    """The head of a request (``method``, ``target``) or of a response (``status``)."""

    headers: Headers
    version: str
    #: Whether the connection may be used again after this message.
    keep_alive: bool
    method: str = ""
    target: str = ""
    status: int = 0


class _End:
    """Follows the last piece of a message's body."""


_END = _End()


class Incoming:
    """The messages that come in on one connection, piece by piece: a head, its data, the end."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, responses: bool
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self) if responses else httptools.HttpRequestParser(self)
        self._pieces: deque[Head | bytes | _End] = deque()
        self._failure: ProtocolError | None = None
        #: What came behind a head that changes the protocol, in the same piece.
        self._behind = b""
        self._headers: list[tuple[str, str]] = []
        self._target = b""
        self._in_head = False
        self._head_size = 0
        #: The client sends its body only when it is told to.
        self.waits_for_continue = False
        #: No message is being read.
        self.between_messages = True

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._headers, self._target = [], b""
        self._in_head, self._head_size = True, 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        version = parser.get_http_version()
        # HTTP/1.0 is answered once for each connection. What follows a request for another protocol is no message.
        keep_alive = version == "1.1" and parser.should_keep_alive() and not parser.should_upgrade()
        about = Headers(self._headers), version, keep_alive
        if isinstance(parser, httptools.HttpRequestParser):
            head = Head(*about, method=parser.get_method().decode(), target=self._target.decode("latin-1"))
        else:
            head = Head(*about, status=parser.get_status_code())
        self._pieces.append(head)
        # Trailers, which nobody reads, come the same way.
        self._headers = []
        self._in_head = False

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        self._pieces.append(_END)

    # What the connection's owner calls.

    async def head(self) -> Head | None:
        """The next message's head; None when the peer closed the connection. ProtocolError."""
        try:
            piece = await self._next()
        except PeerGoneError:
            return None
        if not isinstance(piece, Head):
            raise ProtocolError("data outside of a message")
        self.between_messages = False
        return piece

    async def data(self, *, until_closed: bool = False) -> AsyncIterator[bytes]:
        """The body of the message whose head was read last. PeerGoneError, unless the end of the connection ends it."""
        while not self.between_messages:
            try:
                piece = await self._next()
            except PeerGoneError:
                if until_closed:
                    return
                raise
            if isinstance(piece, bytes):
                yield piece
            else:
                self.between_messages = True
                self.waits_for_continue = False

    async def other_protocol(self) -> AsyncIterator[bytes]:
        """What comes behind a head that changed the protocol, as it comes, until the peer closes the connection."""
        if self._behind:
            yield self._behind
        while data := await self._reader.read(_CHUNK):
            yield data

    async def _next(self) -> Head | bytes | _End:
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self.waits_for_continue:
                self.waits_for_continue = False
                self._writer.write(_CONTINUE)
                await self._writer.drain()
            _acknowledge_at_once(self._writer)
            try:
                data = await self._reader.read(_CHUNK)
            except (ConnectionError, TimeoutError):
                data = b""
            if not data:
                raise PeerGoneError("the peer closed the connection in the middle of a message")
            self._feed(data)
        return self._pieces.popleft()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._behind = data[upgrade.args[0] :]
            self._failure = ProtocolError("nothing can follow a request for another protocol")
        except httptools.HttpParserError as error:
            self._failure = ProtocolError(str(error))
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > _MAX_HEAD:
                self._failure = ProtocolError("the head is too long", 431)


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


def response_head(status: int, headers: Headers) -> bytes:
    """The first bytes of a response. ProtocolError when a field would end its line."""
    return _head(f"HTTP/1.1 {status} {_REASONS.get(status, '')}", headers)


def request_head(method: str, target: str, headers: Headers) -> bytes:
    """The first bytes of a request. ProtocolError when a field would end its line."""
    return _head(f"{method} {target} HTTP/1.1", headers)


def _head(first: str, headers: Headers) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers.items), "", ""]
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise ProtocolError(f"a field of {first!r} holds a line break or NUL")
    if not all(_NAME.fullmatch(name) for name, _ in headers.items):
        raise ProtocolError(f"a field of {first!r} has a name that is none")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise ProtocolError(f"a field of {first!r} holds characters beyond Latin-1") from None


def chunk(data: bytes) -> bytes:
    """A piece of a body of unknown length."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
