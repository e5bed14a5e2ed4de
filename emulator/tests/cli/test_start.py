"""``gcp-emulator start``: the port."""

from __future__ import annotations

import subprocess
import sys
import tempfile
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
