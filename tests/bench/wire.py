"""A client that costs next to nothing, so that what is measured is the server: whole requests as bytes over sockets."""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

Connect = Callable[[], socket.socket]


class UnexpectedAnswerError(Exception):
    """The server answered something else than what is measured."""


def tcp(port: int) -> socket.socket:
    """A connection to a port of this machine."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    if connection.getsockname() == connection.getpeername():
        # A port that nobody listens on may be picked for the client's own end, which then talks to itself.
        connection.close()
        raise ConnectionRefusedError(f"nobody listens on port {port}")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def tunnel(port: int, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A TLS connection to ``host`` through the CONNECT proxy on ``port``."""
    connection = tcp(port)
    connection.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    answer = connection.recv(4096)
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        raise ConnectionError(f"the proxy refused a tunnel to {host}: {answer!r}")
    return context.wrap_socket(connection, server_hostname=host)


def get(path: str, host: str, **headers: str) -> bytes:
    """A GET as bytes; ``user_agent`` becomes ``User-Agent``."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """Sends a request and returns the whole answer, which must be 200 and tell its length."""
    connection.sendall(request)
    answer = b""
    while not _is_whole(answer):
        answer += _received(connection.recv(65536), request)
    return answer


def _received(data: bytes, request: bytes) -> bytes:
    if not data:
        raise ConnectionError(f"the server closed the connection in the middle of {request[:80]!r}")
    return data


def _is_whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise UnexpectedAnswerError(f"not 200: {answer[:300]!r}")
    length = next(
        (line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None
    )
    if length is None:
        raise UnexpectedAnswerError(f"an answer without a length: {head!r}")
    return len(body) >= int(length)


@dataclass(frozen=True)
class Load:
    """What a server did under load."""

    per_second: float
    #: Seconds of each request, in the order of their ends.
    latencies: list[float]


def load(connect: Connect, request: bytes, *, connections: int, seconds: float) -> Load:
    """``connections`` keep-alive connections, each with one request on its way at any time."""
    selector = selectors.DefaultSelector()
    answers: dict[socket.socket, bytes] = {}
    sent: dict[socket.socket, float] = {}
    latencies: list[float] = []
    for _ in range(connections):
        connection = connect()
        exchange(connection, request)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
        answers[connection] = b""
    begin = time.perf_counter()
    for connection in answers:
        sent[connection] = time.perf_counter()
        connection.send(request)
    while (now := time.perf_counter()) < begin + seconds:
        for key, _ in selector.select(1):
            connection = key.fileobj  # type: ignore[assignment]
            try:
                answers[connection] += _received(connection.recv(65536), request)
            except ssl.SSLWantReadError:
                continue
            if _is_whole(answers[connection]):
                now = time.perf_counter()
                latencies.append(now - sent[connection])
                answers[connection], sent[connection] = b"", now
                connection.send(request)
    elapsed = time.perf_counter() - begin
    for connection in answers:
        connection.close()
    selector.close()
    return Load(len(latencies) / elapsed, latencies)
