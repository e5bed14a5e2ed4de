"""Finding MySQL's server program.

A server that was brought (``tools/mysql.py``) is a folder with ``bin/mysqld``, ``share`` and, where it was built for a newer system than
this machine's, the libraries and the loader of that system in ``lib``. One of the distribution is found on PATH. MariaDB is not taken for
MySQL: its passwords (no caching_sha2_password), collations (no utf8mb4_0900_ai_ci) and roles differ in just what a site meets.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_LOADER = "ld-linux-x86-64.so.2"
#: Those of a virtual environment first.
_USUAL_PLACES = (f"{glob.escape(sys.prefix)}/lib/mysql/*/bin", "/usr/sbin", "/usr/local/mysql/bin")
#: Series of MySQL, in which a later release is compatible.
Series = tuple[int, int]


@dataclass(frozen=True)
class MysqlBinaries:
    """One installed MySQL server.

    ``version`` is MySQL's own, for example ``8.0.15``; ``command`` the beginning of a command line that runs the server; ``folders`` all
    that it must reach.
    """

    version: str
    command: tuple[str, ...]
    base_dir: Path
    share_dir: Path

    @property
    def folders(self) -> tuple[Path, ...]:
        return (self.base_dir, self.share_dir)

    @property
    def series(self) -> Series:
        """``(8, 4)`` of 8.4.7."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)

    @property
    def release(self) -> tuple[int, ...]:
        """The version, to be compared."""
        return tuple(int(part) for part in self.version.split("."))

    @property
    def has_native_password(self) -> bool:
        """Whether accounts may have mysql_native_password (https://dev.mysql.com/doc/refman/9.0/en/mysql-nutshell.html: removed in 9.0)."""
        return self.series < (9, 0)

    @property
    def has_partial_revokes(self) -> bool:
        """Whether a database can be taken out of a privilege on all (https://dev.mysql.com/doc/refman/8.0/en/partial-revokes.html)."""
        return self.release >= (8, 0, 16)

    def differences(self, asked: Series) -> list[str]:
        """What a site may meet in this server otherwise than in the version that was asked for; nothing for one of that series."""
        told = []
        if self.series != asked:
            told.append("it is of another series")
        if asked < (8, 4) and not self.has_native_password:
            told.append("accounts have caching_sha2_password, for it has no mysql_native_password")
        if self.release < (8, 0, 16):
            told.append("it does not enforce CHECK constraints, and lets everybody into the database mysql")
        return told


def find_binaries(extra: Iterable[Path] = ()) -> list[MysqlBinaries]:
    """The installed MySQL servers from 8.0 on, newest first, each version once.

    Looks at ``extra`` (folders of programs), ``lib/mysql`` of the virtual environment, the distributions' usual places and PATH.
    """
    places = [*extra]
    for pattern in _USUAL_PLACES:
        places += sorted(Path("/").glob(pattern.lstrip("/")))
    places += [Path(entry) for entry in os.get_exec_path()]
    found: dict[str, MysqlBinaries] = {}
    seen: set[Path] = set()
    for place in places:
        server = place / "mysqld"
        if not (server.is_file() and os.access(server, os.X_OK)) or server.resolve() in seen:
            continue
        seen.add(server.resolve())
        binaries = _inspect(server.resolve())
        if binaries:
            found.setdefault(binaries.version, binaries)
    return sorted(found.values(), key=lambda one: one.release, reverse=True)


def nearest(candidates: list[MysqlBinaries], asked: Series) -> MysqlBinaries:
    """The newest server of that series, else the oldest of a newer one, else the newest that there is. LookupError when there is none."""
    if not candidates:
        raise LookupError("No MySQL server program was found.")
    ordered = sorted(candidates, key=lambda one: one.release)
    same = [one for one in ordered if one.series == asked]
    newer = [one for one in ordered if one.series > asked]
    return (same[-1:] or newer[:1] or ordered[-1:])[0]


def _inspect(server: Path) -> MysqlBinaries | None:
    base_dir = server.parent.parent
    libraries = base_dir / "lib"
    command = [str(server)]
    if (libraries / _LOADER).is_file():
        command = [str(libraries / _LOADER), "--library-path", str(libraries), str(server)]
    try:
        answer = subprocess.run(
            [*command, "--no-defaults", "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return None
    version = re.search(r"Ver (\d+\.\d+\.\d+)", answer)
    if version is None or "MariaDB" in answer:
        return None
    share_dir = next(
        (
            path
            for path in (base_dir / "share", base_dir / "share/mysql")
            if (path / "english/errmsg.sys").is_file()
        ),
        None,
    )
    binaries = MysqlBinaries(version.group(1), tuple(command), base_dir, share_dir or base_dir)
    return binaries if share_dir is not None and binaries.series >= (8, 0) else None
