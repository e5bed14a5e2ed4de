"""Who may do what: service accounts, and the bindings of every resource of a project."""

from __future__ import annotations

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.store import Store
from gcp_emulator.services.run.names import short

_BUCKETS = "projects/_/buckets/"
_KINDS = {
    "secrets": "secret",
    "services": "service",
    "jobs": "job",
    "repositories": "repository",
    "serviceAccounts": "service account",
    "buckets": "bucket",
}


def accounts(store: Store, project: str) -> list[Json]:
    """The service accounts of the project with the number of grants that each has anywhere in it."""
    bound = [
        member
        for resource in bindings(store, project)
        for row in resource["rows"]
        for member in row["members"]
    ]
    return [
        {
            "email": email,
            "display_name": record.get("displayName", ""),
            "disabled": bool(record.get("disabled")),
            "grants": bound.count(f"serviceAccount:{email}"),
        }
        for email, record in store.collection("iam.serviceAccounts").items()
        if record["projectId"] == project
    ]


def bindings(store: Store, project: str) -> list[Json]:
    """Resources with a policy, the project first; each with its roles and their members."""
    found = []
    for resource, policy in store.collection("iam.policies").items():
        if _project(store, resource) != project or not policy["bindings"]:
            continue
        rows = [{"role": one["role"], "members": list(one["members"])} for one in policy["bindings"]]
        found.append({"resource": resource, **_described(resource), "rows": rows})
    return sorted(found, key=lambda one: (one["kind"] != "project", one["kind"], one["name"]))


def _project(store: Store, resource: str) -> str:
    """The project that a resource belongs to; a bucket's name does not tell."""
    if resource.startswith(_BUCKETS):
        bucket = store.collection("storage.buckets").get(resource.split("/")[3])
        return str(bucket["project"]) if bucket else ""
    return resource.split("/")[1]


def _described(resource: str) -> Json:
    parts = resource.split("/")
    if len(parts) == 2:
        return {"kind": "project", "name": parts[1]}
    return {"kind": _KINDS.get(parts[-2], parts[-2]), "name": short(resource)}
