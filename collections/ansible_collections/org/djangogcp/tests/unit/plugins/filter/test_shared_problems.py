# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sites must not share, and what the sites of one database instance have to describe equally."""

from __future__ import annotations

import time

import pytest
from ansible_collections.org.djangogcp.plugins.filter.shared_problems import (
    INSTANCE_VARIABLES,
    max_connections,
    shared_problems,
)

BUCKETS = ("media_bucket", "static_bucket", "source_bucket", "releases_bucket")


def site(host: str, **changed: object) -> dict[str, object]:
    """A site in which nothing is wrong; options without the prefix djangogcp_."""
    values = {
        "project": "p",
        "region": "us-central1",
        "site": host,
        "repository": host,
        "source_bucket": f"p-{host}-source",
        "media_bucket": f"p-{host}-media",
        "static_bucket": f"p-{host}-static",
        "releases_bucket": f"p-{host}-releases",
        "database_instance": "djangogcp",
        "database_name": host.replace("-", "_"),
        "database_version": "POSTGRES_17",
        "database_edition": "ENTERPRISE",
        "database_tier": "db-custom-2-7680",
        "database_availability": "ZONAL",
        "database_flags": {},
        "database_deletion_protection": True,
        "max_instances": 2,
        "workers": 1,
        "threads": 8,
        **changed,
    }
    return {"host": host, **{f"djangogcp_{name}": value for name, value in values.items()}}


def test_sites_with_names_of_their_own_are_right() -> None:
    assert shared_problems([site("polls"), site("shop"), site("blog", project="q")]) == []


def test_one_site_is_right() -> None:
    assert shared_problems([site("polls")]) == []


@pytest.mark.parametrize("region", ["us-central1", "europe-west1"])
def test_two_hosts_of_one_site_are_refused(region: str) -> None:
    other = site("us", site="polls", region=region, database_instance="other")
    assert shared_problems([site("eu", site="polls"), other]) == [
        "djangogcp_site is 'polls' for eu and us in the project p: expected a name of its own for each host, because service"
        " accounts, secrets and buckets are named after it."
    ]


def test_one_name_in_two_projects_is_right() -> None:
    eu = site("eu", site="polls", project="p")
    us = site("us", site="polls", project="q")
    assert shared_problems([eu, us]) == []


def test_one_database_of_two_sites_is_refused() -> None:
    assert shared_problems([site("polls"), site("shop", database_name="polls")]) == [
        "djangogcp_database_name is 'polls' for polls and shop in the database instance djangogcp of the project p: expected a name"
        " of its own for each site, because the database and its users are named after it."
    ]


@pytest.mark.parametrize("other", [{"database_instance": "another"}, {"project": "q"}])
def test_one_name_in_two_instances_is_right(other: dict[str, object]) -> None:
    assert shared_problems([site("polls"), site("shop", database_name="polls", **other)]) == []


def test_databases_whose_names_begin_alike_have_users_of_their_own() -> None:
    names = ["polls", "polls_web", "polls_migrator", "polls_web_1", "polls_web_1_web"]
    users = [f"{name}{end}" for name in names for end in ("_web", "_migrator", "_web_1", "_web_2")]
    assert len(set(users)) == len(users)
    assert shared_problems([site(name.replace("_", "-"), max_instances="") for name in names]) == []


@pytest.mark.parametrize("one", BUCKETS)
@pytest.mark.parametrize("other", BUCKETS)
def test_one_bucket_of_two_sites_is_refused(one: str, other: str) -> None:
    (message,) = shared_problems([site("polls", **{one: "bucket"}), site("shop", **{other: "bucket"})])
    uses = (
        f"djangogcp_{one} of polls and shop"
        if one == other
        else " and ".join(
            f"djangogcp_{name} of {'polls' if name == one else 'shop'}"
            for name in BUCKETS
            if name in (one, other)
        )
    )
    assert message == (
        f"The bucket bucket is {uses}: expected a bucket of its own for each, because what the one site may read and delete in it,"
        " the other could, too."
    )


@pytest.mark.parametrize("name", BUCKETS)
def test_one_bucket_in_two_projects_is_refused(name: str) -> None:
    sites = [site("polls", **{name: "bucket"}), site("shop", project="q", **{name: "bucket"})]
    assert shared_problems(sites) == [
        f"The bucket bucket is djangogcp_{name} of polls and shop: expected a bucket of its own for each, because a bucket belongs"
        " to one project, and all buckets of Google Cloud share one namespace."
    ]


def test_one_repository_of_two_sites_is_refused() -> None:
    assert shared_problems([site("polls"), site("shop", repository="polls")]) == [
        "djangogcp_repository is 'polls' for polls and shop in us-central1 of the project p: expected a repository of its own for each"
        " site, because the builds of the one could replace the images of the other."
    ]


@pytest.mark.parametrize(
    "other", [{"region": "europe-west1", "database_instance": "another"}, {"project": "q"}]
)
def test_repositories_of_one_name_elsewhere_are_two(other: dict[str, object]) -> None:
    assert shared_problems([site("polls"), site("shop", repository="polls", **other)]) == []


DIFFERENT = {
    "djangogcp_region": "europe-west1",
    "djangogcp_network": "sites",
    "djangogcp_database_version": "POSTGRES_16",
    "djangogcp_database_edition": "ENTERPRISE_PLUS",
    "djangogcp_database_tier": "db-custom-4-15360",
    "djangogcp_database_availability": "REGIONAL",
    "djangogcp_database_flags": {"max_connections": 200},
    "djangogcp_database_deletion_protection": False,
    "database_backup_start_time": "04:00",
    "database_retained_backups": 30,
    "database_transaction_log_retention_days": 3,
}


@pytest.mark.parametrize("variable", INSTANCE_VARIABLES)
def test_an_instance_that_is_described_differently_is_refused(variable: str) -> None:
    usual = {
        "database_backup_start_time": "03:00",
        "database_retained_backups": 7,
        "database_transaction_log_retention_days": 7,
    }
    polls, shop = {**usual, **site("polls")}, {**usual, **site("shop")}
    (message,) = shared_problems([polls, {**shop, variable: DIFFERENT[variable]}, {**usual, **site("blog")}])
    assert message.startswith(f"{variable} is '")
    assert " for polls and blog and '" in message
    assert (
        " for shop: expected one value for all sites in the database instance djangogcp of the project p, because"
        in message
    )
    assert message.endswith(
        "Set it in group_vars, or give the sites different instances with djangogcp_database_instance."
    )
    assert (
        shared_problems(
            [polls, {**shop, variable: DIFFERENT[variable], "djangogcp_database_instance": "other"}]
        )
        == []
    )
    assert shared_problems([polls, {**shop, variable: None, "djangogcp_max_instances": None}]) == []


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("database_deletion_protection", True, "true"),
        ("database_deletion_protection", "no", False),
        ("database_flags", {"a": 1, "b": True}, {"b": "on", "a": "1"}),
        ("database_flags", {}, {"max_connections": None}),
    ],
)
def test_what_means_the_same_is_no_difference(name: str, one: object, other: object) -> None:
    assert shared_problems([site("polls", **{name: one}), site("shop", **{name: other})]) == []


def test_what_is_wrong_elsewhere_is_not_told() -> None:
    sites = [site("polls"), site("shop", database_name="blog"), site("blog")]
    assert shared_problems(sites, hosts=["polls"]) == []
    assert len(shared_problems(sites, hosts=["blog"])) == 1


def test_only_names_are_looked_at_when_it_is_said() -> None:
    sites = [site("polls"), site("shop", database_tier="db-f1-micro", max_instances=100)]
    assert len(shared_problems(sites)) == 2
    assert shared_problems(sites, names_only=True) == []


def many(count: int) -> list[dict[str, object]]:
    return [site(f"s{number}", site="polls", max_instances="") for number in range(count)]


def test_many_hosts_are_not_all_listed() -> None:
    (message,) = shared_problems(many(2000))
    assert " for s0, s1, s2, s3, s4 and 1995 more in the project p" in message


def test_ten_times_as_many_hosts_take_about_ten_times_as_long() -> None:
    def effort(sites: list[dict[str, object]]) -> float:
        """Seconds of this process, which others on the machine do not lengthen; the best of three."""
        seconds = []
        for _attempt in range(3):
            begun = time.process_time()
            shared_problems(sites)
            seconds.append(time.process_time() - begun)
        return min(seconds)

    assert effort(many(3000)) < 40 * effort(many(300))


INSTANCE = {"database_tier": "db-g1-small"}
POLLS = site("polls", max_instances="2", **INSTANCE)
SHOP = site("shop", max_instances=1, threads=4, **INSTANCE)


def test_connections_that_fit_are_no_problem() -> None:
    assert shared_problems([POLLS]) == []


def test_the_connections_of_the_sites_of_an_instance_are_counted_together() -> None:
    assert shared_problems([POLLS, SHOP]) == [
        "The connections to the database instance djangogcp may become 42 (polls 33, shop 9: instances x workers x threads, twice"
        " while a new revision comes up, and one job): expected at most 40, because db-g1-small takes 50 and 10 are kept in"
        " reserve. Lower djangogcp_max_instances, djangogcp_workers or djangogcp_threads, or take a larger"
        " djangogcp_database_tier."
    ]


def test_the_last_connection_may_be_used() -> None:
    assert shared_problems([POLLS], reserve=17) == []
    assert shared_problems([POLLS], reserve=18) != []


@pytest.mark.parametrize("other", [{"database_instance": "another"}, {"project": "q"}])
def test_only_sites_of_one_instance_are_counted_together(other: dict[str, object]) -> None:
    assert shared_problems([POLLS, site("shop", **INSTANCE, **other)]) == []


@pytest.mark.parametrize(
    ("tier", "flags", "connections"),
    [
        ("db-f1-micro", {}, 25),
        ("db-g1-small", {}, 50),
        ("db-custom-1-3840", {}, 100),
        ("db-custom-2-7680", {}, 400),
        ("db-perf-optimized-N-2", {}, 500),
        ("db-perf-optimized-N-128", {}, 1000),
        ("db-f1-micro", {"max_connections": "70"}, 70),
    ],
)
def test_max_connections_follow_memory_unless_the_flag_is_set(
    tier: str, flags: dict[str, str], connections: int
) -> None:
    assert max_connections(tier, flags) == connections


@pytest.mark.parametrize(
    ("tier", "flags", "connections"),
    [("db-f1-micro", {}, 250), ("db-custom-1-3840", {}, 4000), ("db-f1-micro", {"max_connections": 70}, 70)],
)
def test_mysql_takes_more_connections(tier: str, flags: dict[str, object], connections: int) -> None:
    assert max_connections(tier, flags, "MYSQL_8_4") == connections


def test_a_site_without_the_network_of_the_others_is_refused() -> None:
    inside = [site("polls", network="sites"), site("shop", network="sites")]
    assert shared_problems(inside) == []
    for outside in (site("blog"), site("blog", network="")):
        (message,) = shared_problems([*inside, outside])
        assert message.startswith(
            "djangogcp_network is 'sites' for polls and shop and '' for blog: expected one value"
        )
    other = site("blog", network="", database_instance="other")
    assert shared_problems([*inside, other]) == []
