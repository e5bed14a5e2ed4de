# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lines
type: stdout
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Ansible's own output, with text as lines and each error once
description:
  - Prints what P(ansible.builtin.default#callback) prints, with two differences.
  - A result that is nothing but a message is printed as it was written, line by line, instead of as JSON. So are the messages of this
    collection's modules when they fail.
  - An error is printed once. It is not told before its result as well, as ansible-core does from 2.19 on, and of a failure in this
    collection's roles that a C(rescue) takes up only the name is told, because the message comes with what the C(rescue) says.
  - With C(-vvv) everything is printed as Ansible does.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in the configuration, C(stdout_callback = org.djangogcp.lines)
"""

EXAMPLES = r"""
examples: |
  # ansible.cfg
  [defaults]
  stdout_callback = org.djangogcp.lines
"""

import typing as t

from ansible import constants
from ansible.playbook.block import Block
from ansible.plugins.callback.default import CallbackModule as Default

_COLLECTION = "org.djangogcp"
#: From this verbosity on everything is printed.
_ALL = 3
#: What a result has beside what a person wants to read.
_ASIDE = frozenset({"changed", "failed", "exception", "warnings", "deprecations", "invocation"})


class CallbackModule(Default):
    """The default callback with another way to write a result."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "org.djangogcp.lines"

    def __init__(self) -> None:
        super().__init__()
        #: Whether what is printed now is the failure of one of this collection's modules.
        self._is_own_failure = False

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """A task failed."""
        task = _task(result)
        if self._display.verbosity == 0 and _is_own_role(task) and _is_rescued(task):
            if self._last_task_banner != task._uuid:
                self._print_task_banner(task)
            text = f"failed: [{self.host_label(result)}]: the message comes below"
            self._display.display(text, color=constants.COLOR_ERROR)
            return
        self._is_own_failure = _is_own_module(task)
        super().v2_runner_on_failed(result, ignore_errors)
        self._is_own_failure = False

    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        """An item of a loop failed."""
        self._is_own_failure = _is_own_module(_task(result))
        super().v2_runner_item_on_failed(result)
        self._is_own_failure = False

    def _handle_exception(self, result: t.Any, use_stderr: bool = False) -> None:
        # From ansible-core 2.19 on every failure has one, whose text is the message.
        if self._display.verbosity < _ALL and isinstance(result.get("msg"), str):
            result.pop("exception", None)
        super()._handle_exception(result, use_stderr)

    def _dump_results(self, result: t.Any, *arguments: t.Any, **options: t.Any) -> t.Any:
        own = {key for key in result if not key.startswith("_ansible_")} - _ASIDE
        message = result.get("msg")
        lines = message.splitlines() if isinstance(message, str) else message
        is_text = isinstance(lines, list) and all(isinstance(line, str) for line in lines)
        if self._display.verbosity < _ALL and is_text and (own == {"msg"} or self._is_own_failure):
            return "".join(f"\n  {line}".rstrip(" ") for line in lines)
        return super()._dump_results(result, *arguments, **options)


# ansible-core 2.18 has only the name with an underscore.
def _task(result: t.Any) -> t.Any:
    """The task of a result."""
    return result.task if hasattr(result, "task") else result._task


def _is_own_module(task: t.Any) -> bool:
    return str(task.resolved_action or task.action).startswith(f"{_COLLECTION}.")


def _is_own_role(task: t.Any) -> bool:
    return bool(task._role) and task._role._role_collection == _COLLECTION


def _is_rescued(task: t.Any) -> bool:
    """Whether a ``rescue`` takes a failure of the task up: of the block that it is in, or that what includes it is in."""
    child = task
    while (parent := child._parent) is not None:
        if isinstance(parent, Block) and parent.rescue:
            return any(one._uuid == child._uuid for one in parent.block)
        child = parent
    return False
