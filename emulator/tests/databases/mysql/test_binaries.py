"""Which MySQL server is found, and which is taken for a version."""

from __future__ import annotations

from pathlib import Path

import pytest
from gcp_emulator.databases.mysql.binaries import MysqlBinaries, find_binaries, nearest


def fake(version: str) -> MysqlBinaries:
    return MysqlBinaries(version, ("mysqld",), Path("/b"), Path("/s"))


def program(folder: Path, answer: str) -> Path:
    """A folder with a program that tells a version as mysqld does."""
    (folder / "bin").mkdir(parents=True)
    (folder / "share/english").mkdir(parents=True)
    (folder / "share/english/errmsg.sys").touch()
    server = folder / "bin/mysqld"
    server.write_text(f"#!/bin/sh\necho '{answer}'\n")
    server.chmod(0o755)
    return folder / "bin"


@pytest.mark.parametrize(
    ("asked", "there", "taken"),
    [
        ((8, 0), ["9.7.4", "8.4.3", "8.0.41", "8.0.15"], "8.0.41"),
        ((8, 4), ["9.7.4", "8.4.3", "8.0.15"], "8.4.3"),
        ((8, 4), ["9.7.4", "9.1.0", "8.0.15"], "9.1.0"),
        ((8, 0), ["9.7.4"], "9.7.4"),
        ((8, 4), ["8.0.41", "8.0.15"], "8.0.41"),
    ],
)
def test_the_same_series_is_taken_then_a_later_one(
    asked: tuple[int, int], there: list[str], taken: str
) -> None:
    assert nearest([fake(version) for version in there], asked).version == taken


def test_without_a_server_nearest_says_so() -> None:
    with pytest.raises(LookupError, match=r"^No MySQL server program was found\.$"):
        nearest([], (8, 0))


def test_what_a_site_may_meet_otherwise_is_told() -> None:
    assert fake("8.0.41").differences((8, 0)) == []
    assert fake("9.7.4").differences((8, 4)) == ["it is of another series"]
    assert fake("9.7.4").differences((8, 0))[1].startswith("accounts have caching_sha2_password")
    assert fake("8.0.15").differences((8, 0)) == [
        "it does not enforce CHECK constraints, and lets everybody into the database mysql"
    ]


def test_mysql_from_8_0_is_found_and_nothing_else(tmp_path: Path) -> None:
    told = {
        "new": "mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)",
        "old": "mysqld  Ver 5.7.44 for Linux on x86_64 (MySQL Community Server (GPL))",
        "other": "mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
    }
    places = [program(tmp_path / name, answer) for name, answer in told.items()]
    found = [one for one in find_binaries(places) if one.base_dir.is_relative_to(tmp_path)]
    assert [(one.version, one.base_dir.name) for one in found] == [("8.4.3", "new")]


def test_a_server_with_a_loader_of_its_own_is_run_by_it(tmp_path: Path) -> None:
    place = program(tmp_path / "server", "not asked")
    loader = tmp_path / "server/lib/ld-linux-x86-64.so.2"
    loader.parent.mkdir()
    loader.write_text("#!/bin/sh\necho 'mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))'\n")
    loader.chmod(0o755)
    (found,) = (one for one in find_binaries([place]) if one.base_dir == tmp_path / "server")
    assert found.command == (str(loader), "--library-path", str(loader.parent), str(place / "mysqld"))
