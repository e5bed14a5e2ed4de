"""Virtual environments below .cache for what tests need in other versions than the suite's own."""

from __future__ import annotations

import fcntl
import functools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"
BIN = Path(sys.executable).parent
#: What of pip's configuration uv has a variable for.
_WORDS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
#: As it is before fixtures send everything to the emulator.
_ENVIRONMENT = dict(os.environ)


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Layers of tests run at the same time, each in a process of its own, and ask for the same folders."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(python: str, folder: Path, *packages: str) -> None:
    """Makes the environment, unless it is there whole, with these packages."""
    whole = folder / "whole"
    listed = "\n".join(packages)
    if whole.exists() and whole.read_text("utf-8") == listed:
        return
    # uv takes a second where pip takes twelve, and a run of all tests makes some fifteen. With pip in it: tools ask for it.
    uv("venv", "--clear", "--seed", "--python", python, str(folder))
    uv("pip", "install", "--python", str(folder / "bin" / "python"), *packages)
    whole.write_text(listed, "utf-8")


def uv(*words: str) -> None:
    """Runs uv with what pip is told here of indexes and certificates."""
    environment = {
        "UV_CACHE_DIR": str(CACHE / "uv"),
        "UV_PYTHON_DOWNLOADS": "never",
        **_as_pip(),
        **_ENVIRONMENT,
    }
    subprocess.run([BIN / "uv", "--quiet", *words], check=True, env=environment)


@functools.cache
def _as_pip() -> dict[str, str]:
    """uv reads no configuration of pip, whose words are here also its own."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, env=_ENVIRONMENT, capture_output=True, text=True).stdout
    # A line is: global.index-url='https://...'; the environment comes last, and outweighs the files.
    found = {
        line.partition("=")[0].rpartition(".")[2]: shlex.split(line.partition("=")[2])[0]
        for line in listed.splitlines()
    }
    return {name: found[word] for word, name in _WORDS.items() if word in found}


def pythons() -> list[str]:
    """The suite's own Python first, then those in PATH and pyenv's."""
    named = [shutil.which(name) for name in ("python3.13", "python3.12")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [sys.executable, *filter(None, named), *map(str, sorted(pyenv.glob("3.1[23].*/bin/python")))]


def version_of(python: str) -> tuple[int, ...]:
    """Major and minor version; (0,) for what is no Python, such as pyenv's stand-in for a version that is not chosen."""
    line = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", line], capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else (0,)
