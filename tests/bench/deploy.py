"""Deploys of the model site: the first one, one that changes the code, one that changes nothing, and many sites at once."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.bench import others
from tests.bench.table import Row, median
from tests.contract.wire import COLLECTION
from tests.e2e import projects
from tests.e2e.rehearsal import BIN, PROJECT, REGION, ROOT, Rehearsal

SITE = "polls"
#: On the times of the emulator's `realistic` profile, in which an instance takes four minutes.
SCALE = 0.25
_ENOUGH_RESOURCES = 60
#: How much longer each call takes where Google is far away.
FAR_SECONDS = 0.1
_BUILD = "cloudbuild.projects.builds.create"
#: What the operations of a deploy wait for: one chain after the other, the longer of the two in the middle.
_CHAINS = {
    "before": ("serviceusage.services.batchEnable",),
    "database": ("sql.instances.insert", "sql.databases.insert", "sql.users.insert", "sql.users.update"),
    "image": (
        "artifactregistry.projects.locations.repositories.create",
        _BUILD,
    ),
    "jobs": ("run.projects.locations.jobs.create", "run.projects.locations.jobs.patch"),
    "after": (
        "run.projects.locations.jobs.run",
        "run.projects.locations.services.create",
        "run.projects.locations.services.patch",
    ),
}
#: What asks about the caller and not about a resource.
_ABOUT_THE_CALLER = (
    "oauth2.token",
    "oauth2.userinfo.get",
    "cloudresourcemanager.projects.testIamPermissions",
)
_API_LIST = COLLECTION / "roles/project/defaults/main.yml"

Interval = tuple[float, float]


@dataclass(frozen=True)
class Deployed:
    """One run of the deploy playbook."""

    seconds: float
    #: Entries of the emulator's request log.
    requests: list[dict[str, Any]]
    #: Processes and threads that the run started.
    tasks: int
    output: str
    #: Method id -> when its operations began and ended.
    operations: dict[str, list[Interval]]

    @property
    def reads(self) -> Counter[tuple[str, str]]:
        """How often each address was read."""
        return Counter((one["host"], one["path"]) for one in self.requests if one["http"] == "GET")

    @property
    def tokens(self) -> int:
        """How many tokens were asked for."""
        return sum(one["method"] == "oauth2.token" for one in self.requests)

    @property
    def resources(self) -> int:
        """How many resources were looked at: each address once, and each API of the one call that asks about all."""
        asked = {
            (one["host"], one["path"]) for one in self.requests if one["method"] not in _ABOUT_THE_CALLER
        }
        return len(asked) - 1 + len(yaml.safe_load(_API_LIST.read_text("utf-8"))["project_services"])

    def took(self, method: str) -> float:
        """The seconds in which at least one operation of this kind was going on."""
        total, until = 0.0, 0.0
        for begun, ended in sorted(self.operations.get(method, [])):
            total += max(0.0, ended - max(begun, until))
            until = max(until, ended)
        return total

    @property
    def critical_path(self) -> float:
        """The longest chain of operations that wait for one another, in seconds."""
        chain = {name: sum(map(self.took, methods)) for name, methods in _CHAINS.items()}
        return chain["before"] + max(chain["database"], chain["image"]) + chain["jobs"] + chain["after"]


class Sites:
    """An emulator with sites that are deployed to it."""

    def __init__(self, folder: Path, names: list[str], **profile: str) -> None:
        folder.mkdir()
        self.rehearsal = Rehearsal(folder / "home", **profile)
        self.source = folder / "app"
        ignored = shutil.ignore_patterns("__pycache__", ".venv", "staticfiles", "db.sqlite3", ".env")
        shutil.copytree(ROOT / "app", self.source, ignore=ignored)
        self._names = names
        variables: dict[str, Any] = {"djangogcp_source_dir": str(self.source)}
        if len(names) > 1:
            variables |= {"djangogcp_max_instances": 1, "djangogcp_threads": 1}
            variables["djangogcp_database_flags"] = {"max_connections": "1000"}
        self.inventory = projects.inventory(folder / "hosts.yml", dict.fromkeys(names, variables))
        self._run([str(BIN / "python"), "tools/rehearse.py", "env"])

    def _run(self, command: list[str]) -> str:
        done = self.rehearsal._run(command, 3600)
        if done.status != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.output[-5000:]}")
        return done.output

    def deploy(self, *options: str) -> Deployed:
        """Runs the playbook; RuntimeError with its output when it fails."""
        operations = set(self._operations())
        before = max((one["number"] for one in self._log(0)), default=0)
        counted = self.rehearsal.home / "tasks"
        # In a process namespace of its own, whose numbers tell how many processes and threads there were.
        line = f'"$@" && read -r _ _ _ _ last < /proc/loadavg && echo $last > {counted}'
        inside = [
            "bwrap",
            "--dev-bind",
            "/",
            "/",
            "--unshare-pid",
            "--proc",
            "/proc",
            "bash",
            "-c",
            line,
            "bash",
        ]
        command = ["ansible-playbook", "deploy.yml", "-i", str(self.inventory), *options]
        begin = time.perf_counter()
        output = self._run(
            ["bash", "-c", f'. {self.rehearsal.home}/env && exec "$@"', "bash", *inside, *command]
        )
        seconds = time.perf_counter() - begin
        log = self._log(before)
        new: dict[str, list[Interval]] = {}
        for name, (method, interval) in self._operations().items():
            if name not in operations:
                new.setdefault(method, []).append(interval)
        return Deployed(seconds, log, int(counted.read_text("utf-8")), output, new)

    @contextmanager
    def far_away(self) -> Iterator[None]:
        """Every call takes longer, as from another continent."""
        url = f"http://127.0.0.1:{self.rehearsal.port}/_emulator/faults"
        fault = {"kind": "stall", "method": "*", "seconds": FAR_SECONDS, "count": 0}
        requests.post(url, json=fault, timeout=60).raise_for_status()
        try:
            yield
        finally:
            requests.delete(url, timeout=60).raise_for_status()

    def change_label(self) -> None:
        """Another label on one bucket, as somebody may set it by hand."""
        bucket = f"storage.googleapis.com/storage/v1/b/{PROJECT}-{SITE}-media"
        self.rehearsal.api(bucket, method="PATCH", body={"labels": {"by-hand": str(time.time_ns())}})

    def change(self) -> None:
        """Another text on the site's first page."""
        template = next(self.source.rglob("base.html"))
        template.write_text(template.read_text("utf-8") + f"<!-- {time.time_ns()} -->\n", "utf-8")

    def stop(self) -> None:
        """Ends the emulator and removes its state."""
        self._run([str(BIN / "python"), "tools/rehearse.py", "clean"])

    def _log(self, after: int) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.rehearsal.port}/_emulator/requests"
        return list(requests.get(url, {"after": after}, timeout=60).json()["requests"])

    def _operations(self) -> dict[str, tuple[str, Interval]]:
        """Name -> method id and times of each operation and build that has ended."""
        query = "SELECT name, body FROM documents WHERE kind = 'operations.spans'"
        store = f"file:{self.rehearsal.state}/store.sqlite?mode=ro"
        with closing(sqlite3.connect(store, uri=True)) as database:
            rows = [(name, json.loads(body)) for name, body in database.execute(query)]
        found = {
            name: (body["method"], (_moment(body["begun"]), _moment(body["ended"])))
            for name, body in rows
            if "ended" in body
        }
        if not found:  # nothing was deployed, and the API of builds is not enabled
            return found
        url = f"cloudbuild.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/builds"
        for build in self.rehearsal.api(url).get("builds", []):
            found[build["id"]] = (_BUILD, (_moment(build["createTime"]), _moment(build["finishTime"])))
        return found


def _moment(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


@contextmanager
def deployed(folder: Path, names: list[str], **profile: str) -> Iterator[Sites]:
    """Sites with an emulator of their own, as long as the block lasts."""
    sites = Sites(folder, names, **profile)
    try:
        yield sites
    finally:
        sites.stop()


def measure(folder: Path, *, runs: int = 3) -> list[Row]:
    """The rows of one site."""
    profile = {"REHEARSAL_PROFILE": "realistic", "REHEARSAL_SCALE": str(SCALE)}
    with deployed(folder / "one", [SITE], **profile) as site:
        first = site.deploy()
        near, far = [], []
        for _ in range(runs):
            near.append(site.deploy())
            with site.far_away():
                far.append(site.deploy())
        compared = others.measure(site.rehearsal, near[0].resources)
        with site.far_away():
            compared_far = others.measure(site.rehearsal, far[0].resources)
        site.change()
        changed = site.deploy()
        site.change()
        with site.far_away():
            changed_far = site.deploy()
        site.change_label()
        labelled = site.deploy()
    return [
        *_unchanged(near, compared),
        _far(near, far, compared_far),
        _changed(changed),
        Row(
            f"the same with {FAR_SECONDS * 1000:.0f} ms more per call",
            f"{_own_seconds(changed_far):.1f} s",
            f"{changed_far.seconds:.1f} s in all",
            "half as long again",
            _own_seconds(changed_far) <= 1.5 * _own_seconds(changed),
        ),
        Row("deploy that changes one label of one bucket", f"{labelled.seconds:.1f} s"),
        Row(
            f"first deploy, operations at {SCALE} of their real times",
            f"{first.seconds:.1f} s",
            f"{first.critical_path:.1f} s critical path of its operations",
            "1.15 of it",
            first.seconds <= 1.15 * first.critical_path,
        ),
    ]


def _unchanged(runs: list[Deployed], compared: others.Others) -> list[Row]:
    seconds = median(run.seconds for run in runs)
    one = runs[0]
    twice = sum(count - 1 for count in one.reads.values() if count > 1)
    return [
        Row(
            f"deploy that changes nothing, {one.resources} resources looked at",
            f"{seconds:.1f} s",
            compared.text,
            "6 s, a quarter",
            seconds <= 6 and seconds <= compared.least / 4 and one.resources >= _ENOUGH_RESOURCES,
        ),
        Row(
            "the same: requests, of them for tokens, reads repeated",
            f"{len(one.requests)}, {one.tokens}, {twice}",
            f"{one.tasks} processes and threads started",
            "one token, none",
            one.tokens <= 1 and twice == 0,
        ),
    ]


def _far(near: list[Deployed], far: list[Deployed], compared: others.Others) -> Row:
    ratio = median(run.seconds for run in far) / median(run.seconds for run in near)
    return Row(
        f"the same with {FAR_SECONDS * 1000:.0f} ms more per call",
        f"{median(run.seconds for run in far):.1f} s",
        compared.text,
        "half as long again",
        ratio <= 1.5,
    )


def _own_seconds(run: Deployed) -> float:
    """What is not build, jobs or start-up; RuntimeError where the run built or started nothing, which would be all its own."""
    waited = [run.took(method) for method in (_BUILD, *_CHAINS["after"])]
    if not waited[0] or not any(waited[1:]):
        raise RuntimeError(
            f"the emulator tells of no build or no start-up in this run: {sorted(run.operations)}"
        )
    return run.seconds - sum(waited)


def _changed(run: Deployed) -> Row:
    ours = _own_seconds(run)
    return Row(
        "deploy of a code change: what is not build, jobs or start-up",
        f"{ours:.1f} s",
        f"{run.seconds:.1f} s in all",
        "8 s",
        ours < 8,
    )


def many_sites(folder: Path, count: int) -> list[Row]:
    """The rows of many sites in one inventory, deployed and then deployed again without a change."""
    names = [f"site{number:03}" for number in range(count)]
    with deployed(folder / str(count), names, REHEARSAL_PROFILE="instant") as sites:
        options = ("--forks", str(min(count, 20)))
        sites.deploy(*options)
        one = median(sites.deploy("--limit", names[0]).seconds for _ in range(3))
        again = sites.deploy(*options)
        megabytes = _megabytes(sites.rehearsal)
    failed = re.findall(r"(?:failed|unreachable)=[1-9]", again.output)
    changed = re.findall(r"changed=[1-9]", again.output)
    ratio = again.seconds / one
    return [
        Row(
            f"{count} sites, nothing changed",
            f"{again.seconds:.1f} s",
            f"{one:.1f} s for one: {ratio:.1f} times; {megabytes:.0f} MiB of emulator and apps",
            "8 times" if count == 20 else "no failure",
            not failed and not changed and (count != 20 or ratio < 8),
        )
    ]


def _megabytes(rehearsal: Rehearsal) -> float:
    """The memory of the emulator and of all that it runs, each shared page counted once (PSS), in MiB."""
    emulator = int(json.loads((rehearsal.state / "emulator.lock").read_text("utf-8"))["pid"])
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = {int(pid): int(parent) for pid, parent in map(str.split, listed.splitlines())}
    total = 0
    for process in parents:
        above: int | None = process
        while above not in (None, emulator):
            above = parents.get(above)
        if above == emulator:
            total += _pss(process)
    return total / 1024


def _pss(pid: int) -> int:
    try:
        found = re.search(
            r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8"), re.MULTILINE
        )
    except OSError:  # ended meanwhile
        return 0
    return int(found[1]) if found else 0
