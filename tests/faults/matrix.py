"""``make faults``: every call of a deploy, with every fault; kills at every task; deploys at the same time.

Prints the matrix; the whole one is written to docs/faults.md, too. Takes half an hour on two cores.

Usage: matrix.py [PART ...]   (no name: all parts; a part: calls, deploys, kills, together, or the name of a kind of fault)
"""

from __future__ import annotations

import argparse
import concurrent.futures
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.faults.kinds import FATAL, RELEASE, TRANSIENT, UNKNOWN
from tests.faults.origin import Origin
from tests.faults.walk import Cell
from tests.faults.world import ROOT

SUMMARY = ROOT / "docs" / "faults.md"
PARTS = ("calls", "deploys", "kills", "together")
#: What a cell of the table says when calls of one method had several outcomes: the worst.
_SIGNS = {"wrong": "!", "failed": "f", "deployed": "+"}
#: Requests after which the emulator is killed.
_KILLED_AFTER = (10, 40, 80, 120, 160, 200)
#: After how long grants take effect, and where: everywhere, or in one service alone.
_LATE_SECONDS, _LATE = 20.0, ("*", "cloudsql", "storage", "iam", "secretmanager")
#: How long a fault lasts: what came after it must not be over before it is.
_SECONDS = {"stall": 8.0, "grant_pending": _LATE_SECONDS, "unknown_account": _LATE_SECONDS}
_SITES = 10


class Report:
    """What came of it, as it comes."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        #: Name of a scenario -> "passed", or why not.
        self.scenarios: dict[str, str] = {}

    def calls(self, title: str, work: Callable[[], list[Cell]]) -> None:
        """Adds the cells of one kind."""
        began = time.monotonic()
        try:
            cells = work()
        except AssertionError as error:
            self.scenarios[f"calls: {title}"] = f"FAILED: {error}"
        else:
            self.cells += cells
            self.scenarios[f"calls: {title}"] = "passed"
        self._say(f"calls: {title}", began)

    def scenario(self, name: str, work: Callable[[], object]) -> None:
        """Notes whether a scenario passes."""
        began = time.monotonic()
        try:
            work()
        except Exception as error:
            traceback.print_exc()
            self.scenarios[name] = f"FAILED: {str(error)[:300]}"
        else:
            self.scenarios[name] = "passed"
        self._say(name, began)

    def _say(self, name: str, began: float) -> None:
        print(f"{self.scenarios[name]:<8} {name} ({time.monotonic() - began:.0f} s)", flush=True)

    @property
    def failed(self) -> bool:
        return any(cell.outcome == "wrong" for cell in self.cells) or any(
            outcome != "passed" for outcome in self.scenarios.values()
        )

    def table(self) -> str:
        """Calls x faults x outcome, in Markdown."""
        kinds = list(dict.fromkeys(cell.kind for cell in self.cells))
        found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for cell in self.cells:
            found[cell.call, cell.kind].append(cell.outcome)
        lines = [f"| call | {' | '.join(kinds)} |", f"| --- |{' :-: |' * len(kinds)}"]
        for call in sorted({cell.call for cell in self.cells}):
            signs = [
                next((sign for outcome, sign in _SIGNS.items() if outcome in found[call, kind]), "")
                for kind in kinds
            ]
            lines.append(f"| `{call}` | {' | '.join(signs)} |")
        return "\n".join(lines) + "\n"

    def counts(self) -> str:
        """How many calls had which outcome."""
        outcomes = [cell.outcome for cell in self.cells]
        return (
            f"{len(outcomes)} disturbed calls: {outcomes.count('deployed')} times the deploy went on, "
            f"{outcomes.count('failed')} times it stopped with a message and the next run went on from there, "
            f"{outcomes.count('wrong')} times something else happened."
        )


def run(origin: Origin, parts: list[str]) -> Report:
    """All parts that are asked for."""
    report = Report()
    if "calls" in parts:
        _calls(origin, report, [*TRANSIENT, *FATAL])
    _calls(origin, report, [kind for kind in parts if kind not in PARTS])
    if "deploys" in parts:
        for kind in TRANSIENT:
            name = f"a whole deploy with {kind} at every method"
            report.scenario(name, lambda kind=kind: origin.deploys.with_fault_at_every_method([kind]))  # type: ignore[misc]
        for kind in sorted(UNKNOWN):
            name = f"a whole deploy with {kind} at the start of a job"
            report.scenario(name, lambda kind=kind: origin.deploys.with_a_job_that_nobody_knows_of(kind))  # type: ignore[misc]
        for service in _LATE:
            whose = "" if service == "*" else f" in {service}"
            name = f"a whole deploy whose grants and accounts take effect {_LATE_SECONDS:.0f} s later{whose}"
            report.scenario(
                name, lambda service=service: origin.deploys.with_late_grants(_LATE_SECONDS, service)
            )  # type: ignore[misc]
        report.scenario(
            "a whole deploy whose operations are all held up", origin.deploys.with_every_operation_held_up
        )
        report.scenario(
            "a whole deploy whose instance is never ready",
            origin.deploys.with_an_instance_that_is_never_ready,
        )
        report.scenario("a whole deploy with restarting databases", origin.deploys.with_restarting_databases)
        report.scenario("a first release that is broken", origin.deploys.failed_first_release)
        for fault in RELEASE:
            name = f"a second release with {fault['kind']} at {fault['method']}"
            report.scenario(name, lambda fault=fault: origin.deploys.failed_release(fault))  # type: ignore[misc]
    if "kills" in parts:
        report.scenario("ansible-playbook killed at every task of a first deploy", lambda: _kills(origin))
        report.scenario("the emulator killed in the middle", lambda: _emulator_kills(origin))
    if "together" in parts:
        report.scenario("two deploys of one site at once", lambda: _twins(origin))
        report.scenario(f"{_SITES} sites of one project at once", lambda: _sites(origin))
    return report


def _calls(origin: Origin, report: Report, kinds: list[str]) -> None:
    for kind in kinds:
        fields = {"seconds": _SECONDS[kind]} if kind in _SECONDS else {}

        def work(kind: str = kind, fields: dict[str, float] = fields) -> list[Cell]:
            if kind in TRANSIENT:
                cells, have = origin.walk.at_every_method(kind, origin.methods, **fields)
            else:
                cells, have = origin.walk.through(kind, **fields)
            for cell in cells:
                if cell.outcome == "wrong":
                    print(f"wrong    {kind} at {cell.call} ({cell.module}): {cell.message}")
            different = {
                key: (origin.want.get(key), have.get(key))
                for key in origin.want.keys() | have.keys()
                if origin.want.get(key) != have.get(key)
                and not key.removesuffix("/versions").endswith(origin.walk.changed)
            }
            assert not different, f"not as after an undisturbed deploy: {different}"
            return cells

        report.calls(kind, work)


def _kills(origin: Origin) -> None:
    project = origin.world.project()
    task = 1
    while origin.deploys.killed_at(project, task):
        task += 1
    origin.deploys.converges(project)


def _emulator_kills(origin: Origin) -> None:
    for calls in _KILLED_AFTER:
        project = origin.world.project()
        origin.deploys.with_emulator_killed(project, calls)
        origin.deploys.converges(project)


def _twins(origin: Origin) -> None:
    project = origin.world.project()
    ended = origin.deploys.at_once(project, 2)
    assert 0 in [status for status, _ in ended], ended
    origin.deploys.converges(project)


def _sites(origin: Origin) -> None:
    world = origin.world
    project = world.project()
    names = [f"site-{number}" for number in range(_SITES)]
    # As many connections as the smallest instance takes.
    world.inventory(project, {name: {"djangogcp_threads": 2} for name in names})
    status, output = world.deploy(project, "--forks", str(_SITES))
    assert status == 0, output[-3000:]
    have = world.snapshot(project)
    for name in names:
        assert world.served(project, name) == "first"
        for key in origin.want:
            own = re.sub(r"\bsite(?=[-/]|$)", name, key)
            assert own in have or "site" not in key or "artifactregistry" in key or "sql " in key, own
    members = {
        member.partition("@")[0].removeprefix("serviceAccount:")
        for binding in have["iam.policies projects/PROJECT"]
        if binding["role"] == "roles/logging.logWriter"
        for member in binding["members"]
    }
    assert members >= {f"{name}-{kind}" for name in names for kind in ("web", "migrator", "build")}, members


def _in_a_world_of_its_own(parts: list[str]) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    origin = Origin(folder)
    try:
        return run(origin, parts)
    finally:
        origin.world.stop()
        shutil.rmtree(folder)


def main() -> int:
    """Runs the parts, prints and writes the report; returns the exit status."""
    parser = argparse.ArgumentParser(prog="matrix.py", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART")
    asked = parser.parse_args().parts
    unknown = [part for part in asked if part not in (*PARTS, *TRANSIENT, *FATAL)]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    parts = asked or PARTS
    halves = [[part for part in parts if (part in PARTS[1:]) == whole] for whole in (False, True)]
    report = Report()
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for half in pool.map(_in_a_world_of_its_own, filter(None, halves)):
            report.cells += half.cells
            report.scenarios |= half.scenarios
    scenarios = "\n".join(f"* {name}: {outcome}" for name, outcome in report.scenarios.items())
    text = f"{report.table()}\n{report.counts()}\n\n{scenarios}\n"
    print(f"\n{text}")
    if not asked:
        SUMMARY.write_text(_HEAD + text, "utf-8")
        print(f"written to {SUMMARY.relative_to(ROOT)}")
    return 1 if report.failed else 0


_HEAD = """# What a deploy survives

Written by `make faults`. Each call of a deploy was disturbed by each fault (`emulator/README.md` tells what they are). The project that
was deployed logs in to its database in `migrate` and on its page, uploads in `collectstatic`, and reads that and signs on its page:

* `+` the deploy went on as if nothing had been;
* `f` it stopped with one message that says what failed and what to do, and the next run, without the fault, went on from there;
* empty: the fault cannot happen at this call, or the call is not made any more when the fault's turn comes.

After every column the project was compared with one that was never disturbed: nothing missing, nothing twice, nothing left over.

"""

if __name__ == "__main__":
    sys.exit(main())
