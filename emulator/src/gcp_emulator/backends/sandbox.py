"""A sandbox: processes of an image that see only what Cloud Run would show them.

Made with bubblewrap: own process, network, IPC and host name spaces; the image's files read-only; nothing listens
on the host and nothing reaches the host's network. What comes in and goes out passes through sockets that process 1 (shim.py)
makes inside and hands to the emulator. Dies with the emulator, however the emulator dies.

As root the application really runs under the image's user and group ids; as an ordinary user it does so in a user namespace, where
the image's user is the ordinary user under another number.

Not limited: memory and CPU (that needs a delegated cgroup). Not as in Cloud Run: files outside the temporary folders cannot
be written, even by their owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gcp_emulator.backends.rootfs import Rootfs

ConnectionHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one accepted connection; the connection is closed when it returns or raises."""

LogHandler = Callable[[str, str], None]
"""Called with ``stdout`` or ``stderr`` and one line without its line end, decoded as UTF-8 with replacement."""

INSTANCE_ADDRESS = "169.254.8.1"
"""The address at which the application is reached. Not 127.0.0.1, so that an application which listens on the
loopback address only is unreachable, as in Cloud Run (Google: "Container runtime contract")."""

_SHIM = Path(__file__).with_name("shim.py")
_SHIM_CAPABILITIES = (
    "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_FOWNER",
    "CAP_DAC_OVERRIDE", "CAP_KILL",
)  # fmt: skip
# Not bubblewrap's own --dev: its pseudo-terminals cost a second user namespace, without rights over the network.
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
_DEVICE_LINKS = {
    "/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2",
}  # fmt: skip
_TEMPORARY_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - the sandbox's own
_DATAGRAM = 1 << 20
_SPARE_SOCKETS = 16
_START_TIMEOUT = 30.0
_LINE_LIMIT = 256 * 1024  # Cloud Logging's limit for one entry (Google: "Quotas and limits")


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
    """How the application ended: ``code`` when it exited, ``signal`` when it was killed."""

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        """Cloud Run's words for its system log."""
        if self.signal is not None:
            return f"Container terminated on signal {self.signal}."
        return f"Container called exit({self.code})."


@dataclass(frozen=True)
class SandboxSpec:
    """What to run. ``argv[0]`` without a slash is looked up in the PATH of ``env``; ``hosts`` are names -> addresses for
    /etc/hosts; ``ca_bundle`` is a PEM file of the host that takes the place of the system's certificates."""

    rootfs: Rootfs
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    volumes: tuple[Volume, ...] = ()
    listeners: tuple[TcpListener | UnixListener, ...] = ()
    hosts: dict[str, str] = field(default_factory=dict)
    ca_bundle: Path | None = None


def check_available() -> str:
    """The path of bubblewrap. Raises `SandboxUnavailable` where it is missing."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailable(
            "Applications cannot be run: the program 'bwrap' is not in PATH. Install the package bubblewrap "
            "(Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap)."
        )
    return program


class Sandbox:
    """One started sandbox. Make it with `start`; every method must run in the event loop that started it."""

    def __init__(self, spec: SandboxSpec, on_log: LogHandler) -> None:
        self.spec = spec
        self.ports: dict[TcpListener | UnixListener, int] = {}
        self._on_log = on_log
        self._print: LogHandler = on_log
        self._replies: asyncio.Queue[tuple[dict[str, Any], list[int]]] = asyncio.Queue()
        self._spare: deque[socket.socket] = deque()
        self._refill = asyncio.Lock()
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._servers: list[asyncio.Server] = []
        self._pumps: list[asyncio.Task[None]] = []
        self._closed = False

    # ---------------------------------------------------------------- life

    @classmethod
    async def start(
        cls, spec: SandboxSpec, on_log: LogHandler, env: Callable[[Sandbox], dict[str, str]] | None = None
    ) -> Sandbox:
        """Make the sandbox and execute the application.

        ``env`` may add variables that depend on the sandbox (the port of a listener). Raises `SandboxUnavailable`
        when the machine refuses, `SandboxError` when this application cannot be executed.
        """
        sandbox = cls(spec, on_log)
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await sandbox._make()
                await sandbox._execute(env(sandbox) if env else {})
        except TimeoutError:
            await sandbox.close()
            raise SandboxError(f"The sandbox did not come up within {_START_TIMEOUT:.0f} s.") from None
        except BaseException:
            await sandbox.close()
            raise
        return sandbox

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
        """Kill whatever still runs, at once. May be called again."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        if process := getattr(self, "_process", None):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(
                        process.pid, signal.SIGKILL
                    )  # Popen.kill() would collect the status asyncio waits for
            await process.wait()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            loop.remove_reader(self._control)
            self._control.close()
        for server in self._servers:
            server.close()
        while self._spare:
            self._spare.popleft().close()
        while not self._replies.empty():
            for fd in self._replies.get_nowait()[1]:
                os.close(fd)
        if not self._ended.done():
            self._ended.set_result(Exit(signal=signal.SIGKILL))

    # ---------------------------------------------------------------- making

    async def _make(self) -> None:
        program = check_available()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        for end in (self._control, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _DATAGRAM)
        with contextlib.ExitStack() as opened:
            opened.enter_context(theirs)
            arguments, fds = _arguments(self.spec, opened)
            self._process = await asyncio.create_subprocess_exec(
                program, *arguments, self.spec.rootfs.python, "-I", "-S", "/run/shim.py", str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(), *fds), env={"PATH": os.defpath}, limit=_LINE_LIMIT,
            )  # fmt: skip
        asyncio.get_running_loop().add_reader(self._control, self._receive)
        complaints: list[str] = []
        self._print = lambda stream, line: complaints.append(line)
        for name, stream in (("stdout", self._process.stdout), ("stderr", self._process.stderr)):
            assert stream
            self._pumps.append(asyncio.create_task(self._pump(name, stream)))
        own = self.spec.uid if os.geteuid() == 0 else -1
        where = [_where(listener) for listener in self.spec.listeners]
        addresses = sorted(
            {INSTANCE_ADDRESS, *(w[1] for w in where if w[0] == "tcp" and w[1] != "127.0.0.1")}
        )
        paths = [[path, mode] for volume in self.spec.volumes for path, mode in _owned(volume)]
        self._send({"do": "prepare", "addresses": addresses, "listen": where, "volumes": paths, "own": own})
        try:
            _, fds_made = await self._expect("prepared")
        except SandboxError:
            await self._process.wait()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            raise _explain(complaints) from None
        self._print = self._on_log
        for listener, fd in zip(self.spec.listeners, fds_made, strict=True):
            await self._serve(listener, socket.socket(fileno=fd))

    async def _serve(self, listener: TcpListener | UnixListener, ready: socket.socket) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await listener.handler(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass  # the application hung up
            finally:
                writer.close()

        ready.setblocking(False)
        if isinstance(listener, TcpListener):
            self.ports[listener] = ready.getsockname()[1]
            self._servers.append(await asyncio.start_server(serve, sock=ready))
        else:
            self._servers.append(await asyncio.start_unix_server(serve, sock=ready))

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

    def _send(self, message: dict[str, Any]) -> None:
        # When process 1 has ended, whoever waits for its answer hears of it from _receive.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(json.dumps(message).encode())

    def _receive(self) -> None:
        try:
            datagram, fds, _, _ = socket.recv_fds(self._control, _DATAGRAM, 253)
        except BlockingIOError:
            return
        except OSError:
            datagram, fds = b"", []
        if not datagram:
            asyncio.get_running_loop().remove_reader(self._control)
            self._replies.put_nowait(({"event": "gone"}, []))
            return
        message = json.loads(datagram)
        if message["event"] == "ended":
            end = Exit(message.get("code"), message.get("signal"))
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
                    if not self.running or self._closed:
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
            if len(rest) > _LINE_LIMIT:
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


def _arguments(spec: SandboxSpec, opened: contextlib.ExitStack) -> tuple[list[str], list[int]]:
    """bubblewrap's arguments, and the file descriptors that they name (contents never touch a disk or a command line)."""
    fds: list[int] = []

    def data(content: bytes) -> str:
        fd = os.memfd_create("sandbox")
        opened.callback(os.close, fd)
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        fds.append(fd)
        return str(fd)

    addresses = {"localhost": "127.0.0.1", **spec.hosts}
    generated = {
        "/etc/hosts": "".join(f"{address}\t{name}\n" for name, address in addresses.items()).encode(),
        "/etc/resolv.conf": b"",
    }
    if spec.ca_bundle:
        generated["/etc/ssl/certs/ca-certificates.crt"] = spec.ca_bundle.read_bytes()
    if not (spec.rootfs.tree / "etc/passwd").exists():
        generated["/etc/passwd"] = (
            f"root:x:0:0::/:/bin/sh\nuser:x:{spec.uid}:{spec.gid}::/:/bin/sh\n".encode()
        )
    mounts = [*generated, *(volume.path for volume in spec.volumes), "/run/shim.py", *_TEMPORARY_FOLDERS]

    plan = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    plan += ["--hostname", "localhost", "--die-with-parent", "--new-session", "--as-pid-1"]
    if os.geteuid() != 0:
        plan += ["--unshare-user", "--uid", str(spec.uid), "--gid", str(spec.gid)]
    plan += ["--cap-drop", "ALL"]
    for capability in _SHIM_CAPABILITIES:
        plan += ["--cap-add", capability]
    plan += spec.rootfs.arguments(mounts)
    plan += ["--proc", "/proc", "--perms", "0755", "--tmpfs", "/dev"]
    for device in _DEVICES:
        plan += ["--dev-bind", device, device]
    for link, target in _DEVICE_LINKS.items():
        plan += ["--symlink", target, link]
    for path in _TEMPORARY_FOLDERS:
        plan += ["--perms", "1777", "--tmpfs", path]
    for path, content in generated.items():
        plan += ["--perms", "0644", "--ro-bind-data", data(content), path]
    for volume in spec.volumes:
        plan += ["--perms", "0755", "--tmpfs", volume.path]
        for name, (content, _) in volume.files.items():
            plan += ["--perms", "0400", "--file", data(content), f"{volume.path}/{name}"]
    plan += ["--ro-bind", str(_SHIM), "/run/shim.py", "--remount-ro", "/", "--"]
    return plan, fds


def _explain(complaints: list[str]) -> RuntimeError:
    """The right exception for what bubblewrap or process 1 printed before they ended."""
    said = " ".join(line.strip() for line in complaints[-3:]) or "nothing was printed"
    namespaces = ("namespace", "uid map", "gid map", "RTM_NEWADDR", "loopback", "Can't mount proc")
    if any(word in said for word in namespaces):
        return SandboxUnavailable(
            f"Applications cannot be run: this machine refuses to make a sandbox ({said}). Allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, or on Ubuntu "
            "kernel.apparmor_restrict_unprivileged_userns=0; in a container, run it with "
            "--security-opt seccomp=unconfined --security-opt systempaths=unconfined --cap-add SYS_ADMIN), "
            "or run the emulator as root."
        )
    return SandboxError(f"The sandbox could not be made: {said}")
