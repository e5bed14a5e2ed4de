"""google.cloud's own collection, taken once from the PyPI package ``ansible`` and kept where ``make`` keeps what it has made."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LOCK = ROOT / "requirements/google-cloud-collection.txt"
_KEPT = ROOT / ".cache/google-cloud-collection"
_FOLDER = "ansible_collections/google/cloud/"


def google_cloud_collection() -> Path:
    """A folder for ``ANSIBLE_COLLECTIONS_PATH`` that holds google.cloud and nothing else."""
    folder = _KEPT / hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]
    if not folder.exists():
        _KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_KEPT) as temporary:
            _extract(Path(temporary) / "made")
            os.rename(Path(temporary) / "made", folder)
    return folder


def _extract(folder: Path) -> None:
    """Downloads the package (50 MB, without the cache of pip) and keeps the one collection."""
    with tempfile.TemporaryDirectory() as downloads:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--require-hashes",
            "--no-cache-dir",
        ]
        subprocess.run([*command, "-r", str(_LOCK), "-d", downloads], check=True, timeout=600)
        [wheel] = Path(downloads).glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            package.extractall(folder, [name for name in package.namelist() if name.startswith(_FOLDER)])
