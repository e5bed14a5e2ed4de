"""Networks, subnetworks, reserved addresses and routers: what they are filled in with, and what they refuse. No packet is carried by them.

Sources: https://cloud.google.com/compute/docs/reference/rest/v1 (networks, subnetworks, addresses, globalAddresses, routers),
https://cloud.google.com/vpc/docs/subnets (ranges), and the recordings that facts.yaml names.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Iterator

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.engine.service import Call
from gcp_emulator.services.compute import places
from gcp_emulator.services.compute.kinds import Kind

_Network = ipaddress.IPv4Network
#: What reserved addresses are taken from. External ones are of ranges that nobody has (RFC 2544, RFC 3849): a call to them reaches nobody.
_INTERNAL = ipaddress.IPv4Network("10.0.0.0/8")
_EXTERNAL = ipaddress.IPv4Network("198.18.0.0/15")
_EXTERNAL_6 = ipaddress.IPv6Network("2001:db8::/32")
#: What auto mode reserves for its subnets (https://cloud.google.com/vpc/docs/subnets#ip-ranges).
_AUTO_MODE = ipaddress.IPv4Network("10.128.0.0/9")
_ROUTING = {"routingMode": "REGIONAL", "bgpBestPathSelectionMode": "LEGACY"}


def make_default(context: Context, project: str) -> None:
    """The network of auto mode that a project has when the API is enabled in it."""
    path = f"projects/{project}/global/networks/default"
    network = {
        "autoCreateSubnetworks": True,
        "description": "Default network for the project",
        "routingConfig": _ROUTING,
    }
    NETWORKS.add(context, path, network)


def declare(context: Context, project: str, name: str, region: str, cidr: str) -> str:
    """A network of custom mode with one subnetwork of the same name, unless it is there; returns its path."""
    path = f"projects/{project}/global/networks/{name}"
    subnetwork = f"projects/{project}/regions/{region}/subnetworks/{name}"
    if NETWORKS.find(context, path) is None:
        NETWORKS.add(context, path, {"autoCreateSubnetworks": False, "routingConfig": _ROUTING})
    if SUBNETWORKS.find(context, subnetwork) is None:
        SUBNETWORKS.add(context, subnetwork, {"ipCidrRange": cidr, "network": places.link_to(path)})
    return path


def reserve(context: Context, network: str, name: str, cidr: str) -> None:
    """Reserves a range of the network for peering, unless there is one of this name."""
    path = f"projects/{network.split('/')[1]}/global/addresses/{name}"
    address, _, length = cidr.partition("/")
    if ADDRESSES.find(context, path) is None:
        kind = {"addressType": "INTERNAL", "purpose": "VPC_PEERING", "status": "RESERVED"}
        ADDRESSES.add(
            context, path, {**kind, "address": address, "prefixLength": int(length), "network": network}
        )


def _network_made(context: Context, network: str, record: Json) -> None:
    """Auto mode has one subnetwork in every region, called like the network."""
    if not record["autoCreateSubnetworks"]:
        return
    _, project, _, _, name = network.split("/")
    for region, facts in places.regions().items():
        path = f"projects/{project}/regions/{region}/subnetworks/{name}"
        if SUBNETWORKS.find(context, path) is None:
            SUBNETWORKS.add(
                context, path, {"ipCidrRange": facts["range"], "network": places.link_to(network)}
            )


def add_peering(context: Context, network: str, peering: Json) -> None:
    """Peers a network; a peering of the same name is replaced. ApiError NOT_FOUND."""
    record = NETWORKS.require(context, network)
    others = [one for one in record.get("peerings", []) if one["name"] != peering["name"]]
    NETWORKS.put(context, network, record | {"peerings": [*others, peering]})


def remove_peering(context: Context, network: str, name: str) -> None:
    """Ends a peering. ApiError INVALID_ARGUMENT where there is none of this name."""
    record = NETWORKS.require(context, network)
    others = [one for one in record.get("peerings", []) if one["name"] != name]
    if len(others) == len(record.get("peerings", [])):
        raise invalid_argument(
            f"Invalid value for field 'name': '{name}'. There is no peering '{name}' in network '{network}'.",
            reason="invalid",
        )
    NETWORKS.put(context, network, record | {"peerings": others})


# ---------------------------------------------------------------- networks


def _complete_network(call: Call, path: str, network: Json, before: Json | None) -> Json:
    if "autoCreateSubnetworks" not in network:
        raise invalid_argument(
            "gcp-emulator does not emulate legacy networks; autoCreateSubnetworks has to be said.",
            reason="invalid",
        )
    return network | {"routingConfig": _ROUTING | network.get("routingConfig", {})}


def _show_network(context: Context, path: str, network: Json) -> Json:
    project = path.split("/")[1]
    link = places.link_to(path)
    subnetworks = [
        places.link_to(name)
        for name, one in SUBNETWORKS.of(context, f"projects/{project}/regions/")
        if one["network"] == link
    ]
    return network | {"subnetworks": subnetworks} if subnetworks else network


def _network_kept_by(network: Json, path: str, user: str) -> bool:
    """Auto mode's own subnetworks keep nobody: they go with their network."""
    own = "/subnetworks/" in user and user.endswith(f"/{network['name']}")
    return not (own and network["autoCreateSubnetworks"])


def _network_gone(context: Context, network: str, record: Json) -> None:
    """The subnetworks of auto mode go with their network."""
    project, link = network.split("/")[1], places.link_to(network)
    for path, one in list(SUBNETWORKS.of(context, f"projects/{project}/regions/")):
        if one["network"] == link:
            context.store.collection(SUBNETWORKS.store).delete(path)


# ---------------------------------------------------------------- subnetworks


def _complete_subnetwork(call: Call, path: str, subnetwork: Json, before: Json | None) -> Json:
    network, _ = NETWORKS.referred(call, "network", subnetwork["network"])
    subnetwork["network"] = places.link_to(network)
    given = _range(subnetwork["ipCidrRange"])
    if before is None:
        for other, one in SUBNETWORKS.of(call.context, f"projects/{call.params['project']}/regions/"):
            if one["network"] == subnetwork["network"] and given.overlaps(_range(one["ipCidrRange"])):
                raise invalid_argument(
                    f"Invalid IPCidrRange: {given} conflicts with existing subnetwork '{other.rpartition('/')[2]}' in region "
                    f"'{other.split('/')[3]}'.",
                    reason="invalid",
                )
    return subnetwork


def _show_subnetwork(context: Context, path: str, subnetwork: Json) -> Json:
    return subnetwork | {"gatewayAddress": str(_range(subnetwork["ipCidrRange"])[1])}


def _range(text: str) -> _Network:
    """The range of a text; ApiError INVALID_ARGUMENT."""
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError:
        found = None
    if found is None or not 4 <= found.prefixlen <= 29:
        raise invalid_argument(
            f"Invalid value for field 'resource.ipCidrRange': '{text}'. Must be a valid IPv4 range of at least 8 addresses.",
            reason="invalid",
        )
    return found


# ---------------------------------------------------------------- addresses


def _complete_address(call: Call, path: str, address: Json, before: Json | None) -> Json:
    regional = "region" in call.params
    internal = address.get("addressType") == "INTERNAL"
    if "network" in address:
        NETWORKS.referred(call, "network", address["network"])
    if not regional:
        if internal and address.get("purpose") not in ("VPC_PEERING", "PRIVATE_SERVICE_CONNECT"):
            raise invalid_argument(
                "Invalid value for field 'resource.purpose': a global internal address is for VPC_PEERING or PRIVATE_SERVICE_CONNECT.",
                reason="invalid",
            )
        if address.get("purpose") == "VPC_PEERING" and not address.get("prefixLength"):
            raise invalid_argument("Required field 'resource.prefixLength' not specified", reason="required")
    elif internal:
        address.setdefault("purpose", "GCE_ENDPOINT")
        if "network" not in address:
            project, region = call.params["project"], call.params["region"]
            address.setdefault("subnetwork", f"projects/{project}/regions/{region}/subnetworks/default")
            SUBNETWORKS.referred(call, "subnetwork", address["subnetwork"])
    address.setdefault("address", _free_address(call, address))
    return address | {"status": "RESERVED"}


def _free_address(call: Call, address: Json) -> str:
    """An address or the first one of a range that nothing has."""
    if address.get("ipVersion") == "IPV6":
        return str(_EXTERNAL_6[secrets.randbits(64)])
    if address.get("addressType") != "INTERNAL":
        return external_address(call.context)
    if "subnetwork" in address:
        _, subnetwork = SUBNETWORKS.referred(call, "subnetwork", address["subnetwork"])
        whole, length = _range(subnetwork["ipCidrRange"]), 32
        # The first two and the last two belong to Google (https://cloud.google.com/vpc/docs/subnets#unusable-ip-addresses-in-every-subnet).
        kept = [_Network(whole[number]) for number in (0, 1, -2, -1)]
    else:
        whole, length = _INTERNAL, int(address.get("prefixLength") or 32)
        kept = [_AUTO_MODE]
    used = [
        *kept,
        *_ranges(call, address.get("network") or subnetwork["network"], within="subnetwork" in address),
    ]
    if not whole.prefixlen <= length <= 32:
        raise invalid_argument(
            f"Invalid value for field 'resource.prefixLength': '{length}'. There is no such range.",
            reason="invalid",
        )
    free = next((one for one in _subranges(whole, length, used)), None)
    if free is None:
        raise ApiError("RESOURCE_EXHAUSTED", f"The range {whole} is exhausted.", code=400, reason="invalid")
    return str(free.network_address)


def external_address(context: Context, besides: Iterable[str] = ()) -> str:
    """An external address that nothing has, and that is none of ``besides``."""
    taken: set[str | None] = {*besides, *_of_instances(context, "projects/")}
    taken |= {one.get("address") for _, one in ADDRESSES.of(context, "projects/")}
    rules = context.store.collection("compute.forwardingRules").items()
    taken |= {one.get("IPAddress") for _, one in rules}
    return next(str(one) for one in _EXTERNAL.hosts() if str(one) not in taken)


def _of_instances(context: Context, prefix: str) -> Iterator[str]:
    """The addresses of instances."""
    for _, instance in context.store.collection(places.INSTANCES).items(prefix):
        yield from addresses_of(instance)


def addresses_of(instance: Json) -> Iterator[str]:
    """All addresses of an instance; one that is being made has none yet."""
    for interface in instance["networkInterfaces"]:
        for one in (
            interface.get("networkIP"),
            *(it.get("natIP") for it in interface.get("accessConfigs", [])),
        ):
            if one:
                yield one


def reserved_in(context: Context, subnetwork: str) -> Iterator[str]:
    """The addresses of a subnetwork that are reserved."""
    project, projects = subnetwork.split("/")[1], context.projects
    for _, one in ADDRESSES.of(context, f"projects/{project}/regions/"):
        if one.get("subnetwork") and places.path_of(one["subnetwork"], project, projects) == subnetwork:
            yield one["address"]


def used_in(context: Context, subnetwork: str, *, besides: str = "") -> Iterator[str]:
    """The addresses of a subnetwork that instances have, ``besides`` one instance."""
    project, projects = subnetwork.split("/")[1], context.projects
    for path, instance in context.store.collection(places.INSTANCES).items(f"projects/{project}/zones/"):
        for interface in instance["networkInterfaces"] if path != besides else ():
            used = interface.get("networkIP")
            if used and places.path_of(interface["subnetwork"], project, projects) == subnetwork:
                yield used


def users_of_address(context: Context, path: str, address: Json) -> Iterator[str]:
    """The instances that have an address, which their interfaces name by its number."""
    for user, instance in context.store.collection(places.INSTANCES).items(
        f"projects/{path.split('/')[1]}/zones/"
    ):
        if address.get("address") in set(addresses_of(instance)):
            yield user


def _show_address(context: Context, path: str, address: Json) -> Json:
    users = [places.link_to(user) for user in users_of_address(context, path, address)]
    return address | {"status": "IN_USE", "users": users} if users else address


def _ranges(call: Call, network: str, *, within: bool) -> Iterator[_Network]:
    """What of a network's addresses is taken: by what is reserved in it or in its subnetworks, and, unless it is looked ``within`` these, by them."""
    project, projects = call.params["project"], call.context.projects
    path = places.path_of(network, project, projects)
    subnetworks = set()
    for name, one in SUBNETWORKS.of(call.context, f"projects/{project}/regions/"):
        if one["network"] == places.link_to(path):
            subnetworks.add(name)
            if not within:
                yield _range(one["ipCidrRange"])
    for _, one in ADDRESSES.of(call.context, f"projects/{project}/"):
        place = one.get("network") or one.get("subnetwork")
        if place and places.path_of(place, project, projects) in {path, *subnetworks}:
            yield ipaddress.IPv4Network(f"{one['address']}/{one.get('prefixLength', 32)}", strict=False)


def _subranges(whole: _Network, length: int, used: Iterable[_Network]) -> Iterator[_Network]:
    """The ranges of this length that overlap with nothing used, in order."""
    taken = sorted((one for one in used if one.overlaps(whole)), key=lambda one: one.network_address)
    size, start, end = 2 ** (32 - length), int(whole.network_address), int(whole.broadcast_address)
    while start + size - 1 <= end:
        here = ipaddress.IPv4Network((start, length))
        if blocking := next((one for one in taken if one.overlaps(here)), None):
            start = -(-(int(blocking.broadcast_address) + 1) // size) * size
            continue
        yield here
        start += size


# ---------------------------------------------------------------- routers


def _complete_router(call: Call, path: str, router: Json, before: Json | None) -> Json:
    NETWORKS.referred(call, "network", router["network"])
    for nat in router.get("nats", []):
        for name, value in _NAT.items():
            nat.setdefault(name, value)
    return router


#: What a NAT is filled in with.
_NAT = {
    "autoNetworkTier": "PREMIUM",
    "effectiveTcpTimeWaitTimeoutSec": 120,
    "endpointTypes": ["ENDPOINT_TYPE_VM"],
    "type": "PUBLIC",
}

NETWORKS = Kind(
    schema="Network",
    collection="networks",
    methods=("networks",),
    noun="network",
    defaults={"networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL"},
    complete=_complete_network,
    operation_types={"patch": "compute.networks.patch"},
    kept_by=_network_kept_by,
    show=_show_network,
    made=_network_made,
    gone=_network_gone,
)
SUBNETWORKS = Kind(
    schema="Subnetwork",
    collection="subnetworks",
    methods=("subnetworks",),
    noun="subnetwork",
    required=("name", "network", "ipCidrRange"),
    defaults={
        "privateIpGoogleAccess": False,
        "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
        "purpose": "PRIVATE",
        "stackType": "IPV4_ONLY",
        "state": "READY",
    },
    immutable=frozenset({"name", "network", "ipCidrRange"}),
    refers=frozenset({"network"}),
    complete=_complete_subnetwork,
    show=_show_subnetwork,
    setters=frozenset({"setPrivateIpGoogleAccess"}),
)
ADDRESSES = Kind(
    schema="Address",
    collection="addresses",
    methods=("addresses", "globalAddresses"),
    noun="address",
    defaults={"addressType": "EXTERNAL", "description": "", "networkTier": "PREMIUM"},
    refers=frozenset({"network", "subnetwork"}),
    as_written=frozenset({"network", "subnetwork"}),
    complete=_complete_address,
    used_by=users_of_address,
    show=_show_address,
)
ROUTERS = Kind(
    schema="Router",
    collection="routers",
    methods=("routers",),
    noun="router",
    required=("name", "network"),
    defaults={"encryptedInterconnectRouter": False},
    immutable=frozenset({"name"}),
    refers=frozenset({"network"}),
    complete=_complete_router,
)
KINDS = (NETWORKS, SUBNETWORKS, ADDRESSES, ROUTERS)
