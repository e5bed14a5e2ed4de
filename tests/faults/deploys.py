"""Whole deploys that something happens to: faults at every method, kills, and other deploys at the same time."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import threading
from collections.abc import Iterable
from typing import Any

from gcp_emulator.engine.faults import KINDS, matches_any

from tests.faults.kinds import NEVER_REPEATED, UNKNOWN
from tests.faults.world import INSTANCE, OPERATOR, World, message_of, until

#: SIGKILL, as a process group leader sees its own end.
_KILLED = -9
_PER_RELEASE = ("artifactregistry.tags", "artifactregistry.versions", "storage.objects")


class Deploys:
    """Deploys of one world, compared with one that nothing happened to."""

    def __init__(self, world: World, want: dict[str, Any], methods: Iterable[str]) -> None:
        """``want`` is the snapshot of an undisturbed deploy, ``methods`` what it called."""
        self._world = world
        self._want = want
        self._methods = list(methods)

    def with_fault_at_every_method(self, kinds: Iterable[str]) -> list[str]:
        """One deploy, and at the first call of every method one fault, the kinds in turn. Returns what struck.

        The deploy succeeds, and what is there is what an undisturbed one leaves.
        """
        world, project = self._world, self._world.project()
        self._plan_at_every_method(list(kinds))
        status, output = world.deploy(project)
        plan = world.clear_faults()
        assert status == 0, message_of(output)
        self.is_converged(project)
        return [f"{fault['kind']} at {fault['method']}" for fault in plan if fault["struck"]]

    def with_a_job_that_nobody_knows_of(self, kind: str) -> None:
        """A deploy stops where nobody knows whether a job was started, and starts none; the next one ends as an undisturbed one."""
        world, project = self._world, self._world.project()
        world.add_faults({"method": NEVER_REPEATED, "kind": kind, "caller": f"user:{OPERATOR}"})
        before = world.last_number()
        status, output = world.deploy(project)
        world.clear_faults()
        assert status != 0
        assert "It is not known whether the job runs" in output, message_of(output)
        assert [call["method"] for call in world.calls(before)].count(NEVER_REPEATED) == 1
        self.converges(project)

    def with_late_grants(self, seconds: float, service: str = "*") -> None:
        """One deploy all of whose grants and accounts take effect so many seconds later: each command runs once, and it succeeds."""
        world, project = self._world, self._world.project()
        late = {"count": 0, "seconds": seconds, "service": service}
        world.add_faults(
            {"method": "*.setIamPolicy", "kind": "grant_pending", **late},
            {"method": "iam.projects.serviceAccounts.create", "kind": "unknown_account", **late},
        )
        status, output = world.deploy(project)
        plan = world.clear_faults()
        assert status == 0, message_of(output)
        assert all(fault["struck"] for fault in plan), plan
        self.is_converged(project)
        assert world.failed_commands(project) == []

    def with_every_operation_held_up(self) -> None:
        """One deploy each of whose operations does not go on for a while: it waits, and ends as an undisturbed one."""
        world, project = self._world, self._world.project()
        self._plan_at_every_method(["operation_hangs"])
        run = world.begin(project)
        while run.process.poll() is None:
            held_up = [fault["id"] for fault in world.faults() if fault["struck"]]
            # Long enough for whoever waits to have asked more than once.
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.process.wait(2)
            for fault in held_up:
                world.remove_fault(fault)
        status, output = run.result()
        left = world.clear_faults()
        assert status == 0, message_of(output)
        assert [fault["method"] for fault in left if fault["struck"]] == []
        self.is_converged(project)

    def with_an_instance_that_is_never_ready(self) -> None:
        """A deploy that gives an instance up says so; when it is ready after all, the next one goes on with it."""
        world, project = self._world, self._world.project()
        world.add_faults({"method": "sql.instances.insert", "kind": "operation_hangs"})
        status, output = world.deploy(project, "-e", "database_ready_timeout_seconds=3")
        world.clear_faults()
        assert status != 0
        assert f"Failed to wait for SQL instance {INSTANCE}: not ready after 3 seconds." in output, output[
            -3000:
        ]
        self.converges(project)

    def with_restarting_databases(self) -> None:
        """One deploy, and the database servers restart again and again: it goes on or tells what failed; the next converges."""
        world, project = self._world, self._world.project()
        names = [name for name in self._methods if name.startswith(("sql.", "run."))]
        world.add_faults(*({"method": name, "kind": "database_restart"} for name in names))
        status, output = world.deploy(project)
        world.clear_faults()
        assert status == 0 or "Failed to" in output, message_of(output)
        self.converges(project)

    def _plan_at_every_method(self, kinds: list[str]) -> None:
        """One fault at the first call of every method at which it can happen, the kinds in turn."""
        self._world.add_faults(
            *(
                {"method": method, "kind": kind, "caller": f"user:{OPERATOR}"}
                for method, kind in zip(self._methods, itertools.cycle(kinds), strict=False)
                if matches_any(method, KINDS[kind].methods)
                and not (method == NEVER_REPEATED and kind in UNKNOWN)
            )
        )

    def is_converged(self, project: str, release: str = "first") -> None:
        """The site serves the release, and nothing is missing, twice there, or left over."""
        assert self._world.served(project) == release
        have = self._world.snapshot(project)
        # Images and sources of other releases stay.
        names = [
            name for name in sorted(self._want.keys() | have.keys()) if not name.startswith(_PER_RELEASE)
        ]
        assert {name: have.get(name) for name in names} == {name: self._want.get(name) for name in names}

    def converges(self, project: str, release: str = "first") -> None:
        """One more deploy, undisturbed, ends where every deploy has to end."""
        status, output = self._world.deploy(project)
        assert status == 0, message_of(output)
        self.is_converged(project, release)

    def killed_at(self, project: str, task: int | str) -> bool:
        """A deploy whose processes are killed before a task, by number or name; False when it does not come to it."""
        status, output = self._world.deploy(project, FAULTS_KILL_AT=str(task))
        assert status in (0, _KILLED), message_of(output)
        return status == _KILLED

    def with_emulator_killed(self, project: str, calls: int) -> tuple[int, str]:
        """A deploy during which the emulator is killed after so many calls, and started again."""
        world, before = self._world, self._world.last_number()
        run = world.begin(project)
        until(lambda: len(world.calls(before)) >= calls or run.process.poll() is not None, 300)
        world.kill()
        world.start()
        return run.result()

    def failed_release(self, fault: dict[str, Any]) -> None:
        """A second release that a fault stops: the first serves all the time, and the next deploy brings the second."""
        world, project = self._world, self._world.project()
        self.converges(project)
        world.release("second")
        try:
            world.add_faults(fault)
            with Watch(world, project) as watch:
                status, output = world.deploy(project)
            world.clear_faults()
            assert status != 0, f"the deploy did not mind {fault}"
            assert "Failed to" in output, message_of(output)
            # Looked up, and not taken for granted.
            built = not fault["method"].startswith("cloudbuild.")
            assert ("has all the traffic and answers 200 at /." in output) == built, message_of(output)
            assert watch.answers == ["first"]
            self.converges(project, "second")
        finally:
            world.clear_faults()
            world.release("first")

    def failed_first_release(self) -> None:
        """A first release that is broken: no run gives it traffic, killed before the try-out or not; the fixed one is served."""
        world, project = self._world, self._world.project()
        world.release("broken")
        try:
            with Watch(world, project) as watch:
                assert self.killed_at(project, "try_out | Ask the new revision")
                for _ in range(2):
                    status, output = world.deploy(project, "-e", "release_smoke_timeout_seconds=1")
                    assert status != 0, "a release that is broken is green"
                    assert "Failed to try" in output, message_of(output)
                    assert "/ answered 500" in output, message_of(output)
                    assert "Nothing of site was released yet" in output, message_of(output)
            # Not there yet, and then the placeholder.
            assert watch.answers == ["404", "503"]
        finally:
            world.release("first")
        self.converges(project)
        status, output = world.deploy(project)
        assert (status, "changed=0" in output) == (0, True), message_of(output)

    def at_once(self, project: str, count: int) -> list[tuple[int, str]]:
        """So many deploys of the project's inventory at the same time, in processes of their own."""
        runs = [self._world.begin(project) for _ in range(count)]
        return [run.result() for run in runs]


class Watch:
    """Asks a site again and again, to see that it serves all the time."""

    def __init__(self, world: World, project: str) -> None:
        self._world, self._project = world, project
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        #: What the site answered, in order, without repetitions.
        self.answers: list[str] = []

    def _ask(self) -> None:
        while not self._ended.wait(0.2):
            answer = self._world.served(self._project)
            if self.answers[-1:] != [answer]:
                self.answers.append(answer)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)
