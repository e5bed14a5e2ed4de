"""Bytes that are no HTTP, nearly HTTP, or too much of it."""

from __future__ import annotations

import socket
from random import Random

#: What stands where in a request; each part is left right or replaced by one of these.
_METHODS = (b"GET", b"POST", b"", b"G T", b"\x00", b"get", b"X" * 70_000, b"\xff\xfe", b"CONNECT", b"PRI")
_TARGETS = (
    b"/_emulator/health",
    b"/_/secretmanager.googleapis.com/v1/projects/test-project/secrets",
    b"/_/",
    b"/_",
    b"/",
    b"*",
    b"",
    b"//",
    b"/%",
    b"/%ff%00",
    b"/\xff",
    b"/?" + b"a=" * 20_000,
    b"/" + b"x" * 70_000,
    b"http://storage.googleapis.com/",
    b"https://",
    b"http://[::1",
    b"gopher://x:99999/",
    b"storage.googleapis.com:443",
    b"storage.googleapis.com:x",
    b"storage.googleapis.com:",
    b"storage.googleapis.com",
    b"storage.googleapis.com:99999999",
    b"[::1]:443",
    b":443",
    b"example.com:443",
    b"run.app:80",
)
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"", b"HTCPCP/1.0", b"http/1.1")
_HEADERS = (
    b"Host: 127.0.0.1",
    b"Host:",
    b"Host: \xff\xfe",
    b"Host: storage.googleapis.com",
    b"Host: x.run.app.localhost",
    b"Host: a\r\nHost: b",
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: x",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: cow",
    b"Transfer-Encoding: chunked\r\nContent-Length: 3",
    b"Expect: 100-continue",
    b"Expect: a miracle",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Authorization: Bearer \xff",
    b"Authorization: Bearer",
    b"Authorization: Basic x",
    b"Content-Type: application/json; charset=\xff",
    b"X-Long: " + b"y" * 60_000,
    b"X-Many: z\r\n" * 3000 + b"X: y",
    b"No colon",
    b" folded: line",
    b": no name",
    b"N\x00l: \x00",
    b"Accept-Encoding: gzip;q=nan",
    b"Range: bytes=-",
)
_BODIES = (
    b"",
    b"hello",
    b"{}",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhel",
    b"FFFFFFFFFFFFFFFFF\r\nx",
    b"-1\r\nx\r\n",
    b"zz\r\n",
    b"5;ext=\xff\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    b"0\r\n" + b"T: x\r\n" * 5000,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
)
_WHOLE = (
    b"",
    b"\r\n" * 1000,
    b"\n",
    b"\x00" * 1000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    b"SSH-2.0-x\r\n",
    b"GET /\r\n\r\n",
    b"x" * 200_000,
)
_AFTER_CONNECT = (
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01",
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    b"\xff" * 100,
)


def stream(random: Random) -> bytes:
    """What a client writes to a new connection."""
    if random.random() < 0.15:
        return random.choice(_WHOLE)
    if random.random() < 0.25:
        tunnel = b"CONNECT %s HTTP/1.1\r\n\r\n" % random.choice(_TARGETS)
        return tunnel + random.choice(_AFTER_CONNECT)
    requests = b"".join(_request(random) for _ in range(random.randint(1, 3)))
    if random.random() < 0.2:
        at = random.randrange(len(requests))
        requests = requests[:at] + random.randbytes(random.randint(1, 4)) + requests[at:]
    return requests[: random.randrange(len(requests))] if random.random() < 0.1 else requests


def _request(random: Random) -> bytes:
    odd = random.choice((0.0, 0.2, 0.6))

    def part(choices: tuple[bytes, ...], right: int) -> bytes:
        return random.choice(choices if random.random() < odd else choices[:right])

    line = b" ".join((part(_METHODS, 2), part(_TARGETS, 5), part(_VERSIONS, 1)))
    headers = [_HEADERS[0], *random.sample(_HEADERS, random.randint(0, 3))]
    end = b"\n" if random.random() < odd / 4 else b"\r\n"
    return end.join((line, *headers, b"", part(_BODIES, 3)))


def converse(port: int, data: bytes, patience: float) -> bytes:
    """Everything that the server answers until it closes the connection. Fails when it does not."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except TimeoutError:
            raise
        except OSError:
            # The server may hang up before it has read all.
            pass
    return answer
