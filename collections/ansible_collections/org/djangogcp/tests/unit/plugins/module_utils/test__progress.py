# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._errors import WaitTimeoutError
from ansible_collections.org.djangogcp.plugins.module_utils._operations import poll
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline


@pytest.fixture
def told(monkeypatch):
    lines = []
    monkeypatch.setattr(_progress, "tell", lines.append)
    return lines


def test_what_takes_minutes_is_told_every_half_minute(told, fake_clock):
    began = fake_clock.time
    poll(
        lambda: fake_clock.time - began,
        lambda seconds: seconds > 200,
        Deadline(600, fake_clock.clock),
        doing="wait for SQL instance polls",
        state=lambda seconds: "PENDING_CREATE",
        usual="5 to 10 min",
    )
    assert len(told) == 6
    assert told[-1].startswith("Wait for SQL instance polls: PENDING_CREATE, 3 min ")
    assert told[-1].endswith(" s, usually 5 to 10 min")


def test_what_is_soon_done_is_not_told(told, fake_clock):
    began = fake_clock.time
    deadline = Deadline(600, fake_clock.clock)
    poll(lambda: fake_clock.time - began, lambda seconds: seconds > 29, deadline, doing="wait")
    assert told == []


def test_what_is_never_done_is_told_until_it_is_given_up(told, fake_clock):
    with pytest.raises(WaitTimeoutError):
        poll(lambda: 0, lambda _: False, Deadline(95, fake_clock.clock), doing="build 7")
    assert [text.partition(" s")[0][:10] for text in told] == ["Build 7: 3", "Build 7: 1", "Build 7: 1"]


@pytest.mark.parametrize(("seconds", "words"), [(30.9, "30 s"), (60, "1 min 0 s"), (3725, "62 min 5 s")])
def test_a_time_is_told_in_words(seconds, words):
    assert _progress.elapsed(seconds) == words


def test_looks_at_what_takes_long_grow_apart(told, fake_clock):
    began = fake_clock.time
    poll(
        lambda: fake_clock.time - began,
        lambda seconds: seconds > 600,
        Deadline(900, fake_clock.clock),
        doing="wait",
    )
    passed, early, late = 0.0, [], []
    for seconds in fake_clock.slept:
        (early if passed < 60 else late).append(seconds)
        passed += seconds
    assert max(early) <= 3
    assert 5 < max(late) <= 10
    assert len(late) < 120


def test_of_all_tasks_of_a_run_one_tells(tmp_path):
    first, second, later = (_progress.Told(str(tmp_path), run) for run in ("100", "100", "200"))
    assert [one.is_first("quota-toys") for one in (first, first, second, later)] == [True, False, False, True]
    assert second.is_first("quota-games")


@pytest.mark.parametrize(("folder", "run"), [(None, "100"), ("here", "")])
def test_who_does_not_know_its_run_tells_for_itself(tmp_path, folder, run):
    told = [_progress.Told(folder and str(tmp_path), run) for dummy in range(2)]
    assert [one.is_first("quota-toys") for one in (*told, *told)] == [True, True, False, False]
    assert list(tmp_path.iterdir()) == []
