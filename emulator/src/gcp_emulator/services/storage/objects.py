"""Objects: generations, preconditions, versions, retention, listing.

Source: https://cloud.google.com/storage/docs/json_api/v1/objects and the pages on object versioning and retention policies that it names.
A record holds the writable fields as the API shows them, beside ``generation``, ``metageneration`` and ``size``
as numbers and ``content``, the id of its bytes. The live version is kept under ``BUCKET/NAME``, a noncurrent one under
``BUCKET/NAME<newline>GENERATION`` (an object's name holds no newline).
"""

from __future__ import annotations

import base64
import datetime
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.store import Store
from gcp_emulator.services.storage.access import Access
from gcp_emulator.services.storage.acls import Acl, Acls, shown_of_object
from gcp_emulator.services.storage.buckets import is_storage_class, is_uniform, is_versioned
from gcp_emulator.services.storage.errors import acl_refused, no_object, not_emulated
from gcp_emulator.services.storage.files import Content, Files
from gcp_emulator.services.storage.records import check_conditions, etag, merge, stamp

#: The fields that a client may set, at creation and later.
WRITABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "eventBasedHold",
    "metadata",
    "temporaryHold",
)
_MAX_NAME = 1024
_MAX_PAGE = 1000


@dataclass
class Write:
    """What a caller wants to store: where, with what metadata, on what conditions (``params``: ``if...Match``)."""

    identity: Identity | None
    bucket: str
    name: str
    metadata: Json = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    #: How many objects it was composed of, if it was.
    components: int | None = None


@dataclass(frozen=True)
class Page:
    """One page of a listing: records, folded prefixes, and the token of the next page."""

    records: list[Json]
    prefixes: list[str]
    next_token: str | None


class Objects:
    """Every object of every bucket."""

    def __init__(self, store: Store, files: Files, access: Access, acls: Acls) -> None:
        self._live = store.collection("storage.objects")
        self._noncurrent = store.collection("storage.noncurrent")
        self._files = files
        self._access = access
        self._acls = acls
        self._last_generation = 0

    def contents(self) -> set[str]:
        """The ids of all contents that some version has."""
        return {record["content"] for kept in (self._live, self._noncurrent) for _, record in kept.items()}

    def records(self, bucket: str, prefix: str = "") -> list[Json]:
        """The live objects of a bucket whose names begin with ``prefix``."""
        return [record for _, record in self._live.items(f"{bucket}/{prefix}")]

    def sizes(self, bucket: str) -> list[int]:
        """The sizes of the live objects of a bucket."""
        return [int(record["size"]) for record in self.records(bucket)]

    def is_empty(self, bucket: str) -> bool:
        """Whether the bucket holds no version of any object."""
        return not self._live.names(bucket + "/") and not self._noncurrent.names(bucket + "/")

    def find(self, bucket: str, name: str, generation: int | None = None) -> Json | None:
        """The live version, or the one of ``generation``; None when there is none."""
        live = self._live.get(f"{bucket}/{name}")
        if generation is None or (live is not None and live["generation"] == generation):
            return live
        return self._noncurrent.get(f"{bucket}/{name}\n{generation}")

    def require(
        self,
        identity: Identity | None,
        permission: str,
        bucket: str,
        name: str,
        generation: int | None = None,
    ) -> Json:
        """The object, or 404, or 403. Only a caller who may list learns that an object does not exist."""
        record = self.find(bucket, name, generation)
        if record is not None and self._access.allows_on(identity, permission, record):
            return record
        self._access.require(identity, permission, bucket)
        self._access.require(identity, "storage.objects.list", bucket)
        raise no_object(bucket, name)

    def check(self, write: Write) -> Json:
        """The bucket of a write that may begin: names, metadata, permission and conditions; 4xx otherwise."""
        bucket = self._access.require(write.identity, "storage.objects.create", write.bucket)
        _check_name(write.name)
        _check_metadata(bucket, write.metadata)
        self._acl_of(write, bucket)
        self._check_overwrite(write, bucket)
        return bucket

    def commit(self, write: Write, content: Content) -> Json:
        """Makes ``content`` the live version, atomically with the check of the conditions; returns the record.

        When the write is refused the content is freed.
        """
        try:
            _check_digests(write.metadata, content)
            bucket = self.check(write)
        except ApiError:
            self._files.delete(content.id)
            raise
        now = stamp()
        record: Json = {
            "bucket": write.bucket,
            "name": write.name,
            "generation": self._next_generation(),
            "metageneration": 1,
            "contentType": "application/octet-stream",
            **{key: write.metadata[key] for key in WRITABLE if write.metadata.get(key) not in (None, "", {})},
            "storageClass": write.metadata.get("storageClass") or bucket["storageClass"],
            "size": content.size,
            "crc32c": content.crc32c,
            "content": content.id,
            **self._acl_of(write, bucket),
            **dict.fromkeys(("timeCreated", "updated", "timeStorageClassUpdated", "timeFinalized"), now),
        }
        if bucket.get("defaultEventBasedHold"):
            record.setdefault("eventBasedHold", True)
        if content.md5 is not None:
            record["md5Hash"] = content.md5
        if write.components is not None:
            record["componentCount"] = write.components
        self._retire(bucket, write.bucket, write.name)
        self._live.put(f"{write.bucket}/{write.name}", record)
        return record

    def change(self, record: Json, changes: Json, bucket: Json, *, replace: bool) -> Json:
        """PATCH (merge) or, with ``replace``, PUT of the metadata of a version; returns the new record."""
        _check_metadata(bucket, changes)
        if changes.get("storageClass") not in (None, record["storageClass"]):
            raise invalid_argument("The storage class of an object is changed by rewriting the object.")
        chosen = {key: value for key, value in changes.items() if key in WRITABLE}
        fixed = {key: value for key, value in record.items() if key not in WRITABLE} if replace else record
        if changes.get("acl"):
            fixed = fixed | {"acl": _owned(self._acls.checked(changes["acl"], bucket), record.get("owner"))}
        changed = merge(fixed, chosen) | {"metageneration": record["metageneration"] + 1, "updated": stamp()}
        if self._is_live(record):
            self._live.put(_key(record), changed)
        else:
            self._noncurrent.put(_version_key(record), changed)
        return changed

    def set_acl(self, record: Json, acl: Acl) -> Json:
        """Writes the list of a version; returns the new record."""
        changed = record | {"acl": acl, "metageneration": record["metageneration"] + 1, "updated": stamp()}
        if self._is_live(record):
            self._live.put(_key(record), changed)
        else:
            self._noncurrent.put(_version_key(record), changed)
        return changed

    def _acl_of(self, write: Write, bucket: Json) -> Json:
        """Owner and list of a new object: what the upload says, or the bucket's default, and the owner in any case."""
        name = write.params.get("predefinedAcl") or write.params.get("destinationPredefinedAcl")
        if write.metadata.get("acl"):
            acl = self._acls.checked(write.metadata["acl"], bucket)
        elif name:
            acl = self._acls.predefined(name, bucket["project"])
        else:
            acl = list(bucket.get("defaultObjectAcl", []))
        self._acls.check_public([one["entity"] for one in acl], bucket)
        owner = {"owner": {"entity": f"user-{write.identity.email}"}} if write.identity else {}
        return {**owner, "acl": _owned(acl, owner.get("owner"))}

    def is_public(self, record: Json) -> bool:
        """Whether everybody may read a version."""
        return self._access.allows_on(None, "storage.objects.get", record)

    def remove(self, bucket: Json, record: Json, *, permanently: bool) -> None:
        """Deletes a version. A live one becomes noncurrent in a versioned bucket, unless it goes ``permanently``."""
        _check_retention(bucket, record)
        if not permanently:
            self._retire(bucket, record["bucket"], record["name"])
            return
        if self._is_live(record):
            self._live.delete(_key(record))
        else:
            self._noncurrent.delete(_version_key(record))
        self._files.delete(record["content"])

    def page(self, bucket: str, params: Mapping[str, Any]) -> Page:
        """The versions that a list call's parameters choose, in name order, folded at the delimiter."""
        after = _read_token(params.get("pageToken"))
        size = min(int(params.get("maxResults") or _MAX_PAGE), _MAX_PAGE)
        entries: list[tuple[str, int, Json | None]] = []
        for entry in self._entries(bucket, params):
            if after is not None and entry[:2] <= after:
                continue
            if len(entries) == size:
                return _page(entries, _write_token(*entries[-1][:2]))
            entries.append(entry)
        return _page(entries, None)

    def _entries(self, bucket: str, params: Mapping[str, Any]) -> Iterator[tuple[str, int, Json | None]]:
        """Name, generation and record of each version; a folded prefix has generation 0 and no record."""
        prefix, delimiter = params.get("prefix") or "", params.get("delimiter")
        start, end = params.get("startOffset") or "", params.get("endOffset")
        found = list(self._live.items(f"{bucket}/{prefix}"))
        if params.get("versions"):
            found = sorted(
                [*found, *self._noncurrent.items(f"{bucket}/{prefix}")],
                key=lambda item: (item[1]["name"], item[1]["generation"]),
            )
        last_folded = None
        for _, record in found:
            name = record["name"]
            if name < start or (end and name >= end):
                continue
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0 and delimiter:
                folded = name[: cut + len(delimiter)]
                if folded != last_folded:
                    yield folded, 0, None
                last_folded = folded
                if folded != name or not params.get("includeTrailingDelimiter"):
                    continue
            yield name, record["generation"], record

    def _check_overwrite(self, write: Write, bucket: Json) -> None:
        current = self.find(write.bucket, write.name)
        check_conditions(
            write.params,
            current["generation"] if current else 0,
            current["metageneration"] if current else 0,
        )
        if current is not None:
            self._access.require(write.identity, "storage.objects.delete", write.bucket)
            _check_retention(bucket, current)

    def _is_live(self, record: Json) -> bool:
        live = self._live.get(_key(record))
        return live is not None and bool(live["generation"] == record["generation"])

    def _retire(self, bucket: Json, bucket_name: str, name: str) -> None:
        """The live version, if any, becomes noncurrent or goes."""
        record = self._live.get(f"{bucket_name}/{name}")
        if record is None:
            return
        self._live.delete(_key(record))
        if is_versioned(bucket):
            self._noncurrent.put(_version_key(record), record | {"timeDeleted": stamp()})
        else:
            self._files.delete(record["content"])

    def _next_generation(self) -> int:
        """Microseconds since 1970, never the same twice."""
        self._last_generation = max(self._last_generation + 1, time.time_ns() // 1000)
        return self._last_generation


def _owned(acl: Acl, owner: Json | None) -> Acl:
    """A list with the owner in it, who cannot be taken out."""
    if owner is None:
        return acl
    others = [one for one in acl if one["entity"] != owner["entity"]]
    return [*others, {"entity": owner["entity"], "role": "OWNER"}]


def view(record: Json, *, full: bool = False) -> Json:
    """The object as the JSON API shows it; ``full`` with owner and access control list."""
    path = f"b/{record['bucket']}/o/{quote(record['name'], safe='')}"
    generation = str(record["generation"])
    shown = {key: value for key, value in record.items() if key not in ("content", "acl", "owner")}
    if full:
        shown["acl"] = [shown_of_object(record, entry) for entry in record.get("acl", [])]
        shown |= {"owner": record["owner"]} if "owner" in record else {}
    return {
        "kind": "storage#object",
        "id": f"{record['bucket']}/{record['name']}/{generation}",
        "selfLink": f"https://www.googleapis.com/storage/v1/{path}",
        "mediaLink": f"https://storage.googleapis.com/download/storage/v1/{path}?generation={generation}&alt=media",
        "etag": object_etag(record),
        **shown,
        "generation": generation,
        "metageneration": str(record["metageneration"]),
        "size": str(record["size"]),
    }


def content_of(record: Json) -> Content:
    """The content of a version."""
    return Content(record["content"], record["size"], record.get("md5Hash"), record["crc32c"])


def object_etag(record: Json) -> str:
    return etag(record["generation"], record["metageneration"])


def _key(record: Json) -> str:
    return f"{record['bucket']}/{record['name']}"


def _version_key(record: Json) -> str:
    return f"{_key(record)}\n{record['generation']}"


def _check_name(name: str) -> None:
    if not name:
        raise invalid_argument("Required", reason="required")
    bad = (
        re.search(r"[\r\n\ud800-\udfff]", name)
        or name in (".", "..")
        or name.startswith(".well-known/acme-challenge/")
    )
    if bad or len(name.encode()) > _MAX_NAME:
        raise invalid_argument(f"Invalid object name: {name[:100]!r}")


def _check_metadata(bucket: Json, metadata: Json) -> None:
    """Refuses what uniform access forbids and what the emulator could not honour."""
    if metadata.get("acl") and is_uniform(bucket):
        raise acl_refused("insert")
    for name, what in (
        ("kmsKeyName", "customer-managed encryption keys"),
        ("retention", "object retention"),
        ("contexts", "object contexts"),
    ):
        if metadata.get(name):
            raise not_emulated(what)
    storage_class = metadata.get("storageClass")
    if storage_class and not is_storage_class(storage_class):
        raise invalid_argument(f"Invalid storage class: {storage_class}")


def _check_digests(metadata: Json, content: Content) -> None:
    for name, label, actual in (("md5Hash", "MD5 hash", content.md5), ("crc32c", "CRC32C", content.crc32c)):
        given = metadata.get(name)
        if given and given != actual:
            raise invalid_argument(
                f'Provided {label} "{given}" doesn\'t match calculated {label} "{actual}".'
            )


def _check_retention(bucket: Json, record: Json) -> None:
    """403 for a version that a hold or the bucket's retention policy keeps from being deleted or overwritten."""
    name = f"Object '{record['bucket']}/{record['name']}'"
    for hold, label in (("eventBasedHold", "Event-Based"), ("temporaryHold", "Temporary")):
        if record.get(hold):
            raise ApiError(
                "PERMISSION_DENIED",
                f"{name} is under active {label} hold and cannot be deleted, overwritten or archived until hold is removed.",
            )
    period = int(bucket.get("retentionPolicy", {}).get("retentionPeriod", 0))
    until = clock.parse_timestamp(record["timeCreated"]) + datetime.timedelta(seconds=period)
    if until > clock.now():
        raise ApiError(
            "PERMISSION_DENIED",
            f"{name} is subject to bucket's retention policy or object retention and cannot be deleted or overwritten "
            f"until {until.isoformat()}",
            reason="retentionPolicyNotMet",
        )


def _page(entries: list[tuple[str, int, Json | None]], token: str | None) -> Page:
    records = [record for _, _, record in entries if record is not None]
    return Page(records, [name for name, _, record in entries if record is None], token)


def _write_token(name: str, generation: int) -> str:
    return base64.urlsafe_b64encode(f"{generation}/{name}".encode()).decode()


def _read_token(token: str | None) -> tuple[str, int] | None:
    if not token:
        return None
    try:
        generation, _, name = base64.urlsafe_b64decode(token).decode().partition("/")
        return name, int(generation)
    except ValueError:
        raise invalid_argument("Invalid pageToken.", reason="invalid") from None
