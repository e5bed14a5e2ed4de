"""The port itself."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from gcp_emulator.front.ca import CertificateAuthority
from gcp_emulator.front.messages import Request, Response, text_response
from gcp_emulator.front.server import LOOPBACK_NAMES, Front


async def _answer(request: Request) -> Response:
    return text_response("the emulator\n")


def test_no_part_of_an_answer_waits_for_the_client(tmp_path: Path) -> None:
    """Linux gives what is accepted the option of the socket that accepts."""

    async def run() -> tuple[int, int]:
        front = Front(CertificateAuthority(tmp_path), _answer, _answer, LOOPBACK_NAMES)
        listener = socket.create_server(("127.0.0.1", 0))
        await front.start(listener)
        try:
            return listener.proto, listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            await front.stop()

    protocol, is_sent_at_once = asyncio.run(run())
    assert protocol == 0, "asyncio would set it by itself"
    assert is_sent_at_once
