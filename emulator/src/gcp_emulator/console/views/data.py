"""What holds data: database instances, buckets with their objects, secrets without their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gcp_emulator.console.views.common import badge, newest
from gcp_emulator.databases.postgres.roles import Database, User
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.store import Store
from gcp_emulator.services.run.names import short


@dataclass(frozen=True)
class Content:
    """What a running instance told of itself; ``problem`` says why it could not."""

    databases: Sequence[Database] = ()
    users: Sequence[User] = ()
    problem: str = ""


def instances(store: Store, project: str, contents: Mapping[str, Content]) -> list[Json]:
    """The database instances of the project. ``contents`` goes by ``PROJECT/INSTANCE``."""
    found = []
    for key, record in store.collection("sqladmin.instances").items(f"{project}/"):
        settings, content = record["settings"], contents.get(key, Content())
        found.append(
            {
                "name": record["name"],
                "state": badge(record["state"]),
                "region": record["region"],
                "version": record["databaseVersion"],
                "installed": record.get("databaseInstalledVersion", ""),
                "edition": settings.get("edition", ""),
                "tier": settings.get("tier", ""),
                "availability": settings.get("availabilityType", ""),
                "protected": bool(settings.get("deletionProtectionEnabled")),
                "connection": record.get("connectionName", ""),
                "flags": [f"{flag['name']}={flag['value']}" for flag in settings.get("databaseFlags", [])],
                "databases": [
                    {"name": one.name, "charset": one.charset, "collation": one.collation}
                    for one in content.databases
                ],
                "users": [
                    {"name": one.name, "type": one.type.replace("_", " ").lower(), "roles": list(one.roles)}
                    for one in content.users
                ],
                "problem": content.problem,
            }
        )
    return found


def buckets(store: Store, project: str) -> list[Json]:
    """The buckets of the project with how much is in them."""
    found = []
    for name, record in store.collection("storage.buckets").items():
        if record["project"] != project:
            continue
        sizes = [int(body["size"]) for _, body in store.collection("storage.objects").items(f"{name}/")]
        found.append(
            {
                "name": name,
                "location": record.get("location", ""),
                "storage_class": record.get("storageClass", ""),
                "versioned": bool(record.get("versioning", {}).get("enabled")),
                "public_access": record.get("iamConfiguration", {}).get(
                    "publicAccessPrevention", "inherited"
                ),
                "objects": len(sizes),
                "bytes": sum(sizes),
            }
        )
    return found


def objects(store: Store, project: str, bucket: str, prefix: str, *, limit: int) -> Json | None:
    """One bucket with the newest of its objects whose names start with ``prefix``; None when the project has no such bucket."""
    record = store.collection("storage.buckets").get(bucket)
    if record is None or record["project"] != project:
        return None
    everything = [
        {
            "name": body["name"],
            "bytes": int(body["size"]),
            "type": body.get("contentType", ""),
            "updated": body.get("updated", ""),
            "generation": str(body["generation"]),
        }
        for _, body in store.collection("storage.objects").items(f"{bucket}/{prefix}")
    ]
    return {
        "name": bucket,
        "prefix": prefix,
        "count": len(everything),
        "objects": newest(everything, "updated")[:limit],
    }


def secrets(store: Store, project: str) -> list[Json]:
    """Names, labels and the states of versions. What a version holds is not even read."""
    found = []
    for full, record in store.collection("secretmanager.secrets").items(f"projects/{project}/secrets/"):
        versions = [
            {"number": short(name), "state": badge(body["state"]), "created": body["createTime"]}
            for name, body in store.collection("secretmanager.versions").items(f"{full}/versions/")
        ]
        found.append(
            {
                "name": short(full),
                "labels": dict(record.get("labels", {})),
                "created": record["createTime"],
                "versions": sorted(versions, key=lambda version: int(version["number"]), reverse=True),
            }
        )
    return found
