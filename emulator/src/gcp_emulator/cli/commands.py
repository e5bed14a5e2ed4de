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
from gcp_emulator.workloads.docker.command import DockerError, check_engine, check_engine_for_machines
from gcp_emulator.workloads.images import remove_tree
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

DEFAULT_PORT = 8910
_START_SECONDS = 60
_STOP_SECONDS = 60
_LOOK_SECONDS = 1
#: How many ports after one that is taken are tried.
_NEIGHBOURS = 100


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
        help=f"port on 127.0.0.1 (default: the last one used, else {DEFAULT_PORT}; where that is taken, the next free one)",
    )
    start.add_argument(
        "--address",
        default="127.0.0.1",
        help="address to listen on, for others to reach it: a container's own (default: 127.0.0.1)",
    )
    start.add_argument(
        "--name",
        action="append",
        default=[],
        help="a name by which others reach that address; may be given more than once",
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
    start.add_argument(
        "--machines",
        choices=["none", "records", "containers"],
        default="none",
        help="what runs virtual machines: nothing, so that no instance is made (default), nothing, while instances are kept as records, or "
        "containers with systemd of the engine that answers",
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
    """Held alone by the running emulator, and shared for a moment by whoever looks whether one runs: lookers are never taken for one. A
    stale file is no obstacle, because the kernel drops the lock with the process."""

    def __init__(self, state: Path) -> None:
        self.path = state / "emulator.lock"

    def acquire(self) -> IO[str] | None:
        """The open, locked file of the emulator that is to run, or None when another process has it or looks at it."""
        return self._take(fcntl.LOCK_EX)

    def holder(self) -> dict[str, int] | None:
        """``{"pid": ..., "port": ...}`` of the running emulator (zeros while it starts), or None."""
        if not self.path.exists():
            return None
        file = self._take(fcntl.LOCK_SH)
        if file is not None:
            file.close()
            return None
        with contextlib.suppress(ValueError):
            found: dict[str, int] = json.loads(self.path.read_text("utf-8"))
            return found
        return {"pid": 0, "port": 0}

    def _take(self, kind: int) -> IO[str] | None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file


def _start(options: argparse.Namespace) -> int:
    state: Path = options.state.resolve()
    runtime = _choose_runtime(options.runtime, state)
    if options.machines == "containers":
        try:
            check_engine_for_machines()
        except SandboxUnavailable as error:
            raise CliError(str(error)) from None
    running = _Lock(state).holder()
    if running is not None and _is_elsewhere(running["pid"], state):
        # The folder was moved: what runs writes to where it was.
        _stop(options)
        running = None
    if running is not None and running["port"]:
        return _report_running(options, running)
    if options.foreground:
        return asyncio.run(_serve(options, state, runtime))
    wanted = _wanted_port(options.port, state)
    child = None
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        running = _Lock(state).holder()
        if running is not None and running["port"]:
            if running["port"] != wanted:
                print(
                    f"port {wanted} is taken by another program, so it is {running['port']} from now on (--port chooses another)"
                )
            print(f"running on 127.0.0.1:{running['port']} (pid {running['pid']})")
            return 0
        # Somebody else's start of the same moment is waited for.
        if child is None and running is None:
            child = _start_in_background(options, state, runtime)
        if child is not None and child.poll() is not None and _Lock(state).holder() is None:
            raise CliError(f"the emulator did not start: {_last_line(state / 'emulator.log')}")
        time.sleep(0.05)
    if child is not None:
        child.terminate()
    raise CliError(f"the emulator did not answer within {_START_SECONDS} s; see {state / 'emulator.log'}")


def _is_elsewhere(pid: int, state: Path) -> bool:
    """Whether a running emulator was started for a state folder of another place."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"--state" in words and words[words.index(b"--state") + 1] != os.fsencode(state)


def _report_running(options: argparse.Namespace, running: dict[str, int]) -> int:
    """What `start` says of one that runs. CliError when it was asked for elsewhere."""
    if options.port is not None and options.port != running["port"]:
        raise CliError(
            f"it runs on 127.0.0.1:{running['port']} (pid {running['pid']}); stop it before it is started on port {options.port}"
        )
    print(f"already running on 127.0.0.1:{running['port']} (pid {running['pid']})")
    return 0


def _start_in_background(options: argparse.Namespace, state: Path, runtime: str) -> subprocess.Popen[bytes]:
    with (state_folder(state) / "emulator.log").open("ab") as log:
        arguments = _start_arguments(options, state, runtime)
        command = [sys.executable, "-m", "gcp_emulator", *arguments, "--foreground"]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


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
    arguments += ["--machines", options.machines]
    for name in options.name:
        arguments += ["--name", name]
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
    state_folder(state)
    deadline = time.monotonic() + _LOOK_SECONDS
    while (lock := _Lock(state).acquire()) is None:
        # Who only looks is waited for. Another emulator is not: whoever stops it would find this one in its place.
        if _Lock(state).holder() is not None or time.monotonic() > deadline:
            raise CliError(f"another emulator uses {state}")
        await asyncio.sleep(0.01)
    with lock:
        lock.truncate(0)
        # Listening from now on: another emulator that starts at the same moment cannot take the port.
        listener = _listen(options.port, state, options.address)
        (state / "runtime").write_text(f"{runtime}\n", "utf-8")
        profile = Profile(options.profile, options.scale, options.draw_from)
        emulator = Emulator(
            Settings(state, listener, profile, runtime, tuple(options.name), options.machines)
        )
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


def _wanted_port(asked: int | None, state: Path) -> int:
    """The port that is asked for, or was used last, or the default."""
    if asked is not None:
        return asked
    with contextlib.suppress(OSError, ValueError):
        return int((state / "port").read_text("utf-8"))
    return DEFAULT_PORT


def _listen(asked: int | None, state: Path, address: str) -> socket.socket:
    """Listens on the port of `_wanted_port`. Where another program has it and nobody asked for it, on the next one that is free: the one
    that was used last is kept as long as it can be, because shells and browsers know it."""
    wanted = _wanted_port(asked, state)
    try:
        return socket.create_server((address, wanted))
    except (OSError, OverflowError) as error:
        if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
            raise CliError(f"cannot listen on {address}, port {wanted}: {error}") from None
    for port in range(wanted + 1, min(wanted + 1 + _NEIGHBOURS, 1 << 16)):
        with contextlib.suppress(OSError):
            free = socket.create_server((address, port))
            if asked is None:
                return free
            free.close()
            raise CliError(
                f"port {wanted} on {address} is taken by another program (another checkout's rehearsal?). "
                f"Stop that program, or choose another port: {port} with --port."
            )
    raise CliError(
        f"port {wanted} on {address} is taken by another program, and so are the {_NEIGHBOURS} after it"
    )


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
    try:
        if _known_runtime(state) == "docker":
            from gcp_emulator.workloads.docker.runtime import DockerRuntime

            DockerRuntime(state / "images").clear()
        if (state / "machines").exists():
            from gcp_emulator.workloads.build.run import HostAccess
            from gcp_emulator.workloads.docker.machines import ContainerMachines

            ContainerMachines(state / "machines", HostAccess({}, ())).clear()
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
        environment.shell(
            environment.variables(state, running["port"], options.project, credentials), "gcp_emulator_off"
        ),
        end="",
    )
    return 0
