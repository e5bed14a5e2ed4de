"""The variables that lead a shell to the emulator, and the way back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from gcp_emulator import environment

SHELLS = [shell for shell in ("sh", "dash", "bash", "zsh", "ksh") if shutil.which(shell)]
VALUES = {
    "HTTPS_PROXY": "http://127.0.0.1:8910",
    "PATH": "/re hearsal/bin:",
    "PLAIN": "it's $HOME",
    "NEW": "1",
}


@pytest.fixture
def text(tmp_path: Path) -> str:
    """A line that reads the text from a file."""
    file = tmp_path / "env"
    file.write_text(environment.shell(VALUES, "rehearsal_off"), "utf-8")
    return f". {file}"


def run(shell: str, script: str) -> list[str]:
    """The lines that a script prints, in a shell that has a proxy of its own."""
    program = shutil.which(shell)
    assert program is not None
    done = subprocess.run(
        [program, "-eu", "-c", script],
        env={"PATH": "/usr/bin:/bin", "HTTPS_PROXY": 'http://corp"$x:1', "PLAIN": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


SHOW = 'printf "%s\\n" "$HTTPS_PROXY" "$PATH" "$PLAIN" "${NEW-unset}"; env | grep -c GCP_EMULATOR || :'
BEFORE = ['http://corp"$x:1', "/usr/bin:/bin", "", "unset", "0"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_gets_the_variables(shell: str, text: str) -> None:
    shown = run(shell, f"{text}; {SHOW}")
    assert shown[:4] == ["http://127.0.0.1:8910", "/re hearsal/bin:/usr/bin:/bin", "it's $HOME", "1"]


@pytest.mark.parametrize("shell", SHELLS)
def test_one_command_takes_them_back(shell: str, text: str) -> None:
    assert run(shell, f"{text}; rehearsal_off; {SHOW}") == BEFORE


@pytest.mark.parametrize("shell", SHELLS)
def test_reading_them_twice_keeps_what_was_before(shell: str, text: str) -> None:
    assert run(shell, f"{text}; {text}; rehearsal_off; rehearsal_off; {SHOW}") == BEFORE


def test_a_program_finds_what_was_before(text: str) -> None:
    shown = run("sh", f"{text}; env -0 | tr '\\0' '\\n'")
    inside = dict(line.split("=", 1) for line in shown if "=" in line)
    before = environment.without(inside)
    assert before["HTTPS_PROXY"] == 'http://corp"$x:1'
    assert before["PATH"] == "/usr/bin:/bin"
    assert before["PLAIN"] == ""
    assert not [name for name in before if name == "NEW" or name.startswith("GCP_EMULATOR")]
