"""The methods of access control lists, entry by entry: of buckets, of what new objects get, and of objects.

Source: https://cloud.google.com/storage/docs/json_api/v1/bucketAccessControls, defaultObjectAccessControls and objectAccessControls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gcp_emulator.engine.errors import Json, not_found
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.front.messages import Response
from gcp_emulator.services.storage.access import Access
from gcp_emulator.services.storage.acls import (
    BUCKET_ROLES,
    OBJECT_ROLES,
    Acl,
    Acls,
    shown_as_default,
    shown_of_bucket,
    shown_of_object,
)
from gcp_emulator.services.storage.buckets import Buckets, is_uniform
from gcp_emulator.services.storage.errors import acl_refused
from gcp_emulator.services.storage.objects import Objects
from gcp_emulator.services.storage.records import check_conditions, number

_READS = ("get", "list")


@dataclass(frozen=True)
class _List:
    """The list that a call is about."""

    acl: Acl
    bucket: Json
    roles: Iterable[str]
    #: Writes it, and shows an entry as it is after that.
    write: Callable[[Acl], None]
    show: Callable[[Mapping[str, str]], Json]
    kind: str


class AccessControls:
    """``acl`` and ``defaultObjectAcl`` below buckets, ``acl`` below objects."""

    def __init__(self, buckets: Buckets, objects: Objects, access: Access, acls: Acls) -> None:
        self._buckets = buckets
        self._objects = objects
        self._access = access
        self._acls = acls

    @handles(
        *(
            f"storage.{kind}.{verb}"
            for kind in ("bucketAccessControls", "defaultObjectAccessControls", "objectAccessControls")
            for verb in ("delete", "get", "insert", "list", "patch", "update")
        )
    )
    async def answer(self, call: Call) -> Json | Response:
        _, kind, verb = call.method.id.split(".")
        bucket = self._buckets.get(call.params["bucket"])
        if is_uniform(bucket):
            thing = "an object" if kind == "objectAccessControls" else "a bucket"
            raise acl_refused({"list": "get", "patch": "update"}.get(verb, verb), thing)
        found = {
            "bucketAccessControls": self._of_bucket,
            "defaultObjectAccessControls": self._default,
            "objectAccessControls": self._of_object,
        }[kind](call, bucket, reads=verb in _READS)
        if verb == "list":
            return {"kind": found.kind, "items": [found.show(entry) for entry in found.acl]}
        if verb == "insert":
            (entry,) = self._acls.checked([call.body], bucket, roles=found.roles)
            found.write([*_without(found.acl, entry["entity"]), entry])
            return found.show(entry)
        entity = self._acls.canonical(call.params["entity"])
        current = next((entry for entry in found.acl if entry["entity"] == entity), None)
        if verb == "update" or (verb == "patch" and current is not None):
            given: dict[str, Any] = {**(current or {}), **call.body, "entity": entity}
            (entry,) = self._acls.checked([given], bucket, roles=found.roles)
            found.write([*_without(found.acl, entity), entry])
            return found.show(entry)
        if current is None:
            raise not_found("Not Found")
        if verb == "delete":
            found.write(_without(found.acl, entity))
            return Response(204)
        return found.show(current)

    def _of_bucket(self, call: Call, bucket: Json, *, reads: bool) -> _List:
        name = call.params["bucket"]
        self._access.require(call.identity, "storage.buckets.get", name)
        self._access.require(call.identity, f"storage.buckets.{'get' if reads else 'set'}IamPolicy", name)
        return _List(
            self._buckets.acl(name),
            bucket,
            BUCKET_ROLES,
            lambda acl: self._buckets.set_acl(name, acl),
            lambda entry: shown_of_bucket(name, entry, self._buckets.get(name)["metageneration"]),
            "storage#bucketAccessControls",
        )

    def _default(self, call: Call, bucket: Json, *, reads: bool) -> _List:
        name = call.params["bucket"]
        self._access.require(call.identity, f"storage.buckets.{'get' if reads else 'update'}", name)
        if reads:
            check_conditions(call.params, 0, bucket["metageneration"])
        return _List(
            bucket.get("defaultObjectAcl", []),
            bucket,
            OBJECT_ROLES,
            lambda acl: self._buckets.set_default_acl(name, acl),
            lambda entry: shown_as_default(entry, self._buckets.get(name)["metageneration"]),
            "storage#objectAccessControls",
        )

    def _of_object(self, call: Call, bucket: Json, *, reads: bool) -> _List:
        generation = call.params.get("generation")
        record = self._objects.require(
            call.identity,
            f"storage.objects.{'get' if reads else 'set'}IamPolicy",
            call.params["bucket"],
            call.params["object"],
            None if generation is None else number(generation),
        )
        return _List(
            record.get("acl", []),
            bucket,
            OBJECT_ROLES,
            lambda acl: record.update(self._objects.set_acl(record, acl)),
            lambda entry: shown_of_object(record, entry),
            "storage#objectAccessControls",
        )


def _without(acl: Acl, entity: str) -> Acl:
    return [entry for entry in acl if entry["entity"] != entity]
