"""``make rehearse``: the production playbooks, unchanged, against the emulator.

Usage: rehearse.py deploy | env | status | password | stop | clean
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from gcp_emulator.engine.projects import project_number

ROOT = Path(__file__).resolve().parent.parent
#: Everything that a rehearsal keeps. REHEARSAL_HOME moves it (the tests do, to leave a person's own rehearsal alone).
HOME = Path(os.environ.get("REHEARSAL_HOME") or ROOT / ".rehearsal").resolve()
STATE = HOME / "emulator"
ENVIRONMENT = HOME / "env"
BIN = ROOT / ".venv" / "bin"
PROJECT = "djangogcp-rehearsal"
OPERATOR = "operator@example.com"
SITE = "polls"
REGION = "us-central1"
#: Free space below which a build or a database would fail half-way, in bytes.
_NEEDED_SPACE = 2 * 1024**3
#: Silence after which the wait is explained, in seconds.
_PATIENCE = 5


class RehearsalError(Exception):
    """A message for the person at the terminal."""


def main() -> int:
    """Runs one verb; returns the exit status."""
    parser = argparse.ArgumentParser(prog="rehearse.py", description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=list(_VERBS))
    verb = parser.parse_args().verb
    try:
        return _VERBS[verb]()
    except RehearsalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; `make rehearse` goes on from here", file=sys.stderr)
        return 130


def start() -> int:
    """Starts the emulator and writes .rehearsal/env."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    free = shutil.disk_usage(HOME).free
    if free < _NEEDED_SPACE:
        raise RehearsalError(
            f"{HOME} has {free // 1024**2} MiB of free space; a rehearsal needs {_NEEDED_SPACE // 1024**2} MiB"
        )
    seed = ROOT / (os.environ.get("REHEARSAL_SEED") or "rehearsal/seed.yaml")
    _emulator("start", "--seed", str(seed), *_profile(), *_runtime())
    exports = _emulator("env", "--project", PROJECT, "--user", OPERATOR, capture=True)
    own = {
        "ANSIBLE_HOME": str(HOME / "ansible"),
        "ANSIBLE_REMOTE_TMP": str(HOME / "ansible" / "tmp"),
        "DJANGOGCP_TIMELINE_DIR": str(HOME / "timelines"),
        "CLOUDSDK_PYTHON_SITEPACKAGES": "0",
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in own.items()]
    text = f"# Points any Google client at the emulator: . {_shown(ENVIRONMENT)}\n{exports}" + "\n".join(
        lines
    )
    text += f'\ncase ":$PATH:" in *:{shlex.quote(str(BIN))}:*) ;; *) export PATH={shlex.quote(str(BIN))}:"$PATH" ;; esac\n'
    ENVIRONMENT.write_text(text, "utf-8")
    return 0


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


def deploy() -> int:
    """Starts the emulator, runs the deploy playbook and says what is there now."""
    start()
    print(
        f"deploying the site {SITE} with the production playbooks (ansible-playbook deploy.yml -i inventories/local)\n"
    )
    command = ["ansible-playbook", "deploy.yml", "-i", "inventories/local"]
    recap, status = _run_with_progress(command)
    if status != 0:
        raise RehearsalError(
            "the deploy failed; the message above says why. What was made is kept: fix it and run `make rehearse` again"
        )
    _summary(recap)
    return 0


def _run_with_progress(command: list[str]) -> tuple[str, int]:
    """Runs a playbook with its output passed through; explains silences. Returns the recap line and the exit status."""
    process = subprocess.Popen(
        _in_environment(command), cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    progress = _Progress()
    watcher = threading.Thread(target=progress.watch, daemon=True)
    watcher.start()
    recap = ""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            progress.line(line)
            sys.stdout.write(line)
            sys.stdout.flush()
            if re.match(rf"{SITE}\s+: ok=", line):
                recap = line
        return recap, process.wait()
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


def _summary(recap: str) -> None:
    address = _address()
    changed = re.search(r"changed=(\d+)", recap)
    nothing = changed is not None and changed[1] == "0"
    reader = [str(BIN / "python"), str(ROOT / "tools" / "made.py"), PROJECT, REGION]
    made = subprocess.run(
        _in_environment(reader), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    print(f"""
The site is served{" (nothing had to be changed)" if nothing else ""}.

  for a browser      {address}
  its admin          {address}admin/
  admin login        admin@example.com
  show its password  make rehearse-password
  what goes on       http://127.0.0.1:{_port()}/   (what is there, who may do what, requests, logs)

  what is there in the project {PROJECT}:
{made}
  what to try next:
    make rehearse         again: nothing changes
    make rehearse-status  what serves, and what is not as declared
    . {_shown(ENVIRONMENT)}      then any Google client talks to the emulator, for example
                          ansible-playbook deploy.yml -i inventories/local --check --diff
    make rehearse-stop    stop everything and keep the state; make rehearse-clean removes it""")


def _address() -> str:
    """Where a browser finds the site."""
    return f"http://{SITE}-{project_number(PROJECT)}.{REGION}.run.app.localhost:{_port()}/"


def _port() -> str:
    """The port of the emulator, which is also the address of its state page."""
    return (STATE / "port").read_text("utf-8").strip()


def status() -> int:
    """Runs the status playbook."""
    return subprocess.run(
        _in_environment(["ansible-playbook", "playbooks/status.yml", "-i", "inventories/local"]),
        cwd=ROOT,
        check=False,
    ).returncode


def password() -> int:
    """Prints the admin's password, read from Secret Manager like anybody else would."""
    reader = [
        str(BIN / "python"),
        str(ROOT / "tools" / "access_secret.py"),
        PROJECT,
        f"{SITE}-superuser-password",
    ]
    return subprocess.run(_in_environment(reader), cwd=ROOT, check=False).returncode


def stop() -> int:
    """Stops the emulator and all that it runs; the state is kept."""
    if STATE.exists():
        _emulator("stop")
    return 0


def clean() -> int:
    """Stops the emulator and removes the state."""
    if STATE.exists():
        _emulator("clean")
    if HOME.exists():
        shutil.rmtree(HOME)
    return 0


def _emulator(verb: str, *options: str, capture: bool = False) -> str:
    command = [str(BIN / "gcp-emulator"), verb, "--state", str(STATE), *options]
    # A rehearsal leaves nothing outside the checkout.
    environment = {"XDG_CACHE_HOME": str(ROOT / ".cache"), **os.environ}
    result = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE if capture else None, text=True, check=False
    )
    if result.returncode != 0:
        raise RehearsalError("the emulator refused; its message is above")
    return result.stdout or ""


_VERBS = {
    "deploy": deploy,
    "env": start,
    "status": status,
    "password": password,
    "stop": stop,
    "clean": clean,
}

if __name__ == "__main__":
    sys.exit(main())
