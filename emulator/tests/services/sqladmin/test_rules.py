"""What Cloud SQL accepts of an instance, text by text."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.services.sqladmin import rules
from gcp_emulator.services.sqladmin.engines import engine_of

SETTINGS = {"tier": "db-f1-micro", "edition": "ENTERPRISE"}
BODY = {"name": "main", "region": "europe-west1", "databaseVersion": "POSTGRES_15", "settings": SETTINGS}
LEARN = "Learn more at https://cloud.google.com/sql/docs/postgres/create-instance#machine-types."


def refusal(body: dict[str, Any]) -> tuple[int, str, str]:
    with pytest.raises(ApiError) as caught:
        rules.new_instance("project", body)
    return caught.value.code, caught.value.message, caught.value.reason


def settings_refusal(version: str = "POSTGRES_15", **settings: Any) -> str:
    code, message, _ = refusal(BODY | {"databaseVersion": version, "settings": SETTINGS | settings})
    assert code == 400
    return message


def test_defaults_are_filled_in() -> None:
    settings = rules.new_instance("project", BODY)["settings"]
    assert settings["availabilityType"] == "ZONAL"
    assert settings["activationPolicy"] == "ALWAYS"
    assert settings["dataDiskSizeGb"] == "10"
    assert settings["deletionProtectionEnabled"] is False
    assert settings["ipConfiguration"] == {
        "ipv4Enabled": True,
        "authorizedNetworks": [],
        "sslMode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED",
        "requireSsl": False,
        "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
    }
    assert settings["backupConfiguration"]["transactionLogRetentionDays"] == 7


@pytest.mark.parametrize(
    ("version", "edition"),
    [("POSTGRES_15", "ENTERPRISE"), ("POSTGRES_16", "ENTERPRISE_PLUS"), ("POSTGRES_17", "ENTERPRISE_PLUS")],
)
def test_without_an_edition_the_version_decides(version: str, edition: str) -> None:
    tier = "db-perf-optimized-N-2" if edition == "ENTERPRISE_PLUS" else "db-custom-2-7680"
    body = BODY | {"databaseVersion": version, "settings": {"tier": tier}}
    settings = rules.new_instance("project", body)["settings"]
    assert settings["edition"] == edition
    assert settings["backupConfiguration"]["transactionLogRetentionDays"] == (
        14 if edition == "ENTERPRISE_PLUS" else 7
    )


@pytest.mark.parametrize("tier", ["db-f1-micro", "db-g1-small", "db-custom-2-7680"])
def test_from_postgresql_16_on_small_tiers_need_the_edition_said(tier: str) -> None:
    body = BODY | {"databaseVersion": "POSTGRES_17", "settings": {"tier": tier}}
    assert refusal(body) == (
        400,
        f"Invalid request: Invalid Tier ({tier}) for (ENTERPRISE_PLUS) Edition. Use a predefined Tier like "
        f"db-perf-optimized-N-* instead. {LEARN}",
        "invalid",
    )
    body["settings"] = {"tier": tier, "edition": "ENTERPRISE"}
    assert rules.new_instance("project", body)["settings"]["tier"] == tier


def test_an_enterprise_plus_tier_does_not_fit_enterprise() -> None:
    assert settings_refusal(tier="db-perf-optimized-N-4") == (
        "Invalid request: Invalid Tier (db-perf-optimized-N-4) for (ENTERPRISE) Edition. Use a predefined Tier like "
        f"db-custom-* instead. {LEARN}"
    )


@pytest.mark.parametrize("tier", ["db-n1-standard-1", "db-custom", "micro", "db-perf-optimized-N-3"])
def test_other_tiers_are_not_postgresqls(tier: str) -> None:
    assert settings_refusal(tier=tier) == (
        "Invalid request: Only custom or shared-core instance Billing Tier type allowed for PostgreSQL database."
    )


@pytest.mark.parametrize(
    "tier",
    ["db-custom-3-7680", "db-custom-1-3800", "db-custom-2-3000", "db-custom-1-7680", "db-custom-98-98304"],
)
def test_custom_machines_have_limits(tier: str) -> None:
    assert settings_refusal(tier=tier).startswith(f"Invalid request: Invalid custom machine type ({tier}): ")


@pytest.mark.parametrize(
    "tier", ["db-custom-1-3840", "db-custom-2-3840", "db-custom-4-26624", "db-custom-96-638976"]
)
def test_custom_machines_within_the_limits_are_taken(tier: str) -> None:
    assert rules.new_instance("p", BODY | {"settings": SETTINGS | {"tier": tier}})["settings"]["tier"] == tier


@pytest.mark.parametrize(
    ("tier", "connections"),
    [
        ("db-f1-micro", 25), ("db-g1-small", 50), ("db-custom-1-3840", 100), ("db-custom-2-7680", 400),
        ("db-custom-4-15360", 500), ("db-perf-optimized-N-2", 500), ("db-perf-optimized-N-16", 1000),
    ],
)  # fmt: skip
def test_the_tiers_memory_decides_the_default_of_max_connections(tier: str, connections: int) -> None:
    assert rules.max_connections(tier, "POSTGRES") == connections
    assert rules.server_settings({"tier": tier}, engine_of("POSTGRES_15"))["max_connections"] == str(
        connections
    )


@pytest.mark.parametrize("name", ["Main", "1main", "main_1", "main-", "", "ma.in"])
def test_a_name_has_a_form(name: str) -> None:
    assert refusal(BODY | {"name": name}) == (400, f"Invalid request: instance name ({name}).", "invalid")


def test_project_and_name_together_have_a_length() -> None:
    name = "a" * 91
    assert (
        refusal(BODY | {"name": name})[1] == f"Invalid request: Invalid full instance name: project:{name}."
    )
    assert rules.new_instance("project", BODY | {"name": name[1:]})["name"] == name[1:]


def test_an_unknown_region_is_refused() -> None:
    assert (
        refusal(BODY | {"region": "europe-west99"})[1]
        == "Invalid request: Invalid value for region: europe-west99."
    )


def test_missing_parameters_are_named() -> None:
    assert (
        refusal(BODY | {"settings": {"edition": "ENTERPRISE"}})[1]
        == "Invalid request: Missing parameter: settings.tier."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"backupConfiguration": {"enabled": True, "transactionLogRetentionDays": 8}},
            "The number of transaction log retention days must be between 1 and 7.",
        ),
        (
            {"backupConfiguration": {"pointInTimeRecoveryEnabled": True}},
            "Backups must be enabled to enable point-in-time recovery.",
        ),
        (
            {"backupConfiguration": {"startTime": "25:00"}},
            "Invalid backup start time (25:00); it must be in the format HH:MM.",
        ),
        (
            {"backupConfiguration": {"backupRetentionSettings": {"retainedBackups": 366}}},
            "The number of retained backups must be between 1 and 365.",
        ),
        (
            {"ipConfiguration": {"authorizedNetworks": [{"value": "10.1.0.0/16"}]}},
            "Non-routable or private authorized network (10.1.0.0/16).",
        ),
        (
            {"ipConfiguration": {"authorizedNetworks": [{"value": "here"}]}},
            "Invalid authorized network (here): an IPv4 address or range in CIDR notation is expected.",
        ),
        (
            {"ipConfiguration": {"ipv4Enabled": False}},
            "At least one of Public IP or Private IP or PSC connectivity must be enabled.",
        ),
        (
            {"ipConfiguration": {"sslMode": "ENCRYPTED_ONLY", "requireSsl": True}},
            "sslMode ENCRYPTED_ONLY and requireSsl true contradict each other.",
        ),
        (
            {"insightsConfig": {"queryStringLength": 5000}},
            "insightsConfig.queryStringLength must be between 256 and 4500.",
        ),
        ({"userLabels": {"Upper": "x"}}, "Invalid label (Upper: x)."),
        ({"dataDiskSizeGb": "9"}, "Invalid disk size (9 GB); the minimum is 10 GB."),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, Any], message: str) -> None:
    assert settings_refusal(**settings) == f"Invalid request: {message}"


def test_everybody_and_public_ranges_may_be_authorized() -> None:
    networks = [{"value": "0.0.0.0/0"}, {"value": "198.51.100.7", "name": "office"}]
    body = BODY | {"settings": SETTINGS | {"ipConfiguration": {"authorizedNetworks": networks}}}
    kept = rules.new_instance("project", body)["settings"]["ipConfiguration"]["authorizedNetworks"]
    assert kept == [{"kind": "sql#aclEntry", **entry} for entry in networks]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("max_connections", "many", "many is not a number of type INTEGER"),
        ("max_connections", "1000000", "1000000 is not between 14 and 262143"),
        ("log_statement", "some", "some was not an expected string"),
        ("log_connections", "true", "true was not one of on, off"),
        ("random_page_cost", "nan", "nan is not between 0 and 1.79769e+308"),
    ],
)
def test_flag_values_are_checked(name: str, value: str, problem: str) -> None:
    body = BODY | {"settings": SETTINGS | {"databaseFlags": [{"name": name, "value": value}]}}
    assert refusal(body) == (
        400,
        f"Value requested is not valid. Failed to set {name}: {problem}.",
        "invalidFlagValue",
    )


def test_unknown_and_repeated_flags_are_refused() -> None:
    flags = [{"name": "fsync", "value": "off"}]
    assert refusal(BODY | {"settings": SETTINGS | {"databaseFlags": flags}}) == (
        400, "The requested flag is not supported: fsync.", "invalidFlagName",
    )  # fmt: skip
    twice = [{"name": "work_mem", "value": "1024"}] * 2
    assert settings_refusal(databaseFlags=twice) == "Invalid request: Flag work_mem is given more than once."


def test_memory_flags_are_shown_but_not_given_to_the_server() -> None:
    flags = [
        {"name": "shared_buffers", "value": "1000000"},
        {"name": "cloudsql.logical_decoding", "value": "on"},
    ]
    assert rules.server_settings(
        {"tier": "db-f1-micro", "databaseFlags": flags}, engine_of("POSTGRES_15")
    ) == {
        "cloudsql.logical_decoding": "on",
        "max_connections": "25",
        "wal_level": "logical",
    }


def test_only_some_changes_restart_the_server() -> None:
    def settings(tier: str = "db-f1-micro", **flags: str) -> dict[str, Any]:
        given = [{"name": name, "value": value} for name, value in flags.items()]
        return {"tier": tier, "edition": "ENTERPRISE", "databaseFlags": given}

    assert not rules.needs_restart(settings(), settings(work_mem="1024"), "POSTGRES")
    assert rules.needs_restart(settings(), settings(max_connections="50"), "POSTGRES")
    assert rules.needs_restart(settings(max_connections="50"), settings(), "POSTGRES")
    assert rules.needs_restart(settings(), settings(tier="db-g1-small"), "POSTGRES")
    inside = {"ipConfiguration": {"privateNetwork": "projects/p/global/networks/n"}}
    assert rules.needs_restart(settings(), settings() | inside, "POSTGRES")
    assert not rules.needs_restart(settings() | inside, settings() | inside, "POSTGRES")


def test_what_never_changes_is_refused() -> None:
    before = rules.new_instance("project", BODY | {"settings": SETTINGS | {"dataDiskSizeGb": "20"}})
    for change, message in (
        (
            {"region": "us-central1"},
            "Invalid request: Region of an instance cannot be changed (europe-west1 to us-central1).",
        ),
        (
            {"databaseVersion": "POSTGRES_16"},
            "gcp-emulator does not emulate major version upgrades of PostgreSQL; nothing was done.",
        ),
        (
            {"settings": before["settings"] | {"dataDiskSizeGb": "10"}},
            "Invalid request: Disk size cannot be decreased (20 GB to 10 GB).",
        ),
    ):
        with pytest.raises(ApiError) as caught:
            rules.check_update(before, before | change)
        assert caught.value.message == message


def test_a_null_in_a_patch_clears_the_field() -> None:
    current = {"tier": "t", "ipConfiguration": {"allocatedIpRange": "r", "ipv4Enabled": True}}
    raw = {"ipConfiguration": {"allocatedIpRange": None}}
    merged = rules.merge_settings(current, {"ipConfiguration": {}}, raw)
    assert merged == {"tier": "t", "ipConfiguration": {"ipv4Enabled": True}}


def test_mysql_takes_passwords_in_the_old_way_unless_a_flag_or_its_version_says_otherwise() -> None:
    def asked(version: str, **flags: str) -> dict[str, str]:
        given = [{"name": name, "value": value} for name, value in flags.items()]
        return rules.server_settings({"tier": "db-g1-small", "databaseFlags": given}, engine_of(version))

    way = "default_authentication_plugin"
    assert asked("MYSQL_8_0") == {"max_connections": "1000", way: "mysql_native_password"}
    assert asked("MYSQL_8_0", **{way: "caching_sha2_password"})[way] == "caching_sha2_password"
    assert asked("MYSQL_8_4", innodb_buffer_pool_size="9663676416") == {"max_connections": "1000"}
