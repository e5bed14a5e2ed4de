"""`tools/bootstrap.sh` in a small checkout of its own: every way into it ends with a .venv that works, or says why not."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pythons import uv

ROOT = Path(__file__).resolve().parents[2]
#: How long a set-up may take on a machine that does much else, in seconds.
_PATIENCE = 600
#: A package that builds itself, without anything from an index, the way pip asks for it (PEP 517 and 660).
BACKEND = """
import os, time, zipfile

def build_editable(folder, settings=None, metadata=None):
    while os.path.exists(os.environ.get("HOLD", "")):
        time.sleep(0.01)
    name = "gcp_emulator-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("gcp_emulator.pth", os.path.abspath("src"))
        wheel.writestr("gcp_emulator-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: gcp-emulator\\nVersion: 1\\n")
        wheel.writestr("gcp_emulator-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("gcp_emulator-1.dist-info/entry_points.txt", "[console_scripts]\\ngcp-emulator = gcp_emulator:main\\n")
        wheel.writestr("gcp_emulator-1.dist-info/RECORD", "")
    return name
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "gcp-emulator"
version = "1"
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def small_checkout(folder: Path) -> Path:
    """A checkout whose requirements are none and whose emulator finds PostgreSQL and may run bubblewrap."""
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "bootstrap.sh", folder / "tools")
    write(folder / "requirements" / "rehearse.txt", "")
    write(folder / "emulator" / "pyproject.toml", PROJECT)
    write(folder / "emulator" / "backend.py", BACKEND)
    package = folder / "emulator" / "src" / "gcp_emulator"
    write(package / "__init__.py", "def main():\n    print(__file__)\n")
    write(package / "databases" / "postgres" / "binaries.py", "def find_binaries():\n    return [1]\n")
    write(package / "workloads" / "sandbox" / "probe.py", "")
    return folder


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {**kept, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, **more}


def begin(checkout: Path, purpose: str = "rehearse", **more: str) -> subprocess.Popen[str]:
    """A start of the program in a session of its own, as a terminal gives it."""
    return subprocess.Popen(
        ["bash", str(checkout / "tools" / "bootstrap.sh"), purpose],
        cwd="/",
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # What runs the tests in the background may have told them to ignore it, which a shell cannot change.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(checkout: Path, purpose: str = "rehearse", **more: str) -> tuple[int, str]:
    process = begin(checkout, purpose, **more)
    output = process.communicate(timeout=_PATIENCE)[0]
    return process.returncode, output


def works(checkout: Path) -> bool:
    """Whether what pip installed runs, and is this checkout's."""
    done = subprocess.run([checkout / ".venv/bin/gcp-emulator"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.startswith(f"{checkout}/")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return small_checkout(tmp_path / "a checkout")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that is set up, to be copied."""
    folder = small_checkout(tmp_path_factory.mktemp("made") / "checkout")
    status, output = run(folder)
    assert status == 0, output
    return folder


@pytest.fixture
def set_up(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The checkout that is set up, in its place; as it was, afterwards."""
    kept = tmp_path / "kept"
    shutil.copytree(made, kept, symlinks=True)
    yield made
    shutil.rmtree(made, ignore_errors=True)
    shutil.move(kept, made)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.01)


@pytest.mark.parametrize("python", ["3.11.0", "3.13.0"])
@pytest.mark.parametrize("purpose", ["rehearse", "test", "audit"])
def test_what_is_locked_is_there_for_each_python_that_is_taken(
    purpose: str, python: str, tmp_path: Path
) -> None:
    """Debian 12 has 3.11.2, and versions of packages that want 3.11.5 are not for it."""
    options = ("--dry-run", "--require-hashes", "--python-version", python, "--target", str(tmp_path))
    uv("pip", "install", *options, "--requirements", str(ROOT / "requirements" / f"{purpose}.txt"))


def test_a_set_up_works_and_a_second_one_does_nothing(set_up: Path) -> None:
    assert works(set_up)
    assert not list(set_up.glob(".venv.*"))
    assert run(set_up) == (0, "")
    assert run(set_up, "check") == (0, "")


def test_what_tests_need_serves_a_rehearsal_too(set_up: Path) -> None:
    """Tests rehearse: a .venv that was made anew for that would change under them."""
    write(set_up / "requirements" / "test.txt", "")
    stamp = 'source <(sed -n "/^wanted()/,/^}/p" tools/bootstrap.sh); checkout=$PWD; wanted test >.venv/.installed-test'
    subprocess.run(["bash", "-c", stamp], cwd=set_up, check=True)
    (set_up / ".venv/.installed-rehearse").unlink()
    before = (set_up / ".venv").stat().st_ino
    assert run(set_up) == (0, "")
    assert (set_up / ".venv").stat().st_ino == before


@pytest.mark.parametrize(
    ("moment", "number"),
    [("pyvenv.cfg", signal.SIGKILL), ("bin/pip", signal.SIGINT), ("pip.log", signal.SIGKILL)],
    ids=["making", "pip", "installing"],
)
def test_an_interrupted_set_up_goes_on(
    checkout: Path, moment: str, number: signal.Signals, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    process = begin(checkout, HOLD=str(hold))
    wait_for(checkout / ".venv.new" / moment)
    os.killpg(process.pid, number)
    output = process.communicate(timeout=_PATIENCE)[0]
    assert process.returncode != 0
    assert "Traceback" not in output
    assert "bootstrap.sh: line" not in output
    assert not (checkout / ".venv").exists()
    assert (
        run(checkout, "check")[1] == "error: nothing has been rehearsed in this checkout yet: make rehearse\n"
    )
    hold.unlink()
    status, output = run(checkout)
    assert (status, works(checkout)) == (0, True), output


def test_one_that_was_killed_between_the_renamings_goes_on(set_up: Path) -> None:
    (set_up / ".venv").rename(set_up / ".venv.old")
    assert run(set_up) == (0, "")
    assert works(set_up)


def test_a_folder_that_an_interrupted_set_up_of_old_left_is_made_anew(checkout: Path) -> None:
    subprocess.run(["python3", "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    assert run(checkout, "check")[0] == 1
    status, output = run(checkout)
    assert (status, works(checkout)) == (0, True), output


def test_of_two_at_once_one_waits_for_the_other(checkout: Path, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    first = begin(checkout, HOLD=str(hold))
    wait_for(checkout / ".venv.new" / "pip.log")
    second = begin(checkout)
    assert second.stdout is not None
    assert second.stdout.readline() == "==> waiting for another set-up of this checkout\n"
    hold.unlink()
    outputs = [process.communicate(timeout=_PATIENCE)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert outputs[1] == ""
    assert works(checkout)


def test_a_checkout_that_was_moved_is_set_up_anew(set_up: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    set_up.rename(moved)
    status, output = run(moved, "check")
    assert status == 1
    assert "the checkout was moved" in output
    assert output.rstrip().endswith(": make rehearse")
    status, output = run(moved)
    assert (status, works(moved)) == (0, True), output


def test_other_requirements_are_brought_in_without_losing_what_works(set_up: Path) -> None:
    (set_up / "requirements" / "rehearse.txt").write_text(
        "nowhere==1 --hash=sha256:" + "0" * 64 + "\n", "utf-8"
    )
    status, output = run(set_up)
    assert status == 1
    assert output.splitlines()[-1].startswith("error: pip could not install what is needed")
    assert works(set_up), "what worked has to go on working"


def test_without_a_network_it_says_so_within_seconds(checkout: Path) -> None:
    (checkout / "requirements" / "rehearse.txt").write_text(
        "nowhere==1 --hash=sha256:" + "0" * 64 + "\n", "utf-8"
    )
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{unused.getsockname()[1]}/simple"
        status, output = run(checkout, PIP_NO_INDEX="0", PIP_INDEX_URL=index, NO_PROXY="*", no_proxy="*")
    assert status == 1
    assert output.splitlines()[-1].startswith("error: pip reaches no index of packages from here")
    assert "Traceback" not in output


@pytest.fixture
def bare(checkout: Path, tmp_path: Path) -> Path:
    """The programs of a machine without bubblewrap and apt-get, whose Python has no venv, for a checkout that finds no PostgreSQL."""
    write(
        checkout / "emulator/src/gcp_emulator/databases/postgres/binaries.py",
        "def find_binaries():\n    return []\n",
    )
    programs = tmp_path / "programs"
    programs.mkdir()
    for path in [*Path("/bin").iterdir(), *Path("/usr/bin").iterdir()]:
        if path.name not in ("bwrap", "apt-get", "sudo") and not (programs / path.name).is_symlink():
            (programs / path.name).symlink_to(path)
    program(programs / "python", f'case "$*" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"')
    return programs


def program(path: Path, lines: str) -> None:
    write(path, f"#!/bin/bash\n{lines}\n")
    path.chmod(0o755)


def test_who_may_not_install_packages_is_told_all_of_them_before_anything_is_made(
    checkout: Path, bare: Path
) -> None:
    status, output = run(checkout, PATH=str(bare), PYTHON=str(bare / "python"))
    assert status == 1
    assert output.endswith(": sudo apt-get install python3-venv bubblewrap postgresql\n"), output
    assert not (checkout / ".venv.new").exists()


def test_all_packages_that_are_missing_are_installed_at_once(
    checkout: Path, bare: Path, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    program(bare / "apt-get", f'echo "$*" >>"{asked}"')
    program(bare / "sudo", 'shift\nexec "$@"')
    run(checkout, PATH=str(bare), PYTHON=str(bare / "python"))
    (updated, installed, *_later) = asked.read_text("utf-8").splitlines()
    assert updated.startswith("update")
    assert installed.endswith(" python3-venv bubblewrap postgresql")


def test_a_checkout_that_cannot_be_written_says_so(checkout: Path) -> None:
    user = 65534 if os.geteuid() == 0 else None
    if user is None:
        checkout.chmod(0o555)
    else:
        for folder in (checkout, *checkout.parents):
            if folder.is_relative_to(tempfile.gettempdir()):
                folder.chmod(folder.stat().st_mode | 0o555)
    try:
        done = subprocess.run(
            ["bash", str(checkout / "tools" / "bootstrap.sh"), "rehearse"],
            env=environment(HOME="/"), capture_output=True, text=True, check=False, user=user,
        )  # fmt: skip
    finally:
        checkout.chmod(0o755)
    assert done.returncode == 1
    assert f"{checkout} cannot be written by " in done.stderr
    assert "git clone" in done.stderr
    assert "venv module" not in done.stderr


def test_a_machine_that_forbids_bubblewrap_is_told_before_anything_is_built(set_up: Path) -> None:
    why = "Applications cannot be run: this machine refuses to make a sandbox (bwrap: loopback: Failed RTM_NEWADDR)."
    probe = set_up / "emulator/src/gcp_emulator/workloads/sandbox/probe.py"
    probe.write_text(f"import sys\nsys.exit({why!r})\n", "utf-8")
    assert run(set_up) == (1, f"error: {why}\n")
    # Containers need no bubblewrap.
    assert run(set_up, REHEARSAL_RUNTIME="docker") == (0, "")


def test_a_broken_emulator_is_not_taken_for_a_missing_postgresql(set_up: Path) -> None:
    (set_up / "emulator/src/gcp_emulator/databases/postgres/binaries.py").write_text(
        "import nowhere\n", "utf-8"
    )
    status, output = run(set_up)
    assert status == 1
    assert "no PostgreSQL server found" not in output
    assert output.splitlines()[-1].startswith("error: the emulator in .venv cannot be used")


def test_a_shell_that_leads_to_a_stopped_rehearsal_still_sets_up(checkout: Path) -> None:
    """Its proxy does not listen; what was the machine's own is used."""
    status, output = run(
        checkout, HTTPS_PROXY="http://127.0.0.1:9", GCP_EMULATOR_VARIABLES="HTTPS_PROXY PIP_NO_INDEX",
        GCP_EMULATOR_OLD_PIP_NO_INDEX="1", PIP_NO_INDEX="0",
    )  # fmt: skip
    assert (status, works(checkout)) == (0, True), output
