"""Runs a command with a PostgreSQL server of its own: `on_postgres.py COMMAND ...`.

The command finds the server's URL in TEST_DATABASE_URL. Without PostgreSQL's server programs it says so and runs nothing; on CI
that is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from gcp_emulator.databases.postgres.binaries import find_binaries
from gcp_emulator.databases.postgres.cluster import ADMIN, Cluster


def main() -> int:
    """Runs the command; returns its exit status."""
    found = find_binaries()
    if not found:
        print(
            "skipped: no PostgreSQL server programs are installed (the package postgresql has them)",
            flush=True,
        )
        return 1 if "CI" in os.environ else 0
    # Short, and reachable for the account that the server runs as: not below this checkout.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        cluster = Cluster(Path(folder) / "cluster", found[0])
        cluster.create()
        cluster.start()
        try:
            print(f"on PostgreSQL {found[0].version}", flush=True)
            url = f"postgres://{ADMIN}:{cluster.password}@127.0.0.1:{cluster.port}/postgres"
            return subprocess.run(
                sys.argv[1:], env={**os.environ, "TEST_DATABASE_URL": url}, check=False
            ).returncode
        finally:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
