"""What is not Google's is passed on to the real network; what is Google's never is."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from gcp_emulator.front.ca import CertificateAuthority
from gcp_emulator.front.messages import Request, Response, text_response
from gcp_emulator.front.passage import NoPassageError, Passage, canonical
from gcp_emulator.front.server import LOOPBACK_NAMES, Front

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _answer(request: Request) -> Response:
    return text_response("the emulator\n")


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"echo " + await reader.readline())
    await writer.drain()
    writer.close()


def connect(target: str, folder: Path, passage: Passage | None, said: bytes = b"hello\n") -> bytes:
    """What a client gets that asks a front for a tunnel, and then says something."""

    async def run() -> bytes:
        front = Front(CertificateAuthority(folder), _answer, _answer, LOOPBACK_NAMES, passage)
        await front.start(socket.create_server(("127.0.0.1", 0)))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
            writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            if b" 200 " in head.split(b"\r\n")[0]:
                writer.write(said)
            received = head + await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return received
        finally:
            await front.stop()

    return asyncio.run(run())


def serving(handler: Talk, work: Callable[[int], bytes]) -> bytes:
    """What ``work`` returns, given the port of a server in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(handler, "127.0.0.1", 0), loop).result()
    try:
        return work(server.sockets[0].getsockname()[1])
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_another_host_is_reached_through_the_emulator(tmp_path: Path) -> None:
    answer = serving(_echo, lambda port: connect(f"localhost:{port}", tmp_path, Passage({})))
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\necho hello\n"


def test_what_runs_in_the_emulator_gets_no_way_out(tmp_path: Path) -> None:
    answer = serving(_echo, lambda port: connect(f"localhost:{port}", tmp_path, None))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"answers for Google Cloud only, not for localhost" in answer


@pytest.mark.parametrize(
    "host",
    [
        "lh3.googleusercontent.com",
        "us-central1-project.cloudfunctions.net",
        "instance.us-central1.sql.goog",
        "STORAGE.GOOGLEAPIS.CN.",
        "metadata",
        "169.254.169.254",
        "142.250.74.106",
        "0x8efa4a6a",
        "142.16403050",
        "[2a00:1450:4001:80b::200a]",
        "[::ffff:142.250.74.106]",
    ],
)
def test_what_may_be_googles_is_never_passed_on(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[str] = []
    connecting = asyncio.open_connection

    async def note(place: str, port: int, **options: object) -> object:
        if place != "127.0.0.1":
            reached.append(place)
        return await connecting(place, port)

    monkeypatch.setattr(asyncio, "open_connection", note)
    answer = connect(f"{host}:443", tmp_path, Passage({}))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"never passed on" in answer
    assert reached == []


@pytest.mark.parametrize("host", ["RUN.GoogleAPIs.com", "run.googleapis.com.", "accounts.google.com"])
def test_googles_own_names_end_here_in_any_spelling(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(passage: Passage, name: str, port: int) -> None:
        raise AssertionError(f"{name} was to be passed on")

    monkeypatch.setattr(Passage, "open", never)
    asked = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert connect(f"{host}:80", tmp_path, Passage({}), asked).endswith(b"the emulator\n")


def test_the_machines_own_proxy_is_used(tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await _echo(reader, writer)

    def work(port: int) -> bytes:
        passage = Passage(
            {"https_proxy": f"http://me:p%40ss@127.0.0.1:{port}", "NO_PROXY": "elsewhere.example"}
        )
        return connect("pypi.example:443", tmp_path, passage)

    assert serving(proxy, work).endswith(b"echo hello\n")
    assert heads == [
        b"CONNECT pypi.example:443 HTTP/1.1\r\nHost: pypi.example:443\r\n"
        b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
    ]


def test_a_host_that_cannot_be_reached_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        answer = connect(f"localhost:{unused.getsockname()[1]}", tmp_path, Passage({}))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"cannot pass it on: " in answer


def test_a_proxy_of_another_kind_is_named() -> None:
    with pytest.raises(NoPassageError, match="socks5 proxies are not spoken here"):
        asyncio.run(Passage({"ALL_PROXY": "socks5://127.0.0.1:1080"}).open("pypi.example", 443))


def test_names_are_compared_in_one_spelling() -> None:
    assert [canonical(name) for name in ("Example.COM.", "127.1", "::FFFF:127.0.0.1", "a-1.example")] == [
        "example.com",
        "127.0.0.1",
        "127.0.0.1",
        "a-1.example",
    ]


def test_the_bundle_trusts_what_this_machine_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "company.pem"
    own.write_text("a company's certificate\n", "utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    authority = CertificateAuthority(tmp_path / "ca")
    assert authority.bundle_path.read_bytes().startswith(own.read_bytes())
    assert authority.bundle_path.read_bytes().endswith(authority.certificate_path.read_bytes())
    # As in a shell that leads to the emulator.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle_path))
    again = CertificateAuthority(tmp_path / "ca")
    assert again.bundle_path.read_bytes().count(authority.certificate_path.read_bytes()) == 1
