"""Identity-Aware Proxy, as far as it leads TCP connections to virtual machines (https://cloud.google.com/iap/docs/using-tcp-forwarding).

A session outlives the WebSocket that it came by: who lost that goes on with another. What is said on it is taken from clients that Google Cloud answers:
gcloud (googlecloudsdk/api_lib/compute/iap_tunnel_websocket.py, iap_tunnel_websocket_utils.py and iap_tunnel_websocket_helper.py of the Google Cloud CLI
528.0.0) and IAP Desktop (https://github.com/GoogleCloudPlatform/iap-desktop, SshRelayFormat.cs; it has the names of the codes). What neither tells is
marked as assumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.routes import Route
from gcp_emulator.engine.service import Service
from gcp_emulator.engine.validate import is_number
from gcp_emulator.front import websocket
from gcp_emulator.front.messages import Request, Response
from gcp_emulator.front.tasks import Tasks
from gcp_emulator.front.ways import Connection
from gcp_emulator.services.compute.ports import MachinePorts, Networks

_HOST = "tunnel.cloudproxy.app"
_PROTOCOL = "relay.tunnel.cloudproxy.app"
#: An address of those that connections come from, 35.235.240.0/20.
_SOURCE = "35.235.240.1"
_PERMISSION = "iap.tunnelInstances.accessViaIAP"

# What a message begins with, in two bytes.
_CONNECTED, _RECONNECTED, _DATA, _ACK = 1, 2, 4, 7
_MAX_DATA = 16384
#: So much is received without telling the other side: twice the longest piece, as gcloud does.
_ACK_AFTER = 2 * _MAX_DATA
#: So much is sent ahead of what the other side has confirmed. Assumed.
_WINDOW = 2**20
#: So many seconds a session waits for another WebSocket. Assumed.
_PATIENCE = 60
#: So many seconds a client has to close a connection whose end it was told.
_CLOSING_SECONDS = 5


class _EndError(Exception):
    """Why a WebSocket is closed, by a code and words."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


# The words are those that users of gcloud report: "4003: 'failed to connect to backend'" and "4047: 'Failed to lookup instance'"
# (https://github.com/hashicorp/packer-plugin-googlecompute/issues/195), "4033: 'not authorized'"; of the others they are assumed.
_SID_UNKNOWN = (4001, "session unknown")
_NO_BACKEND = (4003, "failed to connect to backend")
_BAD_ACK = (4005, "bad ack")
_WRITE_FAILED = (4009, "destination write failed")
_READ_FAILED = (4010, "destination read failed")
_INVALID_OPCODE = (4007, "invalid websocket opcode")
_INVALID_TAG = (4008, "invalid tag")
_NOT_AUTHORIZED = (4033, "not authorized")
_LOOKUP_FAILED = (4047, "Failed to lookup instance")


class _Session:
    """A connection to a machine, what was said on it, and who may go on with it."""

    def __init__(self, identity: Identity, connection: Connection) -> None:
        self.sid = secrets.token_urlsafe(24)
        self.identity = identity
        self.reader, self.writer = connection
        #: What the client has sent, in bytes.
        self.received = 0
        self.acknowledged = 0
        #: What the client has confirmed, in bytes, and what was sent it beyond that.
        self.confirmed = 0
        self.unconfirmed = bytearray()
        self.has_room = asyncio.Event()
        self.has_room.set()
        #: What speaks with the client now.
        self.relay: _Relay | None = None
        #: What ends it when nobody goes on with it.
        self.end: asyncio.TimerHandle | None = None

    def confirm(self, total: int) -> None:
        """Takes what the client says that it has; _EndError where it cannot have that."""
        count = total - self.confirmed
        if not 0 <= count <= len(self.unconfirmed):
            raise _EndError(*_BAD_ACK)
        del self.unconfirmed[:count]
        self.confirmed = total
        self._look_for_room()

    def sent(self, data: bytes) -> None:
        """Keeps what is sent until it is confirmed."""
        self.unconfirmed += data
        self._look_for_room()

    def _look_for_room(self) -> None:
        if len(self.unconfirmed) < _WINDOW:
            self.has_room.set()
        else:
            self.has_room.clear()


class _Relay:
    """One WebSocket of a session."""

    def __init__(self, session: _Session) -> None:
        self._session = session
        #: Frames for the client; None ends the connection.
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=8)
        self._tasks = Tasks()
        #: Whether nobody can go on with the session.
        self.is_over = False

    async def frames(self, received: AsyncIterator[bytes], first: bytes) -> AsyncGenerator[bytes, None]:
        """What the client is sent, while what it sends is passed on."""
        try:
            yield websocket.frame(websocket.BINARY, first)
            again = bytes(self._session.unconfirmed)
            for start in range(0, len(again), _MAX_DATA):
                yield _data(again[start : start + _MAX_DATA])
            self._tasks.start(self._take(received))
            self._tasks.start(self._give())
            while (frame := await self._frames.get()) is not None:
                yield frame
        finally:
            await self._tasks.stop()

    async def stop(self) -> None:
        """Ends this WebSocket, not the session: another takes its place. Nothing is read of the machine any more when this returns."""
        await self._tasks.stop()
        while not self._frames.empty():
            self._frames.get_nowait()
        self._frames.put_nowait(None)

    async def _over(self, code: int, reason: str = "") -> None:
        """Tells the client that this is the end of the session; the connection is the client's to close."""
        if not self.is_over:
            self.is_over = True
            await self._frames.put(websocket.closing(code, reason))
            self._tasks.start(self._hang_up())

    async def _hang_up(self) -> None:
        await asyncio.sleep(_CLOSING_SECONDS)
        await self._frames.put(None)

    async def _take(self, received: AsyncIterator[bytes]) -> None:
        """Passes on what the client sends, until it leaves: without a CLOSE the session is left to whoever goes on with it."""
        with contextlib.suppress(OSError):
            try:
                async for kind, content in websocket.messages(received):
                    if kind == websocket.CLOSE:
                        await self._over(websocket.NORMAL)
                        break
                    if not self.is_over:
                        await self._take_one(kind, content)
            except websocket.SocketError as error:
                await self._over(error.code, str(error))
                # A connection that is closed with something unread is reset, and what it was closed with is lost.
                async for _ in received:
                    pass
        await self._frames.put(None)

    async def _take_one(self, kind: int, content: bytes) -> None:
        try:
            if kind == websocket.PING:
                await self._frames.put(websocket.frame(websocket.PONG, content))
            elif kind == websocket.BINARY:
                await self._take_message(content)
            elif kind != websocket.PONG:
                raise _EndError(*_INVALID_OPCODE)
        except _EndError as end:
            await self._over(end.code, end.reason)

    async def _take_message(self, content: bytes) -> None:
        session, tag = self._session, int.from_bytes(content[:2])
        if tag == _ACK and len(content) >= 10:
            session.confirm(int.from_bytes(content[2:10]))
            return
        data = content[6 : 6 + int.from_bytes(content[2:6])]
        if tag != _DATA or not 0 < len(data) <= _MAX_DATA:
            raise _EndError(*_INVALID_TAG)
        session.writer.write(data)
        session.received += len(data)
        try:
            await session.writer.drain()
        except OSError:
            raise _EndError(*_WRITE_FAILED) from None
        if session.received - session.acknowledged > _ACK_AFTER:
            session.acknowledged = session.received
            content = _ACK.to_bytes(2) + session.received.to_bytes(8)
            await self._frames.put(websocket.frame(websocket.BINARY, content))

    async def _give(self) -> None:
        """Passes on what the machine sends. That its end is a normal one is assumed."""
        session = self._session
        while True:
            await session.has_room.wait()
            try:
                data = await session.reader.read(_MAX_DATA)
            except OSError:
                return await self._over(*_READ_FAILED)
            if not data:
                return await self._over(websocket.NORMAL)
            session.sent(data)
            await self._frames.put(_data(data))


class IdentityAwareProxy(Service):
    """Has no discovery document here: of its API nothing is emulated."""

    api = "iap"
    versions = ()

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._networks = context.ports.find(Networks)
        self._machine_ports = context.ports.find(MachinePorts)
        self._sessions: dict[str, _Session] = {}

    def routes(self) -> Iterable[Route]:
        return (
            Route(_HOST, "/v4/connect", serve=self.connect, method="iap.tunnel.connect"),
            Route(_HOST, "/v4/reconnect", serve=self.reconnect, method="iap.tunnel.reconnect"),
        )

    async def stop(self) -> None:
        for session in list(self._sessions.values()):
            self._end(session)

    async def connect(self, request: Request) -> Response:
        """Opens a session."""
        identity = self.context.tokens.authenticate(request.headers.get("authorization"))
        return websocket.opened(request, _PROTOCOL, self._connected(request, identity))

    async def reconnect(self, request: Request) -> Response:
        """Goes on with a session, whose client has received so many bytes (``ack``)."""
        identity = self.context.tokens.authenticate(request.headers.get("authorization"))
        return websocket.opened(request, _PROTOCOL, self._reconnected(request, identity))

    async def _connected(self, request: Request, identity: Identity) -> AsyncGenerator[bytes, None]:
        try:
            session = await self._open(dict(request.query_pairs), identity)
        except _EndError as end:
            yield websocket.closing(end.code, end.reason)
            await _left(request)
            return
        self._sessions[session.sid] = session
        sid = session.sid.encode()
        async with contextlib.aclosing(
            self._frames(session, request, _CONNECTED.to_bytes(2) + len(sid).to_bytes(4) + sid)
        ) as frames:
            async for frame in frames:
                yield frame

    async def _reconnected(self, request: Request, identity: Identity) -> AsyncGenerator[bytes, None]:
        query = dict(request.query_pairs)
        session, ack = self._sessions.get(query.get("sid", "")), query.get("ack", "")
        if session is None or session.identity != identity:
            yield websocket.closing(*_SID_UNKNOWN)
            await _left(request)
            return
        # The client has given the WebSocket before up, whether that is known here or not: that it is not told 4002 ("in use") is assumed.
        if session.relay is not None:
            await session.relay.stop()
        try:
            session.confirm(int(ack) if is_number(ack) else -1)
        except _EndError as end:
            self._end(session)
            yield websocket.closing(end.code, end.reason)
            await _left(request)
            return
        session.acknowledged = session.received
        async with contextlib.aclosing(
            self._frames(session, request, _RECONNECTED.to_bytes(2) + session.received.to_bytes(8))
        ) as frames:
            async for frame in frames:
                yield frame

    async def _open(self, query: dict[str, str], identity: Identity) -> _Session:
        """A session with a machine; _EndError. Who may not is not told what there is."""
        project = self.context.projects.find(query.get("project", ""))
        zone, name, port = (query.get(key, "") for key in ("zone", "instance", "port"))
        if project is None or not is_number(port) or not 0 < int(port) < 2**16:
            raise _EndError(*_NOT_AUTHORIZED)
        path = f"projects/{project['projectId']}/zones/{zone}/instances/{name}"
        if not self.context.iam.allows(identity, _PERMISSION, path):
            raise _EndError(*_NOT_AUTHORIZED)
        instance = self._networks.find(path)
        # That a machine that is stopped is looked for in vain is assumed.
        if instance is None or instance["status"] != "RUNNING":
            raise _EndError(*_LOOKUP_FAILED)
        try:
            return _Session(identity, await self._machine_ports.connect(path, int(port), source=_SOURCE))
        except OSError:
            raise _EndError(*_NO_BACKEND) from None

    async def _frames(self, session: _Session, request: Request, first: bytes) -> AsyncGenerator[bytes, None]:
        assert request.socket is not None
        relay = session.relay = _Relay(session)
        if session.end is not None:
            session.end.cancel()
        try:
            async with contextlib.aclosing(relay.frames(request.socket, first)) as frames:
                async for frame in frames:
                    yield frame
        finally:
            if relay.is_over:
                self._end(session)
            elif session.relay is relay:
                session.relay = None
                session.end = asyncio.get_running_loop().call_later(_PATIENCE, self._end, session)

    def _end(self, session: _Session) -> None:
        self._sessions.pop(session.sid, None)
        if session.end is not None:
            session.end.cancel()
        session.writer.close()


async def _left(request: Request) -> None:
    """Returns when a client that was told the end has closed the connection, or had time for it."""
    assert request.socket is not None
    with contextlib.suppress(OSError, TimeoutError, websocket.SocketError):
        async with asyncio.timeout(_CLOSING_SECONDS):
            async for kind, _ in websocket.messages(request.socket):
                if kind == websocket.CLOSE:
                    return


def _data(content: bytes) -> bytes:
    return websocket.frame(websocket.BINARY, _DATA.to_bytes(2) + len(content).to_bytes(4) + content)
