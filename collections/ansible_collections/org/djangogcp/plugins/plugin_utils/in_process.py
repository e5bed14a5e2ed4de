# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Runs this collection's modules in the process that Ansible forks for a task, instead of in one more Python.

Most of the time of a task that changes nothing goes into packing a module, starting Python, and importing requests and
the rest. A site runs with ``ansible_connection: local`` and Ansible's own interpreter, so the process that would start
that Python can do the work itself. Every module of the collection has a link to this file in ``plugins/action``.

The module is the same, with the same argument specification, check mode and hiding of secrets, and gives the same result.
Where it would see another machine, user or interpreter, it is run as Ansible runs any module.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import typing as t

from ansible import release
from ansible.module_utils import basic
from ansible.plugins.action.normal import ActionModule as NormalActionModule
from ansible.template import Templar
from ansible_collections.org.djangogcp.plugins.module_utils._client import HAS_REQUESTS, tls_context
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError

try:
    from ansible.module_utils.common.json import Direction, get_module_encoder
    from ansible.template import trust_as_template
except ImportError:  # ansible-core 2.18
    from ansible.parsing.ajson import AnsibleJSONEncoder

    _PROFILE: tuple[str, ...] = ()

    def _to_json(arguments: dict[str, t.Any]) -> str:
        return json.dumps(arguments, cls=AnsibleJSONEncoder, vault_to_text=True)

    def trust_as_template(text: str) -> str:
        """There, every text is."""
        return text

else:
    _PROFILE = ("legacy",)

    def _to_json(arguments: dict[str, t.Any]) -> str:
        return json.dumps(arguments, cls=get_module_encoder(*_PROFILE, Direction.CONTROLLER_TO_MODULE))


_VERSION = tuple(map(int, release.__version__.split(".")[:2]))
# What follows happens once, in the main process when it looks for the action plugin, for every task that it forks then.
# The module that the link is the action of; there is none for this file itself.
_MODULE: t.Any = (
    None
    if __name__.endswith(".plugin_utils.in_process")
    else importlib.import_module(
        f"ansible_collections.org.djangogcp.plugins.modules.{__name__.rpartition('.')[2]}"
    )
)
if HAS_REQUESTS:
    with contextlib.suppress(DjangoGcpError):
        tls_context()
# Loads Ansible's filters and tests, which otherwise the first template of each task does.
Templar(loader=None, variables={}).template(trust_as_template("{{ [] | default([]) is mapping }}"))


class ActionModule(NormalActionModule):
    """Ansible's normal action, with another way to execute the module where that gives the same."""

    def _execute_module(
        self,
        *args: t.Any,
        task_vars: dict[str, t.Any] | None = None,
        wrap_async: bool = False,
        **options: t.Any,
    ) -> dict[str, t.Any]:
        variables = task_vars or {}
        if args or options or wrap_async or not self._is_at_home(variables):
            return super()._execute_module(*args, task_vars=task_vars, wrap_async=wrap_async, **options)
        name = self._task.resolved_action or self._task.action
        arguments = dict(self._task.args)
        self._update_module_args(name, arguments, variables)
        environment: dict[str, str] = {}
        self._compute_environment_string(environment)
        # This process is the task's own and ends with it.
        os.environ.update({key: str(value) for key, value in environment.items()})
        result = self._parse_returned_data({"stdout": _output(_MODULE.main, arguments)}, *_PROFILE)
        # From ansible-core 2.21 on, it is not yet a dictionary.
        return result if isinstance(result, dict) else result.as_result_dict(for_round_trip=True)

    def _is_at_home(self, variables: dict[str, t.Any]) -> bool:
        """Whether the module would see the machine, the user and the interpreter of this process."""
        interpreter = self._templar.template(variables.get("ansible_python_interpreter", ""))
        return (
            # What this relies on is Ansible's own business, and may be another in a version that was not tried.
            _VERSION < (2, 22)
            # Apple's libraries may crash a forked process that asks for proxies (urllib's _scproxy).
            and sys.platform != "darwin"
            and self._connection.transport == "local"
            and self._connection.become is None
            and not self._task.delegate_to
            and interpreter == sys.executable
        )


def _output(main: t.Callable[[], None], arguments: dict[str, t.Any]) -> str:
    """What a module's main() prints: its result as JSON.

    How a module gets its arguments: ``ansible.module_utils.basic._load_params``; `ansible.netcommon` does the same.
    """
    output = io.StringIO()
    basic._ANSIBLE_ARGS = _to_json({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    if _PROFILE:
        (basic._ANSIBLE_PROFILE,) = _PROFILE
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main()
    return output.getvalue()
