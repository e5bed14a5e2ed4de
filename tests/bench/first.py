"""From `git clone` of a stranger's project to its rehearsed page, with the four commands that a person types."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import requests

from tests.bench.table import Row
from tests.e2e import projects
from tests.e2e.rehearsal import BIN, ROOT

_TARGET_SECONDS = 300.0
#: What a person in a new folder types. Where this repository is, is the only thing that is not said as in the README.
_COMMANDS = (
    "git clone --quiet {shop}",
    "git clone --quiet {here} djangogcp",
    "cd djangogcp",
    "make rehearse SOURCE=../shop",
)


def measure(folder: Path) -> list[Row]:
    """Measures it once: everything that a first run fetches and makes is in it, but for packages of the system that are there already."""
    work = folder / "new"
    work.mkdir()
    commands = "\n".join(_COMMANDS).format(shop=_stranger(folder / "origin" / "shop"), here=ROOT)
    # What this checkout runs with is not what a person has.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PIP_CACHE_DIR", "VIRTUAL_ENV", "XDG_CACHE_HOME")
        and not name.startswith(("ANSIBLE", "GCP_EMULATOR", "REHEARSAL"))
    }
    kept["PATH"] = os.pathsep.join(one for one in kept["PATH"].split(os.pathsep) if one != str(BIN))
    begin = time.perf_counter()
    try:
        run = _bash(commands, work, kept)
        address = re.search(r"http://(shop-\S+\.localhost):(\d+)", run)
        if address is None:
            raise RuntimeError(run[-5000:])
        # As a browser finds it, to which every name below localhost is this machine.
        page = requests.get(
            f"http://127.0.0.1:{address[2]}/admin/login/", headers={"Host": address[0][7:]}, timeout=60
        )
        seconds = time.perf_counter() - begin
    finally:
        _bash("make rehearse-clean", work / "djangogcp", kept)
    if "Django administration" not in page.text:
        raise RuntimeError(f"{page.status_code}: {page.text[:2000]}")
    return [
        Row(
            "from git clone of a stranger's project to its rehearsed page",
            f"{seconds:.0f} s",
            f"{len(_COMMANDS)} commands",
            f"{_TARGET_SECONDS:.0f} s",
            seconds <= _TARGET_SECONDS,
        )
    ]


def _stranger(folder: Path) -> Path:
    """A repository of Git with what `django-admin startproject` writes, and one line of requirements."""
    projects.unedited(folder)
    who = ("-c", "user.name=stranger", "-c", "user.email=stranger@example.com")
    for words in (("init", "--quiet"), ("add", "."), (*who, "commit", "--quiet", "--message", "Begin")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def _bash(commands: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{commands}\n{done.stdout[-5000:]}")
    return done.stdout
