#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_instance
short_description: Manage a Cloud SQL instance
version_added: 0.9.0
description:
  - Makes a Cloud SQL instance of PostgreSQL or MySQL what is asked, and changes it in place where Google Cloud can.
  - An empty value removes what is there, for instance V({}) of O(maintenance_window).
  - Only what is asked is compared and changed. Some changes restart the instance, for instance of O(tier).
  - The name of a deleted instance stays locked for one week.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description: The name of the instance.
    type: str
    required: true
  state:
    description:
      - Whether it exists. V(absent) deletes all its databases and backups, and is refused while
        O(deletion_protection_enabled) is on.
    type: str
    choices: [present, absent]
    default: present
  # From the table INSTANCE of _services/sqladmin.py: written by tests/module_docs.py.
  region:
    description: The region. It cannot be changed later.
    type: str
  database_version:
    description:
      - The engine and its version, for instance V(POSTGRES_17) or V(MYSQL_8_4).
      - An existing instance of a later version is as asked. One of an earlier version is refused; C(gcloud sql instances
        patch NAME --database-version=VERSION) upgrades it.
    type: str
  tier:
    description:
      - The machine type, for instance V(db-f1-micro), V(db-custom-2-7680) or V(db-perf-optimized-N-2). MySQL has V(db-n1-standard-1)
        and the like too.
      - V(db-perf-optimized-N-*) needs O(edition=ENTERPRISE_PLUS), the others O(edition=ENTERPRISE).
    type: str
  edition:
    description: The edition. Always set it, since Google Cloud's own choice depends on the version.
    type: str
    choices: [ENTERPRISE, ENTERPRISE_PLUS]
  availability_type:
    description: V(REGIONAL) keeps a standby in a second zone.
    type: str
    choices: [ZONAL, REGIONAL]
  activation_policy:
    description: V(NEVER) stops the instance.
    type: str
    choices: [ALWAYS, NEVER]
  data_disk_size_gb:
    description: The size of the disk, in GB, at least. It can grow, by itself with O(storage_auto_resize), but not shrink;
      so a larger one is as asked.
    type: int
  data_disk_type:
    description: The type of the disk. It cannot be changed later.
    type: str
    choices: [PD_SSD, PD_HDD, HYPERDISK_BALANCED]
  storage_auto_resize:
    description: Whether the disk grows by itself.
    type: bool
  storage_auto_resize_limit:
    description: The size in GB to which the disk grows by itself at most, V(0) for no limit.
    type: int
  data_cache_config:
    description: The data cache. O(edition=ENTERPRISE_PLUS) only.
    type: dict
    suboptions:
      data_cache_enabled:
        description: Whether it is on.
        type: bool
  database_flags:
    description: All database flags by name. Flags that are not in it are removed, so V({}) removes all.
    type: dict
  backup_configuration:
    description: Backups.
    type: dict
    suboptions:
      enabled:
        description: Whether a backup is made every day.
        type: bool
      start_time:
        description: When, as C(HH:MM) in UTC.
        type: str
      location:
        description: The region or multi-region that holds them.
        type: str
      point_in_time_recovery_enabled:
        description: Whether any moment can be restored. Of MySQL O(backup_configuration.binary_log_enabled) says so.
        type: bool
      binary_log_enabled:
        description: 'Whether MySQL writes a binary log: any moment can be restored, and replicas can be made.'
        type: bool
      transaction_log_retention_days:
        description: How many days back, 1 to 7 for V(ENTERPRISE), to 35 for V(ENTERPRISE_PLUS).
        type: int
      retained_backups:
        description: How many backups are kept.
        type: int
  ip_configuration:
    description: The network.
    type: dict
    suboptions:
      ipv4_enabled:
        description: Whether it has a public address.
        type: bool
      private_network:
        description: The VPC network of its private address, C(projects/PROJECT/global/networks/NETWORK).
        type: str
      allocated_ip_range:
        description: The name of the address range to take the private address from.
        type: str
      enable_private_path_for_google_cloud_services:
        description: Whether BigQuery and other services reach it on the private address.
        type: bool
      ssl_mode:
        description: Which connections are accepted.
        type: str
        choices: [ALLOW_UNENCRYPTED_AND_ENCRYPTED, ENCRYPTED_ONLY, TRUSTED_CLIENT_CERTIFICATE_REQUIRED]
      authorized_networks:
        description: All networks that may connect to the public address, in any order. V([]) lets in none but connectors.
        type: list
        elements: dict
        suboptions:
          name:
            description: What it is.
            type: str
          value:
            description: The network, in CIDR notation.
            type: str
            required: true
  location_preference:
    description: Where the instance is, in its region.
    type: dict
    suboptions:
      zone:
        description: The zone that it serves from.
        type: str
      secondary_zone:
        description: The zone of the standby.
        type: str
  password_validation_policy:
    description: What passwords of built-in users must be like.
    type: dict
    suboptions:
      enable_password_policy:
        description: Whether the policy applies.
        type: bool
      min_length:
        description: At least so many characters.
        type: int
      complexity:
        description: Which kinds of characters are needed.
        type: str
        choices: [COMPLEXITY_DEFAULT]
      reuse_interval:
        description: How many earlier passwords cannot be used again.
        type: int
      disallow_username_substring:
        description: Whether the user's name must not be in the password.
        type: bool
      password_change_interval:
        description: How long a password is kept at least, such as V(7200s). PostgreSQL only.
        type: str
  insights_config:
    description: Query Insights.
    type: dict
    suboptions:
      query_insights_enabled:
        description: Whether it is on.
        type: bool
      query_plans_per_minute:
        description: How many query plans are sampled per minute.
        type: int
      query_string_length:
        description: How many bytes of a query are kept.
        type: int
      record_application_tags:
        description: Whether the tags of sqlcommenter are kept.
        type: bool
      record_client_address:
        description: Whether the client's address is kept.
        type: bool
  maintenance_window:
    description: When Google Cloud may restart the instance.
    type: dict
    suboptions:
      day:
        description: The day of the week in UTC, V(1) is Monday.
        type: int
      hour:
        description: The hour in UTC.
        type: int
      update_track:
        description: How early updates come.
        type: str
        choices: [canary, stable, week5]
  deletion_protection_enabled:
    description: Whether Google Cloud refuses to delete the instance.
    type: bool
  connector_enforcement:
    description: Whether connections must come through a Cloud SQL connector or the proxy.
    type: str
    choices: [NOT_REQUIRED, REQUIRED]
  data_api_access:
    description: Whether SQL can be run through the API. The module M(org.djangogcp.sql_statements) needs it.
    type: str
    choices: [ALLOW_DATA_API, DISALLOW_DATA_API]
  user_labels:
    description: The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products,
      C(goog-*).
    type: dict
  master_instance_name:
    description: The instance in the same project whose read replica this is. It cannot be changed later.
    type: str
  # End of the table.
  wait_timeout:
    default: 1800
seealso:
  - module: org.djangogcp.sql_database
  - module: org.djangogcp.sql_users
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Ensure an instance
  org.djangogcp.sql_instance:
    project: my-project
    name: djangogcp
    region: europe-west1
    database_version: POSTGRES_17
    edition: ENTERPRISE
    tier: db-custom-1-3840
    availability_type: ZONAL
    backup_configuration:
      enabled: true
      point_in_time_recovery_enabled: true
    database_flags:
      cloudsql.iam_authentication: "on"
    data_api_access: ALLOW_DATA_API
    deletion_protection_enabled: true

- name: Change the machine type
  org.djangogcp.sql_instance:
    project: my-project
    name: djangogcp
    tier: db-custom-2-7680

- name: Delete the instance
  org.djangogcp.sql_instance:
    project: my-project
    name: djangogcp
    state: absent
"""

RETURN = r"""
instance:
  description: The instance as it is now, or would be in check mode.
  returned: success
  type: dict
  sample:
    name: djangogcp
    project: my-project
    region: europe-west1
    connection_name: my-project:europe-west1:djangogcp
    state: RUNNABLE
    tier: db-custom-1-3840
    settings_version: 1
operation:
  description:
    - The operation that goes on in Google Cloud, because O(wait=false) or because another run began it; empty when nothing does.
    - A task with O(wait=true) waits for it.
  returned: success
  type: str
  sample: ""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [create SQL instance djangogcp]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    WAIT_ARGS,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, one_result, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import sql_operation
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import reconcile
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import (
    INSTANCE,
    running_operation,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of

ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "state": STATE_ARG,
    **table_options(INSTANCE.fields),
    **MARK_ARGS,
    **WAIT_ARGS,
    "wait_timeout": {"type": "int", "default": 1800},
}


def desired(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """What is asked of the instance."""
    asked = asked_of(params, INSTANCE.fields)
    if "database_flags" in asked:
        # A flag's value is a string in the API, and YAML makes a boolean of on.
        asked["database_flags"] = {name: flag_text(value) for name, value in asked["database_flags"].items()}
    return asked


def flag_text(value: t.Any) -> str:
    """A database flag's value as the API writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def work(task: Task) -> dict[str, t.Any]:
    deadline = Deadline(task.wait.timeout, task.client.clock)
    name = task.params["name"]
    outcome = reconcile(
        task.client,
        INSTANCE,
        {"project": task.project, "name": name},
        desired(task.params),
        state=task.params["state"],
        check_mode=task.check_mode,
        wait=task.wait,
        ownership=Ownership.from_params(task.params),
    )
    is_known = task.check_mode or task.params["state"] == "absent" or (outcome.changed and task.wait.enabled)
    operation = None if is_known else running_operation(task.client, task.project, name)
    if operation and task.wait.enabled:
        call = Call(f"wait until SQL instance {name} is changed", "cloudsql.instances.get")
        sql_operation(task.client, INSTANCE.api, operation, deadline, call)
        operation = None
    return {**one_result("instance", outcome), "operation": operation["name"] if operation else ""}


def check(params: dict[str, t.Any]) -> list[str]:
    """What would be dropped in silence, and asked for again at every run."""
    backups = params["backup_configuration"] or {}
    is_mysql = (params["database_version"] or "").startswith("MYSQL_")
    if is_mysql and backups.get("point_in_time_recovery_enabled"):
        return [
            "backup_configuration.point_in_time_recovery_enabled is true: expected binary_log_enabled in its place, which is how MySQL "
            "restores any moment."
        ]
    return []


def main() -> None:
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.SQL_INSTANCE},
        tables={"": INSTANCE.fields},
        check=check,
        required_by={"database_version": ["region"]},
    )


if __name__ == "__main__":
    main()
