"""What Cloud SQL accepts of an instance, apart from HTTP and PostgreSQL: defaults, limits and their error texts.

Sources: https://cloud.google.com/sql/docs/postgres/create-instance (machine types, editions),
https://cloud.google.com/sql/docs/postgres/admin-api/rest/v1/instances (defaults and ranges of fields),
https://cloud.google.com/sql/docs/postgres/flags. Texts quoted from reports of real responses: tier and edition, log
retention, existing instance, stale settings, operation in progress, invalid flag value; the others are assumed.
"""

from __future__ import annotations

import copy
import ipaddress
import math
import re
from functools import cache
from typing import Any

from gcp_emulator.engine.errors import ApiError, Json, failed_precondition, not_found
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.store import Collection
from gcp_emulator.engine.validate import is_number

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_KEY = re.compile(r"[a-z][-_a-z0-9]{0,62}")
_LABEL_VALUE = re.compile(r"[-_a-z0-9]{0,63}")
#: ``PROJECT:INSTANCE`` may be this long.
_MAX_FULL_NAME = 98
_PRIVATE = [ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_SERVER_CA_MODE = "GOOGLE_MANAGED_INTERNAL_CA"
#: What a patch of ``settings`` replaces whole although it is an object.
_MAPS = frozenset({"userLabels"})


def invalid(text: str, *, reason: str = "invalid") -> ApiError:
    """400 in the words that Cloud SQL puts before most of them."""
    return ApiError("INVALID_ARGUMENT", f"Invalid request: {text}", reason=reason)


@cache
def limits() -> Json:
    """limits.yaml."""
    loaded: Json = read_yaml("services/sqladmin/limits.yaml")
    return loaded


@cache
def flags() -> dict[str, Json]:
    """flags.yaml: flag name -> type, limits, restart, since, applied."""
    loaded: dict[str, Json] = read_yaml("services/sqladmin/flags.yaml")["flags"]
    return loaded


def major_version(database_version: str) -> int:
    """``POSTGRES_17`` -> 17, ``POSTGRES_9_6`` -> 9; refuses what is not PostgreSQL, for nothing here runs it."""
    found = re.fullmatch(r"POSTGRES_(\d+)(?:_\d+)?", database_version)
    if found is None:
        raise failed_precondition(
            f"gcp-emulator runs PostgreSQL only; databaseVersion {database_version} was not created. Nothing was done."
        )
    return int(found[1])


def tier_memory(tier: str) -> float:
    """Megabytes of memory of a valid tier."""
    shared: dict[str, int] = limits()["shared_core_tiers"]
    if tier in shared:
        return float(shared[tier])
    if custom := re.fullmatch(r"db-custom-(\d+)-(\d+)", tier):
        return int(custom[2])
    return int(tier.rpartition("-")[2]) * float(limits()["enterprise_plus_mb_per_cpu"])


def max_connections(tier: str) -> int:
    """The default of the flag ``max_connections``."""
    memory = tier_memory(tier)
    steps: list[tuple[int, int]] = limits()["max_connections"]
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
    version = body.get("databaseVersion")
    if version is None:
        raise failed_precondition(
            "gcp-emulator runs PostgreSQL only, and without databaseVersion Cloud SQL makes a MySQL instance. "
            "Nothing was done."
        )
    for unsupported in ("masterInstanceName", "replicaConfiguration", "onPremisesConfiguration", "nodeCount"):
        if unsupported in body:
            raise failed_precondition(f"gcp-emulator does not emulate {unsupported}; nothing was done.")
    settings = complete_settings(body.get("settings", {}), major_version(version))
    instance: Json = {
        "name": name,
        "project": project,
        "region": region,
        "databaseVersion": version,
        "settings": settings,
    }
    return instance | {key: body[key] for key in ("diskEncryptionConfiguration", "gceZone") if key in body}


def complete_settings(given: Json, major: int) -> Json:
    """Settings with defaults; ApiError when a value, or a combination, is refused."""
    settings = copy.deepcopy(given)
    settings.pop("settingsVersion", None)
    settings.setdefault("edition", "ENTERPRISE_PLUS" if major >= 16 else "ENTERPRISE")
    plus = settings["edition"] == "ENTERPRISE_PLUS"
    _check_tier(settings.get("tier"), settings["edition"])
    for key, value in (
        ("availabilityType", "ZONAL"),
        ("pricingPlan", "PER_USE"),
        ("replicationType", "SYNCHRONOUS"),
        ("activationPolicy", "ALWAYS"),
        ("storageAutoResize", True),
        ("storageAutoResizeLimit", "0"),
        ("dataDiskType", "PD_SSD"),
        ("dataDiskSizeGb", "10"),
        ("connectorEnforcement", "NOT_REQUIRED"),
        ("deletionProtectionEnabled", False),
    ):
        settings.setdefault(key, value)
    if int(settings["dataDiskSizeGb"]) < 10:
        raise invalid(f"Invalid disk size ({settings['dataDiskSizeGb']} GB); the minimum is 10 GB.")
    settings["backupConfiguration"] = _backups(settings.get("backupConfiguration", {}), plus=plus)
    settings["ipConfiguration"] = _network(settings.get("ipConfiguration", {}))
    _check_insights(settings.get("insightsConfig", {}))
    _check_labels(settings.get("userLabels", {}))
    check_flags(settings.get("databaseFlags", []), major)
    if "connectionPoolConfig" in settings and not plus:
        raise invalid("Connection pool is only supported for Enterprise Plus edition..")
    return settings


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


def check_update(before: Json, after: Json) -> None:
    """What may never change: region and name never, disks never shrink."""
    for field, label in (("region", "Region"), ("name", "Name")):
        if after.get(field, before[field]) != before[field]:
            raise invalid(f"{label} of an instance cannot be changed ({before[field]} to {after[field]}).")
    if after.get("databaseVersion", before["databaseVersion"]) != before["databaseVersion"]:
        raise failed_precondition("gcp-emulator does not emulate major version upgrades; nothing was done.")
    old, new = (int(one["settings"].get("dataDiskSizeGb", 10)) for one in (before, after))
    if new < old:
        raise invalid(f"Disk size cannot be decreased ({old} GB to {new} GB).")


def server_settings(settings: Json) -> dict[str, str]:
    """The lines of postgresql.conf that an instance's settings mean."""
    chosen = {flag["name"]: flag.get("value", "on") for flag in settings.get("databaseFlags", [])}
    applied = {name: value for name, value in chosen.items() if flags()[name].get("applied", True)}
    applied.setdefault("max_connections", str(max_connections(settings["tier"])))
    if chosen.get("cloudsql.logical_decoding") == "on":
        applied["wal_level"] = "logical"
    return applied


def flag_enabled(settings: Json, name: str) -> bool:
    """Whether a BOOLEAN flag is on."""
    return any(
        flag["name"] == name and flag.get("value") == "on" for flag in settings.get("databaseFlags", [])
    )


def needs_restart(before: Json, after: Json) -> bool:
    """Whether Cloud SQL restarts the instance to apply the change."""
    if before["tier"] != after["tier"] or before["edition"] != after["edition"]:
        return True
    old, new = ({f["name"]: f.get("value") for f in one.get("databaseFlags", [])} for one in (before, after))
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    return any(flags()[name].get("restart") for name in changed)


def check_flags(given: list[Json], major: int) -> None:
    """Known flags, each once, with values of their type and range."""
    seen: set[str] = set()
    for flag in given:
        name, value = flag.get("name", ""), flag.get("value", "")
        known = flags().get(name)
        if known is None or major < known.get("since", 0):
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


def _check_tier(tier: Any, edition: str) -> None:
    if not tier:
        raise invalid("Missing parameter: settings.tier.")
    shared, plus = limits()["shared_core_tiers"], limits()["enterprise_plus_tiers"]
    family, _, size = tier.rpartition("-")
    is_plus = is_number(size) and int(size) in plus.get(family, ())
    custom = re.fullmatch(r"db-custom-(\d+)-(\d+)", tier)
    if not (tier in shared or custom or is_plus):
        raise invalid(
            "Only custom or shared-core instance Billing Tier type allowed for PostgreSQL database."
        )
    if is_plus != (edition == "ENTERPRISE_PLUS"):
        other = "db-custom-*" if is_plus else "db-perf-optimized-N-*"
        raise invalid(
            f"Invalid Tier ({tier}) for ({edition}) Edition. Use a predefined Tier like {other} instead. "
            "Learn more at https://cloud.google.com/sql/docs/postgres/create-instance#machine-types."
        )
    if custom:
        cpus, memory = int(custom[1]), int(custom[2])
        fits = (cpus == 1 or (cpus % 2 == 0 and 2 <= cpus <= 96)) and memory % 256 == 0
        if not fits or memory < max(3840, cpus * 921.6) or memory > cpus * 6656:
            raise invalid(
                f"Invalid custom machine type ({tier}): 1 or an even number of vCPUs up to 96, and memory of 0.9 to "
                "6.5 GB per vCPU, at least 3840 MB, in steps of 256 MB."
            )


def _backups(given: Json, *, plus: bool) -> Json:
    backups = {
        "kind": "sql#backupConfiguration",
        "enabled": False,
        "startTime": "00:00",
        "pointInTimeRecoveryEnabled": False,
        "transactionLogRetentionDays": 14 if plus else 7,
        **given,
    }
    retention = {"retentionUnit": "COUNT", "retainedBackups": 15 if plus else 7}
    backups["backupRetentionSettings"] = retention | given.get("backupRetentionSettings", {})
    longest = 35 if plus else 7
    if not 1 <= backups["transactionLogRetentionDays"] <= longest:
        raise invalid(f"The number of transaction log retention days must be between 1 and {longest}.")
    if not 1 <= backups["backupRetentionSettings"]["retainedBackups"] <= 365:
        raise invalid("The number of retained backups must be between 1 and 365.")
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", backups["startTime"]):
        raise invalid(f"Invalid backup start time ({backups['startTime']}); it must be in the format HH:MM.")
    if backups["pointInTimeRecoveryEnabled"] and not backups["enabled"]:
        raise invalid("Backups must be enabled to enable point-in-time recovery.")
    if backups.get("binaryLogEnabled"):
        raise invalid("Binary log can only be enabled for MySQL instances.")
    return backups


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


def link(call: Call, path: str) -> str:
    """The URI of a resource in the version that was called."""
    version = "sql/v1beta4" if call.request.path.startswith("/sql/v1beta4/") else "v1"
    return f"https://sqladmin.googleapis.com/{version}/{path}"


def database_user(identity: Identity) -> str:
    """The name of an account's IAM database user (https://cloud.google.com/sql/docs/postgres/iam-logins)."""
    return identity.email.lower().removesuffix(".gserviceaccount.com")
