"""Constraints: which of the organisation policies have an effect, and on what.

A policy in effect is the project's own, or that of what is above it, or what Google manages by default. Rules with a condition never hold,
since nothing here carries a tag.

Sources: https://cloud.google.com/resource-manager/docs/organization-policy/understanding-hierarchy (inheritance),
.../defining-locations (values and groups), .../restricting-domains (whom it keeps out), and the issues that facts.yaml names (texts).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable
from functools import cache

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, constraint_violated, error_info, not_found
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.services.orgpolicy.tables import POLICIES

_DOMAINS = "iam.allowedPolicyMemberDomains"
_LOCATIONS = "gcp.resourceLocations"
_DOMAINS_TEXT = "One or more users named in the policy do not belong to a permitted customer"
#: Cloud Run says more than the others (two spaces, as Google writes it).
_RUN = re.compile(r"projects/[^/]+/locations/[^/]+/(services|jobs)/[^/]+")
_RUN_DOMAINS_TEXT = f"{_DOMAINS_TEXT},  perhaps due to an organization policy"
_PUBLIC = ("allUsers", "allAuthenticatedUsers")
_PEOPLE = ("user", "group", "domain")
_MORE_ON_LOCATIONS = "https://cloud.google.com/resource-manager/docs/organization-policy/defining-locations"


@cache
def _facts() -> Json:
    facts: Json = read_yaml("services/orgpolicy/facts.yaml")
    return facts


class OrganizationConstraints:
    """The policies in effect in the projects of this emulator."""

    def __init__(self, context: Context) -> None:
        self._context = context
        context.iam.restrict_members(self._require_members)

    # ---------------------------------------------------------------- for other services

    def enforces(self, project: str, constraint: str) -> bool:
        """See `gcp_emulator.services.orgpolicy.ports.Constraints`; the others likewise."""
        return any(rule.get("enforce") for rule in self._rules(f"projects/{project}", constraint))

    def allows(self, project: str, constraint: str, value: str) -> bool:
        rules = self._rules(f"projects/{project}", constraint)
        allowed, denied = _values(rules, "allowedValues"), _values(rules, "deniedValues")
        if any(rule.get("denyAll") for rule in rules) or _matches(denied, value):
            return False
        return any(rule.get("allowAll") for rule in rules) or not allowed or _matches(allowed, value)

    def require_location(self, project: str, kind: str, locations: Iterable[str]) -> None:
        for location in locations:
            if not self.allows(project, _LOCATIONS, location):
                subject = f"orgpolicy:projects/{self._context.projects.number(project)}"
                raise constraint_violated(
                    _LOCATIONS,
                    f"Constraint constraints/{_LOCATIONS} violated for [{subject}] attempting to create a {kind} in [{location}]. "
                    f"For more information, see {_MORE_ON_LOCATIONS}.",
                    subject=subject,
                )

    def forbid(self, project: str, constraint: str, resource: str) -> None:
        if self.enforces(project, constraint):
            raise ApiError(
                "FAILED_PRECONDITION",
                f"Operation denied by org policy on resource '{resource}': "
                f'["constraints/{constraint}": "{_facts()["managed"][constraint]}"].',
                details=[
                    error_info(
                        "CUSTOM_ORG_POLICY_VIOLATION",
                        "googleapis.com",
                        customConstraints=f"constraints/{constraint}",
                    )
                ],
            )

    def outsiders(self, project: str, members: Iterable[str]) -> list[str]:
        rules = self._rules(f"projects/{project}", _DOMAINS)
        if any(rule.get("denyAll") for rule in rules):
            return sorted(members)
        if any(rule.get("allowAll") for rule in rules) or not _values(rules, "allowedValues"):
            return []
        domains = self._own_domains(project)
        return sorted(member for member in members if self._is_outside(member, domains))

    def declare(self, resource: str, constraint: str, spec: Json) -> None:
        if constraint not in _facts()["constraints"]:
            raise ValueError(f"{constraint} is none of {', '.join(sorted(_facts()['constraints']))}")
        name = f"{resource}/policies/{constraint}"
        if POLICIES.find(self._context, name) is None:
            written = {"etag": clock.new_etag().strip('"'), "updateTime": clock.timestamp()}
            POLICIES.put(self._context, name, {"spec": {**spec, **written}, "etag": written["etag"]})

    # ---------------------------------------------------------------- methods

    @handles(
        "orgpolicy.projects.policies.getEffectivePolicy",
        "orgpolicy.folders.policies.getEffectivePolicy",
        "orgpolicy.organizations.policies.getEffectivePolicy",
    )
    async def get_effective(self, call: Call) -> Json:
        name = call.params["name"]
        resource, constraint = POLICIES.split(name)
        if constraint not in _facts()["constraints"] and POLICIES.find(call.context, name) is None:
            raise not_found("Requested entity was not found.")
        return {"name": name, "spec": {"rules": [_told(rule) for rule in self._rules(resource, constraint)]}}

    # ---------------------------------------------------------------- what is in effect

    def _rules(self, resource: str, constraint: str) -> list[Json]:
        is_list = _facts()["constraints"].get(constraint) == "list"
        default = [{"allowAll": True}] if is_list else [{"enforce": False}]
        rules = default
        for name in reversed(list(self._context.iam.ancestors(resource))):
            own = (POLICIES.find(self._context, f"{name}/policies/{constraint}") or {}).get("spec")
            if own is None:
                continue
            if own.get("reset"):
                rules = default
            elif own.get("inheritFromParent") and is_list:
                # That everything is allowed by default says nothing beside what is allowed here.
                rules = _unconditional(own) + [rule for rule in rules if rule not in default]
            else:
                rules = _unconditional(own) or default
        return rules

    def _is_outside(self, member: str, domains: Container[str]) -> bool:
        """Whether a member is of no customer that the organisation trusts, which are the emulator's projects and people of the domains."""
        kind, _, name = member.partition(":")
        if member in _PUBLIC:
            return True
        if kind == "serviceAccount":
            return not self._is_account_of_ours(name)
        return kind in _PEOPLE and name.rpartition("@")[2] not in domains

    def _is_account_of_ours(self, email: str) -> bool:
        local, _, domain = email.partition("@")
        project = domain.removesuffix(".iam.gserviceaccount.com")
        numbers = {str(record["projectNumber"]) for record in self._context.projects.all()}
        return self._context.projects.find(project) is not None or not numbers.isdisjoint(
            re.findall(r"\d+", local)
        )

    def _own_domains(self, project: str) -> set[str]:
        """The domains of the organisation. Which customer has a domain is not known here: it is one of whose people somebody has a role
        already, on the project or on what is above it."""
        return {
            member.rpartition("@")[2]
            for name in self._context.iam.ancestors(f"projects/{project}")
            for binding in self._context.iam.get_policy(name).get("bindings", [])
            for member in binding["members"]
            if member.startswith("user:")
        }

    def _require_members(self, project: str, resource: str, members: Collection[str]) -> None:
        outsiders = self.outsiders(project, members)
        if outsiders:
            text = _RUN_DOMAINS_TEXT if _RUN.match(resource) else _DOMAINS_TEXT
            user = outsiders[0].partition(":")[2] or outsiders[0]
            raise constraint_violated(
                _DOMAINS,
                f"{text}.",
                subject=f"orgpolicy:{resource}?configvalue={user}",
                description=f"User {user} is not in permitted organization.",
            )


def _unconditional(spec: Json) -> list[Json]:
    return [rule for rule in spec.get("rules", []) if "condition" not in rule]


def _values(rules: list[Json], key: str) -> list[str]:
    return [value for rule in rules for value in rule.get("values", {}).get(key, [])]


def _told(rule: Json) -> Json:
    """A rule as policies in effect tell it: with the locations that are in a group instead of the group."""
    if "values" not in rule:
        return rule
    return {
        "values": {
            key: sorted({one for value in values for one in _locations(value) or [value]})
            for key, values in rule["values"].items()
        }
    }


@cache
def _locations(value: str) -> frozenset[str]:
    """The locations of a group ``in:NAME-locations``; none when it is not one."""
    found = re.fullmatch(r"in:(.+)-locations", value)
    if found is None:
        return frozenset()
    regions = [
        region
        for region in _facts()["regions"]
        if region == found[1] or region.startswith(found[1] + "-") or region in _group(found[1])
    ]
    zones = [f"{region}-{zone}" for region in regions for zone in "abc"]
    return frozenset([*regions, *zones, *_group(found[1])])


def _group(name: str) -> list[str]:
    named: list[str] = _facts()["location_groups"].get(name, [])
    return named


def _matches(values: list[str], location: str) -> bool:
    """Whether a location is one of the values, by name or in a group."""
    location = location.lower()
    return any(
        value.removeprefix("is:").lower() == location or location in _locations(value) for value in values
    )
