"""``make test``: every layer of tests, each with its own set-up, and one table at the end.

Usage: test.py [--jobs N] [--seconds N] [LAYER ...]   (no name: all layers; `lint`: the static ones)
"""

from __future__ import annotations

import argparse
import atexit
import concurrent.futures
import functools
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
CACHE = ROOT / ".cache"
COLLECTION = ROOT / "collections" / "ansible_collections" / "org" / "djangogcp"
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

Command = tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """One kind of test: its commands run in ``folder``, all of them, even when one fails. ``engine``: with a container
    engine, where one can be had; what needs one says so and is skipped where not. ``needs_engine``: all of it does. ``may_be_cut``: its
    tests take long, and those for which there is no time (``--seconds``) are left out and named."""

    name: str
    commands: tuple[Command, ...]
    folder: Path = ROOT
    static: bool = False
    prepare: Callable[[], None] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    engine: bool = False
    needs_engine: bool = False
    may_be_cut: bool = False


def pip_for_ansible_test() -> None:
    """Gives ansible-test the pip that Python brings along, which it would download otherwise."""
    cache = CACHE / "home" / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    script = "import ensurepip\nensurepip.bootstrap(default_pip=True)\n"
    # The name holds the version of pip that each ansible-core pins (ansible_test/_internal/python_requirements.py).
    for version in ("23_1_2", "24_2", "25_0", "25_1"):
        (cache / f"get_pip_{version}.py").write_text(script, "utf-8")


_ENGINE_LOCK = threading.Lock()
_PRINT_LOCK = threading.Lock()
#: The exit status of `engine.py status` where no engine answers.
ENGINE_MISSING = 3
PYTEST = ("pytest", "-q", "-p", "no:randomly", "--durations=10", "--durations-min=20")
RECORDED = "emulator/tests/recording/test_recorded.py"
APP = ("python", "manage.py", "test")
#: Where Linux keeps files in memory, and how much of it has to be free for what the layers write: they took up to 3 GiB at a time.
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder is made in it
_MEMORY_NEEDED = 12 * 2**30
#: How much of what failed is told in the table.
_SHOWN_FAILURES = 5
_SHOWN_WIDTH = 160
#: What pytest writes before a line of an output that an assertion tells.
_TOLD_BY_PYTEST = re.compile(r"^E {3,9}")
#: How many lines of a message of Ansible's are told in the table.
_SHOWN_LINES = 12
#: No command of a layer takes as long, with those of others beside it. One that hangs fails by itself, and does not take the others with it.
_COMMAND_SECONDS = 4200
_INTERRUPTED_SECONDS = 60
#: Of the end-to-end tests those that have an emulator of their own, beside the others.
NEVER = ("tests/e2e/test_6_never.py", "tests/e2e/test_6_target.py")
RELEASES = (
    "tests/e2e/test_8_canary.py",
    "tests/e2e/test_8_commands.py",
    "tests/e2e/test_8_hooks.py",
    "tests/e2e/test_8_migrations.py",
    "tests/e2e/test_8_releases.py",
)
#: What changes beside the code of a site: its secrets, and what works in the background.
WORKERS = ("tests/e2e/test_8_rotate.py", "tests/e2e/test_8_workers.py")
#: What is done to a site between its releases, and what visitors see of all of it.
OPERATIONS = (
    "tests/e2e/test_8_console.py",
    "tests/e2e/test_8_doctor.py",
    "tests/e2e/test_8_logs.py",
    "tests/e2e/test_8_maintenance.py",
    "tests/e2e/test_8_previews.py",
    "tests/e2e/test_8_prune.py",
    "tests/e2e/test_8_static.py",
    "tests/releases",
)
NEEDS = (
    "tests/e2e/test_6_own_needs.py",
    "tests/e2e/test_6_database_rights.py",
    "tests/e2e/test_8_mysql.py",
    "tests/e2e/test_8_strict.py",
    "tests/e2e/test_6_own_project.py",
)
MACHINES = ("tests/e2e/test_9_machine.py", "tests/e2e/test_9_machine_mysql.py")
#: Each in a command of its own: the longest have visitors.
SERVERS = sorted(path.parent.name for path in COLLECTION.glob("extensions/servers/*/molecule.yml"))
#: In the order in which they begin: what tells most for its time first, then what is cut short where there is no time for all of it, the long ones before
#: the short.
LAYERS = (
    Layer(
        "static",
        (
            ("ruff", "check", "."),
            ("ruff", "format", "--check", "."),
            ("mypy", "emulator/src", "tools"),
            ("lint-imports", "--no-cache", "--no-logo"),
            ("mypy", str(COLLECTION.relative_to(ROOT) / "plugins" / "module_utils")),
            ("yamllint", "--strict", "."),
            ("ansible-lint", "--offline"),
            ("python", "tools/variables.py", "--check"),
            ("python", "tools/lint_docs.py"),
        ),
        static=True,
    ),
    Layer(
        "sanity",
        # The version is said because a shim in PATH may name versions that are not there.
        (("ansible-test", "sanity", "--python", PYTHON_VERSION, "--color", "no", "--truncate", "0"),),
        folder=COLLECTION,
        static=True,
        prepare=pip_for_ansible_test,
        environment={"HOME": str(CACHE / "home")},
    ),
    # Known vulnerabilities of what is locked; says so where the service that knows them is not reached.
    Layer("audit", (("python", "tools/audit.py", "--if-reachable"),)),
    Layer("unit: collection", ((*PYTEST, str(COLLECTION / "tests" / "unit")),)),
    Layer("overlay", ((*PYTEST, "tests/overlay"),)),
    Layer("app", (APP, ("python", str(ROOT / "tools" / "on_postgres.py"), *APP)), folder=ROOT / "app"),
    # What Google Cloud really said, where RECORDED_CONVERSATIONS names a folder of it; prints how much agrees, and what was tried.
    Layer("recorded", ((*PYTEST, "-s", "-rs", RECORDED), (*PYTEST, "-s", "-rs", "tests/recorded"))),
    Layer("integration", ((*PYTEST, "tests/integration"),)),
    Layer("bad input", ((*PYTEST, "tests/bad_input"),)),
    Layer("first hour", ((*PYTEST, "tests/first_hour"),)),
    Layer("contract", ((*PYTEST, "tests/contract"),)),
    Layer("unit: emulator", ((*PYTEST, "emulator/tests", f"--ignore={RECORDED}"),), engine=True),
    Layer("conformance", ((*PYTEST, "tests/conformance"),)),
    # Roles that configure a server: in containers in which systemd runs. They are in a folder of their own, where `molecule test --all` does not look.
    Layer(
        "servers",
        tuple(
            ("molecule", "--base-config", "extensions/servers/config.yml", "test", "--scenario-name", name)
            for name in SERVERS
        ),
        folder=COLLECTION,
        environment={"MOLECULE_GLOB": "extensions/servers/*/molecule.yml"},
        engine=True,
        needs_engine=True,
    ),
    # The longest of all.
    Layer(
        "machines",
        tuple((*PYTEST, file) for file in MACHINES),
        engine=True,
        needs_engine=True,
        may_be_cut=True,
    ),
    Layer("molecule", (("molecule", "test", "--all"),), folder=COLLECTION),
    Layer("faults", ((*PYTEST, "tests/faults"),)),
    Layer("compose", ((*PYTEST, "tests/compose"),), engine=True),
    Layer(
        "end to end",
        (
            (
                *PYTEST,
                "tests/e2e",
                *(
                    f"--ignore={path}"
                    for path in (*MACHINES, *NEVER, *NEEDS, *OPERATIONS, *RELEASES, *WORKERS)
                ),
            ),
        ),
        engine=True,
        may_be_cut=True,
    ),
    Layer("releases", ((*PYTEST, *RELEASES),), may_be_cut=True),
    Layer("operations", ((*PYTEST, *OPERATIONS),), may_be_cut=True),
    Layer("never", ((*PYTEST, *NEVER),), may_be_cut=True),
    Layer("needs", ((*PYTEST, *NEEDS),), may_be_cut=True),
    Layer("workers", ((*PYTEST, *WORKERS),), may_be_cut=True),
    Layer("kinds", ((*PYTEST, "tests/kinds"),), may_be_cut=True),
)


@dataclass
class Outcome:
    """How a layer ended. ``failed``: each command that did, and the names of what failed in it, as far as it was printed here."""

    layer: Layer
    seconds: float
    failed: list[tuple[Command, list[str]]]
    skipped: bool = False
    #: The tests for which there was no time.
    cut: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One word for it."""
        return "FAILED" if self.failed else "skipped" if self.skipped else "passed"


def main() -> int:
    """Runs the layers that are asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="test.py", description="Runs the project's tests.")
    names = [layer.name for layer in LAYERS]
    parser.add_argument("layers", nargs="*", metavar="LAYER", help=f"lint, or any of: {', '.join(names)}")
    parser.add_argument(
        "--jobs",
        type=int,
        # Layers wait for what they started a third of the time: one more than there are cores.
        default=min(3, (os.cpu_count() or 1) + 1),
        help="how many layers run at the same time (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=float(os.environ.get("TEST_SECONDS", "inf")),
        help="after how long no more of the long tests begin (default: TEST_SECONDS, or never)",
    )
    arguments = parser.parse_args()
    deadline = time.time() + arguments.seconds
    asked = arguments.layers
    unknown = [name for name in asked if name not in (*names, "lint")]
    if unknown:
        parser.error(f"no such layer: {', '.join(unknown)}; there are: lint, {', '.join(names)}")
    chosen = [
        layer for layer in LAYERS if not asked or layer.name in asked or ("lint" in asked and layer.static)
    ]
    required = "CI" in os.environ or asked == ["compose"] or "servers" in asked
    jobs = min(arguments.jobs, len(chosen))
    if "TMPDIR" not in os.environ and has_memory():
        # A short name: those of sockets are at most 108 bytes long. Open to all, as /tmp is: some tests are done by another user.
        os.environ["TMPDIR"] = made = tempfile.mkdtemp(prefix="t", dir=_IN_MEMORY)
        Path(made).chmod(0o1777)
        atexit.register(shutil.rmtree, made, ignore_errors=True)
    outcomes = run_all(chosen, jobs, deadline, required=required)
    report(outcomes)
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def run_all(chosen: list[Layer], jobs: int, deadline: float, *, required: bool) -> list[Outcome]:
    """Runs the layers, ``jobs`` at a time, and says as each ends what still runs: the last line is of use where all of it is ended from outside."""
    begun: dict[str, float] = {}

    def one(layer: Layer) -> Outcome:
        begun[layer.name] = time.monotonic()
        outcome = run(layer, deadline, required=required, alone=jobs == 1)
        del begun[layer.name]
        now = time.monotonic()
        running = ", ".join(f"{name} ({now - since:.0f} s)" for name, since in sorted(begun.items()))
        with _PRINT_LOCK:
            print(
                f"=== {layer.name} {outcome.verdict} after {outcome.seconds:.0f} s; still running: {running or 'none'}",
                flush=True,
            )
        return outcome

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, chosen))


def has_memory() -> bool:
    """Whether what is thrown away anyway may be written to memory, where making and removing a site's files takes no time."""
    try:
        told = Path("/proc/meminfo").read_text("ascii")
        place = os.statvfs(_IN_MEMORY)
    except OSError:
        return False
    available = re.search(r"^MemAvailable: +(\d+) kB$", told, re.MULTILINE)
    free = min(int(available[1]) * 1024 if available else 0, place.f_bavail * place.f_frsize)
    # Servers are started from there.
    runs_programs = not place.f_flag & os.ST_NOEXEC
    return runs_programs and free > _MEMORY_NEEDED


def engine(required: bool) -> dict[str, str] | None:
    """As `_engine`, for layers that run at the same time."""
    with _ENGINE_LOCK:
        return _engine(required)


@functools.cache
def _engine(required: bool) -> dict[str, str] | None:
    """The variables with which a container engine is found that has the base images; None when there is none.

    One is set up only where it is ``required``, and then has to be there: on CI, and for who asks for these tests alone.
    """
    program = [str(BIN / "python"), str(ROOT / "tools" / "engine.py")]
    status = subprocess.run([*program, "status"], check=False).returncode
    if status != 0 and not required:
        print(
            "the tests that need a container engine are skipped; `make test-compose` and `make molecule` set one up",
            flush=True,
        )
        return None
    if status == ENGINE_MISSING:
        atexit.register(subprocess.run, [*program, "down"], check=False)
    if subprocess.run([*program, "up"], check=False).returncode != 0:
        sys.exit("error: no container engine, and these tests need one; the message above says why")
    exports = subprocess.run([*program, "env"], check=True, stdout=subprocess.PIPE, text=True).stdout
    # Each line is: export NAME='VALUE'
    return dict(shlex.split(line)[1].split("=", 1) for line in exports.splitlines())


def run(layer: Layer, deadline: float, *, required: bool, alone: bool) -> Outcome:
    """Runs one layer's commands with the virtual environment first in PATH.

    What a layer prints comes at once when it runs ``alone``, else in one piece at its end.
    """
    if layer.prepare is not None:
        layer.prepare()
    found = engine(required) if layer.engine else {}
    if found is None and layer.needs_engine:
        return Outcome(layer, 0.0, [], skipped=True)
    environment = {**os.environ, **(found or {}), **layer.environment}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment['PATH']}"
    # Nothing outside the checkout.
    environment.setdefault("XDG_CACHE_HOME", str(CACHE))
    environment.setdefault("PIP_CACHE_DIR", str(CACHE / "pip"))
    environment["ANSIBLE_HOME"] = str(CACHE / "ansible")
    begin = time.monotonic()
    failed: list[tuple[Command, list[str]]] = []
    with tempfile.TemporaryFile("w+") as printed, tempfile.NamedTemporaryFile("w+") as cut:
        if layer.may_be_cut:
            environment |= {"TEST_DEADLINE": str(deadline), "TEST_CUT": cut.name}
        output = None if alone else printed
        if not alone:
            print(f"=== {layer.name} begins", flush=True)
        for command in layer.commands:
            print(f"\n=== {layer.name}: {' '.join(command)}", file=output, flush=True)
            start = printed.tell()
            if _status(command, layer.folder, environment, output) != 0:
                printed.seek(start)
                failed.append((command, failures(printed)))
            printed.seek(0, os.SEEK_END)
        printed.seek(0)
        with _PRINT_LOCK:
            shutil.copyfileobj(printed, sys.stdout)
            sys.stdout.flush()
        left_out = tuple(cut.read().splitlines())
    return Outcome(layer, time.monotonic() - begin, failed, cut=left_out)


def _status(command: Command, folder: Path, environment: dict[str, str], output: IO[str] | None) -> int:
    """The exit status of a command. One that hangs is interrupted, so that it ends what it started, and that is said in what it printed."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        return process.wait(_COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"ERROR: it did not end within {_COMMAND_SECONDS} s", file=output, flush=True)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_INTERRUPTED_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 1


def failures(printed: Iterable[str]) -> list[str]:
    """The first lines in which pytest names a failed test, or ansible-test what it found, and why; then where Ansible failed in them."""
    lines = [line.rstrip() for line in printed]
    named = [line[:_SHOWN_WIDTH] for line in lines if line.startswith(("FAILED ", "ERROR ", "ERROR: "))]
    left_out = [f"... and {len(named) - _SHOWN_FAILURES} more"] if len(named) > _SHOWN_FAILURES else []
    return named[:_SHOWN_FAILURES] + left_out + _failed_tasks(lines)


def _failed_tasks(lines: list[str]) -> list[str]:
    """The first tasks of playbooks that failed, each with its message: an assertion tells the whole output of a run, of which only the start may be kept."""
    told = [_TOLD_BY_PYTEST.sub("", line) for line in lines]
    found: list[list[str]] = []
    task = ""
    for at, line in enumerate(told):
        if line.startswith("TASK ["):
            task = line.rstrip(" *")
        elif line.startswith("fatal: ["):
            message = itertools.takewhile(lambda one: one.startswith("  "), told[at + 1 :])
            found.append([f"{task}: {line}", *itertools.islice(message, _SHOWN_LINES)])
    return [line[:_SHOWN_WIDTH] for one in found[:_SHOWN_FAILURES] for line in one]


def report(outcomes: list[Outcome]) -> None:
    """Prints the table, and last what failed: where only the end of the output is kept, it is in it."""
    print()
    for outcome in outcomes:
        time_left_out = f"  no time for {len(outcome.cut)} of its tests" if outcome.cut else ""
        print(f"{outcome.layer.name:<20} {outcome.verdict:<8} {outcome.seconds:7.1f} s{time_left_out}")
    for outcome in outcomes:
        for test in outcome.cut:
            print(f"not run: {test}")
    red = [outcome for outcome in outcomes if outcome.failed]
    for outcome in red:
        for command, failures in outcome.failed:
            for line in failures or [" ".join(command)]:
                print(f"{outcome.layer.name}: {line}")
    skipped = [outcome for outcome in outcomes if outcome.skipped]
    passed = len(outcomes) - len(red) - len(skipped)
    print(
        f"layers: {passed} passed, {len(red)} failed"
        + (f", {len(skipped)} skipped without a container engine" if skipped else "")
    )


if __name__ == "__main__":
    sys.exit(main())
