"""What Compute Engine has without anybody having made it: machine types, disk types, and the images of Google's own projects (catalogue.yaml)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gcp_emulator.engine.errors import Json, invalid_argument, not_found
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.services.compute import places
from gcp_emulator.services.compute.lists import selected

_SINCE = "1969-12-31T16:00:00.000-08:00"
#: A machine type of one's own: so many vCPUs with so many MB.
_CUSTOM = re.compile(r"(?:(?:e2|n1|n2|n2d|n4)-)?custom-(?P<cpus>\d+)-(?P<memory>\d+)(?:-ext)?")
#: How large the disks are that public images are of.
GB_OF_IMAGES = "10"


def facts() -> Mapping[str, Any]:
    """The file."""
    found: Mapping[str, Any] = read_yaml("services/compute/catalogue.yaml")
    return found


def public_projects() -> frozenset[str]:
    """The projects of Google's whose images anybody may use."""
    return frozenset(facts()["images"])


def images(project: str) -> Iterator[tuple[str, Json]]:
    """Path and image of all that one of these projects has; nothing of other projects."""
    for family, one in facts()["images"].get(project, {}).items():
        name = one["name"]
        yield (
            f"projects/{project}/global/images/{name}",
            {
                "name": name,
                "family": family,
                "id": one.get("id") or _number(name),
                "creationTimestamp": _SINCE,
                "status": "READY",
                "sourceType": "RAW",
                "diskSizeGb": GB_OF_IMAGES,
                "architecture": "ARM64" if "arm64" in name else "X86_64",
                "storageLocations": ["us"],
            },
        )


def _number(name: str) -> str:
    return str(10**18 + int(hashlib.sha256(name.encode()).hexdigest()[:14], 16))


# ---------------------------------------------------------------- machine types


def machine_types() -> Iterator[str]:
    """The names of all predefined machine types."""
    yield from facts()["shared_core"]
    for series, one in facts()["series"].items():
        yield from (f"{series}-{cpus}" for cpus in one["cpus"])


def size_of(machine_type: str) -> tuple[int, int] | None:
    """vCPUs and MB of a machine type, also of a custom one; None when there is none of this name."""
    if custom := _CUSTOM.fullmatch(machine_type):
        return int(custom["cpus"]), int(custom["memory"])
    if shared := facts()["shared_core"].get(machine_type):
        return shared["cpus"], shared["memory"]
    series, _, number = machine_type.rpartition("-")
    one = facts()["series"].get(series)
    if one is None or not number.isdecimal() or int(number) not in one["cpus"]:
        return None
    return int(number), int(number) * one["memory"]


def require_machine_type(field: str, value: str, zone: str) -> None:
    """ApiError INVALID_ARGUMENT where a zone has no such machine type. ``value`` is its name, or a link to it.

    Text: https://github.com/gruntwork-io/terratest/issues/1132. That a bare name will do is recorded (computeinstancewithencrypteddisk-direct).
    """
    name = value.rpartition("/")[2]
    if "/" in value and f"zones/{zone}/machineTypes/" not in value:
        raise invalid_argument(
            f"Invalid value for field 'resource.{field}': '{value}'. The URL is malformed.", reason="invalid"
        )
    if size_of(name) is None:
        raise invalid_argument(
            f"Invalid value for field 'resource.{field}': '{value}'. Machine type with name '{name}' does not exist in zone '{zone}'.",
            reason="invalid",
        )


def require_disk_type(field: str, value: str) -> None:
    """ApiError INVALID_ARGUMENT where there is no such type of disks. ``value`` is its name, or a link to it. The text is assumed."""
    if value.rpartition("/")[2] not in facts()["disk_types"]:
        raise invalid_argument(
            f"Invalid value for field 'resource.{field}': '{value}'. The referenced diskType resource cannot be found.",
            reason="invalid",
        )


def _place(path: str, kind: str) -> Json:
    zone = path.split("/")[3]
    name = path.rpartition("/")[2]
    return {
        "kind": f"compute#{kind}",
        "id": _number(name),
        "name": name,
        "creationTimestamp": _SINCE,
        "zone": zone if kind == "machineType" else places.link_to(path.rpartition(f"/{kind}s/")[0]),
        "selfLink": places.link_to(path),
    }


def _machine_type(path: str) -> Json:
    size = size_of(path.rpartition("/")[2])
    if size is None:
        raise not_found(f"The resource '{path}' was not found", reason="notFound")
    cpus, memory = size
    return _place(path, "machineType") | {
        "description": f"{cpus} vCPUs, {memory / 1024:g} GB RAM",
        "guestCpus": cpus,
        "memoryMb": memory,
        "isSharedCpu": path.rpartition("/")[2] in facts()["shared_core"],
        "maximumPersistentDisks": 128,
        "maximumPersistentDisksSizeGb": "263168",
    }


def _disk_type(path: str) -> Json:
    name = path.rpartition("/")[2]
    if name not in facts()["disk_types"]:
        raise not_found(f"The resource '{path}' was not found", reason="notFound")
    return _place(path, "diskType") | {"description": name, "validDiskSize": "10GB-65536GB"}


class Catalogue:
    """Answers for machine types and disk types."""

    @handles("compute.machineTypes.get")
    async def get_machine_type(self, call: Call) -> Json:
        places.require(call.params)
        return _machine_type(f"{self._zone(call)}/machineTypes/{call.params['machineType']}")

    @handles("compute.machineTypes.list")
    async def list_machine_types(self, call: Call) -> Json:
        places.check(call.params)
        path = f"{self._zone(call)}/machineTypes"
        return self._page(
            call, [_machine_type(f"{path}/{name}") for name in machine_types()], path, "machineType"
        )

    @handles("compute.diskTypes.get")
    async def get_disk_type(self, call: Call) -> Json:
        places.require(call.params)
        return _disk_type(f"{self._zone(call)}/diskTypes/{call.params['diskType']}")

    @handles("compute.diskTypes.list")
    async def list_disk_types(self, call: Call) -> Json:
        places.check(call.params)
        path = f"{self._zone(call)}/diskTypes"
        return self._page(
            call, [_disk_type(f"{path}/{name}") for name in facts()["disk_types"]], path, "diskType"
        )

    @staticmethod
    def _zone(call: Call) -> str:
        return f"projects/{call.params['project']}/zones/{call.params['zone']}"

    @staticmethod
    def _page(call: Call, found: list[Json], path: str, kind: str) -> Json:
        page = call.page(selected(call, found), "items", size_parameter="maxResults", default=500)
        return {"kind": f"compute#{kind}List", "id": path, "selfLink": places.link_to(path), **page}
