# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: connection_problems
author: The djangogcp contributors (@djangogcp)
version_added: 1.0.0
short_description: Which database instances take fewer connections than their sites can open
description:
  - A site opens at most C(max_instances x workers x threads) connections, twice that while a new revision comes up beside the
    serving one, and one more for a job.
options:
  _input:
    description:
      - The sites, each with C(site), C(project), C(instance), C(tier), C(flags), C(max_instances), C(workers) and C(threads). Sites with the same
        C(project) and C(instance) share it; C(max_connections) counts among the flags.
    type: list
    elements: dict
    required: true
  reserve:
    description: How many connections are kept for Google's own and for people.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Refuse too many connections
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(' ') }}"
  vars:
    problems: >-
      {{ [{'site': 'polls', 'project': 'my-project', 'instance': 'djangogcp', 'tier': 'db-g1-small', 'flags': {},
           'max_instances': 2, 'workers': 1, 'threads': 8}]
         | org.djangogcp.connection_problems }}
"""

RETURN = r"""
_value:
  description: A message for each instance that takes too few.
  type: list
  elements: str
"""

import re
import typing as t

#: Cloud SQL, "Configure database flags": what max_connections is when the flag is not set, by memory in GB below a bound.
_DEFAULTS = ((1.7, 25), (3.75, 50), (6, 100), (7.5, 200), (15, 400), (30, 500), (60, 600), (120, 800))
_LARGEST_DEFAULT = 1000
_SHARED_CORE = {"db-f1-micro": 25, "db-g1-small": 50}
_GB_PER_CPU_OF_ENTERPRISE_PLUS = 8


def max_connections(tier: str, flags: t.Mapping[str, t.Any] | None = None) -> int:
    """How many connections an instance takes: its flag ``max_connections``, else Cloud SQL's default for the memory of *tier*."""
    if flags and flags.get("max_connections"):
        return int(flags["max_connections"])
    if tier in _SHARED_CORE:
        return _SHARED_CORE[tier]
    last = int(tier.rsplit("-", 1)[1])
    memory = last / 1024 if re.match(r"db-custom-", tier) else last * _GB_PER_CPU_OF_ENTERPRISE_PLUS
    return next((connections for bound, connections in _DEFAULTS if memory < bound), _LARGEST_DEFAULT)


def connection_problems(sites: t.Iterable[t.Mapping[str, t.Any]], reserve: int = 10) -> list[str]:
    """A message for each instance whose *sites* can together open more connections than it takes. See DOCUMENTATION."""
    sharing: dict[tuple[str, str], list[t.Mapping[str, t.Any]]] = {}
    for site in sites:
        sharing.setdefault((site["project"], site["instance"]), []).append(site)
    return [
        problem
        for (_project, instance), group in sharing.items()
        for problem in _problem(instance, group, int(reserve))
    ]


def _problem(instance: str, sites: list[t.Mapping[str, t.Any]], reserve: int) -> list[str]:
    needed = {
        site["site"]: int(site["max_instances"]) * int(site["workers"]) * int(site["threads"]) * 2 + 1
        for site in sites
    }
    # Sites that differ make the instance what the last one says; the least is what there is for sure.
    available, tier = min((max_connections(site["tier"], site["flags"]), site["tier"]) for site in sites)
    if sum(needed.values()) <= available - reserve:
        return []
    by_site = ", ".join(f"{site} {connections}" for site, connections in needed.items())
    return [
        f"The connections to the database instance {instance} may become {sum(needed.values())} ({by_site}: instances x workers x"
        f" threads, twice while a new revision comes up, and one job): expected at most {available - reserve}, because {tier}"
        f" takes {available} and {reserve} are kept in reserve. Lower djangogcp_max_instances, djangogcp_workers or"
        " djangogcp_threads, or take a larger djangogcp_database_tier."
    ]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"connection_problems": connection_problems}
