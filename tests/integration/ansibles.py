"""ansible-core in other versions than the suite's own, each in a virtual environment below .cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

#: The oldest and the newest that the collection is for, with the Python that each needs at least.
OTHERS = {"2.18.19": (3, 11), "2.21.5": (3, 12)}
BUILDER = "3.1.0"
_CACHE = Path(__file__).resolve().parents[2] / ".cache"
_WITH = ("requests", "google-auth")
#: As it is before fixtures send everything to the emulator.
_ENVIRONMENT = dict(os.environ)


def programs(core: str) -> Path | None:
    """The folder with ansible-playbook and python of a version; None where no Python can run it."""
    least = OTHERS[core]
    python = next((found for found in _pythons() if least <= _version_of(found) < (3, 14)), None)
    if python is None:
        return None
    folder = _CACHE / f"ansible-{core}-{'.'.join(map(str, _version_of(python)))}"
    with _alone():
        _install(python, folder, f"ansible-core=={core}", *(f"{name}=={version(name)}" for name in _WITH))
    return folder / "bin"


def builder() -> Path:
    """ansible-builder, which makes the images that AWX runs collections in."""
    folder = _CACHE / f"ansible-builder-{BUILDER}"
    with _alone():
        _install(sys.executable, folder, f"ansible-builder=={BUILDER}")
    return folder / "bin" / "ansible-builder"


@contextmanager
def _alone() -> Iterator[None]:
    """Layers of tests run at the same time, each in a process of its own, and ask for the same folders."""
    _CACHE.mkdir(exist_ok=True)
    with (_CACHE / "ansibles.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(python: str, folder: Path, *packages: str) -> None:
    """Makes the environment, unless it is there whole."""
    whole = folder / "whole"
    if whole.exists():
        return
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", *packages], check=True, env=_ENVIRONMENT)
    whole.touch()


def _pythons() -> list[str]:
    """The suite's own Python first, then those in PATH and pyenv's."""
    named = [shutil.which(name) for name in ("python3.13", "python3.12")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [sys.executable, *filter(None, named), *map(str, sorted(pyenv.glob("3.1[23].*/bin/python")))]


def _version_of(python: str) -> tuple[int, ...]:
    """Major and minor version; (0,) for what is no Python, such as pyenv's stand-in for a version that is not chosen."""
    line = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", line], capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else (0,)
