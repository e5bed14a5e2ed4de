"""Access control lists, which rule beside IAM where uniform bucket-level access does not.

The list of a bucket is another way to write the legacy roles of its policy, so it is kept there. That of an object is kept with the object, and
begins as the bucket's default for objects, or as what the upload says.
Source: https://cloud.google.com/storage/docs/access-control/lists (roles, predefined lists, who owns what),
https://cloud.google.com/storage/docs/access-control/iam#acls (legacy roles), and the recordings that facts.yaml names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.engine.iam import Iam
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.projects import Projects
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.services.storage.errors import public_access_prevented
from gcp_emulator.services.storage.records import etag

Acl = list[dict[str, str]]
"""Entries as they are kept: ``entity`` and ``role``, in order."""

_BASE = "https://www.googleapis.com/storage/v1"
_PUBLIC = ("allUsers", "allAuthenticatedUsers")
_TEAMS = {"owners": "projectOwner", "editors": "projectEditor", "viewers": "projectViewer"}
_BASIC_ROLES = {"owners": "roles/owner", "editors": "roles/editor", "viewers": "roles/viewer"}
_ENTITY = re.compile(
    r"(?:user|group|domain)-.+|project-(owners|editors|viewers)-(.+)|allUsers|allAuthenticatedUsers"
)
#: What a role on a bucket is called in its policy.
BUCKET_ROLES = {
    "OWNER": "roles/storage.legacyBucketOwner",
    "WRITER": "roles/storage.legacyBucketWriter",
    "READER": "roles/storage.legacyBucketReader",
}
#: What a role on an object allows.
OBJECT_ROLES = {
    "READER": {"storage.objects.get"},
    "OWNER": {
        "storage.objects.get",
        "storage.objects.getIamPolicy",
        "storage.objects.setIamPolicy",
        "storage.objects.update",
    },
}
_PROJECT_PRIVATE = (("project-owners", "OWNER"), ("project-editors", "OWNER"), ("project-viewers", "READER"))
#: Predefined lists: entries beside the owner of an object, or beside the project's owners, who own its buckets.
_PREDEFINED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "authenticatedRead": (("allAuthenticatedUsers", "READER"),),
    "bucketOwnerFullControl": (("project-owners", "OWNER"),),
    "bucketOwnerRead": (("project-owners", "READER"),),
    "private": (),
    "projectPrivate": _PROJECT_PRIVATE,
    "publicRead": (("allUsers", "READER"),),
    "publicReadWrite": (("allUsers", "WRITER"),),
}


class Acls:
    """Reads and writes lists, and decides what those of objects allow."""

    def __init__(self, iam: Iam, projects: Projects, constraints: Constraints) -> None:
        self._iam = iam
        self._projects = projects
        self._constraints = constraints

    def prevents_public(self, bucket: Json) -> bool:
        """Whether nobody but who is known may be given anything: by the bucket's own word, or by the organisation's."""
        own: str = bucket["iamConfiguration"]["publicAccessPrevention"]
        return own == "enforced" or self._constraints.enforces(
            bucket["project"], "storage.publicAccessPrevention"
        )

    # ---------------------------------------------------------------- lists

    def predefined(self, name: str, project: str, *, bucket: bool = False) -> Acl:
        """The entries of a predefined list. A bucket's has the project's owners in any case."""
        entries = _PREDEFINED[name]
        if bucket and name != "projectPrivate":
            entries = (("project-owners", "OWNER"), *entries)
        number = self._projects.number(project)
        return [
            {"entity": f"{entity}-{number}" if entity.startswith("project-") else entity, "role": role}
            for entity, role in entries
        ]

    def checked(
        self, given: Iterable[Json], bucket: Json, *, roles: Iterable[str] = tuple(OBJECT_ROLES)
    ) -> Acl:
        """The entries of a request; ApiError for entities and roles that there are none of, and for what must not be public."""
        entries: dict[str, str] = {}
        for one in given:
            entity, role = self.canonical(str(one.get("entity", ""))), str(one.get("role", ""))
            if role not in roles:
                raise invalid_argument(f"Invalid value for field 'role': '{role}'.")
            entries[entity] = role
        self.check_public(entries, bucket)
        return [{"entity": entity, "role": role} for entity, role in entries.items()]

    def check_public(self, entities: Iterable[str], bucket: Json) -> None:
        """412 where public access prevention is enforced and one of the entities is everybody."""
        if set(_PUBLIC) & set(entities) and self.prevents_public(bucket):
            raise public_access_prevented()

    def canonical(self, entity: str) -> str:
        """An entity with the number of its project; ApiError INVALID_ARGUMENT for what is none."""
        found = _ENTITY.fullmatch(entity)
        if found is None:
            raise invalid_argument(f"Invalid value for field 'entity': '{entity}'.")
        if found[1]:
            record = self._projects.find(found[2])
            if record is None:
                raise invalid_argument(f"Unknown project id: {found[2]}")
            return f"project-{found[1]}-{record['projectNumber']}"
        return entity

    def of_bucket(self, resource: str) -> Acl:
        """The list of a bucket, out of its policy: the project's teams first."""
        names = {role: short for short, role in BUCKET_ROLES.items()}
        found: dict[str, str] = {}
        for binding in self._iam.get_policy(resource).get("bindings", []):
            if binding["role"] not in names:
                continue
            for member in binding["members"]:
                entity = self._entity(member)
                # With more than one role the strongest is told.
                if entity and list(BUCKET_ROLES).index(names[binding["role"]]) <= list(BUCKET_ROLES).index(
                    found.get(entity, "READER")
                ):
                    found[entity] = names[binding["role"]]
        teams = [f"project-{team}-" for team in _TEAMS]

        def rank(entity: str) -> int:
            return next((number for number, team in enumerate(teams) if entity.startswith(team)), len(teams))

        return [{"entity": entity, "role": found[entity]} for entity in sorted(found, key=rank)]

    def set_bucket(self, resource: str, acl: Acl) -> None:
        """Writes the list of a bucket into its policy."""
        kept = [
            binding
            for binding in self._iam.get_policy(resource).get("bindings", [])
            if binding["role"] not in BUCKET_ROLES.values()
        ]
        for short, role in BUCKET_ROLES.items():
            members = [self._member(one["entity"]) for one in acl if one["role"] == short]
            if members:
                kept.append({"role": role, "members": members})
        self._iam.set_policy(resource, {"bindings": kept})

    # ---------------------------------------------------------------- what they allow

    def allow(self, identity: Identity | None, permission: str, bucket: Json, acl: Acl) -> bool:
        """Whether the list of an object grants a permission on it."""
        granting = {one["entity"] for one in acl if permission in OBJECT_ROLES[one["role"]]}
        if self.prevents_public(bucket):
            granting -= set(_PUBLIC)
        return not granting.isdisjoint(self._entities(identity, bucket["project"]))

    def _entities(self, identity: Identity | None, project: str) -> set[str]:
        """What a caller is called in lists of a project's buckets."""
        if identity is None:
            return {"allUsers"}
        found = {*_PUBLIC, f"user-{identity.email}", f"domain-{identity.email.partition('@')[2]}"}
        number = self._projects.number(project)
        for binding in self._iam.get_policy(f"projects/{project}").get("bindings", []):
            if identity.member in binding["members"]:
                found |= {
                    f"project-{team}-{number}"
                    for team, role in _BASIC_ROLES.items()
                    if role == binding["role"]
                }
        return found

    def _member(self, entity: str) -> str:
        """An entity as policies name it."""
        found = _ENTITY.fullmatch(entity)
        if found is not None and found[1]:
            record = self._projects.find(found[2]) or {"projectId": found[2]}
            return f"{_TEAMS[found[1]]}:{record['projectId']}"
        kind, _, name = entity.partition("-")
        if kind == "user" and name.endswith(".gserviceaccount.com"):
            return f"serviceAccount:{name}"
        return f"{kind}:{name}" if name else entity

    def _entity(self, member: str) -> str:
        """A member of a policy as lists name it; "" for one that they cannot name."""
        if member in _PUBLIC:
            return member
        kind, _, name = member.partition(":")
        for team, convenience in _TEAMS.items():
            if kind == convenience:
                record = self._projects.find(name)
                return f"project-{team}-{record['projectNumber']}" if record else ""
        kind = {"serviceAccount": "user"}.get(kind, kind)
        return f"{kind}-{name}" if kind in ("user", "group", "domain") else ""


# ---------------------------------------------------------------- how entries are shown


def shown_of_bucket(bucket: str, entry: Mapping[str, str], metageneration: int) -> Json:
    """An entry of a bucket's list."""
    entity = entry["entity"]
    return {
        "kind": "storage#bucketAccessControl",
        "id": f"{bucket}/{entity}",
        "selfLink": f"{_BASE}/b/{bucket}/acl/{quote(entity, safe='')}",
        "bucket": bucket,
        **_shown(entry),
        "etag": etag(metageneration),
    }


def shown_as_default(entry: Mapping[str, str], metageneration: int) -> Json:
    """An entry of the list that new objects of a bucket get."""
    return {"kind": "storage#objectAccessControl", **_shown(entry), "etag": etag(metageneration)}


def shown_of_object(record: Json, entry: Mapping[str, str]) -> Json:
    """An entry of an object's list."""
    entity, generation = entry["entity"], str(record["generation"])
    place = f"b/{record['bucket']}/o/{quote(record['name'], safe='')}"
    return {
        "kind": "storage#objectAccessControl",
        "id": f"{record['bucket']}/{record['name']}/{generation}/{entity}",
        "selfLink": f"{_BASE}/{place}/acl/{quote(entity, safe='')}",
        "bucket": record["bucket"],
        "object": record["name"],
        "generation": generation,
        **_shown(entry),
        "etag": etag(record["generation"], record["metageneration"]),
    }


def _shown(entry: Mapping[str, str]) -> Json:
    shown: dict[str, Any] = {"entity": entry["entity"], "role": entry["role"]}
    kind, _, name = entry["entity"].partition("-")
    if kind == "project":
        team, _, number = name.partition("-")
        shown["projectTeam"] = {"projectNumber": number, "team": team}
    elif kind in ("user", "group"):
        shown["email"] = name
    elif kind == "domain":
        shown["domain"] = name
    return shown
