"""Google's own connectors reach instances of MySQL: the Python connector with PyMySQL, and the Cloud SQL Auth Proxy 2."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from emulator.tests.databases.mysql.support import installed
from emulator.tests.running import PROJECT
from tests.conformance.test_cloud_sql import DENIED, Account, Cloud, _build_proxy, _free_port, _started

installed()

PASSWORD = "s3cret-pass"
VERSIONS = {"old": "MYSQL_8_0", "new": "MYSQL_8_4"}


@pytest.fixture(scope="module")
def shop() -> Iterator[Cloud]:
    """An emulator with an instance of each version of MySQL and its user ``app``."""
    # Not pytest's folder: paths of sockets have to be short.
    folder = Path(tempfile.mkdtemp(prefix="connect-"))
    shop = Cloud(folder)
    settings = {"tier": "db-f1-micro", "edition": "ENTERPRISE"}
    for name, version in VERSIONS.items():
        body = {"name": name, "region": "europe-west1", "databaseVersion": version, "settings": settings}
        shop.sql("instances", body)
        shop.sql(f"instances/{name}/users", {"name": "app", "password": PASSWORD})
    yield shop
    shop.running.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def client(shop: Cloud) -> Account:
    """An account that may connect."""
    return shop.new_account("client", "roles/cloudsql.client")


@pytest.fixture
def connect(shop: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Logs in to an instance through cloud-sql-python-connector as an account; the session's account in MySQL."""
    connector = pytest.importorskip("google.cloud.sql.connector")
    from google.oauth2 import service_account

    for name, value in shop.running.environment.items():
        monkeypatch.setenv(name, value)

    def log_in(account: Account, instance: str, password: str = PASSWORD) -> str:
        credentials = service_account.Credentials.from_service_account_file(str(account.key_file))
        endpoint = f"{shop.running.proxy}/_/sqladmin.googleapis.com"
        with connector.Connector(
            credentials=credentials, sqladmin_api_endpoint=endpoint, refresh_strategy="lazy"
        ) as used:
            name = f"{PROJECT}:europe-west1:{instance}"
            with closing(used.connect(name, "pymysql", user="app", password=password)) as connection:
                return who(connection)

    return log_in


def who(connection: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user()")
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize("instance", VERSIONS)
def test_the_python_connector_logs_in_with_a_password(connect: Any, client: Account, instance: str) -> None:
    assert connect(client, instance) == "app@%"
    with pytest.raises(pymysql.MySQLError, match=r"Access denied for user 'app'@'cloudsqlproxy~"):
        connect(client, instance, "wrong")


def test_the_python_connector_needs_the_permission_to_connect(connect: Any, shop: Cloud) -> None:
    with pytest.raises(Exception, match=DENIED):
        connect(shop.new_account("stranger"), "old")


@pytest.mark.parametrize("instance", VERSIONS)
def test_the_proxy_logs_in_with_a_password(shop: Cloud, client: Account, instance: str) -> None:
    program = _build_proxy()
    if program is None:
        pytest.skip("there is neither a cloud-sql-proxy nor a Go toolchain to build it")
    name, port = f"{PROJECT}:europe-west1:{instance}", _free_port()
    arguments = [str(program), name, "--credentials-file", str(client.key_file), "--port", str(port)]
    with _started() as begin:
        proxy = begin(shop, arguments, {"host": "127.0.0.1", "port": port})
        proxy.wait_for("ready for new connections")
        with closing(pymysql.connect(user="app", password=PASSWORD, **proxy.address)) as connection:
            assert who(connection) == "app@%"
        with pytest.raises(pymysql.MySQLError, match=r"Access denied for user 'app'@'cloudsqlproxy~"):
            pymysql.connect(user="app", password="wrong", **proxy.address)


def test_the_proxys_unix_socket_is_a_file_of_the_instances_name(shop: Cloud, client: Account) -> None:
    program = _build_proxy()
    if program is None:
        pytest.skip("there is neither a cloud-sql-proxy nor a Go toolchain to build it")
    name, folder = f"{PROJECT}:europe-west1:old", shop.folder / "s"
    folder.mkdir()
    arguments = [str(program), name, "--credentials-file", str(client.key_file), "--unix-socket", str(folder)]
    with _started() as begin:
        proxy = begin(shop, arguments, {"unix_socket": str(folder / name)})
        proxy.wait_for("ready for new connections")
        with closing(pymysql.connect(user="app", password=PASSWORD, **proxy.address)) as connection:
            assert who(connection) == "app@%"
