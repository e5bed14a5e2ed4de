"""What starts virtual machines: a port, and what there is behind it where nothing starts one. `workloads.docker.machines` does.

A machine is known by a name that stays its own as long as it exists (``projects/P/zones/Z/instances/I``). Whoever asks waits until it has been done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gcp_emulator.front.tasks import ConnectionHandler
from gcp_emulator.front.ways import Connection

Attributes = Mapping[str, Mapping[str, str]]
"""What a machine has published of itself: by namespace (``hostkeys``), by key."""


class Guest:
    """What a machine and its metadata server know of one another, as long as the machine is there."""

    def __init__(
        self,
        metadata: Mapping[str, str],
        attributes: Attributes,
        keep: Callable[[Attributes], None] = lambda attributes: None,
    ) -> None:
        """``attributes`` is what it has published before; ``keep`` is called with all of it whenever it publishes something."""
        self.metadata: Mapping[str, str] = dict(metadata)
        self._attributes = {space: dict(values) for space, values in attributes.items()}
        self._keep = keep
        self._change = asyncio.Event()

    @property
    def attributes(self) -> Attributes:
        return self._attributes

    def change(self, metadata: Mapping[str, str]) -> None:
        """Tells it other metadata; whoever waits for a change goes on."""
        self.metadata = dict(metadata)
        self._changed()

    def publish(self, namespace: str, key: str, value: str) -> None:
        self._attributes.setdefault(namespace, {})[key] = value
        self._keep(self._attributes)
        self._changed()

    def withdraw(self, namespace: str, key: str) -> None:
        """Forgets what was published, if it was."""
        self._attributes.get(namespace, {}).pop(key, None)
        self._keep(self._attributes)
        self._changed()

    async def changed(self) -> None:
        """Returns when something has been changed or published after the call."""
        await self._change.wait()

    def _changed(self) -> None:
        now, self._change = self._change, asyncio.Event()
        now.set()


MetadataServer = Callable[[Guest], ConnectionHandler]
"""Given a guest: what answers its connections to the metadata server."""


@dataclass(frozen=True)
class Machine:
    """What a machine is started from."""

    name: str
    #: The number that the metadata server tells as its id.
    number: str = ""
    #: The image that its boot disk was made of (``projects/debian-cloud/global/images/...``), "" for a disk of none.
    image: str = ""
    #: ``e2-small``; "" where none was named.
    machine_type: str = ""
    #: What the metadata server tells it, by key.
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: The e-mail of the account that it acts as, "" for none.
    service_account: str = ""
    #: Its addresses in its networks, one for each interface.
    addresses: tuple[str, ...] = ()
    #: Its metadata server, and the proxy by which it reaches Google's APIs; nothing that is only kept as a record needs them.
    metadata_server: MetadataServer | None = None
    proxy: ConnectionHandler | None = None
    #: The file of the certificates that it is to trust.
    certificates: Path | None = None
    #: Called when it has ended by itself.
    ended: Callable[[], None] = lambda: None


class MachineError(Exception):
    """A machine that was not started. ``code`` is what an operation tells of it (``ZONE_RESOURCE_POOL_EXHAUSTED``); the text is for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Machines(Protocol):
    """Starts machines, and ends them."""

    #: What a person has to know of all of these machines, "" when they are what they seem.
    note: str
    #: Whether anything runs of what was started.
    runs: bool

    async def open(self, known: Collection[str]) -> None:
        """Makes ready. What an earlier emulator has left of machines that are none of ``known`` is removed."""

    async def close(self) -> None:
        """Ends all machines and keeps their disks."""

    async def start(self, machine: Machine) -> None:
        """Starts a machine, with the disks that it had when it ran before. MachineError."""

    async def stop(self, name: str) -> None:
        """Ends a machine and keeps its disks; one that does not run is left as it is."""

    async def reset(self, name: str) -> None:
        """Starts a machine anew without asking it. MachineError."""

    async def delete(self, name: str) -> None:
        """Ends a machine and forgets it with its disks."""

    async def change_metadata(self, name: str, metadata: Mapping[str, str]) -> None:
        """Tells a running machine other metadata."""

    def serial_output(self, name: str, port: int) -> bytes:
        """What a machine has written to a serial port (1 to 4) since it was started."""

    def guest_attributes(self, name: str) -> Attributes:
        """What a machine has published of itself."""

    async def connect(self, name: str, port: int) -> Connection:
        """A connection to a TCP port of a machine, whatever a firewall says. ConnectionError, in words, where it does not run or nothing listens."""


class _Nothing:
    """Has no machines at all."""

    note = ""
    runs = False

    async def open(self, known: Collection[str]) -> None:
        return None

    async def close(self) -> None:
        return None

    async def stop(self, name: str) -> None:
        return None

    async def delete(self, name: str) -> None:
        return None

    async def change_metadata(self, name: str, metadata: Mapping[str, str]) -> None:
        return None

    def serial_output(self, name: str, port: int) -> bytes:
        return b""

    def guest_attributes(self, name: str) -> Attributes:
        return {}

    async def connect(self, name: str, port: int) -> Connection:
        raise ConnectionRefusedError(
            f"nothing runs {name}: the emulator was not started with --machines containers"
        )


class NoMachines(_Nothing):
    """Refuses every machine, because there is nothing that could run one."""

    async def start(self, machine: Machine) -> None:
        raise MachineError(
            "UNSUPPORTED_OPERATION",
            f"gcp-emulator runs no virtual machines, so {machine.name} was not started. Start the emulator with `--machines containers` where a "
            "container engine answers, or with `--machines records` where it is enough that instances are kept as records, which nothing runs.",
        )

    async def reset(self, name: str) -> None:
        await self.start(Machine(name))


class RecordedMachines(_Nothing):
    """Takes every machine for started. None runs: what is asked of it is kept by whoever asks."""

    note = "Not running: instances are records only (--machines records)."

    async def start(self, machine: Machine) -> None:
        return None

    async def reset(self, name: str) -> None:
        return None
