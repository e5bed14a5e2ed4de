"""What Cloud SQL accepts of an instance, apart from HTTP and servers: defaults, limits and their error texts.

Sources: https://cloud.google.com/sql/docs/postgres/create-instance (machine types, editions),
https://cloud.google.com/sql/docs/postgres/admin-api/rest/v1/instances (defaults and ranges of fields),
https://cloud.google.com/sql/docs/postgres/flags; recorded conversations for what is filled in (facts.yaml). Texts quoted from reports of real
responses: tier and edition, log retention, existing instance, stale settings, operation in progress, invalid flag value, a primary that
has replicas (GoogleCloudPlatform/gcp-service-broker#466), a primary that is not there (hashicorp/terraform-provider-google#1069). Of
mockgcp/mocksql in GoogleCloudPlatform/k8s-config-connector, a mock that was held against Google: binary logs, instance type,
maintenance version. The others are assumed.
"""

from __future__ import annotations

import copy
import hashlib
import ipaddress
import json
import math
import re
from functools import cache
from typing import Any

from gcp_emulator.engine.errors import ApiError, ErrorStyle, Json, failed_precondition, not_found
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.store import Collection
from gcp_emulator.engine.validate import is_number
from gcp_emulator.services.sqladmin.engines import Engine, engine_of

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_CUSTOM_TIER = re.compile(r"db-custom-(\d+)-(\d+)")
_LABEL_KEY = re.compile(r"[a-z][-_a-z0-9]{0,62}")
_LABEL_VALUE = re.compile(r"[-_a-z0-9]{0,63}")
#: ``PROJECT:INSTANCE`` may be this long.
_MAX_FULL_NAME = 98
_PRIVATE = [ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
#: Of an instance that asks for no version (assumed).
_DEFAULT_VERSION = "MYSQL_8_0"
_SERVER_CA_MODE = "GOOGLE_MANAGED_INTERNAL_CA"
#: The ``kind`` of messages in the settings (the discovery documents).
_KINDS = {
    "activeDirectoryConfig": "activeDirectoryConfig",
    "entraidConfig": "sqlServerEntraIdConfig",
    "maintenanceWindow": "maintenanceWindow",
    "sqlServerAuditConfig": "sqlServerAuditConfig",
}
_TYPES = ("CLOUD_SQL_INSTANCE", "READ_REPLICA_INSTANCE")
#: What is kept of a new instance beside its settings.
_KEPT = ("diskEncryptionConfiguration", "masterInstanceName", "replicaConfiguration", "replicationCluster")
#: What is noted of an instance and not told: whether a server runs for it, of which version, and where that differs from what was asked for.
NOTED = frozenset({"served", "runs", "differences"})
#: What a patch of ``settings`` replaces whole although it is an object.
_MAPS = frozenset({"userLabels"})


class FullError(ApiError):
    """An error that Cloud SQL tells in the newer form too, with ``status`` (recorded: sqldatabasebasic)."""

    def body(self, style: ErrorStyle) -> Json:
        return super().body("both")


def invalid(text: str, *, reason: str = "invalid") -> ApiError:
    """400 in the words that Cloud SQL puts before most of them."""
    return ApiError("INVALID_ARGUMENT", f"Invalid request: {text}", reason=reason)


@cache
def limits() -> Json:
    """limits.yaml."""
    loaded: Json = read_yaml("services/sqladmin/limits.yaml")
    return loaded


@cache
def flags(engine: str) -> dict[str, Json]:
    """flags.yaml of an engine: flag name -> type, limits, restart, since, applied."""
    loaded: dict[str, Json] = read_yaml("services/sqladmin/flags.yaml")["flags"][engine]
    return loaded


def tier_memory(tier: str) -> float:
    """Megabytes of memory of a valid tier."""
    named: dict[str, int] = limits()["shared_core_tiers"] | limits()["predefined_tiers"]
    if tier in named:
        return float(named[tier])
    if custom := _CUSTOM_TIER.fullmatch(tier):
        return int(custom[2])
    return int(tier.rpartition("-")[2]) * float(limits()["enterprise_plus_mb_per_cpu"])


def max_connections(tier: str, engine: str) -> int:
    """The default of the flag ``max_connections``."""
    memory = tier_memory(tier)
    steps: list[tuple[int, int]] = limits()["max_connections"][engine]
    return max(count for least, count in steps if memory >= least)


def new_instance(project: str, body: Json) -> Json:
    """The instance that ``body`` asks for, with defaults filled in; ApiError when Cloud SQL would refuse it."""
    name = body.get("name", "")
    if not _NAME.fullmatch(name):
        raise invalid(f"instance name ({name}).")
    if len(f"{project}:{name}") > _MAX_FULL_NAME:
        raise invalid(f"Invalid full instance name: {project}:{name}.")
    region = body.get("region", "us-central1")
    if region not in limits()["regions"]:
        raise invalid(f"Invalid value for region: {region}.")
    if version := body.get("maintenanceVersion"):
        raise invalid(f"Maintenance version ({version}) must not be set.")
    for unsupported in ("onPremisesConfiguration", "nodeCount"):
        if unsupported in body:
            raise failed_precondition(f"gcp-emulator does not emulate {unsupported}; nothing was done.")
    if body.get("instanceType", "CLOUD_SQL_INSTANCE") not in _TYPES:
        raise failed_precondition(f"gcp-emulator does not emulate {body['instanceType']}; nothing was done.")
    engine = engine_of(body.get("databaseVersion", _DEFAULT_VERSION))
    is_replica = "masterInstanceName" in body
    settings = complete_settings(body.get("settings", {}), engine, region, is_replica=is_replica)
    instance: Json = {
        "name": name,
        "project": project,
        "region": region,
        "databaseVersion": engine.version,
        "instanceType": "READ_REPLICA_INSTANCE" if is_replica else "CLOUD_SQL_INSTANCE",
        "settings": settings,
    }
    return instance | {key: body[key] for key in _KEPT if key in body}


def require_root_password(body: Json) -> None:
    """SQL Server has a password from its beginning; a replica has its primary's."""
    engine = engine_of(body.get("databaseVersion", _DEFAULT_VERSION))
    if engine.name == "SQLSERVER" and not (body.get("rootPassword") or "masterInstanceName" in body):
        raise invalid("Missing parameter: rootPassword.")


def complete_settings(given: Json, engine: Engine, region: str, *, is_replica: bool = False) -> Json:
    """Settings with what Cloud SQL fills in; ApiError when a value, or a combination, is refused."""
    settings = copy.deepcopy(given)
    settings.pop("settingsVersion", None)
    settings.setdefault("edition", engine.default_edition)
    plus = settings["edition"] == "ENTERPRISE_PLUS"
    _check_tier(settings.get("tier"), settings["edition"], engine)
    for key, value in (
        ("authorizedGaeApplications", []),
        ("availabilityType", "ZONAL"),
        ("pricingPlan", "PER_USE"),
        ("replicationType", "SYNCHRONOUS"),
        ("activationPolicy", "ALWAYS"),
        ("storageAutoResize", True),
        ("storageAutoResizeLimit", "0"),
        ("dataDiskType", "PD_SSD"),
        ("dataDiskSizeGb", "20" if plus else "10"),
        ("connectorEnforcement", "NOT_REQUIRED"),
        ("deletionProtectionEnabled", False),
        *engine.filled("settings").items(),
    ):
        settings.setdefault(key, value)
    _check_disk(settings)
    settings["locationPreference"] = {
        "zone": f"{region}-a",
        **settings.get("locationPreference", {}),
        "kind": "sql#locationPreference",
    }
    for part, kind in _KINDS.items():
        if part in settings:
            settings[part]["kind"] = f"sql#{kind}"
    settings["backupConfiguration"] = _backups(settings.get("backupConfiguration"), engine, plus=plus)
    settings["ipConfiguration"] = _network(settings.get("ipConfiguration", {})) | engine.filled("network")
    if "insightsConfig" in settings:
        _check_insights(settings["insightsConfig"])
        # Switches that are off are not told, numbers are (recorded: sqlinstance-insightsconfig-qpm-default).
        settings["insightsConfig"] = {k: v for k, v in settings["insightsConfig"].items() if v is not False}
    if not settings.get("dataCacheConfig", {}).get("dataCacheEnabled"):
        settings.pop("dataCacheConfig", None)
    _check_labels(settings.get("userLabels", {}))
    check_flags(settings.get("databaseFlags", []), engine)
    if "connectionPoolConfig" in settings and not plus:
        raise invalid("Connection pool is only supported for Enterprise Plus edition..")
    if engine.is_mysql and not is_replica:
        _check_binary_log(settings)
    return settings


def _check_binary_log(settings: Json) -> None:
    backups = settings["backupConfiguration"]
    has_log = backups.get("binaryLogEnabled", False)
    if settings["availabilityType"] == "REGIONAL" and not has_log:
        raise ApiError(
            "INVALID_ARGUMENT",
            "Invalid flag for instance role: MySQL HA non-replica instances need to have binary logging enabled.",
            reason="invalidFlagForInstanceRole",
        )
    if has_log and not backups["enabled"]:
        raise ApiError(
            "INVALID_ARGUMENT",
            "Binary log must be disabled when backup is disabled or the instance must be a replica instance with a MySQL 5.7 or "
            "above version.",
            reason="invalid",
        )


def largest_disk(tier: str) -> int:
    """Gigabytes of the largest disk of a tier."""
    return 3062 if tier in limits()["shared_core_tiers"] else 65536


def _check_disk(settings: Json) -> None:
    size, limit = int(settings["dataDiskSizeGb"]), int(settings["storageAutoResizeLimit"])
    largest = largest_disk(settings["tier"])
    if size < 10:
        raise invalid(f"Invalid disk size ({size} GB); the minimum is 10 GB.")
    if size > largest:
        raise invalid(f"Invalid disk size ({size} GB); the maximum for {settings['tier']} is {largest} GB.")
    if limit and limit < size:
        raise invalid(
            f"The storage auto resize limit ({limit} GB) must be 0, or at least the disk size ({size} GB)."
        )


def merge_settings(current: Json, changes: Json, raw: Json) -> Json:
    """``current`` with ``changes`` laid over it: messages are merged, lists, maps and scalars replaced.

    ``raw`` is the body as it was sent: what is null there is cleared, and then takes its default.
    """
    merged = copy.deepcopy(current)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict) and key not in _MAPS:
            merged[key] = merge_settings(merged[key], value, raw.get(key, {}))
        else:
            merged[key] = copy.deepcopy(value)
    for key, value in raw.items():
        if value is None:
            merged.pop(key, None)
    return merged


def patched_settings(current: Json, changes: Json, raw: Json) -> Json:
    """Settings after a patch; what follows from what is changed takes its default again."""
    merged = merge_settings(current, changes, raw)
    network = changes.get("ipConfiguration", {})
    for asked, other in (("sslMode", "requireSsl"), ("requireSsl", "sslMode")):
        if asked in network and other not in network:
            merged["ipConfiguration"].pop(other, None)
    if merged.get("edition") != current["edition"]:
        merged = _new_edition(merged, changes.get("backupConfiguration", {}))
    return merged


def _new_edition(settings: Json, asked: Json) -> Json:
    """``settings`` with a new edition, which has its own defaults for backups; ``asked`` is said of backups in the same call.

    Source: mockgcp/mocksql/sqlinstance.go of GoogleCloudPlatform/k8s-config-connector.
    """
    followed = {"backupRetentionSettings", "transactionLogRetentionDays", "replicationLogArchivingEnabled"}
    backups = {
        key: value
        for key, value in settings["backupConfiguration"].items()
        if key in asked or key not in followed
    }
    changed = settings | {"backupConfiguration": backups}
    if settings["edition"] == "ENTERPRISE_PLUS":
        changed.setdefault("dataCacheConfig", {"dataCacheEnabled": True})
    return changed


def check_update(before: Json, after: Json) -> None:
    """What may never change: region, name and type never, disks never shrink, versions only go up."""
    if after.get("instanceType", before["instanceType"]) != before["instanceType"]:
        raise invalid("instanceType cannot be updated.")
    for field, label in (("region", "Region"), ("name", "Name")):
        if after.get(field, before[field]) != before[field]:
            raise invalid(f"{label} of an instance cannot be changed ({before[field]} to {after[field]}).")
    _check_upgrade(before["databaseVersion"], after["databaseVersion"])
    if _private_network(before["settings"]) and not _private_network(after["settings"]):
        # The words: https://github.com/hashicorp/terraform-provider-google/issues/2964.
        raise ApiError(
            "INVALID_ARGUMENT", "This operation is not valid for this instance.", reason="invalidOperation"
        )
    old, new = (int(one["settings"].get("dataDiskSizeGb", 10)) for one in (before, after))
    if new < old:
        raise invalid(f"Disk size cannot be decreased ({old} GB to {new} GB).")


def _check_upgrade(before: str, after: str) -> None:
    if after == before:
        return
    engine = engine_of(before)
    if after not in {one["name"] for one in engine.upgrades}:
        raise invalid(f"The database version cannot be changed from {before} to {after}.")
    if engine.is_postgres:
        raise failed_precondition(
            "gcp-emulator does not emulate major version upgrades of PostgreSQL; nothing was done."
        )


def check_maintenance(before: Json, after: Json) -> None:
    """A new maintenance version comes alone; another database version brings its own."""
    kept = ("databaseVersion", "settings")
    if before["maintenanceVersion"] != after["maintenanceVersion"] and any(
        before[one] != after[one] for one in kept
    ):
        raise invalid(
            "Upgrading maintenance version and changing other fields at the same time is not allowed."
        )


def server_settings(settings: Json, engine: Engine) -> dict[str, str]:
    """The settings of a server of the engine that an instance's settings mean."""
    chosen = {flag["name"]: flag.get("value", "on") for flag in settings.get("databaseFlags", [])}
    known = flags(engine.name)
    applied = {name: value for name, value in chosen.items() if known[name].get("applied", True)}
    applied.setdefault("max_connections", str(max_connections(settings["tier"], engine.name)))
    if chosen.get("cloudsql.logical_decoding") == "on":
        applied["wal_level"] = "logical"
    # https://github.com/GoogleCloudPlatform/golang-samples/issues/4452: 8.0 has the other one only if a flag says so.
    if engine.is_mysql and engine.series < (8, 4):
        applied.setdefault("default_authentication_plugin", "mysql_native_password")
    return applied


def flag(settings: Json, name: str) -> str | None:
    """The value of a flag that was set."""
    return next(
        (str(one.get("value", "")) for one in settings.get("databaseFlags", []) if one["name"] == name), None
    )


def flag_enabled(settings: Json, name: str) -> bool:
    """Whether a BOOLEAN flag is on."""
    return flag(settings, name) == "on"


def _private_network(settings: Json) -> str | None:
    network: str | None = settings.get("ipConfiguration", {}).get("privateNetwork")
    return network


def needs_restart(before: Json, after: Json, engine: str) -> bool:
    """Whether Cloud SQL restarts an instance of the engine to apply the change."""
    if before["tier"] != after["tier"] or before["edition"] != after["edition"]:
        return True
    # https://shocksolution.com/2019/06/26/another-reason-to-enable-private-ip-addresses-on-google-cloud-sql/
    if _private_network(after) and not _private_network(before):
        return True
    old, new = ({f["name"]: f.get("value") for f in one.get("databaseFlags", [])} for one in (before, after))
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    return any(flags(engine)[name].get("restart") for name in changed)


def check_flags(given: list[Json], engine: Engine) -> None:
    """Known flags, each once, with values of their type and range."""
    seen: set[str] = set()
    for flag in given:
        name, value = flag.get("name", ""), flag.get("value", "")
        known = flags(engine.name).get(name)
        if known is None or not is_available(known, engine):
            raise ApiError(
                "INVALID_ARGUMENT", f"The requested flag is not supported: {name}.", reason="invalidFlagName"
            )
        if name in seen:
            raise invalid(f"Flag {name} is given more than once.")
        seen.add(name)
        if problem := _flag_problem(known, value):
            raise ApiError(
                "INVALID_ARGUMENT",
                f"Value requested is not valid. Failed to set {name}: {problem}.",
                reason="invalidFlagValue",
            )


def is_available(flag: Json, engine: Engine) -> bool:
    """Whether the version has the flag."""
    since, until = (str(flag.get(key, "")) for key in ("since", "until"))
    first, last = (tuple(int(part) for part in text.split(".")) if text else None for text in (since, until))
    return (first is None or engine.order >= first) and (last is None or engine.order <= last)


def _flag_problem(known: Json, value: str) -> str | None:
    kind = known["type"]
    if kind == "BOOLEAN":
        return None if value in ("on", "off") else f"{value} was not one of on, off"
    if kind == "STRING":
        allowed = known.get("allowed")
        return None if allowed is None or value in allowed else f"{value} was not an expected string"
    try:
        number = int(value) if kind == "INTEGER" else float(value)
    except ValueError:
        return f"{value} is not a number of type {kind}"
    if not math.isfinite(number) or not known["min"] <= number <= known["max"]:
        return f"{value} is not between {known['min']} and {known['max']}"
    return None


def _check_tier(tier: Any, edition: str, engine: Engine) -> None:
    if not tier:
        raise invalid("Missing parameter: settings.tier.")
    is_plus, custom = is_plus_tier(tier), _CUSTOM_TIER.fullmatch(tier)
    known = (tier in limits()["shared_core_tiers"] and engine.name != "SQLSERVER") or custom or is_plus
    if not known and not (engine.is_mysql and tier in limits()["predefined_tiers"]):
        allowed = "Only custom or shared-core instance Billing Tier type allowed for PostgreSQL database."
        raise invalid(allowed if engine.is_postgres else f"Invalid Tier ({tier}) for {engine.label}.")
    # Google took a custom tier for MySQL in Enterprise Plus (recorded: sqlinstance-replicationcluster-direct).
    fits_plus = is_plus or (engine.is_mysql and custom is not None)
    if is_plus if edition == "ENTERPRISE" else not fits_plus:
        other = "db-custom-*" if is_plus else "db-perf-optimized-N-*"
        raise invalid(
            f"Invalid Tier ({tier}) for ({edition}) Edition. Use a predefined Tier like {other} instead. "
            f"Learn more at https://cloud.google.com/sql/docs/{engine.name.lower()}/create-instance#machine-types."
        )
    if custom:
        cpus, memory = int(custom[1]), int(custom[2])
        fits = (cpus == 1 or (cpus % 2 == 0 and 2 <= cpus <= 96)) and memory % 256 == 0
        if not fits or memory < max(3840, cpus * 921.6) or memory > cpus * 6656:
            raise invalid(
                f"Invalid custom machine type ({tier}): 1 or an even number of vCPUs up to 96, and memory of 0.9 to "
                "6.5 GB per vCPU, at least 3840 MB, in steps of 256 MB."
            )


def is_plus_tier(tier: str) -> bool:
    """Whether a tier is one of the edition Enterprise Plus."""
    family, _, size = tier.rpartition("-")
    return is_number(size) and int(size) in limits()["enterprise_plus_tiers"].get(family, ())


def _backups(asked: Json | None, engine: Engine, *, plus: bool) -> Json:
    """The backup configuration; ``asked`` is None when nothing was said of it."""
    given = asked or {}
    backups = {
        "kind": "sql#backupConfiguration",
        "enabled": plus and asked is None,
        "startTime": "00:00",
        "transactionLogRetentionDays": 14 if plus else 7,
        **given,
        **engine.filled("backups"),
    }
    retention = {"retentionUnit": "COUNT", "retainedBackups": 15 if plus else 7}
    backups["backupRetentionSettings"] = retention | given.get("backupRetentionSettings", {})
    if plus:
        backups["backupTier"] = "STANDARD"
    _check_backups(backups, engine, longest=35 if plus else 7)
    if engine.is_postgres:
        backups.pop("binaryLogEnabled", None)
        if asked is not None:
            backups.setdefault("replicationLogArchivingEnabled", False)
        elif plus:
            backups["pointInTimeRecoveryEnabled"] = True
    elif engine.is_mysql:
        # Its point-in-time recovery is the binary log.
        backups.pop("pointInTimeRecoveryEnabled", None)
        if plus and backups["enabled"]:
            backups.setdefault("binaryLogEnabled", True)
    in_storage = plus or backups.get("binaryLogEnabled", False)
    backups["transactionalLogStorageState"] = (
        "CLOUD_STORAGE" if in_storage else "TRANSACTIONAL_LOG_STORAGE_STATE_UNSPECIFIED"
    )
    return backups


def _check_backups(backups: Json, engine: Engine, *, longest: int) -> None:
    if not 1 <= backups["transactionLogRetentionDays"] <= longest:
        raise invalid(f"The number of transaction log retention days must be between 1 and {longest}.")
    if not 1 <= backups["backupRetentionSettings"]["retainedBackups"] <= 365:
        raise invalid("The number of retained backups must be between 1 and 365.")
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", backups["startTime"]):
        raise invalid(f"Invalid backup start time ({backups['startTime']}); it must be in the format HH:MM.")
    if backups.get("pointInTimeRecoveryEnabled") and not backups["enabled"]:
        raise invalid("Backups must be enabled to enable point-in-time recovery.")
    if backups.get("binaryLogEnabled") and not engine.is_mysql:
        raise invalid("Binary log can only be enabled for MySQL instances.")


def _network(given: Json) -> Json:
    network = {"ipv4Enabled": True, "authorizedNetworks": [], **given}
    trusted = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    mode = network.setdefault(
        "sslMode", trusted if network.get("requireSsl") else "ALLOW_UNENCRYPTED_AND_ENCRYPTED"
    )
    if "requireSsl" in given and given["requireSsl"] != (mode == trusted):
        raise invalid(
            f"sslMode {mode} and requireSsl {str(given['requireSsl']).lower()} contradict each other."
        )
    network["requireSsl"] = mode == trusted
    if not (network["ipv4Enabled"] or network.get("privateNetwork") or network.get("pscConfig")):
        raise invalid("At least one of Public IP or Private IP or PSC connectivity must be enabled.")
    if network.get("pscConfig", {}).get("pscEnabled"):
        raise failed_precondition("gcp-emulator does not emulate Private Service Connect; nothing was done.")
    if network.setdefault("serverCaMode", _SERVER_CA_MODE) != _SERVER_CA_MODE:
        raise failed_precondition(
            f"gcp-emulator emulates the server CA mode {_SERVER_CA_MODE} only; nothing was done."
        )
    network["authorizedNetworks"] = [_authorized(entry) for entry in network["authorizedNetworks"]]
    return network


def _authorized(entry: Json) -> Json:
    value = entry.get("value", "")
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        raise invalid(
            f"Invalid authorized network ({value}): an IPv4 address or range in CIDR notation is expected."
        ) from None
    if any(network.subnet_of(private) for private in _PRIVATE):
        raise invalid(f"Non-routable or private authorized network ({value}).")
    return {"kind": "sql#aclEntry", **entry}


def _check_insights(insights: Json) -> None:
    for key, low, high in (("queryStringLength", 256, 4500), ("queryPlansPerMinute", 0, 20)):
        if key in insights and not low <= insights[key] <= high:
            raise invalid(f"insightsConfig.{key} must be between {low} and {high}.")


def _check_labels(labels: dict[str, str]) -> None:
    if len(labels) > 64:
        raise invalid("An instance can have at most 64 labels.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise invalid(f"Invalid label ({key}: {value}).")


def instance(records: Collection, call: Call) -> tuple[str, Json]:
    """Key and record of the call's instance; 404 in Cloud SQL's words."""
    key = f"{call.params['project']}/{call.params['instance']}"
    record = records.get(key)
    if record is None:
        raise not_found("The Cloud SQL instance does not exist.", reason="instanceDoesNotExist")
    return key, record


def instance_key(name: str, project: str) -> str:
    """The key of an instance that another names, as ``PROJECT:INSTANCE`` or in the project of both."""
    other, _, short = name.rpartition(":")
    return f"{other or project}/{short}"


def wrong_state() -> ApiError:
    """409: the instance cannot do it as it is."""
    return ApiError(
        "ABORTED",
        "The instance or operation is not in an appropriate state to handle the request.",
        reason="invalidState",
    )


def zones(settings: Json, region: str) -> Json:
    """Where an instance serves from, and its standby."""
    preference = settings["locationPreference"]
    found: Json = {"gceZone": preference["zone"]}
    if settings["availabilityType"] == "REGIONAL":
        other = next(f"{region}-{one}" for one in "bc" if f"{region}-{one}" != preference["zone"])
        found["secondaryGceZone"] = preference.get("secondaryZone", other)
    return found


def etag(body: Json) -> str:
    """The etag of a document: it follows from what the document says."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def link(call: Call, path: str) -> str:
    """The URI of a resource in the version that was called."""
    version = "sql/v1beta4" if call.request.path.startswith("/sql/v1beta4/") else "v1"
    return f"https://sqladmin.googleapis.com/{version}/{path}"


def database_user(identity: Identity) -> str:
    """The name of an account's IAM database user (https://cloud.google.com/sql/docs/postgres/iam-logins)."""
    return identity.email.lower().removesuffix(".gserviceaccount.com")
