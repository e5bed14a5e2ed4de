# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release runs."""

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.filter.release_commands import release_commands
from ansible_collections.org.djangogcp.plugins.filter.site_problems import command_problems
from ansible_collections.org.djangogcp.plugins.plugin_utils import _commands

OWN = {name: {"name": name, "args": [f"our {name}"]} for name in _commands.OWN}
RELEASE = {"name": "release", "args": ["make ready"]}


def names(*asked, **options):
    return [one["name"] for one in release_commands(asked, OWN, **options)]


def test_what_a_release_runs_its_own_way_is_named_alone():
    assert release_commands(["migrate", "superuser"], OWN) == [OWN["migrate"], OWN["superuser"]]
    assert release_commands(["collectstatic --ignore docs"], OWN) == [
        {"name": "collectstatic", "args": ["collectstatic", "--ignore", "docs"], "is_shown": True}
    ]


def test_another_command_has_its_own_time_memory_and_meaning_of_a_failure():
    asked = {
        "command": "update_index --remove 'a b'",
        "timeout_seconds": "90",
        "memory": "2Gi",
        "on_failure": "continue",
    }
    assert release_commands([asked, {"command": "migrate", "timeout_seconds": 7200}], OWN) == [
        {
            "name": "update-index",
            "args": ["update_index", "--remove", "a b"],
            "is_shown": True,
            "timeout_seconds": 90,
            "memory": "2Gi",
            "may_fail": True,
        },
        {**OWN["migrate"], "timeout_seconds": 7200},
    ]
    assert "timeout_seconds" not in OWN["migrate"]


@pytest.mark.parametrize(
    ("asked", "migrates", "order"),
    [
        (
            ["createcachetable", "migrate", "superuser"],
            False,
            ["createcachetable", "migrate", "release", "superuser"],
        ),
        (["migrate", "superuser"], True, ["release", "migrate", "superuser"]),
        (["superuser"], False, ["release", "superuser"]),
        ([], False, ["release"]),
    ],
)
def test_a_procfile_comes_after_the_migration_or_first(asked, migrates, order):
    assert names(*asked, procfile=RELEASE, migrates=migrates) == order
    assert names(*asked, procfile={}, migrates=migrates) == [name for name in order if name != "release"]


@pytest.mark.parametrize(
    "entry",
    [
        "", "  ", "migrate --fake", "superuser x", "manage", "release", "a 'b", 7, None, [], "x" * 28, "-x", "a\nb",
        {}, {"timeout_seconds": 5}, {"command": "x", "cpu": "1"}, {"command": "x", "timeout_seconds": 0},
        {"command": "x", "memory": "1"}, {"command": "x", "on_failure": "ignore"}, {"command": ["x"]},
    ],
)  # fmt: skip
def test_what_is_no_command_of_a_release(entry):
    assert not _commands.is_command(entry)


@pytest.mark.parametrize(
    "entry", ["migrate", "createcachetable", "sync_roles --all", {"command": "x", "on_failure": "stop"}]
)
def test_what_is_a_command_of_a_release(entry):
    assert _commands.is_command(entry)


def test_two_commands_of_one_name_are_refused():
    (found,) = command_problems(["loaddata a", "migrate", {"command": "loaddata b"}])
    assert found == (
        "djangogcp_release_commands is 'loaddata': expected commands whose first words differ, for each has a job of its own."
    )
    assert command_problems(["migrate", "loaddata a"]) == []
