"""The ways from the port to what runs here, and what a virtual machine reaches through its proxy."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable
from pathlib import Path

import pytest
from gcp_emulator.front.ca import CertificateAuthority
from gcp_emulator.front.messages import Request, Response, text_response
from gcp_emulator.front.passage import Passage
from gcp_emulator.front.server import LOOPBACK_NAMES, Front
from gcp_emulator.front.tasks import Connections
from gcp_emulator.front.ways import Connection, Ways

MACHINE = "198.18.0.2"


async def _answer(request: Request) -> Response:
    return text_response(f"Google's {request.host}\n")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A web server that tells which request it got."""
    head = await reader.readuntil(b"\r\n\r\n")
    body = head.split(b"\r\n", 1)[0]
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    writer.close()


def talk(tmp_path: Path, request: str, *, as_machine: bool) -> str:
    """What a front answers, to which the machine `MACHINE` lets only port 80 in, and which passes other things on."""

    async def run() -> str:
        server = await asyncio.start_server(_serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def lead(wanted: int) -> Connection:
            if wanted != 80:
                raise ConnectionRefusedError("no firewall rule lets it in")
            return await asyncio.open_connection("127.0.0.1", port)

        def way(host: str, wanted: int) -> Awaitable[Connection] | None:
            return lead(wanted) if host == MACHINE else None

        ways = Ways()
        ways.add(way)
        front = Front(CertificateAuthority(tmp_path), _answer, _answer, LOOPBACK_NAMES, Passage({}), ways)
        listener = socket.create_server(("127.0.0.1", 0))
        await front.start(listener)
        connections = Connections(front.handle_machine)
        proxy = await asyncio.start_server(connections.accept, "127.0.0.1", 0)
        to = proxy.sockets[0].getsockname()[1] if as_machine else front.port
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", to)
                writer.write(request.replace("LOCAL", f"127.0.0.1:{port}").encode())
                answer = await reader.readuntil(b"\r\n\r\n")
                if b"established" in answer:
                    writer.write(b"GET /tunnel HTTP/1.1\r\nHost: x\r\n\r\n")
                writer.write_eof()
                answer += await reader.read()
                writer.close()
            return answer.decode()
        finally:
            proxy.close()
            server.close()
            await connections.stop()
            await front.stop()

    return asyncio.run(run())


@pytest.mark.parametrize("as_machine", [False, True])
def test_a_tunnel_leads_to_what_runs_here(tmp_path: Path, as_machine: bool) -> None:
    answer = talk(tmp_path, f"CONNECT {MACHINE}:80 HTTP/1.1\r\nHost: x\r\n\r\n", as_machine=as_machine)
    assert answer.startswith("HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert answer.endswith("\r\n\r\nGET /tunnel HTTP/1.1")


def test_a_request_leads_to_what_runs_here(tmp_path: Path) -> None:
    request = f"GET http://{MACHINE}/page HTTP/1.1\r\nHost: {MACHINE}\r\n\r\n"
    assert talk(tmp_path, request, as_machine=False).endswith("\r\n\r\nGET /page HTTP/1.1")


def test_who_is_not_let_in_is_told_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        answer = talk(tmp_path, f"CONNECT {MACHINE}:443 HTTP/1.1\r\nHost: x\r\n\r\n", as_machine=False)
    assert answer.startswith("HTTP/1.1 504 Gateway Timeout\r\n")
    assert answer.endswith("no firewall rule lets it in.\n")
    assert f"{MACHINE}:443 was not reached: no firewall rule lets it in" in caplog.text


def test_a_machine_does_not_reach_the_hosts_of_this_one(tmp_path: Path) -> None:
    """Whoever asks the port is on this machine, and reaches it anyway."""
    request = "CONNECT LOCAL HTTP/1.1\r\nHost: x\r\n\r\n"
    assert talk(tmp_path, request, as_machine=False).endswith("GET /tunnel HTTP/1.1")
    refused = talk(tmp_path, request, as_machine=True)
    assert refused.startswith("HTTP/1.1 502 Bad Gateway\r\n")
    assert "it is this machine itself" in refused
    named = talk(tmp_path, "CONNECT localhost:80 HTTP/1.1\r\nHost: x\r\n\r\n", as_machine=True)
    assert "it is this machine itself" in named


@pytest.mark.parametrize(
    "path", ["http://127.0.0.1/_emulator/faults", "/", "http://metadata.google.internal/"]
)
def test_a_machine_does_not_reach_the_emulators_own_pages(tmp_path: Path, path: str) -> None:
    answer = talk(tmp_path, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", as_machine=True)
    assert answer.startswith("HTTP/1.1 403 Forbidden\r\n")
