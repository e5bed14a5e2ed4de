# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: timeline
type: aggregate
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Write what ran when, and what it waited for, as one HTML page
description:
  - After each playbook, writes one page that needs nothing else and prints its path.
  - Hosts are lanes. What goes on by itself meanwhile is a bar of its own, from the task that began it with C(wait=false) to
    the task with C(until) that waited for it, for instance a database instance that is being made, or a build.
  - The critical path is marked. It is the chain of tasks and of things in the background that decided how long the run took.
  - Names of tasks, hosts, roles and modules are written, and what this collection's modules and roles say they did, and why they
    failed. Arguments, variables and results of tasks are not.
  - A folder that cannot be written is told in one line; the run and its exit status stay as they are.
requirements:
  - enabled in the configuration, C(callbacks_enabled = org.djangogcp.timeline)
options:
  directory:
    description: Where the pages are written. Made if it is not there.
    type: path
    default: .ansible/timelines
    env:
      - name: DJANGOGCP_TIMELINE_DIR
    ini:
      - section: callback_timeline
        key: directory
  keep:
    description: How many pages are kept. The oldest go. With V(0) none is written.
    type: int
    default: 20
    env:
      - name: DJANGOGCP_TIMELINE_KEEP
    ini:
      - section: callback_timeline
        key: keep
"""

EXAMPLES = r"""
examples: |
  # ansible.cfg
  [defaults]
  callbacks_enabled = org.djangogcp.timeline

  [callback_timeline]
  directory = ~/timelines
"""

import datetime
import os
import re
import time
import typing as t
from pathlib import Path

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible_collections.org.djangogcp.plugins.plugin_utils._timeline import Run, Step, waits_itself
from ansible_collections.org.djangogcp.plugins.plugin_utils._timeline_page import page

_COLLECTION = "org.djangogcp."
_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?-.+\.html")


class CallbackModule(CallbackBase):
    """Notes when each task begins and ends on each host; the page is made once, at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "org.djangogcp.timeline"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._begin("")

    def _begin(self, playbook: str) -> None:
        self._playbook = playbook
        self._zero = time.monotonic()
        self._began = datetime.datetime.now(datetime.UTC)
        self._together = True
        self._steps: list[Step] = []
        self._open: dict[tuple[str, str], Step] = {}

    def _now(self) -> float:
        return time.monotonic() - self._zero

    # ---------------------------------------------------------------- what Ansible tells

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        """A playbook begins."""
        self._begin(os.path.basename(playbook._file_name))

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """A play begins."""
        self._together = play.strategy in ("linear", "ansible.builtin.linear")

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        """A task begins on a host."""
        module = task.resolved_action or task.action
        name = task.get_name().strip()
        role = task._role.get_name() if task._role else ""
        step = Step(
            host=host.name,
            name=name.removeprefix(f"{role} : "),
            role=role.removeprefix(_COLLECTION),
            module=module,
            began=self._now(),
            waits=bool(task.until)
            or module == "ansible.builtin.async_status"
            or (module.startswith(_COLLECTION) and waits_itself(name)),
            goes_on=module.startswith(_COLLECTION) and task.args.get("wait") is False,
            together=self._together,
            is_own=module.startswith(_COLLECTION)
            or (
                role.startswith(_COLLECTION) and module in ("ansible.builtin.fail", "ansible.builtin.assert")
            ),
        )
        self._steps.append(step)
        self._open[host.name, task._uuid] = step

    def v2_runner_retry(self, result: t.Any) -> None:
        """A task with ``until`` is going to be asked again."""
        host, task = _origin(result)
        step = self._open.get((host.name, task._uuid))
        if step is not None:
            step.attempts += 1

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """A task ended well."""
        self._end(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """A task failed."""
        self._end(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        """A task had nothing to do."""
        self._end(result, "skipped")

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """A host was not reached."""
        self._end(result, "unreachable")

    def _end(self, result: t.Any, outcome: str) -> None:
        host, task = _origin(result)
        step = self._open.pop((host.name, task._uuid), None)
        if step is None:
            return
        step.ended, step.outcome = self._now(), outcome
        if outcome == "failed" and step.is_own:
            # A result that is hidden by no_log says so instead.
            step.reason = str(_body(result).get("msg", ""))
        # Other modules may call anything "actions". Ansible copies a body for who asks for it, so only where something was done.
        if step.module.startswith(_COLLECTION) and result.is_changed():
            # A result that is hidden by no_log has none.
            actions = _body(result).get("actions")
            if isinstance(actions, list):
                step.actions = [action for action in actions if isinstance(action, str)]

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        """A playbook has ended: write the page."""
        if not self._steps or self.get_option("keep") < 1:
            return
        run = Run(
            playbook=self._playbook,
            date=self._began.strftime("%Y-%m-%d %H:%M:%S"),
            seconds=self._now(),
            steps=self._steps,
            recap={host: stats.summarize(host) for host in sorted(stats.processed)},
            check_mode=bool(context.CLIARGS.get("check")),
        )
        directory = Path(self.get_option("directory"))
        try:
            path = self._write(directory, page(run))
        except OSError as error:
            self._display.display(f"timeline: not written to {directory}: {error.strerror}")
            return
        relative = os.path.relpath(path)
        self._display.display(f"timeline: {path if relative.startswith('..') else relative}")

    def _write(self, directory: Path, text: str) -> Path:
        """Writes the page and removes the oldest ones. OSError if it cannot."""
        directory.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^\w-]+", "_", self._playbook.rpartition(".")[0] or self._playbook)
        moment = self._began.strftime("%Y%m%dT%H%M%SZ")
        # Two runs may begin in the same second.
        path = next(
            candidate
            for number in range(1, 1000)
            if not (
                candidate := directory / f"{moment}{f'-{number}' if number > 1 else ''}-{stem}.html"
            ).exists()
        )
        path.write_text(text, encoding="utf-8")
        pages = sorted(
            (one for one in directory.iterdir() if _NAME.fullmatch(one.name)), key=lambda one: one.name
        )
        for old in pages[: max(0, len(pages) - self.get_option("keep"))]:
            old.unlink(missing_ok=True)
        return path


# ansible-core 2.18 has only the names with an underscore.
def _origin(result: t.Any) -> tuple[t.Any, t.Any]:
    """Host and task of a result."""
    return (result.host, result.task) if hasattr(result, "task") else (result._host, result._task)


def _body(result: t.Any) -> dict[str, t.Any]:
    """What a module returned."""
    body: dict[str, t.Any] = result.result if hasattr(result, "task") else result._result
    return body
