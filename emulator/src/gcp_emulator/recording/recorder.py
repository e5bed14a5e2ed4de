"""``gcp-emulator record``: a proxy between a command and Google Cloud that keeps what both say to each other.

Clients trust it as they trust the emulator: by a certificate of its own, for as long as the command runs. It passes on to where the request
was going, through the proxy of ``HTTPS_PROXY`` where there is one.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gcp_emulator.front.ca import CertificateAuthority
from gcp_emulator.front.http import forward
from gcp_emulator.front.messages import Request, Response, in_one_piece, text_response
from gcp_emulator.front.server import LOOPBACK_NAMES, Front, not_found
from gcp_emulator.recording.clean import Cleaner
from gcp_emulator.recording.form import Conversation, Exchange, decoded

_CONNECT_SECONDS = 30


class Recorder:
    """The proxy. What it keeps in memory is cleaned before anybody sees it.

    Args:
        folder: an empty folder for the certificate.
        cleaner: says what is recorded, and makes it fit to be shown.
        upstream: the address of the proxy that leads to Google, ``http://HOST:PORT``; None for none.
    """

    def __init__(self, folder: Path, cleaner: Cleaner, upstream: str | None) -> None:
        self._authority = CertificateAuthority(folder)
        self._cleaner = cleaner
        self._upstream = upstream
        self._front = Front(self._authority, self._answer, self._refuse, LOOPBACK_NAMES)
        self._exchanges: list[Exchange] = []

    @property
    def bundle(self) -> Path:
        """The certificates that its clients have to trust."""
        return self._authority.bundle_path

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return self._front.port

    async def start(self) -> None:
        """Listens."""
        await self._front.start(socket.create_server(("127.0.0.1", 0)))

    async def stop(self) -> None:
        """Closes everything."""
        await self._front.stop()

    def conversation(self, source: str) -> Conversation:
        """What was said so far, without what is somebody's own."""
        for exchange in self._exchanges:
            self._cleaner.learn(exchange)
        return Conversation("", source, [self._cleaner.clean(exchange) for exchange in self._exchanges])

    async def _refuse(self, request: Request) -> Response:
        return not_found(request)

    async def _answer(self, request: Request) -> Response:
        url = f"{request.scheme}://{request.host}{request.target}"
        if not self._cleaner.is_recorded(url):
            return await self._pass_on(request)
        # What is compressed could not be read.
        request.headers.remove("Accept-Encoding")
        sent = await request.read()
        request.body = in_one_piece(sent)
        request.headers.remove("Transfer-Encoding")
        if sent:
            request.headers.set("Content-Length", str(len(sent)))
        response = await self._pass_on(request)
        if not isinstance(response.body, bytes):
            response.body = b"".join([part async for part in response.body])
        self._exchanges.append(
            Exchange(request.method, url, response.status, decoded(sent), decoded(response.body))
        )
        return response

    async def _pass_on(self, request: Request) -> Response:
        host, _, port = request.host.partition(":")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await self._connect(host, int(port or 443))
        except (OSError, ssl.SSLError, TimeoutError) as error:
            return text_response(f"gcp-emulator record: cannot reach {host}: {error}\n", status=502)
        return await forward(request, reader, writer)

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context()
        if self._upstream is None:
            return await asyncio.open_connection(host, port, ssl=context)
        proxy = urlsplit(self._upstream)
        reader, writer = await asyncio.open_connection(proxy.hostname, proxy.port or 80)
        login = ""
        if proxy.username is not None:
            words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            login = f"Proxy-Authorization: Basic {base64.b64encode(words.encode()).decode()}\r\n"
        writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n".encode())
        await writer.drain()
        status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
        if status != b"200":
            writer.close()
            raise ConnectionRefusedError(f"the proxy {proxy.hostname} answered {status.decode()}")
        await writer.start_tls(context, server_hostname=host)
        return reader, writer
