"""Cloud SQL for MySQL with real servers, asked by clients that nobody here wrote: PyMySQL and MySQL's own Connector/Python."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import pymysql
import pytest
from gcp_emulator.databases.mysql import login
from gcp_emulator.databases.mysql.binaries import nearest
from gcp_emulator.databases.pipe import pipe
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.services.sqladmin.api import SqlAdmin

from emulator.tests.databases.mysql.support import installed
from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.sqladmin.test_api import Sql
from emulator.tests.services.sqladmin.test_private import NETWORK, make_network, private

BINARIES = installed()
OLD, NEW = (nearest(BINARIES, series) for series in ((8, 0), (8, 4)))
SETTINGS = {"tier": "db-f1-micro", "edition": "ENTERPRISE"}
#: Of those that log in by the socket.
HOST = "cloudsqlproxy~127.0.0.1"


def create(sql: Sql, name: str, version: str, **settings: Any) -> Any:
    body = {"name": name, "region": "europe-west1", "databaseVersion": version, "rootPassword": "r00t"}
    sql.do("POST", "instances", body | {"settings": SETTINGS | settings})
    return sql("GET", f"instances/{name}")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="mysql-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def sql(folder: Path) -> Iterator[Sql]:
    """Instances ``old`` of MySQL 8.0 and ``new`` of 8.4, each with the database ``shop`` and its user ``app``."""
    running = RunningEmulator(folder / "state")
    calls = Sql(running)
    for name, version in (("old", "MYSQL_8_0"), ("new", "MYSQL_8_4")):
        create(calls, name, version)
        calls.do("POST", f"instances/{name}/databases", {"name": "shop"})
        calls.do("POST", f"instances/{name}/users", {"name": "app", "password": "s3cret"})
    yield calls
    running.stop()


def by_socket(
    sql: Sql, instance: str, client: Callable[[str], Any], caller: str = "owner@example.com"
) -> Any:
    """What a client returned that was given the path of the instance's socket, opened as an account; and the line of the log."""
    connect = sql.running.emulator.service(SqlAdmin).connect
    connection = f"{PROJECT}:europe-west1:{instance}"

    async def work() -> tuple[Any, list[str | None]]:
        told: list[asyncio.Task[str | None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            job = connect.connect_instance(connection, identity_of(caller), None, reader, writer)
            told.append(asyncio.ensure_future(job))
            await told[-1]

        with tempfile.TemporaryDirectory(prefix="s-") as sockets:
            path = f"{sockets}/{connect.socket_path(connection)}"
            server = await asyncio.start_unix_server(serve, path)
            seen = await asyncio.to_thread(client, path)
            server.close()
            return seen, [await asyncio.wait_for(one, 5) for one in told]

    return sql.running.run(work())


def by_proxy(sql: Sql, instance: str, client: Callable[[str], Any], message: bytes) -> Any:
    """What a client returned that was given the path of a proxy's socket; the proxy says ``message`` before the first packet of its client."""
    server = sql.running.emulator.service(SqlAdmin).servers[f"{PROJECT}/{instance}"]

    async def instance_serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await login.serve(reader, writer, ("127.0.0.1", server.port), HOST, is_connector=True)

    async def work() -> Any:
        port = await asyncio.start_server(instance_serves, "127.0.0.1")

        async def proxy_serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection(*port.sockets[0].getsockname())
            there[1].write((b"CSQLMDEX" + len(message).to_bytes(4, "big") + message) if message else b"")
            await pipe(reader, writer, *there)

        with tempfile.TemporaryDirectory(prefix="s-") as sockets:
            proxy = await asyncio.start_unix_server(proxy_serves, f"{sockets}/proxy")
            seen = await asyncio.to_thread(client, f"{sockets}/proxy")
            proxy.close()
            port.close()
            return seen

    return sql.running.run(work())


def log_in(
    user: str = "app", password: str = "s3cret", statement: str = "SELECT current_user()", **options: Any
) -> Callable[[str], Any]:
    """A client of PyMySQL that returns one value, or the error that it was refused with."""

    def client(path: str) -> Any:
        try:
            connection = pymysql.connect(unix_socket=path, user=user, password=password, **options)
        except pymysql.MySQLError as error:
            return error.args
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
            return row[0] if row else None

    return client


def test_the_socket_of_mysql_is_a_file_of_the_instances_name(sql: Sql) -> None:
    connect = sql.running.emulator.service(SqlAdmin).connect
    assert connect.socket_path(f"{PROJECT}:europe-west1:old") == f"{PROJECT}:europe-west1:old"
    assert connect.socket_path(f"{PROJECT}:europe-west1:none") == f"{PROJECT}:europe-west1:none/.s.PGSQL.5432"


def test_a_site_logs_in_by_the_socket_and_uses_its_database(sql: Sql) -> None:
    assert by_socket(sql, "old", log_in()) == ("app@%", [None])
    version = by_socket(sql, "old", log_in(statement="SELECT version()"))[0]
    assert version.partition("-")[0] == OLD.version

    def client(path: str) -> Any:
        with mysql.connector.connect(
            unix_socket=path, user="app", password="s3cret", database="shop"
        ) as used:
            cursor = used.cursor()
            cursor.execute("CREATE TABLE wares (name VARCHAR(99))")
            cursor.execute("INSERT INTO wares VALUES (%s)", ("\N{HOT BEVERAGE}\N{SNOWMAN}",))
            used.commit()
            cursor.execute("SELECT name FROM wares")
            (row,) = cursor.fetchall()
            cursor.execute("DROP TABLE wares")
            return row

    assert by_socket(sql, "old", client)[0] == ("\N{HOT BEVERAGE}\N{SNOWMAN}",)


def test_a_wrong_password_is_refused_in_cloud_sqls_words(sql: Sql) -> None:
    """https://github.com/GoogleCloudPlatform/cloud-sql-proxy/issues/2317 has them."""
    for name, password in (("app", "wrong"), ("nobody", "s3cret")):
        seen, _ = by_socket(sql, "old", log_in(name, password))
        assert seen == (1045, f"Access denied for user '{name}'@'{HOST}' (using password: YES)")
    assert by_socket(sql, "old", log_in(database="none"))[0][0] == 1049


def test_an_account_that_may_not_connect_is_told_in_the_log(sql: Sql) -> None:
    seen, (line,) = by_socket(sql, "old", log_in(), "stranger@example.com")
    assert seen[0] in (2003, 2013)
    assert line is not None
    assert "Permission 'cloudsql.instances.connect' denied" in line


def test_who_insists_on_tls_inside_the_socket_is_refused(sql: Sql) -> None:
    seen, _ = by_socket(sql, "old", log_in(ssl={"ssl": True}))
    assert "SSL" in str(seen)


def test_an_unseen_password_of_8_4_is_refused_at_the_socket_as_in_cloud_run(sql: Sql) -> None:
    """Clients believe the socket to be safe and send the password as it is; Cloud SQL's server does not (issue 2317)."""
    sql.do("POST", "instances/new/restart")
    server = sql.running.emulator.service(SqlAdmin).servers[f"{PROJECT}/new"]
    refused = (1045, f"Access denied for user 'app'@'{HOST}' (using password: YES)")
    assert by_socket(sql, "new", log_in())[0] == refused
    # By TCP a client encrypts it, and the server remembers the password until its next start.
    with pymysql.connect(host="127.0.0.1", port=server.port, user="app", password="s3cret"):
        pass
    assert by_socket(sql, "new", log_in())[0] == "app@%"
    sql.do("POST", "instances/new/restart")
    assert by_socket(sql, "new", log_in())[0] == refused


def test_an_unseen_password_of_8_4_is_taken_from_a_proxy_that_tells_of_its_socket(sql: Sql) -> None:
    """Its change log: "2.19.0: Add MySQL caching_sha2_password support for the proxy clients using unix sockets"."""
    refused = (1045, f"Access denied for user 'app'@'{HOST}' (using password: YES)")
    sql.do("POST", "instances/new/restart")
    for message in (b"", b"\x10\x01", b"\x0a\x03abc"):
        assert by_proxy(sql, "new", log_in(), message) == refused, "at a port, or nothing is said"
    assert by_proxy(sql, "new", log_in(password="wrong"), b"\x10\x03") == refused
    assert by_proxy(sql, "new", log_in(), b"\x0a\x03abc\x10\x03") == "app@%"
    for message in (b"\x10", b"\x11\x01"):
        assert by_proxy(sql, "new", log_in(), message)[0] == 2013, "nobody understands it"
    assert by_proxy(sql, "old", log_in(), b"\x10\x03") == "app@%"


def test_connectors_are_told_to_say_how_they_are_asked(sql: Sql) -> None:
    assert sql("GET", "instances/new/connectSettings")["mdxProtocolSupport"] == ["CLIENT_PROTOCOL_TYPE"]


def test_users_have_hosts(sql: Sql) -> None:
    for host in ("localhost", "cloudsqlproxy~%"):
        sql.do("POST", "instances/old/users", {"name": "clerk", "host": host, "password": f"of {host}"})
    found = [one["host"] for one in sql("GET", "instances/old/users")["items"] if one["name"] == "clerk"]
    assert sorted(found) == ["cloudsqlproxy~%", "localhost"]
    assert by_socket(sql, "old", log_in("clerk", "of localhost"))[0][0] == 1045
    assert by_socket(sql, "old", log_in("clerk", "of cloudsqlproxy~%", "SELECT 7"))[0] == 7
    for host in found:
        sql.do("DELETE", "instances/old/users", name="clerk", host=host)
    assert by_socket(sql, "old", log_in("clerk", "of cloudsqlproxy~%"))[0][0] == 1045


def test_a_user_logs_in_with_the_password_given_last(sql: Sql) -> None:
    sql.do(
        "POST",
        "instances/old/users",
        {"name": "web", "password": "first", "passwordPolicy": {"allowedFailedAttempts": 9}},
    )
    sql.do("PUT", "instances/old/users", {"name": "web", "password": "second"}, name="web", host="%")
    assert by_socket(sql, "old", log_in("web", "first"))[0][0] == 1045
    assert by_socket(sql, "old", log_in("web", "second"))[0] == "web@%"
    told = sql("GET", "instances/old/users/web")
    assert (told["host"], told["passwordPolicy"]["allowedFailedAttempts"]) == ("", 9)
    sql.do("DELETE", "instances/old/users", name="web")
    assert sql.error("DELETE", "instances/old/users", name="web")[0] == 404


def test_users_made_by_sql_are_told_and_changed(sql: Sql) -> None:
    by_socket(sql, "old", log_in(statement="CREATE USER maker IDENTIFIED BY 'x'"))
    assert "maker" in [one["name"] for one in sql("GET", "instances/old/users")["items"]]
    sql.do("PUT", "instances/old/users", {"password": "y"}, name="maker", host="%")
    assert by_socket(sql, "old", log_in("maker", "y", "SELECT current_role()"))[0] == "NONE"
    sql.do("DELETE", "instances/old/users", name="maker", host="%")


def test_roles_take_the_place_of_cloudsqlsuperuser(sql: Sql) -> None:
    by_socket(sql, "old", log_in(statement="CREATE ROLE reader"))
    body = {"name": "guest", "password": "x", "databaseRoles": ["reader"]}
    sql.do("POST", "instances/old/users", body)
    assert by_socket(sql, "old", log_in("guest", "x", "SELECT current_role()"))[0] == "`reader`@`%`"
    assert sql("GET", "instances/old/users/guest")["databaseRoles"] == ["reader"]
    status, message, _ = sql.error("PUT", "instances/old/users", {}, name="guest", databaseRoles=["none"])
    assert (status, message) == (
        400,
        "Invalid request: failed to update user guest: . Unknown authorization ID `none`@`%`.",
    )
    sql.do("DELETE", "instances/old/users", name="guest")


def test_an_account_of_google_has_a_user_that_no_password_opens(sql: Sql) -> None:
    sql.do("POST", "instances/old/users", {"name": "dev@example.com", "type": "CLOUD_IAM_USER"})
    told = sql("GET", "instances/old/users/dev")
    assert (told["type"], told["iamEmail"]) == ("CLOUD_IAM_USER", "dev@example.com")
    token = sql.running.token("user:dev@example.com")
    assert by_socket(sql, "old", log_in("dev", token))[0][0] == 1045
    sql.do("DELETE", "instances/old/users", name="dev")


def test_sql_runs_over_http_as_the_callers_account(sql: Sql) -> None:
    settings = {
        "dataApiAccess": "ALLOW_DATA_API",
        "databaseFlags": [{"name": "cloudsql_iam_authentication", "value": "on"}],
    }
    sql.do("PATCH", "instances/old", {"settings": settings})
    user = {"name": "owner@example.com", "type": "CLOUD_IAM_USER", "databaseRoles": ["cloudsqlsuperuser"]}
    sql.do("POST", "instances/old/users", user)

    def execute(statement: str, **more: Any) -> Any:
        body = {"database": "shop", "sqlStatement": statement, "autoIamAuthn": True}
        return sql("POST", "instances/old/executeSql", body | more)

    told = execute(
        "CREATE TABLE t (id INT, name TEXT); INSERT INTO t VALUES (1, NULL), (2, 'two'); SELECT * FROM t"
    )
    assert told["results"][1]["message"] == "2 rows affected"
    last = told["results"][2]
    assert [column["name"] for column in last["columns"]] == ["id", "name"]
    assert last["rows"] == [
        {"values": [{"value": "1"}, {"nullValue": True}]},
        {"values": [{"value": "2"}, {"value": "two"}]},
    ]
    assert execute("SELECT * FROM t", rowLimit="1")["results"][0]["rows"] == last["rows"][:1]
    assert execute("SELECT current_user()")["results"][0]["rows"][0]["values"] == [{"value": "owner@%"}]
    execute("CREATE USER web IDENTIFIED BY 'w'; GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO web")
    assert by_socket(sql, "old", log_in("web", "w", "SELECT count(*) FROM shop.t"))[0] == 2
    failed = execute("DROP TABLE none")
    assert (failed["status"]["code"], failed["status"]["message"]) == (
        3,
        "ERROR: Unknown table 'shop.none' (SQLSTATE 1051)",
    )
    assert execute("SET GLOBAL max_connections = 1")["status"]["code"] == 7
    execute("DROP TABLE t; DROP USER web")
    sql.do("DELETE", "instances/old/users", name="owner")
    sql.do("PATCH", "instances/old", {"settings": {"databaseFlags": []}})


def test_databases_are_mysqls_own(sql: Sql) -> None:
    names = [one["name"] for one in sql("GET", "instances/old/databases")["items"]]
    assert names == ["information_schema", "mysql", "performance_schema", "shop", "sys"]
    sql.do("POST", "instances/old/databases", {"name": "wares", "charset": "latin1"})
    sql.do("PATCH", "instances/old/databases/wares", {"collation": "latin1_german1_ci"})
    told = sql("GET", "instances/old/databases/wares")
    assert (told["charset"], told["collation"]) == ("latin1", "latin1_german1_ci")
    assert (
        by_socket(sql, "old", log_in(database="wares", statement="SELECT @@collation_database"))[0]
        == "latin1_german1_ci"
    )
    assert sql.error("POST", "instances/old/databases", {"name": "wares"})[1] == (
        "Invalid request: failed to create database wares. Detail: Can't create database 'wares'; database exists."
    )
    sql.do("DELETE", "instances/old/databases/wares")
    assert by_socket(sql, "old", log_in(database="wares"))[0][0] == 1049


def test_flags_reach_the_server_and_a_stopped_one_takes_nobody(sql: Sql) -> None:
    flags = [{"name": "sql_mode", "value": "ANSI_QUOTES"}, {"name": "max_connections", "value": "33"}]
    sql.do("PATCH", "instances/old", {"settings": {"databaseFlags": flags}})
    asked = "SELECT concat(@@global.sql_mode, @@max_connections)"
    assert by_socket(sql, "old", log_in(statement=asked))[0] == "ANSI_QUOTES33"
    sql.do("PATCH", "instances/old", {"settings": {"databaseFlags": []}})
    assert by_socket(sql, "old", log_in(statement="SELECT @@max_connections"))[0] == 250
    sql.do("PATCH", "instances/old", {"settings": {"activationPolicy": "NEVER"}})
    assert "is not running" in by_socket(sql, "old", log_in())[1][0]
    sql.do("PATCH", "instances/old", {"settings": {"activationPolicy": "ALWAYS"}})
    assert by_socket(sql, "old", log_in())[0] == "app@%"


def test_which_server_runs_is_said_on_the_state_page_and_not_to_clients(sql: Sql) -> None:
    told = sql("GET", "instances/new")
    assert told["databaseInstalledVersion"] == "MYSQL_8_4_7"
    assert {"served", "runs", "differences"}.isdisjoint(told)
    page = sql.running.session(None).get(f"{sql.running.proxy}/databases?project={PROJECT}").text
    assert f"MySQL {NEW.version} runs" in page


def test_another_server_does_not_take_over_the_data(sql: Sql) -> None:
    if OLD == NEW:
        pytest.skip("there is one server only")
    message = sql.error("PATCH", "instances/old", {"databaseVersion": "MYSQL_8_4"})[1]
    assert message == "gcp-emulator does not emulate the upgrade of MYSQL_8_0 to MYSQL_8_4; nothing was done."
    sql.do("PATCH", "instances/old", {"databaseVersion": "MYSQL_8_0_42"})


def test_backups_are_made_of_the_server_and_gone_with_it(sql: Sql) -> None:
    operation = sql.do("POST", "instances/old/backupRuns")
    identifier = operation["backupContext"]["backupId"]
    backup = sql("GET", f"instances/old/backupRuns/{identifier}")
    assert (backup["status"], int(backup["maxChargeableBytes"]) > 10**6) == ("SUCCESSFUL", True)
    folder = sql.running.context.state / f"sql/{PROJECT}/old/server/backups/{identifier}"
    assert (folder / "mysql.ibd").exists()
    sql.do("DELETE", f"instances/old/backupRuns/{identifier}")
    assert not folder.exists()


def test_what_was_done_survives_a_stop_of_the_emulator(folder: Path) -> None:
    running = RunningEmulator(folder / "kept")
    calls = Sql(running)
    create(calls, "kept", "MYSQL_8_0")
    calls.do("POST", "instances/kept/databases", {"name": "wares"})
    calls.do("POST", "instances/kept/users", {"name": "app", "password": "s3cret"})
    by_socket(calls, "kept", log_in(database="wares", statement="CREATE TABLE one (id INT)"))
    running.stop()
    again = RunningEmulator(folder / "kept")
    try:
        calls = Sql(again)
        assert by_socket(calls, "kept", log_in(database="wares", statement="SHOW TABLES"))[0] == "one"
        calls.do("DELETE", "instances/kept")
        assert not (folder / f"kept/sql/{PROJECT}/kept").exists()
    finally:
        again.stop()


# Private addresses ---------------------------------------------------------------------------------------------------


def test_a_private_address_is_reached_from_its_network_with_tls(sql: Sql) -> None:
    """What a site does that connects directly: its client sees the server's own certificate, and says its password inside."""
    make_network(sql.running)
    create(sql, "inner", "MYSQL_8_4", ipConfiguration={"ipv4Enabled": False, "privateNetwork": NETWORK})
    sql.do("POST", "instances/inner/users", {"name": "app", "password": "s3cret"})
    connect = sql.running.emulator.service(SqlAdmin).connect
    assert connect.private_servers(NETWORK.replace("inner", "default")) == []
    (there,) = connect.private_servers(NETWORK)
    assert (there.address, there.port) == (str(private(sql("GET", "instances/inner"))), 3306)
    options = {"user": "app", "password": "s3cret", "host": "127.0.0.1"}

    def client(port: int) -> str:
        encrypted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        encrypted.check_hostname = False
        encrypted.verify_mode = ssl.CERT_NONE
        connection = pymysql.connect(port=port, ssl=encrypted, **options)
        with connection, connection.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
            return str(cursor.fetchone()[1])

    async def work() -> str:
        server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
        async with server:
            return await asyncio.to_thread(client, server.sockets[0].getsockname()[1])

    assert sql.running.run(work()).startswith("TLS_")
    sql.do("PATCH", "instances/inner", {"settings": {"activationPolicy": "NEVER"}})
    with pytest.raises(pymysql.MySQLError):
        sql.running.run(work())
    sql.do("DELETE", "instances/inner")
