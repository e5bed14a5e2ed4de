"""IAM, evaluated: policies with etags on resources, roles as permission lists, inheritance upwards.

Resource names are the relative ones of the APIs (``projects/p/secrets/s``); buckets are ``projects/_/buckets/b``. What is above
projects (folders, organisations) and beside them (billing accounts) is a `Hierarchy`'s to tell.
Sources: https://cloud.google.com/iam/docs/reference/rest/v1/Policy, https://cloud.google.com/iam/docs/policies.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol

from gcp_emulator.engine.errors import Json, aborted, credentials_missing, invalid_argument, permission_denied
from gcp_emulator.engine.iam_roles import permission_fits, role_fits, role_has, role_permissions
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.propagation import Propagation
from gcp_emulator.engine.store import Store

_MEMBER = re.compile(
    r"(allUsers|allAuthenticatedUsers|(user|group|domain|serviceAccount|deleted:\w+|projectOwner|projectEditor|projectViewer):\S+"
    r"|principal(Set)?://\S+)"
)
_PROJECT = re.compile(r"projects/[^/]+")
_STALE_POLICY = (
    "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. "
    "The request's ETag '{given}' did not match the current policy's ETag '{current}'."
)


_CONVENIENCE = {
    "roles/owner": "projectOwner",
    "roles/editor": "projectEditor",
    "roles/viewer": "projectViewer",
}


def _convenience_members(members: set[str], project_bindings: list[Json], project: str) -> set[str]:
    """``projectOwner:ID`` and its kin, by which bucket policies name the holders of the project's basic roles.

    https://cloud.google.com/storage/docs/access-control/iam#convenience-values
    """
    return {
        f"{_CONVENIENCE[binding['role']]}:{project}"
        for binding in project_bindings
        if binding["role"] in _CONVENIENCE and members & set(binding["members"])
    }


def _grants(resource: str, bindings: list[Json]) -> set[tuple[str, str, str]]:
    return {(resource, binding["role"], member) for binding in bindings for member in binding["members"]}


def policy_etag(policy: Json) -> str:
    """The etag of a policy: a digest of its bindings and generation, in base64 as Google sends it."""
    canonical = json.dumps([policy.get("bindings", []), policy.get("generation", 0)], sort_keys=True)
    return base64.b64encode(hashlib.sha256(canonical.encode()).digest()[:6]).decode()


#: What is written where a mask does not say it: https://cloud.google.com/iam/docs/reference/rest/v1/Policy.
_WRITTEN = ("bindings", "etag")
#: The etag of a policy that nobody has written (recorded: pubsubsubscription-cloudstorage has one without a version).
_UNWRITTEN = "ACAB"


class Hierarchy(Protocol):
    """Where projects and folders are."""

    def above(self, name: str) -> str | None:
        """The folder or organisation that ``projects/ID`` or ``folders/ID`` is in; None where there is none."""

    def open(self, name: str) -> bool:
        """Whether whoever has signed in may do everything in ``organizations/ID``, ``folders/ID`` or ``billingAccounts/ID``."""


class Iam:
    """Reads, writes and evaluates policies."""

    def __init__(self, store: Store, propagation: Propagation | None = None) -> None:
        self._policies = store.collection("iam.policies")
        #: When grants, and new accounts, take effect.
        self.propagation = propagation or Propagation()
        self._member_exists: Callable[[str, str], bool] = lambda member, service: True
        self._custom_roles: Callable[[str], Collection[str] | None] = lambda role: None
        self._restrict: Callable[[str, str, Collection[str]], None] = lambda project, resource, members: None
        #: By the beginning of their names: in which project resources are whose names do not tell.
        self._places: dict[str, Callable[[str], str | None]] = {}
        self._hierarchy: Hierarchy | None = None

    def vouch_for(self, member_exists: Callable[[str, str], bool]) -> None:
        """Asks ``member_exists`` from now on whether a ``serviceAccount:`` member is there for a service."""
        self._member_exists = member_exists

    def restrict_members(self, restrict: Callable[[str, str, Collection[str]], None]) -> None:
        """Asks ``restrict`` from now on, with project and resource, whether members may be granted something; it raises ApiError."""
        self._restrict = restrict

    def define_roles(self, permissions_of: Callable[[str], Collection[str] | None]) -> None:
        """Asks ``permissions_of`` for the permissions of roles that are not predefined; None for what is no role."""
        self._custom_roles = permissions_of

    def _role_has(self, role: str, permission: str) -> bool:
        return role_has(role, permission) or permission in (self._custom_roles(role) or ())

    def place(self, prefix: str, project_of: Callable[[str], str | None]) -> None:
        """Asks ``project_of`` for the project of resources whose names begin with ``prefix``; None where there is none."""
        self._places[prefix] = project_of

    def hang(self, hierarchy: Hierarchy) -> None:
        """Asks ``hierarchy`` from now on what is above projects."""
        self._hierarchy = hierarchy

    def ancestors(self, resource: str) -> Iterator[str]:
        """``resource`` itself and everything above it, up to the organisation."""
        name = resource
        for name in self._in_project(resource):
            yield name
        while self._hierarchy is not None and (above := self._hierarchy.above(name)) is not None:
            name = above
            yield name

    def _in_project(self, resource: str) -> Iterator[str]:
        """``resource`` itself and what is above it, up to the project (or the folder, organisation, billing account)."""
        yield resource
        for prefix, project_of in self._places.items():
            if resource.startswith(prefix):
                if (project := project_of(resource)) is not None:
                    yield f"projects/{project}"
                return
        parts = resource.split("/")
        while len(parts) > 2:
            parts = parts[:-2]
            if parts[-2:-1] != ["locations"]:
                yield "/".join(parts)

    def allows(self, identity: Identity | None, permission: str, resource: str, *, service: str = "") -> bool:
        """Whether ``identity`` (None: anonymous) has ``permission`` on ``resource`` or through something above it.

        ``service`` looks, by default the one whose permission it is.
        """
        service = service or permission.partition(".")[0]
        members = {"allUsers"} if identity is None else {"allUsers", "allAuthenticatedUsers", identity.member}
        if identity is not None and identity.kind == "user":
            members.add("domain:" + identity.email.partition("@")[2])
        names = list(self.ancestors(resource))
        policies = [(self._policies.peek(name) or {}).get("bindings", []) for name in names]
        project = next((at for at, name in enumerate(names) if _PROJECT.fullmatch(name)), None)
        if project is not None:
            members |= _convenience_members(
                members, policies[project], names[project].removeprefix("projects/")
            )
        elif identity is not None and self._hierarchy is not None and self._hierarchy.open(names[-1]):
            return True
        return any(
            self.propagation.has_reached((name, binding["role"], member), service)
            for name, bindings in zip(names, policies, strict=True)
            for binding in bindings
            if not members.isdisjoint(binding["members"])
            if self._role_has(binding["role"], permission)
            for member in members.intersection(binding["members"])
        )

    def require(self, identity: Identity | None, permission: str, resource: str) -> None:
        """PERMISSION_DENIED, or for an anonymous caller UNAUTHENTICATED, unless :meth:`allows`."""
        if not self.allows(identity, permission, resource):
            raise permission_denied(permission, resource) if identity else credentials_missing()

    def test_permissions(
        self, identity: Identity | None, permissions: Iterable[str], resource: str
    ) -> list[str]:
        """Those of ``permissions`` that the caller has, in their order (testIamPermissions); INVALID_ARGUMENT for what is none here."""
        permissions = list(permissions)
        for permission in permissions:
            if not permission_fits(permission, resource):
                raise invalid_argument(
                    f"Permission {permission} is not valid for this resource.", field="permissions"
                )
        return [permission for permission in permissions if self.allows(identity, permission, resource)]

    def get_policy(self, resource: str) -> Json:
        """The policy as getIamPolicy returns it; one that nobody has written has an etag only."""
        policy = self._policies.get(resource)
        if policy is None:
            return {"etag": _UNWRITTEN}
        view: Json = {"version": policy["version"], "etag": policy_etag(policy)}
        return view | {name: policy[name] for name in ("bindings", "auditConfigs") if policy.get(name)}

    def added_members(self, resource: str, policy: Json) -> set[str]:
        """To whom ``policy`` grants what the current one of ``resource`` does not."""
        stored = (self._policies.peek(resource) or {}).get("bindings", [])
        given = [{"members": [], **binding} for binding in policy.get("bindings", [])]
        return {member for _, _, member in _grants(resource, given) - _grants(resource, stored)}

    def set_policy(
        self, resource: str, policy: Json, fields: Collection[str] = _WRITTEN, *, service: str = "iam"
    ) -> Json:
        """Replaces those ``fields`` of the policy as setIamPolicy of ``service`` does, so that what is granted takes effect by and by;
        ABORTED when the given etag is not the current one."""
        added = self.added_members(resource, policy) if "bindings" in fields else set()
        project = next((name for name in self._in_project(resource) if _PROJECT.fullmatch(name)), None)
        if added and project is not None:
            self._restrict(project.removeprefix("projects/"), resource, added)
        before = self._policies.peek(resource) or {"bindings": []}
        view = self.put_policy(resource, policy, fields, service=service)
        granted, had = (_grants(resource, one.get("bindings", [])) for one in (view, before))
        for one in had - granted:
            self.propagation.forget(one)
        for one in granted - had:
            self.propagation.begin(one, "iam.policies.propagation", "grant_pending")
        return view

    def put_policy(
        self, resource: str, policy: Json, fields: Collection[str] = _WRITTEN, *, service: str = "iam"
    ) -> Json:
        """As `set_policy`, in force at once: what Google grants by itself, and what a seed does."""
        written = self._policies.get(resource)
        stored = written or {"bindings": [], "generation": 0}
        given, current = policy.get("etag"), policy_etag(stored) if written else _UNWRITTEN
        if given and given != current:
            raise aborted(_STALE_POLICY.format(given=given, current=current))
        bindings = stored["bindings"]
        if "bindings" in fields:
            bindings = self._checked(policy.get("bindings", []), resource, service)
        audited = policy.get("auditConfigs") if "auditConfigs" in fields else stored.get("auditConfigs")
        if written is None or bindings != stored["bindings"] or audited != stored.get("auditConfigs"):
            self._policies.put(
                resource,
                {
                    # "Policy versions": without conditions, which are refused, it is 1 whatever was sent.
                    "version": 1,
                    "bindings": bindings,
                    "auditConfigs": audited,
                    "generation": stored["generation"] + 1,
                },
            )
        return self.get_policy(resource)

    def add_binding(self, resource: str, role: str, member: str) -> None:
        """Grants ``role`` to ``member``: for what Google grants by itself, and for seeds."""
        view = self.get_policy(resource)
        bindings = view.get("bindings", [])
        for binding in bindings:
            if binding["role"] == role and "condition" not in binding:
                if member not in binding["members"]:
                    binding["members"].append(member)
                break
        else:
            bindings.append({"role": role, "members": [member]})
        self.put_policy(resource, {"bindings": bindings, "etag": view["etag"]})

    def policies_of(self, project: str) -> list[tuple[str, list[Json]]]:
        """Every resource of a project that has a policy with bindings, with these; by name."""
        return [
            (name, policy["bindings"])
            for name, policy in self._policies.items()
            if policy["bindings"] and f"projects/{project}" in self.ancestors(name)
        ]

    def forget(self, resource: str) -> None:
        """Drops the policies of a deleted resource and of everything below it."""
        for name in self._policies.names(resource):
            if name == resource or name.startswith(resource + "/"):
                self._policies.delete(name)

    def mark_member_deleted(self, member: str, unique_id: str) -> None:
        """A deleted service account stays in policies as ``deleted:...?uid=`` and grants nothing."""
        self._rename_member(member, f"deleted:{member}?uid={unique_id}")

    def restore_member(self, member: str, unique_id: str) -> None:
        """The reverse of :meth:`mark_member_deleted`, for undelete."""
        self._rename_member(f"deleted:{member}?uid={unique_id}", member)

    def _rename_member(self, old: str, new: str) -> None:
        for name, policy in self._policies.items():
            if any(old in binding["members"] for binding in policy["bindings"]):
                for binding in policy["bindings"]:
                    binding["members"] = sorted({new if m == old else m for m in binding["members"]})
                policy["generation"] += 1
                self._policies.put(name, policy)

    def _checked(self, bindings: list[Json], resource: str, service: str) -> list[Json]:
        merged: dict[str, Json] = {}
        for binding in bindings:
            role = binding.get("role", "")
            if "condition" in binding:
                raise invalid_argument(
                    f"The emulator does not evaluate IAM conditions (binding of {role}); it refuses them rather than ignore them."
                )
            known = (
                role_fits(role, resource)
                if role_permissions(role) is not None
                else self._custom_roles(role) is not None
            )
            if not known:
                raise invalid_argument(
                    f"Role {role} is not supported for this resource.", field="policy.bindings.role"
                )
            for member in binding.get("members", []):
                self._check_member(member, service)
            entry = merged.setdefault(role, {"role": role, "members": []})
            entry["members"] = sorted({*entry["members"], *binding.get("members", [])})
        return [merged[role] for role in sorted(merged) if merged[role]["members"]]

    def _check_member(self, member: str, service: str) -> None:
        if not _MEMBER.fullmatch(member):
            raise invalid_argument(
                f"Invalid member '{member}': the member type or identifier is malformed.",
                field="policy.bindings.members",
            )
        if member.startswith("serviceAccount:") and not self._member_exists(member, service):
            raise invalid_argument(
                f"Service account {member.partition(':')[2]} does not exist.", field="policy.bindings.members"
            )
