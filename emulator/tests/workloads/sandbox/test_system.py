"""What images see of this machine's system."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from gcp_emulator.workloads.images import Interpreter
from gcp_emulator.workloads.sandbox import system as module
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable
from gcp_emulator.workloads.sandbox.rootfs import Rootfs
from gcp_emulator.workloads.sandbox.system import System

SYSTEM_PYTHON = Path("/usr/bin/python3")
PYTHON = Interpreter(
    os.path.realpath(sys.executable), sys.base_prefix, ".".join(map(str, sys.version_info[:3]))
)

of_debian = pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="needs the packages of Debian")


@of_debian
def test_a_system_holds_what_the_image_has_and_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = System.of(PYTHON)

    assert made.root.is_relative_to(tmp_path)
    assert (made.root / "usr/bin/bash").stat().st_size == Path("/usr/bin/bash").stat().st_size
    assert os.access(made.root / "usr/bin/bash", os.X_OK)
    assert (made.root / "etc/ld.so.cache").stat().st_size > 0
    for other in (
        "usr/bin/gcc",
        "usr/bin/git",
        "usr/bin/node",
        "usr/bin/psql",
        "usr/include/stdio.h",
        "usr/share/doc/bash",
    ):
        assert not (made.root / other).exists()
    before = made.root.stat().st_ctime_ns
    assert System.of(PYTHON) == made
    assert made.root.stat().st_ctime_ns == before


@of_debian
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="needs the system's python3")
def test_a_system_holds_the_interpreter_when_it_is_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    executable = SYSTEM_PYTHON.resolve()
    made = System.of(Interpreter(str(executable), "/usr", f"{executable.name.removeprefix('python')}.0"))

    assert os.access(f"{made.root}{executable}", os.X_OK)
    assert Path(f"{made.root}/usr/lib/{executable.name}/json/__init__.py").exists()
    assert not Path(f"{made.root}/usr/lib/python3/dist-packages").exists()


def test_what_packages_say_of_others_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "a": ("", "b (>= 1), c:any | d, gone"),
        "b": ("", "a"),
        "d": ("virtual (= 2)", ""),
        "e": ("", "virtual"),
        "f": ("", ""),
    }
    lines = [f"installed\t{name}\t{provides}\t{depends}\n" for name, (provides, depends) in said.items()]
    monkeypatch.setattr(module, "_run", lambda *argv: "".join([*lines, "config-files\tg\t\t\n"]))

    packages, missing = module._installed(["a", "g", "x | e"])

    assert sorted(packages) == ["a", "b", "d", "e"]
    assert missing == ["g"]


def test_without_dpkg_the_compilers_folders_are_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STATUS", tmp_path / "status")
    (tmp_path / "tree").mkdir()
    seen = System.of(PYTHON)

    assert seen.root == Path("/")
    arguments = Rootfs(tmp_path / "tree", PYTHON.executable, seen, PYTHON.binds).arguments()
    if Path("/usr/include").is_dir():
        assert arguments[arguments.index("/usr/include") - 1] == "--tmpfs"
    full = System.of(Interpreter(PYTHON.executable, PYTHON.prefix, PYTHON.version, "full"))
    assert full.masked == PYTHON.masked


@of_debian
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SandboxUnavailable, match=r"set XDG_CACHE_HOME to a folder that can be written"):
        System.of(PYTHON)
