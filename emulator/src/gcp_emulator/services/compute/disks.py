"""Disks, images and snapshots: what they are made of, and what they are filled in with. No byte is kept of any.

Sources: https://cloud.google.com/compute/docs/reference/rest/v1 (disks, images, snapshots), the recordings that facts.yaml names, and for texts the
issues that are named beside them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, invalid_argument, not_found
from gcp_emulator.engine.service import Call
from gcp_emulator.services.compute import catalogue, places
from gcp_emulator.services.compute.kinds import Kind
from gcp_emulator.services.compute.methods import Methods

_DEFAULT_GB = "500"


@dataclass(frozen=True)
class _Images(Kind):
    """Images, also those that Google's own projects have for everybody."""

    def find(self, context: Context, path: str) -> Json | None:
        return super().find(context, path) or dict(catalogue.images(path.split("/")[1])).get(path)

    def of(self, context: Context, prefix: str) -> Iterator[tuple[str, Json]]:
        yield from super().of(context, prefix)
        public = catalogue.images(prefix.split("/")[1])
        yield from ((path, image) for path, image in public if path.startswith(prefix))

    def newest(self, context: Context, project: str, family: str) -> tuple[str, Json] | None:
        """Path and image of the family's newest, or None."""
        found = [
            (path, one)
            for path, one in self.of(context, f"projects/{project}/global/images/")
            if one.get("family") == family and "deprecated" not in one
        ]
        return max(found, key=lambda item: str(item[1]["creationTimestamp"]), default=None)

    def named(self, context: Context, project: str, field: str, text: str) -> tuple[str, Json]:
        """Path and image for a link or a path to an image or to a family; ApiError INVALID_ARGUMENT.

        Texts: https://github.com/GoogleCloudPlatform/cloud-foundation-toolkit/issues/95 (no path), https://github.com/docker-archive/infrakit.gcp/issues/1.
        """
        path = places.path_of(text, project, context.projects)
        if not places.is_path(text) or "/global/images/" not in path:
            raise invalid_argument(
                f"Invalid value for field 'resource.{field}': '{text}'. The URL is malformed.",
                reason="invalid",
            )
        owner, _, last = path.partition("/global/images/")
        if not last.startswith("family/"):
            return self.refer(context, project, field, text)
        if found := self.newest(context, owner.partition("/")[2], last.removeprefix("family/")):
            return found
        raise invalid_argument(
            f"Invalid value for field 'resource.{field}': '{text}'. The referenced image resource cannot be found.",
            reason="invalid",
        )


def _require_images(call: Call) -> str:
    """The project whose images are looked at; ApiError PERMISSION_DENIED, but for those of Google's that are for everybody."""
    project: str = call.params["project"]
    if project not in catalogue.public_projects():
        verb = "list" if call.method.id.endswith("list") else call.method.id.rpartition(".")[2]
        call.require(f"compute.images.{verb}", f"projects/{project}")
    return project


def _get_image(methods: Methods, call: Call) -> Json:
    _require_images(call)
    path, image = methods.found(call)
    return IMAGES.view(call.context, path, image)


def _list_images(methods: Methods, call: Call) -> Json:
    project = _require_images(call)
    path = f"projects/{project}/global/images"
    return methods.listed(call, IMAGES.of(call.context, f"{path}/"), path)


def _get_from_family(methods: Methods, call: Call) -> Json:
    project, family = _require_images(call), call.params["family"]
    found = IMAGES.newest(call.context, project, family)
    if found is None:
        path = f"projects/{project}/global/images/family/{family}"
        raise not_found(f"The resource '{path}' was not found", reason="notFound")
    return IMAGES.view(call.context, *found)


def _complete_image(call: Call, path: str, image: Json, before: Json | None) -> Json:
    sources = [name for name in ("sourceDisk", "sourceImage", "sourceSnapshot", "rawDisk") if image.get(name)]
    if len(sources) != 1:  # https://github.com/ansible-collections/google.cloud/issues/378
        raise invalid_argument(
            "Invalid resource usage: 'Must specify exactly one source for an image.'",
            reason="invalidResourceUsage",
        )
    if before is not None:
        return image
    image |= {"status": "READY", "sourceType": "RAW"}
    image.setdefault("storageLocations", ["us"])
    if "sourceDisk" in image:
        _, disk = DISKS.referred(call, "sourceDisk", image["sourceDisk"])
        image |= {"diskSizeGb": disk["sizeGb"], "sourceDiskId": disk["id"]}
    elif "sourceImage" in image:
        _, other = IMAGES.named(call.context, call.params["project"], "sourceImage", image["sourceImage"])
        image |= {"diskSizeGb": other["diskSizeGb"], "sourceImageId": other["id"]}
    elif "sourceSnapshot" in image:
        _, snapshot = SNAPSHOTS.referred(call, "sourceSnapshot", image["sourceSnapshot"])
        image |= {"diskSizeGb": snapshot["diskSizeGb"], "sourceSnapshotId": snapshot["id"]}
    else:
        image.setdefault("diskSizeGb", catalogue.GB_OF_IMAGES)
    return image


IMAGES = _Images(
    schema="Image",
    collection="images",
    methods=("images",),
    noun="image",
    immutable=frozenset({"name", "rawDisk", "sourceDisk", "sourceImage", "sourceSnapshot"}),
    complete=_complete_image,
    actions={"get": _get_image, "list": _list_images, "getFromFamily": _get_from_family},
    at_once=frozenset(),
)

# ---------------------------------------------------------------- disks


def prepared_disk(context: Context, path: str, disk: Json, field: str = "") -> Json:
    """A disk as it is made. ``field`` is what its fields are called by in texts, with a dot at the end. ApiError INVALID_ARGUMENT."""
    _, project, _, zone, *_ = path.split("/")
    disk.setdefault("type", f"projects/{project}/zones/{zone}/diskTypes/pd-standard")
    catalogue.require_disk_type(f"{field}type", disk["type"])
    least = 1
    if disk.get("sourceImage"):
        source, image = IMAGES.named(context, project, f"{field}sourceImage", disk["sourceImage"])
        disk |= {"sourceImage": places.link_to(source), "sourceImageId": image["id"]}
        least = int(image["diskSizeGb"])
    elif disk.get("sourceSnapshot"):
        source, snapshot = SNAPSHOTS.refer(context, project, f"{field}sourceSnapshot", disk["sourceSnapshot"])
        disk |= {"sourceSnapshot": places.link_to(source), "sourceSnapshotId": snapshot["id"]}
        least = int(snapshot["diskSizeGb"])
    made_of = {"sourceImage", "sourceSnapshot"} & set(disk)
    disk["sizeGb"] = str(disk.get("sizeGb") or (least if made_of else _DEFAULT_GB))
    if int(disk["sizeGb"]) < least:
        raise invalid_argument(
            f"Invalid value for field 'resource.{field}sizeGb': '{disk['sizeGb']}'. Requested disk size cannot be smaller than the "
            f"{'image' if 'sourceImage' in disk else 'snapshot'} size ({least} GB)",
            reason="invalid",
        )
    if key := disk.get("diskEncryptionKey"):
        disk["diskEncryptionKey"] = _without_secret(key)
    return disk | {
        "status": "READY",
        "physicalBlockSizeBytes": str(disk.get("physicalBlockSizeBytes") or 4096),
    }


def _without_secret(key: Json) -> Json:
    """A key of a customer's own as it is told again: by its digest."""
    raw = key.pop("rawKey", None)
    if raw is None:
        return key
    try:
        content = base64.b64decode(raw, validate=True)
    except binascii.Error:
        content = b""
    if len(content) != 32:
        raise invalid_argument(
            "Invalid value for field 'resource.diskEncryptionKey.rawKey': ''. The key has to be 256 bits, in base64.",
            reason="invalid",
        )
    return key | {"sha256": base64.b64encode(hashlib.sha256(content).digest()).decode()}


def _complete_disk(call: Call, path: str, disk: Json, before: Json | None) -> Json:
    return disk if before is not None else prepared_disk(call.context, path, disk)


def _resize_disk(methods: Methods, call: Call) -> Json:
    path, disk = methods.found(call)
    wanted = int(call.body.get("sizeGb") or 0)
    if wanted <= int(disk["sizeGb"]):
        raise invalid_argument(
            f"Invalid value for field 'sizeGb': '{wanted}'. New disk size '{wanted}' GB must be larger than existing size '{disk['sizeGb']}' GB.",
            reason="invalid",
        )
    return methods.change(call, path, {"sizeGb": str(wanted)})


def _create_snapshot(methods: Methods, call: Call) -> Json:
    """A snapshot of the disk that the call names; the operation is one on the disk."""
    path, disk = methods.found(call)
    name = call.body.get("name")
    if not name:
        raise invalid_argument("Required field 'resource.name' not specified", reason="required")
    target = f"projects/{call.params['project']}/global/snapshots/{name}"
    made = SNAPSHOTS.new(target, {**call.body, "sourceDisk": places.link_to(path)})
    snapshot = _complete_snapshot(call, target, made, None)

    def store() -> None:
        SNAPSHOTS.refuse_second(call.context, target)
        SNAPSHOTS.put(call.context, target, snapshot)

    SNAPSHOTS.refuse_second(call.context, target)
    return methods.begin(call, path, disk, store)


def users_of_disk(context: Context, disk: str) -> Iterator[tuple[str, str]]:
    """The paths of the instances that a disk is attached to, and the mode in which."""
    project = disk.split("/")[1]
    for path, instance in context.store.collection(places.INSTANCES).items(f"projects/{project}/zones/"):
        for one in instance["disks"]:
            if one.get("source") and places.path_of(one["source"], project, context.projects) == disk:
                yield path, one["mode"]


def _show_disk(context: Context, path: str, disk: Json) -> Json:
    users = [places.link_to(user) for user, _ in users_of_disk(context, path)]
    return disk | {"users": users} if users else disk


DISKS = Kind(
    schema="Disk",
    collection="disks",
    methods=("disks",),
    noun="disk",
    complete=_complete_disk,
    show=_show_disk,
    actions={"resize": _resize_disk, "createSnapshot": _create_snapshot},
    leaves_out=frozenset({"update"}),
    at_once=frozenset({"setLabels", "resize"}),
)

# ---------------------------------------------------------------- snapshots


def _complete_snapshot(call: Call, path: str, snapshot: Json, before: Json | None) -> Json:
    _, disk = DISKS.referred(call, "sourceDisk", snapshot["sourceDisk"])
    own = {"status": "READY", "diskSizeGb": disk["sizeGb"], "sourceDiskId": disk["id"], "storageBytes": "0"}
    return {"storageLocations": ["us"], "snapshotType": "STANDARD", **snapshot, **own}


SNAPSHOTS = Kind(
    schema="Snapshot",
    collection="snapshots",
    methods=("snapshots",),
    noun="snapshot",
    required=("name", "sourceDisk"),
    complete=_complete_snapshot,
    at_once=frozenset(),
)
KINDS = (IMAGES, DISKS, SNAPSHOTS)
