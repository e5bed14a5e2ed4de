"""The rights of a site's users in each MySQL server that is here, given by the statements of the role `database`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gcp_emulator.databases.mysql", reason="the emulator runs no MySQL server")

import jinja2.nativetypes
import pymysql
import yaml
from ansible_collections.org.djangogcp.plugins.module_utils._sql_statements import interpolated
from gcp_emulator.databases.mysql import accounts
from gcp_emulator.databases.mysql.binaries import MysqlBinaries, find_binaries
from gcp_emulator.databases.mysql.server import MysqlServer

BINARIES = find_binaries()
if not BINARIES:
    pytest.skip("no MySQL server programs are installed", allow_module_level=True)

ROLE = Path(__file__).parents[2] / "collections/ansible_collections/org/djangogcp/roles/database"
WRITTEN = yaml.safe_load((ROLE / "vars/main/mysql.yml").read_text("utf-8"))
NAMES = {"database": "shop", "web": "shop_web_1", "migrator": "shop_migrator"}
ROWS = ("INSERT INTO shop.orders VALUES (1)", "SELECT * FROM shop.orders", "UPDATE shop.orders SET id = 2")
TABLES = ("TRUNCATE shop.orders", "ALTER TABLE shop.orders ADD name text", "CREATE TABLE shop.more (id int)")
NEVER = (
    "CREATE TABLE other.orders (id int)",
    "SELECT * FROM other.secrets",
    "SELECT user FROM mysql.user",
    "CREATE USER somebody",
)


@pytest.fixture(scope="module", params=BINARIES, ids=lambda one: one.version)
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MysqlServer]:
    binaries: MysqlBinaries = request.param
    found = MysqlServer(tmp_path_factory.mktemp("mysql"), binaries)
    found.create()
    found.start()
    try:
        accounts.bootstrap(found, None, accounts.CACHING_SHA2)
        yield found
    finally:
        found.stop()


@pytest.fixture
def server(started: MysqlServer) -> Iterator[MysqlServer]:
    """A server with two databases and users as the API makes them, of which a caller is one."""
    users = ("deployer", NAMES["migrator"], NAMES["web"])
    for user in users:
        accounts.put_user(started, user, "%", "a-password", accounts.CACHING_SHA2, None)
    for database in ("shop", "other"):
        accounts.create_database(started, database, "utf8mb4", None)
    assert refusal(started, NAMES["web"], "CREATE TABLE other.secrets (id int)") is None
    yield started
    for user in users:
        accounts.drop_user(started, user, "%")
    for database in ("shop", "other"):
        accounts.drop_database(started, database)


def connected(server: MysqlServer, user: str) -> pymysql.Connection[Any]:
    return pymysql.connect(
        host="127.0.0.1", port=server.port, user=user, password="a-password", autocommit=True
    )


def refusal(server: MysqlServer, user: str, statement: str) -> str | None:
    """What the server says to a statement of a user, None if it does it."""
    with connected(server, user) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(statement)
        except pymysql.MySQLError as error:
            return str(error)
    return None


def ensure(server: MysqlServer, statements: str, rights: str) -> list[str]:
    """What of a list of the role was not fulfilled, and ran as the caller. Whatever ran has to be fulfilled then."""
    variables: dict[str, Any] = {"djangogcp_database_rights": rights}
    for name in ("of_rows", "of_tables", "of_all", "of_web"):
        written = WRITTEN[f"__database_mysql_{name}"]
        native = jinja2.nativetypes.NativeEnvironment()
        variables[f"__database_mysql_{name}"] = (
            native.from_string(written).render(variables) if isinstance(written, str) else written
        )
    ran = []
    with connected(server, "deployer") as connection, connection.cursor() as cursor:
        for statement in WRITTEN[statements]:
            name, check, sql = (
                interpolated(jinja2.Template(statement[part]).render(variables), NAMES)
                for part in ("name", "check", "statement")
            )
            if not cursor.execute(check):
                cursor.execute(sql)
                assert cursor.execute(check), name
                ran.append(name)
    return ran


def test_a_site_reads_and_writes_rows_and_its_migrations_make_tables(server: MysqlServer) -> None:
    assert len(ensure(server, "__database_mysql_rights", "rows")) == 4
    assert ensure(server, "__database_mysql_rights", "rows") == []
    assert ensure(server, "__database_mysql_less", "rows") == []
    # Of a table that is made after the rights.
    assert refusal(server, NAMES["migrator"], "CREATE TABLE shop.orders (id int)") is None
    assert [refusal(server, NAMES["web"], one) for one in ROWS] == [None] * 3
    assert None not in [refusal(server, NAMES["web"], one) for one in (*TABLES, *NEVER)]
    assert None not in [refusal(server, NAMES["migrator"], one) for one in NEVER]


def test_a_site_with_the_right_to_the_schema_has_it_until_it_is_taken(server: MysqlServer) -> None:
    ensure(server, "__database_mysql_rights", "rows")
    assert refusal(server, NAMES["migrator"], "CREATE TABLE shop.orders (id int)") is None
    assert len(ensure(server, "__database_mysql_rights", "schema")) == 1
    assert [refusal(server, NAMES["web"], one) for one in TABLES] == [None] * 3
    assert None not in [refusal(server, NAMES["web"], one) for one in NEVER]
    # What served with it goes on until all traffic is with what needs it no more.
    assert ensure(server, "__database_mysql_rights", "rows") == []
    assert len(ensure(server, "__database_mysql_less", "rows")) == 1
    assert ensure(server, "__database_mysql_less", "rows") == []
    assert None not in [refusal(server, NAMES["web"], one) for one in TABLES]
    assert refusal(server, NAMES["web"], "DELETE FROM shop.orders") is None
