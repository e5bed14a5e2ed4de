# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Cloud Run v2 as tables. Source of every wire name: the discovery document run:v2.

Only what a task asks for is compared, so values that Cloud Run fills in (a probe's port, a container's name) are no
differences; lists (containers, environment, volumes) are exactly what is asked.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    SHORT_NAME,
    Change,
    Field,
    Json,
    Kind,
)
from ansible_collections.org.djangogcp.plugins.module_utils._operations import long_running
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Plan,
    Request,
    ResourceSpec,
    put_whole,
)

API = "https://run.googleapis.com/v2"
#: Makes a resource different that was not ready, so that Cloud Run looks at it again: the revision or generation that was not.
RETRY_ANNOTATION = "djangogcp/retry-of"
#: Marks a revision that only says that nothing was released yet.
PLACEHOLDER_ANNOTATION = "djangogcp/placeholder"

_SECRET_KEY_REF = Field(
    "secret_key_ref", fields=(Field("secret", codec=SHORT_NAME), Field("version", rule=rules.SECRET_VERSION))
)

_ENV = Field(
    "env",
    kind=Kind.SET,
    key="name",
    whole=True,
    fields=(
        Field("name", rule=rules.ENVIRONMENT_NAME),
        Field("value", rule=rules.ENVIRONMENT_VALUE),
        Field("value_source", fields=(_SECRET_KEY_REF,)),
    ),
)

_PROBE = (
    Field("initial_delay_seconds", default=0, rule=rules.COUNT),
    Field("timeout_seconds", rule=rules.PROBE_SECONDS),
    Field("period_seconds", rule=rules.PROBE_SECONDS),
    Field("failure_threshold", rule=rules.PROBE_SECONDS),
    Field(
        "http_get",
        fields=(
            Field("path", rule=rules.HTTP_PATH),
            Field("port", rule=rules.PORT),
            Field(
                "http_headers", kind=Kind.SET, key="name", whole=True, fields=(Field("name"), Field("value"))
            ),
        ),
    ),
    Field("tcp_socket", fields=(Field("port", rule=rules.PORT),)),
)

_CONTAINERS = Field(
    "containers",
    kind=Kind.LIST,
    fields=(
        Field("name"),
        Field("image", rule=rules.IMAGE),
        Field("command", kind=Kind.LIST, rule=rules.ARGUMENT),
        Field("args", kind=Kind.LIST, rule=rules.ARGUMENT),
        _ENV,
        Field(
            "resources",
            fields=(
                Field("limits", kind=Kind.MAP, rule=rules.LIMITS),
                Field("cpu_idle", default=False),
                Field("startup_cpu_boost", default=False),
            ),
        ),
        Field("ports", kind=Kind.LIST, fields=(Field("name"), Field("container_port", rule=rules.PORT))),
        Field(
            "volume_mounts",
            kind=Kind.SET,
            key="name",
            whole=True,
            fields=(Field("name"), Field("mount_path", rule=rules.MOUNT_PATH), Field("sub_path")),
        ),
        Field("working_dir"),
        Field("startup_probe", fields=_PROBE),
        Field("liveness_probe", fields=_PROBE),
    ),
)

_VOLUMES = Field(
    "volumes",
    kind=Kind.SET,
    key="name",
    fields=(
        Field("name"),
        Field(
            "secret",
            fields=(
                Field("secret", codec=SHORT_NAME),
                Field("default_mode"),
                Field(
                    "items",
                    kind=Kind.LIST,
                    whole=True,
                    fields=(Field("path"), Field("version"), Field("mode")),
                ),
            ),
        ),
        Field("cloud_sql_instance", fields=(Field("instances", kind=Kind.SET, rule=rules.CONNECTION),)),
        Field(
            "gcs",
            fields=(
                Field("bucket", rule=rules.BUCKET),
                Field("read_only", default=False),
                Field("mount_options", kind=Kind.SET),
            ),
        ),
        Field("empty_dir", fields=(Field("medium"), Field("size_limit"))),
    ),
)

_VPC_ACCESS = Field(
    "vpc_access",
    fields=(
        Field("connector"),
        Field("egress"),
        Field(
            "network_interfaces",
            kind=Kind.LIST,
            fields=(
                Field("network", codec=SHORT_NAME),
                Field("subnetwork", codec=SHORT_NAME),
                Field("tags", kind=Kind.SET),
            ),
        ),
    ),
)


def is_reconciling(resource: Json) -> bool:
    """Whether Cloud Run has not yet done what it was last asked (run v2, ``reconciling``)."""
    return bool(resource.get("reconciling"))


SERVICE = ResourceSpec(
    noun="service",
    api=API,
    path="projects/{project}/locations/{location}/services/{name}",
    permission="run.services",
    id_param="serviceId",
    operations=long_running,
    pending=is_reconciling,
    fields=(
        Field("description", rule=rules.text(512)),
        Field("labels", kind=Kind.MAP, rule=rules.LABELS),
        Field("annotations", kind=Kind.MAP, rule=rules.ANNOTATIONS),
        Field("ingress"),
        Field("invoker_iam_disabled", default=False),
        Field("default_uri_disabled", default=False),
        Field("custom_audiences", kind=Kind.SET),
        Field(
            "scaling",
            fields=(
                Field("min_instance_count", default=0, same=int, rule=rules.INSTANCES),
                Field("max_instance_count", same=int, rule=rules.INSTANCES),
            ),
        ),
        # The API takes the template as a whole: every change of it makes a new revision.
        Field(
            "template",
            mask="template",
            fields=(
                Field("labels", kind=Kind.MAP, rule=rules.LABELS),
                Field("annotations", kind=Kind.MAP, rule=rules.ANNOTATIONS),
                Field(
                    "scaling",
                    fields=(
                        Field("min_instance_count", default=0, same=int, rule=rules.INSTANCES),
                        Field("max_instance_count", same=int, rule=rules.INSTANCES),
                    ),
                ),
                _VPC_ACCESS,
                Field("timeout", rule=rules.REQUEST_TIMEOUT),
                Field("service_account", rule=rules.SERVICE_ACCOUNT),
                _CONTAINERS,
                _VOLUMES,
                Field("execution_environment"),
                # ansible-core 2.18 makes texts of numbers that a template computes.
                Field("max_instance_request_concurrency", same=int, rule=rules.CONCURRENCY),
                Field("session_affinity", default=False),
                Field("encryption_key"),
            ),
        ),
        Field(
            "traffic",
            kind=Kind.LIST,
            whole=True,
            fields=(
                Field("type"),
                Field("revision", codec=SHORT_NAME),
                Field("percent", default=0, rule=rules.PERCENT),
                Field("tag", rule=rules.TAG),
            ),
        ),
        Field("uri", change=Change.OUTPUT),
        Field("urls", kind=Kind.LIST, change=Change.OUTPUT),
        Field("latest_ready_revision", codec=SHORT_NAME, change=Change.OUTPUT),
        Field("latest_created_revision", codec=SHORT_NAME, change=Change.OUTPUT),
        Field(
            "traffic_statuses",
            kind=Kind.LIST,
            change=Change.OUTPUT,
            fields=(
                Field("type"),
                Field("revision", codec=SHORT_NAME),
                Field("percent", default=0),
                Field("tag"),
                Field("uri"),
            ),
        ),
        Field("create_time", change=Change.OUTPUT),
        Field("update_time", change=Change.OUTPUT),
    ),
)

#: A service whose template replaces the one that is there as a whole, so that nothing of a placeholder stays in a release.
SERVICE_WITH_NEW_TEMPLATE = dataclasses.replace(
    SERVICE,
    fields=tuple(
        dataclasses.replace(field, whole=True) if field.name == "template" else field
        for field in SERVICE.fields
    ),
)


def _update_job(plan: Plan) -> Request:
    """jobs.patch knows no mask: it takes the whole job."""
    return dataclasses.replace(put_whole(plan), method="PATCH")


def _job_again(job: Json) -> Json:
    """A job that was not ready (a secret that could not be read yet) is looked at again when it changes."""
    if (job.get("terminalCondition") or {}).get("state") != "CONDITION_FAILED":
        return {}
    return {
        "annotations": {**(job.get("annotations") or {}), RETRY_ANNOTATION: str(job.get("generation", ""))}
    }


JOB = ResourceSpec(
    noun="job",
    api=API,
    path="projects/{project}/locations/{location}/jobs/{name}",
    permission="run.jobs",
    id_param="jobId",
    update=_update_job,
    again=_job_again,
    operations=long_running,
    pending=is_reconciling,
    fields=(
        Field("labels", kind=Kind.MAP, rule=rules.LABELS),
        Field("annotations", kind=Kind.MAP, rule=rules.ANNOTATIONS),
        Field(
            "template",
            mask="template",
            fields=(
                Field("labels", kind=Kind.MAP, rule=rules.LABELS),
                Field("parallelism", rule=rules.COUNT),
                Field("task_count", rule=rules.COUNT),
                Field(
                    "template",
                    fields=(
                        Field("service_account", rule=rules.SERVICE_ACCOUNT),
                        Field("timeout", rule=rules.TASK_TIMEOUT),
                        Field("max_retries", default=0, rule=rules.COUNT),
                        Field("execution_environment"),
                        Field("encryption_key"),
                        _VPC_ACCESS,
                        _CONTAINERS,
                        _VOLUMES,
                    ),
                ),
            ),
        ),
        Field("execution_count", change=Change.OUTPUT),
        Field("create_time", change=Change.OUTPUT),
        Field("update_time", change=Change.OUTPUT),
    ),
)
