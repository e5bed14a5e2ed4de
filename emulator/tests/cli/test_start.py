"""``gcp-emulator start``: the port, two at once, and a state folder that was moved."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).with_name("gcp-emulator"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for the states of emulators, which are stopped in the end."""
    # Not pytest's folder: paths of sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="gcp-") as name:
        yield Path(name)
        for state in Path(name).iterdir():
            subprocess.run([PROGRAM, "stop", "--state", str(state)], check=True, capture_output=True)


def test_emulators_that_start_at_the_same_moment_take_different_ports(folder: Path) -> None:
    states = [folder / str(number) for number in range(3)]
    starting = [
        subprocess.Popen([PROGRAM, "start", "--state", str(state)], stdout=subprocess.DEVNULL)
        for state in states
    ]
    assert [process.wait(60) for process in starting] == [0, 0, 0]
    assert len({(state / "port").read_text("utf-8") for state in states}) == 3


def test_a_port_that_is_asked_for_and_taken_is_named(folder: Path) -> None:
    subprocess.run([PROGRAM, "start", "--state", str(folder / "first")], check=True, capture_output=True)
    port = (folder / "first" / "port").read_text("utf-8").strip()
    command = [PROGRAM, "start", "--state", str(folder / "second"), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"port {port} on 127.0.0.1 is taken by another program" in done.stderr


def start(state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A start in the background, which succeeds."""
    done = subprocess.run(
        [PROGRAM, "start", "--state", str(state), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def stop(state: Path) -> None:
    subprocess.run([PROGRAM, "stop", "--state", str(state)], check=True, capture_output=True)


def test_a_remembered_port_that_is_taken_meanwhile_gives_way_to_the_next(folder: Path) -> None:
    state = folder / "one"
    start(state)
    port = int((state / "port").read_text("utf-8"))
    stop(state)
    with contextlib.ExitStack() as taken:
        # By this test, or by another emulator that was faster.
        with contextlib.suppress(OSError):
            taken.enter_context(socket.create_server(("127.0.0.1", port)))
        said = start(state).stdout
        other = int((state / "port").read_text("utf-8"))
        assert port < other <= port + 100
        assert f"port {port} is taken by another program, so it is {other} from now on" in said
        stop(state)
    # The one that shells and browsers know now.
    assert f"running on 127.0.0.1:{other} " in start(state).stdout


def test_a_port_that_is_asked_for_is_remembered(folder: Path) -> None:
    state = folder / "one"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start(state, "--port", str(port))
    stop(state)
    assert f"running on 127.0.0.1:{port} " in start(state).stdout


def test_another_port_than_that_of_one_that_runs_is_refused(folder: Path) -> None:
    start(folder / "one")
    port = int((folder / "one" / "port").read_text("utf-8"))
    command = [PROGRAM, "start", "--state", str(folder / "one"), "--port", str(port + 1)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"it runs on 127.0.0.1:{port} " in done.stderr


def test_of_two_starts_in_one_folder_both_find_it_running(folder: Path) -> None:
    command = [PROGRAM, "start", "--state", str(folder / "one")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].splitlines()[-1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len({line.partition("running on ")[2] for line in said}) == 1


def test_one_whose_state_was_moved_is_started_in_the_new_place(folder: Path) -> None:
    start(folder / "old")
    (folder / "old").rename(folder / "new")
    assert start(folder / "new").stdout.splitlines()[-1].startswith("running on ")
    command = [PROGRAM, "env", "--state", str(folder / "new"), "--project", "p"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"{folder}/new/ca/bundle.pem" in shown


def test_what_is_stopped_after_two_starts_stays_stopped(folder: Path) -> None:
    command = [PROGRAM, "start", "--state", str(folder / "one")]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    stop(folder / "one")
    # The other start's emulator does not take its place.
    done = subprocess.run(
        [PROGRAM, "status", "--state", str(folder / "one")], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "not running"


def test_what_runs_virtual_machines_is_asked_for(folder: Path) -> None:
    """By `--machines`; the state page says that records do not run."""
    seed = folder.with_name(f"{folder.name}.yaml")
    seed.write_text("projects: [{id: shop}]\n", "utf-8")
    told = "Not running: instances are records only (--machines records)."
    for number, (options, expected) in enumerate((([], False), (["--machines", "records"], True))):
        state = folder / str(number)
        start(state, "--seed", str(seed), *options)
        port = (state / "port").read_text("utf-8").strip()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/instances?project=shop") as answer:
            assert (told in answer.read().decode()) is expected
    seed.unlink()


def test_machines_that_are_containers_need_an_engine(folder: Path) -> None:
    command = [PROGRAM, "start", "--state", str(folder / "one"), "--machines", "containers"]
    environment = {**os.environ, "DOCKER_HOST": f"unix://{folder}/nobody.sock"}
    environment.pop("DOCKER_CONTEXT", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert (
        "--machines containers needs a container engine for Linux on this machine: no container engine answers"
        in done.stderr
    )
    assert not (folder / "one").exists()
