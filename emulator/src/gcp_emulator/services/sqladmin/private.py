"""Private addresses: the networks that instances may be put into, and the address that each gets there.

Sources: https://cloud.google.com/sql/docs/postgres/private-ip (private services access; each region takes a /24 of the ranges) and
https://cloud.google.com/sql/docs/postgres/troubleshooting#create-instances (the texts of what is missing). The names of the reasons are those
of ``ValidateConsumerConfigResponse`` in servicenetworking:v1; NETWORK_NOT_PEERED is quoted so in
https://github.com/opstrace/opstrace/issues/293. That an instance gets the first address that is free is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.store import Collection
from gcp_emulator.services.compute.ports import Networks
from gcp_emulator.services.servicenetworking.ports import Connections
from gcp_emulator.services.sqladmin import rules

_API = "servicenetworking.googleapis.com"
_NETWORK = re.compile(r"projects/([^/]+)/global/networks/[^/]+")
#: What one region takes of the ranges, and the first of its addresses that instances get.
_BLOCK, _FIRST = 24, 2


class PrivateAddresses:
    """The addresses that instances have in networks of their projects' owners."""

    def __init__(self, context: Context, records: Collection) -> None:
        self._projects = context.projects
        self._networks = context.ports.find(Networks)
        self._connections = context.ports.find(Connections)
        self._records = records

    def require(self, project: str, name: str, settings: Json) -> None:
        """INVALID_ARGUMENT in Cloud SQL's words unless the network that is asked for, if any, takes the instance."""
        if (network := self.network(settings)) and (problem := self._problem(project, network)):
            raise rules.invalid(
                f"Incorrect Service Networking config for instance: {project}:{name}:{problem}."
            )

    def _problem(self, project: str, network: str) -> str | None:
        if not self._projects.is_enabled(project, _API):
            return "SERVICE_NETWORKING_NOT_ENABLED"
        path = _NETWORK.fullmatch(network)
        if path is None or self._projects.find(path[1]) is None or self._networks.find(network) is None:
            return "NETWORK_NOT_FOUND"
        return None if self._connections.ranges(network) else "NETWORK_NOT_PEERED"

    def network(self, settings: Json) -> str | None:
        """The path of the network that the settings of an instance name."""
        given = settings["ipConfiguration"].get("privateNetwork")
        return self._projects.canonical(given.partition("/compute/v1/")[2] or given) if given else None

    def allocate(self, key: str, region: str, settings: Json) -> str | None:
        """The address of an instance in its network, the one that it has where it has one; None where no range has a free block."""
        network = self.network(settings)
        if network is None:
            return None
        used: dict[IPv4Network, tuple[str, set[IPv4Address]]] = {}
        for other, record in self._records.items():
            address = address_of(record)
            if address is None or self.network(record["settings"]) != network:
                continue
            if other == key:
                return str(address)
            block = IPv4Network((address, _BLOCK), strict=False)
            used.setdefault(block, (record["region"], set()))[1].add(address)
        for block in self._blocks(network):
            where, taken = used.get(block, (region, set()))
            free = next((one for one in list(block.hosts())[_FIRST - 1 :] if one not in taken), None)
            if where == region and free is not None:
                return str(free)
        return None

    def _blocks(self, network: str) -> Iterator[IPv4Network]:
        for one in self._connections.ranges(network):
            if one.prefixlen <= _BLOCK:
                yield from one.subnets(new_prefix=_BLOCK)

    def require_allocated(self, record: Json) -> None:
        """Ends an operation as Cloud SQL does when there was no free block for the instance."""
        if self.network(record["settings"]) and address_of(record) is None:
            raise ApiError(
                "INTERNAL",
                "Failed to create subnetwork. Couldn't find free blocks in allocated IP ranges. Please allocate new ranges for this "
                "service provider.",
            )

    def leads_to(self, network: str | None, settings: Json) -> bool:
        """Whether what is in a network reaches the private address of an instance."""
        return (
            network is not None
            and network == self.network(settings)
            and bool(self._connections.ranges(network))
        )


def address_of(record: Json) -> IPv4Address | None:
    """The private address of an instance; one that is being made has none yet."""
    found = (
        IPv4Address(one["ipAddress"]) for one in record.get("ipAddresses", ()) if one["type"] == "PRIVATE"
    )
    return next(found, None)
