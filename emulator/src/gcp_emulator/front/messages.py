"""HTTP messages as the emulator passes them around."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

#: Largest request body that is read into memory, in bytes (Cloud Run's own limit for HTTP/1 requests).
MAX_BODY = 32 * 1024 * 1024


class BodyTooLargeError(Exception):
    """A body longer than the limit that the reader allowed."""


class PeerGoneError(ConnectionResetError):
    """The other side closed the connection in the middle of a body."""


class BrokenConnectionError(ConnectionResetError):
    """The connection is to be reset instead of an answer."""


class Headers:
    """Header fields in order, looked up without regard to case."""

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self.items: list[tuple[str, str]] = list(items)

    def get(self, name: str, default: str | None = None) -> str | None:
        lowered = name.lower()
        return next((value for key, value in self.items if key.lower() == lowered), default)

    def set(self, name: str, value: str) -> None:
        """Replaces every field of this name by one."""
        self.remove(name)
        self.items.append((name, value))

    def remove(self, *names: str) -> None:
        lowered = {name.lower() for name in names}
        self.items = [(key, value) for key, value in self.items if key.lower() not in lowered]

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None


async def in_one_piece(content: bytes) -> AsyncIterator[bytes]:
    """The body of a message whose whole content is there already."""
    yield content


async def _no_body() -> AsyncIterator[bytes]:
    return
    yield b""


@dataclass
class Request:
    """A request. ``path`` is raw (still percent-encoded), without the query; ``body`` may be iterated once."""

    method: str
    scheme: str
    host: str
    path: str
    query: str
    headers: Headers
    body: AsyncIterator[bytes] = field(default_factory=_no_body)
    #: True when it came through the address for browsers (`http://HOST.localhost:PORT`).
    from_browser: bool = False
    #: What the client sends once the protocol is changed, for a request that asks for WebSocket: an answer 101 has as its body what it gets.
    socket: AsyncIterator[bytes] | None = None

    @property
    def query_pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    @property
    def target(self) -> str:
        """Path with query, as in the request line."""
        return f"{self.path}?{self.query}" if self.query else self.path

    async def read(self, limit: int = MAX_BODY) -> bytes:
        """The whole body; BodyTooLargeError beyond ``limit`` bytes."""
        parts: list[bytes] = []
        size = 0
        async for part in self.body:
            size += len(part)
            if size > limit:
                raise BodyTooLargeError(f"the body is longer than {limit} bytes")
            parts.append(part)
        return b"".join(parts)


@dataclass
class Response:
    """A response. ``body`` is bytes, or an iterator when the length is not known or large."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes | AsyncIterator[bytes] = b""


def json_response(value: Any, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """A response with a JSON body, named as Google names it."""
    fields = Headers([("Content-Type", "application/json; charset=UTF-8"), *headers])
    return Response(status, fields, json.dumps(value, separators=(",", ":")).encode())


def text_response(
    text: str, *, status: int = 200, content_type: str = "text/plain; charset=utf-8"
) -> Response:
    """A response with a string body."""
    return Response(status, Headers([("Content-Type", content_type)]), text.encode())
