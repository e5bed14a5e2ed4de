"""Tunnels to machines: who gets one, what is said on it, and how a session goes on after its WebSocket broke. The client is bytes written here."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from gcp_emulator.services.iap.api import IdentityAwareProxy

from emulator.tests.front.test_websocket import sent
from emulator.tests.running import OWNER, PROJECT, RunningEmulator
from emulator.tests.services.compute.conftest import ZONE, Caller

PROTOCOL = "relay.tunnel.cloudproxy.app"
TARGET = {
    "project": PROJECT,
    "zone": "us-central1-a",
    "instance": "web",
    "interface": "nic0",
    "port": "22",
    "newWebsocket": "True",
}
GUEST = "user:guest@example.com"
CONNECTED, RECONNECTED, DATA, ACK = 1, 2, 4, 7
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10


class Machine:
    """What a machine of the test does: it says so much at first, and then what it hears, turned to capitals. What it has heard is kept."""

    def __init__(self) -> None:
        self.greeting = b""
        self.heard = b""
        self.hangs_up = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.greeting)
        with contextlib.suppress(ConnectionError):
            while not self.hangs_up and (data := await reader.read(65536)):
                self.heard += data
                writer.write(data.upper())
                await writer.drain()
        writer.close()


class Client:
    """One WebSocket to the tunnel's host."""

    def __init__(
        self, emulator: RunningEmulator, path: str, query: dict[str, Any], member: str | None = OWNER
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", emulator.emulator.front.port), timeout=20)
        self._stream = self._socket.makefile("rb")
        self._received = 0
        fields = {
            "Host": "tunnel.cloudproxy.app",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Protocol": PROTOCOL,
        }
        if member is not None:
            fields["Authorization"] = f"Bearer {emulator.token(member)}"
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._socket.sendall(f"GET /v4/{path}?{urlencode(query)} HTTP/1.1\r\n{head}\r\n".encode())
        self.status = int(self._stream.readline().split()[1])
        while self._stream.readline() not in (b"\r\n", b""):
            pass

    def frame(self) -> tuple[int, bytes]:
        """Opcode and content of the next frame; (0, b"") at the end of the connection."""
        head = self._stream.read(2)
        if len(head) < 2:
            return 0, b""
        size = head[1]
        if size == 126:
            size = int.from_bytes(self._stream.read(2))
        elif size == 127:
            size = int.from_bytes(self._stream.read(8))
        return head[0] & 0x0F, self._stream.read(size)

    def message(self) -> tuple[int, bytes]:
        """Tag and rest of the next message."""
        kind, content = self.frame()
        assert kind == BINARY, (kind, content)
        return int.from_bytes(content[:2]), content[2:]

    def session(self) -> str:
        """The id of the session that it begins with."""
        tag, rest = self.message()
        assert tag == CONNECTED
        assert int.from_bytes(rest[:4]) == len(rest) - 4
        return rest[4:].decode()

    def closed(self) -> tuple[int, str]:
        """The code and the words that it is closed with."""
        kind, content = self.frame()
        assert kind == CLOSE, (kind, content)
        self.raw(sent(CLOSE, content[:2]))
        assert self.frame() == (0, b"")
        return int.from_bytes(content[:2]), content[2:].decode()

    def data(self, size: int, *, acknowledge: bool = True) -> bytes:
        """So many bytes of the machine."""
        found = b""
        while len(found) < size:
            tag, rest = self.message()
            if tag == DATA:
                assert int.from_bytes(rest[:4]) == len(rest) - 4 <= 16384
                found += rest[4:]
                self._received += len(rest) - 4
                if acknowledge:
                    self.acknowledge(self._received)
        return found

    def send(self, data: bytes) -> None:
        for at in range(0, len(data), 16384):
            piece = data[at : at + 16384]
            self.raw(sent(BINARY, struct.pack(">HI", DATA, len(piece)) + piece))

    def acknowledge(self, total: int) -> None:
        self.raw(sent(BINARY, struct.pack(">HQ", ACK, total)))

    def raw(self, frame: bytes) -> None:
        self._socket.sendall(frame)

    def drop(self) -> None:
        """Break off, as a network does; more than once does no harm."""
        if self._stream.closed:
            return
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()
        self._socket.close()


Connect = Callable[..., Client]


@pytest.fixture
def machines() -> str:
    return "records"


@pytest.fixture
def machine(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine that runs, and lets tunnels in to port 22."""
    found = Machine()
    caller = Caller(emulator.session())
    rule = {"sourceRanges": ["35.235.240.0/20"], "allowed": [{"IPProtocol": "tcp", "ports": ["22", "23"]}]}
    caller.make(f"projects/{PROJECT}/global/firewalls", name="ssh", **rule)
    caller.machine("web")
    server = emulator.run(asyncio.start_server(found.serve, "127.0.0.1"))
    local = server.sockets[0].getsockname()[1]

    async def connect(name: str, port: int) -> Any:
        if port != 22:
            raise ConnectionRefusedError("nothing listens")
        return await asyncio.open_connection("127.0.0.1", local)

    monkeypatch.setattr(emulator.context.machines, "connect", connect)
    yield found
    emulator.call(server.close)


@pytest.fixture
def connect(emulator: RunningEmulator, machine: Machine) -> Iterator[Connect]:
    """Opens a WebSocket; all are closed in the end."""
    clients: list[Client] = []

    def begin(path: str = "connect", member: str | None = OWNER, **query: Any) -> Client:
        whole = TARGET | query if path == "connect" else query
        clients.append(Client(emulator, path, whole, member))
        return clients[-1]

    yield begin
    for client in clients:
        client.drop()


def test_both_say_what_they_have_to(connect: Connect, machine: Machine) -> None:
    machine.greeting = b"SSH-2.0-test\r\n"
    client = connect()
    assert client.status == 101
    assert len(client.session()) > 20
    assert client.data(14) == b"SSH-2.0-test\r\n"
    client.send(b"hello")
    assert client.data(5) == b"HELLO"
    client.raw(sent(PING, b"?"))
    assert client.frame() == (PONG, b"?")


def test_what_is_received_is_confirmed(connect: Connect, machine: Machine) -> None:
    client = connect()
    client.session()
    client.send(b"x" * 40000)
    acknowledged, heard = [], 0
    while heard < 40000:
        tag, rest = client.message()
        if tag == ACK:
            acknowledged.append(int.from_bytes(rest))
        else:
            heard += len(rest) - 4
    assert acknowledged == [40000]
    assert machine.heard == b"x" * 40000


def test_a_machine_that_hangs_up_ends_the_tunnel(connect: Connect, machine: Machine) -> None:
    machine.greeting, machine.hangs_up = b"bye", True
    client = connect()
    sid = client.session()
    assert client.data(3) == b"bye"
    assert client.closed() == (1000, "")
    assert connect("reconnect", sid=sid, ack=3).closed() == (4001, "session unknown")


def test_a_client_that_closes_ends_the_session(connect: Connect) -> None:
    client = connect()
    sid = client.session()
    client.raw(sent(CLOSE, (1000).to_bytes(2)))
    assert client.frame() == (CLOSE, (1000).to_bytes(2))
    assert client.frame() == (0, b"")
    assert connect("reconnect", sid=sid, ack=0).closed() == (4001, "session unknown")


@pytest.mark.parametrize("notices", [True, False], ids=["noticed", "not noticed"])
def test_a_session_goes_on_with_another_websocket(connect: Connect, machine: Machine, notices: bool) -> None:
    machine.greeting = b"0123456789" * 5000
    client = connect()
    sid = client.session()
    first = client.data(20000, acknowledge=False)
    client.send(b"abc")
    if notices:
        client.drop()
    again = connect("reconnect", sid=sid, ack=len(first), zone="us-central1-a")
    tag, rest = again.message()
    assert tag == RECONNECTED
    received = int.from_bytes(rest)
    assert received in (0, 3), "what was on its way is there or not, and the client is told"
    again.send(b"abc"[received:] + b"def")
    whole = first + again.data(50000 + 6 - len(first), acknowledge=False)
    assert whole == machine.greeting + b"ABCDEF"
    assert machine.heard == b"abcdef"


def test_more_than_the_window_waits_for_the_client(connect: Connect, machine: Machine) -> None:
    machine.greeting = os.urandom(3 * 2**20)
    client = connect()
    client.session()
    found = client.data(2**20, acknowledge=False)
    assert len(found) < 2**20 + 16384
    client.raw(sent(PING, b"?"))
    assert client.frame() == (PONG, b"?"), "nothing more came"
    client.acknowledge(len(found))
    found += client.data(2**20, acknowledge=False)
    assert found == machine.greeting[: len(found)]


def test_a_session_is_of_who_has_opened_it(connect: Connect, emulator: RunningEmulator) -> None:
    client = connect()
    sid = client.session()
    client.drop()
    emulator.grant(f"projects/{PROJECT}", "roles/iap.tunnelResourceAccessor", GUEST)
    assert connect("reconnect", member=GUEST, sid=sid, ack=0).closed() == (4001, "session unknown")
    assert connect("reconnect", sid=sid, ack=7).closed() == (4005, "bad ack")


def test_a_session_that_nobody_goes_on_with_ends(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator
) -> None:
    monkeypatch.setattr("gcp_emulator.services.iap.api._PATIENCE", 0)
    client = connect()
    sid = client.session()
    client.drop()
    # Whether the end was noticed before this or not: nobody can go on for ever.
    codes = set()
    while 4001 not in codes:
        other = connect("reconnect", sid=sid, ack=0)
        kind, content = other.frame()
        codes.add(int.from_bytes(content[:2]))
        assert kind in (BINARY, CLOSE)
        other.drop()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (sent(BINARY, struct.pack(">HI", 5, 0)), 4008),
        (sent(BINARY, struct.pack(">HI", DATA, 0)), 4008),
        (sent(BINARY, b""), 4008),
        (sent(BINARY, struct.pack(">HQ", ACK, 1)), 4005),
        (sent(1, b"text"), 4007),
        (b"\x82\x01x", 1002),
    ],
)
def test_what_is_not_of_the_protocol_ends_it(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, frame: bytes, code: int
) -> None:
    # Of who does not speak WebSocket nobody knows when they have understood.
    monkeypatch.setattr("gcp_emulator.services.iap.api._CLOSING_SECONDS", 0.1)
    client = connect()
    client.session()
    client.raw(frame)
    assert client.closed()[0] == code


@pytest.mark.parametrize(
    ("query", "closed"),
    [
        ({"port": "23"}, (4003, "failed to connect to backend")),
        ({"port": "80"}, (4003, "failed to connect to backend")),
        ({"port": "0"}, (4033, "not authorized")),
        ({"instance": "db"}, (4047, "Failed to lookup instance")),
        ({"zone": "us-central1-b"}, (4047, "Failed to lookup instance")),
        ({"project": "nowhere"}, (4033, "not authorized")),
    ],
)
def test_machines_that_are_not_reached(
    connect: Connect, query: dict[str, str], closed: tuple[int, str]
) -> None:
    assert connect(**query).closed() == closed


def test_a_machine_that_is_stopped(connect: Connect, emulator: RunningEmulator) -> None:
    Caller(emulator.session()).do(f"{ZONE}/instances/web/stop")
    assert connect().closed() == (4047, "Failed to lookup instance")


def test_who_may(connect: Connect, emulator: RunningEmulator) -> None:
    assert connect(member=GUEST).closed() == (4033, "not authorized")
    assert connect(member=GUEST, instance="db").closed() == (4033, "not authorized"), (
        "who may not is told nothing"
    )
    emulator.grant(f"projects/{PROJECT}", "roles/iap.tunnelResourceAccessor", GUEST)
    assert connect(member=GUEST).session()
    assert connect(member=None).status == 401


def test_what_is_no_websocket_is_refused(machine: Machine, emulator: RunningEmulator) -> None:
    answer = emulator.session().get("https://tunnel.cloudproxy.app/v4/connect", params=TARGET)
    assert answer.status_code == 400


def test_a_stop_ends_what_is_open(connect: Connect, emulator: RunningEmulator) -> None:
    client = connect()
    client.session()
    emulator.run(emulator.emulator.service(IdentityAwareProxy).stop())
    assert client.closed() == (1000, "")
