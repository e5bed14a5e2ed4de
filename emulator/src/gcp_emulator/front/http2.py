"""HTTP/2 as far as it takes to refuse gRPC: every call ends with a status and a sentence, and nothing of it is decoded.

Sources: RFC 9113 (frames), RFC 7541 (header fields), https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md (Trailers-Only,
Status-Message).
"""

from __future__ import annotations

import asyncio
import string
from urllib.parse import quote

#: The name under which TLS negotiates HTTP/2 (RFC 9113, section 3.2).
PROTOCOL = "h2"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
#: The largest frame for who has not asked for larger ones.
_MAX_FRAME = 2**14
_UNIMPLEMENTED = "12"
#: Octets that a status message carries as they are; the others are percent-encoded.
_PLAIN = "".join(sorted((set(string.printable) - set(string.whitespace) | {" "}) - {"%"}))


async def refuse_calls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: str) -> None:
    """Answers every call on a connection with UNIMPLEMENTED and ``message``, until the client leaves.

    Raises:
        ConnectionResetError: the client does not speak HTTP/2.
        asyncio.IncompleteReadError: it has left.
    """
    if await reader.readexactly(len(_PREFACE)) != _PREFACE:
        raise ConnectionResetError("no HTTP/2")
    writer.write(_frame(_SETTINGS))
    answer = b"\x88" + b"".join(  # indexed field 8 is `:status: 200`
        b"\x00" + _text(name) + _text(value)  # a literal that nobody has to remember
        for name, value in (
            ("content-type", "application/grpc"),
            ("grpc-status", _UNIMPLEMENTED),
            ("grpc-message", quote(message, safe=_PLAIN)),
        )
    )
    while True:
        await writer.drain()
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
        stream = int.from_bytes(head[5:]) & 0x7FFFFFFF
        if length > _MAX_FRAME:
            raise ConnectionResetError("a frame is too large")
        payload = await reader.readexactly(length)
        if kind == _HEADERS:
            writer.write(_frame(_HEADERS, answer, flags=_END_STREAM | _END_HEADERS, stream=stream))
        elif kind == _DATA and length:
            writer.write(_frame(_WINDOW_UPDATE, length.to_bytes(4)))
        elif kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, flags=_ACK))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, payload, flags=_ACK))
        elif kind == _GOAWAY:
            return


def _frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _text(value: str) -> bytes:
    """A string literal (RFC 7541, sections 5.1 and 5.2), not compressed."""
    data = value.encode("ascii")
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, size = len(data) - 127, bytearray([127])
    while rest >= 128:
        size.append(rest % 128 | 128)
        rest //= 128
    size.append(rest)
    return bytes(size) + data
