# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from ansible_collections.org.djangogcp.plugins.plugin_utils._timeline import (
    Link,
    Run,
    Step,
    backgrounds,
    critical_path,
    summarised,
    waits_itself,
)
from ansible_collections.org.djangogcp.plugins.plugin_utils._timeline_page import duration, page

BUILD = "org.djangogcp.build"


def step(name, began, ended, *, host="polls", module="ansible.builtin.debug", outcome="ok", **more):
    return Step(
        host=host, name=name, role="role", module=module, began=began, ended=ended, outcome=outcome, **more
    )


def start(began, ended, **more):
    return step(
        "start | Start the build", began, ended, module=BUILD, goes_on=True, outcome="changed", **more
    )


def wait(began, ended, *, attempts, **more):
    asks = {"waits": True, "attempts": attempts}
    return step("finish | Wait for the build of the image", began, ended, module=BUILD, **asks, **more)


def names(path):
    return [link.name for link in path]


def test_tasks_one_after_the_other_are_all_critical():
    steps = [step("a", 0, 1), step("b", 1.1, 2), step("c", 2.1, 5)]
    assert names(critical_path(steps)) == ["a", "b", "c"]


def test_a_build_that_was_waited_for_is_critical_and_what_ran_meanwhile_is_not():
    steps = [
        step("before", 0, 1),
        start(1, 2),
        step("meanwhile", 2, 4),
        wait(4, 20, attempts=5),
        step("after", 20, 21),
    ]
    path = critical_path(steps)
    assert names(path) == ["before", "Start the build", "Build of the image", "after"]
    assert [(link.began, link.end) for link in path if link.background] == [(2, 20)]


def test_a_build_that_was_waited_for_in_one_look_is_critical():
    steps = [start(1, 2), step("meanwhile", 2, 4), wait(4, 20, attempts=1)]
    assert names(critical_path(steps)) == ["Start the build", "Build of the image"]


def test_a_build_that_was_done_when_it_was_asked_for_is_not_critical():
    steps = [start(1, 2), step("meanwhile", 2, 40), wait(40, 41, attempts=1)]
    assert names(critical_path(steps)) == ["Start the build", "meanwhile", "Wait for the build of the image"]
    assert [(one.name, one.began, one.end) for one in backgrounds(steps)] == [("Build of the image", 2, 41)]


def test_hosts_that_go_together_wait_for_the_slowest():
    steps = [
        step("a", 0, 1, host="fast"),
        step("a", 0, 9, host="slow"),
        step("b", 9, 12, host="fast"),
        step("b", 9, 10, host="slow"),
    ]
    assert [(link.name, link.host) for link in critical_path(steps)] == [("a", "slow"), ("b", "fast")]


def test_hosts_that_go_freely_wait_for_nobody():
    steps = [
        step("a", 0, 1, host="fast", together=False),
        step("a", 0, 9, host="slow", together=False),
        step("b", 1, 12, host="fast", together=False),
        step("b", 9, 10, host="slow", together=False),
    ]
    assert [(link.name, link.host) for link in critical_path(steps)] == [("a", "fast"), ("b", "fast")]


def test_each_hosts_build_is_its_own():
    steps = [
        start(0, 1, host="east"),
        start(0, 2, host="west"),
        wait(3, 9, attempts=2, host="east"),
        wait(3, 30, attempts=9, host="west"),
    ]
    assert [(one.host, one.began, one.end) for one in backgrounds(steps)] == [("east", 1, 9), ("west", 2, 30)]
    assert [(link.host, link.background) for link in critical_path(steps)] == [
        ("west", False),
        ("west", True),
    ]


def test_a_wait_that_was_skipped_is_no_background():
    skipped = wait(3, 3, attempts=1)
    skipped.outcome = "skipped"
    assert backgrounds([start(0, 1), skipped]) == []


def test_a_step_that_never_ended_is_no_part_of_the_path():
    assert names(critical_path([step("a", 0, 1), step("b", 1, None)])) == ["a"]
    assert critical_path([]) == []


def test_the_path_ends_also_when_steps_took_no_time():
    steps = [step(str(number), 1.0, 1.0) for number in range(5)]
    assert len(critical_path(steps)) == 1


def test_short_parts_are_put_together():
    path = [Link("a", "h", 0, 1), Link("b", "h", 1, 2), Link("c", "h", 2, 30), Link("d", "h", 30, 31)]
    shown = [(link.name, link.began, link.end) for link in summarised(path, 5)]
    assert shown == [("2 short steps", 0, 2), ("c", 2, 30), ("d", 30, 31)]


# ------------------------------------------------------------------ the page


class Text(HTMLParser):
    """The text of a page, and the tags that it is made of."""

    def __init__(self):
        super().__init__()
        self.tags, self.text, self.open = [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(run):
    parser = Text()
    parser.feed(page(run))
    assert parser.open == []
    return parser


def run_of(steps, **more):
    recap = {"polls": {"ok": len(steps), "changed": 1, "failures": 0, "unreachable": 0}}
    return Run("deploy.yml", "2026-01-01 10:00:00", 21.0, steps, recap, **more)


def test_the_page_tells_path_waits_and_longest_steps():
    shown = parsed(run_of([start(1, 2), step("Meanwhile", 2, 4), wait(4, 20, attempts=5)])).text
    for told in (
        "deploy.yml succeeded",
        "2026-01-01 10:00:00 UTC, took 21.0 s",
        "3 ok, 1 changed",
        "Build of the image went on by itself",
        "asked 5 times",
        "Everything in order",
    ):
        assert told in shown, told


def test_the_path_is_marked_from_the_start_of_the_build_to_the_task_that_waited_for_it():
    html = page(run_of([start(1, 2), step("Meanwhile", 2, 4), wait(4, 20, attempts=5)]))
    marked = re.findall(r'<tr class="critical"><th scope="row">([^<]+)<', html)
    assert marked == ["Start the build", "Wait for the build of the image"]


def test_a_long_list_of_changes_is_folded_away():
    actions = [f"grant {number}" for number in range(5)]
    assert "<summary>5 changes</summary>" in page(run_of([step("a", 0, 1, actions=actions)]))
    assert "<summary>" not in page(run_of([step("a", 0, 1, actions=actions[:2])]))


def test_the_page_needs_nothing_else():
    html = page(run_of([step("a", 0, 1)]))
    tags = {tag for tag, _attributes in parsed(run_of([step("a", 0, 1)])).tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "form"}
    assert not re.search(r"https?:|url\(|@import", html)
    assert "default-src 'none'" in html


def test_names_are_text_whatever_they_hold():
    hostile = "<script>alert(1)</script>\"'&"
    steps = [
        step(hostile, 0, 1, host=hostile, module=hostile, outcome="changed", actions=[hostile]),
        step("b", 1, 2),
    ]
    run = Run(hostile, hostile, 2.0, steps, {hostile: {"ok": 1}})
    shown = parsed(run)
    assert "script" not in {tag for tag, _attributes in shown.tags}
    assert shown.text.count(hostile) >= 6


def test_a_failed_run_and_check_mode_are_told():
    failed = run_of([step("a", 0, 1, outcome="failed")], check_mode=True)
    failed.recap["polls"]["failures"] = 1
    shown = parsed(failed).text
    assert "deploy.yml failed" in shown
    assert "1 failed" in shown
    assert "nothing was changed" in shown


def test_a_run_of_no_time_has_a_page():
    assert "Everything in order" in parsed(Run("a.yml", "now", 0.0, [step("a", 0, 0)], {})).text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "40 ms"), (1.25, "1.2 s"), (75.4, "1 min 15 s")])
def test_durations_read_like_speech(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "waits"),
    [("finish | Wait for the image", True), ("Wait for the image", True), ("start | Start the build", False)],
)
def test_a_module_that_waits_itself_says_so_in_the_name_of_its_task(name, waits):
    assert waits_itself(name) is waits
