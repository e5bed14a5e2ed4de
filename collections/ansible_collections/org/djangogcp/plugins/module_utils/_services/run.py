# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Cloud Run v2 as tables. Source of every wire name: the discovery document run:v2.

Only what a task asks for is compared, so values that Cloud Run fills in (a probe's port, a container's name) are no
differences; lists (containers, environment, volumes) are exactly what is asked. What is asked replaces its alternatives, and {}
removes.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    SHORT_NAME,
    Change,
    Codec,
    Field,
    Json,
    Kind,
    number,
)
from ansible_collections.org.djangogcp.plugins.module_utils._marks import LabelsPlace
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

_ANNOTATIONS = Field("annotations", kind=Kind.MAP, keeps=(RETRY_ANNOTATION,), rule=rules.ANNOTATIONS)

_SECRET_KEY_REF = Field(
    "secret_key_ref", fields=(Field("secret", codec=SHORT_NAME), Field("version", rule=rules.SECRET_VERSION))
)

# Alternatives, of which Google Cloud takes one (descriptions of Probe, EnvVar, Volume and VpcAccess in run:v2).
_SOURCES = ("value", "value_source")
_CHECKS = ("http_get", "tcp_socket", "grpc")
_VOLUME_KINDS = ("secret", "cloud_sql_instance", "gcs", "empty_dir", "nfs")
_WAYS = ("connector", "network_interfaces")

_ENV = Field(
    "env",
    kind=Kind.SET,
    key="name",
    whole=True,
    fields=(
        Field("name", rule=rules.ENVIRONMENT_NAME),
        Field("value", one_of=_SOURCES, rule=rules.ENVIRONMENT_VALUE),
        Field("value_source", one_of=_SOURCES, fields=(_SECRET_KEY_REF,)),
    ),
)

_PROBE = (
    number("initial_delay_seconds", default=0, rule=rules.COUNT),
    number("timeout_seconds", rule=rules.PROBE_SECONDS),
    number("period_seconds", rule=rules.PROBE_SECONDS),
    number("failure_threshold", rule=rules.PROBE_SECONDS),
    Field(
        "http_get",
        one_of=_CHECKS,
        fields=(
            Field("path", rule=rules.HTTP_PATH),
            number("port", rule=rules.PORT),
            Field(
                "http_headers", kind=Kind.SET, key="name", whole=True, fields=(Field("name"), Field("value"))
            ),
        ),
    ),
    Field("tcp_socket", one_of=_CHECKS, fields=(number("port", rule=rules.PORT),)),
    Field("grpc", one_of=_CHECKS, fields=(number("port", rule=rules.PORT), Field("service"))),
)


def _without_default_probe(probe: Json) -> Json | None:
    """A startup probe, None for the one that Cloud Run gives a container that was asked for none: one long look at its port.

    Source: https://cloud.google.com/run/docs/configuring/healthchecks ("default TCP startup probe").
    """
    given = {name: value for name, value in probe.items() if value is not None and name != "tcp_socket"}
    filled = {
        "initial_delay_seconds": 0,
        "timeout_seconds": 240,
        "period_seconds": 240,
        "failure_threshold": 1,
    }
    return None if given == filled and probe.get("tcp_socket") is not None else probe


# Google Cloud fills in what is not asked, and writes 1 as 1000m.
_LIMITS = Field(
    "limits",
    kind=Kind.MAP,
    codec=Codec(lambda limits: {name: str(value) for name, value in limits.items()}, dict),
    same=lambda limits: {name: rules.quantity(value) for name, value in limits.items()},
    default={},
    keeps=("cpu", "memory"),
    rule=rules.LIMITS,
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
                _LIMITS,
                Field("cpu_idle", default=False),
                Field("startup_cpu_boost", default=False),
            ),
        ),
        Field("ports", kind=Kind.LIST, fields=(Field("name"), number("container_port", rule=rules.PORT))),
        Field(
            "volume_mounts",
            kind=Kind.SET,
            key="name",
            whole=True,
            fields=(Field("name"), Field("mount_path", rule=rules.MOUNT_PATH), Field("sub_path")),
        ),
        Field("working_dir"),
        Field("startup_probe", fields=_PROBE, same=_without_default_probe),
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
            one_of=_VOLUME_KINDS,
            fields=(
                Field("secret", codec=SHORT_NAME),
                number("default_mode", rule=rules.FILE_MODE),
                Field(
                    "items",
                    kind=Kind.LIST,
                    whole=True,
                    fields=(Field("path"), Field("version"), number("mode", rule=rules.FILE_MODE)),
                ),
            ),
        ),
        Field(
            "cloud_sql_instance",
            one_of=_VOLUME_KINDS,
            fields=(Field("instances", kind=Kind.SET, rule=rules.CONNECTION),),
        ),
        Field(
            "gcs",
            one_of=_VOLUME_KINDS,
            fields=(
                Field("bucket", codec=SHORT_NAME, rule=rules.BUCKET),
                Field("read_only", default=False),
                Field("mount_options", kind=Kind.SET),
            ),
        ),
        Field(
            "empty_dir",
            one_of=_VOLUME_KINDS,
            fields=(Field("medium"), Field("size_limit", same=rules.quantity)),
        ),
        Field(
            "nfs",
            one_of=_VOLUME_KINDS,
            fields=(Field("server"), Field("path"), Field("read_only", default=False)),
        ),
    ),
)

_VPC_ACCESS = Field(
    "vpc_access",
    fields=(
        Field("connector", one_of=_WAYS),
        Field("egress"),
        Field(
            "network_interfaces",
            one_of=_WAYS,
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
    mark=LabelsPlace(),
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
                number("min_instance_count", default=0, rule=rules.INSTANCES),
                number("max_instance_count", rule=rules.INSTANCES),
            ),
        ),
        # The API takes the template as a whole: every change of it makes a new revision.
        Field(
            "template",
            mask="template",
            fields=(
                # gcloud run deploy --revision-suffix leaves it; of one name there is one revision.
                Field("revision", change=Change.ONE_TIME),
                Field("labels", kind=Kind.MAP, rule=rules.LABELS),
                _ANNOTATIONS,
                Field(
                    "scaling",
                    fields=(
                        number("min_instance_count", default=0, rule=rules.INSTANCES),
                        number("max_instance_count", default=100, rule=rules.INSTANCES),
                    ),
                ),
                _VPC_ACCESS,
                Field("timeout", rule=rules.REQUEST_TIMEOUT),
                Field("service_account", rule=rules.SERVICE_ACCOUNT),
                _CONTAINERS,
                _VOLUMES,
                Field("execution_environment"),
                number("max_instance_request_concurrency", rule=rules.CONCURRENCY),
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
                number("percent", default=0, rule=rules.PERCENT),
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
    mark=LabelsPlace(),
    update=_update_job,
    again=_job_again,
    operations=long_running,
    pending=is_reconciling,
    fields=(
        Field("labels", kind=Kind.MAP, rule=rules.LABELS),
        _ANNOTATIONS,
        Field(
            "template",
            mask="template",
            fields=(
                Field("labels", kind=Kind.MAP, rule=rules.LABELS),
                number("parallelism", rule=rules.COUNT),
                number("task_count", rule=rules.COUNT),
                Field(
                    "template",
                    fields=(
                        Field("service_account", rule=rules.SERVICE_ACCOUNT),
                        Field("timeout", rule=rules.TASK_TIMEOUT),
                        number("max_retries", default=0, rule=rules.COUNT),
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
