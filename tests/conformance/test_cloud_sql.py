"""Google's own connectors reach an instance of the emulator: the Python connector and the Cloud SQL Auth Proxy, 2 and 1."""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests
from gcp_emulator.databases.postgres.binaries import find_binaries

from emulator.tests.running import PROJECT, RunningEmulator

if not find_binaries():
    pytest.skip("no PostgreSQL server programs are installed", allow_module_level=True)

ROOT = Path(__file__).parents[2]
#: Proxy 2 as `go install` builds it; kept where `make` keeps what it has made.
PROXY = "github.com/GoogleCloudPlatform/cloud-sql-proxy/v2@v2.27.0"
PROGRAMS = ROOT / ".cache/bin"
INSTANCE = f"{PROJECT}:europe-west1:main"
PASSWORD = "s3cret-pass"
DENIED = "Permission 'cloudsql.instances.connect' denied on resource"


@dataclass
class Account:
    """A service account with a key file."""

    email: str
    key_file: Path

    @property
    def database_user(self) -> str:
        return self.email.removesuffix(".gserviceaccount.com")


class Cloud:
    """An emulator, and short calls to it as the owner of its project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running = RunningEmulator(folder / "state")
        self.session = self.running.session()

    def create_main(self) -> None:
        """The instance ``main``: a built-in user ``app``, IAM authentication on."""
        settings = {
            "tier": "db-f1-micro",
            "edition": "ENTERPRISE",
            "databaseFlags": [{"name": "cloudsql.iam_authentication", "value": "on"}],
        }
        body = {
            "name": "main", "region": "europe-west1", "databaseVersion": "POSTGRES_17", "settings": settings,
        }  # fmt: skip
        self.sql("instances", body)
        self.sql("instances/main/users", {"name": "app", "password": PASSWORD})

    def sql(self, path: str, body: Any) -> None:
        """POSTs to Cloud SQL and waits for the operation."""
        base = f"https://sqladmin.googleapis.com/v1/projects/{PROJECT}"
        operation = _json(self.session.post(f"{base}/{path}", json=body))
        until(lambda: _json(self.session.get(f"{base}/operations/{operation['name']}"))["status"] == "DONE")

    def account(self, name: str, *roles: str) -> Account:
        """A new service account, also an IAM user of the instance, with these roles on the project."""
        account = self.new_account(name, *roles)
        self.sql("instances/main/users", {"name": account.database_user, "type": "CLOUD_IAM_SERVICE_ACCOUNT"})
        return account

    def new_account(self, name: str, *roles: str) -> Account:
        """A new service account with these roles on the project."""
        base = "https://iam.googleapis.com/v1/projects"
        made = _json(self.session.post(f"{base}/{PROJECT}/serviceAccounts", json={"accountId": name}))
        key = _json(self.session.post(f"{base}/-/serviceAccounts/{made['email']}/keys", json={}))
        file = self.folder / f"{name}.json"
        file.write_bytes(base64.b64decode(key["privateKeyData"]))
        account = Account(made["email"], file)
        for role in roles:
            self.running.grant(f"projects/{PROJECT}", role, f"serviceAccount:{account.email}")
        return account

    def revoke_all(self, account: Account) -> None:
        """Takes every role on the project from the account."""
        iam, resource = self.running.context.iam, f"projects/{PROJECT}"
        bindings = self.running.call(iam.get_policy, resource)["bindings"]
        for binding in bindings:
            binding["members"] = [one for one in binding["members"] if not one.endswith(account.email)]
        self.running.call(iam.set_policy, resource, {"bindings": bindings})


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    # Not pytest's folder: paths of sockets have to be short.
    folder = Path(tempfile.mkdtemp(prefix="connect-"))
    cloud = Cloud(folder)
    cloud.create_main()
    yield cloud
    cloud.running.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def client(cloud: Cloud) -> Account:
    """An account that may connect and log in."""
    return cloud.account("client", "roles/cloudsql.client", "roles/cloudsql.instanceUser")


@pytest.fixture(scope="module")
def stranger(cloud: Cloud) -> Account:
    """An account with no permission at all."""
    return cloud.account("stranger")


def until(done: Callable[[], Any], seconds: float = 60) -> None:
    """Polls until ``done()`` is true; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{done} is not true after {seconds} s"
        time.sleep(0.05)


def _json(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


# The Python connector --------------------------------------------------------------------------------------------


@pytest.fixture
def connect(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Logs in through cloud-sql-python-connector as an account, and returns the session's user.

    The connector's HTTP client knows no proxy, so it gets the emulator's address; tokens come through the proxy.
    """
    connector = pytest.importorskip(
        "google.cloud.sql.connector", reason="cloud-sql-python-connector[pg8000] is not installed"
    )
    from google.oauth2 import service_account

    for name, value in cloud.running.environment.items():
        monkeypatch.setenv(name, value)

    def log_in(account: Account, **options: Any) -> str:
        credentials = service_account.Credentials.from_service_account_file(str(account.key_file))
        endpoint = f"{cloud.running.proxy}/_/sqladmin.googleapis.com"
        with (
            connector.Connector(
                credentials=credentials, sqladmin_api_endpoint=endpoint, refresh_strategy="lazy"
            ) as used,
            closing(used.connect(INSTANCE, "pg8000", db="postgres", **options)) as connection,
        ):
            cursor = connection.cursor()
            cursor.execute("SELECT session_user")
            return str(cursor.fetchone()[0])

    return log_in


def test_the_python_connector_logs_in_with_a_password(connect: Callable[..., str], client: Account) -> None:
    assert connect(client, user="app", password=PASSWORD) == "app"
    with pytest.raises(Exception, match='password authentication failed for user "app"'):
        connect(client, user="app", password="wrong")


def test_the_python_connector_logs_in_without_a_password_by_iam(
    connect: Callable[..., str], client: Account
) -> None:
    user = connect(client, user=client.database_user, enable_iam_auth=True)
    assert user == client.database_user


def test_the_python_connector_passes_an_access_token_as_password(
    connect: Callable[..., str], client: Account, cloud: Cloud
) -> None:
    token = cloud.running.token(f"serviceAccount:{client.email}")
    assert connect(client, user=client.database_user, password=token) == client.database_user


def test_the_python_connector_cannot_log_in_as_another_account(
    connect: Callable[..., str], client: Account, stranger: Account
) -> None:
    refusal = f'Cloud SQL IAM service account authentication failed for user "{stranger.database_user}"'
    with pytest.raises(Exception, match=re.escape(refusal)):
        connect(client, user=stranger.database_user, enable_iam_auth=True)


def test_the_python_connector_needs_the_permission_to_connect(
    connect: Callable[..., str], stranger: Account
) -> None:
    with pytest.raises(Exception, match=DENIED):
        connect(stranger, user="app", password=PASSWORD)


# The Cloud SQL Auth Proxy ----------------------------------------------------------------------------------------


def _build_proxy() -> Path | None:
    """Proxy 2, built once; None without one and without a Go toolchain."""
    if found := shutil.which("cloud-sql-proxy", path=f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"):
        return Path(found)
    go = shutil.which("go", path=f"{os.environ['PATH']}{os.pathsep}/usr/local/go/bin")
    if go is None:
        return None
    # As tools/engine.py builds it, so that Go finds it in its cache.
    command = [go, "install", "-trimpath", "-ldflags=-s -w", PROXY]
    settings = {"GOBIN": str(PROGRAMS), "CGO_ENABLED": "0"}
    subprocess.run(command, env=os.environ | settings, check=True, timeout=600)
    return PROGRAMS / "cloud-sql-proxy"


class Proxy:
    """A Cloud SQL Auth Proxy that runs, and what it has printed."""

    def __init__(self, cloud: Cloud, arguments: list[str], address: dict[str, Any]) -> None:
        self.address = address
        environment = os.environ | cloud.running.environment
        self._process = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(iter(self._process.stdout.readline, ""))

    def wait_for(self, text: str) -> None:
        """Until the proxy has printed ``text``."""
        until(lambda: text.lower() in self.output.lower() or self._process.poll() is not None)
        assert text.lower() in self.output.lower(), self.output

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def connect(self, user: str, password: str | None = None) -> Any:
        """A connection through the proxy."""
        connection = psycopg2.connect(
            user=user, password=password, dbname="postgres", passfile="/dev/null", connect_timeout=30,
            **self.address,
        )  # fmt: skip
        connection.autocommit = True
        return connection

    def user(self, user: str, password: str | None = None) -> Any:
        """Who a new session is."""
        with closing(self.connect(user, password)) as connection:
            return ask(connection, "SELECT session_user")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def ask(connection: Any, statement: str) -> Any:
    """One value."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


Start = Callable[..., Proxy]


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def start(cloud: Cloud) -> Iterator[Start]:
    """Starts proxy 2 for an account, on TCP or (``unix``) on a socket; waits until it is ready."""
    program = _build_proxy()
    if program is None:
        pytest.skip("there is neither a cloud-sql-proxy nor a Go toolchain to build it")
    with _started() as begin:

        def run(account: Account, *options: str, unix: bool = False) -> Proxy:
            arguments = [str(program), INSTANCE, "--credentials-file", str(account.key_file), *options]
            folder, port = cloud.folder / "s", _free_port()
            folder.mkdir(exist_ok=True)
            arguments += ["--unix-socket", str(folder)] if unix else ["--port", str(port)]
            address = {"host": str(folder / INSTANCE)} if unix else {"host": "127.0.0.1", "port": port}
            proxy = begin(cloud, arguments, address)
            proxy.wait_for("ready for new connections")
            return proxy

        yield run


class _started:  # noqa: N801 - used like a function
    """Ends the proxies that were started in it."""

    def __enter__(self) -> Callable[[Cloud, list[str], dict[str, Any]], Proxy]:
        self._running: list[Proxy] = []
        return self._begin

    def _begin(self, cloud: Cloud, arguments: list[str], address: dict[str, Any]) -> Proxy:
        self._running.append(Proxy(cloud, arguments, address))
        return self._running[-1]

    def __exit__(self, *_: object) -> None:
        for proxy in self._running:
            proxy.stop()


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_the_proxy_logs_in_with_a_password(start: Start, client: Account, unix: bool) -> None:
    proxy = start(client, unix=unix)
    assert proxy.user("app", PASSWORD) == "app"
    with pytest.raises(psycopg2.OperationalError, match='password authentication failed for user "app"'):
        proxy.user("app", "wrong")


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_the_proxy_logs_in_without_a_password_by_iam(start: Start, client: Account, unix: bool) -> None:
    proxy = start(client, "--auto-iam-authn", unix=unix)
    assert proxy.user(client.database_user) == client.database_user
    assert proxy.user("app", PASSWORD) == "app"


def test_the_proxy_cannot_log_in_as_another_account(start: Start, client: Account, stranger: Account) -> None:
    refusal = (
        f'FATAL:  Cloud SQL IAM service account authentication failed for user "{stranger.database_user}"'
    )
    with pytest.raises(psycopg2.OperationalError, match=re.escape(refusal)):
        start(client, "--auto-iam-authn").user(stranger.database_user)


def test_the_proxy_needs_the_permission_to_connect(start: Start, stranger: Account) -> None:
    proxy = start(stranger)
    with pytest.raises(psycopg2.OperationalError, match="server closed the connection unexpectedly"):
        proxy.user("app", PASSWORD)
    proxy.wait_for(DENIED)


def test_whom_the_permission_is_taken_from_keeps_a_connection_and_gets_no_other(
    start: Start, cloud: Cloud
) -> None:
    account = cloud.account("leaver", "roles/cloudsql.client")
    proxy = start(account)
    with closing(proxy.connect("app", PASSWORD)) as connection:
        cloud.revoke_all(account)
        with pytest.raises(psycopg2.OperationalError, match="server closed the connection unexpectedly"):
            proxy.connect("app", PASSWORD)
        assert ask(connection, "SELECT 1") == 1


def test_a_proxy_goes_on_after_a_restart_of_the_emulator(start: Start, cloud: Cloud, client: Account) -> None:
    proxy = start(client, "--auto-iam-authn")
    with closing(proxy.connect("app", PASSWORD)) as connection:
        ask(connection, "SELECT set_config('a.b', 'kept', false)")
        cloud.running.stop()
        with pytest.raises(psycopg2.OperationalError):
            ask(connection, "SELECT 1")
    cloud.running = RunningEmulator(cloud.folder / "state")
    cloud.session = cloud.running.session()
    assert proxy.user("app", PASSWORD) == "app"
    assert proxy.user(client.database_user) == client.database_user


def test_version_1_of_the_proxy_logs_in_with_a_password(cloud: Cloud, client: Account) -> None:
    program = shutil.which("cloud_sql_proxy")
    if program is None:
        pytest.skip("cloud_sql_proxy (version 1, Debian's cloudsql-proxy) is not installed")
    port = _free_port()
    arguments = [program, f"-instances={INSTANCE}=tcp:{port}", f"-credential_file={client.key_file}"]
    with _started() as begin:
        proxy = begin(cloud, arguments, {"host": "127.0.0.1", "port": port})
        proxy.wait_for("ready for new connections")
        assert proxy.user("app", PASSWORD) == "app"
