# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Cloud SQL, as tables, and its SQL over HTTP.

Source: discovery document sqladmin:v1.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client
from ansible_collections.org.djangogcp.plugins.module_utils._differences import Difference
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    INT64,
    Change,
    Codec,
    Field,
    Kind,
    labels,
    number,
    reference,
    switch,
    whole,
)
from ansible_collections.org.djangogcp.plugins.module_utils._marks import LabelsPlace
from ansible_collections.org.djangogcp.plugins.module_utils._operations import sql_operation
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Ids,
    Plan,
    Request,
    ResourceSpec,
    merge_patch,
    no_guard,
    settings_version,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json, get_path

API = "https://sqladmin.googleapis.com/v1"

# Flags are a list of names and values; nobody thinks of them so.
_FLAGS = Codec(
    lambda flags: [{"name": name, "value": str(value)} for name, value in sorted(flags.items())],
    lambda items: {item["name"]: item.get("value", "") for item in items},
)


def _is_at_least(have: t.Any, wanted: t.Any) -> bool:
    """Whether a number does for what is asked, since it only grows."""
    have, wanted = whole(have), whole(wanted)
    return isinstance(have, int) and isinstance(wanted, int) and have >= wanted


def _single(value: str) -> str:
    """One address as a network of its own."""
    return value if "/" in value else f"{value}/32"


# What Cloud SQL tells of an instance that was asked for nothing: recorded, for instance sqlinstance-mysql-minimal-direct.
def _without_default_backups(backups: Json) -> Json | None:
    """A backup configuration, None where no backup is made: the hour, and how many would be kept, are always told."""
    makes = ("enabled", "point_in_time_recovery_enabled", "binary_log_enabled")
    return backups if any(backups.get(name) for name in makes) else None


def _without_default_network(network: Json) -> Json | None:
    """An IP configuration, None for a public address that only connectors reach."""
    filled = {"ipv4_enabled": True, "ssl_mode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED"}
    return network if {name: value for name, value in network.items() if value} != filled else None


def _without_default_zone(location: Json) -> Json | None:
    """A location preference, None for the zone of an instance without a standby in a chosen one: Google Cloud chooses one."""
    return location if location.get("secondary_zone") else None


def _charset(value: str) -> str:
    """A character set: utf8 is what MySQL calls utf8mb3, and PostgreSQL does not look at case."""
    return "UTF8" if value.upper() == "UTF8MB3" else value.upper()


def _collation(value: str) -> str:
    """A collation: en_US.utf8, en_US.UTF-8 and en_US.UTF8 are one, and so are those of MySQL's utf8 and utf8mb3."""
    name = value.casefold().replace("utf-8", "utf8")
    return f"utf8_{name.removeprefix('utf8mb3_')}" if name.startswith("utf8mb3_") else name


_BACKUP = (
    switch("enabled", "Whether a backup is made every day."),
    Field("start_time", "When, as C(HH:MM) in UTC.", rule=rules.TIME_OF_DAY),
    Field("location", "The region or multi-region that holds them.", rule=rules.LOCATION),
    switch(
        "point_in_time_recovery_enabled",
        "Whether any moment can be restored. Of MySQL O(backup_configuration.binary_log_enabled) says so.",
    ),
    switch(
        "binary_log_enabled",
        "Whether MySQL writes a binary log: any moment can be restored, and replicas can be made.",
    ),
    number(
        "transaction_log_retention_days",
        "How many days back, 1 to 7 for V(ENTERPRISE), to 35 for V(ENTERPRISE_PLUS).",
        rule=rules.LOG_DAYS,
    ),
    number(
        "retained_backups",
        "How many backups are kept.",
        wire="backupRetentionSettings.retainedBackups",
        rule=rules.RETAINED_BACKUPS,
    ),
)
_IP = (
    switch("ipv4_enabled", "Whether it has a public address."),
    reference(
        "private_network",
        "The VPC network of its private address, C(projects/PROJECT/global/networks/NETWORK).",
    ),
    Field("allocated_ip_range", "The name of the address range to take the private address from."),
    switch(
        "enable_private_path_for_google_cloud_services",
        "Whether BigQuery and other services reach it on the private address.",
    ),
    Field(
        "ssl_mode",
        "Which connections are accepted.",
        choices=("ALLOW_UNENCRYPTED_AND_ENCRYPTED", "ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"),
    ),
    Field(
        "authorized_networks",
        "All networks that may connect to the public address, in any order. V([]) lets in none but connectors.",
        kind=Kind.SET,
        fields=(
            Field("name", "What it is.", rule=rules.line(250)),
            Field(
                "value",
                "The network, in CIDR notation.",
                required=True,
                normalize=_single,
                rule=rules.NETWORK_RANGE,
            ),
        ),
        replace=True,
    ),
)
_INSIGHTS = (
    switch("query_insights_enabled", "Whether it is on."),
    number(
        "query_plans_per_minute",
        "How many query plans are sampled per minute.",
        rule=rules.between(0, 20),
    ),
    number(
        "query_string_length",
        "How many bytes of a query are kept.",
        rule=rules.between(256, 4500),
    ),
    switch("record_application_tags", "Whether the tags of sqlcommenter are kept."),
    switch("record_client_address", "Whether the client's address is kept."),
)
_LOCATION = (
    Field("zone", "The zone that it serves from.", rule=rules.LOCATION),
    Field("secondary_zone", "The zone of the standby.", rule=rules.LOCATION),
)
_PASSWORDS = (
    switch("enable_password_policy", "Whether the policy applies."),
    number("min_length", "At least so many characters.", rule=rules.between(0, 2147483647)),
    Field("complexity", "Which kinds of characters are needed.", choices=("COMPLEXITY_DEFAULT",)),
    number(
        "reuse_interval",
        "How many earlier passwords cannot be used again.",
        rule=rules.between(0, 100),
    ),
    switch("disallow_username_substring", "Whether the user's name must not be in the password."),
    Field(
        "password_change_interval",
        "How long a password is kept at least, such as V(7200s). PostgreSQL only.",
        normalize=rules.duration,
        rule=rules.DURATION,
    ),
)
_MAINTENANCE = (
    number("day", "The day of the week in UTC, V(1) is Monday.", rule=rules.WEEKDAY),
    number("hour", "The hour in UTC.", rule=rules.HOUR),
    Field("update_track", "How early updates come.", choices=("canary", "stable", "week5")),
)


def _instance_hint(error: ApiError, verb: str) -> str:
    # instances.insert answers so for a name that exists (which the engine reads again) and for one that did.
    if verb == "create" and error.already_exists:
        return (
            "The name of a deleted Cloud SQL instance stays locked for one week. Choose another name, or wait until a week "
            "after its deletion."
        )
    if verb == "delete" and "deletion protection" in error.explanation.lower():
        return "Set deletion_protection_enabled to false first, if its data may be lost."
    if "Incorrect Service Networking config" in error.explanation:
        return (
            "The network of the instance (djangogcp_network, the option private_network) has to have private services access, and the API "
            "servicenetworking.googleapis.com has to be enabled in the project of the instance: https://cloud.google.com/sql/docs/postgres/"
            "configure-private-services-access"
        )
    return ""


def _upgrade(ids: Ids, change: Difference) -> str:
    """How an older version of the same product becomes the one that was asked for."""
    if change.name != "database_version" or not rules.is_as_new(change.after, change.before or ""):
        return ""
    return (
        f"Upgrade it with gcloud sql instances patch {ids['name']} --project={ids['project']} --database-version={change.after} (the "
        f"instance is away meanwhile, and there is no way back), or ask for database_version {change.before}."
    )


def _instance_body(ids: Ids, wire: Json) -> Json:
    if not wire.get("databaseVersion") and not wire.get("masterInstanceName"):
        raise DjangoGcpError(
            f"Failed to create SQL instance {ids['name']}: without database_version Cloud SQL would make a MySQL instance. Add "
            "database_version; when the instance was made a moment ago, run again."
        )
    return wire


INSTANCE = ResourceSpec(
    noun="SQL instance",
    api=API,
    path="projects/{project}/instances/{name}",
    permission="cloudsql.instances",
    id_field="name",
    create_body=_instance_body,
    update=merge_patch,
    guard=settings_version,
    mark=LabelsPlace("user_labels"),
    operations=sql_operation,
    pending=lambda instance: instance.get("state") == "PENDING_CREATE",
    # Source: Cloud SQL, "Create instances".
    usual="5 to 10 min",
    predicted=lambda ids, wire: {"connectionName": f"{ids['project']}:{wire.get('region')}:{ids['name']}"},
    hint=_instance_hint,
    way_out="Make an instance with another name and move the data, or ask for what is there.",
    cure=_upgrade,
    fields=(
        Field(
            "region", "The region. It cannot be changed later.", change=Change.IMMUTABLE, rule=rules.LOCATION
        ),
        # An upgrade that was made by hand is no reason to fail.
        Field(
            "database_version",
            (
                "The engine and its version, for instance V(POSTGRES_17) or V(MYSQL_8_4).",
                "An existing instance of a later version is as asked. One of an earlier version is refused; C(gcloud sql instances patch"
                " NAME --database-version=VERSION) upgrades it.",
            ),
            change=Change.IMMUTABLE,
            suffices=rules.is_as_new,
            rule=rules.SQL_VERSION,
        ),
        Field(
            "tier",
            (
                "The machine type, for instance V(db-f1-micro), V(db-custom-2-7680) or V(db-perf-optimized-N-2). MySQL has V(db-n1-standard-1)"
                " and the like too.",
                "V(db-perf-optimized-N-*) needs O(edition=ENTERPRISE_PLUS), the others O(edition=ENTERPRISE).",
            ),
            wire="settings.tier",
            rule=rules.SQL_TIER,
        ),
        Field(
            "edition",
            "The edition. Always set it, since Google Cloud's own choice depends on the version.",
            choices=("ENTERPRISE", "ENTERPRISE_PLUS"),
            wire="settings.edition",
        ),
        Field(
            "availability_type",
            "V(REGIONAL) keeps a standby in a second zone.",
            choices=("ZONAL", "REGIONAL"),
            wire="settings.availabilityType",
        ),
        Field(
            "activation_policy",
            "V(NEVER) stops the instance.",
            choices=("ALWAYS", "NEVER"),
            wire="settings.activationPolicy",
        ),
        # Disks grow by themselves (storage_auto_resize), and Google Cloud cannot make one smaller.
        number(
            "data_disk_size_gb",
            "The size of the disk, in GB, at least. It can grow, by itself with O(storage_auto_resize), but not shrink; so a larger one is"
            " as asked.",
            wire="settings.dataDiskSizeGb",
            codec=INT64,
            suffices=_is_at_least,
            rule=rules.DISK_GB,
        ),
        Field(
            "data_disk_type",
            "The type of the disk. It cannot be changed later.",
            choices=("PD_SSD", "PD_HDD", "HYPERDISK_BALANCED"),
            wire="settings.dataDiskType",
            change=Change.IMMUTABLE,
        ),
        switch("storage_auto_resize", "Whether the disk grows by itself.", wire="settings.storageAutoResize"),
        number(
            "storage_auto_resize_limit",
            "The size in GB to which the disk grows by itself at most, V(0) for no limit.",
            wire="settings.storageAutoResizeLimit",
            codec=INT64,
            rule=rules.between(0, 65536),
        ),
        Field(
            "data_cache_config",
            "The data cache. O(edition=ENTERPRISE_PLUS) only.",
            wire="settings.dataCacheConfig",
            fields=(switch("data_cache_enabled", "Whether it is on."),),
        ),
        Field(
            "database_flags",
            "All database flags by name. Flags that are not in it are removed, so V({}) removes all.",
            wire="settings.databaseFlags",
            kind=Kind.MAP,
            codec=_FLAGS,
            default={},
            rule=rules.SQL_FLAGS,
        ),
        # Whole, as gcloud sends it: what is left out of a backup configuration is turned off.
        Field(
            "backup_configuration",
            "Backups.",
            wire="settings.backupConfiguration",
            fields=_BACKUP,
            normalize=_without_default_backups,
            mask="settings.backupConfiguration",
        ),
        Field(
            "ip_configuration",
            "The network.",
            wire="settings.ipConfiguration",
            fields=_IP,
            normalize=_without_default_network,
        ),
        Field(
            "location_preference",
            "Where the instance is, in its region.",
            wire="settings.locationPreference",
            fields=_LOCATION,
            normalize=_without_default_zone,
        ),
        Field(
            "password_validation_policy",
            "What passwords of built-in users must be like.",
            wire="settings.passwordValidationPolicy",
            fields=_PASSWORDS,
        ),
        Field("insights_config", "Query Insights.", wire="settings.insightsConfig", fields=_INSIGHTS),
        Field(
            "maintenance_window",
            "When Google Cloud may restart the instance.",
            wire="settings.maintenanceWindow",
            fields=_MAINTENANCE,
        ),
        switch(
            "deletion_protection_enabled",
            "Whether Google Cloud refuses to delete the instance.",
            wire="settings.deletionProtectionEnabled",
        ),
        Field(
            "connector_enforcement",
            "Whether connections must come through a Cloud SQL connector or the proxy.",
            choices=("NOT_REQUIRED", "REQUIRED"),
            wire="settings.connectorEnforcement",
            default="NOT_REQUIRED",
        ),
        Field(
            "data_api_access",
            "Whether SQL can be run through the API. The module M(org.djangogcp.sql_statements) needs it.",
            choices=("ALLOW_DATA_API", "DISALLOW_DATA_API"),
            wire="settings.dataApiAccess",
            default="DISALLOW_DATA_API",
        ),
        labels("user_labels", wire="settings.userLabels"),
        Field(
            "master_instance_name",
            "The instance in the same project whose read replica this is. It cannot be changed later.",
            change=Change.IMMUTABLE,
            normalize=lambda name: name.rpartition(":")[2],
            rule=rules.SQL_PRIMARY,
        ),
        Field("connection_name", change=Change.OUTPUT),
        Field("create_time", change=Change.OUTPUT),
        Field("database_installed_version", change=Change.OUTPUT),
        Field(
            "ip_addresses",
            kind=Kind.LIST,
            change=Change.OUTPUT,
            fields=(Field("type"), Field("ip_address")),
        ),
        Field("instance_type", change=Change.OUTPUT),
        Field("maintenance_version", change=Change.OUTPUT),
        Field("replica_names", kind=Kind.SET, change=Change.OUTPUT),
        Field("service_account_email_address", change=Change.OUTPUT),
        Field("settings_version", wire="settings.settingsVersion", codec=INT64, change=Change.OUTPUT),
        Field("state", change=Change.OUTPUT),
    ),
)


#: Types of operations (sqladmin:v1, Operation.operationType) during which an instance may be away. Backups, users and databases are none.
_RESTARTING = frozenset(
    {
        "AUTO_RESTART",
        "CLUSTER_MAINTENANCE",
        "CREATE",
        "FAILOVER",
        "MAINTENANCE",
        "MAJOR_VERSION_UPGRADE",
        "RESTART",
        "RESTORE_VOLUME",
        "SELF_SERVICE_MAINTENANCE",
        "SWITCHOVER",
        "UPDATE",
    }
)


def running_operation(client: Client, project: str, instance: str) -> Json | None:
    """The operation that makes, changes or restarts an instance at the moment, None when there is none.

    The instance does not tell: it is RUNNABLE while it is changed. Operations are listed newest first (operations.list), and one
    instance has one at a time.
    """
    call = Call(f"list the operations of SQL instance {instance}", "cloudsql.instances.get")
    params = {"instance": instance, "maxResults": 10}
    page = client.get(f"{API}/projects/{project}/operations", call, params=params, ahead=True)
    for operation in page.get("items") or []:
        if operation.get("status") != "DONE" and operation.get("operationType") in _RESTARTING:
            return t.cast(Json, operation)
    return None


def _hint_inside(error: ApiError, verb: str) -> str:
    """What is in an instance can only be had when it runs."""
    if "state FAILED" in error.explanation:
        return (
            "Google Cloud could not make the instance; gcloud sql operations list --instance tells why. Delete it, choose another "
            "name for it (a deleted one's is locked for a week), and run again."
        )
    return ""


def is_empty_instance(error: ApiError) -> bool:
    """Whether a call is refused since the instance is not there, or does not run, so that there is nothing in it."""
    return error.is_absent or is_not_running(error)


def is_not_running(error: ApiError) -> bool:
    """Whether a call is refused since the instance does not run: nothing can be said of what is in it.

    Source: hashicorp/terraform-provider-google#2135, "Error 400: Invalid request since instance is not running., invalid".
    """
    return error.status == 400 and "instance is not running" in error.explanation


def _user_hint(error: ApiError, verb: str) -> str:
    if verb == "delete" and "objects depend on it" in error.explanation:
        return "Give what it owns to another user first (REASSIGN OWNED), or drop it."
    return _hint_inside(error, verb)


DATABASE = ResourceSpec(
    noun="SQL database",
    api=API,
    path="projects/{project}/instances/{instance}/databases/{name}",
    permission="cloudsql.databases",
    hint=_hint_inside,
    name_of=lambda ids, wire: str(wire["name"]),
    id_field="name",
    guard=no_guard,
    operations=sql_operation,
    fields=(
        Field(
            "charset",
            "The character set, for instance V(UTF8), or V(utf8mb4) of MySQL. It cannot be changed later.",
            change=Change.IMMUTABLE,
            normalize=_charset,
            rule=rules.CHARSET,
        ),
        Field(
            "collation",
            "The collation, for instance V(en_US.UTF8), or V(utf8mb4_0900_ai_ci) of MySQL. It cannot be changed later.",
            change=Change.IMMUTABLE,
            normalize=_collation,
            rule=rules.COLLATION,
        ),
    ),
)


def _update_user(plan: Plan, *, revoke_others: bool = True, host: str | None = None) -> Request:
    """users.update names the user and the roles in the query, and ignores the roles of its body."""
    user = plan.current
    params: Json = {"name": user["name"], "host": host}
    roles = next((change for change in plan.changes if change.name == "database_roles"), None)
    if roles is not None:
        revoke = revoke_others and bool(set(roles.before or []) - set(roles.after))
        params.update(databaseRoles=plan.merged["databaseRoles"], revokeExistingRoles=revoke or None)
    body = {"name": user["name"], **{path: plan.merged[path] for path in plan.secrets}}
    if any(change.name.startswith("password_policy") for change in plan.changes):
        policy = plan.merged.get("passwordPolicy") or {}
        body["passwordPolicy"] = {key: value for key, value in policy.items() if key != "status"}
    return Request("PUT", params, body, _users_path(user))


def _delete_user(ids: Ids, *, host: str | None = None) -> Request:
    return Request("DELETE", {"name": ids["name"], "host": host}, {}, _users_path(ids))


def _users_path(names: t.Mapping[str, t.Any]) -> str:
    return f"projects/{names['project']}/instances/{names['instance']}/users"


USER = ResourceSpec(
    noun="SQL user",
    api=API,
    path="projects/{project}/instances/{instance}/users/{name}",
    permission="cloudsql.users",
    hint=_user_hint,
    name_of=lambda ids, wire: str(wire["name"]),
    id_field="name",
    guard=no_guard,
    update=_update_user,
    delete=_delete_user,
    operations=sql_operation,
    way_out="Delete the user and run again to make it anew; what it owns must belong to somebody else first.",
    fields=(
        # The API leaves the type of built-in users out.
        Field(
            "type",
            "Who proves who the user is, the database or IAM. It cannot be changed later.",
            choices=("BUILT_IN", "CLOUD_IAM_USER", "CLOUD_IAM_SERVICE_ACCOUNT", "CLOUD_IAM_GROUP"),
            option_default="BUILT_IN",
            change=Change.IMMUTABLE,
            default="BUILT_IN",
        ),
        Field(
            "host",
            "The host that a user of MySQL comes from, V(%) for any. Users of one name and different hosts are different users.",
            change=Change.CREATE_ONLY,
            rule=rules.SQL_HOST,
        ),
        Field("password", kind=Kind.SECRET),
        Field(
            "password_policy",
            "What is asked of the password of a user of MySQL.",
            fields=(
                number(
                    "allowed_failed_attempts",
                    "How often a wrong password may be given.",
                    rule=rules.between(0, 2147483647),
                ),
                switch("enable_failed_attempts_check", "Whether wrong passwords lock the user."),
                switch(
                    "enable_password_verification",
                    "Whether the user has to give the old password to change it.",
                ),
                Field(
                    "password_expiration_duration",
                    "How long the password is valid, such as V(2592000s).",
                    normalize=rules.duration,
                    rule=rules.DURATION,
                ),
            ),
        ),
        Field(
            "database_roles",
            "All roles that the user is a member of, in any order. Others are revoked, unless O(users[].append_roles=true).",
            kind=Kind.SET,
            rule=rules.SQL_USER,
        ),
    ),
)


def user_spec(*, shared: bool = False, host: str | None = None, made_as: str | None = None) -> ResourceSpec:
    """The table of a user.

    Args:
        shared: several sites share the user: what another site has granted since the user was read must not be revoked.
        host: the host of a user of MySQL, which is a part of the name; None for PostgreSQL.
        made_as: the name that such a user is made with, if it is another one than it has then (`sql_user_name`).
    """
    return dataclasses.replace(
        USER,
        create_body=lambda ids, wire: wire if made_as is None else {**wire, "name": made_as},
        path=USER.path if host is None else f"{USER.path}?host={{host}}",
        update=functools.partial(_update_user, revoke_others=not shared, host=host),
        delete=functools.partial(_delete_user, host=host),
    )


def sql_user_name(user_type: str, name: str, host: str | None = None) -> str:
    """The name of a user in the database: that of a service account is its address without ".gserviceaccount.com".

    In MySQL, whose users have a host, the name of a person or a service account is what stands before the @.

    Source: https://cloud.google.com/sql/docs/postgres/add-manage-iam-users, and the same page below /mysql/
    """
    if host is not None and user_type != "BUILT_IN":
        return name.partition("@")[0]
    return name.removesuffix(".gserviceaccount.com") if user_type == "CLOUD_IAM_SERVICE_ACCOUNT" else name


def execute_sql(
    client: Client, project: str, instance: str, database: str, sql: str, doing: str, *, repeatable: bool
) -> list[list[Json]]:
    """Run SQL as the caller's IAM database user and return the rows of each statement.

    Args:
        sql: one or more statements, separated by semicolons.
        doing: the verb phrase of errors.
        repeatable: whether running it twice does no harm.

    Raises:
        ApiError: the API refuses.
        DjangoGcpError: the database refuses.
    """
    call = Call(doing, "cloudsql.instances.executeSql")
    body = {"database": database, "sqlStatement": sql, "autoIamAuthn": True}
    url = f"{API}/projects/{project}/instances/{instance}/executeSql"
    answer = client.request("POST", url, call, body=body, repeatable=repeatable)
    # The database's own refusal comes with HTTP 200.
    message = get_path(answer, "status.message") or (
        get_path(answer, "status.code") and "the database refused it"
    )
    if message:
        raise DjangoGcpError(f"Failed to {doing}: {str(message).rstrip('.')}.{_sql_cure(str(message))}")
    return [result.get("rows") or [] for result in answer.get("results") or []]


#: What cures what a server refuses whatever it is asked, by PostgreSQL's SQLSTATE or MySQL's number of the error.
#: Sources: https://www.postgresql.org/docs/current/errcodes-appendix.html, https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
_SQL_CURES = (
    (
        re.compile(r"SQLSTATE 53100\b|\bError (?:1021|1114)\b"),
        "Its disk is full: make it larger (gcloud sql instances patch INSTANCE --storage-size=GB), or delete what is not needed, and run again.",
    ),
    (
        re.compile(r"SQLSTATE 53300\b|\bError 1040\b"),
        "It has no connection left: wait until others have ended, or set max_connections in djangogcp_database_flags, and run again.",
    ),
)


def _sql_cure(message: str) -> str:
    """What to do about a refusal, behind a space; "" where the words say it themselves."""
    return next((f" {cure}" for pattern, cure in _SQL_CURES if pattern.search(message)), "")
