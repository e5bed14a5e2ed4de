"""Ansible callback for the tests of faults: writes down what the collection's modules were asked, and may kill the run.

FAULTS_RECORD: a file that gets a JSON line per module run. FAULTS_KILL_AT: the number or the name of the task before which the run is
killed with SIGKILL, children included.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: faults
type: aggregate
short_description: records and kills runs for the tests of faults
description: See the file.
"""


class CallbackModule(CallbackBase):
    """Enabled with ANSIBLE_CALLBACKS_ENABLED=faults."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "faults"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._tasks = 0

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._tasks += 1
        if os.environ.get("FAULTS_KILL_AT") in (str(self._tasks), task.name):
            os.killpg(os.getpgid(0), signal.SIGKILL)

    def v2_runner_on_ok(self, result: Any) -> None:
        path = os.environ.get("FAULTS_RECORD")
        action = result._task.resolved_action or result._task.action
        # The smoke test calls no API that a fault could be at.
        if not path or not action.startswith("org.djangogcp.") or action == "org.djangogcp.smoke_test":
            return
        line = {
            "task": result._task.name,
            "module": action.rpartition(".")[2],
            "options": result._result["invocation"]["module_args"],
            "check": bool(result._task.check_mode),
            "ended": time.time(),
            "result": {
                key: result._result[key]
                for key in ("image", "build", "secrets", "finished")
                if key in result._result
            },
        }
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
