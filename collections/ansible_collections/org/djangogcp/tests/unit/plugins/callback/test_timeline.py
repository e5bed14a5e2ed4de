# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from ansible_collections.org.djangogcp.plugins.callback import timeline

COLLECTIONS = Path(__file__).resolve().parents[7]
PLAYBOOK = """
- name: Try the timeline
  hosts: all
  gather_facts: false
  tasks:
    - name: Say something
      ansible.builtin.debug:
        msg: "argument-of-a-task"
    - name: Keep something to itself
      ansible.builtin.set_fact:
        hidden: "kept-secret"
      no_log: true
    - name: Wait for the third time
      ansible.builtin.debug:
      register: asked
      until: asked.attempts >= 3
      retries: 5
      delay: 0
    - name: Fail and go on
      ansible.builtin.fail:
        msg: "message-of-a-failure"
      ignore_errors: true
    - name: Have nothing to do
      ansible.builtin.debug:
      when: false
"""


@pytest.fixture
def play(tmp_path):
    """Runs a playbook with the callback enabled; returns its output."""
    (tmp_path / "try it.yml").write_text(PLAYBOOK, encoding="utf-8")

    def run(*options, **environment):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        done = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                "-i",
                "east,west,",
                "-c",
                "local",
                *options,
                "try it.yml",
            ],
            cwd=tmp_path,
            env={
                **inherited,
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_CALLBACKS_ENABLED": "org.djangogcp.timeline",
                "ANSIBLE_HOME": str(tmp_path / "home"),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_a_run_leaves_a_page_that_tells_names_and_nothing_of_what_they_hold(play, tmp_path):
    output = play()
    (written,) = (tmp_path / ".ansible" / "timelines").iterdir()
    assert f"timeline: {written.relative_to(tmp_path)}" in output.splitlines()
    assert "WARNING" not in output
    html = written.read_text(encoding="utf-8")
    for told in ("Say something", "Wait for the third time", "asked 3 times", "east", "west", "ignored"):
        assert told in html, told
    for kept in ("argument-of-a-task", "kept-secret", "message-of-a-failure"):
        assert kept not in html, kept


def test_listing_tasks_leaves_nothing(play, tmp_path):
    play("--list-tasks")
    assert not (tmp_path / ".ansible").exists()


# ------------------------------------------------------------------ without a run


class Stats:
    processed = {"east": 1}

    def summarize(self, host):
        return {"ok": 1}


@pytest.fixture
def callback(tmp_path, monkeypatch):
    """The callback after one task of try.yml, and what it prints."""
    context = types.SimpleNamespace(CLIARGS={})
    monkeypatch.setattr(timeline, "context", context)
    found = timeline.CallbackModule()
    found.options = {"directory": str(tmp_path / "pages"), "keep": 2}
    found.printed = []
    monkeypatch.setattr(found, "get_option", found.options.get)
    monkeypatch.setattr(found, "_display", types.SimpleNamespace(display=found.printed.append))
    found.v2_playbook_on_start(types.SimpleNamespace(_file_name="/srv/try it.yml"))
    return found


def task(module, **more):
    given = {
        "action": module,
        "resolved_action": module,
        "_role": None,
        "_uuid": module,
        "until": [],
        "args": {},
    }
    return types.SimpleNamespace(**{**given, "get_name": lambda: f"Run {module}", **more})


def run(callback, module, body, fails=False, **more):
    """One task on one host."""
    host, one = types.SimpleNamespace(name="east"), task(module, **more)
    callback.v2_runner_on_start(host, one)
    result = types.SimpleNamespace(
        host=host, task=one, result=body, is_changed=lambda: body.get("changed", False)
    )
    (callback.v2_runner_on_failed if fails else callback.v2_runner_on_ok)(result)


def test_a_folder_that_cannot_be_written_is_told_in_one_line(callback, tmp_path):
    (tmp_path / "pages").write_text("", encoding="utf-8")
    run(callback, "ansible.builtin.debug", {})
    callback.v2_playbook_on_stats(Stats())
    assert callback.printed == [f"timeline: not written to {tmp_path}/pages: File exists"]


def test_the_oldest_pages_go_and_other_files_stay(callback, tmp_path):
    folder = tmp_path / "pages"
    folder.mkdir()
    for name in ("20200101T000000Z-old.html", "20210101T000000Z-2-old.html", "notes.html"):
        (folder / name).write_text("", encoding="utf-8")
    run(callback, "ansible.builtin.debug", {})
    callback.v2_playbook_on_stats(Stats())
    kept = sorted(path.name for path in folder.iterdir())
    assert kept[0] == "20210101T000000Z-2-old.html"
    assert kept[1].endswith("Z-try_it.html")
    assert kept[2:] == ["notes.html"]


def test_two_runs_of_the_same_second_have_a_page_each(callback, tmp_path):
    run(callback, "ansible.builtin.debug", {})
    callback.v2_playbook_on_stats(Stats())
    callback.v2_playbook_on_stats(Stats())
    assert len(list((tmp_path / "pages").iterdir())) == 2


def test_who_keeps_no_page_gets_none(callback, tmp_path):
    callback.options["keep"] = 0
    run(callback, "ansible.builtin.debug", {})
    callback.v2_playbook_on_stats(Stats())
    assert not (tmp_path / "pages").exists()
    assert callback.printed == []


def test_a_playbook_without_hosts_leaves_nothing(callback, tmp_path):
    callback.v2_playbook_on_stats(Stats())
    assert not (tmp_path / "pages").exists()
    assert callback.printed == []


class FailedStats(Stats):
    def summarize(self, host):
        return {"failures": 1}


def test_the_page_of_a_failed_run_tells_why(callback, tmp_path):
    role = types.SimpleNamespace(get_name=lambda: "org.djangogcp.preflight")
    run(callback, "org.djangogcp.sql_instance", {"msg": "was taken up"}, fails=True)
    run(callback, "some.other.module", {"msg": "kept-to-itself"}, fails=True)
    run(callback, "ansible.builtin.fail", {"msg": "polls has <two> problems\n- one"}, fails=True, _role=role)
    callback.v2_playbook_on_stats(FailedStats())
    (written,) = (tmp_path / "pages").iterdir()
    html = written.read_text(encoding="utf-8")
    assert '<h2 id="reasons">Why it failed</h2>' in html
    assert "<pre>polls has &lt;two&gt; problems\n- one</pre>" in html
    for kept in ("was taken up", "kept-to-itself"):
        assert kept not in html


def test_only_this_collections_modules_are_believed_what_they_did(callback, tmp_path):
    run(
        callback,
        "org.djangogcp.secrets",
        {"changed": True, "actions": ["create secret shop-key"], "secrets": ["kept"]},
    )
    run(callback, "some.other.module", {"changed": True, "actions": ["other-action"]})
    callback.v2_playbook_on_stats(Stats())
    (written,) = (tmp_path / "pages").iterdir()
    html = written.read_text(encoding="utf-8")
    assert "create secret shop-key" in html
    assert "kept" not in html
    assert "other-action" not in html


def test_a_module_that_does_not_wait_and_its_waiting_task_make_a_bar(callback, tmp_path):
    args = {"wait": False, "tier": "argument"}
    run(callback, "org.djangogcp.sql_instance", {"changed": True}, args=args)
    waiting = {
        "until": ["x"],
        "args": args,
        "_uuid": "2",
        "get_name": lambda: "org.djangogcp.database : Wait for the instance",
    }
    role = types.SimpleNamespace(get_name=lambda: "org.djangogcp.database")
    run(callback, "org.djangogcp.sql_instance", {}, _role=role, **waiting)
    callback.v2_playbook_on_stats(Stats())
    (written,) = (tmp_path / "pages").iterdir()
    html = written.read_text(encoding="utf-8")
    assert '<div class="lane background"><div class="label">Instance</div>' in html
    assert ">database</th>" in html
    assert "argument" not in html
