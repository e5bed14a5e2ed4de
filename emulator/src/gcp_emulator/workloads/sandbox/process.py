"""A sandbox: processes of an image that see only what Cloud Run would show them.

Nothing inside listens on the host, and nothing inside reaches the host's network. What comes in and goes out passes through sockets
that process 1 (shim.py) makes inside and hands to the emulator. A sandbox dies with the emulator, however the emulator dies.

Here is all that does not depend on what makes the sandbox; `bubblewrap` makes one of processes, `docker.sandbox` one of a container.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gcp_emulator.front.tasks import ConnectionHandler, Connections

LogHandler = Callable[[str, str], None]
"""Called with ``stdout`` or ``stderr`` and one line without its line end, decoded as UTF-8 with replacement."""

INSTANCE_ADDRESS = "169.254.8.1"
"""The address at which the application is reached. Not 127.0.0.1, so that an application which listens on the
loopback address only is unreachable, as in Cloud Run (Google: "Container runtime contract")."""

SHIM = Path(__file__).with_name("shim.py")
"""The program of process 1."""

SHIM_CAPABILITIES = (
    "NET_ADMIN", "NET_BIND_SERVICE", "SETPCAP", "SETUID", "SETGID", "CHOWN", "FOWNER", "DAC_OVERRIDE", "KILL",
)  # fmt: skip
"""What process 1 needs to prepare the sandbox; the application gets none."""

TEMPORARY_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - the sandbox's own
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""Where the certificates of `SandboxSpec.ca_bundle` are inside."""

LINE_LIMIT = 256 * 1024
"""Bytes of one log entry (Cloud Logging, "Quotas and limits")."""

DATAGRAM = 1 << 20
"""Bytes that one message to or from process 1 may have."""

_SPARE_SOCKETS = 16
_START_TIMEOUT = 30.0


class SandboxUnavailable(RuntimeError):  # noqa: N818 - a state of the machine
    """This machine does not allow sandboxes; the text says what to do."""


class SandboxError(RuntimeError):
    """This sandbox could not be made, or its application could not be executed."""


@dataclass(frozen=True)
class Volume:
    """A folder in memory mounted at ``path``: a secret's files (name -> content, mode) or an empty writable folder."""

    path: str
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    mode: int = 0o755


@dataclass(frozen=True)
class TcpListener:
    """Connections to this address inside the sandbox go to ``handler``. Port 0 is any free port."""

    address: str
    port: int
    handler: ConnectionHandler


@dataclass(frozen=True)
class UnixListener:
    """Connections to this socket inside the sandbox go to ``handler``. Its folder must be below one of the volumes."""

    path: str
    handler: ConnectionHandler


@dataclass(frozen=True)
class Exit:
    """How the application ended: ``code`` when it exited, ``signal`` when it was killed. ``memory`` is what it had used,
    in bytes, when it was killed for using more than it may."""

    code: int | None = None
    signal: int | None = None
    memory: int | None = None

    def __str__(self) -> str:
        """Cloud Run's words for its system log."""
        if self.signal is not None:
            return f"Container terminated on signal {self.signal}."
        return f"Container called exit({self.code})."


@dataclass(frozen=True)
class SandboxSpec:
    """What to run. ``argv[0]`` without a slash is looked up in the PATH of ``env``; ``hosts`` are names -> addresses for
    /etc/hosts; ``ca_bundle`` is a PEM file of the host that takes the place of the system's certificates. ``cpus`` (numbers
    of CPUs) are enforced by runtimes that can, ``memory`` (bytes) by all."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    volumes: tuple[Volume, ...] = ()
    listeners: tuple[TcpListener | UnixListener, ...] = ()
    hosts: dict[str, str] = field(default_factory=dict)
    ca_bundle: Path | None = None
    cpus: float | None = None
    memory: int | None = None


class Sandbox(abc.ABC):
    """One sandbox. `start` it first; every method must run in the event loop that made it."""

    _limits_memory = False
    """Whether process 1 finds itself in a memory cgroup of the sandbox's own."""

    def __init__(self, spec: SandboxSpec, on_log: LogHandler) -> None:
        self.spec = spec
        self.ports: dict[TcpListener | UnixListener, int] = {}
        self._on_log = on_log
        self._print: LogHandler = on_log
        self._control: socket.socket | None = None
        self._replies: asyncio.Queue[tuple[dict[str, Any], list[int]]] = asyncio.Queue()
        self._spare: deque[socket.socket] = deque()
        self._refill = asyncio.Lock()
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._servers: list[asyncio.Server] = []
        self._connections: list[Connections] = []
        self._pumps: list[asyncio.Task[None]] = []
        self._closing: asyncio.Task[None] | None = None

    # ---------------------------------------------------------------- what makes it

    @abc.abstractmethod
    async def _launch(self) -> tuple[socket.socket, asyncio.StreamReader, asyncio.StreamReader]:
        """Start process 1. Returns the control socket, and the application's stdout and stderr.

        Raises `SandboxUnavailable` or `SandboxError`.
        """

    @abc.abstractmethod
    async def _end(self) -> None:
        """Kill everything that `_launch` started and wait for its end. The control socket is closed by then."""

    def _explain(self, complaints: list[str]) -> RuntimeError:
        """The exception for what process 1, or what started it, printed before it ended too early."""
        return SandboxError(f"The sandbox could not be made: {said(complaints)}")

    # ---------------------------------------------------------------- life

    async def start(self, env: Callable[[Sandbox], dict[str, str]] | None = None) -> None:
        """Make the sandbox and execute the application.

        ``env`` may add variables that depend on the sandbox (the port of a listener). Raises `SandboxUnavailable`
        when the machine refuses, `SandboxError` when this application cannot be executed.
        """
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await self._make()
                await self._execute(env(self) if env else {})
        except TimeoutError:
            await self.close()
            raise SandboxError(f"The sandbox did not come up within {_START_TIMEOUT:.0f} s.") from None
        except BaseException:
            await self.close()
            raise

    async def wait(self) -> Exit:
        """How the application ended, once it has. Everything it printed has been passed on by then."""
        return await asyncio.shield(self._ended)

    @property
    def running(self) -> bool:
        return not self._ended.done()

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the application. Raises OSError (ConnectionRefusedError when nothing listens)."""
        connection = await self._socket()
        try:
            await asyncio.get_running_loop().sock_connect(connection, (INSTANCE_ADDRESS, port))
            return await asyncio.open_connection(sock=connection)
        except BaseException:
            connection.close()
            raise

    def signal(self, number: int) -> None:
        """Send a signal to the application, not to its children."""
        self._send({"do": "signal", "number": number})

    async def stop(self, grace: float) -> Exit:
        """SIGTERM, then after ``grace`` seconds, or when cancelled, SIGKILL for everything inside."""
        try:
            if self.running:
                self.signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        await self.wait()
        finally:
            await self.close()
        return self._ended.result()

    async def close(self) -> None:
        """Kill whatever still runs, at once. May be called again; who is cancelled in it leaves the rest to go on.

        So may a handler of the sandbox's own connections, which end with it (a request that kills its own instance).
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._control:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
        await self._end()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for server in self._servers:
            server.close()
        await asyncio.gather(*(connections.stop() for connections in self._connections))
        while self._spare:
            self._spare.popleft().close()
        while not self._replies.empty():
            for fd in self._replies.get_nowait()[1]:
                os.close(fd)
        if not self._ended.done():
            self._ended.set_result(Exit(signal=signal.SIGKILL))

    # ---------------------------------------------------------------- making

    async def _make(self) -> None:
        self._control, stdout, stderr = await self._launch()
        asyncio.get_running_loop().add_reader(self._control, self._receive)
        complaints: list[str] = []
        self._print = lambda stream, line: complaints.append(line)
        for name, stream in (("stdout", stdout), ("stderr", stderr)):
            self._pumps.append(asyncio.create_task(self._pump(name, stream)))
        self._prepare()
        try:
            _, fds = await self._expect("prepared")
        except SandboxError:
            await asyncio.gather(*self._pumps, return_exceptions=True)
            raise self._explain(complaints) from None
        self._print = self._on_log
        for listener, fd in zip(self.spec.listeners, fds, strict=True):
            await self._serve(listener, socket.socket(fileno=fd))

    def _prepare(self) -> None:
        """The contents of files travel as file descriptors of memory: they touch no disk and no command line."""
        where = [_where(listener) for listener in self.spec.listeners]
        addresses = sorted(
            {INSTANCE_ADDRESS, *(w[1] for w in where if w[0] == "tcp" and w[1] != "127.0.0.1")}
        )
        files = {
            f"{volume.path}/{name}": content
            for volume in self.spec.volumes
            for name, (content, _) in volume.files.items()
        }
        with contextlib.ExitStack() as opened:
            fds = [memory_file(content, opened) for content in files.values()]
            self._send(
                {
                    "do": "prepare", "addresses": addresses, "files": list(files), "own": self.spec.uid,
                    "volumes": [[path, mode] for volume in self.spec.volumes for path, mode in _owned(volume)],
                    "listen": where, "memory": self._memory(),
                },
                fds,
            )  # fmt: skip

    def _memory(self) -> str | dict[str, Any] | None:
        """How process 1 learns that the limit of memory is exceeded."""
        if self.spec.memory is None:
            return None
        if self._limits_memory:
            return "cgroup"
        return {"limit": self.spec.memory, "folders": self._folders_in_memory()}

    def _folders_in_memory(self) -> list[str]:
        """Folders inside, in each of which what is written is memory."""
        return [*TEMPORARY_FOLDERS, *(volume.path for volume in self.spec.volumes)]

    async def _serve(self, listener: TcpListener | UnixListener, ready: socket.socket) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # The application may hang up at any time.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await listener.handler(reader, writer)

        connections = Connections(serve)
        self._connections.append(connections)
        ready.setblocking(False)
        if isinstance(listener, TcpListener):
            self.ports[listener] = ready.getsockname()[1]
            self._servers.append(await asyncio.start_server(connections.accept, sock=ready))
        else:
            self._servers.append(await asyncio.start_unix_server(connections.accept, sock=ready))

    async def _execute(self, more_env: dict[str, str]) -> None:
        spec = self.spec
        self._send({
            "do": "start", "argv": list(spec.argv), "env": {**more_env, **spec.env}, "cwd": spec.cwd,
            "uid": spec.uid, "gid": spec.gid,
        })  # fmt: skip
        reply, _ = await self._expect("started", "refused")
        if reply["event"] == "refused":
            raise SandboxError(f'"{reply["path"]}": {os.strerror(reply["errno"]).lower()}')

    # ---------------------------------------------------------------- talking with process 1

    def _send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        assert self._control
        # When process 1 has ended, whoever waits for its answer hears of it from _receive.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._control, [json.dumps(message).encode()], fds)

    def _receive(self) -> None:
        assert self._control
        try:
            datagram, fds, _, _ = socket.recv_fds(self._control, DATAGRAM, 253)
        except BlockingIOError:
            return
        except OSError:
            datagram, fds = b"", []
        if not datagram:
            asyncio.get_running_loop().remove_reader(self._control)
            self._replies.put_nowait(({"event": "gone"}, []))
            # Process 1 was killed, and with it everything else.
            self._pumps.append(asyncio.create_task(self._finish(Exit(signal=signal.SIGKILL))))
            return
        message = json.loads(datagram)
        if message["event"] == "ended":
            end = Exit(message.get("code"), message.get("signal"), message.get("memory"))
            self._pumps.append(asyncio.create_task(self._finish(end)))
        else:
            self._replies.put_nowait((message, fds))

    async def _finish(self, end: Exit) -> None:
        """The end is told only after the last line that was printed."""
        await asyncio.gather(*self._pumps[:2], return_exceptions=True)
        if not self._ended.done():
            self._ended.set_result(end)

    async def _expect(self, *events: str) -> tuple[dict[str, Any], list[int]]:
        message, fds = await self._replies.get()
        if message["event"] not in events:
            self._replies.put_nowait((message, fds))
            raise SandboxError("The sandbox ended.")
        return message, fds

    async def _socket(self) -> socket.socket:
        """An unconnected socket of the sandbox's network. Fetched in batches: one round trip serves many requests."""
        if not self._spare:
            async with self._refill:
                if not self._spare:
                    if not self.running or self._closing is not None:
                        raise ConnectionRefusedError("The instance has ended.")
                    self._send({"do": "sockets", "count": _SPARE_SOCKETS})
                    try:
                        _, fds = await self._expect("sockets")
                    except SandboxError:
                        raise ConnectionRefusedError("The instance has ended.") from None
                    for fd in fds:
                        self._spare.append(socket.socket(fileno=fd))
                        self._spare[-1].setblocking(False)
        return self._spare.popleft()

    async def _pump(self, name: str, stream: asyncio.StreamReader) -> None:
        """Pass on what is printed, line by line; a longer line than the limit is passed on in pieces."""
        rest = b""
        while chunk := await stream.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_LIMIT:
                lines.append(rest)
                rest = b""
            for line in lines:
                self._print(name, line.rstrip(b"\r").decode(errors="replace"))
        if rest:
            self._print(name, rest.decode(errors="replace"))


def _where(listener: TcpListener | UnixListener) -> list[Any]:
    if isinstance(listener, TcpListener):
        return ["tcp", listener.address, listener.port]
    return ["unix", listener.path]


def _owned(volume: Volume) -> list[tuple[str, int]]:
    """The paths of a volume that the application must own, with their modes."""
    files = [(f"{volume.path}/{name}", mode) for name, (_, mode) in volume.files.items()]
    return [*files, (volume.path, volume.mode)]


def memory_file(content: bytes, opened: contextlib.ExitStack) -> int:
    """The descriptor of an unnamed file in memory, at its begin; closed with ``opened``."""
    fd = os.memfd_create("sandbox")
    opened.callback(os.close, fd)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def said(complaints: list[str]) -> str:
    """The last of what was printed, in one line."""
    return " ".join(line.strip() for line in complaints[-3:]) or "nothing was printed"


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kills what was started with ``process_group=0``, if it runs, and those of its children that have no group of their own.

    What asks to die with its parent, as bubblewrap's child does, and has not come to that yet, would go on with its output open.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            # Process.kill() would collect the status asyncio waits for.
            os.killpg(process.pid, signal.SIGKILL)
