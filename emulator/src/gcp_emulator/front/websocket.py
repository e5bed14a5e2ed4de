"""WebSocket as a server speaks it, over the bytes of a connection that was changed to it (`Request.socket`, an answer 101).

Source: https://www.rfc-editor.org/rfc/rfc6455. Extensions are not spoken.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator

from gcp_emulator.front.messages import Headers, Request, Response, text_response

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUATION = 0
#: Longest message, in bytes.
_MAX_MESSAGE = 2**20
_KEY_OF_ALL_SERVERS = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NORMAL, GOING_AWAY, PROTOCOL_ERROR, TOO_BIG = 1000, 1001, 1002, 1009


class SocketError(Exception):
    """A frame that is none, or too long. ``code`` is what the connection is closed with."""

    def __init__(self, text: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(text)
        self.code = code


def opened(request: Request, protocol: str, sent: AsyncIterator[bytes]) -> Response:
    """The answer that opens a WebSocket of one subprotocol: ``sent`` are the frames of the server. 400 for a request that opens none, or another."""
    key = request.headers.get("sec-websocket-key") or ""
    offered = (request.headers.get("sec-websocket-protocol") or "").replace(" ", "").split(",")
    if request.socket is None or not key or request.headers.get("sec-websocket-version") != "13":
        return text_response("This is for WebSockets (RFC 6455).\n", status=400)
    if protocol not in offered:
        return text_response(f"The only subprotocol here is {protocol}.\n", status=400)
    digest = hashlib.sha1(key.encode() + _KEY_OF_ALL_SERVERS, usedforsecurity=False).digest()
    fields = {
        "Sec-WebSocket-Accept": base64.b64encode(digest).decode(),
        "Sec-WebSocket-Protocol": protocol,
    }
    return Response(101, Headers(fields.items()), sent)


def frame(kind: int, content: bytes) -> bytes:
    """A whole message of a server."""
    size = len(content)
    if size < 126:
        length = bytes([size])
    elif size < 2**16:
        length = b"\x7e" + size.to_bytes(2)
    else:
        length = b"\x7f" + size.to_bytes(8)
    return bytes([0x80 | kind]) + length + content


def closing(code: int, reason: str = "") -> bytes:
    """The frame that ends a connection, and says why."""
    return frame(CLOSE, code.to_bytes(2) + reason.encode()[:123])


async def messages(received: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """The messages of a client, each with its kind, until its connection ends: whether by a CLOSE is for whoever reads to see. SocketError."""
    buffer = bytearray()
    kind, parts = 0, bytearray()
    async for data in received:
        buffer += data
        while (found := _first_frame(buffer)) is not None:
            size, final, opcode, content = found
            del buffer[:size]
            if opcode >= CLOSE:
                yield opcode, content
                continue
            if (opcode == _CONTINUATION) is not bool(kind):
                raise SocketError("a message begins within another, or goes on where there is none")
            kind = kind or opcode
            parts += content
            if len(parts) > _MAX_MESSAGE:
                raise SocketError("a message is too long", TOO_BIG)
            if final:
                yield kind, bytes(parts)
                kind = 0
                parts.clear()


def _first_frame(buffer: bytearray) -> tuple[int, bool, int, bytes] | None:
    """Size, whether it ends a message, opcode and content of the frame that the buffer begins with; None while it is not whole. SocketError."""
    if len(buffer) < 2:
        return None
    opcode, short = buffer[0] & 0x0F, buffer[1] & 0x7F
    if buffer[0] & 0x70 or opcode not in (_CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        raise SocketError("an extension or an opcode that is not spoken here")
    if not buffer[1] & 0x80:
        raise SocketError("a client masks what it sends")
    if opcode >= CLOSE and (short > 125 or not buffer[0] & 0x80):
        raise SocketError("a control frame is short and whole")
    head = 2 + {126: 2, 127: 8}.get(short, 0)
    if len(buffer) < head + 4:
        return None
    size = int.from_bytes(buffer[2:head]) if head > 2 else short
    if size > _MAX_MESSAGE:
        raise SocketError("a frame is too long", TOO_BIG)
    start = head + 4
    if len(buffer) < start + size:
        return None
    mask = bytes(buffer[head:start])
    content = _unmasked(bytes(buffer[start : start + size]), mask)
    return start + size, bool(buffer[0] & 0x80), opcode, content


def _unmasked(data: bytes, mask: bytes) -> bytes:
    whole = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(whole)).to_bytes(len(data))
