"""A part of ``make faults`` that is small enough for every run: each way in which a deploy can be disturbed, a few times.

What is disturbed is drawn from FAULTS_SEED (0 by default), so that a run can be repeated.
"""

from __future__ import annotations

import os
import random

from tests.faults.kinds import FATAL, RELEASE, TRANSIENT, UNKNOWN
from tests.faults.origin import Origin

DRAW = random.Random(int(os.environ.get("FAULTS_SEED", "0")))
#: A first deploy has some more tasks.
TASKS = 40


def test_a_deploy_survives_a_passing_fault_at_every_method(origin: Origin) -> None:
    kinds = [kind for kind in TRANSIENT if kind != "stall"]
    DRAW.shuffle(kinds)
    struck = origin.deploys.with_fault_at_every_method(kinds)
    # Some methods are called only until something is ready.
    assert len(struck) * 4 >= len(origin.methods) * 3


def test_a_deploy_waits_for_what_it_was_granted(origin: Origin) -> None:
    origin.deploys.with_late_grants(20, DRAW.choice(["*", "cloudsql", "storage", "iam"]))


def test_a_deploy_stops_where_nobody_knows_whether_a_job_was_started(origin: Origin) -> None:
    origin.deploys.with_a_job_that_nobody_knows_of(DRAW.choice(sorted(UNKNOWN)))


def test_after_a_fault_at_any_call_the_next_run_goes_on(origin: Origin) -> None:
    kind, runs = DRAW.choice(FATAL), DRAW.sample(range(len(origin.walk)), 10)
    cells, have = origin.walk.through(kind, runs)
    assert [cell for cell in cells if cell.outcome == "wrong"] == []
    assert have == origin.want


def test_killed_deploys_and_a_killed_emulator_leave_nothing_that_the_next_run_minds(origin: Origin) -> None:
    world, deploys = origin.world, origin.deploys
    project = world.project()
    for task in sorted(DRAW.sample(range(4, TASKS), 2)):
        assert deploys.killed_at(project, task)
    deploys.with_emulator_killed(project, DRAW.randrange(5, 60))
    deploys.converges(project)


def test_two_first_deploys_of_one_site_at_once_make_everything_once(origin: Origin) -> None:
    project = origin.world.project()
    ended = origin.deploys.at_once(project, 2)
    assert 0 in [status for status, _ in ended]
    origin.deploys.converges(project)


def test_a_first_release_that_is_broken_never_serves(origin: Origin) -> None:
    origin.deploys.failed_first_release()


def test_a_release_that_fails_leaves_the_old_one_serving(origin: Origin) -> None:
    origin.deploys.failed_release(DRAW.choice(RELEASE))
