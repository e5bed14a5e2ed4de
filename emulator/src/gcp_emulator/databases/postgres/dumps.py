"""Databases as SQL, written and read by PostgreSQL's own programs.

Of what a dump says neither owners nor rights are kept, and no comments on what an ordinary user does not own: whoever loads it owns what it makes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from gcp_emulator.databases.postgres.cluster import ADMIN, Cluster
from gcp_emulator.databases.process import ServerError, run

#: Where the distributions have programs of each major version.
_USUAL_PLACES = "usr/lib/postgresql/*/bin"
_NOT_OURS = re.compile(rb"^COMMENT ON (?:EXTENSION|SCHEMA public)\b.*\n", re.MULTILINE)


def dump(cluster: Cluster, database: str) -> bytes:
    """All of a database. ServerError when a program is missing or fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "dump.sql")
        arguments = [_program(cluster, "pg_dump"), "--format=plain", "--no-owner", "--no-privileges"]
        run(
            [*arguments, f"--file={path}"],
            what=f"pg_dump of {database}",
            extra_environment=_where(cluster, database),
        )
        return _NOT_OURS.sub(b"", path.read_bytes())


def load(cluster: Cluster, database: str, user: str, sql: bytes) -> None:
    """Runs a dump as ``user``, all of it or nothing. ServerError when a program is missing or fails."""
    quoted = user.replace('"', '""')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "dump.sql")
        path.write_bytes(f'SET SESSION AUTHORIZATION "{quoted}";\n'.encode() + sql)
        arguments = [
            _program(cluster, "psql"),
            "--no-psqlrc",
            "--quiet",
            "--single-transaction",
            "--set=ON_ERROR_STOP=1",
        ]
        run(
            [*arguments, f"--file={path}"],
            what=f"psql of {database}",
            extra_environment=_where(cluster, database),
        )


def _where(cluster: Cluster, database: str) -> dict[str, str]:
    """How PostgreSQL's programs find the server: nothing of it is on their command line."""
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(cluster.port),
        "PGUSER": ADMIN,
        "PGPASSWORD": cluster.password,
        "PGDATABASE": database,
    }


def _program(cluster: Cluster, name: str) -> str:
    """The server's own program, or a newer one: an older pg_dump refuses, and what it wrote an older psql may not read."""
    found = [Path(cluster.binaries.program(name)), *Path("/").glob(f"{_USUAL_PLACES}/{name}")]
    if on_path := shutil.which(name):
        found.append(Path(on_path))
    majors = {path: _major(path) for path in found if path.is_file()}
    fitting = [path for path, major in majors.items() if major >= cluster.binaries.major]
    if not fitting:
        wanted = cluster.binaries.major
        raise ServerError(
            f"There is no {name} of PostgreSQL {wanted} or newer on this machine, which an export or import of a PostgreSQL {wanted} needs: "
            f"install postgresql-client-{wanted}."
        )
    return str(min(fitting, key=lambda path: majors[path]))


def _major(path: Path) -> int:
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+", told)
    return int(found[0]) if found else 0
