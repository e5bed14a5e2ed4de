"""The time limits of a migration's sessions (roles/app/files/migrate.py), with a PostgreSQL and each MySQL server that is here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from gcp_emulator.databases.mysql import accounts
from gcp_emulator.databases.mysql import binaries as mysql
from gcp_emulator.databases.mysql.server import MysqlServer
from gcp_emulator.databases.postgres import binaries as postgres
from gcp_emulator.databases.postgres.cluster import ADMIN, Cluster

from tests.overlay.djangos import GIVEN, OVERLAY, ROOT

PROGRAM = (ROOT / "collections/ansible_collections/org/djangogcp/roles/app/files/migrate.py").read_text(
    "utf-8"
)
SERVERS = [*postgres.find_binaries()[:1], *mysql.find_binaries()]
if not SERVERS:
    pytest.skip("no server programs are installed", allow_module_level=True)

INITIAL = """
from django.db import migrations, models

class Migration(migrations.Migration):
    operations = [migrations.CreateModel("Thing", [("id", models.AutoField(primary_key=True))])]
"""
NEXT = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("things", "0001_x")]
    operations = [OPERATION]
"""
#: A session that has read the table and does not end its transaction until its input ends.
READER = """
import sys, django
django.setup()
from django.db import connection, transaction
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("SELECT count(*) FROM things_thing")
    cursor.fetchall()
    print("reads", flush=True)
    sys.stdin.read()
"""
SLOW = (
    "migrations.RunSQL(\"CREATE FUNCTION slow(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1 FROM pg_sleep(30)'\"),"
    " migrations.RunSQL('INSERT INTO things_thing DEFAULT VALUES'),"
    " migrations.RunSQL('CREATE INDEX slow_index ON things_thing (slow(id))')"
)


@pytest.fixture(scope="module", params=SERVERS, ids=lambda one: f"{type(one).__module__}-{one.version}")
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty database."""
    folder = tmp_path_factory.mktemp("server")
    if request.param in postgres.find_binaries():
        cluster = Cluster(folder / "cluster", request.param)
        cluster.create()
        cluster.start()
        yield f"postgres://{ADMIN}:{quote(cluster.password, safe='')}@127.0.0.1:{cluster.port}/postgres"
        cluster.stop()
        return
    server = MysqlServer(folder, request.param)
    server.create()
    server.start()
    accounts.bootstrap(server, None, accounts.CACHING_SHA2)
    accounts.create_database(server, "shop", "utf8mb4", None)
    accounts.put_user(server, "shop_migrator", "%", "x", accounts.CACHING_SHA2, None)
    yield f"mysql://shop_migrator:x@127.0.0.1:{server.port}/shop?charset=utf8mb4"
    server.stop()


class Site:
    """A project with one table in that database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._environment = {
            **GIVEN,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{OVERLAY}:{folder}",
            "DATABASE_URL": url,
        }
        subprocess.run([sys.executable, "-m", "django", "startproject", "shop", folder], check=True)
        with (folder / "shop/settings.py").open("a", encoding="utf-8") as settings:
            settings.write("INSTALLED_APPS += ['things']\n")
        (folder / "things/migrations").mkdir(parents=True)
        for name in ("__init__", "models", "migrations/__init__"):
            (folder / f"things/{name}.py").touch()
        (folder / "things/migrations/0001_x.py").write_text(INITIAL, "utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=self.folder, env=self._environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def migrate(self, lock: int, statement: int) -> tuple[int, dict[str, Any], str]:
        """The exit code, what the deploy is told, and all that was printed."""
        call = f"{PROGRAM}\nmigrate({lock}, {statement})"
        with self.start("manage.py", "shell", "-v", "0", "-c", call) as run:
            printed = run.communicate()[0]
        told = [line for line in printed.splitlines() if line.startswith("djangogcp_migrate: ")]
        assert len(told) == 1, printed
        return run.returncode, json.loads(told[0].partition(" ")[2]), printed

    def next(self, operation: str) -> None:
        (self.folder / "things/migrations/0002_x.py").write_text(
            NEXT.replace("OPERATION", operation), "utf-8"
        )


def test_a_statement_waits_for_a_table_no_longer_than_it_may(url: str, tmp_path: Path) -> None:
    site = Site(tmp_path, url)
    code, _, printed = site.migrate(0, 0)
    assert code == 0, printed
    site.next("migrations.AddField('thing', 'x', models.IntegerField(null=True))")
    with site.start("-c", READER) as reader:
        assert reader.stdout
        assert reader.stdout.readline() == "reads\n"
        began = time.monotonic()
        code, told, printed = site.migrate(1, 60)
        waited = time.monotonic() - began
        reader.communicate("")
    assert code == 1, printed
    assert "Applying things.0002_x..." in printed
    assert waited < 20
    passed = told["passed"]
    assert (passed["limit"], passed["seconds"], passed["table"]) == ("lock", 1, "things_thing")
    if url.startswith("postgres"):
        (holder,) = passed["holders"]
        assert holder.endswith(f" of {ADMIN} (AccessShareLock)")
        site.next(SLOW)
        code, told, printed = site.migrate(1, 1)
        assert code == 1, printed
        assert told["passed"] == {"limit": "statement", "seconds": 1, "table": "things_thing", "holders": []}
        # Python and SQL that keep nobody from a table have all the time of the job.
        site.next(
            SLOW.partition(", migrations.RunSQL('CREATE")[0] + ", migrations.RunSQL('SELECT pg_sleep(2)')"
        )
        assert site.migrate(1, 1)[0] == 0
    else:
        site.next("migrations.AddField('thing', 'y', models.IntegerField(null=True))")
        code, told, printed = site.migrate(1, 1)
        assert code == 0, printed
