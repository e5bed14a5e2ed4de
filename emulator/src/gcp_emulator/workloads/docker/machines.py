"""Virtual machines that are containers in which systemd runs.

A machine's disk is its container: stopped, it keeps its files; deleted, it is gone. The emulator listens on sockets in a folder that only this
container sees, so who asks the metadata server is known by where it asks, and nothing listens on a network for it.

Containers and their names bear the emulator's mark, which follows from the place of its state; nothing without it is touched. Those of an emulator
that was killed run on, and the next start takes them over.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import re
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from gcp_emulator.front.tasks import ConnectionHandler, Connections, Tasks
from gcp_emulator.front.ways import Connection, NobodyListensError
from gcp_emulator.workloads.build.cache import in_thread
from gcp_emulator.workloads.build.run import HostAccess
from gcp_emulator.workloads.docker.builder import pip_configuration, pip_settings
from gcp_emulator.workloads.docker.command import (
    LABEL,
    DockerError,
    check_engine_for_machines,
    docker,
    mark_of,
)
from gcp_emulator.workloads.docker.guest_image import GuestImages
from gcp_emulator.workloads.docker.sockets import listen
from gcp_emulator.workloads.guest.environment import METADATA_ADDRESS, SHOWN
from gcp_emulator.workloads.images import remove_tree
from gcp_emulator.workloads.machines import Attributes, Guest, Machine, MachineError

log = logging.getLogger(__name__)

_MACHINE = "gcp-emulator.machine"
_NUMBER = "gcp-emulator.number"
#: What a machine has written to its console, the newest of it (Google keeps 1 MB).
_CONSOLE = 1 << 20
_BOOT_SECONDS = 60.0
_END_SECONDS = 30
_CONNECT_SECONDS = 10.0
_LAST_LINES = 5
#: What systemd needs: the right to mount, and a tree of control groups that it makes itself (decisions/0078 tells why). The metadata server has an
#: address, and a reboot is told from a shutdown by how the container ends, only where it may call reboot(2), which ends nothing but the container.
_PRIVILEGES = (
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_BOOT"),
    *("--security-opt", "apparmor=unconfined", "--tmpfs", "/run", "--tmpfs", "/sys/fs/cgroup"),
)
#: With what is kept in volumes, which is the container's own.
_REMOVE = ("rm", "--force", "--volumes")
#: The status of a container whose process 1 has called reboot(2) to start again: SIGHUP (https://man7.org/linux/man-pages/man2/reboot.2.html).
_REBOOTS = 128 + 1
_GONE = re.compile(r"no such container|is not running", re.IGNORECASE)


class ContainerMachines:
    """The machines of one emulator."""

    note = (
        "Containers in which systemd runs (--machines containers): what stands in for Google's guest environment is gcp-emulator's own, kernel and "
        "network are those of the container engine."
    )
    runs = True

    def __init__(self, folder: Path, host: HostAccess) -> None:
        """``folder`` is for what is known of the machines, and gives the mark; ``host`` is what a machine may use of this one."""
        self.mark = mark_of(folder)
        self._folder = folder
        self._host = host
        self._images = GuestImages(folder / "builds", host)
        self._running: dict[str, _Running] = {}
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._attending = Tasks()

    async def open(self, known: Collection[str]) -> None:
        """See `Machines`. `SandboxUnavailable` without an engine."""
        await in_thread(check_engine_for_machines)
        self._folder.mkdir(parents=True, exist_ok=True)
        for container, name in await in_thread(self._containers):
            if name not in known:
                await in_thread(docker, *_REMOVE, container)
        kept = {_key(name) for name in known}
        for path in self._folder.iterdir():
            if path.name not in kept:
                await in_thread(remove_tree, path)

    async def close(self) -> None:
        """See `Machines`."""
        await asyncio.gather(*(self.stop(name) for name in list(self._running)))
        await self._attending.stop()

    async def start(self, machine: Machine) -> None:
        """See `Machines`."""
        async with self._busy[machine.name]:
            await self._end(machine.name)
            with _starting(machine.name):
                await self._start(machine, await self._images.image_for(machine))

    async def stop(self, name: str) -> None:
        """See `Machines`."""
        async with self._busy[name]:
            await self._end(name)

    async def reset(self, name: str) -> None:
        """See `Machines`."""
        async with self._busy[name]:
            running = self._running.get(name)
            if running is None:
                raise MachineError("RESOURCE_NOT_READY", f"{name} does not run")
            with _starting(name):
                await _do("kill", running.container)
                await running.boot()

    async def delete(self, name: str) -> None:
        """See `Machines`."""
        async with self._busy[name]:
            running = self._running.pop(name, None)
            await _do(*_REMOVE, self._container(name))
            if running is not None:
                await running.close()
            await in_thread(remove_tree, self._folder / _key(name))

    async def change_metadata(self, name: str, metadata: Mapping[str, str]) -> None:
        """See `Machines`."""
        if running := self._running.get(name):
            running.guest.change(metadata)

    def serial_output(self, name: str, port: int) -> bytes:
        """See `Machines`. The console is the first port; nothing is written to the others."""
        running = self._running.get(name)
        return bytes(running.console) if running and port == 1 else b""

    def guest_attributes(self, name: str) -> Attributes:
        """See `Machines`."""
        running = self._running.get(name)
        return running.guest.attributes if running else _published(self._folder / _key(name))

    async def connect(self, name: str, port: int) -> Connection:
        """See `Machines`."""
        running = self._running.get(name)
        # An empty address would be this machine.
        if running is None or not running.address:
            raise ConnectionRefusedError(f"{name} does not run")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await asyncio.open_connection(running.address, port)
        except (OSError, TimeoutError) as error:
            raise NobodyListensError(f"nothing answers at port {port} of {name} ({error})") from None

    def clear(self) -> None:
        """Removes every machine of this emulator from the engine. DockerError."""
        for container, _ in self._containers():
            docker(*_REMOVE, container)

    # ---------------------------------------------------------------- one machine

    async def _start(self, machine: Machine, image: str) -> None:
        """Starts the container that a machine has, or a new one, which is gone again when that fails."""
        folder, container = self._folder / _key(machine.name), self._container(machine.name)
        number, is_up = await in_thread(_state, container)
        if number not in (None, machine.number):
            # Another machine had this name, and was deleted by an emulator that did not live to see it.
            await in_thread(docker, *_REMOVE, container)
            await in_thread(remove_tree, folder)
            number, is_up = None, False
        # The container's root may be nobody in particular outside: the state's folder is what keeps others away.
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        assert machine.certificates
        shutil.copyfile(machine.certificates, folder / "certificates.pem")
        (folder / "pip.conf").write_text(pip_configuration(pip_settings(self._host.env)), "utf-8")
        if number is None:
            await in_thread(docker, "create", *self._arguments(machine, folder, container), image)
        # From now on its console is read, and it learns what changes.
        running = self._running[machine.name] = _Running(machine, folder, container)
        try:
            await running.open()
            await (running.take_over() if is_up else running.boot())
        except BaseException:
            del self._running[machine.name]
            await running.close()
            if number is None:
                await _do(*_REMOVE, container)
                await in_thread(remove_tree, folder)
            else:
                await _do("kill", container)
            raise
        self._attending.start(self._attend(machine, running))

    async def _attend(self, machine: Machine, running: _Running) -> None:
        """Starts a machine again that has rebooted, and tells of one that has ended by itself."""
        name = machine.name
        while True:
            await running.ended()
            async with self._busy[name]:
                if self._running.get(name) is not running:
                    return
                if running.is_up:
                    continue
                try:
                    form = ("inspect", "--format", "{{.State.ExitCode}}", running.container)
                    if int(await in_thread(docker, *form)) == _REBOOTS:
                        await running.boot()
                        continue
                    why = "it was shut down from inside"
                except (DockerError, MachineError, OSError) as error:
                    why = str(error)
                log.info("%s has ended: %s", name, why)
                del self._running[name]
                await running.close()
                machine.ended()

    async def _end(self, name: str) -> None:
        running = self._running.pop(name, None)
        if running is None:
            return
        await _do("stop", "-t", str(_END_SECONDS), running.container)
        await running.close()

    def _arguments(self, machine: Machine, folder: Path, container: str) -> list[str]:
        plan = ["--name", container, "--hostname", machine.name.rpartition("/")[2], "--pull", "never"]
        for label, value in (
            (LABEL, self.mark),
            (_MACHINE, machine.name),
            (_NUMBER, machine.number),
        ):
            plan += ["--label", f"{label}={value}"]
        # Its terminal is the console.
        plan += ["--tty", "--log-driver", "json-file", "--log-opt", "max-size=8m", "--log-opt", "max-file=2"]
        plan += _PRIVILEGES
        for name in ("metadata.google.internal", "metadata"):
            plan += ["--add-host", f"{name}:{METADATA_ADDRESS}"]
        return [*plan, "--mount", f"type=bind,source={folder.resolve()},target={SHOWN},readonly"]

    def _container(self, name: str) -> str:
        return f"gcp-emulator-{self.mark}-{_key(name)}"

    def _containers(self) -> list[tuple[str, str]]:
        """Every container of this emulator, and the machine that it is."""
        form = f'{{{{.ID}}}} {{{{.Label "{_MACHINE}"}}}}'
        lines = docker("ps", "--all", "--filter", f"label={LABEL}={self.mark}", "--format", form).splitlines()
        return [(line.split()[0], line.partition(" ")[2]) for line in lines]


class _Running:
    """A machine that runs, with what the emulator does for it."""

    def __init__(self, machine: Machine, folder: Path, container: str) -> None:
        self.container = container
        self.guest = Guest(machine.metadata, _published(folder), self._keep)
        self.console = bytearray()
        self.address = ""
        self._machine = machine
        self._folder = folder
        self._servers: list[asyncio.Server] = []
        self._connections: list[Connections] = []
        self._tasks = Tasks()
        self._following: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()

    async def open(self) -> None:
        """Listens for it."""
        assert self._machine.metadata_server
        assert self._machine.proxy
        answer = self._machine.metadata_server(self.guest)

        async def metadata(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._asked.set()
            await answer(reader, writer)

        await self._listen("metadata", metadata)
        await self._listen("proxy", self._machine.proxy)

    async def _listen(self, name: str, handler: ConnectionHandler) -> None:
        # What an emulator that was killed has left.
        (self._folder / name).unlink(missing_ok=True)
        connections = Connections(handler)
        self._connections.append(connections)
        server = await asyncio.start_unix_server(connections.accept, sock=listen(self._folder, name))
        self._servers.append(server)

    async def boot(self) -> None:
        """Starts it, and waits until it asks its metadata server. MachineError, which tells its last words, when it ends before."""
        self._asked.clear()
        self.address = ""
        since = datetime.now(UTC).isoformat()
        await in_thread(docker, "start", self.container)
        following = await self._look(since)
        async with Tasks() as waiting:
            asked = waiting.start(self._asked.wait())
            await asyncio.wait({asked, following}, timeout=_BOOT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not self._asked.is_set():
            why = "has ended" if following.done() else f"has not booted within {_BOOT_SECONDS:.0f} s"
            words = " / ".join(self.console.decode(errors="replace").split("\n")[-_LAST_LINES:])
            raise MachineError(
                "INTERNAL_ERROR",
                f"{self._machine.name} {why}. The last words on its console: {words.strip()}",
            )

    @property
    def is_up(self) -> bool:
        """Whether the container runs: what it writes is followed."""
        return self._following is not None and not self._following.done()

    async def ended(self) -> None:
        """Returns when the container has ended, or was started anew."""
        assert self._following
        await asyncio.wait({self._following})

    async def take_over(self) -> None:
        """Goes on with what an earlier emulator has started."""
        await self._look(
            (await in_thread(docker, "inspect", "--format", "{{.State.StartedAt}}", self.container)).strip()
        )

    async def close(self) -> None:
        """Listens no more."""
        for server in self._servers:
            server.close()
        for connections in self._connections:
            await connections.stop()
        await self._tasks.stop()

    async def _look(self, since: str) -> asyncio.Task[None]:
        """Finds where it is, and follows what is written to its console since then."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        addresses = (await in_thread(docker, "inspect", "--format", form, self.container)).split()
        self.address = addresses[0] if addresses else ""
        if self._following is not None:
            self._following.cancel()
        self.console.clear()
        self._following = self._tasks.start(self._follow(since))
        return self._following

    async def _follow(self, since: str) -> None:
        async for chunk in _output("docker", "logs", "--follow", "--since", since, self.container):
            self.console += chunk
            del self.console[:-_CONSOLE]

    def _keep(self, attributes: Attributes) -> None:
        (self._folder / "attributes.json").write_text(json.dumps(attributes), "utf-8")


@contextlib.contextmanager
def _starting(name: str) -> Iterator[None]:
    """Tells what kept a machine from starting as `Machines` does. MachineError."""
    try:
        yield
    except (DockerError, OSError) as error:
        raise MachineError("INTERNAL_ERROR", f"{name} was not started: {error}") from None


async def _output(*command: str) -> AsyncIterator[bytes]:
    """What a command prints, as it comes; the command ends with whoever looks."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout
    try:
        while chunk := await process.stdout.read(1 << 16):
            yield chunk
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _do(*arguments: str) -> None:
    """Has a container end. One that has ended, or is gone, already is no error; whatever else fails is told by the log."""
    try:
        await in_thread(docker, *arguments)
    except DockerError as error:
        if not _GONE.search(str(error)):
            log.warning("docker %s: %s", " ".join(arguments), error)


def _state(container: str) -> tuple[str | None, bool]:
    """The number of the machine that a container is, and whether it runs; None where there is no such container."""
    form = f'{{{{.Label "{_NUMBER}"}}}} {{{{.State}}}}'
    lines = docker("ps", "--all", "--filter", f"name=^{container}$", "--format", form).splitlines()
    if not lines:
        return None, False
    number, _, state = lines[0].rpartition(" ")
    return number, state == "running"


def _published(folder: Path) -> Attributes:
    """The guest attributes that a machine has published before."""
    path = folder / "attributes.json"
    found: Attributes = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def _key(name: str) -> str:
    """A short name for files and containers: that of the instance, and what tells it from those of other projects and zones."""
    return f"{name.rpartition('/')[2]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
