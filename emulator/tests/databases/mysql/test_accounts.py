"""Databases and users of a MySQL server, with each that is there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from gcp_emulator.databases.mysql import accounts
from gcp_emulator.databases.mysql.accounts import CACHING_SHA2, Database, User
from gcp_emulator.databases.mysql.server import MysqlServer, initial_data

from emulator.tests.databases.mysql.support import installed, way_of


@pytest.fixture(scope="module", params=installed(), ids=lambda one: one.version)
def server(request: pytest.FixtureRequest) -> Iterator[MysqlServer]:
    """A server with what Cloud SQL puts into it, and the database ``shop``."""
    folder = Path(tempfile.mkdtemp(prefix="mysql-test-"))
    folder.chmod(0o755)
    made = MysqlServer(folder / "server", request.param)
    made.create(initial_data(request.param))
    made.start()
    accounts.bootstrap(made, "r00t", way_of(request.param))
    accounts.create_database(made, "shop", None, None)
    yield made
    made.destroy()
    shutil.rmtree(folder)


def run(server: MysqlServer, user: str, password: str, *statements: str) -> Any:
    """The rows of the last statement."""
    with server.connect(None, user, password) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def refusal(server: MysqlServer, user: str, password: str, *statements: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as caught:
        run(server, user, password, *statements)
    return caught.value.args[0], caught.value.args[-1]


def test_root_is_there_and_agents_and_roles_are_not_told(server: MysqlServer) -> None:
    assert [user for user in accounts.list_users(server) if user.name == "root"] == [
        User("root", "%", ("cloudsqlsuperuser",))
    ]
    assert {user.name for user in accounts.list_users(server)} <= {"root", "app", "clerk"}
    assert run(server, "root", "r00t", "SELECT current_role()") == (("`cloudsqlsuperuser`@`%`",),)


def test_databases_have_the_characters_that_are_asked_for(server: MysqlServer) -> None:
    accounts.create_database(server, "a`b%", "latin1", "latin1_german1_ci")
    accounts.create_database(server, "plain", None, None)
    found = {one.name: one for one in accounts.list_databases(server)}
    assert found["a`b%"] == Database("a`b%", "latin1", "latin1_german1_ci")
    assert found["plain"] == Database("plain", "utf8mb4", "utf8mb4_0900_ai_ci")
    accounts.alter_database(server, "plain", None, "utf8mb4_bin")
    assert Database("plain", "utf8mb4", "utf8mb4_bin") in accounts.list_databases(server)
    with pytest.raises(pymysql.MySQLError, match="Can't create database 'plain'; database exists"):
        accounts.create_database(server, "plain", None, None)
    for name in ("a`b%", "plain"):
        accounts.drop_database(server, name)
    with pytest.raises(pymysql.MySQLError, match="Can't drop database 'plain'"):
        accounts.drop_database(server, "plain")


def test_a_user_gives_others_their_rights_and_takes_them(server: MysqlServer) -> None:
    accounts.put_user(server, "app", "%", "first", way_of(server.binaries), None)
    run(
        server, "app", "first",
        "CREATE TABLE IF NOT EXISTS shop.wares (id INT PRIMARY KEY)",
        "CREATE USER web IDENTIFIED BY 'w'",
        "GRANT SELECT, INSERT ON shop.wares TO web",
    )  # fmt: skip
    run(server, "web", "w", "INSERT INTO shop.wares VALUES (1)")
    assert refusal(server, "web", "w", "DROP TABLE shop.wares")[0] == 1142
    run(server, "app", "first", "DROP USER web", "DROP TABLE shop.wares")
    for privilege, statement in (
        ("FILE", "SELECT 1 INTO OUTFILE '/x'"),
        ("SUPER", "SET GLOBAL max_connections = 9"),
    ):
        code, text = refusal(server, "app", "first", statement)
        assert (code, privilege in text) == (1227, True), text
    accounts.drop_user(server, "app", "%")


def test_nobody_but_cloud_sql_changes_the_database_mysql(server: MysqlServer) -> None:
    if not server.binaries.has_partial_revokes:
        pytest.skip(f"MySQL {server.binaries.version} has no partial revokes")
    assert refusal(server, "root", "r00t", "DELETE FROM mysql.user")[0] == 1142
    assert run(server, "root", "r00t", "SELECT count(*) FROM mysql.user WHERE user = 'root'") == ((1,),)
    run(server, "root", "r00t", "CREATE USER web")
    # As https://github.com/petoju/terraform-provider-mysql/issues/250 has it of Cloud SQL; which of the two it names is not always the same.
    code, text = refusal(server, "root", "r00t", "REVOKE ALL PRIVILEGES, GRANT OPTION FROM web")
    assert code == 3879
    assert text in {f"Access denied for AuthId `root`@`%` to database '{name}'." for name in ("mysql", "sys")}
    run(server, "root", "r00t", "DROP USER web")


def test_the_password_given_last_is_the_one(server: MysqlServer) -> None:
    for password in ("first", "sec'ond"):
        accounts.put_user(server, "clerk", "%", password, way_of(server.binaries), None)
        assert run(server, "clerk", password, "SELECT 1") == ((1,),)
    assert refusal(server, "clerk", "first")[0] == 1045
    accounts.set_password(server, "clerk", "%", "third")
    assert run(server, "clerk", "third", "SELECT 1") == ((1,),)
    accounts.put_user(server, "clerk", "%", None, way_of(server.binaries), None)
    for password in ("third", ""):
        assert "denied" in str(refusal(server, "clerk", password))
    accounts.drop_user(server, "clerk", "%")


def test_roles_replace_the_default_and_can_be_changed(server: MysqlServer) -> None:
    run(server, "root", "r00t", "CREATE ROLE reader, writer", "GRANT SELECT ON shop.* TO reader")
    accounts.put_user(server, "clerk", "%", "pw", CACHING_SHA2, ["reader"])
    assert run(server, "clerk", "pw", "SELECT current_role()") == (("`reader`@`%`",),)
    accounts.set_roles(server, "clerk", "%", ["writer"])
    assert User("clerk", "%", ("writer",)) in accounts.list_users(server)
    with pytest.raises(pymysql.MySQLError, match="none"):
        accounts.set_roles(server, "clerk", "%", ["none"])
    accounts.drop_user(server, "clerk", "%")
    run(server, "root", "r00t", "DROP ROLE reader, writer")


def test_a_host_decides_who_is_let_in(server: MysqlServer) -> None:
    way = way_of(server.binaries)
    for host in ("localhost", "10.9.8.7", "cloudsqlproxy~%"):
        accounts.put_user(server, "clerk", host, f"of {host}", way, None)
    hosts = [user.host for user in accounts.list_users(server) if user.name == "clerk"]
    assert sorted(hosts) == ["10.9.8.7", "cloudsqlproxy~%", "localhost"]
    assert run(server, "clerk", "of cloudsqlproxy~%", "SELECT 1") == ((1,),)
    for host in ("localhost", "10.9.8.7"):
        assert refusal(server, "clerk", f"of {host}")[0] == 1045
    for host in hosts:
        accounts.drop_user(server, "clerk", host)
