"""WebSocket as a server speaks it: what it takes from a client, and what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from gcp_emulator.front import websocket
from gcp_emulator.front.messages import Headers, Request

MASK = b"\x01\x02\x03\x04"


def sent(kind: int, content: bytes, *, final: bool = True) -> bytes:
    """A frame as a client sends it."""
    size = len(content)
    length = (
        bytes([0x80 | size])
        if size < 126
        else b"\xfe" + size.to_bytes(2)
        if size < 2**16
        else b"\xff" + size.to_bytes(8)
    )
    masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(content))
    return bytes([(0x80 if final else 0) | kind]) + length + MASK + masked


def taken(*pieces: bytes) -> list[tuple[int, bytes]]:
    """The messages in what comes in pieces."""

    async def coming() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def collect() -> list[tuple[int, bytes]]:
        return [message async for message in websocket.messages(coming())]

    return asyncio.run(collect())


@pytest.mark.parametrize("size", [0, 125, 126, 2**16 - 1, 2**16, 2**20])
def test_messages_of_every_length(size: int) -> None:
    content = bytes(at % 251 for at in range(size))
    assert taken(sent(websocket.BINARY, content)) == [(websocket.BINARY, content)]
    # What the server sends has the same form, without a mask.
    frame = websocket.frame(websocket.BINARY, content)
    assert frame.endswith(content)
    assert frame[1] & 0x80 == 0


def test_however_the_bytes_come() -> None:
    whole = sent(websocket.BINARY, b"one") + sent(websocket.BINARY, b"x" * 200)
    expected = [(websocket.BINARY, b"one"), (websocket.BINARY, b"x" * 200)]
    assert taken(*(whole[at : at + 1] for at in range(len(whole)))) == expected
    assert taken(whole) == expected
    # What breaks off is no message.
    assert taken(whole[:-1]) == expected[:1]


def test_a_message_in_several_frames_with_a_ping_between() -> None:
    frames = (
        sent(websocket.BINARY, b"on", final=False),
        sent(websocket.PING, b"?"),
        sent(0, b"", final=False),
        sent(0, b"e"),
    )
    assert taken(*frames) == [(websocket.PING, b"?"), (websocket.BINARY, b"one")]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x82\x01x", websocket.PROTOCOL_ERROR),  # not masked
        (b"\xc2\x80" + MASK, websocket.PROTOCOL_ERROR),  # compressed
        (b"\x83\x80" + MASK, websocket.PROTOCOL_ERROR),  # no opcode
        (sent(websocket.PING, b"x" * 126), websocket.PROTOCOL_ERROR),
        (sent(websocket.PING, b"", final=False), websocket.PROTOCOL_ERROR),
        (sent(0, b"x"), websocket.PROTOCOL_ERROR),  # goes on with nothing
        (sent(websocket.BINARY, b"x", final=False) * 2, websocket.PROTOCOL_ERROR),
        (b"\x82\xff" + (2**40).to_bytes(8) + MASK, websocket.TOO_BIG),
        (sent(websocket.BINARY, b"x" * 2**20, final=False) + sent(0, b"x"), websocket.TOO_BIG),
    ],
)
def test_what_is_none_is_refused(frame: bytes, code: int) -> None:
    with pytest.raises(websocket.SocketError) as refused:
        taken(frame)
    assert refused.value.code == code


def test_the_answer_that_opens_it() -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    fields = {
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "chat, other",
    }

    def opened(**changes: str) -> tuple[int, str | None]:
        headers = Headers((fields | changes).items())
        request = Request("GET", "https", "example.com", "/", "", headers, socket=nothing())
        answer = websocket.opened(request, "chat", nothing())
        return answer.status, answer.headers.get("sec-websocket-accept")

    # The example of RFC 6455, section 1.3.
    assert opened() == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    assert opened(**{"Sec-WebSocket-Protocol": "other"}) == (400, None)
    assert opened(**{"Sec-WebSocket-Version": "8"}) == (400, None)
    assert opened(**{"Sec-WebSocket-Key": ""}) == (400, None)
