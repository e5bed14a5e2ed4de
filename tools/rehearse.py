"""``make rehearse``: the production playbooks, unchanged, against the emulator.

Usage: rehearse.py deploy | env | status | password | adopt | stop | clean [--source FOLDER | --inventory INVENTORY] [--site SITE] [--port PORT]
                   [--target cloud_run | compute_engine]
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from gcp_emulator import environment, seed

ROOT = Path(__file__).resolve().parent.parent
# Run as a program, this finds what is beside it only.
sys.path += [str(ROOT), str(ROOT / "collections")]
from tools import engine, sites, targets

#: Everything that a rehearsal keeps. REHEARSAL_HOME moves it (the tests do, to leave a person's own rehearsal alone).
HOME = Path(os.environ.get("REHEARSAL_HOME") or ROOT / ".rehearsal").resolve()
STATE = HOME / "emulator"
ENVIRONMENT = HOME / "env"
#: Names the inventory that was rehearsed last, for the verbs that look at it.
INVENTORY = HOME / "inventory"
#: The variables of the target that was rehearsed last; there is none where that is Cloud Run.
TARGET = HOME / "target.yml"
BIN = ROOT / ".venv" / "bin"
OPERATOR = "operator@example.com"
#: Free space below which a build or a database would fail half-way, in bytes.
_NEEDED_SPACE = 2 * 1024**3
#: Silence after which the wait is explained, in seconds.
_PATIENCE = 5
#: What `make` was told, in its own words.
_AGAIN = "make rehearse"


class RehearsalError(Exception):
    """A message for the person at the terminal."""


def main() -> int:
    """Runs one verb; returns the exit status."""
    parser = argparse.ArgumentParser(prog="rehearse.py", description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=list(_VERBS))
    parser.add_argument("--source", default="", help="the folder of a Django project")
    parser.add_argument("--inventory", default="", help="an inventory of sites")
    parser.add_argument("--site", default="", help="one of the inventory's sites")
    parser.add_argument("--port", default="", help="the emulator's port")
    parser.add_argument("--target", default="", help=f"where the site runs: {' or '.join(targets.TARGETS)}")
    parser.add_argument(
        "--arguments", default="", help="further arguments of ansible-playbook, as a shell takes them"
    )
    options = parser.parse_args()
    # Typed in a shell that leads to a rehearsal, everything here still has the machine's own proxy and certificates.
    found = environment.without(os.environ)
    os.environ.clear()
    os.environ.update(found)
    # Reading an inventory makes that folder, which is not to be the person's own.
    os.environ.setdefault("ANSIBLE_HOME", str(HOME / "ansible"))
    try:
        if options.target and options.target not in targets.TARGETS:
            raise RehearsalError(f"TARGET is {options.target}: expected {' or '.join(targets.TARGETS)}")
        return _VERBS[options.verb](options)
    except (RehearsalError, sites.SitesError, targets.TargetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.strerror}: {error.filename or HOME}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted; `{_AGAIN}` goes on from here", file=sys.stderr)
        return 130
    except Exception as error:
        log = HOME / "error.log"
        log.write_text(traceback.format_exc(), "utf-8")
        print(f"error: {type(error).__name__}: {error} (please report it, with {log})", file=sys.stderr)
        return 1


@contextmanager
def _alone() -> Iterator[None]:
    """Of two rehearsals that are started at once, one waits for the other."""
    try:
        HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (HOME / "lock").open("w")
    except OSError as error:
        raise RehearsalError(
            f"{HOME} cannot be written ({error.strerror}): REHEARSAL_HOME=~/rehearsal {_AGAIN}"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another rehearsal in {_shown(HOME)} is under way; waiting for it", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _inventory(options: argparse.Namespace) -> Path:
    """The inventory that is asked for, or that was rehearsed last, or the model project's."""
    if options.source and options.inventory:
        raise RehearsalError(
            "SOURCE and INVENTORY say two things: an inventory names its sources itself. Give one of them"
        )
    if options.source:
        return sites.inventory_of(sites.found(options.source, ROOT), HOME / "inventories")
    if options.inventory:
        return sites.found(options.inventory, ROOT)
    if options.verb != "deploy" and INVENTORY.exists():
        last = Path(INVENTORY.read_text("utf-8").strip())
        if last.exists():
            return last
    return ROOT / "inventories" / "local"


def start(inventory: Path, port: str = "", target: str = "") -> list[sites.Site]:
    """Starts the emulator with the projects of an inventory and with what a target needs, and writes .rehearsal/env. The inventory's sites."""
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(HOME).free
    if free < _NEEDED_SPACE:
        raise RehearsalError(
            f"{HOME} has {free // 1024**2} MiB of free space; a rehearsal needs {_NEEDED_SPACE // 1024**2} MiB"
        )
    if port and not (port.isdecimal() and 0 < int(port) < 1 << 16):
        raise RehearsalError(f"PORT is {port}: expected a number from 1 to 65535, such as 8910")
    found = sites.read(inventory)
    _bring_servers(found)
    seeded = _seed(found)
    on_machines = target == targets.COMPUTE_ENGINE or (not target and TARGET.exists())
    machines = "containers" if on_machines else ""
    if on_machines:
        targets.bring_engine()
        targets.write_variables(TARGET, HOME, STATE, BIN / "python")
    else:
        TARGET.unlink(missing_ok=True)
    options = ["--seed", str(seeded), *_profile(), *_runtime(), *(["--port", port] if port else [])]
    options += ["--machines", machines] if machines else []
    running = _running_port()
    # A seed is read at the start, and what runs machines is chosen there.
    if running and ((port and int(port) != running) or not _suits(running, found, machines)):
        _emulator("stop")
    _emulator("start", *options)
    ENVIRONMENT.write_text(_environment(found), "utf-8")
    INVENTORY.write_text(f"{inventory}\n", "utf-8")
    if on_machines:
        _grant_roles({site.project for site in found})
    return found


def _grant_roles(projects: Collection[str]) -> None:
    """Gives who deploys what a machine takes: a seed tells only of projects that are new."""
    words = [f"{role}={permission}" for role, permission in targets.ROLES.items()]
    for project in sorted(projects):
        program = [str(BIN / "python"), str(ROOT / "tools" / "grant_roles.py"), project, f"user:{OPERATOR}"]
        granted = subprocess.run(
            _in_environment([*program, *words]), cwd=ROOT, capture_output=True, text=True, check=False
        )
        if granted.returncode != 0:
            why = granted.stderr.strip().removeprefix("error: ")[-300:]
            raise RehearsalError(f"the roles for machines cannot be granted in {project}: {why}")


def _bring_servers(found: list[sites.Site]) -> None:
    """Brings the servers of MySQL that the sites ask for: no distribution has them."""
    versions = (site.database_version for site in found)
    series = {".".join(version.split("_")[1:3]) for version in versions if version.startswith("MYSQL_8_")}
    if series:
        subprocess.run([sys.executable, str(ROOT / "tools/mysql.py"), *sorted(series)], check=True)


def _seed(found: list[sites.Site]) -> Path:
    """The seed, with a project like its first one for each project of the inventory that it does not have."""
    path = ROOT / (os.environ.get("REHEARSAL_SEED") or "rehearsal/seed.yaml")
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        pattern = content["projects"][0]
        known = {project["id"] for project in content["projects"]}
    except (OSError, yaml.YAMLError, LookupError, TypeError) as error:
        raise RehearsalError(
            f"the seed {path} names no project ({error}); rehearsal/seed.yaml shows how"
        ) from None
    wanted = dict.fromkeys(site.project for site in found if site.project not in known)
    content["projects"] += [{**pattern, "id": project, "name": project[:30]} for project in wanted]
    written = HOME / "seed.yaml"
    written.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return written


def _suits(port: int, found: list[sites.Site], machines: str) -> bool:
    """Whether a running emulator has the projects of these sites, and runs machines by what is wanted, if anything is."""
    health = sites.health_of_emulator(port)
    return {site.project for site in found} <= set(health.get("projects", [])) and (
        not machines or health.get("machines") == machines
    )


def _running_port() -> int | None:
    """The port of the running emulator, None when it is stopped."""
    said = subprocess.run(
        [str(BIN / "gcp-emulator"), "status", "--state", str(STATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    place = re.search(r"running on \S+:(\d+)", said.stdout) if said.returncode == 0 else None
    return int(place[1]) if place else None


def _environment(found: list[sites.Site]) -> str:
    """The text of .rehearsal/env."""
    values = {
        **environment.variables(STATE, _port(), found[0].project, seed.credentials_path(STATE, OPERATOR)),
        "ANSIBLE_HOME": str(HOME / "ansible"),
        "ANSIBLE_REMOTE_TMP": str(HOME / "ansible" / "tmp"),
        "DJANGOGCP_TIMELINE_DIR": str(HOME / "timelines"),
        "CLOUDSDK_PYTHON_SITEPACKAGES": "0",
        "PATH": f"{BIN}:",
    }
    return (
        f"# Points any Google client at the emulator: . {_shown(ENVIRONMENT)}; takes it back: rehearsal_off\n"
        + environment.shell(values, "rehearsal_off")
    )


def _require_running() -> None:
    """RehearsalError unless the emulator answers."""
    if not STATE.exists():
        raise RehearsalError(f"nothing has been rehearsed here yet: {_AGAIN}")
    if _running_port() is None:
        raise RehearsalError(f"the rehearsal is stopped: {_again()}")


def _again() -> str:
    """What rehearses the same as the last time."""
    last = INVENTORY.read_text("utf-8").strip() if INVENTORY.exists() else ""
    if last in ("", str(ROOT / "inventories" / "local")):
        return _AGAIN
    return f"{_AGAIN} INVENTORY={shlex.quote(_shown(Path(last)))}"


def env(options: argparse.Namespace) -> int:
    """Starts the emulator, if need be, and prints what leads a shell to it."""
    with _alone(), _stdout_to_stderr():
        start(_inventory(options), options.port, options.target)
    print(ENVIRONMENT.read_text("utf-8"), end="")
    return 0


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """For output that a shell is going to evaluate: what programs say meanwhile goes elsewhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _shown(path: Path) -> str:
    """A path as a person in the checkout would type it."""
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT) else str(path)


def _profile() -> list[str]:
    """The speed of the emulator's operations, from REHEARSAL_PROFILE and REHEARSAL_SCALE."""
    profile = os.environ.get("REHEARSAL_PROFILE", "realistic")
    return ["--profile", profile, "--scale", os.environ.get("REHEARSAL_SCALE", "0.05")]


def _runtime() -> list[str]:
    """What runs the containers, from REHEARSAL_RUNTIME: process, docker or auto."""
    runtime = os.environ.get("REHEARSAL_RUNTIME")
    return ["--runtime", runtime] if runtime else []


def deploy(options: argparse.Namespace) -> int:
    """Starts the emulator, runs the deploy playbook and says what is there now."""
    with _alone():
        inventory = _inventory(options)
        found = start(inventory, options.port, options.target)
        projects = ", ".join(dict.fromkeys(site.project for site in found))
        names = ", ".join(site.name for site in found)
        print(
            f"rehearsal in the emulator at 127.0.0.1:{_port()}, not in Google Cloud: project {projects}, as {OPERATOR}\n"
            f"deploying {names} with the production playbooks ({_typed(inventory)})\n"
        )
        command = ["ansible-playbook", "deploy.yml", *_variables(inventory)]
        recaps, status = _run_with_progress(command)
        if status != 0:
            raise RehearsalError(
                "the deploy failed; the message above says why. What was made is kept: fix it and run "
                f"`{_command(options)}` again"
            )
        _summary(inventory, found, recaps, _command(options))
    return 0


def _variables(inventory: Path) -> list[str]:
    """What every playbook of a rehearsal is told."""
    target = ["-e", f"@{TARGET}"] if TARGET.exists() else []
    return ["-i", str(inventory), "-e", "djangogcp_cloud=emulator", *target]


def _typed(inventory: Path) -> str:
    """The deploy, as a person types it."""
    target = f" -e @{_shown(TARGET)}" if TARGET.exists() else ""
    return f"ansible-playbook deploy.yml -i {_shown(inventory)}{target}"


def _command(options: argparse.Namespace) -> str:
    """What was typed, to be typed again."""
    return " ".join(
        [
            _AGAIN,
            *(
                f"{name}={shlex.quote(value)}"
                for name, value in (
                    ("SOURCE", options.source),
                    ("INVENTORY", options.inventory),
                    ("TARGET", options.target),
                )
                if value
            ),
        ]
    )


def _run_with_progress(command: list[str]) -> tuple[dict[str, str], int]:
    """Runs a playbook with its output passed through; explains silences. Returns each host's recap line, and the exit status."""
    process = subprocess.Popen(
        _in_environment(command), cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    progress = _Progress()
    watcher = threading.Thread(target=progress.watch, daemon=True)
    watcher.start()
    recaps: dict[str, str] = {}
    assert process.stdout is not None
    try:
        for line in process.stdout:
            progress.line(line)
            sys.stdout.write(line)
            sys.stdout.flush()
            if recap := re.match(r"(\S+)\s+: ok=", line):
                recaps[recap[1]] = line
        return recaps, process.wait()
    finally:
        progress.ended.set()
        if process.poll() is None:
            process.terminate()
            process.wait()


class _Progress:
    """Says what is waited for, and for how long, when a playbook is silent."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._task = "start of the playbook"
        self._since = self._last = time.monotonic()

    def line(self, line: str) -> None:
        self._last = time.monotonic()
        if found := re.match(r"TASK \[(.*)\]", line):
            self._task, self._since = found[1], self._last

    def watch(self) -> None:
        while not self.ended.wait(1):
            now = time.monotonic()
            if now - self._last >= _PATIENCE:
                print(f"  ... {self._task}: {now - self._since:.0f} s", flush=True)
                self._last = now


def _in_environment(command: list[str]) -> list[str]:
    return ["/bin/sh", "-c", f'. {shlex.quote(str(ENVIRONMENT))} && exec "$@"', "sh", *command]


def _summary(inventory: Path, found: list[sites.Site], recaps: dict[str, str], command: str) -> None:
    nothing = all(re.search(r"changed=0\b", recaps.get(site.host, "")) for site in found)
    made = []
    for project, region in dict.fromkeys((site.project, site.region) for site in found):
        reader = [str(BIN / "python"), str(ROOT / "tools" / "made.py"), project, region]
        read = subprocess.run(
            _in_environment(reader),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if read.returncode != 0:
            raise RehearsalError(f"what was made in {project} cannot be listed: {read.stdout.strip()[-300:]}")
        made.append(f"\n  what is there in the project {project}:\n{read.stdout.rstrip()}")
    print("\nThe site is served" if len(found) == 1 else "\nThe sites are served", end="")
    print(" (nothing had to be changed)." if nothing else ".")
    for site in found:
        address = _address(site)
        of = f" SITE={site.name}" if len(found) > 1 else ""
        print(f"""{f"{chr(10)}  {site.name}" if of else ""}
  for a browser      {address}
  its admin          {address.rstrip("/")}{site.admin_path or "/"}
  admin login        {site.login}
  show its password  make rehearse-password{of}""")
    print(f"""
  what goes on       http://127.0.0.1:{_port()}/   (what is there, who may do what, requests, logs)
{"".join(made)}

  what to try next:
    {command:<21} again: nothing changes
    make rehearse-status  what serves, and what is not as declared
    . {_shown(ENVIRONMENT)}      then any Google client talks to the emulator (until rehearsal_off), for example
                          {_typed(inventory)} --check --diff
    make rehearse-stop    stop everything and keep the state; make rehearse-clean removes it""")


def _address(site: sites.Site) -> str:
    """Where a browser finds a site."""
    if not TARGET.exists():
        return site.address(_port())
    reader = [
        str(BIN / "python"),
        str(ROOT / "tools" / "machine_host.py"),
        site.project,
        site.region,
        site.name,
    ]
    read = subprocess.run(_in_environment(reader), cwd=ROOT, capture_output=True, text=True, check=False)
    if read.returncode != 0:
        why = read.stderr.strip().removeprefix("error: ")[-300:]
        raise RehearsalError(f"the address of {site.name} cannot be read: {why}")
    return f"http://{read.stdout.strip()}.localhost:{_port()}/"


def _port() -> int:
    """The port of the emulator, which is also the address of its state page."""
    return int((STATE / "port").read_text("utf-8"))


def status(options: argparse.Namespace) -> int:
    """Runs the status playbook."""
    _require_running()
    inventory = _inventory(options)
    command = ["ansible-playbook", "playbooks/status.yml", *_variables(inventory)]
    return subprocess.run(_in_environment(command), cwd=ROOT, check=False).returncode


def password(options: argparse.Namespace) -> int:
    """Prints the superuser's password, read from Secret Manager like anybody else would; of several sites each, behind its name."""
    _require_running()
    found = sites.read(_inventory(options))
    chosen = [site for site in found if options.site in ("", site.name, site.host)]
    if not chosen:
        raise RehearsalError(
            f"there is no site {options.site}; there are: {', '.join(site.name for site in found)}"
        )
    reader = [str(BIN / "python"), str(ROOT / "tools" / "access_secret.py")]
    for site in chosen:
        done = subprocess.run(
            _in_environment([*reader, site.project, f"{site.name}-superuser-password"]),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            why = done.stderr.strip().removeprefix("error: ")
            raise RehearsalError(f"{site.name} has no superuser in this rehearsal ({why}): {_again()}")
        print(f"{site.name}  {done.stdout.strip()}" if len(chosen) > 1 else done.stdout.strip())
    return 0


def adopt(options: argparse.Namespace) -> int:
    """Runs the playbook that reads a project and writes an inventory for it, below inventories/. No emulator is needed."""
    if not options.source:
        raise RehearsalError("SOURCE is the folder of a Django project: make adopt SOURCE=../shop")
    said = {
        "source_dir": str(sites.found(options.source, ROOT)),
        **({"site": options.site} if options.site else {}),
    }
    try:
        further = shlex.split(options.arguments)
    except ValueError as error:
        raise RehearsalError(f"ARGS is {options.arguments}: {error}") from None
    command = [
        str(BIN / "ansible-playbook"),
        "playbooks/adopt.yml",
        "-i",
        "localhost,",
        "-e",
        json.dumps(said),
        *further,
    ]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def stop(options: argparse.Namespace) -> int:
    """Stops the emulator and all that it runs; the state is kept."""
    if STATE.exists():
        _emulator("stop")
    else:
        print("not running")
    return 0


def clean(options: argparse.Namespace) -> int:
    """Stops the emulator and removes the state."""
    if STATE.exists():
        _emulator("clean")
    if HOME.exists():
        shutil.rmtree(HOME)
    return 0


def _emulator(verb: str, *options: str) -> None:
    """Runs a verb of the emulator's own command. RehearsalError with its message."""
    command = [str(BIN / "gcp-emulator"), verb, "--state", str(STATE), *options]
    # A rehearsal leaves nothing outside the checkout.
    inherited = {"XDG_CACHE_HOME": str(ROOT / ".cache"), **os.environ}
    if TARGET.exists() or (STATE / "machines").exists():
        inherited |= engine.environment()
    result = subprocess.run(command, env=inherited, capture_output=True, text=True, check=False)
    told, complained = (
        # The emulator's own option is said as make takes it.
        re.sub(r"(\d+) with --port", rf"{_AGAIN} PORT=\1", text)
        .replace("(--port ", f"({_AGAIN} PORT=... ")
        .strip()
        for text in (result.stdout, result.stderr.replace("gcp-emulator: ", ""))
    )
    if result.returncode != 0:
        raise RehearsalError(
            complained or told or f"gcp-emulator {verb} ended with status {result.returncode}"
        )
    if complained:
        print(complained, file=sys.stderr)
    print(told, flush=True)


_VERBS = {
    "deploy": deploy,
    "env": env,
    "status": status,
    "password": password,
    "adopt": adopt,
    "stop": stop,
    "clean": clean,
}

if __name__ == "__main__":
    sys.exit(main())
