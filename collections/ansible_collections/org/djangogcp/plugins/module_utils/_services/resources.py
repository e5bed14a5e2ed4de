# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The tables of all kinds of resources, by the name that modules know them by."""

from __future__ import annotations

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import ResourceSpec
from ansible_collections.org.djangogcp.plugins.module_utils._services import (
    artifactregistry,
    compute,
    iam,
    run,
    secretmanager,
    sqladmin,
    storage,
)

SPECS: dict[str, ResourceSpec] = {
    "artifact_repository": artifactregistry.REPOSITORY,
    "bucket": storage.BUCKET,
    "compute_address": compute.ADDRESS,
    "compute_firewall": compute.FIREWALL,
    "compute_instance": compute.INSTANCE,
    "compute_network": compute.NETWORK,
    "compute_router": compute.ROUTER,
    "compute_subnetwork": compute.SUBNETWORK,
    "run_job": run.JOB,
    "run_service": run.SERVICE,
    "run_worker_pool": run.WORKER_POOL,
    "secret": secretmanager.SECRET,
    "service_account": iam.SERVICE_ACCOUNT,
    "sql_database": sqladmin.DATABASE,
    "sql_instance": sqladmin.INSTANCE,
    "sql_user": sqladmin.USER,
}

#: What a location is called in a path of Google's.
_PLACES = ("location", "region", "zone")


def _place(spec: ResourceSpec) -> str:
    return next((one for one in _PLACES if f"{{{one}}}" in spec.path), "")


#: The kinds that are in a location, a region or a zone. An address without one is one of the whole world.
LOCATED = sorted(kind for kind, spec in SPECS.items() if _place(spec) and kind != "compute_address")


def found_by(kind: str, project: str, resource: t.Mapping[str, t.Any]) -> tuple[ResourceSpec, dict[str, str]]:
    """The table and the ids of what options name by ``name``, and ``location`` or ``instance`` where it is in one."""
    spec = compute.address_spec(resource["location"]) if kind == "compute_address" else SPECS[kind]
    ids = {"project": project, "name": str(resource["name"])}
    if resource["instance"] is not None:
        ids["instance"] = str(resource["instance"])
    if resource["location"] is not None:
        ids[_place(spec) or "location"] = str(resource["location"])
    return spec, ids
