"""Cloud SQL instances over HTTP, each with a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from gcp_emulator.databases.postgres.binaries import find_binaries
from gcp_emulator.engine.identity import Identity, identity_of
from gcp_emulator.engine.operations import Profile
from gcp_emulator.services.sqladmin.api import SqlAdmin

from emulator.tests.running import OWNER, PROJECT, RunningEmulator

if not find_binaries():
    pytest.skip("no PostgreSQL server programs are installed", allow_module_level=True)

HOST = "https://sqladmin.googleapis.com"
SETTINGS = {"tier": "db-f1-micro", "edition": "ENTERPRISE"}
BUSY = (
    "Operation failed because another operation was already in progress. Try your request after the current operation "
    "is complete."
)


class Sql:
    """Short calls to Cloud SQL as the project's owner."""

    def __init__(self, running: RunningEmulator, version: str = "v1") -> None:
        self.running = running
        self.base = f"{HOST}/{'sql/' if version == 'v1beta4' else ''}{version}/projects/{PROJECT}"
        self.session = running.session()

    def __call__(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON of an answer that must be 200."""
        answer = self.session.request(verb, f"{self.base}/{path}", json=body, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def error(self, verb: str, path: str, body: Any = None, **query: Any) -> tuple[int, str, str]:
        """Status, message and reason of an answer that must be an error."""
        answer = self.session.request(verb, f"{self.base}/{path}", json=body, params=query)
        assert answer.status_code >= 400, answer.text
        error = answer.json()["error"]
        return answer.status_code, error["message"], error["errors"][0]["reason"]

    def wait(self, operation: Any) -> Any:
        """The operation when it is done."""
        deadline = time.monotonic() + 60
        while operation["status"] != "DONE":
            assert time.monotonic() < deadline, f"{operation} takes longer than a minute"
            # With the realistic profile more looks in a row would use up the minute's quota.
            time.sleep(0.01)
            operation = self("GET", f"operations/{operation['name']}")
        return operation

    def do(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        """Waits for the operation, which must succeed."""
        operation = self.wait(self(verb, path, body, **query))
        assert "error" not in operation, operation
        return operation

    def create(self, name: str, **settings: Any) -> Any:
        body = {
            "name": name,
            "region": "europe-west1",
            "databaseVersion": "POSTGRES_15",
            "settings": SETTINGS | settings,
        }
        self.do("POST", "instances", body)
        return self("GET", f"instances/{name}")

    def query(self, instance: str, statement: str, database: str = "postgres") -> Any:
        """One value, read by the superuser directly from the server."""
        cluster = self.running.emulator.service(SqlAdmin).servers[f"{PROJECT}/{instance}"]
        with cluster.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
            return row[0] if row else None


@pytest.fixture(scope="module")
def running() -> Iterator[RunningEmulator]:
    state = Path(tempfile.mkdtemp(prefix="sqladmin-test-"))
    emulator = RunningEmulator(state)
    yield emulator
    emulator.stop()
    shutil.rmtree(state)


@pytest.fixture(scope="module")
def shared(running: RunningEmulator) -> Sql:
    """An emulator with the instance ``main``."""
    sql = Sql(running)
    sql.create("main")
    return sql


def test_a_new_instance_is_a_postgresql_that_runs(shared: Sql) -> None:
    instance = shared("GET", "instances/main")
    version = find_binaries()[0].version.replace(".", "_")
    expected = {
        "kind": "sql#instance",
        "state": "RUNNABLE",
        "connectionName": f"{PROJECT}:europe-west1:main",
        "databaseVersion": "POSTGRES_15",
        "backendType": "SECOND_GEN",
        "instanceType": "CLOUD_SQL_INSTANCE",
        "gceZone": "europe-west1-a",
        "selfLink": f"{HOST}/v1/projects/{PROJECT}/instances/main",
    }
    assert {key: instance[key] for key in expected} == expected
    assert instance["databaseInstalledVersion"].startswith("POSTGRES_")
    if find_binaries()[0].major == 15:
        assert instance["databaseInstalledVersion"] == f"POSTGRES_{version}"
    assert shared.query("main", "SHOW max_connections") == "25"


def test_both_versions_of_the_api_show_the_same_instance(shared: Sql) -> None:
    old = Sql(shared.running, "v1beta4")("GET", "instances/main")
    assert old["selfLink"] == f"{HOST}/sql/v1beta4/projects/{PROJECT}/instances/main"
    assert {k: v for k, v in old.items() if k != "selfLink"} == {
        k: v for k, v in shared("GET", "instances/main").items() if k != "selfLink"
    }
    assert [one["name"] for one in shared("GET", "instances")["items"]] == ["main"]


def test_an_operation_tells_who_did_what(shared: Sql) -> None:
    operation = shared.do("POST", "instances/main/restart")
    assert re.fullmatch(r"[0-9a-f-]{36}", operation["name"])
    expected = {
        "kind": "sql#operation",
        "operationType": "RESTART",
        "status": "DONE",
        "user": OWNER.removeprefix("user:"),
        "targetId": "main",
        "targetProject": PROJECT,
        "targetLink": f"{HOST}/v1/projects/{PROJECT}/instances/main",
        "selfLink": f"{HOST}/v1/projects/{PROJECT}/operations/{operation['name']}",
    }
    assert {key: operation[key] for key in expected} == expected
    assert operation["insertTime"] <= operation["startTime"] <= operation["endTime"]
    listed = shared("GET", "operations", instance="main")["items"]
    assert operation in listed
    assert shared("GET", "operations", instance="none-such") == {"kind": "sql#operationsList"}
    assert shared.error("GET", "operations/none") == (
        404, "The Cloud SQL instance operation does not exist.", "operationDoesNotExist",
    )  # fmt: skip


def test_a_changed_flag_reaches_the_server_and_the_version_of_the_settings_grows(shared: Sql) -> None:
    before = int(shared("GET", "instances/main")["settings"]["settingsVersion"])
    flags = [{"name": "max_connections", "value": "60"}, {"name": "work_mem", "value": "5120"}]
    shared.do("PATCH", "instances/main", {"settings": {"databaseFlags": flags}})
    settings = shared("GET", "instances/main")["settings"]
    assert settings["databaseFlags"] == flags
    assert settings["tier"] == "db-f1-micro"
    assert int(settings["settingsVersion"]) == before + 1
    assert shared.query("main", "SHOW max_connections") == "60"
    assert shared.query("main", "SHOW work_mem") == "5MB"
    shared.do("PATCH", "instances/main", {"settings": {"databaseFlags": []}})
    assert shared.query("main", "SHOW max_connections") == "25"


def test_a_patch_merges_messages_and_replaces_labels(shared: Sql) -> None:
    shared.do("PATCH", "instances/main", {"settings": {"userLabels": {"a": "1", "b": "2"}}})
    shared.do(
        "PATCH",
        "instances/main",
        {"settings": {"userLabels": {"a": "1"}, "backupConfiguration": {"enabled": True}}},
    )
    shared.do("PATCH", "instances/main", {"settings": {"backupConfiguration": {"startTime": "03:00"}}})
    settings = shared("GET", "instances/main")["settings"]
    assert settings["userLabels"] == {"a": "1"}
    assert settings["backupConfiguration"] == {
        "kind": "sql#backupConfiguration",
        "enabled": True,
        "startTime": "03:00",
        "replicationLogArchivingEnabled": False,
        "transactionalLogStorageState": "TRANSACTIONAL_LOG_STORAGE_STATE_UNSPECIFIED",
        "transactionLogRetentionDays": 7,
        "backupRetentionSettings": {"retentionUnit": "COUNT", "retainedBackups": 7},
    }


def test_an_update_with_stale_settings_is_refused(shared: Sql) -> None:
    version = shared("GET", "instances/main")["settings"]["settingsVersion"]
    stale = {"settings": SETTINGS | {"settingsVersion": str(int(version) - 1)}}
    for verb in ("PATCH", "PUT"):
        assert shared.error(verb, "instances/main", stale) == (412, "Condition does not match.", "staleData")
    shared.do("PUT", "instances/main", {"settings": SETTINGS | {"settingsVersion": version}})
    assert shared("GET", "instances/main")["settings"]["settingsVersion"] == str(int(version) + 1)


def test_output_only_fields_are_not_taken_from_the_caller(shared: Sql) -> None:
    shared.do("PATCH", "instances/main", {"state": "FAILED", "connectionName": "x", "ipAddresses": []})
    instance = shared("GET", "instances/main")
    assert instance["state"] == "RUNNABLE"
    assert instance["connectionName"] == f"{PROJECT}:europe-west1:main"
    assert instance["ipAddresses"][0]["type"] == "PRIMARY"


def test_deletion_protection_keeps_an_instance(shared: Sql) -> None:
    shared.do("PATCH", "instances/main", {"settings": {"deletionProtectionEnabled": True}})
    assert shared.error("DELETE", "instances/main") == (
        400,
        "The instance is protected. Please disable the deletion protection and try again. To disable deletion protection, "
        "update the instance settings with deletionProtectionEnabled set to false.",
        "deletionProtectionEnabled",
    )
    shared.do("PATCH", "instances/main", {"settings": {"deletionProtectionEnabled": False}})


def test_a_stopped_instance_has_no_server(shared: Sql) -> None:
    shared.do("PATCH", "instances/main", {"settings": {"activationPolicy": "NEVER"}})
    cluster = shared.running.emulator.service(SqlAdmin).servers[f"{PROJECT}/main"]
    assert cluster.status().state == "stopped"
    assert shared.error("POST", "instances/main/databases", {"name": "late"}) == (
        409, "The instance or operation is not in an appropriate state to handle the request.", "invalidState",
    )  # fmt: skip
    shared.do("PATCH", "instances/main", {"settings": {"activationPolicy": "ALWAYS"}})
    assert shared.query("main", "SELECT 1") == 1


def test_a_deleted_name_is_locked_for_a_week(running: RunningEmulator, shared: Sql) -> None:
    shared.create("brief")
    directory = running.emulator.settings.state / "sql" / PROJECT / "brief"
    assert directory.is_dir()
    shared.do("DELETE", "instances/brief")
    assert not directory.exists()
    assert shared.error("GET", "instances/brief") == (
        404, "The Cloud SQL instance does not exist.", "instanceDoesNotExist",
    )  # fmt: skip
    body = {"name": "brief", "databaseVersion": "POSTGRES_15", "settings": SETTINGS}
    taken = (
        409,
        "The Cloud SQL instance already exists. When you delete an instance, you can't reuse the name of the deleted "
        "instance until one week from the deletion date.",
        "instanceAlreadyExists",
    )
    assert shared.error("POST", "instances", body) == taken
    assert shared.error("POST", "instances", body | {"name": "main"}) == taken
    deleted = running.context.store.collection("sqladmin.deletedInstances")
    running.call(deleted.put, f"{PROJECT}/brief", {"time": "2026-01-01T00:00:00.000000Z"})
    shared.do("POST", "instances", body)
    shared.do("DELETE", "instances/brief")


def test_a_backup_is_made_listed_and_deleted(shared: Sql) -> None:
    operation = shared.do("POST", "instances/main/backupRuns", {"description": "before the release"})
    assert operation["operationType"] == "BACKUP_VOLUME"
    identifier = operation["backupContext"]["backupId"]
    backup = shared("GET", f"instances/main/backupRuns/{identifier}")
    assert backup["status"] == "SUCCESSFUL"
    assert backup["type"] == "ON_DEMAND"
    assert backup["description"] == "before the release"
    assert int(backup["maxChargeableBytes"]) > 1_000_000
    assert shared("GET", "instances/main/backupRuns")["items"] == [backup]
    shared.do("DELETE", f"instances/main/backupRuns/{identifier}")
    assert shared.error("GET", f"instances/main/backupRuns/{identifier}") == (
        404, "The backup run does not exist.", "backupRunDoesNotExist",
    )  # fmt: skip


def test_a_final_backup_is_made_by_the_server_before_it_goes(shared: Sql) -> None:
    shared.create("leaving")
    shared.do("DELETE", "instances/leaving", enableFinalBackup=True, finalBackupTtlDays="2")
    (backup,) = shared("GET", "backups")["backups"]
    assert (backup["state"], backup["instance"]) == ("SUCCESSFUL", "leaving")
    assert int(backup["maxChargeableBytes"]) > 1_000_000


def test_flags_and_tiers_are_listed(shared: Sql) -> None:
    flags = shared.session.get(f"{HOST}/v1/flags", params={"databaseVersion": "POSTGRES_15"}).json()["items"]
    found = {flag["name"]: flag for flag in flags}
    assert found["max_connections"] == {
        "kind": "sql#flag",
        "name": "max_connections",
        "type": "INTEGER",
        "appliesTo": ["POSTGRES_15"],
        "requiresRestart": True,
        "minValue": "14",
        "maxValue": "262143",
    }
    assert found["log_statement"]["allowedStringValues"] == ["none", "ddl", "mod", "all"]
    tiers = {tier["tier"]: tier for tier in shared("GET", "tiers")["items"]}
    assert tiers["db-f1-micro"]["RAM"] == str(614 * 2**20)


def test_a_caller_without_the_permission_is_refused(shared: Sql) -> None:
    answer = shared.running.session("user:stranger@example.com").get(f"{shared.base}/instances/main")
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == (
        f"Permission 'cloudsql.instances.get' denied on resource 'projects/{PROJECT}' (or it may not exist)."
    )


def test_one_operation_runs_at_a_time_and_the_instance_is_pending_meanwhile(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "state", Profile("realistic", 0.01))
    try:
        sql = Sql(running)
        body = {"name": "slow", "databaseVersion": "POSTGRES_15", "settings": SETTINGS}
        operation = sql("POST", "instances", body)
        assert operation["status"] in ("PENDING", "RUNNING")
        assert sql("GET", "instances/slow")["state"] == "PENDING_CREATE"
        for verb, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/databases"), ("POST", "/users")):
            assert sql.error(verb, f"instances/slow{path}", {"name": "x"} if verb == "POST" else {}) == (
                409, BUSY, "operationInProgress",
            )  # fmt: skip
        sql.wait(operation)
        assert sql("GET", "instances/slow")["state"] == "RUNNABLE"
        update = sql("PATCH", "instances/slow", {"settings": {"userLabels": {"a": "1"}}})
        assert sql.error("POST", "instances/slow/databases", {"name": "one"}) == (
            409,
            BUSY,
            "operationInProgress",
        )
        sql.wait(update)
        sql.do("POST", "instances/slow/databases", {"name": "one"})
    finally:
        running.stop()


def test_instances_and_their_data_survive_a_stop_of_the_emulator(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "state")
    sql = Sql(running)
    sql.create("kept", databaseFlags=[{"name": "work_mem", "value": "2048"}])
    sql.do("POST", "instances/kept/databases", {"name": "site"})
    cluster = running.emulator.service(SqlAdmin).servers[f"{PROJECT}/kept"]
    running.stop()
    assert cluster.status().state == "stopped"
    again = RunningEmulator(tmp_path / "state")
    try:
        sql = Sql(again)
        assert sql("GET", "instances/kept")["state"] == "RUNNABLE"
        assert sql.query("kept", "SHOW work_mem", "site") == "2MB"
    finally:
        again.stop()


def test_a_creation_that_a_stop_interrupted_goes_on_at_the_next_start(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "state", Profile("realistic", 0.1))
    sql = Sql(running)
    operation = sql(
        "POST", "instances", {"name": "early", "databaseVersion": "POSTGRES_15", "settings": SETTINGS}
    )
    running.stop()
    again = RunningEmulator(tmp_path / "state")
    try:
        sql = Sql(again)
        assert "error" not in sql.wait(operation)
        assert sql("GET", "instances/early")["state"] == "RUNNABLE"
        assert sql.query("early", "SELECT 1") == 1
    finally:
        again.stop()


def test_another_major_version_is_run_and_told(shared: Sql) -> None:
    installed = {one.major for one in find_binaries()}
    asked = 18 if 18 not in installed else 14
    body = {"name": "other", "databaseVersion": f"POSTGRES_{asked}", "settings": SETTINGS}
    shared.do("POST", "instances", body)
    instance = shared("GET", "instances/other")
    assert instance["databaseVersion"] == f"POSTGRES_{asked}"
    major = shared.query("other", "SHOW server_version").split(".")[0]
    assert instance["databaseInstalledVersion"].startswith(f"POSTGRES_{major}_")
    shared.do("DELETE", "instances/other")


# The socket of Cloud Run ---------------------------------------------------------------------------------------------


async def _through_the_socket(
    service: SqlAdmin, name: str, identity: Identity, sockets: Path
) -> tuple[str | None, str]:
    """What connect_instance returned, and the user that psycopg2 logged in as through it (or its error)."""
    logged: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        logged.set_result(await service.connect.connect_instance(name, identity, None, reader, writer))

    def client() -> str:
        try:
            connection = psycopg2.connect(host=str(sockets), user="app", password="s3cret", dbname="postgres")
        except psycopg2.OperationalError as error:
            return str(error)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT session_user")
            row = cursor.fetchone()
        connection.close()
        return str(row[0]) if row else ""

    server = await asyncio.start_unix_server(serve, sockets / ".s.PGSQL.5432")
    seen = await asyncio.to_thread(client)
    server.close()
    await server.wait_closed()
    return await asyncio.wait_for(logged, 5), seen


@pytest.fixture
def sockets() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="s-"))
    yield path
    shutil.rmtree(path)


def test_the_socket_leads_a_permitted_account_to_the_database(shared: Sql, sockets: Path) -> None:
    running = shared.running
    shared.do("POST", "instances/main/users", {"name": "app", "password": "s3cret"})
    service = running.emulator.service(SqlAdmin)
    name = f"{PROJECT}:europe-west1:main"
    log, seen = running.run(_through_the_socket(service, name, identity_of("owner@example.com"), sockets))
    assert (log, seen) == (None, "app")
    shared.do("DELETE", "instances/main/users", name="app")


@pytest.mark.parametrize(
    ("name", "caller", "reason"),
    [
        (
            f"{PROJECT}:europe-west1:main",
            "stranger@example.com",
            f"Permission 'cloudsql.instances.connect' denied on resource 'projects/{PROJECT}' (or it may not exist).",
        ),
        (f"{PROJECT}:us-central1:main", "owner@example.com", "The Cloud SQL instance does not exist."),
        (f"{PROJECT}:europe-west1:none", "owner@example.com", "The Cloud SQL instance does not exist."),
    ],
)
def test_the_socket_closes_on_others_and_says_why(
    shared: Sql, sockets: Path, name: str, caller: str, reason: str
) -> None:
    service = shared.running.emulator.service(SqlAdmin)
    log, seen = shared.running.run(_through_the_socket(service, name, identity_of(caller), sockets))
    assert "server closed the connection unexpectedly" in seen
    assert log == (
        "Cloud SQL connection failed. Please see https://cloud.google.com/sql/docs/postgres/connect-run for additional "
        f'details: ensure that the account has access to "{name}" (and make sure there\'s no typo in that name). '
        f"Error during generateEphemeral for {name}: {reason}"
    )


def test_no_server_runs_as_root(shared: Sql) -> None:
    if os.geteuid() != 0:
        pytest.skip("is about running as root")
    pid = shared.running.emulator.service(SqlAdmin).servers[f"{PROJECT}/main"].status().pid
    assert Path(f"/proc/{pid}").stat().st_uid != 0
