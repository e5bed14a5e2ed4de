# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: policy_problems
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What the policies of an organization forbid of a site
description:
  - Compares the variables of a site with the organization policies that are in effect in its project, and names the variable that cures each.
options:
  _input:
    description: All variables of the site by name.
    type: dict
    required: true
  policies:
    description: The rules in effect by constraint, as M(org.djangogcp.resourcemanager_project_info) returns them.
    type: dict
    required: true
  existing:
    description: What of the site's resources is there already. Policies do not take away what there is.
    type: list
    elements: str
    default: []
  static_public:
    description: Whether the bucket of static files is to be public.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Refuse what the organization forbids
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(' ') }}"
  vars:
    problems: "{{ variables | org.djangogcp.policy_problems({'storage.publicAccessPrevention': [{'enforce': true}]}) }}"
"""

RETURN = r"""
_value:
  description: One or two sentences for each constraint that is violated.
  type: list
  elements: str
  sample:
    - >-
      storage.publicAccessPrevention forbids the public bucket of static files. Set djangogcp_static to image, so that the site serves them
      itself.
"""

import re
import typing as t

Values = t.Mapping[str, t.Any]
Rules = t.Sequence[t.Mapping[str, t.Any]]

_DOMAINS = "iam.allowedPolicyMemberDomains"
_INVOKER = "run.managed.requireInvokerIam"
_LOCATIONS = "gcp.resourceLocations"
_PREVENTION = "storage.publicAccessPrevention"
_PUBLIC_IP = "sql.restrictPublicIp"
_REGION = re.compile(r"(is:)?[a-z]+-[a-z]+\d+|in:.+-locations")
_TRUE = ("true", "yes")
_SECRETS = (
    "secret-key",
    "superuser-password",
    "web-db-password",
    "migrator-db-password",
    "web-database-url",
    "migrator-database-url",
)


class _Policies:
    """The policies in effect. Of what is not known nothing is forbidden."""

    def __init__(self, rules: t.Mapping[str, Rules]) -> None:
        self._rules = rules

    def enforces(self, constraint: str) -> bool:
        return any(rule.get("enforce") for rule in self._rules.get(constraint, ()))

    def restricts(self, constraint: str) -> bool:
        """Whether a list constraint allows less than everything."""
        rules = self._rules.get(constraint, ())
        return any(
            rule.get("denyAll") or self._values([rule], "allowedValues") for rule in rules
        ) and not any(rule.get("allowAll") for rule in rules)

    def allows(self, constraint: str, value: str) -> bool:
        rules = self._rules.get(constraint, ())
        if any(rule.get("denyAll") for rule in rules) or _matches(self._values(rules, "deniedValues"), value):
            return False
        return not self.restricts(constraint) or _matches(self._values(rules, "allowedValues"), value)

    def allowed(self, constraint: str) -> list[str]:
        """The regions, and the groups of them, that are named as allowed."""
        named = self._values(self._rules.get(constraint, ()), "allowedValues")
        return sorted({value for value in named if _REGION.fullmatch(value)})

    @staticmethod
    def _values(rules: Rules, key: str) -> list[str]:
        return [value for rule in rules for value in (rule.get("values") or {}).get(key) or []]


def _matches(values: t.Iterable[str], location: str) -> bool:
    """Google Cloud tells the members of groups; where it names a group of a region, such as in:us-east1-locations, that is understood, too."""
    groups = {f"in:{location}-locations", f"in:{location.partition('-')[0]}-locations"}
    return any(value.removeprefix("is:").lower() == location or value.lower() in groups for value in values)


def _is_on(value: t.Any) -> bool:
    return str(value).lower() in _TRUE


def _static_problems(values: Values, policies: _Policies, existing: t.Container[str]) -> list[str]:
    bucket = f"bucket {values['djangogcp_static_bucket']}"
    forbidding = [
        *([_PREVENTION] if policies.enforces(_PREVENTION) else []),
        # What everybody was granted before stays.
        *([_DOMAINS] if policies.restricts(_DOMAINS) and bucket not in existing else []),
    ]
    if not forbidding:
        return []
    return [
        f"{' and '.join(forbidding)} {'forbids' if len(forbidding) == 1 else 'forbid'} the public bucket of static files. Set "
        "djangogcp_static to image, so that the site serves them itself."
    ]


def _public_problems(values: Values, policies: _Policies) -> list[str]:
    by_check = values["djangogcp_public_by"] == "no_invoker_iam_check"
    checked, closed = policies.enforces(_INVOKER), policies.restricts(_DOMAINS)
    if not (checked if by_check else closed):
        return []
    private = (
        "Set djangogcp_public to false: whoever has roles/run.invoker on the service reaches the site then."
    )
    if by_check:
        what = f"{_INVOKER} forbids to let everybody in without a check of who calls."
        way = private if closed else "Set djangogcp_public_by to all_users."
    else:
        what = f"{_DOMAINS} forbids to grant roles/run.invoker to everybody."
        way = private if checked else "Set djangogcp_public_by to no_invoker_iam_check."
    return [f"{what} {way}"]


def _location_problems(values: Values, policies: _Policies, existing: t.Container[str]) -> list[str]:
    region, locations = values["djangogcp_region"], values["djangogcp_secret_locations"]
    if not policies.allows(_LOCATIONS, region):
        allowed = ", ".join(policies.allowed(_LOCATIONS)) or "other regions"
        return [
            f"{_LOCATIONS} does not allow {region}. Set djangogcp_region to a region that it allows ({allowed})."
        ]
    site = values["djangogcp_site"]
    forbidden = [one for one in locations or ["global"] if not policies.allows(_LOCATIONS, one)]
    if forbidden and not all(f"secret {site}-{name}" in existing for name in _SECRETS):
        where = (
            "secrets that Google Cloud keeps anywhere (global)"
            if not locations
            else f"secrets in {forbidden[0]}"
        )
        return [f"{_LOCATIONS} does not allow {where}. Set djangogcp_secret_locations to [{region}]."]
    return []


def _database_problems(values: Values, policies: _Policies, existing: t.Container[str]) -> list[str]:
    name = f"SQL instance {values['djangogcp_database_instance']}"
    if values["djangogcp_network"] or not policies.enforces(_PUBLIC_IP) or name in existing:
        return []
    return [
        f"{_PUBLIC_IP} forbids the public address of the {name}. Set djangogcp_network to a VPC network with private services access, in which "
        f"the database gets a private one (and djangogcp_subnetwork to a subnetwork in {values['djangogcp_region']}, if it is not called like "
        "the network)."
    ]


def policy_problems(
    values: Values,
    policies: t.Mapping[str, Rules],
    existing: t.Sequence[str] = (),
    static_public: t.Any = True,
) -> list[str]:
    """What the policies of an organization forbid of a site. See DOCUMENTATION."""
    found = _Policies(policies)
    there = set(existing)
    problems = _location_problems(values, found, there)
    if values["djangogcp_static"] == "bucket" and _is_on(static_public):
        problems += _static_problems(values, found, there)
    if _is_on(values["djangogcp_public"]):
        problems += _public_problems(values, found)
    return problems + _database_problems(values, found, there)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"policy_problems": policy_problems}
