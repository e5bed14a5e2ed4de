# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Runs this collection's modules in the process that Ansible forks for a task, instead of in one more Python.

Most of the time of a task that changes nothing goes into packing a module, starting Python, and importing requests and
the rest. A site runs with ``ansible_connection: local`` and Ansible's own interpreter, so the process that would start
that Python can do the work itself. Every module of the collection has a link to ``in_process.py`` in ``plugins/action``.

The module is the same, with the same argument specification, check mode and hiding of secrets, and gives the same result.
Where it would see another machine, user or interpreter, it is run as Ansible runs any module, and a line at -vv says why. The
variable ``ansible_djangogcp_in_process`` set to false does that for all tasks that see it.

All items of a loop run in one process, so whatever a module changes in it is undone after each (`_process`).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import typing as t

from ansible import context, release
from ansible.module_utils import basic
from ansible.module_utils.common import warnings
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action.normal import ActionModule as NormalActionModule
from ansible.template import Templar
from ansible.utils.display import Display
from ansible_collections.org.djangogcp.plugins.module_utils import _ahead, _locks, _progress
from ansible_collections.org.djangogcp.plugins.module_utils._client import HAS_REQUESTS, tls_context
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError

try:
    from ansible.module_utils import _internal as internal
    from ansible.module_utils.common.json import Direction, get_module_encoder
    from ansible.template import trust_as_template
except ImportError:  # ansible-core 2.18
    from ansible.parsing.ajson import AnsibleJSONEncoder

    internal = None
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
_SWITCH = "ansible_djangogcp_in_process"
display = Display()
#: The tasks for which this process has said why it runs them as Ansible runs any module.
_told: set[str] = set()
# What follows happens once, in the main process when it looks for the first action plugin, for every task that it forks then.
if HAS_REQUESTS:
    with contextlib.suppress(DjangoGcpError):
        tls_context()


def _leave(run: int) -> None:
    """Give back what an interrupted run holds. The processes of its tasks are ended before, and not by an exception.

    Whoever is in a hurry and interrupts once more would leave it held: this has a limit of time of its own.
    """
    if os.getpid() == run:
        for number in _INTERRUPTIONS:
            signal.signal(number, signal.SIG_IGN)
    _locks.leave(run, display.display)


def _interrupt_at(run: int) -> t.Callable[[int, t.Any], None]:
    """What the signals do that end a run: end its tasks, and raise what Ctrl-C raises.

    A program ended by SIGTERM, as AWX cancels a job, runs nothing of its `atexit`. After the first SIGINT Ansible lets a second one end
    the program like that, too (`TaskQueueManager._signal_handler`), and one who waits presses twice. Python drops an exception that
    is raised while it destroys an object: the second one is heard then.

    Args:
        run: the process number of the run. What is forked of it ends as ever.
    """

    def interrupt(number: int, frame: t.Any) -> None:
        if os.getpid() != run:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        for task in multiprocessing.active_children():
            task.terminate()
        raise KeyboardInterrupt

    return interrupt


_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)
# In a program of Ansible's, and not where its plugins are read for something else.
if context.CLIARGS.get("args") and threading.current_thread() is threading.main_thread():
    for _number in _INTERRUPTIONS:
        # Who starts a run in the background of a shell has it ignore Ctrl-C.
        if signal.getsignal(_number) is not signal.SIG_IGN:
            signal.signal(_number, _interrupt_at(os.getpid()))
    atexit.register(_leave, os.getpid())
# Loads Ansible's filters and tests, which otherwise the first template of each task does.
Templar(loader=None, variables={}).template(trust_as_template("{{ [] | default([]) is mapping }}"))


def module_of(plugin: str) -> t.Any:
    """The module that an action plugin runs, by the full name of the plugin. Imported once, too, for every task that is forked then.

    None for the file that the links lead to, which is called like no module.
    """
    name = plugin.rpartition(".")[2]
    if name == "in_process":
        return None
    module = importlib.import_module(f"ansible_collections.org.djangogcp.plugins.modules.{name}")
    # What there is by now is never freed, and looking whether it can be took each of the forked processes a tenth of its time.
    gc.freeze()
    return module


class InProcess(NormalActionModule):
    """Ansible's normal action, with another way to execute the module where that gives the same.

    Attributes:
        module: the imported module, of which `main` is called.
    """

    module: t.ClassVar[t.Any]

    def _execute_module(
        self,
        *args: t.Any,
        task_vars: dict[str, t.Any] | None = None,
        wrap_async: bool = False,
        **options: t.Any,
    ) -> dict[str, t.Any]:
        variables = task_vars or {}
        if args or options:
            reason = "Ansible asks for something else than the task's module"
        else:
            reason = "it goes on in the background (async)" if wrap_async else self._reason(variables)
        if reason:
            self._tell(reason)
            return super()._execute_module(*args, task_vars=task_vars, wrap_async=wrap_async, **options)
        name = self._task.resolved_action or self._task.action
        arguments = dict(self._task.args)
        self._update_module_args(name, arguments, variables)
        environment: dict[str, str] = {}
        self._compute_environment_string(environment)
        # Where the module's own process would begin: ActionBase._low_level_execute_command.
        host = variables.get("inventory_hostname", self._play_context.remote_addr)
        with _process(
            environment, self._loader.get_basedir(), lambda text: display.display(f"[{host}] {text}")
        ):
            printed = _output(self.module.main, arguments)
        result = self._parse_returned_data(printed, *_PROFILE)
        # From ansible-core 2.21 on, it is not yet a dictionary.
        return result if isinstance(result, dict) else result.as_result_dict(for_round_trip=True)

    def _reason(self, variables: dict[str, t.Any]) -> str:
        """Why the module would not see the machine, the user and the interpreter of this process, or may not; "" if it would."""
        interpreter = self._templar.template(variables.get("ansible_python_interpreter", ""))
        reasons = {
            f"{_SWITCH} is false": not boolean(
                self._templar.template(variables.get(_SWITCH, True)), strict=False
            ),
            # What this relies on is Ansible's own business, and may be another in a version that was not tried.
            f"ansible-core {release.__version__} is newer than 2.21": _VERSION >= (2, 22),
            # Apple's libraries may crash a forked process that asks for proxies (urllib's _scproxy).
            "macOS may end a forked process": sys.platform == "darwin",
            f"the connection is {self._connection.transport}, not local": self._connection.transport
            != "local",
            "it becomes another user": self._connection.become is not None,
            "it is delegated": bool(self._task.delegate_to),
            f"ansible_python_interpreter is {interpreter or 'not set'}, not {sys.executable}": interpreter
            != sys.executable,
        }
        return next((reason for reason, is_so in reasons.items() if is_so), "")

    def _tell(self, reason: str) -> None:
        """Say once for a task why it takes longer than it could."""
        if self._task._uuid not in _told:
            _told.add(self._task._uuid)
            name = self._task.resolved_action or self._task.action
            display.vv(f"{name} starts a Python of its own: {reason}.", host=self._play_context.remote_addr)


@contextlib.contextmanager
def _process(
    environment: t.Mapping[str, t.Any], folder: str, tell: t.Callable[[str], None]
) -> t.Iterator[None]:
    """What a module finds in its process, and may change: as in a process of its own, and afterwards as it was.

    Args:
        environment: the variables of the task.
        folder: the working directory.
        tell: shows a line to whoever watches.
    """
    values: list[tuple[t.Any, str, t.Any]] = [
        # Lists in ansible-core 2.18, dictionaries from 2.19 on.
        (warnings, "_global_warnings", type(warnings._global_warnings)()),
        (warnings, "_global_deprecations", type(warnings._global_deprecations)()),
        (basic, "_ANSIBLE_ARGS", None),
        # Ansible forks for each task: what they have in common is the process that does.
        (_ahead, "run", str(os.getppid())),
        (_progress, "tell", tell),
        # It follows from TMPDIR, and is found out once.
        (tempfile, "tempdir", None),
    ]
    if internal is not None:
        # A module hands its warnings over in its result. Where this is true, they are displayed instead.
        values.append((internal, "is_controller", False))
        values += [(basic, "_ANSIBLE_PROFILE", None), (basic, "_PARSED_MODULE_ARGS", None)]
    with contextlib.ExitStack() as kept:
        kept.enter_context(_environment({name: str(value) for name, value in environment.items()}))
        kept.enter_context(_folder(folder))
        kept.enter_context(_imports())
        for value in values:
            kept.enter_context(_attribute(*value))
        yield


@contextlib.contextmanager
def _environment(variables: t.Mapping[str, str]) -> t.Iterator[None]:
    before = dict(os.environ)
    try:
        os.environ.update(variables)
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _folder(path: str) -> t.Iterator[None]:
    # Not by its name: it may have been removed, or be one that this user cannot list.
    before = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
    try:
        os.chdir(path)
        yield
    finally:
        os.fchdir(before)
        os.close(before)


@contextlib.contextmanager
def _imports() -> t.Iterator[None]:
    """google-auth keeps some of the environment from when it is imported, for instance where the metadata server is."""
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if name.startswith(("google.auth", "google.oauth2")):
                del sys.modules[name]


@contextlib.contextmanager
def _attribute(owner: t.Any, name: str, value: t.Any) -> t.Iterator[None]:
    before = getattr(owner, name)
    try:
        setattr(owner, name, value)
        yield
    finally:
        setattr(owner, name, before)


def _output(main: t.Callable[[], None], arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """What a module's main() prints: its result as JSON, in the shape of what a process is answered with.

    How a module gets its arguments: ``ansible.module_utils.basic._load_params``; `ansible.netcommon` does the same.
    """
    output, errors = io.StringIO(), io.StringIO()
    basic._ANSIBLE_ARGS = _to_json({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    if _PROFILE:
        (basic._ANSIBLE_PROFILE,) = _PROFILE
    with (
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        contextlib.suppress(SystemExit),
    ):
        main()
    return {"stdout": output.getvalue(), "stderr": errors.getvalue()}
