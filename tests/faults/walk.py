"""Every call of a deploy, one after the other, with one fault at it.

The modules of a recorded deploy run in the order of the deploy, in this process. Each one runs again and again: first with the
fault at what it writes, then at its first call, at its second, until a run is over before the fault strikes, so that every failure is followed by
a run that has to go on from it. At the end the project has to look like one that never saw a fault.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import io
import json
import os
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from ansible.module_utils.testing import patch_module_args
from gcp_emulator.engine.faults import KINDS, matches_any

from tests.faults.world import INSTANCE, NEXT_INSTANCE, OPERATOR, World

MODULES = "ansible_collections.org.djangogcp.plugins.modules"
#: What a message has to have: what was done, and what to do now.
_MESSAGE = re.compile(
    r"^Failed to .+\b(run (it )?again|Run again|[Gg]rant(ed)?|Check|Log in|Wait|[Cc]hoose|Enable|Fix|Add|Make|Delete)\b",
    re.DOTALL,
)
#: The secrets that hold the address of the database.
ADDRESSES = ("web-database-url", "migrator-database-url")
#: More attempts than any module has calls.
_MOST = 120
#: How often what comes late may fail.
_LATEST = 8
#: Seconds that a module waits for operations which hang.
_PATIENCE = 2


@dataclass(frozen=True)
class Recorded:
    """One run of a module in a deploy."""

    module: str
    task: str
    options: dict[str, Any]
    check: bool
    #: The methods by which it changed something.
    writes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Cell:
    """What a fault at one call led to. ``outcome``: deployed, failed (rightly), or wrong."""

    kind: str
    module: str
    call: str
    outcome: str
    message: str = ""


def recorded(path: Path, calls: list[dict[str, Any]]) -> tuple[list[Recorded], str]:
    """The runs that the callback wrote down, with which of the deploy's calls they made, and the id of the build among them."""
    runs, build, began = [], "", ""
    for line in path.read_text("utf-8").splitlines():
        entry = json.loads(line)
        ended = datetime.datetime.fromtimestamp(entry["ended"], datetime.UTC).isoformat()
        writes = [call["method"] for call in calls if began <= call["time"] < ended and call["http"] != "GET"]
        began = ended
        runs.append(
            Recorded(
                entry["module"],
                entry["task"],
                _given(entry["options"]),
                entry["check"],
                tuple(dict.fromkeys(writes)),
            )
        )
        build = build or (entry["result"].get("build") or {}).get("id", "")
    return _without_repetitions(runs), build


def _given(value: Any) -> Any:
    """Options without those that were not given, which Ansible shows as None."""
    if isinstance(value, list):
        return [_given(item) for item in value]
    if isinstance(value, dict):
        return {name: _given(item) for name, item in value.items() if item is not None}
    return value


def _without_repetitions(runs: Iterable[Recorded]) -> list[Recorded]:
    """What Ansible repeated until it was ready, once."""
    kept: list[Recorded] = []
    for run in runs:
        if not kept or run != kept[-1]:
            kept.append(run)
    return kept


class Walk:
    """The modules of a recorded deploy in another project of the same emulator."""

    def __init__(self, world: World, runs: list[Recorded], build: str, origin: str) -> None:
        """``origin`` is the project of the record."""
        self._world = world
        self._runs = runs
        self._build = build
        self._origin = origin
        #: What the names of secrets end with that have another version in the end, because the instance got another name in the middle.
        self.changed: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._runs)

    def through(
        self, kind: str, only: Container[int] | None = None, **fields: Any
    ) -> tuple[list[Cell], dict[str, Any]]:
        """The cells of one kind of fault, and the project as it is at the end. ``only``: which runs are disturbed, by number."""
        project = self._world.project()
        cells: list[Cell] = []
        self._replaced = {self._origin: project, **self._numbers(project)}
        self._versions: dict[str, str] = {}
        self.changed = ()
        # What this project's lock was when it was taken last.
        self._lock = ""
        # The revision of this project that was tried out last.
        self._candidate = ""
        for number, run in enumerate(self._runs):
            if only is None or number in only:
                cells += self._each_call(run, project, kind, fields)
            else:
                # What a fault at an earlier run comes to may be seen here: a grant that is not in force.
                cells += self._late(run, project, kind, self._run(run, project))
        return cells, self._world.snapshot(project)

    def at_every_method(
        self, kind: str, methods: Iterable[str], **fields: Any
    ) -> tuple[list[Cell], dict[str, Any]]:
        """As :meth:`through`, for what a run survives: each module runs once, with the fault once at every method it calls."""
        project = self._world.project()
        cells: list[Cell] = []
        self._replaced = {self._origin: project, **self._numbers(project)}
        self._versions, self._candidate, self._lock = {}, "", ""
        fault = {"caller": f"user:{OPERATOR}", "kind": kind, **fields}
        plan = [{**fault, "method": name} for name in methods if matches_any(name, KINDS[kind].methods)]
        for run in self._runs:
            self._world.add_faults(*plan)
            result = self._run(run, project)
            struck = [entry for entry in self._world.clear_faults() if entry["struck"]]
            cells += [_cell(kind, run.module, entry["method"], result) for entry in struck]
            self._finish(run, project, self._run(run, project), kind)
        return cells, self._world.snapshot(project)

    def _numbers(self, project: str) -> dict[str, str]:
        number = {
            name: self._world.document("projects", name)["projectNumber"] for name in (self._origin, project)
        }
        return {number[self._origin]: number[project]}

    def _each_call(self, run: Recorded, project: str, kind: str, fields: dict[str, Any]) -> Iterator[Cell]:
        fault = {"caller": f"user:{OPERATOR}", "kind": kind, **fields}
        hurried = kind == "operation_hangs"
        # What is written first, because little is left to be written when the turn of those calls comes.
        for method in run.writes:
            if matches_any(method, KINDS[kind].methods):
                self._world.add_faults({**fault, "method": method})
                result = self._run(run, project, hurried=hurried)
                (plan,) = self._world.clear_faults()
                if plan["struck"]:
                    yield _cell(kind, run.module, method, result)
        for position in range(_MOST):
            fault |= {"method": "*", "skip": position}
            self._world.add_faults(fault)
            before = self._world.last_number()
            result = self._run(run, project, hurried=hurried)
            (plan,) = self._world.clear_faults()
            if self._cure(project, result, run):
                result = self._run(run, project)
            if not plan["struck"]:
                yield from self._late(run, project, kind, result)
                return
            struck = [call for call in self._world.calls(before) if self._may_strike(plan, call)]
            name = struck[position]["method"] if position < len(struck) else "?"
            yield _cell(kind, run.module, name, result)
        raise AssertionError(f"{run.task} is never over with {kind}")

    def _late(self, run: Recorded, project: str, kind: str, result: dict[str, Any]) -> Iterator[Cell]:
        """What a fault at an earlier call comes to only now: a build that was started, a grant that is not in force."""
        for _ in range(_LATEST):
            if not result.get("failed"):
                break
            yield _cell(kind, run.module, "(an earlier one)", result)
            if "build_id" in run.options:
                started = next(one for one in self._runs if one.module == "cloudbuild_build")
                self._finish(started, project, self._run(started, project), kind)
            result = self._run(run, project)
        self._finish(run, project, result, kind)

    def _cure(self, project: str, result: dict[str, Any], until: Recorded) -> bool:
        """An instance that could not be made is deleted, and another name taken, as the message says: what was done with the old one by then is
        done again. False for other results."""
        if "choose another name for it" not in str(result.get("msg")):
            return False
        self._replaced[INSTANCE] = NEXT_INSTANCE
        self.changed = ADDRESSES
        self._world.api(f"sqladmin.googleapis.com/v1/projects/{project}/instances/{INSTANCE}", "DELETE")
        for run in self._runs[: self._runs.index(until)]:
            if INSTANCE in json.dumps(run.options):
                self._finish(run, project, self._run(run, project), "a new name")
        return True

    @staticmethod
    def _may_strike(plan: dict[str, Any], call: dict[str, Any]) -> bool:
        return matches_any(call["method"], KINDS[plan["kind"]].methods)

    def _finish(self, run: Recorded, project: str, result: dict[str, Any], kind: str) -> None:
        """Without a fault the module has to succeed."""
        assert not result.get("failed"), f"{run.task} after {kind}: {result}"
        if run.module == "cloudbuild_build":
            self._replaced[self._build] = self._world.newest_build(project)
        if run.module == "secretmanager_secrets":
            self._versions = {one["name"]: one["version"] for one in result["secrets"]}
        if result.get("candidate"):
            self._candidate = result["candidate"]["revision"]

    def _run(self, run: Recorded, project: str, *, hurried: bool = False) -> dict[str, Any]:
        """What the module answers. ``hurried``: it does not wait long for operations."""
        text = json.dumps(run.options)
        for old, new in self._replaced.items():
            text = text.replace(old, new)
        options = self._with_versions(json.loads(text))
        if "latest_revision" in options:
            options["latest_revision"] = self._candidate
        if "generation" in options:
            options["generation"] = self._lock
        elif run.module == "storage_lock":
            # Here a run that holds it goes on, and takes it again.
            self._world.unlock(options["bucket"])
        if hurried and "wait_timeout" in options:
            options["wait_timeout"] = _PATIENCE
        arguments = {**options, "_ansible_check_mode": run.check, "_ansible_verbosity": 0}
        printed = io.StringIO()
        main = importlib.import_module(f"{MODULES}.{run.module}").main
        with (
            mock.patch.dict(os.environ, self._world.variables(project)),
            patch_module_args(arguments),
            contextlib.redirect_stdout(printed),
            contextlib.suppress(SystemExit),
        ):
            main()
        answer: dict[str, Any] = json.loads(printed.getvalue())
        if run.module == "storage_lock":
            self._lock = answer.get("generation") or self._lock
        return answer

    def _with_versions(self, value: Any) -> Any:
        """Options with the numbers of the secret versions that this project has."""
        if isinstance(value, list):
            return [self._with_versions(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("secret") in self._versions and "version" in value:
            return {**value, "version": self._versions[value["secret"]]}
        return {name: self._with_versions(item) for name, item in value.items()}


def _cell(kind: str, module: str, call: str, result: dict[str, Any]) -> Cell:
    if not result.get("failed"):
        return Cell(kind, module, call, "deployed")
    message = str(result["msg"])
    right = "exception" not in result and all(_MESSAGE.match(line) for line in message.splitlines()[:1])
    return Cell(kind, module, call, "failed" if right else "wrong", message)
