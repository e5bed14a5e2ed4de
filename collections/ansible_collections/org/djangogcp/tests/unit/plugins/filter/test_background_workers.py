# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a site says of what runs in the background: what becomes of it, what is refused, what it costs in connections."""

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.filter.background_workers import background_workers
from ansible_collections.org.djangogcp.plugins.filter.cloud_run_problems import cloud_run_problems
from ansible_collections.org.djangogcp.plugins.filter.shared_problems import shared_problems
from ansible_collections.org.djangogcp.plugins.filter.site_problems import site_problems

NAME = "djangogcp_background_workers"
SHELL = ["/bin/sh", "-c"]


def refused(asked: object) -> list[str]:
    option = {"type": "dict", "description": "What runs in the background."}
    return site_problems({NAME: asked}, {NAME: option}, [])


def test_a_command_is_all_that_has_to_be_said() -> None:
    assert background_workers({"worker": " celery -A shop worker "}, SHELL, "512Mi") == [
        {
            "name": "worker",
            "command": SHELL,
            "args": ["exec celery -A shop worker"],
            "instances": 1,
            "cpu": "1",
            "memory": "512Mi",
        }
    ]


def test_what_else_is_said_is_taken() -> None:
    said = {"command": "a && b", "instances": "3", "cpu": 2, "memory": "1Gi", "connections": 9}
    [found] = background_workers({"worker": said}, SHELL, "512Mi")
    assert found["args"] == ["a && exec b"]
    assert (found["instances"], found["cpu"], found["memory"]) == (3, "2", "1Gi")


def test_what_a_host_takes_back_of_its_group_does_not_run() -> None:
    assert background_workers({"worker": None, "mails": "x"}, SHELL, "512Mi")[0]["name"] == "mails"


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"worker": "celery -A shop worker"},
        {"w": {"command": "x", "instances": 0}},
        {"a" * 27: "x"},
        {"beat": {"command": "celery -A shop beat", "instances": "1"}},
        {"clock": {"command": "python clock.py", "instances": 0}},
    ],
)
def test_what_can_run_is_no_problem(asked: object) -> None:
    assert refused(asked) == []


@pytest.mark.parametrize(
    "name", ["web", "release", "Worker", "my_worker", "1st", "worker-", "a" * 28, "two words", ""]
)
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    [problem] = refused({name: "celery"})
    assert problem.startswith(f"{NAME}.{name} is 'celery': expected a command such as celery -A shop worker")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "  ",
        "two\nlines",
        "a\0b",
        7,
        [],
        ["celery"],
        {},
        {"instances": 1},
        {"command": ""},
        {"command": "x", "instances": -1},
        {"command": "x", "instances": "many"},
        {"command": "x", "cpu": "3"},
        {"command": "x", "memory": "1 GB"},
        {"command": "x", "memory": 512},
        {"command": "x", "connections": 1.5},
        {"command": "x", "queue": "mails"},
    ],
)
def test_an_entry_that_says_nothing_that_can_run_is_refused(entry: object) -> None:
    [problem] = refused({"worker": entry})
    assert problem.startswith(f"{NAME}.worker is ")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("beat", "celery -A shop beat"),
        ("tasks", "celery -A shop worker --beat"),
        ("clock", "python clock.py"),
        ("jobs", "rqscheduler"),
    ],
)
def test_a_scheduler_runs_once(name: str, command: str) -> None:
    assert refused({name: {"command": command, "instances": 2}}) == [
        f"{NAME}.{name}.instances is 2: expected 1, or 0 to stop it, because it is a scheduler, and two would do everything twice. Did"
        " you mean 1?"
    ]


def test_a_size_that_cloud_run_does_not_have_is_refused() -> None:
    site = {"djangogcp_cpu": "1", "djangogcp_memory": "512Mi"}
    asked = {"big": {"command": "x", "memory": "8Gi"}, "small": {"command": "x", "cpu": "0.5"}, "wrong": 7}
    assert cloud_run_problems({**site, NAME: asked}) == [
        f"{NAME}.big.memory is '8Gi': expected a size from 512Mi to 4Gi, because {NAME}.big.cpu is 1.",
        f"{NAME}.small.cpu is '0.5': expected 1, 2, 4, 6 or 8, because the second generation of Cloud Run needs a whole CPU. Did you mean 1?",
    ]
    # Those that say no memory have that of what serves.
    [problem] = cloud_run_problems({"djangogcp_cpu": "2", "djangogcp_memory": "8Gi", NAME: {"w": "x"}})
    assert problem.startswith(f"{NAME}.w.memory is '8Gi'")


def test_their_connections_are_counted() -> None:
    site = {
        "host": "shop",
        "djangogcp_project": "p",
        "djangogcp_site": "shop",
        "djangogcp_database_instance": "i",
        "djangogcp_database_tier": "db-f1-micro",
        "djangogcp_database_flags": {},
        "djangogcp_max_instances": 1,
        "djangogcp_workers": 1,
        "djangogcp_threads": 4,
    }
    assert shared_problems([site]) == []
    # One process for each CPU, and one that starts them; as text, as a survey sends it.
    assert shared_problems([{**site, NAME: "{worker: celery}"}], reserve=12) == []
    assert (
        "may become 13 (shop 13: " in shared_problems([{**site, NAME: {"worker": "celery"}}], reserve=13)[0]
    )
    [problem] = shared_problems([{**site, NAME: {"w": {"command": "x", "instances": 2, "connections": 3}}}])
    assert "may become 21 (shop 21: instances x workers x threads and background workers, twice" in problem
    assert shared_problems([{**site, NAME: {"w": {"command": "x", "instances": 0}}}]) == []
