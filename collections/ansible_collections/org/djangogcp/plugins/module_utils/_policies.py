# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""IAM policies: members are added to and removed from bindings; whatever else a policy holds stays as it is.

One read and one write for each policy, with its etag: when a parallel run wrote in between, the policy is read and changed
again, so that no run loses what another one did.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import typing as t
import urllib.parse

from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._granted import (
    EFFECT_SECONDS,
    Change,
    account_made,
)
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Outcome
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays
from ansible_collections.org.djangogcp.plugins.module_utils._services import iam

# Many sites may grant roles on one project at the same time.
_CONFLICTS = 12
_UNKNOWN_ACCOUNT = re.compile(r"([\w.-]+@[\w.-]+\.gserviceaccount\.com) does not exist")

_ADDRESSES = ("user", "group", "serviceAccount", "domain")


@dataclasses.dataclass(frozen=True)
class Resource:
    """Whose policy it is.

    Attributes:
        resource_type: a key of `iam.POLICY_PLACES`.
        project: the id of its project.
        name: its name; for a service account its e-mail address.
        location: its region, "" for resources without.
    """

    resource_type: str
    project: str
    name: str
    location: str = ""

    @property
    def place(self) -> iam.PolicyPlace:
        """Where its policy is kept."""
        return iam.POLICY_PLACES[self.resource_type]

    @property
    def address(self) -> str:
        """Its URL."""
        return self.place.url.format(
            project=self.project, location=self.location, resource=urllib.parse.quote(self.name, safe="@:")
        )

    @property
    def label(self) -> str:
        """Its policy in words."""
        return f"IAM policy of {self.place.noun} {self.name}"


@dataclasses.dataclass(frozen=True)
class Grant:
    """A role that members have, or do not have, on a resource.

    Attributes:
        role: for instance "roles/run.invoker".
        members: for instance "serviceAccount:polls-web@my-project.iam.gserviceaccount.com".
        condition: ``{title, expression, description}``; None for none.
        present: whether the members have it.
    """

    role: str
    members: tuple[str, ...]
    condition: t.Mapping[str, str] | None = None
    present: bool = True

    @property
    def key(self) -> str:
        """The role, with the condition's title."""
        return f"{self.role} if {self.condition['title']}" if self.condition else self.role


def ensure_grants(
    client: Client, resource: Resource, grants: t.Sequence[Grant], *, check_mode: bool
) -> Outcome:
    """Make all grants of one resource so.

    Raises:
        ApiError: Google Cloud refuses, or other writers came first too often.
    """
    # In check mode a task before this one would have made it; nobody has a role on what is not there.
    may_be_absent = check_mode or not any(grant.present for grant in grants)
    conflicts = 0
    newly_made = Deadline(EFFECT_SECONDS, client.clock)
    for delay in delays(first=0.2, factor=1.7, longest=5):
        policy = read_policy(client, resource, may_be_absent)
        wanted = with_grants(policy, grants)
        if wanted == policy or check_mode:
            break
        try:
            _write_policy(client, resource, wanted)
            _note(client, resource, policy, wanted)
            break
        except ApiError as error:
            conflicts += error.is_stale
            conflict = error.is_stale and conflicts < _CONFLICTS
            if not (conflict or _is_propagating(client, error)) or not newly_made.sleep(delay):
                raise _explained(error) from error
            if client.granted.tells(newly_made.waited, _progress.EVERY_SECONDS):
                state = error.explanation.rstrip(".")
                _progress.tell(
                    _progress.line(f"change the {resource.label}", state, newly_made.waited, "1 min")
                )
    return _outcome(resource, grants, policy, wanted)


def with_grants(policy: Json, grants: t.Iterable[Grant]) -> Json:
    """A policy with all grants made so; equal to `policy` when they are."""
    wanted = copy.deepcopy(policy)
    for grant in grants:
        bindings = wanted.setdefault("bindings", [])
        # Google Cloud may hold several bindings of one role and condition; together they are one.
        same = [one for one in bindings if _is_binding_of(one, grant)]
        asked = dict.fromkeys(normal_member(one) for one in grant.members)
        if grant.present:
            have = {normal_member(member) for binding in same for member in _members(binding)}
            missing = [member for member in asked if member not in have]
            if missing and same:
                same[0]["members"] = [*_members(same[0]), *missing]
            elif missing:
                bindings.append({"role": grant.role, "members": missing})
                if grant.condition:
                    bindings[-1]["condition"] = dict(grant.condition)
                    wanted["version"] = 3  # what conditions need
            continue
        for binding in same:
            kept = [one for one in _members(binding) if normal_member(one) not in asked]
            if not kept and _members(binding):
                bindings.remove(binding)
            elif kept:
                binding["members"] = kept
    if not wanted.get("bindings") and "bindings" not in policy:
        wanted.pop("bindings", None)
    return wanted


def normal_member(member: str) -> str:
    """A member as Google Cloud writes it: the letter case of addresses and domains means nothing, and it is lower.

    Source: Google's provider for Terraform, which meets the same (tpgiamresource, normalizeIamMemberCasing).
    """
    kind, _colon, address = member.partition(":")
    return f"{kind}:{address.lower()}" if kind in _ADDRESSES else member


def _members(binding: Json) -> list[str]:
    return list(binding.get("members") or [])


def _is_binding_of(binding: Json, grant: Grant) -> bool:
    if binding.get("role") != grant.role:
        return False
    have, want = binding.get("condition") or {}, grant.condition or {}
    return all(
        (have.get(key) or "") == (want.get(key) or "") for key in ("title", "expression", "description")
    )


def read_policy(client: Client, resource: Resource, may_be_absent: bool) -> Json:
    """The IAM policy of a resource, which may have been read ahead; {} of one that is absent, where that may be."""
    method, url, params, body = resource.place.read_request(resource.address)
    call = Call(f"read the {resource.label}", f"{resource.place.permission}.getIamPolicy")
    try:
        return client.request(method, url, call, params=params, body=body, repeatable=True, ahead=True)
    except ApiError as error:
        if may_be_absent and error.is_absent:
            return {}
        raise


def _write_policy(client: Client, resource: Resource, policy: Json) -> None:
    method, url, body = resource.place.write_request(resource.address, policy)
    call = Call(f"change the {resource.label}", f"{resource.place.permission}.setIamPolicy")
    # Repeating is safe: after a write that was carried out its etag is stale, and the policy is read again.
    client.request(method, url, call, body=body, repeatable=True)


def _note(client: Client, resource: Resource, policy: Json, wanted: Json) -> None:
    """Note what was granted, for whoever meets it before it has taken effect."""
    had, have = (
        {
            Change(resource.resource_type, resource.name, binding["role"], normal_member(member))
            for binding in one.get("bindings") or []
            for member in _members(binding)
        }
        for one in (policy, wanted)
    )
    for change in have - had:
        client.granted.note(change)
    for change in had - have:
        client.granted.forget(change)


def _is_propagating(client: Client, error: ApiError) -> bool:
    """Whether a member is refused as unknown only because its service account is that new."""
    unknown = _UNKNOWN_ACCOUNT.search(error.explanation)
    if error.status != 400 or not unknown:
        return False
    email = unknown.group(1)
    if account_made(email) in client.granted.changes():
        return True
    call = Call(f"read service account {email}", "iam.serviceAccounts.get")
    try:
        return client.find(f"{iam.API}/projects/-/serviceAccounts/{email}", call) is not None
    except ApiError:
        return False


def _explained(error: ApiError) -> ApiError:
    if _UNKNOWN_ACCOUNT.search(error.explanation):
        return error.with_hint(
            "Make the service account first, for instance with the module org.djangogcp.iam_service_accounts."
        )
    return error


def _outcome(resource: Resource, grants: t.Sequence[Grant], policy: Json, wanted: Json) -> Outcome:
    before, after = _asked_members(policy, grants), _asked_members(wanted, grants)
    actions = []
    for key in after:
        actions += [
            f"grant {key} to {member} on {resource.place.noun} {resource.name}"
            for member in after[key]
            if member not in before[key]
        ]
        actions += [
            f"revoke {key} from {member} on {resource.place.noun} {resource.name}"
            for member in before[key]
            if member not in after[key]
        ]
    shown = {
        "resource_type": resource.resource_type,
        "resource": resource.name,
        "location": resource.location or None,
        "project": resource.project,
        "members": after,
    }
    return Outcome(resource.label, policy != wanted, shown, before, after, actions)


def _asked_members(policy: Json, grants: t.Iterable[Grant]) -> dict[str, list[str]]:
    """For each asked role those of the asked members that have it."""
    shown: dict[str, list[str]] = {}
    for grant in grants:
        bindings = [one for one in policy.get("bindings") or [] if _is_binding_of(one, grant)]
        have = {normal_member(member) for binding in bindings for member in _members(binding)}
        members = set(shown.get(grant.key, [])) | (have & {normal_member(one) for one in grant.members})
        shown[grant.key] = sorted(members)
    return shown
