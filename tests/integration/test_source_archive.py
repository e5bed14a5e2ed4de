"""The module source_archive, which asks nobody: what Ansible writes with it is what a build would upload."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(options: dict[str, Any], *further: str) -> dict[str, Any]:
    """What the module says."""
    done = subprocess.run(
        [
            *(ROOT / ".venv/bin/ansible", "localhost", "-i", "localhost,", "-c", "local"),
            *("-m", "org.djangogcp.source_archive", "-a", json.dumps(options), *further),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout.partition("=>")[2]
    assert told, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(told)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    found = tmp_path / "shop"
    found.mkdir()
    (found / "manage.py").write_text("print('shop')\n")
    (found / ".env").write_text("SECRET_KEY=not-for-servers\n")
    return found


def test_a_life(source: Path, tmp_path: Path) -> None:
    dest = tmp_path / "shop.tar.gz"
    options = {
        "source_dir": str(source),
        "dest": str(dest),
        "extra_files": {".overlay/more.py": "more = 1\n"},
    }
    planned = run(options, "--check")
    assert (planned["changed"], dest.exists()) == (True, False)
    made = run(options)
    assert (made["changed"], made["files"], made["digest"]) == (True, 2, planned["digest"])
    with tarfile.open(dest) as archive:
        assert sorted(archive.getnames()) == [".overlay/more.py", "manage.py"]
    assert not run(options)["changed"]
    (source / "manage.py").write_text("print('another shop')\n")
    assert run(options)["digest"] != made["digest"]


def test_what_cannot_be_packed_or_written_is_said(source: Path, tmp_path: Path) -> None:
    absent = run({"source_dir": str(source / "absent"), "dest": str(tmp_path / "a.tar.gz")})
    assert absent["msg"].startswith(f"Failed to pack the source {source / 'absent'}: it is not a folder.")
    dest = tmp_path / "absent" / "a.tar.gz"
    refused = run({"source_dir": str(source), "dest": str(dest)})
    assert (
        refused["msg"]
        == f"Failed to write the archive {dest}: No such file or directory. Choose another dest."
    )
