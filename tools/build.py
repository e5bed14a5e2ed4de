"""``make build``: the collection's tarball, of what is under version control, with the change log of the release that it is.

Usage: build.py [FOLDER]   (where the tarball goes; dist/ if not said)
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
COLLECTION = Path("collections/ansible_collections/org/djangogcp")
BIN = Path(sys.executable).parent


def main() -> int:
    """Builds it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="build.py", description="Builds the collection's tarball.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist")
    folder: Path = parser.parse_args().folder.resolve()
    with tempfile.TemporaryDirectory() as made:
        release = copy(Path(made))
        version = yaml.safe_load((release / "galaxy.yml").read_text("utf-8"))["version"]
        # It looks for the collection by the folders that it is in.
        if (
            version
            not in yaml.safe_load((release / "changelogs/changelog.yaml").read_text("utf-8"))["releases"]
        ):
            _run("antsibull-changelog", "release", "--version", version, folder=release)
        _run("ansible-galaxy", "collection", "build", "--force", "--output-path", str(folder), folder=release)
    return 0


def copy(target: Path) -> Path:
    """Copies the collection's files under version control; returns the collection's folder there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", str(COLLECTION)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        # The action plugins are links to one file, and stay so.
        shutil.copy(ROOT / name, target / name, follow_symlinks=False)
    return target / COLLECTION


def _run(program: str, *arguments: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([BIN / program, *arguments], cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
