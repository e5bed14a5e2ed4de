# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters connection_problems, container_env and shell_words."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.org.djangogcp.plugins.filter.connection_problems import (
    connection_problems,
    max_connections,
)
from ansible_collections.org.djangogcp.plugins.filter.container_env import container_env
from ansible_collections.org.djangogcp.plugins.filter.shell_words import shell_words

INSTANCE = {"project": "p", "instance": "djangogcp", "tier": "db-g1-small", "flags": {}}
POLLS = {**INSTANCE, "site": "polls", "max_instances": "2", "workers": 1, "threads": 8}
SHOP = {**INSTANCE, "site": "shop", "max_instances": 1, "workers": 1, "threads": 4}


def test_connections_that_fit_are_no_problem() -> None:
    assert connection_problems([POLLS]) == []


def test_the_sites_of_an_instance_are_counted_together() -> None:
    assert connection_problems([POLLS, SHOP]) == [
        "The connections to the database instance djangogcp may become 42 (polls 33, shop 9: instances x workers x threads, twice"
        " while a new revision comes up, and one job): expected at most 40, because db-g1-small takes 50 and 10 are kept in"
        " reserve. Lower djangogcp_max_instances, djangogcp_workers or djangogcp_threads, or take a larger"
        " djangogcp_database_tier."
    ]


def test_the_last_connection_may_be_used() -> None:
    assert connection_problems([POLLS], reserve=17) == []
    assert connection_problems([POLLS], reserve=18) != []


@pytest.mark.parametrize(
    "other", [{"instance": "another"}, {"project": "q"}, {"flags": {"max_connections": 1000}}]
)
def test_only_sites_of_one_instance_are_counted_together(other: dict[str, object]) -> None:
    problems = connection_problems([POLLS, {**SHOP, **other}])
    assert len(problems) == ("flags" in other)


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


def test_variables_and_pinned_secrets_are_sorted_by_name() -> None:
    assert container_env({"B": 1, "C": True, "A": "x"}, {"AB": "polls-key"}, {"polls-key": 2}) == [
        {"name": "A", "value": "x"},
        {"name": "AB", "value_source": {"secret_key_ref": {"secret": "polls-key", "version": "2"}}},
        {"name": "B", "value": "1"},
        {"name": "C", "value": "true"},
    ]


def test_a_variable_that_is_plain_and_secret_is_refused() -> None:
    with pytest.raises(
        AnsibleFilterError,
        match=r"^SECRET_KEY is both a plain variable and a secret\. Remove the plain variable\.$",
    ):
        container_env({"SECRET_KEY": "visible"}, {"SECRET_KEY": "polls-key"}, {"polls-key": "1"})


def test_a_variable_that_is_null_is_left_out() -> None:
    assert container_env({"A": None, "B": ""}, {}, {}) == [{"name": "B", "value": ""}]
    (variable,) = container_env({"SECRET_KEY": None}, {"SECRET_KEY": "polls-key"}, {"polls-key": "1"})
    assert "value_source" in variable


def test_a_secret_without_a_version_is_refused() -> None:
    with pytest.raises(
        AnsibleFilterError,
        match=r"^The version of the secret polls-key is not known\. Run the role secrets first\.$",
    ):
        container_env({}, {"SECRET_KEY": "polls-key"}, {})


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("showmigrations --list", ["showmigrations", "--list"]),
        ("shell -c 'print(1 + 1)'", ["shell", "-c", "print(1 + 1)"]),
        (["shell", "-c", 1], ["shell", "-c", "1"]),
    ],
)
def test_a_command_is_split_as_a_shell_does(command: object, words: list[str]) -> None:
    assert shell_words(command) == words


def test_an_open_quote_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"cannot be split: No closing quotation\.$"):
        shell_words("shell '")


@pytest.mark.parametrize("command", ["", []])
def test_an_empty_command_is_refused(command: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^The command is empty\.$"):
        shell_words(command)
