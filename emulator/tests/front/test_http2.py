"""HTTP/2, which is spoken only to say no; and only with who speaks nothing else."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from gcp_emulator.front.ca import CertificateAuthority
from gcp_emulator.front.http2 import refuse_calls

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, SETTINGS_ACK = b"\0\0\0\x04\0\0\0\0\0", b"\0\0\0\x04\x01\0\0\0\0"
#: A call on streams 1 and 3: its headers are not looked at.
CALLS = b"\0\0\x01\x01\x04\0\0\0\x01\x82" + b"\0\0\x01\x01\x05\0\0\0\x03\x82"
GOAWAY = b"\0\0\x08\x07\0\0\0\0\0" + bytes(8)


def said(sent: bytes, message: str = "no") -> bytes:
    """What a client is told that sends this and leaves."""

    async def run() -> bytes:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await refuse_calls(reader, writer, message)
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(sent)
            received = await asyncio.wait_for(reader.read(), 10)
            writer.close()
        return received

    return asyncio.run(run())


def test_every_call_ends_with_a_status_and_the_sentence() -> None:
    fields = b"\x88" + b"".join(
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in (
            (b"content-type", b"application/grpc"),
            (b"grpc-status", b"12"),
            (b"grpc-message", b"no, 100%25"),
        )
    )
    length = len(fields).to_bytes(3)
    first, second = (length + b"\x01\x05" + stream.to_bytes(4) + fields for stream in (1, 3))
    assert said(PREFACE + SETTINGS + CALLS + GOAWAY, "no, 100%") == SETTINGS + SETTINGS_ACK + first + second


@pytest.mark.parametrize("length", [126, 127, 254, 255, 400])
def test_a_long_sentence_is_told_whole(length: int) -> None:
    (told,) = said(PREFACE + CALLS[:10] + GOAWAY, "x" * length).split(SETTINGS, 1)[1:]
    rest, size = told.partition(b"grpc-message")[2], length
    if size < 127:
        assert rest == bytes([size]) + b"x" * length
    else:
        more = size - 127
        coded = bytes([more]) if more < 128 else bytes([more % 128 | 128, more // 128])
        assert rest == b"\x7f" + coded + b"x" * length


def test_what_a_call_sends_is_taken_and_pings_are_answered() -> None:
    data, ping = b"\0\0\x03\0\0\0\0\0\x01abc", b"\0\0\x08\x06\0\0\0\0\x0012345678"
    taken, pong = b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x03", b"\0\0\x08\x06\x01\0\0\0\x0012345678"
    assert said(PREFACE + data + ping + GOAWAY) == SETTINGS + taken + pong


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], "h2"), (["http/1.1"], "http/1.1")]
)
def test_only_who_speaks_nothing_else_gets_http2(offered: list[str], chosen: str, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path / "ca")
    context = ssl.create_default_context(cafile=str(authority.certificate_path))
    context.set_alpn_protocols(offered)

    async def run() -> str | None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=authority.context("run.app"))
        async with server:
            address = server.sockets[0].getsockname()
            _, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="run.app")
            selected: str | None = writer.get_extra_info("ssl_object").selected_alpn_protocol()
            writer.close()
        return selected

    assert asyncio.run(run()) == chosen
