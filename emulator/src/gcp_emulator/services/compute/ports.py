"""What other services ask of Compute Engine, and its kinds of one another."""

from __future__ import annotations

from typing import Protocol

from gcp_emulator.engine.errors import Json
from gcp_emulator.front.ways import Connection


class Networks(Protocol):
    """The networks of projects, and what belongs to them."""

    def find(self, name: str) -> Json | None:
        """A resource by its path (``projects/P/global/networks/N``, ``projects/P/global/addresses/A``), or None."""

    def declare(self, project: str, name: str, region: str, cidr: str) -> str:
        """A network of custom mode with one subnetwork of the same name, unless it is there; returns its path."""

    def reserve(self, network: str, name: str, cidr: str) -> None:
        """Reserves a range of the network for peering, unless there is one of this name."""

    def add_peering(self, network: str, peering: Json) -> None:
        """Peers a network, as the one that offers a service asks it; a peering of the same name is replaced. ApiError NOT_FOUND."""

    def remove_peering(self, network: str, name: str) -> None:
        """Ends a peering. ApiError NOT_FOUND, INVALID_ARGUMENT where there is none of this name."""


class Rollouts(Protocol):
    """What brings managed groups to what they are to be, in its own time."""

    def begin(self, manager: str) -> None:
        """Looks at a group, which may have changed."""

    def is_going(self, manager: str) -> bool:
        """Whether a group is being looked at."""

    def lost(self, instance: str) -> None:
        """Tells that an instance has been deleted, which may have been one of a group."""


class MachinePorts(Protocol):
    """The ports at which machines listen in their networks."""

    async def connect(self, instance: str, port: int, *, source: str) -> Connection:
        """A TCP connection to ``port`` of ``projects/P/zones/Z/instances/I``, as one from the address ``source`` (``35.235.240.1``).

        ConnectionError, with the reason as its text, where the instance does not run, nothing listens there, or no firewall rule of its network lets
        such a connection in.
        """
