# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: shared_problems
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What the sites of an inventory must not share, or describe differently
description:
  - Finds names that two sites have in common although only one can have them. These are the site's name, its database and its repository of images in
    one project, and its buckets anywhere.
  - Finds database instances that the sites in them describe differently.
  - Finds database instances that take fewer connections than their sites can open. A site opens at most C(djangogcp_max_instances x
    djangogcp_workers x djangogcp_threads) connections and what its C(djangogcp_background_workers) say, twice that while a new revision comes up beside
    the serving one, and one more for a job.
options:
  _input:
    description:
      - The sites, each with its C(host) and its variables by name. Of a site without C(djangogcp_max_instances) no connections are counted.
    type: list
    elements: dict
    required: true
  reserve:
    description: How many connections are kept for Google's own and for people.
    type: int
    default: 10
  hosts:
    description: The hosts that are meant. What is wrong with others only is not told. All if empty.
    type: list
    elements: str
    default: []
  names_only:
    description: Whether only names are looked at, not how sites describe a database instance.
    type: bool
    default: false
seealso:
  - plugin: org.djangogcp.other_sites
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Refuse two sites of one name
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(' ') }}"
  vars:
    problems: >-
      {{ [{'host': 'polls', 'djangogcp_project': 'my-project', 'djangogcp_site': 'polls'},
          {'host': 'shop', 'djangogcp_project': 'my-project', 'djangogcp_site': 'shop'}]
         | org.djangogcp.shared_problems }}
"""

RETURN = r"""
_value:
  description: A message for each problem, with the hosts, the variables and the values.
  type: list
  elements: str
  sample:
    - >-
      djangogcp_site is 'polls' for polls-eu and polls-us in the project my-project: expected a name of its own for each host, because service
      accounts, secrets and buckets are named after it.
"""

import dataclasses
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import engine_of
from ansible_collections.org.djangogcp.plugins.module_utils._rules import shown
from ansible_collections.org.djangogcp.plugins.plugin_utils import _workers
from ansible_collections.org.djangogcp.plugins.plugin_utils._survey import from_survey

Site = t.Mapping[str, t.Any]

#: What a database instance is: it has one value of each, whoever says it.
INSTANCE_VARIABLES = (
    "djangogcp_region",
    "djangogcp_network",
    "djangogcp_database_version",
    "djangogcp_database_edition",
    "djangogcp_database_tier",
    "djangogcp_database_availability",
    "djangogcp_database_flags",
    "djangogcp_database_deletion_protection",
    "database_backup_start_time",
    "database_retained_backups",
    "database_transaction_log_retention_days",
)
#: Those that say something when they are empty, too: the instance has a public address.
_MAY_BE_EMPTY = frozenset({"djangogcp_network"})
#: The buckets of a site.
BUCKET_VARIABLES = (
    "djangogcp_media_bucket",
    "djangogcp_static_bucket",
    "djangogcp_source_bucket",
    "djangogcp_releases_bucket",
)
_SHOWN_HOSTS = 5

_GB_PER_CPU_OF_ENTERPRISE_PLUS = 8


def max_connections(tier: str, flags: t.Mapping[str, t.Any] | None = None, version: str = "") -> int:
    """How many connections an instance takes: its flag ``max_connections``, else Cloud SQL's default for the *version* and the memory of *tier*."""
    engine = engine_of(version)
    if flags and flags.get("max_connections"):
        return int(flags["max_connections"])
    if tier in engine.shared_core_connections:
        return engine.shared_core_connections[tier]
    last = int(tier.rsplit("-", 1)[1])
    memory = last / 1024 if re.match(r"db-custom-", tier) else last * _GB_PER_CPU_OF_ENTERPRISE_PLUS
    return next(
        (connections for bound, connections in engine.connections if memory < bound), engine.most_connections
    )


@dataclasses.dataclass(frozen=True)
class _Problem:
    """A message, and the sites that it is about."""

    text: str
    sites: list[Site]


def shared_problems(
    sites: t.Iterable[Site], reserve: int = 10, hosts: t.Iterable[str] = (), *, names_only: bool = False
) -> list[str]:
    """What the *sites* must not have in common, and what they must have in common and have not. See DOCUMENTATION."""
    dictionaries = ("djangogcp_database_flags", "djangogcp_background_workers")
    sites = [
        {**site, **{name: from_survey(site[name], {}) for name in dictionaries if name in site}}
        for site in sites
    ]
    found = [
        *_site_names(sites),
        *_database_names(sites),
        *_repository_names(sites),
        *_bucket_names(sites),
    ]
    if not names_only:
        found += [*_descriptions(sites), *_connections(sites, int(reserve))]
    meant = set(hosts)
    return [one.text for one in found if not meant or meant & {site["host"] for site in one.sites}]


def _site_names(sites: list[Site]) -> t.Iterator[_Problem]:
    for (project, site), group in _grouped(sites, "djangogcp_project", "djangogcp_site"):
        if len(group) > 1:
            yield _Problem(
                f"djangogcp_site is {shown(site)} for {_listed(group)} in the project {project}: expected a name of its own for each"
                " host, because service accounts, secrets and buckets are named after it.",
                group,
            )


def _database_names(sites: list[Site]) -> t.Iterator[_Problem]:
    """The names of users, service accounts, secrets and jobs are those of database and site with an end that no other end ends
    with: they differ when these do."""
    for (project, instance, name), group in _grouped(
        sites, "djangogcp_project", "djangogcp_database_instance", "djangogcp_database_name"
    ):
        if _are_several(group):
            yield _Problem(
                f"djangogcp_database_name is {shown(name)} for {_listed(group)} in the database instance {instance} of the project"
                f" {project}: expected a name of its own for each site, because the database and its users are named after it.",
                group,
            )


def _repository_names(sites: list[Site]) -> t.Iterator[_Problem]:
    """Artifact Registry has no policy below a repository: who may push one image there may push all."""
    for (project, region, name), group in _grouped(
        sites, "djangogcp_project", "djangogcp_region", "djangogcp_repository"
    ):
        if _are_several(group):
            yield _Problem(
                f"djangogcp_repository is {shown(name)} for {_listed(group)} in {region} of the project {project}: expected a repository"
                " of its own for each site, because the builds of the one could replace the images of the other.",
                group,
            )


def _bucket_names(sites: list[Site]) -> t.Iterator[_Problem]:
    uses: dict[str, list[tuple[Site, str]]] = {}
    for site in sites:
        for variable in BUCKET_VARIABLES:
            if site.get(variable):
                uses.setdefault(str(site[variable]), []).append((site, variable))
    for bucket, users in uses.items():
        group = [site for site, _variable in users]
        one_project = len({site.get("djangogcp_project") for site in group}) == 1
        if not _are_several(group):
            continue
        reason = (
            "what the one site may read and delete in it, the other could, too"
            if one_project
            else "a bucket belongs to one project, and all buckets of Google Cloud share one namespace"
        )
        by_variable = [
            f"{variable} of {_listed(some)}"
            for variable in BUCKET_VARIABLES
            if (some := [site for site, name in users if name == variable])
        ]
        yield _Problem(
            f"The bucket {bucket} is {' and '.join(by_variable)}: expected a bucket of its own for each, because {reason}.",
            group,
        )


def _descriptions(sites: list[Site]) -> t.Iterator[_Problem]:
    """An instance is what its sites say: they have to say the same."""
    for (project, instance), group in _grouped(sites, "djangogcp_project", "djangogcp_database_instance"):
        for variable in INSTANCE_VARIABLES:
            values: dict[str, list[Site]] = {}
            for site in group:
                value = "" if site.get(variable) is None else site[variable]
                if value != "" or variable in _MAY_BE_EMPTY:
                    values.setdefault(_plain(value), []).append(site)
            if len(values) > 1:
                by_value = " and ".join(
                    f"{shown(value)} for {_listed(some)}" for value, some in values.items()
                )
                yield _Problem(
                    f"{variable} is {by_value}: expected one value for all sites in the database instance {instance} of the project"
                    f" {project}, because each deploy would undo the other's. Set it in group_vars, or give the sites different"
                    " instances with djangogcp_database_instance.",
                    group,
                )


def _connections(sites: list[Site], reserve: int) -> t.Iterator[_Problem]:
    counted = [site for site in sites if site.get("djangogcp_max_instances") not in (None, "")]
    for (_project, instance), group in _grouped(counted, "djangogcp_project", "djangogcp_database_instance"):
        needed = [2 * (_connections_of_web(site) + _connections_of_workers(site)) + 1 for site in group]
        # Sites that differ are refused anyway; the least is what there is for sure.
        available, tier = min(
            (
                max_connections(
                    tier, site["djangogcp_database_flags"], site.get("djangogcp_database_version", "")
                ),
                tier,
            )
            for site in group
            for tier in [site["djangogcp_database_tier"]]
        )
        if sum(needed) > available - reserve:
            beside = " and background workers" if any(map(_connections_of_workers, group)) else ""
            by_site = ", ".join(
                f"{site['djangogcp_site']} {connections}"
                for site, connections in zip(group, needed, strict=True)
            )
            yield _Problem(
                f"The connections to the database instance {instance} may become {sum(needed)} ({by_site}: instances x workers x"
                f" threads{beside}, twice while a new revision comes up, and one job): expected at most {available - reserve}, because"
                f" {tier} takes {available} and {reserve} are kept in reserve. Lower djangogcp_max_instances, djangogcp_workers or"
                " djangogcp_threads, or take a larger djangogcp_database_tier.",
                group,
            )


def _connections_of_web(site: Site) -> int:
    return (
        int(site["djangogcp_max_instances"]) * int(site["djangogcp_workers"]) * int(site["djangogcp_threads"])
    )


def _connections_of_workers(site: Site) -> int:
    asked = site.get("djangogcp_background_workers") or {}
    return sum(worker.instances * worker.connections for worker in _workers.workers(asked))


def _grouped(sites: t.Iterable[Site], *variables: str) -> list[tuple[tuple[str, ...], list[Site]]]:
    """The sites by the values of some variables. A site that does not have one of them is in no group."""
    groups: dict[tuple[str, ...], list[Site]] = {}
    for site in sites:
        values = tuple(str(site.get(variable) or "") for variable in variables)
        if all(values):
            groups.setdefault(values, []).append(site)
    return list(groups.items())


def _are_several(group: t.Iterable[Site]) -> bool:
    """Whether it is more than one site; hosts of one site are told by its name."""
    return len({(site.get("djangogcp_project"), site.get("djangogcp_site")) for site in group}) > 1


def _listed(sites: t.Sequence[Site]) -> str:
    """The hosts of some sites in words, and not too many."""
    hosts = [str(site["host"]) for site in sites]
    if len(hosts) > _SHOWN_HOSTS:
        return f"{', '.join(hosts[:_SHOWN_HOSTS])} and {len(hosts) - _SHOWN_HOSTS} more"
    return " and ".join(filter(None, [", ".join(hosts[:-1]), hosts[-1]]))


def _plain(value: t.Any) -> str:
    """A value as a string that is equal for equal values: -e makes texts of numbers and booleans, and a flag that is null is not set."""
    if isinstance(value, t.Mapping):
        return (
            ", ".join(f"{name}={_plain(item)}" for name, item in sorted(value.items()) if item is not None)
            or "none"
        )
    text = str(value)
    return {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}.get(
        text.lower(), text
    )


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"shared_problems": shared_problems}
