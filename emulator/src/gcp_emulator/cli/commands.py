"""``gcp-emulator start | stop | clean | status | env | faults``: one emulator per state folder; ``record`` and ``facts check`` need none."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from gcp_emulator import environment, seed
from gcp_emulator.cli import faults, recording
from gcp_emulator.workloads.docker.command import DockerError, check_engine
from gcp_emulator.workloads.images import remove_tree
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

DEFAULT_PORT = 8910
_START_SECONDS = 60
_STOP_SECONDS = 60


class CliError(Exception):
    """A message for the person at the terminal."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (CliError, recording.RecordingError) as error:
        print(f"gcp-emulator: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gcp-emulator", description="Google Cloud's APIs on loopback, for real."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    start = _verb(verbs, "start", _start, "start in the background and wait until it answers")
    start.add_argument(
        "--port",
        type=int,
        help=f"port on 127.0.0.1 (default: the last one used, else {DEFAULT_PORT}, else any free one)",
    )
    start.add_argument(
        "--address",
        default="127.0.0.1",
        help="address to listen on, for others to reach it: a container's own (default: 127.0.0.1)",
    )
    start.add_argument("--seed", type=Path, help="YAML file of projects, grants and users")
    start.add_argument(
        "--profile",
        choices=["instant", "realistic"],
        default="instant",
        help="how long operations take, and whether request quotas are held",
    )
    start.add_argument(
        "--scale", type=float, default=1.0, help="factor on the times of the realistic profile"
    )
    start.add_argument(
        "--draw-from",
        type=int,
        default=0,
        metavar="NUMBER",
        help="what the realistic profile draws the times of grants from (default: 0)",
    )
    start.add_argument(
        "--runtime",
        choices=["process", "docker", "auto"],
        help="what builds images and runs them: sandboxed processes, the containers of the engine that answers, or those when "
        "one does (default: as the images of the state, else process)",
    )
    start.add_argument("--foreground", action="store_true", help="stay in the foreground")
    _verb(verbs, "stop", _stop, "stop it and everything it runs; state is kept")
    _verb(verbs, "clean", _clean, "stop it and remove its state, and its images from the container engine")
    _verb(verbs, "status", _status, "say whether it runs; exit status 3 when not")
    env = _verb(verbs, "env", _env, "print the shell variables that point any Google client at it")
    env.add_argument("--project", required=True, help="the project for GOOGLE_CLOUD_PROJECT")
    env.add_argument("--user", help="a seeded user whose credentials to use")
    plan = verbs.add_parser("faults", help="make calls fail", description="The plan of faults.")
    actions = plan.add_subparsers(required=True, metavar="ACTION")
    faults.add_list(_verb(actions, "list", _faults, "show the plan and what has happened of it"))
    faults.add_add(_verb(actions, "add", _faults, "add a fault, or all of a file"))
    faults.add_clear(_verb(actions, "clear", _faults, "remove one fault, or all; what they held up goes on"))
    text = "run a command and write down what it and Google Cloud say to each other"
    record = verbs.add_parser("record", help=text, description=text)
    recording.add_record(record)
    record.set_defaults(run=recording.record)
    facts = verbs.add_parser("facts", help="hold the emulator against recorded conversations")
    text = "replay recorded conversations with Google Cloud to a fresh emulator, and tell what it answers differently"
    check = facts.add_subparsers(required=True, metavar="ACTION").add_parser(
        "check", help=text, description=text
    )
    recording.add_check(check)
    check.set_defaults(run=recording.check)
    return parser


def _faults(options: argparse.Namespace) -> int:
    running = _Lock(options.state.resolve()).holder()
    if running is None:
        raise CliError("not running; start it first")
    try:
        print(faults.change(options, running["port"]), end="")
    except faults.FaultsError as error:
        raise CliError(str(error)) from None
    return 0


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, text: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--state", type=Path, required=True, help="folder that holds everything the emulator knows"
    )
    parser.set_defaults(run=run)
    return parser


class _Lock:
    """Held by the running emulator; a stale file is no obstacle, because the kernel drops the lock with the process."""

    def __init__(self, state: Path) -> None:
        self.path = state / "emulator.lock"

    def acquire(self) -> IO[str] | None:
        """The open, locked file, or None when another process holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def holder(self) -> dict[str, int] | None:
        """``{"pid": ..., "port": ...}`` of the running emulator, or None."""
        if not self.path.exists():
            return None
        file = self.acquire()
        if file is not None:
            file.close()
            return None
        with contextlib.suppress(ValueError):
            found: dict[str, int] = json.loads(self.path.read_text("utf-8"))
            return found
        return {"pid": 0, "port": 0}


def _start(options: argparse.Namespace) -> int:
    state: Path = options.state.resolve()
    runtime = _choose_runtime(options.runtime, state)
    running = _Lock(state).holder()
    if running is not None:
        print(f"already running on 127.0.0.1:{running['port']} (pid {running['pid']})")
        return 0
    if options.foreground:
        return asyncio.run(_serve(options, state, runtime))
    with (state_folder(state) / "emulator.log").open("ab") as log:
        command = [
            sys.executable,
            "-m",
            "gcp_emulator",
            *_start_arguments(options, state, runtime),
            "--foreground",
        ]
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        running = _Lock(state).holder()
        if running is not None and running["port"]:
            print(f"running on 127.0.0.1:{running['port']} (pid {running['pid']})")
            return 0
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise CliError(f"the emulator did not start: {_last_line(state / 'emulator.log')}")
    child.terminate()
    raise CliError(f"the emulator did not answer within {_START_SECONDS} s; see {state / 'emulator.log'}")


def state_folder(state: Path) -> Path:
    """The folder, made if needed; CliError when it cannot be."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CliError(f"cannot make the state folder {state}: {error.strerror}") from None
    return state


def _start_arguments(options: argparse.Namespace, state: Path, runtime: str) -> list[str]:
    arguments = ["start", "--state", str(state), "--runtime", runtime]
    arguments += ["--profile", options.profile, "--scale", str(options.scale)]
    arguments += ["--draw-from", str(options.draw_from)]
    arguments += ["--address", options.address]
    if options.port is not None:
        arguments += ["--port", str(options.port)]
    if options.seed is not None:
        arguments += ["--seed", str(options.seed.resolve())]
    return arguments


def _last_line(path: Path) -> str:
    lines = path.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else f"see {path}"


async def _serve(options: argparse.Namespace, state: Path, runtime: str) -> int:
    # Imported here, because the verbs that only look at a running emulator would wait for it.
    from gcp_emulator.app import Emulator, Settings
    from gcp_emulator.engine.operations import Profile

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    lock = _Lock(state_folder(state)).acquire()
    if lock is None:
        raise CliError(f"another emulator uses {state}")
    with lock:
        lock.truncate(0)
        # Listening from now on: another emulator that starts at the same moment cannot take the port.
        listener = _listen(options.port, state, options.address)
        (state / "runtime").write_text(f"{runtime}\n", "utf-8")
        profile = Profile(options.profile, options.scale, options.draw_from)
        emulator = Emulator(Settings(state, listener, profile, runtime))
        if options.seed is not None:
            try:
                seed.apply(emulator.context, options.seed)
            except seed.SeedError as error:
                raise CliError(str(error)) from None
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await emulator.start()
        (state / "port").write_text(f"{emulator.front.port}\n", "utf-8")
        lock.write(json.dumps({"pid": os.getpid(), "port": emulator.front.port}))
        lock.flush()
        await ended.wait()
        await emulator.stop()
    return 0


def _listen(asked: int | None, state: Path, address: str) -> socket.socket:
    """Listens on the port that is asked for, or remembered, or the default, or (first start only) any free one."""
    remembered = state / "port"
    wanted = asked
    if asked is None and remembered.exists():
        wanted = int(remembered.read_text("utf-8"))
    try:
        return socket.create_server((address, DEFAULT_PORT if wanted is None else wanted))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise CliError(f"cannot listen on {address}: {error.strerror}") from None
        if wanted is None:
            return socket.create_server((address, 0))
        raise CliError(
            f"port {wanted} on {address} is taken by another program (another checkout's rehearsal?). "
            "Stop that program, or choose a port with --port."
        ) from None


def _known_runtime(state: Path) -> str | None:
    """The runtime whose images the state holds; None for a state that is yet to be made."""
    if (state / "runtime").exists():
        return (state / "runtime").read_text("utf-8").strip()
    return "process" if (state / "store.sqlite").exists() else None


def _choose_runtime(asked: str | None, state: Path) -> str:
    """``process`` or ``docker``. CliError when it is not the one of the state's images, or no engine answers."""
    known = _known_runtime(state)
    if known and asked not in (None, "auto", known):
        raise CliError(
            f"{state} holds images of the runtime {known}, which the runtime {asked} cannot run. Go on with {known}, or remove "
            "the state (gcp-emulator clean)."
        )
    wanted = known or asked or "process"
    if wanted != "process":
        try:
            check_engine()
        except SandboxUnavailable as error:
            if wanted == "docker":
                raise CliError(str(error)) from None
            return "process"
    return "docker" if wanted == "auto" else wanted


def _stop(options: argparse.Namespace) -> int:
    state: Path = options.state.resolve()
    running = _Lock(state).holder()
    if running is None:
        print("not running")
        return 0
    if not running["pid"]:
        raise CliError("the emulator is just starting; try again in a moment")
    os.kill(running["pid"], signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        if _Lock(state).holder() is None:
            print("stopped")
            return 0
        time.sleep(0.05)
    raise CliError(
        f"the emulator (pid {running['pid']}) did not stop within {_STOP_SECONDS} s; see {state / 'emulator.log'}"
    )


def _clean(options: argparse.Namespace) -> int:
    state: Path = options.state.resolve()
    _stop(options)
    if _known_runtime(state) == "docker":
        from gcp_emulator.workloads.docker.runtime import DockerRuntime

        try:
            DockerRuntime(state / "images").clear()
        except DockerError as error:
            # Whoever has no engine any more must be able to go on. Another start in the same place would remove them.
            print(f"note: what the container engine has of it stays there ({error})", file=sys.stderr)
    remove_tree(state)
    return 0


def _status(options: argparse.Namespace) -> int:
    running = _Lock(options.state.resolve()).holder()
    if running is None:
        print("not running")
        return 3
    print(f"running on 127.0.0.1:{running['port']} (pid {running['pid']})")
    return 0


def _env(options: argparse.Namespace) -> int:
    state: Path = options.state.resolve()
    running = _Lock(state).holder()
    if running is None:
        raise CliError("not running; start it first")
    credentials = seed.credentials_path(state, options.user) if options.user else None
    if credentials is not None and not credentials.exists():
        raise CliError(f"{options.user} is not a user of the seed (no {credentials})")
    print(
        environment.shell(environment.variables(state, running["port"], options.project, credentials)),
        end="",
    )
    return 0
