"""The one port: an HTTPS CONNECT proxy for clients, an endpoint override for those that ignore proxies, an address for browsers.

* ``CONNECT run.googleapis.com:443`` ends in TLS with the emulator's own certificate, so unmodified clients work. ``CONNECT`` to what is
  not Google's is passed on to the real network, for programs of this machine, not for what runs in the emulator.
* ``CONNECT 198.18.0.2:443``, the address of a machine that the emulator runs, is passed on to it, as is a plain request (`Ways`).
* ``http://HOST:PORT/_/run.googleapis.com/v2/...`` is the same request without a proxy, for programs: not for browsers.
* ``http://NAME.run.app.localhost:PORT/`` is for browsers, which trust ``*.localhost`` as a secure context: the page is
  served as Google's front end would, and its absolute links to Google's hosts are rewritten to this address. The name of a machine's external address
  (``http://2.0.18.198.bc.googleusercontent.com.localhost:PORT/``) leads to that machine.
* ``http://HOST:PORT/_emulator/...`` is about the emulator itself.

``HOST`` is a name that the emulator was given: whoever makes a browser resolve a name of theirs to this address (DNS rebinding) sends that
name. What runs in an instance gets the first of these alone; a virtual machine gets what programs of this machine get of the first two, but for the
hosts of this machine itself. ``docs/decisions/0050-doors-of-the-emulator.md`` tells why.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Collection

from gcp_emulator.front import http2
from gcp_emulator.front.ca import DOMAINS, MACHINES, CertificateAuthority
from gcp_emulator.front.http import Answer, Connect, forward, serve_connection
from gcp_emulator.front.messages import Headers, Request, Response, text_response
from gcp_emulator.front.passage import NoPassageError, Passage, canonical, relay
from gcp_emulator.front.tasks import ConnectionHandler, Connections
from gcp_emulator.front.ways import Connection, NobodyListensError, Ways
from gcp_emulator.front.wire import ProtocolError

log = logging.getLogger(__name__)

LOOPBACK_NAMES = ("127.0.0.1", "localhost")
"""What programs of this machine call it."""
_GOOGLE = re.compile(rf"([\w.-]+\.)?({'|'.join(map(re.escape, DOMAINS))})")
#: Hosts of Google's that answer to each instance differently; an instance asks its own, not through the proxy.
_OWN_OF_AN_INSTANCE = re.compile(r".*\.internal")
_TEXT = re.compile(r"text/(html|css|javascript|plain)|application/(javascript|json|manifest\+json)")
_MACHINE = re.compile(rf"(\d{{1,3}}\.){{4}}{re.escape(MACHINES)}", re.ASCII)
_LINK = re.compile(
    rb"https://((?:[a-z0-9-]+\.)+run\.app|storage\.googleapis\.com|(?:\d{1,3}\.){4}bc\.googleusercontent\.com)(?![\w.-])"
)
#: What a client of Google's shows as its error.
_NO_GRPC = (
    'gcp-emulator does not speak gRPC, so {host} was not asked. Have the client use REST: its argument transport="rest" (Python; of'
    " google.cloud.logging.Client it is _use_grpc=False), or fallback: true (Node.js)."
)
_NOT_GOOGLE = "gcp-emulator answers for Google Cloud only, not for {host}"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
#: As a browser is at the emulator's own address: it checks no certificate, and the machine is the emulator's own.
_UNCHECKED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_UNCHECKED.check_hostname = False
_UNCHECKED.verify_mode = ssl.CERT_NONE
_HANDSHAKE_SECONDS = 20
#: Largest text response that is rewritten for browsers; longer ones pass unchanged.
_MAX_REWRITE = 8 * 1024 * 1024


class Front:
    """Accepts connections and hands every request to ``answer`` (Google hosts) or ``control`` (the emulator itself).

    ``names`` are those of the emulator itself, in lower case, without a port.
    ``passage`` is the way to other hosts for those who connect to the port; without one they are refused. ``ways`` lead to what runs here.
    """

    def __init__(
        self,
        authority: CertificateAuthority,
        answer: Answer,
        control: Answer,
        names: Collection[str],
        passage: Passage | None = None,
        ways: Ways | None = None,
    ) -> None:
        self.authority = authority
        self._answer = answer
        self._control = control
        self._names = names
        self._passage = passage
        self._ways = ways or Ways()
        self._server: asyncio.Server | None = None
        self._connections = Connections(self._serve_quietly)
        self.port = 0

    async def start(self, listener: socket.socket) -> None:
        """Answers those who connect to a listening socket, which it closes in the end."""
        # What is accepted has it, too. asyncio sets it only where a socket says which protocol it has, and a listening one of the standard library
        # does not: the body of an answer that is passed on then waits 40 ms for the client's acknowledgement of the head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = await asyncio.start_server(self._connections.accept, sock=listener, backlog=512)
        self.port = listener.getsockname()[1]

    async def stop(self) -> None:
        """Closes the port and every open connection."""
        if self._server is not None:
            self._server.close()
        await self._connections.stop()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a connection that somebody else accepted (the proxy inside an instance): Google's hosts and nothing else. It too ends
        with this front."""
        await self._connections.start(quietly(self._serve_instance(reader, writer)))

    async def handle_machine(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a connection of a virtual machine's proxy: Google's hosts, what runs here, and other hosts than this machine's own."""
        await self._connections.start(quietly(self._serve_machine(reader, writer)))

    async def _serve_quietly(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await quietly(self._serve(reader, writer))

    async def _serve_instance(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = await serve_connection(reader, writer, self._route_instance, scheme="http")
        if tunnel is None:
            return
        name = canonical(tunnel.host)
        if _is_api(name):
            await self._serve_tunnel(Connect(name, tunnel.port), reader, writer)
        else:
            await _refuse_tunnel(writer, "403 Forbidden", f"{_NOT_GOOGLE.format(host=tunnel.host)}.")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = await serve_connection(reader, writer, self._route, scheme="http")
        if tunnel is None:
            return
        name = canonical(tunnel.host)
        if _GOOGLE.fullmatch(name):
            await self._serve_tunnel(Connect(name, tunnel.port), reader, writer)
            return
        await self._pass_on(tunnel, reader, writer, local=True)

    async def _serve_machine(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = await serve_connection(reader, writer, self._route_instance, scheme="http")
        if tunnel is None:
            return
        name = canonical(tunnel.host)
        if _is_api(name):
            await self._serve_tunnel(Connect(name, tunnel.port), reader, writer)
        else:
            await self._pass_on(tunnel, reader, writer, local=False)

    async def _pass_on(
        self, tunnel: Connect, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, local: bool
    ) -> None:
        """A tunnel to what runs here, or to the real network; ``local`` tells whether this machine's own hosts are reached, too."""
        answer = _NOT_GOOGLE.format(host=tunnel.host)
        try:
            server = await self._way(tunnel.host, tunnel.port)
            if server is None:
                if self._passage is None:
                    await _refuse_tunnel(writer, "403 Forbidden", f"{answer}.")
                    return
                server = await self._passage.open(tunnel.host, tunnel.port, local=local)
        except NoPassageError as error:
            await _refuse_tunnel(writer, "502 Bad Gateway", f"{answer}, and cannot pass it on: {error}.")
            return
        except ConnectionError as error:
            await _refuse_tunnel(writer, "504 Gateway Timeout", f"{error}.")
            return
        writer.write(_ESTABLISHED)
        await relay((reader, writer), server)

    async def _way(self, host: str, port: int) -> Connection | None:
        """A connection to what runs here; None where the host is none of its. ConnectionError, which the log tells as well."""
        way = self._ways.find(canonical(host), port)
        try:
            return None if way is None else await way
        except ConnectionError as error:
            log.warning("%s:%d was not reached: %s", host, port, error)
            raise

    async def _way_of_browser(self, host: str) -> Connection | None:
        """As `_way`, by TLS to port 443, or to port 80 where nothing listens on that."""
        try:
            server = await self._way(host, 443)
        except NobodyListensError as nobody:
            try:
                return await self._way(host, 80)
            except ConnectionError as error:
                raise ConnectionError(f"{nobody}; {error}") from None
        if server is not None:
            _, writer = server
            try:
                await writer.start_tls(
                    _UNCHECKED, server_hostname=host, ssl_handshake_timeout=_HANDSHAKE_SECONDS
                )
            except OSError as error:
                writer.close()
                raise ConnectionError(f"{host} does not speak TLS at port 443 ({error})") from error
        return server

    async def _serve_tunnel(
        self, tunnel: Connect, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(_ESTABLISHED)
        await writer.drain()
        scheme = "http"
        if tunnel.port == 443:
            await writer.start_tls(
                self.authority.context(tunnel.host), ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
            scheme = "https"
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() == http2.PROTOCOL:
                log.warning("gRPC to %s was refused", tunnel.host)
                await http2.refuse_calls(reader, writer, _NO_GRPC.format(host=tunnel.host))
                return
        await serve_connection(reader, writer, self._answer, scheme=scheme, host=tunnel.host)

    async def _route_instance(self, request: Request) -> Response:
        name, _, port = request.host.lower().partition(":")
        if not _is_api(name) or port not in ("", "80"):
            return text_response(f"{_NOT_GOOGLE.format(host=request.host)}.\n", status=403)
        request.host = name
        return await self._answer(request)

    async def _route(self, request: Request) -> Response:
        name, _, port = request.host.lower().partition(":")
        host = name.removesuffix(".localhost")
        if host != name and (_GOOGLE.fullmatch(host) or _MACHINE.fullmatch(host)):
            return await self._answer_browser(request, host)
        if _GOOGLE.fullmatch(name) and port in ("", "80"):
            request.host = name
            return await self._answer(request)
        if name not in self._names:
            if port in ("", "80") and (passed := await self._pass_request(request, name)) is not None:
                return passed
            return text_response(f"This is for {' and '.join(self._names)} only.\n", status=403)
        if request.path.startswith("/_/"):
            return await self._answer_override(request)
        if _from_another_page(request):
            return text_response("No web page may ask for this.\n", status=403)
        return await self._control(request)

    async def _pass_request(
        self, request: Request, host: str, *, from_browser: bool = False
    ) -> Response | None:
        """The answer of what runs here at this address, on port 80, or for a browser with TLS; None where nothing of it does."""
        try:
            server = await (self._way_of_browser(host) if from_browser else self._way(host, 80))
            return None if server is None else await forward(request, *server)
        except ConnectionError as error:
            return text_response(f"{error}.\n", status=504)
        except ProtocolError as error:
            return text_response(f"{host} does not speak HTTP: {error}.\n", status=502)

    async def _answer_machine(self, request: Request) -> Response:
        """The answer of a machine to a browser."""
        passed = await self._pass_request(request, request.host, from_browser=True)
        return passed or text_response(f"No machine has the address of {request.host}.\n", status=404)

    async def _answer_override(self, request: Request) -> Response:
        """The answer of the API that the path begins with. In a browser it would be a page of this address, with what the console's pages
        may do; so no browser is given it, and none that does not say that it is one (Safari, on loopback) runs anything of it."""
        host, _, rest = request.path.removeprefix("/_/").partition("/")
        if "sec-fetch-site" in request.headers:
            address = f"http://{host}.localhost:{self.port}/{rest}"
            return text_response(f"This address is for programs. For browsers it is {address}\n", status=403)
        request.host, request.path, request.scheme = host, "/" + rest, "https"
        response = await self._answer(request)
        response.headers.set("Content-Security-Policy", "sandbox")
        response.headers.set("X-Content-Type-Options", "nosniff")
        return response

    async def _answer_browser(self, request: Request, host: str) -> Response:
        """Plays Google's front end for a browser: https outside, the real host name inside, links rewritten back."""
        suffix = f".localhost:{self.port}"
        request.host, request.scheme, request.from_browser = host, "https", True
        request.headers.set("Host", host)
        request.headers.remove("Accept-Encoding")
        for name in ("Origin", "Referer"):
            value = request.headers.get(name)
            if value:
                request.headers.set(
                    name, re.sub(rf"http://([\w.-]+){re.escape(suffix)}", r"https://\1", value)
                )
        answer = self._answer_machine if _MACHINE.fullmatch(host) else self._answer
        response = await answer(request)
        # Neither the length of a HEAD answer nor a range of bytes survives rewriting.
        if request.method == "HEAD" or response.status == 206:
            return response
        return await _rewrite(response, suffix)


def _is_api(name: str) -> bool:
    return bool(_GOOGLE.fullmatch(name)) and not _OWN_OF_AN_INSTANCE.fullmatch(name)


def _from_another_page(request: Request) -> bool:
    """Whether a page of another origin has a browser ask (https://www.w3.org/TR/fetch-metadata/). Following a link is not that."""
    follows = request.headers.get("sec-fetch-mode") == "navigate" and request.method in ("GET", "HEAD")
    return request.headers.get("sec-fetch-site") in ("cross-site", "same-site") and not follows


async def _refuse_tunnel(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = f"{text}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _rewrite(response: Response, suffix: str) -> Response:
    replacement = rb"http://\1" + suffix.encode()
    headers = Headers()
    for key, value in response.headers.items:
        if key.lower() in ("location", "content-security-policy", "refresh"):
            value = _LINK.sub(replacement, value.encode("latin-1")).decode("latin-1")
        # The browser would upgrade this plain address, which only stands in for https.
        if key.lower() == "content-security-policy":
            value = value.replace("upgrade-insecure-requests", "")
        if key.lower() != "strict-transport-security":
            headers.items.append((key, value))
    body = response.body
    length = int(response.headers.get("content-length") or 0)
    if (
        _TEXT.match(response.headers.get("content-type") or "")
        and length <= _MAX_REWRITE
        and "content-encoding" not in headers
    ):
        if not isinstance(body, bytes):
            body = b"".join([part async for part in body])
        body = _LINK.sub(replacement, body)
        headers.remove("Content-Length")
    return Response(response.status, headers, body)


async def quietly(work: Awaitable[None]) -> None:
    """Awaits what serves a connection, whatever the peer did meanwhile."""
    try:
        await work
    except (OSError, asyncio.IncompleteReadError) as error:
        log.debug("connection ended: %s", error)


def http_handler(answer: Answer) -> ConnectionHandler:
    """A connection handler that answers plain HTTP with ``answer`` (the metadata server of an instance)."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def work() -> None:
            if await serve_connection(reader, writer, answer, scheme="http") is not None:
                raise ConnectionResetError("no tunnels here")

        await quietly(work())

    return handle


def not_found(request: Request) -> Response:
    """The control plane's answer to an unknown path."""
    return text_response(f"gcp-emulator: nothing at {request.path}\n", status=404)
