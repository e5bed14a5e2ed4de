# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Google Cloud fills in and rewrites is no difference: answers in the shape that recorded conversations with it have."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ImmutableError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import (
    INSTANCE as INSTANCE_TABLE,
)
from ansible_collections.org.djangogcp.plugins.module_utils._table_problems import table_problems
from ansible_collections.org.djangogcp.plugins.modules import sql_database, sql_instance, sql_users

INSTANCE = "https://sqladmin.googleapis.com/v1/projects/p/instances/shop"
OPERATIONS = "https://sqladmin.googleapis.com/v1/projects/p/operations"
USERS = f"{INSTANCE}/users"
DONE = {"name": "op", "status": "DONE", "targetProject": "p"}
MISSING = (404, {"error": {"code": 404, "message": "Not Found", "errors": [{"reason": "notFound"}]}})


def told(version, edition="ENTERPRISE", **settings):
    """An instance as Google Cloud tells it after a create that asked for nothing but a machine."""
    plus = edition == "ENTERPRISE_PLUS"
    return {
        "kind": "sql#instance",
        "name": "shop",
        "project": "p",
        "region": "us-central1",
        "databaseVersion": version,
        "databaseInstalledVersion": f"{version}_41",
        "maintenanceVersion": f"{version}_41.R20251004.01_07",
        "instanceType": "CLOUD_SQL_INSTANCE",
        "backendType": "SECOND_GEN",
        "state": "RUNNABLE",
        "etag": "abc",
        "gceZone": "us-central1-a",
        "satisfiesPzi": True,
        "sqlNetworkArchitecture": "NEW_NETWORK_ARCHITECTURE",
        "geminiConfig": {"entitled": False},
        "ipAddresses": [
            {"ipAddress": "203.0.113.5", "type": "PRIMARY"},
            {"ipAddress": "203.0.113.6", "type": "OUTGOING"},
        ],
        "settings": {
            "kind": "sql#settings",
            "settingsVersion": "12",
            "tier": "db-custom-1-3840",
            "edition": edition,
            "activationPolicy": "ALWAYS",
            "authorizedGaeApplications": [],
            "availabilityType": "ZONAL",
            "connectorEnforcement": "NOT_REQUIRED",
            "dataDiskSizeGb": "20" if plus else "10",
            "dataDiskType": "PD_SSD",
            "deletionProtectionEnabled": False,
            "pricingPlan": "PER_USE",
            "replicationType": "SYNCHRONOUS",
            "storageAutoResize": True,
            "storageAutoResizeLimit": "0",
            "userLabels": {},
            "locationPreference": {"kind": "sql#locationPreference", "zone": "us-central1-a"},
            "ipConfiguration": {
                "authorizedNetworks": [],
                "ipv4Enabled": True,
                "requireSsl": False,
                "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
                "sslMode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED",
            },
            "backupConfiguration": {
                "kind": "sql#backupConfiguration",
                "backupRetentionSettings": {"retainedBackups": 15 if plus else 7, "retentionUnit": "COUNT"},
                "enabled": plus,
                "replicationLogArchivingEnabled": False,
                "startTime": "12:00",
                "transactionLogRetentionDays": 14 if plus else 7,
                "transactionalLogStorageState": "TRANSACTIONAL_LOG_STORAGE_STATE_UNSPECIFIED",
            },
            **settings,
        },
    }


@pytest.fixture(autouse=True)
def _idle(google):
    google.answer("GET", OPERATIONS, {})


def instance(client, **options):
    params = {
        **dict.fromkeys(sql_instance.ARGUMENT_SPEC),
        "state": "present",
        "project": "p",
        "name": "shop",
        **options,
    }
    return sql_instance.work(Task(params, client, False, Wait()))


def changes(google, client, answer, **options):
    """The settings that a task would send; None when there is nothing to change."""
    google.answer("GET", INSTANCE, answer)
    google.answer("PATCH", INSTANCE, DONE)
    if not instance(client, **options)["changed"]:
        return None
    sent = copy.deepcopy(google.bodies("PATCH")[-1]["settings"])
    del sent["settingsVersion"]
    return sent


SAME = {
    "its defaults": {
        "availability_type": "ZONAL",
        "activation_policy": "ALWAYS",
        "connector_enforcement": "NOT_REQUIRED",
        "data_api_access": "DISALLOW_DATA_API",
        "data_disk_type": "PD_SSD",
        "deletion_protection_enabled": False,
        "edition": "ENTERPRISE",
        "storage_auto_resize": True,
        "storage_auto_resize_limit": 0,
        "tier": "db-custom-1-3840",
        "data_disk_size_gb": 10,
    },
    "backups that are off": {
        "backup_configuration": {
            "enabled": False,
            "point_in_time_recovery_enabled": False,
            "binary_log_enabled": False,
            "retained_backups": 7,
            "transaction_log_retention_days": 7,
        }
    },
    "insights that are off": {
        "insights_config": {"query_insights_enabled": False, "record_client_address": False}
    },
    "a cache that is off": {"data_cache_config": {"data_cache_enabled": False}},
    "no labels, flags and networks": {
        "user_labels": {},
        "database_flags": {},
        "ip_configuration": {"authorized_networks": [], "ipv4_enabled": True},
    },
    "no window and no policy": {"maintenance_window": {}, "password_validation_policy": {}},
    "no backups": {"backup_configuration": {}},
    "no network and no zone": {"ip_configuration": {}, "location_preference": {}},
    "the zone": {"location_preference": {"zone": "us-central1-a"}},
}


@pytest.mark.parametrize("version", ["POSTGRES_15", "MYSQL_8_0"])
@pytest.mark.parametrize("options", SAME.values(), ids=SAME)
def test_what_google_fills_in_is_no_difference(google, client, version, options):
    assert (
        changes(google, client, told(version), database_version=version, region="us-central1", **options)
        is None
    )


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        ("backup_configuration", {"backupConfiguration": {"enabled": True, "startTime": "12:00"}}),
        ("backup_configuration", {"backupConfiguration": {"enabled": False, "binaryLogEnabled": True}}),
        (
            "ip_configuration",
            {"ipConfiguration": {"ipv4Enabled": False, "privateNetwork": "projects/p/global/networks/n"}},
        ),
        (
            "ip_configuration",
            {"ipConfiguration": {"ipv4Enabled": True, "authorizedNetworks": [{"value": "203.0.113.0/24"}]}},
        ),
        (
            "location_preference",
            {"locationPreference": {"zone": "us-central1-a", "secondaryZone": "us-central1-b"}},
        ),
    ],
)
def test_what_is_more_than_google_fills_in_goes_when_nothing_is_asked(google, client, asked, has):
    assert changes(google, client, told("MYSQL_8_0", **has), **{asked: {}}) is not None


def test_the_larger_defaults_of_enterprise_plus_are_no_difference(google, client):
    answer = told("MYSQL_8_0", "ENTERPRISE_PLUS")
    backups = {"enabled": True, "retained_backups": 15, "transaction_log_retention_days": 14}
    assert (
        changes(
            google,
            client,
            answer,
            edition="ENTERPRISE_PLUS",
            data_disk_size_gb=10,
            backup_configuration=backups,
        )
        is None
    )


@pytest.mark.parametrize("have", ["MYSQL_8_0", "MYSQL_8_0_42", "MYSQL_8_4"])
def test_a_version_of_mysql_that_google_or_somebody_upgraded_is_as_asked(google, client, have):
    assert changes(google, client, told(have), database_version="MYSQL_8_0", region="us-central1") is None


@pytest.mark.parametrize(
    ("have", "sent"),
    [("10", {"dataDiskSizeGb": "20"}), ("20", None), ("40", None), ("odd", {"dataDiskSizeGb": "20"})],
)
def test_a_disk_that_is_large_enough_is_as_asked(google, client, have, sent):
    assert changes(google, client, told("POSTGRES_17", dataDiskSizeGb=have), data_disk_size_gb=20) == sent


@pytest.mark.parametrize(
    "network",
    [
        "core",
        "projects/hub/global/networks/core",
        "https://www.googleapis.com/compute/v1/projects/hub/global/networks/core",
    ],
)
@pytest.mark.parametrize("project", ["hub", "4711"])
def test_a_network_is_told_with_its_project_by_id_or_number(google, client, network, project):
    network_told = {
        "ipConfiguration": {
            "ipv4Enabled": False,
            "privateNetwork": f"projects/{project}/global/networks/core",
        }
    }
    asked = {"ipv4_enabled": False, "private_network": network}
    assert changes(google, client, told("POSTGRES_17", **network_told), ip_configuration=asked) is None


def test_an_older_version_of_mysql_is_refused(google, client):
    google.answer("GET", INSTANCE, told("MYSQL_5_7"))
    with pytest.raises(ImmutableError, match="--database-version=MYSQL_8_4"):
        instance(client, database_version="MYSQL_8_4", region="us-central1")


def test_flags_are_compared_without_their_order_and_form(google, client):
    flags = [
        {"name": "slow_query_log", "value": "on"},
        {"name": "max_connections", "value": "100"},
        {"name": "long_query_time", "value": "0.5"},
    ]
    asked = {"long_query_time": 0.5, "max_connections": 100, "slow_query_log": True}
    assert changes(google, client, told("MYSQL_8_0", databaseFlags=flags), database_flags=asked) is None
    sent = changes(
        google, client, told("MYSQL_8_0", databaseFlags=flags), database_flags={"slow_query_log": False}
    )
    assert sent == {"databaseFlags": [{"name": "slow_query_log", "value": "off"}]}


def test_networks_are_compared_without_their_order_kind_and_the_mask_of_one_address(google, client):
    network = told("POSTGRES_15")["settings"]["ipConfiguration"] | {
        "authorizedNetworks": [
            {"kind": "sql#aclEntry", "name": "office", "value": "203.0.113.0/24"},
            {"kind": "sql#aclEntry", "name": "", "value": "198.51.100.7"},
        ]
    }
    asked = [{"value": "198.51.100.7/32"}, {"name": "office", "value": "203.0.113.0/24"}]
    answer = told("POSTGRES_15", ipConfiguration=network)
    assert changes(google, client, answer, ip_configuration={"authorized_networks": asked}) is None
    assert changes(google, client, answer, ip_configuration={"authorized_networks": asked[:1]}) is not None


def test_what_differs_is_sent(google, client):
    policy = {"enable_password_policy": True, "min_length": 12, "complexity": "COMPLEXITY_DEFAULT"}
    assert changes(google, client, told("MYSQL_8_0"), password_validation_policy=policy) == {
        "passwordValidationPolicy": {
            "enablePasswordPolicy": True,
            "minLength": 12,
            "complexity": "COMPLEXITY_DEFAULT",
        }
    }
    zones = {"zone": "us-central1-b", "secondary_zone": "us-central1-c"}
    assert changes(google, client, told("MYSQL_8_0"), location_preference=zones)["locationPreference"][
        "zone"
    ] == ("us-central1-b")
    log = changes(
        google, client, told("MYSQL_8_0"), backup_configuration={"enabled": True, "binary_log_enabled": True}
    )
    assert log["backupConfiguration"]["binaryLogEnabled"] is True


def test_mysql_has_no_switch_for_point_in_time_recovery():
    backups = {"point_in_time_recovery_enabled": True}
    (problem,) = sql_instance.check({"database_version": "MYSQL_8_4", "backup_configuration": backups})
    assert "expected binary_log_enabled in its place" in problem
    assert sql_instance.check({"database_version": "POSTGRES_17", "backup_configuration": backups}) == []


def test_a_replica_tells_its_primary_with_the_project(google, client):
    answer = told("MYSQL_8_0") | {"instanceType": "READ_REPLICA_INSTANCE", "masterInstanceName": "p:trunk"}
    assert changes(google, client, answer, master_instance_name="trunk") is None
    assert changes(google, client, answer, master_instance_name="p:trunk") is None
    assert table_problems({"master_instance_name": "p:trunk"}, INSTANCE_TABLE.fields, "") == []
    with pytest.raises(ImmutableError, match="master_instance_name"):
        instance(client, master_instance_name="other")


def test_a_replica_needs_no_version_of_its_own(google, client):
    google.answer("GET", INSTANCE, MISSING, told("MYSQL_8_0"))
    google.answer("POST", INSTANCE.rpartition("/")[0], DONE)
    instance(client, region="us-east1", master_instance_name="trunk", tier="db-custom-1-3840")
    (body,) = google.bodies("POST")
    assert body == {
        "name": "shop",
        "region": "us-east1",
        "masterInstanceName": "trunk",
        "settings": {"tier": "db-custom-1-3840"},
    }


# Databases -----------------------------------------------------------------------------------------------------------


def database(client, **options):
    params = {
        **dict.fromkeys(sql_database.ARGUMENT_SPEC),
        "state": "present",
        "project": "p",
        "instance": "shop",
        "name": "wares",
        **options,
    }
    return sql_database.work(Task(params, client, False, Wait()))


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (("UTF8", "en_US.UTF8"), {"charset": "utf8", "collation": "en_US.utf8"}),
        (("UTF8", "en_US.UTF8"), {"charset": "UTF8", "collation": "en_US.UTF-8"}),
        (("utf8mb4", "utf8mb4_0900_ai_ci"), {"charset": "UTF8MB4", "collation": "utf8mb4_0900_AI_CI"}),
        (("utf8mb3", "utf8mb3_general_ci"), {"charset": "utf8", "collation": "utf8_general_ci"}),
        (("utf8", "utf8_general_ci"), {"charset": "utf8mb3"}),
    ],
)
def test_names_of_character_sets_and_collations_have_several_forms(google, client, answer, options):
    body = {
        "kind": "sql#database",
        "name": "wares",
        "charset": answer[0],
        "collation": answer[1],
        "etag": "e",
    }
    google.answer("GET", f"{INSTANCE}/databases/wares", body)
    assert not database(client, **options)["changed"]


def test_another_character_set_is_refused(google, client):
    google.answer(
        "GET", f"{INSTANCE}/databases/wares", {"name": "wares", "charset": "utf8", "collation": "utf8_bin"}
    )
    with pytest.raises(ImmutableError, match="charset"):
        database(client, charset="utf8mb4")


# Users ---------------------------------------------------------------------------------------------------------------


def users(client, *asked):
    options = {
        name: option.get("default") for name, option in sql_users.ARGUMENT_SPEC["users"]["options"].items()
    }
    listed = [{**options, **user} for user in asked]
    params = {"project": "p", "instance": "shop", "users": listed, "check_database": None}
    return sql_users.work(Task(params, client, False))


CLERK = {
    "kind": "sql#user",
    "etag": "e",
    "name": "clerk",
    "iamStatus": "IAM_STATUS_UNSPECIFIED",
    "instance": "shop",
    "project": "p",
}


@pytest.mark.parametrize("host", ["%", ""])
def test_a_user_of_mysql_is_found_by_its_host(google, client, host):
    google.answer("GET", f"{USERS}/clerk?host=%25", {**CLERK, "host": host, "passwordPolicy": {"status": {}}})
    assert not users(client, {"name": "clerk", "host": "%"})["changed"]


def test_a_person_has_in_mysql_the_name_before_the_at(google, client):
    ann = {"name": "ann", "host": "", "type": "CLOUD_IAM_USER", "iamEmail": "ann@example.com"}
    google.answer("GET", f"{USERS}/ann", MISSING, ann, ann)
    google.answer("POST", USERS, DONE)
    asked = {"name": "ann@example.com", "host": "%", "type": "CLOUD_IAM_USER"}
    assert users(client, asked)["users"][0]["name"] == "ann"
    assert google.bodies("POST") == [{"name": "ann@example.com", "type": "CLOUD_IAM_USER"}]
    assert not users(client, asked)["changed"]


def test_a_user_of_mysql_is_made_and_removed_with_its_host(google, client):
    google.answer("GET", f"{USERS}/clerk?host=10.9.8.7", MISSING, {**CLERK, "host": "10.9.8.7"})
    google.answer("POST", USERS, DONE)
    google.answer("DELETE", USERS, DONE)
    result = users(client, {"name": "clerk", "host": "10.9.8.7"})
    assert result["users"][0]["host"] == "10.9.8.7"
    assert google.bodies("POST") == [{"name": "clerk", "type": "BUILT_IN", "host": "10.9.8.7"}]
    users(client, {"name": "clerk", "host": "10.9.8.7", "state": "absent"})
    assert google.sent[-1].params == {"name": "clerk", "host": "10.9.8.7"}


def test_the_state_of_a_password_is_no_part_of_its_policy(google, client):
    policy = {"allowedFailedAttempts": 5, "passwordExpirationDuration": "2592000s"}
    status = {"status": {"passwordExpirationTime": "2026-12-01T00:00:00Z"}}
    google.answer("GET", f"{USERS}/clerk?host=%25", {**CLERK, "host": "%", "passwordPolicy": policy | status})
    google.answer("PUT", USERS, DONE)
    asked = {"allowed_failed_attempts": 5, "password_expiration_duration": "2592000s"}
    assert not users(client, {"name": "clerk", "host": "%", "password_policy": asked})["changed"]
    users(client, {"name": "clerk", "host": "%", "password_policy": {"allowed_failed_attempts": 3}})
    (sent,) = [one for one in google.sent if one.method == "PUT"]
    assert sent.params == {"name": "clerk", "host": "%"}
    assert sent.body == {"name": "clerk", "passwordPolicy": policy | {"allowedFailedAttempts": 3}}


def test_a_user_may_be_there_once_for_each_host(google, client):
    clerk = {"name": "clerk", "per_version": False, "state": "present", "random_password": False}
    rest = {
        "in_use_version": None,
        "append_roles": False,
        "kept_roles": [],
        "password_secret": None,
        "database_roles": None,
        "type": "BUILT_IN",
    }
    asked = [{**clerk, **rest, "host": host} for host in ("10.9.8.7", "10.9.8.6")]
    assert sql_users.check({"users": asked, "check_database": None}) == []
    assert sql_users.check({"users": [asked[0], asked[0]], "check_database": None})
