"""What a browser is shown at the address that stands for the external address of a machine."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable
from pathlib import Path

import pytest
from gcp_emulator.front.ca import CertificateAuthority
from gcp_emulator.front.messages import Request, Response, text_response
from gcp_emulator.front.server import LOOPBACK_NAMES, Front
from gcp_emulator.front.ways import Connection, NobodyListensError, Ways

MACHINE = "2.0.18.198.bc.googleusercontent.com"
#: What the machine's certificate is for.
OTHER = "shop.example.com"


async def _answer(request: Request) -> Response:
    return text_response(f"Google's {request.host}\n")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A web server that tells which request it got, with a link to itself, where it redirects to as well."""
    head = await reader.readuntil(b"\r\n\r\n")
    scheme = b"tls" if writer.get_extra_info("ssl_object") else b"plain"
    link = b"https://%s/next" % MACHINE.encode()
    # Of what it was sent no link is to be rewritten.
    sent = head.replace(b"://", b":")
    body = b"%s %s https://lh3.googleusercontent.com/ %s" % (scheme, link, sent)
    writer.write(
        b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
        % (link, len(body), body)
    )
    writer.close()


async def _serve_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-x\r\n")
    writer.close()


def browse(
    tmp_path: Path, listens: tuple[int, ...], *, lets_in: tuple[int, ...] = (80, 443), host: str = MACHINE
) -> str:
    """What a browser is answered where a machine listens on these ports, with TLS on 443 and something else than HTTP on 0 in place of it."""

    async def run() -> str:
        authority = CertificateAuthority(tmp_path)
        servers = {
            80: await asyncio.start_server(_serve, "127.0.0.1", 0),
            443: await asyncio.start_server(_serve, "127.0.0.1", 0, ssl=authority.context(OTHER)),
            0: await asyncio.start_server(_serve_nonsense, "127.0.0.1", 0),
        }

        async def lead(wanted: int) -> Connection:
            if wanted not in lets_in:
                raise ConnectionRefusedError(f"no firewall rule lets tcp:{wanted} in")
            wanted = 0 if 0 in listens else wanted
            if wanted not in listens:
                raise NobodyListensError(f"nothing answers at port {wanted}")
            return await asyncio.open_connection("127.0.0.1", servers[wanted].sockets[0].getsockname()[1])

        def way(asked: str, wanted: int) -> Awaitable[Connection] | None:
            return lead(wanted) if asked == MACHINE else None

        ways = Ways()
        ways.add(way)
        front = Front(authority, _answer, _answer, LOOPBACK_NAMES, ways=ways)
        await front.start(socket.create_server(("127.0.0.1", 0)))
        here = f"{host}.localhost:{front.port}"
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
                lines = [
                    "POST /page?a=1 HTTP/1.1",
                    f"Host: {here}",
                    f"Origin: http://{here}",
                    "Content-Length: 0",
                ]
                writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
                answer = (await reader.read()).decode()
                writer.close()
            return answer.replace(str(front.port), "PORT")
        finally:
            await front.stop()
            for server in servers.values():
                server.close()

    return asyncio.run(run())


@pytest.mark.parametrize(("listens", "scheme"), [((80, 443), "tls"), ((443,), "tls"), ((80,), "plain")])
def test_a_browser_is_led_to_the_machine(tmp_path: Path, listens: tuple[int, ...], scheme: str) -> None:
    answer = browse(tmp_path, listens)
    head, _, body = answer.partition("\r\n\r\n")
    link = f"http://{MACHINE}.localhost:PORT/next"
    assert head.startswith("HTTP/1.1 302 ")
    assert f"Location: {link}" in head.split("\r\n")
    # Other hosts of that domain are none of machines.
    assert body.startswith(f"{scheme} {link} https://lh3.googleusercontent.com/ POST /page?a=1 HTTP/1.1\r\n")
    assert f"\r\nHost: {MACHINE}\r\n" in body
    assert f"\r\nOrigin: https:{MACHINE}\r\n" in body


def test_what_the_firewall_does_not_let_in_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        answer = browse(tmp_path, (80, 443), lets_in=(80,))
    assert answer.startswith("HTTP/1.1 504 ")
    assert answer.endswith("no firewall rule lets tcp:443 in.\n")
    assert f"{MACHINE}:443 was not reached: no firewall rule lets tcp:443 in" in caplog.text
    answer = browse(tmp_path, (80,), lets_in=(443,))
    assert answer.startswith("HTTP/1.1 504 ")
    assert answer.endswith("nothing answers at port 443; no firewall rule lets tcp:80 in.\n")


def test_a_machine_that_does_not_answer_is_told(tmp_path: Path) -> None:
    answer = browse(tmp_path, ())
    assert answer.startswith("HTTP/1.1 504 ")
    assert answer.endswith("nothing answers at port 443; nothing answers at port 80.\n")
    answer = browse(tmp_path, (0,))
    assert answer.startswith("HTTP/1.1 504 ")
    assert f"{MACHINE} does not speak TLS at port 443 (" in answer


def test_an_address_that_no_machine_has(tmp_path: Path) -> None:
    other = "3.0.18.198.bc.googleusercontent.com"
    answer = browse(tmp_path, (443,), host=other)
    assert answer.startswith("HTTP/1.1 404 ")
    assert answer.endswith(f"No machine has the address of {other}.\n")
    # What is no machine's name is no host for browsers.
    assert browse(tmp_path, (443,), host="lh3.googleusercontent.com").startswith("HTTP/1.1 403 ")
