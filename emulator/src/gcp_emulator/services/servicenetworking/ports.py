"""What other services ask of Service Networking: where in a network they may put what they offer."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Protocol


class Connections(Protocol):
    """The private connections of networks to Google's services (private services access)."""

    def ranges(self, network: str) -> list[IPv4Network]:
        """The ranges that the connection of ``projects/P/global/networks/N`` may use; none where the network is not connected."""

    def connect(self, network: str, ranges: list[str]) -> None:
        """Connects a network, which may use the reserved ranges of these names."""
