"""What other services ask of Compute Engine."""

from __future__ import annotations

from typing import Protocol

from gcp_emulator.engine.errors import Json


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
