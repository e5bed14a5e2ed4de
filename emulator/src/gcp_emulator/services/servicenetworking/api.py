"""Service Networking v1: private connections of networks to Google's services, and the DNS domains that these may ask for.

A connection is a peering of the consumer's network; it lasts as long as that. Nothing is routed through it.
Source: https://cloud.google.com/service-infrastructure/docs/service-networking/reference/rest/v1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import ClassVar

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import (
    ErrorStyle,
    Json,
    already_exists,
    failed_precondition,
    invalid_argument,
    not_found,
    permission_denied,
)
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.services.compute.ports import Networks
from gcp_emulator.services.servicenetworking.ports import Connections

_TYPES = "type.googleapis.com/google.cloud.servicenetworking.v1"
#: The one service that offers peering here: Google's own producers (Cloud SQL, Memorystore, ...) share it.
_SERVICE = "services/servicenetworking.googleapis.com"


class ServiceNetworking(Service):
    api = "servicenetworking"
    error_style: ClassVar[ErrorStyle] = "rpc"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._networks = context.ports.find(Networks)
        #: By the path of the network: its connection, and below it the DNS domains.
        self._connections = context.store.collection("servicenetworking.connections")
        self._domains = context.store.collection("servicenetworking.domains")
        context.ports.offer(Connections, self)

    # For the emulator's other services.

    def ranges(self, network: str) -> list[IPv4Network]:
        """The ranges that the connection of a network may use; none where the network is not connected."""
        project = network.split("/")[1]
        names = (self._connection(network) or {}).get("reservedPeeringRanges", [])
        found = (self._networks.find(f"projects/{project}/global/addresses/{name}") for name in names)
        return [IPv4Network(f"{one['address']}/{one['prefixLength']}", strict=False) for one in found if one]

    def connect(self, network: str, ranges: list[str]) -> None:
        """Connects a network, which may use the reserved ranges of these names."""
        self._connections.put(network, {"reservedPeeringRanges": ranges})
        self._networks.add_peering(network, _peering_of(network))

    @handles("servicenetworking.operations.get")
    async def get_operation(self, call: Call) -> Json:
        return self.context.operations.get(call.params["name"])

    # ---------------------------------------------------------------- connections

    @handles("servicenetworking.services.connections.list")
    async def list_connections(self, call: Call) -> Json:
        network = self._network(call, str(call.params.get("network") or ""), "servicenetworking.services.get")
        _require_service(call.params["parent"])
        connection = self._connection(network)
        return {} if connection is None else {"connections": [self._view(network, connection)]}

    @handles("servicenetworking.services.connections.create")
    async def create_connection(self, call: Call) -> Json:
        _require_service(call.params["parent"])
        network = self._network(call, call.body.get("network", ""), "servicenetworking.services.addPeering")
        before = self._connection(network)
        wanted = self._ranges(network, call.body.get("reservedPeeringRanges", []))
        if before is not None and set(before["reservedPeeringRanges"]) - set(wanted):
            raise failed_precondition(
                "Cannot modify allocated ranges in CreateConnection. Please use UpdateConnection."
            )
        return self._connect(call, network, wanted)

    @handles("servicenetworking.services.connections.patch")
    async def patch_connection(self, call: Call) -> Json:
        """The name is that of the peering, or ``-``; ``force`` also makes a connection that is not there."""
        service, _, peering = call.params["name"].partition("/connections/")
        _require_service(service)
        network = self._network(call, call.body.get("network", ""), "servicenetworking.services.addPeering")
        if peering not in ("-", _peering(service)) or (
            self._connection(network) is None and not call.params.get("force")
        ):
            raise not_found(f"Connection '{peering}' of network '{network}' was not found.")
        return self._connect(call, network, self._ranges(network, call.body.get("reservedPeeringRanges", [])))

    def _connect(self, call: Call, network: str, ranges: list[str]) -> Json:
        def connect() -> Json:
            self.connect(network, ranges)
            return {"@type": f"{_TYPES}.Connection", **self._view(network, {"reservedPeeringRanges": ranges})}

        return self._begin(call, network, connect)

    @handles("servicenetworking.services.connections.deleteConnection")
    async def delete_connection(self, call: Call) -> Json:
        service, _, peering = call.params["name"].partition("/connections/")
        _require_service(service)
        network = self._network(
            call, call.body.get("consumerNetwork", ""), "servicenetworking.services.deleteConnection"
        )
        if peering != _peering(service) or self._connection(network) is None:
            raise not_found(f"Connection '{peering}' of network '{network}' was not found.")

        def disconnect() -> Json:
            self._networks.remove_peering(network, peering)
            return {"@type": "type.googleapis.com/google.protobuf.Empty"}

        return self._begin(call, network, disconnect)

    def _connection(self, network: str) -> Json | None:
        """The connection of a network. Whoever removes the peering, in Compute Engine too, has removed it."""
        peerings = (self._networks.find(network) or {}).get("peerings", [])
        peered = any(one["name"] == _peering(_SERVICE) for one in peerings)
        return self._connections.get(network) if peered else None

    def _ranges(self, network: str, names: list[str]) -> list[str]:
        """The names of ranges, each of an address that is reserved for peering in this network."""
        if not names:
            raise invalid_argument(
                "At least one reserved peering range has to be given.", field="reservedPeeringRanges"
            )
        for name in names:
            project = network.split("/")[1]
            address = self._networks.find(f"projects/{project}/global/addresses/{name}")
            if (
                address is None
                or address.get("purpose") != "VPC_PEERING"
                or not self._is_of(address, network)
            ):
                raise invalid_argument(
                    f"The range '{name}' is not reserved for VPC_PEERING in '{network}'.",
                    field="reservedPeeringRanges",
                )
        return names

    def _is_of(self, address: Json, network: str) -> bool:
        """Whether an address is reserved in a network, which it names as it was written: by a link, or with or without the project."""
        found = re.search(r"(projects/[^/]+/)?(global/networks/[^/]+)$", str(address.get("network", "")))
        if found is None:
            return False
        project = found[1] or f"projects/{network.split('/')[1]}/"
        return self.context.projects.canonical(project + found[2]) == network

    def _view(self, network: str, connection: Json) -> Json:
        return {
            "network": self._numbered(network),
            "peering": _peering(_SERVICE),
            "reservedPeeringRanges": connection["reservedPeeringRanges"],
            "service": _SERVICE,
        }

    # ---------------------------------------------------------------- DNS domains

    @handles("servicenetworking.services.projects.global.networks.peeredDnsDomains.list")
    async def list_domains(self, call: Call) -> Json:
        network = self._within(call, call.params["parent"], "listPeeredDnsDomains")
        found = [one for _, one in self._domains.items(f"{network}/")]
        return {"peeredDnsDomains": found} if found else {}

    @handles("servicenetworking.services.projects.global.networks.peeredDnsDomains.create")
    async def create_domain(self, call: Call) -> Json:
        network = self._within(call, call.params["parent"], "createPeeredDnsDomain")
        name, suffix = str(call.body.get("name", "")), str(call.body.get("dnsSuffix", ""))
        if not name or not suffix.endswith("."):
            raise invalid_argument(
                "A peered DNS domain has a name, and a suffix that ends with a dot.", field="dnsSuffix"
            )
        if f"{network}/{name}" in self._domains:
            raise already_exists(f"The peered DNS domain '{name}' already exists.")
        domain = {"name": name, "dnsSuffix": suffix}

        def create() -> Json:
            self._domains.put(f"{network}/{name}", domain)
            return {"@type": f"{_TYPES}.PeeredDnsDomain", **domain}

        return self._begin(call, network, create)

    @handles("servicenetworking.services.projects.global.networks.peeredDnsDomains.delete")
    async def delete_domain(self, call: Call) -> Json:
        parent, _, name = call.params["name"].partition("/peeredDnsDomains/")
        network = self._within(call, parent, "deletePeeredDnsDomain")
        if f"{network}/{name}" not in self._domains:
            raise not_found(f"The peered DNS domain '{name}' was not found.")

        def delete() -> Json:
            self._domains.delete(f"{network}/{name}")
            return {"@type": "type.googleapis.com/google.protobuf.Empty"}

        return self._begin(call, network, delete)

    def _within(self, call: Call, parent: str, verb: str) -> str:
        """The network that the path of DNS domains names, which has to be connected."""
        service, _, rest = parent.partition("/projects/")
        _require_service(service)
        network = self._network(call, f"projects/{rest}", f"servicenetworking.services.{verb}")
        if self._connection(network) is None:
            raise failed_precondition(f"There is no private connection of '{network}'.")
        return network

    # ---------------------------------------------------------------- both

    def _network(self, call: Call, given: str, permission: str) -> str:
        """The path of a network of a project of the caller; ApiError."""
        network = self.context.projects.canonical(given)
        parts = network.split("/")
        if len(parts) != 5 or parts[0] != "projects" or parts[2:4] != ["global", "networks"] or not parts[4]:
            raise invalid_argument(
                "The network has to be of the form projects/{project}/global/networks/{network}.",
                field="network",
            )
        project = parts[1]
        if self.context.projects.find(project) is None:
            raise permission_denied(permission, f"projects/{project}")
        self.context.projects.require_enabled(
            project, "servicenetworking.googleapis.com", "Service Networking API"
        )
        call.require(permission, f"projects/{project}")
        if self._networks.find(network) is None:
            raise invalid_argument(f"The network '{network}' was not found.", field="network")
        return network

    def _numbered(self, network: str) -> str:
        _, project, *rest = network.split("/")
        return "/".join(["projects", self.context.projects.number(project), *rest])

    def _begin(self, call: Call, network: str, work: Callable[[], Json]) -> Json:
        async def run() -> Json:
            return work()

        number = self.context.projects.number(network.split("/")[1])
        name = f"operations/pssn.p24-{number}-{clock.new_id()}"
        return self.context.operations.start(name, run(), key=call.method.id)


def _require_service(service: str) -> None:
    if service not in (_SERVICE, "services/-"):
        raise invalid_argument(f"gcp-emulator knows no producer {service} but {_SERVICE}.", field="parent")


def _peering(service: str) -> str:
    """What the peering of a service is called."""
    return service.removeprefix("services/").replace(".", "-")


def _peering_of(network: str) -> Json:
    """The peering as the consumer's network shows it; the producer's network is Google's."""
    producer = f"servicenetworking-{clock.new_id()[:8]}-tp"
    return {
        "name": _peering(_SERVICE),
        "network": f"https://www.googleapis.com/compute/v1/projects/{producer}/global/networks/servicenetworking",
        "state": "ACTIVE",
        "stateDetails": f"[{clock.timestamp()}]: Connected.",
        "autoCreateRoutes": True,
        "exchangeSubnetRoutes": True,
        "exportCustomRoutes": False,
        "importCustomRoutes": False,
        "exportSubnetRoutesWithPublicIp": False,
        "importSubnetRoutesWithPublicIp": False,
        "stackType": "IPV4_ONLY",
    }
