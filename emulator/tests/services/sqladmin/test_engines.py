"""Cloud SQL for SQL Server, for MySQL where no server was brought, and replicas: the API only, as Google Cloud answered (the conversations of facts.yaml)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.operations import Profile
from gcp_emulator.services.sqladmin import kinds, rules
from gcp_emulator.services.sqladmin.engines import engine_of

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.sqladmin.test_api import Sql

MYSQL = {"region": "us-central1", "databaseVersion": "MYSQL_8_0", "settings": {"tier": "db-n1-standard-1"}}
REFUSED = "gcp-emulator does not run {}: nobody can connect to {}, of which there is the control plane only. Nothing was done."


@pytest.fixture(scope="module", autouse=True)
def no_server() -> Iterator[None]:
    """As on a machine without MySQL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "find_mysql", list)
        yield


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sql]:
    """Calls to v1beta4; the instance ``shop`` is of MySQL."""
    running = RunningEmulator(tmp_path_factory.mktemp("engines") / "state")
    calls = Sql(running, "v1beta4")
    calls.do("POST", "instances", MYSQL | {"name": "shop"})
    yield calls
    running.stop()


def made(calls: Sql, name: str, version: str, **settings: Any) -> Any:
    body = {"name": name, "region": "us-central1", "databaseVersion": version, "rootPassword": "s3cret-Word"}
    calls.do(
        "POST",
        "instances",
        body | {"settings": {"tier": "db-custom-1-3840", "edition": "ENTERPRISE"} | settings},
    )
    return calls("GET", f"instances/{name}")


def refusal(version: str, **settings: Any) -> str:
    body = {"name": "n", "databaseVersion": version, "rootPassword": "x", "settings": settings}
    with pytest.raises(ApiError) as caught:
        rules.new_instance("project", body)
    return caught.value.message


# Instances -------------------------------------------------------------------------------------------------------


def test_an_instance_of_mysql_tells_what_google_fills_in(sql: Sql) -> None:
    instance = sql("GET", "instances/shop")
    expected = {
        "backendType": "SECOND_GEN",
        "databaseInstalledVersion": "MYSQL_8_0_41",
        "databaseVersion": "MYSQL_8_0",
        "gceZone": "us-central1-a",
        "geminiConfig": {
            "activeQueryEnabled": False,
            "entitled": False,
            "flagRecommenderEnabled": True,
            "indexAdvisorEnabled": False,
        },
        "instanceType": "CLOUD_SQL_INSTANCE",
        "maintenanceVersion": "MYSQL_8_0_41.R20251004.01_07",
        "satisfiesPzi": True,
        "sqlNetworkArchitecture": "NEW_NETWORK_ARCHITECTURE",
        "state": "RUNNABLE",
    }
    assert {key: instance[key] for key in expected} == expected
    assert [one["type"] for one in instance["ipAddresses"]] == ["PRIMARY"]
    assert instance["upgradableDatabaseVersions"][-1] == {
        "displayName": "MySQL 8.4",
        "majorVersion": "MYSQL_8_4",
        "name": "MYSQL_8_4",
    }
    settings = instance["settings"]
    assert settings["backupConfiguration"] == {
        "backupRetentionSettings": {"retainedBackups": 7, "retentionUnit": "COUNT"},
        "enabled": False,
        "kind": "sql#backupConfiguration",
        "startTime": "00:00",
        "transactionLogRetentionDays": 7,
        "transactionalLogStorageState": "TRANSACTIONAL_LOG_STORAGE_STATE_UNSPECIFIED",
    }
    assert settings["locationPreference"] == {"kind": "sql#locationPreference", "zone": "us-central1-a"}
    assert settings["authorizedGaeApplications"] == []


def test_sql_server_has_its_own_fields_and_logins(sql: Sql) -> None:
    instance = made(sql, "ledger", "SQLSERVER_2019_EXPRESS", advancedMachineFeatures={"threadsPerCore": 1})
    assert instance["databaseInstalledVersion"] == "SQLSERVER_2019_EXPRESS_CU26"
    assert instance["includeReplicasForMajorVersionUpgrade"] is False
    assert "geminiConfig" not in instance
    assert instance["settings"]["replicationLagMaxSeconds"] == 31536000
    assert instance["settings"]["backupConfiguration"]["backupTier"] == "STANDARD"
    assert instance["settings"]["advancedMachineFeatures"] == {"threadsPerCore": 1}
    users = {
        one["name"]: one["sqlserverUserDetails"] for one in sql("GET", "instances/ledger/users")["items"]
    }
    assert users == {
        "##MS_PolicyEventProcessingLogin##": {"disabled": True},
        "##MS_PolicyTsqlExecutionLogin##": {"disabled": True},
        "sqlserver": {"serverRoles": ["CustomerDbRootRole"]},
    }
    sql.do("PATCH", "instances/ledger", {"databaseVersion": "SQLSERVER_2022_EXPRESS"})
    upgraded = sql("GET", "instances/ledger")
    assert upgraded["maintenanceVersion"] == "SQLSERVER_2022_EXPRESS_CU19_GDR.R20251019.02_03"
    assert [one["displayName"] for one in upgraded["upgradableDatabaseVersions"]] == [
        "SQL Server 2022 Standard",
        "SQL Server 2022 Enterprise",
        "SQL Server 2022 Web",
    ]


def test_enterprise_plus_has_larger_defaults_and_a_binary_log(sql: Sql) -> None:
    settings = made(sql, "plus", "MYSQL_8_0", edition="ENTERPRISE_PLUS", tier="db-perf-optimized-N-2")[
        "settings"
    ]
    assert settings["dataDiskSizeGb"] == "20"
    backups = settings["backupConfiguration"]
    assert backups["backupRetentionSettings"] == {"retainedBackups": 15, "retentionUnit": "COUNT"}
    told = {
        key: backups[key]
        for key in ("enabled", "binaryLogEnabled", "backupTier", "transactionalLogStorageState")
    }
    assert told == {
        "enabled": True,
        "binaryLogEnabled": True,
        "backupTier": "STANDARD",
        "transactionalLogStorageState": "CLOUD_STORAGE",
    }
    assert backups["transactionLogRetentionDays"] == 14


def test_mysql_is_upgraded_in_place_and_never_down(sql: Sql) -> None:
    made(sql, "old", "MYSQL_5_7")
    sql.do("PATCH", "instances/old", {"databaseVersion": "MYSQL_8_0"})
    assert sql("GET", "instances/old")["databaseInstalledVersion"] == "MYSQL_8_0_41"
    assert sql.error("PATCH", "instances/old", {"databaseVersion": "MYSQL_5_7"})[:2] == (
        400,
        "Invalid request: The database version cannot be changed from MYSQL_8_0 to MYSQL_5_7.",
    )


def test_a_maintenance_version_comes_alone(sql: Sql) -> None:
    made(sql, "kept", "MYSQL_8_0")
    older = {"maintenanceVersion": "MYSQL_8_0_41.R20250304.00_02"}
    both = older | {"settings": {"tier": "db-n1-standard-2"}}
    assert sql.error("PATCH", "instances/kept", both)[1] == (
        "Invalid request: Upgrading maintenance version and changing other fields at the same time is not allowed."
    )
    sql.do("PATCH", "instances/kept", older)
    assert sql("GET", "instances/kept")["maintenanceVersion"] == older["maintenanceVersion"]
    assert sql.error("POST", "instances", MYSQL | older | {"name": "other"})[1] == (
        f"Invalid request: Maintenance version ({older['maintenanceVersion']}) must not be set."
    )


@pytest.mark.parametrize(
    ("version", "settings", "message"),
    [
        (
            "MYSQL_8_0",
            {"tier": "db-n1-standard-1", "availabilityType": "REGIONAL"},
            "Invalid flag for instance role: MySQL HA non-replica instances need to have binary logging enabled.",
        ),
        (
            "MYSQL_8_0",
            {"tier": "db-n1-standard-1", "backupConfiguration": {"binaryLogEnabled": True}},
            "Binary log must be disabled when backup is disabled or the instance must be a replica instance with a MySQL 5.7 or "
            "above version.",
        ),
        ("MYSQL_8_0", {"tier": "db-huge"}, "Invalid request: Invalid Tier (db-huge) for MySQL."),
        (
            "MYSQL_8_0",
            {"tier": "db-n1-standard-1", "databaseFlags": [{"name": "work_mem", "value": "1"}]},
            "The requested flag is not supported: work_mem.",
        ),
        (
            "POSTGRES_15",
            {
                "tier": "db-f1-micro",
                "edition": "ENTERPRISE",
                "dataDiskSizeGb": "20",
                "storageAutoResizeLimit": "15",
            },
            "Invalid request: The storage auto resize limit (15 GB) must be 0, or at least the disk size (20 GB).",
        ),
        (
            "POSTGRES_15",
            {"tier": "db-f1-micro", "edition": "ENTERPRISE", "dataDiskSizeGb": "4000"},
            "Invalid request: Invalid disk size (4000 GB); the maximum for db-f1-micro is 3062 GB.",
        ),
    ],
)
def test_what_an_engine_does_not_take_is_refused(version: str, settings: Any, message: str) -> None:
    assert refusal(version, **settings) == message


def test_sql_server_needs_a_root_password(sql: Sql) -> None:
    body = {"name": "n", "databaseVersion": "SQLSERVER_2019_WEB", "settings": {"tier": "db-custom-2-7680"}}
    assert sql.error("POST", "instances", body)[1] == "Invalid request: Missing parameter: rootPassword."


def test_a_clone_has_the_settings_and_the_content_of_its_source(sql: Sql) -> None:
    made(sql, "plan", "MYSQL_8_0", userLabels={"team": "maps"})
    sql.do("POST", "instances/plan/databases", {"name": "drafts"})
    clone = {"cloneContext": {"destinationInstanceName": "copy"}}
    assert sql.do("POST", "instances/plan/clone", clone)["operationType"] == "CLONE"
    assert sql("GET", "instances/copy")["settings"]["userLabels"] == {"team": "maps"}
    assert sql("GET", "instances/copy/databases/drafts")["name"] == "drafts"
    sql.do("DELETE", "instances/plan/databases/drafts")
    assert sql("GET", "instances/copy/databases/drafts")["name"] == "drafts"


def test_the_authority_of_the_server_is_listed(sql: Sql) -> None:
    listed = sql("GET", "instances/shop/listServerCas")
    authority = sql("GET", "instances/shop")["serverCaCert"]
    assert listed["certs"] == [authority]
    assert listed["activeVersion"] == authority["sha1Fingerprint"]


def test_versions_are_compared_by_number() -> None:
    assert engine_of("MYSQL_8_4").default_edition == "ENTERPRISE_PLUS"
    assert engine_of("MYSQL_8_0_41").default_edition == "ENTERPRISE"
    assert engine_of("POSTGRES_9_6").default_edition == "ENTERPRISE"
    assert [one["name"] for one in engine_of("POSTGRES_16").upgrades] == ["POSTGRES_17", "POSTGRES_18"]


def test_a_patch_of_the_ssl_mode_takes_require_ssl_with_it(sql: Sql) -> None:
    for mode, required in (
        ("TRUSTED_CLIENT_CERTIFICATE_REQUIRED", True),
        ("ENCRYPTED_ONLY", False),
    ):
        sql.do("PATCH", "instances/shop", {"settings": {"ipConfiguration": {"sslMode": mode}}})
        network = sql("GET", "instances/shop")["settings"]["ipConfiguration"]
        assert (network["sslMode"], network["requireSsl"]) == (mode, required)


def test_switches_of_insights_that_are_off_are_not_told(sql: Sql) -> None:
    asked = {"queryInsightsEnabled": False, "queryPlansPerMinute": 5, "recordClientAddress": False}
    sql.do("PATCH", "instances/shop", {"settings": {"insightsConfig": asked}})
    assert sql("GET", "instances/shop")["settings"]["insightsConfig"] == {"queryPlansPerMinute": 5}


def test_an_update_replaces_the_settings(sql: Sql) -> None:
    sql.do("PATCH", "instances/shop", {"settings": {"maintenanceWindow": {"day": 1, "hour": 0}}})
    settings = sql("GET", "instances/shop")["settings"]
    assert settings["maintenanceWindow"] == {"day": 1, "hour": 0, "kind": "sql#maintenanceWindow"}
    body = {"settings": {"tier": "db-n1-standard-2", "settingsVersion": settings["settingsVersion"]}}
    sql.do("PUT", "instances/shop", body)
    after = sql("GET", "instances/shop")["settings"]
    assert after["tier"] == "db-n1-standard-2"
    assert "maintenanceWindow" not in after
    wrong = {"instanceType": "READ_REPLICA_INSTANCE", "settings": after}
    assert sql.error("PUT", "instances/shop", wrong)[1] == "Invalid request: instanceType cannot be updated."


# Databases and users -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, ("utf8mb4", "utf8mb4_0900_ai_ci")),
        ({"charset": "utf8"}, ("utf8", "utf8_general_ci")),
        ({"collation": "latin1_german1_ci"}, ("latin1", "latin1_german1_ci")),
        ({"charset": "utf8mb4", "collation": "utf8mb4_bin"}, ("utf8mb4", "utf8mb4_bin")),
    ],
)
def test_a_database_gets_the_collation_of_its_character_set(sql: Sql, asked: Any, told: Any) -> None:
    operation = sql("POST", "instances/shop/databases", {"name": "wares"} | asked)
    assert (operation["operationType"], operation["status"]) == ("CREATE_DATABASE", "DONE")
    assert operation["targetLink"].endswith("/instances/shop/databases/wares")
    database = sql("GET", "instances/shop/databases/wares")
    assert (database["charset"], database["collation"]) == told
    deletion = sql("DELETE", "instances/shop/databases/wares")
    assert deletion["status"] == "PENDING"
    sql.wait(deletion)


def test_a_database_that_is_not_there_is_told_in_the_newer_form(sql: Sql) -> None:
    answer = sql.session.get(f"{sql.base}/instances/shop/databases/none")
    assert answer.json() == {
        "error": {
            "code": 404,
            "errors": [{"domain": "global", "message": "Not Found", "reason": "notFound"}],
            "message": "Not Found",
            "status": "NOT_FOUND",
        }
    }


def test_users_of_mysql_have_hosts_and_password_policies(sql: Sql) -> None:
    made(sql, "staff", "MYSQL_8_0")
    policy = {"allowedFailedAttempts": 10, "passwordExpirationDuration": "2592000s"}
    for host in ("10.9.8.7", "10.9.8.6"):
        body = {"name": "clerk", "host": host, "password": "x", "passwordPolicy": policy}
        assert sql("POST", "instances/staff/users", body)["status"] == "DONE"
    users = {(one["name"], one["host"]): one for one in sql("GET", "instances/staff/users")["items"]}
    assert set(users) == {("clerk", "10.9.8.6"), ("clerk", "10.9.8.7"), ("root", "")}
    told = users["clerk", "10.9.8.7"]
    assert told["passwordPolicy"].pop("status")["passwordExpirationTime"] > "2026"
    assert told["passwordPolicy"] == policy
    assert "type" not in told
    sql.do("DELETE", "instances/staff/users", name="clerk", host="10.9.8.6")
    sql.do("DELETE", "instances/staff/users", name="root", host="%")
    assert [one["host"] for one in sql("GET", "instances/staff/users")["items"]] == ["10.9.8.7"]
    sql.do("DELETE", "instances/staff/users", name="clerk", host="10.9.8.7")
    assert sql("GET", "instances/staff/users") == {"kind": "sql#usersList"}


def test_roles_of_a_user_are_kept(sql: Sql) -> None:
    made(sql, "roles", "MYSQL_8_0")
    sql.do("POST", "instances/roles/users", {"name": "reader", "password": "x"})
    sql.do("PUT", "instances/roles/users", {}, name="reader", host="%", databaseRoles=["one", "two"])
    assert sql("GET", "instances/roles/users/reader")["databaseRoles"] == ["one", "two"]
    sql.do("PUT", "instances/roles/users", {}, name="reader", databaseRoles=["two"], revokeExistingRoles=True)
    assert sql("GET", "instances/roles/users/reader")["databaseRoles"] == ["two"]


def test_nobody_connects_to_a_server_that_does_not_run(sql: Sql) -> None:
    sql.do("PATCH", "instances/shop", {"settings": {"dataApiAccess": "ALLOW_DATA_API"}})
    body = {"database": "wares", "sqlStatement": "SELECT 1", "autoIamAuthn": True}
    v1 = Sql(sql.running)
    assert v1.error("POST", "instances/shop/executeSql", body)[:2] == (
        400,
        REFUSED.format("servers of MySQL unless one was brought with tools/mysql.py", f"{PROJECT}/shop"),
    )


def test_a_stopped_instance_tells_nothing_of_what_is_in_it(sql: Sql) -> None:
    sql.do("PATCH", "instances/shop", {"settings": {"activationPolicy": "NEVER"}})
    assert sql("GET", "instances/shop")["state"] == "RUNNABLE"
    assert sql.error("GET", "instances/shop/users") == (
        400,
        "Invalid request: Invalid request since instance is not running.",
        "invalid",
    )
    sql.do("PATCH", "instances/shop", {"settings": {"activationPolicy": "ALWAYS"}})


def test_too_many_operations_are_refused_at_reads_too(sql: Sql) -> None:
    sql.running.plan({"method": "sql.users.list", "kind": "too_many_operations"})
    assert sql.error("GET", "instances/shop/users") == (
        400,
        "Invalid request: Too many operations are being executed on the instance. Please try again later..",
        "invalid",
    )
    assert sql("GET", "instances/shop/users")["kind"] == "sql#usersList"


def test_flags_are_listed_for_each_engine(sql: Sql) -> None:
    url = "https://sqladmin.googleapis.com/sql/v1beta4/flags"
    flags = sql.session.get(url, params={"databaseVersion": "MYSQL_8_4"}).json()["items"]
    names = {flag["name"]: flag for flag in flags}
    assert names["max_connections"]["appliesTo"] == ["MYSQL_8_4"]
    assert "query_cache_type" not in names
    assert "work_mem" not in names


# Replicas ------------------------------------------------------------------------------------------------------------


def replica(calls: Sql, name: str, primary: str, region: str = "us-east1") -> Any:
    body = {
        "name": name,
        "region": region,
        "masterInstanceName": primary,
        "settings": {"tier": "db-custom-1-3840"},
    }
    return calls.do("POST", "instances", body)


def test_a_replica_is_named_by_its_primary_which_cannot_be_deleted(sql: Sql) -> None:
    made(sql, "trunk", "MYSQL_8_0", backupConfiguration={"enabled": True, "binaryLogEnabled": True})
    operation = replica(sql, "branch", f"{PROJECT}:trunk")
    assert (operation["operationType"], operation["targetId"]) == ("CREATE_REPLICA", f"{PROJECT}:trunk")
    told = sql("GET", "instances/branch")
    assert told["instanceType"] == "READ_REPLICA_INSTANCE"
    assert told["masterInstanceName"] == f"{PROJECT}:trunk"
    assert told["databaseVersion"] == "MYSQL_8_0"
    assert sql("GET", "instances/trunk")["replicaNames"] == ["branch"]
    assert sql.error("DELETE", "instances/trunk") == (
        400,
        "The requested operation is not valid for a replication master instance.",
        "errorReplicationMasterInvalidOperation",
    )
    sql.do("DELETE", "instances/branch")
    assert "replicaNames" not in sql("GET", "instances/trunk")
    sql.do("DELETE", "instances/trunk")


def test_a_primary_that_is_not_there_is_forbidden(sql: Sql) -> None:
    body = {"name": "orphan", "masterInstanceName": "none-such", "settings": {"tier": "db-custom-1-3840"}}
    assert sql.error("POST", "instances", body) == (
        403,
        "The client is not authorized to make this request.",
        "notAuthorized",
    )


def test_a_switchover_changes_places_and_a_promotion_ends_the_replication(sql: Sql) -> None:
    made(sql, "east", "MYSQL_8_0", backupConfiguration={"enabled": True, "binaryLogEnabled": True})
    replica(sql, "west", "east", "us-west1")
    sql.do("PATCH", "instances/east", {"replicationCluster": {"failoverDrReplicaName": "west"}})
    assert sql("GET", "instances/west")["replicationCluster"] == {"drReplica": True}
    assert sql.do("POST", "instances/west/switchover")["operationType"] == "SWITCHOVER"
    east, west = sql("GET", "instances/east"), sql("GET", "instances/west")
    assert (east["instanceType"], east["masterInstanceName"]) == ("READ_REPLICA_INSTANCE", f"{PROJECT}:west")
    assert (west["instanceType"], west["replicaNames"]) == ("CLOUD_SQL_INSTANCE", ["east"])
    sql.do("POST", "instances/east/stopReplica")
    assert sql("GET", "instances/east")["settings"]["databaseReplicationEnabled"] is False
    assert sql.do("POST", "instances/east/promoteReplica")["operationType"] == "PROMOTE_REPLICA"
    assert "masterInstanceName" not in sql("GET", "instances/east")
    assert "replicaNames" not in sql("GET", "instances/west")
    assert sql.error("POST", "instances/east/switchover")[1] == (
        "Invalid request: instance is not a replica instance."
    )


def test_what_was_noted_survives_a_stop_of_the_emulator(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "state", Profile("realistic", 0.001))
    calls = Sql(running)
    calls.do("POST", "instances", MYSQL | {"name": "kept"})
    calls.do("POST", "instances/kept/databases", {"name": "wares"})
    running.stop()
    again = RunningEmulator(tmp_path / "state")
    try:
        names = [one["name"] for one in Sql(again)("GET", "instances/kept/databases")["items"]]
        assert names == ["information_schema", "mysql", "performance_schema", "sys", "wares"]
    finally:
        again.stop()


# Final backups -------------------------------------------------------------------------------------------------------


def test_a_final_backup_outlives_its_instance(sql: Sql) -> None:
    made(sql, "archive", "MYSQL_8_0", finalBackupConfig={"enabled": True, "retentionDays": 3})
    sql.do("DELETE", "instances/archive", finalBackupDescription="the books of 2026")
    (backup,) = sql("GET", "backups")["backups"]
    assert {key: backup[key] for key in ("type", "state", "instance", "databaseVersion", "description")} == {
        "type": "FINAL",
        "state": "SUCCESSFUL",
        "instance": "archive",
        "databaseVersion": "MYSQL_8_0",
        "description": "the books of 2026",
    }
    assert backup["instanceSettings"]["settings"]["tier"] == "db-custom-1-3840"
    kept = clock.parse_timestamp(backup["expiryTime"]) - clock.parse_timestamp(backup["instanceDeletionTime"])
    assert 2.9 < kept.total_seconds() / 86400 <= 3
    identifier = backup["name"].rpartition("/")[2]
    assert Sql(sql.running)("GET", f"backups/{identifier}")["name"] == backup["name"]
    records = sql.running.context.store.collection("sqladmin.backups")
    sql.running.call(records.put, backup["name"], backup | {"expiryTime": clock.timestamp()})
    assert sql.error("GET", f"backups/{identifier}")[0] == 404
    assert sql("GET", "backups") == {}


def test_an_instance_without_a_final_backup_leaves_none(sql: Sql) -> None:
    made(sql, "fleeting", "MYSQL_8_0", finalBackupConfig={"enabled": True})
    sql.do("DELETE", "instances/fleeting", enableFinalBackup=False)
    assert sql("GET", "backups") == {}


def test_an_account_has_the_short_name_that_mysql_takes(sql: Sql) -> None:
    sql.do("POST", "instances/shop/users", {"name": "clerk@example.com", "type": "CLOUD_IAM_USER"})
    user = sql("GET", "instances/shop/users/clerk")
    assert (user["type"], user["iamEmail"]) == ("CLOUD_IAM_USER", "clerk@example.com")
    refused = {"name": "other@example.com", "type": "CLOUD_IAM_USER", "password": "x"}
    assert (
        "password or hostname should not be specified"
        in sql.error("POST", "instances/shop/users", refused)[1]
    )
