# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""A TCP connection to a virtual machine through Identity-Aware Proxy, without gcloud: what OpenSSH runs as its ProxyCommand.

Bytes go in frames over a WebSocket. Each side tells how many it has received, so that a connection that breaks goes on with another one
and nothing is lost. Source of every wire fact: gcloud, which has googlecloudsdk/api_lib/compute/iap_tunnel_websocket.py,
iap_tunnel_websocket_utils.py and iap_tunnel_websocket_helper.py (528.0.0); the names of the codes: SshRelayFormat.cs of
https://github.com/GoogleCloudPlatform/iap-desktop; WebSocket: RFC 6455.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import dataclasses
import hashlib
import http.client
import secrets
import signal
import socket
import sys
import typing as t
import urllib.parse

from ansible_collections.org.djangogcp.plugins.module_utils._argspec import auth_of_environment
from ansible_collections.org.djangogcp.plugins.module_utils._auth import (
    AuthOptions,
    Token,
    TokenSource,
    default_cache_dir,
    missing_libraries,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import (
    HAS_REQUESTS,
    USER_AGENT,
    connection_through,
    new_session,
    tls_context,
)
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Clock, Deadline, delays

_HOST = "tunnel.cloudproxy.app"
_PROTOCOL = "relay.tunnel.cloudproxy.app"
_KEY_OF_ALL_SERVERS = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# What a message begins with, in two bytes.
_CONNECTED, _RECONNECTED, _DATA, _ACK, _LONG_CLOSE = 1, 2, 4, 7, 10
_MAX_DATA = 16384
# So much is received without telling the other side, as gcloud does.
_ACK_AFTER = 2 * _MAX_DATA
_CONTINUATION, _BINARY, _CLOSE, _PING, _PONG = 0, 2, 8, 9, 10
# A frame is at most one message, and a message at most one piece of data with its head; more is not taken into memory.
_MAX_FRAME = 2**20
# After these the machine has nothing more to say: NORMAL, DESTINATION_WRITE_FAILED, DESTINATION_READ_FAILED.
_ENDS = (1000, 4009, 4010)
# REAUTHENTICATION_REQUIRED: the session goes on with a new token.
_REAUTHENTICATE = 4004
_CONNECT_SECONDS = 20
# For so long a broken connection is tried to go on with.
_RECONNECT_SECONDS = 120.0
# So long without a word from the machine ends a connection whose own side has said all.
_LAST_WORD_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Target:
    """A port of a virtual machine."""

    project: str
    zone: str
    instance: str
    port: int = 22
    interface: str = "nic0"

    def __str__(self) -> str:
        return f"port {self.port} of instance {self.instance} ({self.zone}, {self.project})"


class TunnelError(DjangoGcpError):
    """There is no way to the machine; the text says why, and what to do."""


class _BrokenError(Exception):
    """The connection broke, and may be gone on with."""


class _ClosedError(Exception):
    """The other side closed the connection, and said why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code


class _RefusedError(Exception):
    """The other side does not speak WebSocket with us: the status of HTTP that it answered instead."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class _WebSocket:
    """The messages of an open WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, path: str, token: Token) -> _WebSocket:
        """Connect, through the proxy that the environment names. OSError, _RefusedError."""
        plain = await asyncio.to_thread(_connected)
        reader, writer = await asyncio.open_connection(
            sock=plain, ssl=tls_context(), server_hostname=_HOST, ssl_handshake_timeout=_CONNECT_SECONDS
        )
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        fields = {
            "Host": _HOST,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Protocol": _PROTOCOL,
            "Origin": "bot:iap-tunneler",
            "User-Agent": USER_AGENT,
            "Authorization": f"Bearer {token.value}",
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            writer.close()
            raise ConnectionResetError("the connection to it broke before its answer") from error
        status = head.split(" ", 2)[1:2]
        if status != ["101"]:
            writer.close()
            raise _RefusedError(int(status[0]) if status and status[0].isdigit() else 0)
        accepted = base64.b64encode(
            hashlib.sha1((key + _KEY_OF_ALL_SERVERS).encode(), usedforsecurity=False).digest()
        ).decode()
        if accepted not in head:
            writer.close()
            raise ConnectionResetError("the connection to it broke: its answer opens no WebSocket")
        return cls(reader, writer)

    def write(self, content: bytes, kind: int = _BINARY) -> None:
        """Send a message, masked as a client's is; `drain` waits until there is room for more."""
        size = len(content)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 2**16:
            length = b"\xfe" + size.to_bytes(2, "big")
        else:
            length = b"\xff" + size.to_bytes(8, "big")
        mask = secrets.token_bytes(4)
        whole = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(content, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
        self._writer.write(bytes([0x80 | kind]) + length + mask + masked)

    async def drain(self) -> None:
        """Wait until there is room. OSError."""
        await self._writer.drain()

    async def read(self) -> bytes:
        """The next message. _ClosedError, _BrokenError."""
        parts = b""
        while True:
            try:
                first, short = await self._reader.readexactly(2)
                extended = {126: 2, 127: 8}.get(short & 0x7F, 0)
                size = (
                    int.from_bytes(await self._reader.readexactly(extended), "big")
                    if extended
                    else short & 0x7F
                )
                if short & 0x80 or size > _MAX_FRAME or len(parts) > _MAX_FRAME:
                    raise _BrokenError("the connection to it broke: it sent what is no frame")
                content = await self._reader.readexactly(size)
            except (OSError, asyncio.IncompleteReadError) as error:
                raise _BrokenError("the connection to it broke") from error
            kind = first & 0x0F
            if kind == _CLOSE:
                raise _ClosedError(int.from_bytes(content[:2], "big"), content[2:].decode("utf-8", "replace"))
            if kind == _PING:
                self.write(content, _PONG)
            elif kind in (_BINARY, _CONTINUATION):
                parts += content
                if first & 0x80:
                    return parts

    def close(self, *, politely: bool) -> None:
        """End the connection; politely, so that the other side forgets the session, or so that it can be gone on with."""
        if politely:
            self.write((1000).to_bytes(2, "big"), _CLOSE)
            self._writer.close()
        else:
            self._writer.transport.abort()


def _connected() -> socket.socket:
    connection = connection_through(http.client.HTTPConnection, _HOST, 443, timeout=_CONNECT_SECONDS)
    connection.connect()
    connection.sock.setblocking(False)
    return t.cast(socket.socket, connection.sock)


class Tunnel:
    """What is said between this side and a port of a machine, over as many connections as it takes.

    Args:
        target: the port.
        tokens: what authenticates who connects.
        clock: where the time comes from.
    """

    def __init__(self, target: Target, tokens: TokenSource, clock: Clock | None = None) -> None:
        self._target = target
        self._tokens = tokens
        self._clock = clock or Clock()
        self._sid = ""
        self._received = 0
        self._acknowledged = 0
        self._confirmed = 0
        #: What was sent and is not confirmed.
        self._unconfirmed: collections.deque[bytes] = collections.deque()
        self._said_all = False

    async def run(self, heard: asyncio.StreamReader, say: asyncio.StreamWriter) -> None:
        """Pass on what is heard here, and say what the machine sends, until the machine has said all, or this side has and the machine is silent.

        Raises:
            TunnelError: there is no way to the machine, or it was lost on the way.
            AuthError: no usable credentials.
        """
        websocket = await self._connect()
        while True:
            try:
                await self._relay(websocket, heard, say)
            except _BrokenError as error:
                websocket.close(politely=False)
                websocket = await self._reconnect(error)
            except BaseException:
                websocket.close(politely=True)
                raise
            else:
                websocket.close(politely=True)
                return

    async def _relay(
        self, websocket: _WebSocket, heard: asyncio.StreamReader, say: asyncio.StreamWriter
    ) -> None:
        """Both directions of one connection. _BrokenError, TunnelError."""
        down = asyncio.create_task(self._down(websocket, say))
        up = asyncio.create_task(self._up(websocket, heard))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            # What the machine says last matters also where nothing can be sent any more.
            while not down.done():
                before = self._received
                await asyncio.wait({down}, timeout=_LAST_WORD_SECONDS)
                if before == self._received and not down.done():
                    break
            if down.done():
                await down
            elif not self._said_all:
                raise _BrokenError("the connection to it broke: nothing can be sent any more")
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _up(self, websocket: _WebSocket, heard: asyncio.StreamReader) -> None:
        try:
            for data in list(self._unconfirmed):
                websocket.write(_data(data))
                await websocket.drain()
            while not self._said_all:
                data = await heard.read(_MAX_DATA)
                if not data:
                    self._said_all = True
                    return
                self._unconfirmed.append(data)
                websocket.write(_data(data))
                await websocket.drain()
        except OSError:
            # What reads learns more of it.
            return

    async def _down(self, websocket: _WebSocket, say: asyncio.StreamWriter) -> None:
        while True:
            try:
                message = await websocket.read()
            except _ClosedError as error:
                if error.code in _ENDS:
                    return
                if error.code == _REAUTHENTICATE:
                    raise _BrokenError("the connection to it broke: it asks for a new token") from error
                raise self._refusal(error) from error
            tag = int.from_bytes(message[:2], "big")
            if tag == _ACK:
                self._confirm(int.from_bytes(message[2:10], "big"))
            elif tag == _LONG_CLOSE:
                code = int.from_bytes(message[2:6], "big")
                raise self._refusal(_ClosedError(code, message[10:].decode("utf-8", "replace")))
            elif tag == _DATA:
                data = message[6 : 6 + int.from_bytes(message[2:6], "big")]
                # Said and counted at once: what breaks off between them would be said twice, or never.
                say.write(data)
                self._received += len(data)
                await say.drain()
                if self._received - self._acknowledged > _ACK_AFTER:
                    self._acknowledged = self._received
                    websocket.write(_ACK.to_bytes(2, "big") + self._received.to_bytes(8, "big"))

    def _confirm(self, total: int) -> None:
        """Forget what the other side says that it has."""
        while self._confirmed < total and self._unconfirmed:
            first = self._unconfirmed.popleft()
            count = total - self._confirmed
            if count < len(first):
                self._unconfirmed.appendleft(first[count:])
            self._confirmed += min(count, len(first))
        if self._confirmed != total:
            raise TunnelError(
                f"Failed to go on with the tunnel to {self._target}: Identity-Aware Proxy confirms {total} bytes, {self._confirmed} were sent. "
                "Connect again."
            )

    async def _connect(self) -> _WebSocket:
        target = self._target
        query = {
            "project": target.project,
            "port": target.port,
            "newWebsocket": True,
            "zone": target.zone,
            "instance": target.instance,
            "interface": target.interface,
        }
        try:
            websocket, message = await self._opened(f"/v4/connect?{urllib.parse.urlencode(query)}")
        except (_BrokenError, OSError) as error:
            raise TunnelError(
                f"Failed to open a tunnel to {target}: cannot reach {_HOST} ({_words(error)}). Check the network, HTTPS_PROXY and the CA variables "
                "(REQUESTS_CA_BUNDLE)."
            ) from error
        self._sid = message[6 : 6 + int.from_bytes(message[2:6], "big")].decode("latin-1")
        return websocket

    async def _reconnect(self, why: Exception) -> _WebSocket:
        query = {"sid": self._sid, "newWebsocket": True, "zone": self._target.zone}
        deadline = Deadline(_RECONNECT_SECONDS, self._clock)
        error = why
        for delay in delays(first=0.2, factor=2, longest=8):
            try:
                path = f"/v4/reconnect?{urllib.parse.urlencode({**query, 'ack': self._received})}"
                websocket, message = await self._opened(path)
            except (_BrokenError, OSError) as broken:
                error = broken
            else:
                self._acknowledged = self._received
                self._confirm(int.from_bytes(message[2:10], "big"))
                return websocket
            if deadline.remaining <= 0:
                break
            await asyncio.sleep(min(delay, deadline.remaining))
        raise TunnelError(
            f"Lost the tunnel to {self._target}: it broke, and could not be gone on with for {_RECONNECT_SECONDS:.0f} seconds ({_words(error)}). "
            "Check the network, and connect again."
        )

    async def _opened(self, path: str) -> tuple[_WebSocket, bytes]:
        """A connection and the message that it begins with. OSError, _BrokenError, TunnelError, AuthError."""
        token = await asyncio.to_thread(self._tokens.token)
        try:
            websocket = await _WebSocket.open(path, token)
        except _RefusedError as refused:
            if refused.status != 401:
                raise self._refusal(refused) from refused
            # The token of the run may have been revoked.
            token = await asyncio.to_thread(self._tokens.token, rejected=token)
            try:
                websocket = await _WebSocket.open(path, token)
            except _RefusedError as again:
                raise self._refusal(again) from again
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                message = await websocket.read()
        except _ClosedError as error:
            raise self._refusal(error) from error
        if int.from_bytes(message[:2], "big") not in (_CONNECTED, _RECONNECTED):
            raise _BrokenError("the connection to it broke: it began with no session")
        return websocket, message

    def _refusal(self, error: _ClosedError | _RefusedError) -> TunnelError:
        target, code = self._target, getattr(error, "code", 0)
        if getattr(error, "status", 0) == 401:
            why = (
                "the credentials are not accepted, or have expired. Run 'gcloud auth application-default login', or check "
                "GOOGLE_APPLICATION_CREDENTIALS."
            )
        elif code == 4033:
            why = (
                f"Identity-Aware Proxy refuses it ({error}). Grant roles/iap.tunnelResourceAccessor to who connects, on project {target.project}, and "
                "check the names of project, zone and instance."
            )
        elif code == 4003:
            why = (
                f"Identity-Aware Proxy does not reach it ({error}). See that a firewall rule of its network allows tcp:{target.port} from "
                "35.235.240.0/20, and that something listens there."
            )
        elif code in (4047, 4051):
            why = (
                f"Identity-Aware Proxy finds no such instance that runs ({error}). Check its name and zone, and start it; one that has just been made "
                "is found after a minute."
            )
        elif code == 4001:
            why = f"it broke, and Identity-Aware Proxy does not know it any more ({error}). Connect again."
        else:
            why = f"Identity-Aware Proxy answered {error}. Connect again, and see https://cloud.google.com/iap/docs/faq if that stays so."
        return TunnelError(f"Failed to open a tunnel to {target}: {why}")


def _data(data: bytes) -> bytes:
    return _DATA.to_bytes(2, "big") + len(data).to_bytes(4, "big") + data


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


async def _pass_on(tunnel: Tunnel) -> None:
    """Run a tunnel between standard input and output."""
    loop = asyncio.get_running_loop()
    task = t.cast("asyncio.Task[None]", asyncio.current_task())
    # ssh sends SIGHUP as it ends.
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    heard, unheard = asyncio.StreamReader(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(heard), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(unheard), sys.stdout.buffer
    )
    say = asyncio.StreamWriter(transport, protocol, None, loop)
    await tunnel.run(heard, say)
    # What was said is on its way only when this has ended.
    say.close()
    await say.wait_closed()


def main(arguments: list[str]) -> int:
    """Open a tunnel between standard input and output; returns the exit status. Credentials are those of the modules, from the environment alone."""
    parser = argparse.ArgumentParser(
        prog="iap_proxy_command",
        description="A ProxyCommand of OpenSSH: through Identity-Aware Proxy to a virtual machine.",
    )
    for name in ("project", "zone", "instance"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, default=Target.port)
    parser.add_argument("--interface", default=Target.interface)
    parser.add_argument("--impersonate-service-account", metavar="EMAIL", help="act as this service account")
    options = vars(parser.parse_args(arguments))
    impersonated = options.pop("impersonate_service_account")
    if not HAS_REQUESTS:
        sys.stderr.write(f"{missing_libraries()}\n")
        return 1
    params = auth_of_environment() | ({"impersonate_service_account": impersonated} if impersonated else {})
    tokens = TokenSource(AuthOptions.from_params(params), new_session(), default_cache_dir())
    try:
        asyncio.run(_pass_on(Tunnel(Target(**options), tokens)))
    except DjangoGcpError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    except (OSError, asyncio.CancelledError):  # who ran this is gone, or wants it to be
        return 1
    return 0
