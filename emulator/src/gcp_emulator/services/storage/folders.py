"""Folders of buckets with a hierarchical namespace, and managed folders, which are there to carry policies.

Neither is needed for an object's name to hold slashes. Policies of managed folders and the renaming of folders are not emulated.
Source: https://cloud.google.com/storage/docs/json_api/v1/folders and .../managedFolders (fields, which buckets have them, what a name is).
"""

from __future__ import annotations

from dataclasses import dataclass

from gcp_emulator.engine.errors import Json, already_exists, failed_precondition, invalid_argument, not_found
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.engine.store import Store
from gcp_emulator.front.messages import Response
from gcp_emulator.services.storage.access import Access
from gcp_emulator.services.storage.buckets import Buckets, is_uniform
from gcp_emulator.services.storage.objects import Objects
from gcp_emulator.services.storage.records import check_conditions, stamp

_MAX_NAME = 512


@dataclass(frozen=True)
class _Kind:
    """``folders`` or ``managedFolders``."""

    collection: str
    noun: str

    @property
    def parameter(self) -> str:
        """The path parameter that names one."""
        return self.collection.removesuffix("s")


_KINDS = {
    kind.collection: kind for kind in (_Kind("folders", "folder"), _Kind("managedFolders", "managed folder"))
}


class Folders:
    """Both kinds. They are kept by ``BUCKET/NAME/``."""

    def __init__(self, store: Store, buckets: Buckets, objects: Objects, access: Access) -> None:
        self._folders = {name: store.collection(f"storage.{name}") for name in _KINDS}
        self._buckets = buckets
        self._objects = objects
        self._access = access

    def has_any(self, bucket: str) -> bool:
        """Whether a bucket has folders of either kind, which keep it from being deleted."""
        return any(kept.names(f"{bucket}/") for kept in self._folders.values())

    @handles("storage.folders.insert", "storage.managedFolders.insert")
    async def insert(self, call: Call) -> Json:
        kind, bucket = self._enter(call, "create")
        record = self._buckets.get(bucket)
        if kind.collection == "folders" and "hierarchicalNamespace" not in record:
            raise failed_precondition("The bucket does not have a hierarchical namespace.")
        if not is_uniform(record):
            raise failed_precondition(f"Uniform bucket-level access is required for a {kind.noun}.")
        name = _folder_name(str(call.body.get("name", "")))
        kept = self._folders[kind.collection]
        if f"{bucket}/{name}" in kept:
            raise already_exists(f"The {kind.noun} already exists.", reason="conflict")
        parents = [f"{name[: end + 1]}" for end, letter in enumerate(name[:-1]) if letter == "/"]
        if kind.collection == "folders":
            missing = [parent for parent in parents if f"{bucket}/{parent}" not in kept]
            if missing and not call.params.get("recursive"):
                raise already_exists("The parent folder does not exist.", reason="conflict")
            for parent in missing:
                kept.put(f"{bucket}/{parent}", _new())
        kept.put(f"{bucket}/{name}", _new())
        return self._view(kind, bucket, name)

    @handles("storage.folders.get", "storage.managedFolders.get")
    async def get(self, call: Call) -> Json:
        kind, bucket = self._enter(call, "get")
        return self._view(kind, bucket, self._require(call, kind, bucket))

    @handles("storage.folders.list", "storage.managedFolders.list")
    async def list(self, call: Call) -> Json:
        kind, bucket = self._enter(call, "list")
        prefix = call.params.get("prefix") or ""
        start, end = call.params.get("startOffset") or "", call.params.get("endOffset")
        names = [
            full.partition("/")[2] for full in self._folders[kind.collection].names(f"{bucket}/{prefix}")
        ]
        chosen = [name for name in names if name >= start and (not end or name < end)]
        page = call.page([self._view(kind, bucket, name) for name in chosen], "items", default=1000)
        return {"kind": f"storage#{kind.collection}", **page}

    @handles("storage.folders.delete", "storage.managedFolders.delete")
    async def delete(self, call: Call) -> Response:
        kind, bucket = self._enter(call, "delete")
        name = self._require(call, kind, bucket)
        kept = self._folders[kind.collection]
        below = [full for full in kept.names(f"{bucket}/{name}") if full != f"{bucket}/{name}"]
        if (below or self._objects.records(bucket, name)) and not call.params.get("allowNonEmpty"):
            raise already_exists(f"The {kind.noun} you tried to delete is not empty.", reason="conflict")
        kept.delete(f"{bucket}/{name}")
        return Response(204)

    def _enter(self, call: Call, verb: str) -> tuple[_Kind, str]:
        """The kind and the bucket of a call that its caller may make."""
        kind = _KINDS[call.method.id.split(".")[1]]
        bucket = call.params["bucket"]
        self._access.require(call.identity, f"storage.{kind.collection}.{verb}", bucket)
        return kind, bucket

    def _require(self, call: Call, kind: _Kind, bucket: str) -> str:
        """The name of the folder of a call, which has to be there and as the call expects it."""
        name = _folder_name(call.params[kind.parameter])
        record = self._folders[kind.collection].get(f"{bucket}/{name}")
        if record is None:
            raise not_found(f"The {kind.noun} does not exist.")
        check_conditions(call.params, 0, record["metageneration"])
        return name

    def _view(self, kind: _Kind, bucket: str, name: str) -> Json:
        record = self._folders[kind.collection].get(f"{bucket}/{name}") or {}
        return {
            "kind": f"storage#{kind.parameter}",
            "id": f"{bucket}/{name}",
            "selfLink": f"https://www.googleapis.com/storage/v1/b/{bucket}/{kind.collection}/{name.removesuffix('/')}",
            "bucket": bucket,
            "name": name,
            **record,
            "metageneration": str(record["metageneration"]),
        }


def _new() -> Json:
    now = stamp()
    return {"metageneration": 1, "createTime": now, "updateTime": now}


def _folder_name(given: str) -> str:
    """A name with the slash at its end; ApiError INVALID_ARGUMENT."""
    name = given.rstrip("/") + "/"
    if (
        name == "/"
        or name.startswith("/")
        or "//" in name
        or "\n" in name
        or len(name.encode(errors="replace")) > _MAX_NAME
    ):
        raise invalid_argument(f"Invalid folder name: '{given[:100]}'")
    return name
