"""A stock project under the overlay, with PyMySQL and each MySQL server that is here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("gcp_emulator.databases.mysql", reason="the emulator runs no MySQL server")

from gcp_emulator.databases.mysql import accounts
from gcp_emulator.databases.mysql.binaries import find_binaries
from gcp_emulator.databases.mysql.server import MysqlServer

from tests.overlay.djangos import GIVEN, OVERLAY

BINARIES = find_binaries()
if not BINARIES:
    pytest.skip("no MySQL server programs are installed", allow_module_level=True)

PASSWORD = "p@ss/w:rd#1"
ASK = """
import json, django
django.setup()
from django.contrib.auth.models import User
from django.db import OperationalError, connection
User.objects.get_or_create(username="é💩")
with connection.cursor() as cursor:
    cursor.execute("SELECT @@sql_mode, @@max_execution_time, @@character_set_client")
    mode, limit, characters = cursor.fetchone()
    try:
        cursor.execute("SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c")
        ended = ""
    except OperationalError as error:
        ended = str(error)
print(json.dumps([User.objects.get(username__startswith="é💩").username, mode, limit, characters, ended]))
"""


@pytest.fixture(scope="module", params=BINARIES, ids=lambda one: one.version)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database whose server a site reaches without a socket."""
    server = MysqlServer(tmp_path_factory.mktemp("mysql"), request.param)
    server.create()
    server.start()
    try:
        accounts.bootstrap(server, None, accounts.CACHING_SHA2)
        accounts.create_database(server, "shop", "utf8mb4", None)
        accounts.put_user(server, "shop_migrator", "%", PASSWORD, accounts.CACHING_SHA2, None)
        yield f"mysql://shop_migrator:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/shop?charset=utf8mb4"
    finally:
        server.stop()


def test_a_stock_project_has_its_tables_and_its_letters_in_mysql(url: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "django", "startproject", "shop", tmp_path], check=True)
    environment = {
        **GIVEN,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{OVERLAY}:{tmp_path}",
        "DATABASE_URL": url,
        "DATABASE_STATEMENT_TIMEOUT": "1",
    }

    def printed(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    printed("manage.py", "migrate", "--noinput")
    # Django warns of a database without the strict mode (mysql.W002).
    assert "no issues" in printed("manage.py", "check", "--database", "default", "--tag", "database")
    user, mode, limit, characters, ended = json.loads(printed("-c", ASK))
    assert (user, limit, characters) == ("é💩", 1000, "utf8mb4")
    # Beside what the server has anyway.
    assert {"STRICT_TRANS_TABLES", "ONLY_FULL_GROUP_BY"} <= set(mode.split(","))
    assert "maximum statement execution time exceeded" in ended
