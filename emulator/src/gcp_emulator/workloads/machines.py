"""What starts virtual machines: a port, and what there is behind it while nothing here can start one.

A machine is known by a name that stays its own as long as it exists (``projects/P/zones/Z/instances/I``). Whoever asks waits until it has been done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


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


class MachineError(Exception):
    """A machine that was not started. ``code`` is what an operation tells of it (``ZONE_RESOURCE_POOL_EXHAUSTED``); the text is for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Machines(Protocol):
    """Starts machines, and ends them."""

    #: What a person has to know of all of these machines, "" when they are what they seem.
    note: str

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

    def guest_attributes(self, name: str) -> Mapping[str, Mapping[str, str]]:
        """What a machine has published of itself: by namespace (``hostkeys``), by key."""

    async def connect(self, name: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a TCP port of a machine, whatever a firewall says. ConnectionError, in words, where it does not run or nothing listens."""


class _Nothing:
    """Has no machines at all."""

    note = ""

    async def stop(self, name: str) -> None:
        return None

    async def delete(self, name: str) -> None:
        return None

    async def change_metadata(self, name: str, metadata: Mapping[str, str]) -> None:
        return None

    def serial_output(self, name: str, port: int) -> bytes:
        return b""

    def guest_attributes(self, name: str) -> Mapping[str, Mapping[str, str]]:
        return {}

    async def connect(self, name: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise ConnectionRefusedError(f"nothing runs {name}")


class NoMachines(_Nothing):
    """Refuses every machine, because there is nothing that could run one."""

    async def start(self, machine: Machine) -> None:
        raise MachineError(
            "UNSUPPORTED_OPERATION",
            f"gcp-emulator runs no virtual machines, so {machine.name} was not started. Start the emulator with `--machines records` where "
            "it is enough that instances are kept as records, which nothing runs.",
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


MACHINES: Mapping[str, Callable[[], Machines]] = {"none": NoMachines, "records": RecordedMachines}
"""What makes each kind of machines, by the name that ``--machines`` gives it."""
