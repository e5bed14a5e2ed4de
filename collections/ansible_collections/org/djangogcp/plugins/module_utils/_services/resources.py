# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The tables of all kinds of resources, by the name that modules know them by."""

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import ResourceSpec
from ansible_collections.org.djangogcp.plugins.module_utils._services import (
    artifactregistry,
    iam,
    run,
    secretmanager,
    sqladmin,
    storage,
)

SPECS: dict[str, ResourceSpec] = {
    "artifact_repository": artifactregistry.REPOSITORY,
    "bucket": storage.BUCKET,
    "run_job": run.JOB,
    "run_service": run.SERVICE,
    "run_worker_pool": run.WORKER_POOL,
    "secret": secretmanager.SECRET,
    "service_account": iam.SERVICE_ACCOUNT,
    "sql_database": sqladmin.DATABASE,
    "sql_instance": sqladmin.INSTANCE,
    "sql_user": sqladmin.USER,
}
