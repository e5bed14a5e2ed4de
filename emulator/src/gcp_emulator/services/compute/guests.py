"""What a machine is told of itself by its metadata server.

Source: https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys. Assumed: that the hardware address of an interface follows from its IP
address, and what is the same for all machines here (no maintenance, nothing preempted).
"""

from __future__ import annotations

import ipaddress
from functools import partial
from typing import Any

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json
from gcp_emulator.front.server import http_handler
from gcp_emulator.front.tasks import ConnectionHandler
from gcp_emulator.services.compute import places
from gcp_emulator.services.compute.networks import SUBNETWORKS
from gcp_emulator.services.metadata.ports import MetadataServers, Told
from gcp_emulator.workloads.machines import Guest

_MTU = 1460


def metadata_server(
    context: Context, path: str, image: str, account: Json, guest: Guest
) -> ConnectionHandler:
    """What answers a machine's connections to its metadata server. ``account`` is the one that it acts as ({} for none)."""
    told = Told(
        path,
        account.get("email", ""),
        tuple(account.get("scopes", [])),
        partial(describe, context, path, image),
    )
    return http_handler(context.ports.find(MetadataServers).machine(told, guest))


def describe(context: Context, path: str, image: str) -> Json:
    """What is below ``instance/`` of a stored instance; folders are dictionaries. {} when it has just been deleted."""
    instance = context.store.collection(places.INSTANCES).get(path)
    if instance is None:
        return {}
    _, project, _, zone, _, name = path.split("/")
    number = context.projects.number(project)
    scheduling = instance["scheduling"]
    return {
        "cpu-platform": instance.get("cpuPlatform", "Intel Broadwell"),
        "description": instance.get("description", ""),
        "disks": _numbered([_disk(disk) for disk in instance["disks"]]),
        "hostname": instance.get("hostname") or f"{name}.{zone}.c.{project}.internal",
        "id": int(instance["id"]),
        "image": image,
        "machine-type": f"projects/{number}/machineTypes/{str(instance.get('machineType', '')).rpartition('/')[2]}",
        "maintenance-event": "NONE",
        "name": name,
        "network-interfaces": _numbered(
            [_interface(context, project, one) for one in instance["networkInterfaces"]]
        ),
        "preempted": "FALSE",
        "scheduling": {
            "automatic-restart": _flag(scheduling["automaticRestart"]),
            "on-host-maintenance": scheduling["onHostMaintenance"],
            "preemptible": _flag(scheduling["preemptible"]),
        },
        "tags": list(instance["tags"].get("items", [])),
        "zone": f"projects/{number}/zones/{zone}",
    }


def _numbered(items: list[Json]) -> Json:
    return {str(number): one for number, one in enumerate(items)}


def _flag(value: Any) -> str:
    return "TRUE" if value else "FALSE"


def _disk(disk: Json) -> Json:
    return {
        "device-name": disk["deviceName"],
        "index": disk["index"],
        "interface": disk["interface"],
        "mode": disk["mode"],
        "type": disk["type"],
    }


def _interface(context: Context, project: str, interface: Json) -> Json:
    network = places.path_of(interface["network"], project, context.projects)
    owner, name = network.split("/")[1], network.rpartition("/")[2]
    address = interface["networkIP"]
    subnetwork = SUBNETWORKS.find(context, places.path_of(interface["subnetwork"], project, context.projects))
    whole = ipaddress.IPv4Network(subnetwork["ipCidrRange"] if subnetwork else f"{address}/32")
    return {
        "access-configs": _numbered(
            [
                {"external-ip": config.get("natIP", ""), "type": config["type"]}
                for config in interface.get("accessConfigs", [])
            ]
        ),
        "dns-servers": ["169.254.169.254"],
        "forwarded-ips": {},
        "gateway": str(whole[1] if whole.num_addresses > 1 else whole[0]),
        "ip": address,
        "mac": "42:01:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed),
        "mtu": _MTU,
        "network": f"projects/{context.projects.number(owner)}/networks/{name}",
        "subnetmask": str(whole.netmask),
    }
