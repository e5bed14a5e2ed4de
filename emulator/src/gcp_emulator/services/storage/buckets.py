"""Buckets: names, defaults, what may be configured, the global name space.

Source: https://cloud.google.com/storage/docs/json_api/v1/buckets and .../storage/docs/buckets#naming. Lifecycle rules, Autoclass,
website, logging, IP filters and soft delete are kept and shown but nothing acts on them: the emulator never deletes by age.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json, already_exists, invalid_argument
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.iam import Iam
from gcp_emulator.engine.labels import is_key, is_value
from gcp_emulator.engine.projects import Projects
from gcp_emulator.engine.store import Store
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.services.storage.acls import (
    BUCKET_ROLES,
    OBJECT_ROLES,
    Acl,
    Acls,
    shown_as_default,
    shown_of_bucket,
)
from gcp_emulator.services.storage.errors import NoBucketError, acl_refused, constraint_violated, not_emulated
from gcp_emulator.services.storage.records import etag, merge, stamp

_COMPONENT = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_CONFIGURABLE = (
    "autoclass",
    "billing",
    "cors",
    "defaultEventBasedHold",
    "iamConfiguration",
    "ipFilter",
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


def location_type(bucket: Json) -> str | None:
    """``region``, ``dual-region`` or ``multi-region``; None for a location that does not exist."""
    if "customPlacementConfig" in bucket:
        return "dual-region"
    locations = _facts()["locations"].items()
    return next((kind for kind, names in locations if bucket["location"] in names), None)


def is_storage_class(name: str) -> bool:
    return name in _facts()["storage_classes"]


def is_uniform(bucket: Json) -> bool:
    """Whether uniform bucket-level access rules, so that ACLs do not exist."""
    return bool(bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"])


def is_versioned(bucket: Json) -> bool:
    return bool(bucket.get("versioning", {}).get("enabled"))


def resource_name(bucket: str) -> str:
    """The bucket's name in IAM."""
    return f"projects/_/buckets/{bucket}"


class Buckets:
    """Every bucket of every project."""

    def __init__(
        self, store: Store, iam: Iam, projects: Projects, acls: Acls, constraints: Constraints
    ) -> None:
        self._buckets = store.collection("storage.buckets")
        self._iam = iam
        self._acls = acls
        self._projects = projects
        self._constraints = constraints

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

    def create(self, project: str, body: Json, params: Json) -> str:
        """A new bucket; returns its name. Refuses bad names, taken names, unknown locations. ``params`` may name predefined lists."""
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
        now = clock.now()
        fixed = {
            "project": project,
            "location": (body.get("location") or "US").upper(),
            "timeCreated": stamp(now),
            "updated": stamp(now),
            "generation": str(int(now.timestamp() * 1_000_000)),
            "metageneration": 1,
            **_placed(body),
        }
        if location_type(fixed) is None:
            raise invalid_argument("The specified location constraint is not valid.")
        self._require_location(fixed)
        bucket = _placement_defaults(fixed | _settled(_chosen(body), {}))
        self._require_uniform(bucket)
        lists = self._lists(bucket, body, params)
        default = {"defaultObjectAcl": self._acls.predefined("projectPrivate", project)}
        self._buckets.put(name, bucket | default | {key: lists[key] for key in lists if key in default})
        self._grant_defaults(name, bucket)
        if "acl" in lists:
            self._acls.set_bucket(resource_name(name), lists["acl"])
        return str(name)

    def _lists(self, bucket: Json, body: Json, params: Json) -> Json:
        """The access control lists that a request gives or names."""
        if is_uniform(bucket) and (body.get("acl") or body.get("defaultObjectAcl")):
            raise acl_refused("insert", "a bucket")
        refuse_acl_parameters(bucket, params)
        found: Json = {}
        for key, parameter, roles in (
            ("acl", "predefinedAcl", BUCKET_ROLES),
            ("defaultObjectAcl", "predefinedDefaultObjectAcl", OBJECT_ROLES),
        ):
            if body.get(key):
                found[key] = self._acls.checked(body[key], bucket, roles=roles)
            elif params.get(parameter):
                found[key] = self._acls.predefined(params[parameter], bucket["project"], bucket=key == "acl")
                self._acls.check_public([one["entity"] for one in found[key]], bucket)
        return found

    def _grant_defaults(self, name: str, bucket: Json) -> None:
        bindings = _facts()["default_policy"] + (
            _facts()["default_policy_uniform"] if is_uniform(bucket) else []
        )
        filled = [
            {"role": b["role"], "members": [m.format(project=bucket["project"]) for m in b["members"]]}
            for b in bindings
        ]
        self._iam.put_policy(resource_name(name), {"bindings": filled})

    def configure(self, name: str, changes: Json, params: Json, *, replace: bool) -> None:
        """PATCH (merge) or, with ``replace``, PUT: what is not given goes back to its default."""
        bucket = self.get(name)
        if (changes.get("location") or bucket["location"]).upper() != bucket["location"]:
            raise invalid_argument("A bucket's location cannot be changed after the bucket is created.")
        fixed = {key: value for key, value in bucket.items() if key not in _CONFIGURABLE}
        configured = _chosen(changes) if replace else merge(bucket, _chosen(changes))
        before, bucket = bucket, _placement_defaults(fixed | _settled(_chosen(configured), bucket))
        if is_uniform(before):
            self._require_uniform(bucket)
        lists = self._lists(bucket, changes, params)
        if "acl" in lists:
            self._acls.set_bucket(resource_name(name), lists.pop("acl"))
        self._touch(name, bucket | lists)

    def acl(self, name: str) -> Acl:
        """The access control list of a bucket."""
        return self._acls.of_bucket(resource_name(name))

    def set_acl(self, name: str, acl: Acl) -> None:
        """Replaces it."""
        self._acls.set_bucket(resource_name(name), acl)
        self._touch(name, self.get(name))

    def set_default_acl(self, name: str, acl: Acl) -> None:
        """Replaces the list that new objects get."""
        self._touch(name, self.get(name) | {"defaultObjectAcl": acl})

    def _touch(self, name: str, bucket: Json) -> None:
        bucket |= {"metageneration": bucket["metageneration"] + 1, "updated": stamp()}
        self._buckets.put(name, bucket)

    def _require_location(self, bucket: Json) -> None:
        regions = (bucket.get("customPlacementConfig") or {}).get("dataLocations", [])
        for location in (bucket["location"], *regions):
            if not self._constraints.allows(bucket["project"], "gcp.resourceLocations", location):
                raise constraint_violated("gcp.resourceLocations", location)

    def _require_uniform(self, bucket: Json) -> None:
        constraint = "storage.uniformBucketLevelAccess"
        if not is_uniform(bucket) and self._constraints.enforces(bucket["project"], constraint):
            raise constraint_violated(constraint)

    def delete(self, name: str) -> None:
        """Removes an empty bucket with its policy (that it is empty is the caller's business)."""
        self._buckets.delete(name)
        self._iam.forget(resource_name(name))

    def view(self, name: str, bucket: Json, *, full: bool = False) -> Json:
        """The bucket as the API shows it; ``full`` with owner and access control lists, where there are any."""
        kept = ("project", "metageneration", "defaultObjectAcl")
        shown = {key: value for key, value in bucket.items() if key not in kept}
        number, metageneration = self._projects.number(bucket["project"]), bucket["metageneration"]
        if full and not is_uniform(bucket):
            shown["acl"] = [shown_of_bucket(name, entry, metageneration) for entry in self.acl(name)]
            default = bucket.get("defaultObjectAcl", [])
            shown["defaultObjectAcl"] = [shown_as_default(entry, metageneration) for entry in default]
            shown["owner"] = {"entity": f"project-owners-{number}"}
        return {
            "kind": "storage#bucket",
            "id": name,
            "name": name,
            "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}",
            "projectNumber": number,
            "metageneration": str(metageneration),
            "etag": etag(metageneration),
            "locationType": location_type(bucket),
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
    if (body.get("objectRetention") or {}).get("mode") == "Enabled":
        raise not_emulated("object retention")
    if (body.get("encryption") or {}).get("defaultKmsKeyName"):
        raise not_emulated("customer-managed encryption keys")
    return {key: body[key] for key in _CONFIGURABLE if key in body}


def _settled(config: Json, previous: Json) -> Json:
    """``config`` validated and with its defaults; ``previous`` is the record before (times are kept where nothing changed)."""
    result = {key: value for key, value in config.items() if value not in (None, {}, [])}
    result["storageClass"] = config.get("storageClass") or "STANDARD"
    if not is_storage_class(result["storageClass"]):
        raise invalid_argument(f"Invalid storage class: {result['storageClass']}")
    result["iamConfiguration"] = _iam_configuration(config.get("iamConfiguration") or {}, previous)
    result["softDeletePolicy"] = _soft_delete(config.get("softDeletePolicy") or {}, previous)
    if "autoclass" in result:
        result["autoclass"] = _autoclass(result["autoclass"], previous)
    if "ipFilter" in result:
        _check_ip_filter(result["ipFilter"])
    if "retentionPolicy" in result:
        result["retentionPolicy"] = _retention(result["retentionPolicy"], previous)
    _check_labels(result.get("labels", {}))
    for rule in result.get("lifecycle", {}).get("rule", []):
        _check_rule(rule)
    if not result.get("lifecycle", {}).get("rule"):
        result.pop("lifecycle", None)
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
    if seconds == 0:
        return {"retentionDurationSeconds": "0"}
    return {"retentionDurationSeconds": str(seconds), "effectiveTime": stamp()}


def _placed(body: Json) -> Json:
    """What a bucket is made with and keeps: two regions, a hierarchical namespace."""
    found: Json = {}
    if regions := (body.get("customPlacementConfig") or {}).get("dataLocations"):
        regions = [region.upper() for region in regions]
        if len(set(regions)) != 2 or any(
            location_type({"location": region}) != "region" for region in regions
        ):
            raise invalid_argument("The specified data locations are not two regions.")
        found["customPlacementConfig"] = {"dataLocations": regions}
    if (body.get("hierarchicalNamespace") or {}).get("enabled"):
        uniform = (body.get("iamConfiguration") or {}).get("uniformBucketLevelAccess") or {}
        if not uniform.get("enabled"):
            raise invalid_argument(
                "Hierarchical namespace requires uniform bucket-level access to be enabled."
            )
        found["hierarchicalNamespace"] = {"enabled": True}
    return found


def _placement_defaults(bucket: Json) -> Json:
    """What follows from where a bucket is (recorded: storagebucketzero, runjob-gcsvolume)."""
    if location_type(bucket) == "region":
        if bucket.get("rpo"):
            raise invalid_argument("The recovery point objective of a regional bucket cannot be set.")
        return bucket | {"satisfiesPZI": True}
    rpo = bucket.get("rpo") or "DEFAULT"
    if rpo not in ("DEFAULT", "ASYNC_TURBO") or (
        rpo == "ASYNC_TURBO" and location_type(bucket) != "dual-region"
    ):
        raise invalid_argument(f"Invalid value for rpo: {rpo}")
    return bucket | {"rpo": rpo}


def _autoclass(given: Json, previous: Json) -> Json:
    """With the class that objects end in, and when both were last changed. No object is moved."""
    before, now = previous.get("autoclass", {}), stamp()
    enabled = bool(given.get("enabled"))
    if not enabled:
        return {"enabled": False}
    last = given.get("terminalStorageClass") or "NEARLINE"
    if last not in ("NEARLINE", "ARCHIVE"):
        raise invalid_argument(f"Invalid terminal storage class: {last}")
    same = before.get("terminalStorageClass") == last
    return {
        "enabled": True,
        "terminalStorageClass": last,
        "terminalStorageClassUpdateTime": before["terminalStorageClassUpdateTime"] if same else now,
        "toggleTime": before["toggleTime"] if before.get("enabled") else now,
    }


def _check_ip_filter(given: Json) -> None:
    """The filter is kept and keeps nobody away: every caller comes from this machine."""
    if given.get("mode") not in ("Enabled", "Disabled"):
        raise invalid_argument(f"Invalid IP filter mode: {given.get('mode')}")
    networks = given.get("vpcNetworkSources", [])
    for source in [given.get("publicNetworkSource") or {}, *networks]:
        for text in source.get("allowedIpCidrRanges", []):
            try:
                ipaddress.ip_network(text)
            except ValueError:
                raise invalid_argument(f"Invalid IP CIDR range: {text}") from None


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
    if not all(is_key(key) and is_value(value) for key, value in labels.items()):
        # No more is said: https://github.com/GoogleCloudPlatform/k8s-config-connector/issues/750.
        raise invalid_argument("Invalid argument.")


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


def refuse_acl_parameters(bucket: Json, params: Json) -> None:
    """400 for ``predefinedAcl`` and its siblings where uniform access rules."""
    if is_uniform(bucket) and any(
        name.startswith(("predefined", "destinationPredefined")) for name in params
    ):
        raise acl_refused("insert")
