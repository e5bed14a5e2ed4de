"""The life of instances: how one is filled in, made with its disks, started, stopped and removed, whoever asks for it: a caller, or a group's manager.

What starts a machine is behind a port (`workloads.machines`). Sources: https://cloud.google.com/compute/docs/instances/instance-life-cycle (states), the
recordings that facts.yaml names, and for texts the issues that are named beside them.
"""

from __future__ import annotations

import contextlib
import copy
import ipaddress
from collections.abc import Iterator
from functools import partial

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.services.compute import catalogue, guests, places
from gcp_emulator.services.compute.disks import DISKS, prepared_disk, users_of_disk
from gcp_emulator.services.compute.kinds import fingerprint
from gcp_emulator.services.compute.networks import (
    ADDRESSES,
    NETWORKS,
    SUBNETWORKS,
    external_address,
    reserved_in,
    used_in,
    users_of_address,
)
from gcp_emulator.workloads.machines import Machine, MachineError

_SCHEDULING = {
    "automaticRestart": True,
    "onHostMaintenance": "MIGRATE",
    "preemptible": False,
    "provisioningModel": "STANDARD",
}
#: Secure boot is off unless it is asked for.
_SHIELDED = {"enableSecureBoot": False, "enableVtpm": True, "enableIntegrityMonitoring": True}


def instances(context: Context, prefix: str) -> Iterator[tuple[str, Json]]:
    """Path and instance of all whose paths begin so."""
    return iter(context.store.collection(places.INSTANCES).items(prefix))


# ---------------------------------------------------------------- what an instance is filled in with


def prepared(context: Context, path: str, instance: Json) -> Json:
    """An instance as it is made. ApiError INVALID_ARGUMENT."""
    zone = path.split("/")[3]
    if instance.get("machineType"):
        catalogue.require_machine_type("machineType", instance["machineType"], zone)
    instance["disks"] = [
        attached_disk(context, path, number, disk) for number, disk in enumerate(instance.get("disks", []))
    ]
    instance["networkInterfaces"] = [
        _interface(context, path, number, one)
        for number, one in enumerate(instance.get("networkInterfaces", []))
    ]
    # Refused before anything is made, and given as it is made: two that are asked for at once do not have the same.
    _addressed(context, path, instance["networkInterfaces"])
    instance["scheduling"] = {**_SCHEDULING, **instance.get("scheduling", {})}
    instance["shieldedInstanceConfig"] = {**_SHIELDED, **instance.get("shieldedInstanceConfig", {})}
    instance["metadata"] = with_fingerprint(instance.get("metadata", {}), kind="compute#metadata")
    instance["tags"] = with_fingerprint(instance.get("tags", {}))
    for name in ("canIpForward", "deletionProtection", "startRestricted"):
        instance.setdefault(name, False)
    instance.pop("zone", None)
    return instance | {"status": "PROVISIONING"}


def with_fingerprint(message: Json, *, kind: str = "") -> Json:
    """Metadata or tags with the fingerprint of their content."""
    content = {name: value for name, value in message.items() if name not in ("fingerprint", "kind")}
    return {**content, **({"kind": kind} if kind else {}), "fingerprint": fingerprint(content)}


def attached_disk(context: Context, path: str, number: int, disk: Json) -> Json:
    """A disk as it is attached to an instance. ApiError INVALID_ARGUMENT."""
    project, field = path.split("/")[1], f"disks[{number}]"
    boot = bool(disk.get("boot"))
    filled = {
        "autoDelete": False,
        "boot": boot,
        "deviceName": "boot" if boot else f"persistent-disk-{number}",
        "interface": "SCSI",
        "mode": "READ_WRITE",
        "type": "PERSISTENT",
    }
    attached = {**filled, **disk, "index": number, "kind": "compute#attachedDisk"}
    if disk.get("source"):
        source, _ = DISKS.refer(context, project, f"{field}.source", disk["source"])
        for user, mode in users_of_disk(context, source):
            if "READ_WRITE" in (mode, attached["mode"]):
                raise invalid_argument(
                    f"The disk resource '{source}' is already being used by '{user}'",
                    reason="resourceInUseByAnotherResource",
                )
    elif "initializeParams" in disk:
        # Refused before anything is made.
        new_disk(context, path, attached)
    elif attached["type"] != "SCRATCH":
        raise invalid_argument(
            f"Invalid value for field 'resource.{field}': ''. A source or initializeParams has to be given.",
            reason="invalid",
        )
    return attached


def new_disk(context: Context, path: str, attached: Json) -> tuple[str, Json]:
    """Path and disk of what ``initializeParams`` asks for. ApiError INVALID_ARGUMENT."""
    given = attached["initializeParams"]
    name = path.rpartition("/")[2]
    default = name if attached["boot"] else f"{name}-{attached['index']}"
    disk_path = f"{path.partition('/instances/')[0]}/disks/{given.get('diskName') or default}"
    _, project, _, zone, *_ = path.split("/")
    kind = str(given.get("diskType") or "pd-standard").rpartition("/")[2]
    disk = {
        "type": f"projects/{project}/zones/{zone}/diskTypes/{kind}",
        "sizeGb": given.get("diskSizeGb"),
        **{
            key: given[key]
            for key in ("sourceImage", "sourceSnapshot", "labels", "description")
            if key in given
        },
    }
    field = f"disks[{attached['index']}].initializeParams."
    return disk_path, prepared_disk(context, disk_path, DISKS.new(disk_path, disk), field)


def _interface(context: Context, path: str, number: int, interface: Json) -> Json:
    """An interface in its network, yet without the addresses that it is given."""
    _, project, _, zone, *_ = path.split("/")
    region, field = zone[:-2], f"networkInterfaces[{number}]"
    filled = {**interface, "name": f"nic{number}", "kind": "compute#networkInterface"}
    if not (interface.get("network") or interface.get("subnetwork")):
        filled["network"] = f"projects/{project}/global/networks/default"
    if interface.get("subnetwork"):
        subnet_path, subnetwork = SUBNETWORKS.refer(
            context, project, f"{field}.subnetwork", interface["subnetwork"]
        )
        filled.setdefault("network", subnetwork["network"])
    else:
        network, record = NETWORKS.refer(context, project, f"{field}.network", filled["network"])
        subnet_path = f"projects/{project}/regions/{region}/subnetworks/{network.rpartition('/')[2]}"
        if not record["autoCreateSubnetworks"] or SUBNETWORKS.find(context, subnet_path) is None:
            raise invalid_argument(
                f"Invalid value for field 'resource.{field}': ''. Subnetwork should be specified for custom subnetmode network",
                reason="invalid",
            )
        filled["subnetwork"] = places.link_to(subnet_path)
    if subnet_path.split("/")[3] != region:
        raise invalid_argument(
            f"Invalid value for field 'resource.{field}.subnetwork': '{interface['subnetwork']}'. Subnetwork '{subnet_path}' is not in region "
            f"'{region}'.",
            reason="invalid",
        )
    access = {"type": "ONE_TO_ONE_NAT", "networkTier": "PREMIUM", "name": "External NAT"}
    configs = [
        {**access, **config, "kind": "compute#accessConfig"} for config in interface.get("accessConfigs", [])
    ]
    return {"stackType": "IPV4_ONLY", **filled, **({"accessConfigs": configs} if configs else {})}


def _addressed(context: Context, path: str, interfaces: list[Json]) -> list[Json]:
    """The interfaces of an instance with addresses: those that they ask for, or free ones. ApiError INVALID_ARGUMENT."""
    _, project, _, zone, *_ = path.split("/")
    interfaces, taken = copy.deepcopy(interfaces), set[str]()
    for number, interface in enumerate(interfaces):
        field = f"networkInterfaces[{number}]"
        subnet_path = places.path_of(interface["subnetwork"], project, context.projects)
        asked = interface.get("networkIP")
        interface["networkIP"] = _internal_address(context, path, subnet_path, asked, field, taken)
        taken.add(interface["networkIP"])
        for config in interface.get("accessConfigs", []):
            if asked := config.get("natIP"):
                _check_external(context, path, zone[:-2], asked, field)
            config["natIP"] = asked or external_address(context, taken)
            taken.add(config["natIP"])
        interface["fingerprint"] = fingerprint(
            {key: value for key, value in interface.items() if key != "fingerprint"}
        )
    return interfaces


def _internal_address(
    context: Context, path: str, subnet_path: str, asked: str | None, field: str, taken: set[str]
) -> str:
    """An address of a subnetwork: the one that is asked for, which nobody has but may have reserved, or the first that is free."""
    subnetwork = SUBNETWORKS.require(context, subnet_path)
    whole = ipaddress.IPv4Network(subnetwork["ipCidrRange"])
    owned = {*taken, *used_in(context, subnet_path, besides=path)}
    if asked:
        if not _is_within(asked, whole) or asked in owned:
            raise invalid_argument(
                f"Invalid value for field 'resource.{field}.networkIP': '{asked}'. IP address is not free in the subnetwork's range {whole}.",
                reason="invalid",
            )
        return asked
    owned |= set(reserved_in(context, subnet_path))
    # The first two and the last two belong to Google.
    usable = (str(whole[number]) for number in range(2, whole.num_addresses - 2))
    address = next((one for one in usable if one not in owned), None)
    if address is None:
        raise ApiError(
            "IP_SPACE_EXHAUSTED", f"IP space of '{subnet_path}' is exhausted.", code=400, reason="invalid"
        )
    return address


def _is_within(text: str, whole: ipaddress.IPv4Network) -> bool:
    try:
        return ipaddress.IPv4Address(text) in whole
    except ValueError:
        return False


def _check_external(context: Context, path: str, region: str, asked: str, field: str) -> None:
    """ApiError INVALID_ARGUMENT unless an external address is reserved in the region, and nobody has it."""
    prefix = f"projects/{path.split('/')[1]}/regions/{region}/addresses/"
    found = next(((one, it) for one, it in ADDRESSES.of(context, prefix) if it.get("address") == asked), None)
    if found is None:
        why = f"The specified external IP address '{asked}' was not found in region '{region}'."
    elif any(user != path for user in users_of_address(context, *found)):
        why = f"External IP address: {asked} is already in-use."
    else:
        return
    raise invalid_argument(
        f"Invalid value for field 'resource.{field}.accessConfigs[0].natIP': '{asked}'. {why}",
        reason="invalid",
    )


# ---------------------------------------------------------------- what happens to one


async def make(context: Context, path: str, instance: Json) -> None:
    """Makes the disks of a stored instance and starts it. What was made is gone again when that fails. ApiError."""
    made: list[str] = []
    try:
        instance["networkInterfaces"] = _addressed(context, path, instance["networkInterfaces"])
        for attached in instance["disks"]:
            if "initializeParams" in attached and not attached.get("source"):
                disk_path, disk = new_disk(context, path, attached)
                DISKS.refuse_second(context, disk_path)
                DISKS.put(context, disk_path, disk)
                made.append(disk_path)
                attached["source"] = places.link_to(disk_path)
                attached["diskSizeGb"] = disk["sizeGb"]
        write(context, path, instance)
        await start(context, path)
    except ApiError:
        context.store.collection(places.INSTANCES).delete(path)
        for disk_path in made:
            context.store.collection(DISKS.store).delete(disk_path)
        raise


def write(context: Context, path: str, instance: Json) -> None:
    """Stores an instance with its fingerprint."""
    content = {key: value for key, value in instance.items() if key not in ("fingerprint", "status")}
    context.store.collection(places.INSTANCES).put(path, instance | {"fingerprint": fingerprint(content)})


def _set_status(context: Context, path: str, status: str, **fields: str) -> None:
    instance = context.store.collection(places.INSTANCES).get(path)
    # It may have been deleted meanwhile.
    if instance is not None:
        write(context, path, instance | {"status": status, **fields})


async def start(context: Context, path: str) -> None:
    """Starts the machine of an instance. ApiError, as an operation tells it."""
    instance = context.store.collection(places.INSTANCES).get(path)
    if instance is None:
        raise ApiError("NOT_FOUND", f"The resource '{path}' was not found", reason="notFound")
    with _told_by_an_operation():
        await context.machines.start(machine(context, path, instance))
    _set_status(context, path, "RUNNING", lastStartTimestamp=clock.timestamp())


def _ended(context: Context, path: str) -> None:
    """A machine has been shut down from inside (https://cloud.google.com/compute/docs/instances/instance-life-cycle)."""
    _set_status(context, path, "TERMINATED", lastStopTimestamp=clock.timestamp())


async def stop(context: Context, path: str) -> None:
    """Ends the machine of an instance; its disks stay."""
    _set_status(context, path, "STOPPING")
    await context.machines.stop(path)
    _set_status(context, path, "TERMINATED", lastStopTimestamp=clock.timestamp())


async def reset(context: Context, path: str) -> None:
    """Starts the machine of an instance anew. ApiError."""
    with _told_by_an_operation():
        await context.machines.reset(path)


@contextlib.contextmanager
def _told_by_an_operation() -> Iterator[None]:
    """What is wrong with a machine, as an operation tells it."""
    try:
        yield
    except MachineError as error:
        raise ApiError(error.code, str(error), code=400) from None


async def forget(context: Context, path: str, instance: Json) -> None:
    """Ends the machine of an instance that is stored no more, with the disks that go with it."""
    await context.machines.delete(path)
    project = path.split("/")[1]
    for attached in instance["disks"]:
        if attached.get("autoDelete") and attached.get("source"):
            disk = places.path_of(attached["source"], project, context.projects)
            context.store.collection(DISKS.store).delete(disk)


def machine(context: Context, path: str, instance: Json) -> Machine:
    """What the machine of an instance is started from."""
    project = path.split("/")[1]
    boot = next((disk for disk in instance["disks"] if disk["boot"]), None)
    image = ""
    if boot is not None and boot.get("source"):
        disk = DISKS.find(context, places.path_of(boot["source"], project, context.projects)) or {}
        image = (
            places.path_of(disk["sourceImage"], project, context.projects) if disk.get("sourceImage") else ""
        )
    account: Json = next(iter(instance.get("serviceAccounts", [])), {})
    return Machine(
        path,
        instance["id"],
        image,
        str(instance.get("machineType", "")).rpartition("/")[2],
        metadata_of(instance),
        account.get("email", ""),
        tuple(one["networkIP"] for one in instance["networkInterfaces"] if "networkIP" in one),
        partial(guests.metadata_server, context, path, image, account),
        context.machine_proxy,
        context.ca_bundle,
        partial(_ended, context, path),
    )


def accounts_of(context: Context, path: str) -> list[str] | None:
    """The e-mail addresses of the service accounts of an instance; None where there is no such instance."""
    found = context.store.collection(places.INSTANCES).peek(path)
    return None if found is None else [one["email"] for one in found.get("serviceAccounts", [])]


def metadata_of(instance: Json) -> dict[str, str]:
    """The metadata of an instance, by key."""
    return {one["key"]: one.get("value", "") for one in instance.get("metadata", {}).get("items", [])}


def from_template(properties: Json, zone: str, project: str) -> Json:
    """What an instance is that is made of a template's properties."""
    instance = copy.deepcopy(properties)
    if instance.get("machineType"):
        instance["machineType"] = places.link_to(
            f"projects/{project}/zones/{zone}/machineTypes/{instance['machineType'].rpartition('/')[2]}"
        )
    for disk in instance.get("disks", []):
        disk.pop("index", None)
        if disk.get("source") and "/" not in disk["source"]:
            # A template names the disk of whatever zone its instance is in.
            disk["source"] = places.link_to(f"projects/{project}/zones/{zone}/disks/{disk['source']}")
    return instance
