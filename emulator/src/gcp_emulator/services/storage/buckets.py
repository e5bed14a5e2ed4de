"""Buckets: names, defaults, what may be configured, the global name space.

Source: https://cloud.google.com/storage/docs/json_api/v1/buckets and .../storage/docs/buckets#naming. Lifecycle rules, website, logging
and soft delete are kept and shown but nothing acts on them: the emulator never deletes by age.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json, already_exists, invalid_argument
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.iam import Iam
from gcp_emulator.engine.projects import Projects
from gcp_emulator.engine.store import Store
from gcp_emulator.services.storage.errors import NoBucketError, acl_refused, not_emulated
from gcp_emulator.services.storage.records import etag, merge, stamp

_COMPONENT = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_LABEL = re.compile(r"[\w-]{0,63}")
_CONFIGURABLE = (
    "billing",
    "cors",
    "defaultEventBasedHold",
    "iamConfiguration",
    "labels",
    "lifecycle",
    "logging",
    "retentionPolicy",
    "rpo",
    "softDeletePolicy",
    "storageClass",
    "versioning",
    "website",
)
_ACTIONS = ("Delete", "SetStorageClass", "AbortIncompleteMultipartUpload")
_WEEK = 7 * 24 * 3600
#: Uniform bucket-level access becomes permanent after this many days.
_UNIFORM_LOCK_DAYS = 90


@cache
def _facts() -> Json:
    facts: Json = read_yaml("services/storage/facts.yaml")
    return facts


def location_type(location: str) -> str | None:
    """``region``, ``dual-region`` or ``multi-region``; None for a location that does not exist."""
    return next((kind for kind, names in _facts()["locations"].items() if location in names), None)


def is_storage_class(name: str) -> bool:
    return name in _facts()["storage_classes"]


def is_uniform(bucket: Json) -> bool:
    """Whether uniform bucket-level access rules, so that ACLs do not exist."""
    return bool(bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"])


def prevents_public_access(bucket: Json) -> bool:
    return bool(bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced")


def is_versioned(bucket: Json) -> bool:
    return bool(bucket.get("versioning", {}).get("enabled"))


def resource_name(bucket: str) -> str:
    """The bucket's name in IAM."""
    return f"projects/_/buckets/{bucket}"


class Buckets:
    """Every bucket of every project."""

    def __init__(self, store: Store, iam: Iam, projects: Projects) -> None:
        self._buckets = store.collection("storage.buckets")
        self._iam = iam
        self._projects = projects

    def __contains__(self, name: str) -> bool:
        return name in self._buckets

    def project_of(self, resource: str) -> str | None:
        """The project of ``projects/_/buckets/NAME...``, None when there is no such bucket."""
        bucket = self._buckets.peek(resource.split("/")[3])
        return None if bucket is None else str(bucket["project"])

    def get(self, name: str) -> Json:
        """The record of a bucket, or :class:`NoBucketError`."""
        bucket = self._buckets.get(name)
        if bucket is None:
            raise NoBucketError
        return bucket

    def of_project(self, project: str, prefix: str) -> Iterator[tuple[str, Json]]:
        """Name and record of a project's buckets, in name order."""
        for name, bucket in self._buckets.items(prefix):
            if bucket["project"] == project:
                yield name, bucket

    def create(self, project: str, body: Json) -> str:
        """A new bucket; returns its name. Refuses bad names, taken names, unknown locations."""
        name = body["name"]
        _check_name(name)
        existing = self._buckets.get(name)
        if existing is not None:
            if existing["project"] == project:
                raise already_exists(
                    "Your previous request to create the named bucket succeeded and you already own it."
                )
            raise already_exists(
                "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
                "Please select a different name and try again."
            )
        location = body.get("location", "US").upper()
        if location_type(location) is None:
            raise invalid_argument("The specified location constraint is not valid.")
        now = stamp()
        fixed = {
            "project": project,
            "location": location,
            "timeCreated": now,
            "updated": now,
            "metageneration": 1,
        }
        bucket = fixed | _settled(_chosen(body), {})
        self._buckets.put(name, bucket)
        self._grant_defaults(name, bucket)
        return str(name)

    def _grant_defaults(self, name: str, bucket: Json) -> None:
        bindings = _facts()["default_policy"] + (
            _facts()["default_policy_uniform"] if is_uniform(bucket) else []
        )
        filled = [
            {"role": b["role"], "members": [m.format(project=bucket["project"]) for m in b["members"]]}
            for b in bindings
        ]
        self._iam.set_policy(resource_name(name), {"bindings": filled})

    def configure(self, name: str, changes: Json, *, replace: bool) -> None:
        """PATCH (merge) or, with ``replace``, PUT: what is not given goes back to its default."""
        bucket = self.get(name)
        if (changes.get("location") or bucket["location"]).upper() != bucket["location"]:
            raise invalid_argument("A bucket's location cannot be changed after the bucket is created.")
        fixed = {key: value for key, value in bucket.items() if key not in _CONFIGURABLE}
        configured = _chosen(changes) if replace else merge(bucket, _chosen(changes))
        bucket = fixed | _settled(_chosen(configured), bucket)
        bucket |= {"metageneration": bucket["metageneration"] + 1, "updated": stamp()}
        self._buckets.put(name, bucket)

    def delete(self, name: str) -> None:
        """Removes an empty bucket with its policy (that it is empty is the caller's business)."""
        self._buckets.delete(name)
        self._iam.forget(resource_name(name))

    def view(self, name: str, bucket: Json) -> Json:
        """The bucket as the API shows it."""
        shown = {key: value for key, value in bucket.items() if key not in ("project", "metageneration")}
        return {
            "kind": "storage#bucket",
            "id": name,
            "name": name,
            "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}",
            "projectNumber": self._projects.number(bucket["project"]),
            "metageneration": str(bucket["metageneration"]),
            "etag": etag(bucket["metageneration"]),
            "locationType": location_type(bucket["location"]),
            **shown,
        }


def _check_name(name: str) -> None:
    parts = name.split(".")
    longest = 222 if len(parts) > 1 else 63
    if (
        not 3 <= len(name) <= longest
        or not all(_COMPONENT.fullmatch(part) for part in parts)
        or _ADDRESS.fullmatch(name)
        or name.startswith("goog")
        or "google" in name
    ):
        raise invalid_argument(f"Invalid bucket name: '{name}'")
    if len(parts) > 1:
        raise ApiError(
            "PERMISSION_DENIED", "The bucket you tried to create requires domain ownership verification."
        )


def _chosen(body: Json) -> Json:
    """The configurable fields of ``body``; refuses those that the emulator could not honour."""
    for name, what in (
        ("autoclass", "Autoclass"),
        ("hierarchicalNamespace", "hierarchical namespaces"),
        ("objectRetention", "object retention"),
    ):
        given = body.get(name) or {}
        if given.get("enabled") or given.get("mode") == "Enabled":
            raise not_emulated(what)
    for name, what in (
        ("customPlacementConfig", "configurable dual-regions"),
        ("ipFilter", "IP filtering"),
    ):
        if body.get(name):
            raise not_emulated(what)
    if (body.get("encryption") or {}).get("defaultKmsKeyName"):
        raise not_emulated("customer-managed encryption keys")
    for name in ("acl", "defaultObjectAcl"):
        if body.get(name):
            raise not_emulated("access control lists; use IAM with uniform bucket-level access")
    return {key: body[key] for key in _CONFIGURABLE if key in body}


def _settled(config: Json, previous: Json) -> Json:
    """``config`` validated and with its defaults; ``previous`` is the record before (times are kept where nothing changed)."""
    result = {key: value for key, value in config.items() if value not in (None, {}, [])}
    result["storageClass"] = config.get("storageClass") or "STANDARD"
    if not is_storage_class(result["storageClass"]):
        raise invalid_argument(f"Invalid storage class: {result['storageClass']}")
    result["iamConfiguration"] = _iam_configuration(config.get("iamConfiguration") or {}, previous)
    result["softDeletePolicy"] = _soft_delete(config.get("softDeletePolicy") or {}, previous)
    if "retentionPolicy" in result:
        result["retentionPolicy"] = _retention(result["retentionPolicy"], previous)
    _check_labels(result.get("labels", {}))
    for rule in result.get("lifecycle", {}).get("rule", []):
        _check_rule(rule)
    return result


def _iam_configuration(given: Json, previous: Json) -> Json:
    prevention = given.get("publicAccessPrevention") or "inherited"
    if prevention not in ("inherited", "enforced", "unspecified"):
        raise invalid_argument(f"Invalid value for publicAccessPrevention: {prevention}")
    # bucketPolicyOnly is the older name of the same switch; clients send both, one of them stale.
    wanted = given.get("uniformBucketLevelAccess") or given.get("bucketPolicyOnly") or {}
    uniform: Json = {"enabled": bool(wanted.get("enabled"))}
    before = previous.get("iamConfiguration", {}).get("uniformBucketLevelAccess", {})
    if uniform["enabled"]:
        locked = clock.now() + datetime.timedelta(days=_UNIFORM_LOCK_DAYS)
        uniform["lockedTime"] = before.get("lockedTime") or stamp(locked)
    return {
        "bucketPolicyOnly": dict(uniform),
        "uniformBucketLevelAccess": uniform,
        "publicAccessPrevention": "inherited" if prevention == "unspecified" else prevention,
    }


def _soft_delete(given: Json, previous: Json) -> Json:
    seconds = int(given.get("retentionDurationSeconds", _WEEK))
    if seconds != 0 and not _WEEK <= seconds <= 90 * 24 * 3600:
        raise invalid_argument("Soft delete policy retention duration must be 0 or between 7 and 90 days.")
    before = previous.get("softDeletePolicy", {})
    if before.get("retentionDurationSeconds") == str(seconds):
        return dict(before)
    return {"retentionDurationSeconds": str(seconds), "effectiveTime": stamp()}


def _retention(given: Json, previous: Json) -> Json:
    seconds = int(given.get("retentionPeriod", 0))
    if not 0 < seconds < 100 * 365.25 * 24 * 3600:
        raise invalid_argument("Retention period must be greater than zero and less than 100 years.")
    before = previous.get("retentionPolicy", {})
    if before.get("retentionPeriod") == str(seconds):
        return dict(before)
    return {"retentionPeriod": str(seconds), "effectiveTime": stamp()}


def _check_labels(labels: dict[str, Any]) -> None:
    if len(labels) > 64:
        raise invalid_argument("A bucket can have at most 64 labels.")
    for key, value in labels.items():
        bad = not all(_LABEL.fullmatch(text) and text == text.lower() for text in (key, value))
        if bad or not key[:1].isalpha():
            raise invalid_argument(
                f"Invalid label '{key}: {value}'. Keys and values hold at most 63 lower-case letters, digits, underscores "
                "and dashes; a key starts with a letter."
            )


def _check_rule(rule: Json) -> None:
    action = rule.get("action", {}).get("type")
    if action not in _ACTIONS:
        raise invalid_argument(
            f"Unknown lifecycle action type: {action}. Valid types are {', '.join(_ACTIONS)}."
        )
    if action == "SetStorageClass" and not is_storage_class(rule["action"].get("storageClass", "")):
        raise invalid_argument("A SetStorageClass lifecycle action needs a valid storageClass.")
    if not rule.get("condition"):
        raise invalid_argument("A lifecycle management rule must contain at least one condition.")


def refuse_acl_parameters(bucket: Json | None, params: Json) -> None:
    """400 for ``predefinedAcl`` and its siblings: refused by Google with uniform access, else not emulated."""
    given = [name for name in params if name.startswith(("predefined", "destinationPredefined"))]
    if not given:
        return
    if bucket is not None and is_uniform(bucket):
        raise acl_refused("insert")
    raise not_emulated(f"access control lists ({', '.join(given)}); use IAM with uniform bucket-level access")
