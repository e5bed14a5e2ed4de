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
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    INT64,
    SHORT_NAME,
    Change,
    Codec,
    Field,
    Kind,
    labels,
    number,
    reference,
    switch,
)
from ansible_collections.org.djangogcp.plugins.module_utils._marks import LabelsPlace
from ansible_collections.org.djangogcp.plugins.module_utils._operations import long_running
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Plan,
    Request,
    ResourceSpec,
    put_whole,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json, get_path

API = "https://run.googleapis.com/v2"
#: Makes a resource different that was not ready, so that Cloud Run looks at it again: the revision or generation that was not.
RETRY_ANNOTATION = "djangogcp/retry-of"
#: Marks a revision that only says that nothing was released yet.
PLACEHOLDER_ANNOTATION = "djangogcp/placeholder"

#: The annotation of a service that names the revision that was given all the traffic last, by this collection.
DEPLOYED_ANNOTATION = "djangogcp/deployed-revision"
#: The digests, with commas, of the releases that a rollback has taken the traffic from; no deploy brings them back unasked.
TAKEN_OUT_ANNOTATION = "djangogcp/taken-out"
#: The revision that has a part of the traffic while it is watched, and what served before it (`_canary`); "" when there is none.
CANARY_ANNOTATION = "djangogcp/canary"

_ANNOTATIONS = Field(
    "annotations",
    "The annotations. Annotations that are not in it are removed, so V({}) removes all.",
    kind=Kind.MAP,
    rule=rules.ANNOTATIONS,
)
#: Of what is retried; the annotation that says so is not a person's.
_RETRIED_ANNOTATIONS = dataclasses.replace(_ANNOTATIONS, keeps=(RETRY_ANNOTATION,))
_SERVICE_ANNOTATIONS = dataclasses.replace(
    _ANNOTATIONS, keeps=(DEPLOYED_ANNOTATION, TAKEN_OUT_ANNOTATION, CANARY_ANNOTATION)
)
_LABELS = labels()

# Alternatives, of which Google Cloud takes one (descriptions of Probe, EnvVar, Volume, VpcAccess and Job in run:v2).
_SOURCES = ("value", "value_source")
_CHECKS = ("http_get", "tcp_socket", "grpc")
_VOLUME_KINDS = ("secret", "cloud_sql_instance", "gcs", "empty_dir", "nfs", "filestore")
_WAYS = ("connector", "network_interfaces")
_TOKENS = ("start_execution_token", "run_execution_token")

# Who has made the last change, as gcloud and the console say of theirs.
_CLIENT = (
    Field("client", "The name of the program that makes the change, in any words."),
    Field("client_version", "The version of that program."),
)
_SECRET = reference(
    "secret", "The name of the secret, for that of another project C(projects/PROJECT/secrets/SECRET)."
)
_LAUNCH_STAGE = Field(
    "launch_stage",
    "Which features may be used. Those in preview need V(BETA) or V(ALPHA).",
    choices=("ALPHA", "BETA", "GA"),
    default="GA",
)
_FUNCTIONAL_TYPE = Field(
    "functional_type",
    "What it is to others.",
    choices=("FUNCTIONAL_TYPE_AGENT", "FUNCTIONAL_TYPE_MCP_SERVER"),
)
_BINARY_AUTHORIZATION = Field(
    "binary_authorization",
    "Which images Binary Authorization lets run.",
    fields=(
        switch("use_default", "Whether the policy of the project holds.", default=False),
        reference("policy", "The policy, as C(projects/PROJECT/platforms/cloudRun/POLICY)."),
        Field(
            "breakglass_justification", "Why an image runs in spite of the policy. Not with C(use_default)."
        ),
    ),
)
_EXECUTION_ENVIRONMENT = Field(
    "execution_environment",
    "The sandbox that containers run in, the first or the second generation.",
    choices=("EXECUTION_ENVIRONMENT_GEN1", "EXECUTION_ENVIRONMENT_GEN2"),
)
_SERVICE_ACCOUNT = Field(
    "service_account",
    "The e-mail address of the service account that containers act as. The default one of the project if not set.",
    rule=rules.SERVICE_ACCOUNT,
)
_ENCRYPTION_KEY = reference(
    "encryption_key", "The key of Cloud KMS that the image is encrypted with, by its full name."
)
_KEY_REVOCATION = (
    Field(
        "encryption_key_revocation_action",
        "What happens when the key is revoked.",
        choices=("PREVENT_NEW", "SHUTDOWN"),
    ),
    Field(
        "encryption_key_shutdown_duration",
        "How long after V(SHUTDOWN) instances may still run, for instance V(3600s), which is the least.",
        normalize=rules.duration,
    ),
)
_NODE_SELECTOR = Field(
    "node_selector",
    "The hardware to run on.",
    fields=(Field("accelerator", "The kind of GPU, for instance V(nvidia-l4)."),),
)
_ONE_GPU_ZONE = switch(
    "gpu_zonal_redundancy_disabled",
    "Whether instances with a GPU need not be able to move to another zone.",
    default=False,
)
_SERVICE_MESH = Field(
    "service_mesh",
    "Cloud Service Mesh.",
    fields=(reference("mesh", "The mesh, as C(projects/PROJECT/locations/global/meshes/MESH)."),),
)
_WORKLOAD_IDENTITY = Field(
    "workload_identity_config",
    "The identity by which workloads know one another.",
    fields=(
        Field("identity", "The SPIFFE identity."),
        switch("identity_certificate_enabled", "Whether instances get a certificate.", default=False),
        Field(
            "identity_type",
            "The kind of identity.",
            choices=("IDENTITY_TYPE_SERVICE_ACCOUNT", "IDENTITY_TYPE_AGENT_IDENTITY"),
        ),
    ),
)

_ENV = Field(
    "env",
    "All environment variables, in any order.",
    kind=Kind.SET,
    key="name",
    replace=True,
    fields=(
        Field("name", "The name.", rule=rules.ENVIRONMENT_NAME),
        Field("value", "The value.", one_of=_SOURCES, rule=rules.ENVIRONMENT_VALUE),
        Field(
            "value_source",
            "Where the value comes from.",
            one_of=_SOURCES,
            fields=(
                Field(
                    "secret_key_ref",
                    "A version of a secret.",
                    fields=(
                        _SECRET,
                        Field(
                            "version",
                            "The number of the version, an alias, or V(latest), which is read whenever an instance starts.",
                            rule=rules.SECRET_VERSION,
                        ),
                    ),
                ),
            ),
        ),
    ),
)
_PORT = number("port", "The port. The one that the container listens on if not set.", rule=rules.PORT)
_PROBE = (
    number(
        "initial_delay_seconds",
        "How long after its start the container is asked first.",
        default=0,
        rule=rules.COUNT,
    ),
    number("timeout_seconds", "How long an answer may take.", rule=rules.PROBE_SECONDS),
    number(
        "period_seconds",
        "How often the container is asked. No less than C(timeout_seconds).",
        rule=rules.PROBE_SECONDS,
    ),
    number("failure_threshold", "After how many failures in a row it has failed.", rule=rules.PROBE_SECONDS),
    Field(
        "http_get",
        "Ask for a page.",
        one_of=_CHECKS,
        fields=(
            Field("path", "The path, V(/) if not set.", rule=rules.HTTP_PATH),
            _PORT,
            Field(
                "http_headers",
                "All headers of the request, in any order.",
                kind=Kind.SET,
                key="name",
                replace=True,
                fields=(Field("name", "The name."), Field("value", "The value.")),
            ),
        ),
    ),
    Field("tcp_socket", "Open a connection.", one_of=_CHECKS, fields=(_PORT,)),
    Field(
        "grpc",
        "Ask with gRPC.",
        one_of=_CHECKS,
        fields=(_PORT, Field("service", "The name of the service to ask for.")),
    ),
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
    "How much an instance may use, by C(cpu), C(memory) and C(nvidia.com/gpu), for instance V(1) or V(500m) and V(512Mi).",
    kind=Kind.MAP,
    codec=Codec(lambda limits: {name: str(value) for name, value in limits.items()}, dict),
    normalize=lambda limits: {name: rules.quantity(value) for name, value in limits.items()},
    default={},
    keeps=("cpu", "memory"),
    rule=rules.LIMITS,
)
_COMMAND = Field(
    "command",
    "The program and its first arguments, without a shell. The image's own if not set.",
    kind=Kind.LIST,
    rule=rules.ARGUMENT,
)
_ARGS = Field(
    "args", "Its further arguments. The image's own if not set.", kind=Kind.LIST, rule=rules.ARGUMENT
)
_IMAGE = Field("image", "The address of the image.", rule=rules.IMAGE)
_WORKING_DIR = Field("working_dir", "The directory to start in. The image's own if not set.")
_VOLUME_MOUNTS = Field(
    "volume_mounts",
    "Where the files of all volumes are, in any order.",
    kind=Kind.SET,
    key="name",
    replace=True,
    fields=(
        Field("name", "The name of the volume."),
        Field(
            "mount_path",
            "The directory. For Cloud SQL it is V(/cloudsql).",
            rule=rules.MOUNT_PATH,
        ),
        Field("sub_path", "The directory of the volume that is meant. All of it if not set."),
    ),
)
# Of what is built from a source when a container is deployed.
_BUILD = Field(
    "build_config",
    "How Cloud Run builds the image from C(source_code).",
    fields=(
        Field(
            "buildpacks_build",
            "Build with buildpacks.",
            fields=(
                Field("build_base_image_uri", "Another base image than the default one."),
                Field("cache_image_uri", "The image that holds the cache."),
                Field(
                    "environment_variables",
                    "Environment variables of the build.",
                    kind=Kind.MAP,
                    rule=rules.BUILD_VARIABLES,
                ),
            ),
        ),
        Field(
            "docker_build",
            "Build with Docker. There is nothing to say of it, V({}) asks for it.",
            kind=Kind.MAP,
            rule=rules.NOTHING,
        ),
        Field("image_repository_uri", "Where in Artifact Registry the image goes."),
        reference("service_account", "The service account, as C(projects/PROJECT/serviceAccounts/EMAIL)."),
        Field("tags", "Tags of the build, in any order.", kind=Kind.SET),
        Field(
            "worker_configuration",
            "The machine that builds.",
            fields=(
                Field(
                    "cloud_build_worker_configuration",
                    "Of Cloud Build.",
                    fields=(
                        Field("machine_type", "The type of the machine."),
                        reference("worker_pool", "The private pool, by its full name."),
                    ),
                ),
            ),
        ),
    ),
)
_SOURCE_CODE = Field(
    "source_code",
    "The source to build and run. Only of services.",
    fields=(
        Field(
            "cloud_storage_source",
            "An object of Cloud Storage.",
            fields=(
                Field("bucket", "The bucket."),
                Field("object", "The name of the object."),
                number("generation", "Its generation.", codec=INT64),
            ),
        ),
    ),
)

_CONTAINERS = Field(
    "containers",
    "The containers. The first one is compared with the first one that is there, and so on.",
    kind=Kind.LIST,
    fields=(
        Field("name", "The name."),
        _IMAGE,
        _COMMAND,
        _ARGS,
        _ENV,
        Field(
            "resources",
            "What the container may use.",
            fields=(
                _LIMITS,
                switch(
                    "cpu_idle",
                    "Whether an instance has a processor only while it answers requests.",
                    default=False,
                ),
                switch(
                    "startup_cpu_boost",
                    "Whether an instance has more processors while it starts.",
                    default=False,
                ),
            ),
        ),
        Field(
            "ports",
            "The one port that the container listens on. Google Cloud chooses one, and tells it as E(PORT), if not set.",
            kind=Kind.LIST,
            fields=(
                Field("name", "The protocol, V(http1) or V(h2c)."),
                number("container_port", "The port.", rule=rules.PORT),
            ),
        ),
        _VOLUME_MOUNTS,
        _WORKING_DIR,
        Field(
            "startup_probe",
            "How to see that the container has started. Before that, it gets no requests and no other probe.",
            fields=_PROBE,
            normalize=_without_default_probe,
        ),
        Field(
            "liveness_probe",
            "How to see that it is alive. It is restarted when it is not.",
            fields=_PROBE,
        ),
        Field(
            "readiness_probe",
            "How to see that it can answer. It gets no requests while it cannot.",
            fields=_PROBE,
        ),
        Field("depends_on", "The names of the containers that start first, in any order.", kind=Kind.SET),
        Field("base_image_uri", "The base image that is updated automatically. Only of services."),
        _BUILD,
        _SOURCE_CODE,
        switch("sandbox_launcher", "Whether the container may start C(sandboxes).", default=False),
    ),
)
_SANDBOXES = Field(
    "sandboxes",
    "What a container with C(sandbox_launcher) may start.",
    fields=(
        Field(
            "templates",
            "All kinds of sandboxes, in any order.",
            kind=Kind.SET,
            key="name",
            fields=(
                Field("name", "The name."),
                _IMAGE,
                _COMMAND,
                _ARGS,
                _ENV,
                _VOLUME_MOUNTS,
                _WORKING_DIR,
            ),
        ),
    ),
)

_READ_ONLY = switch("read_only", "Whether nothing can be written.", default=False)
_VOLUMES = Field(
    "volumes",
    "All volumes, in any order.",
    kind=Kind.SET,
    key="name",
    fields=(
        Field("name", "The name."),
        Field(
            "secret",
            "The values of a secret as files.",
            one_of=_VOLUME_KINDS,
            fields=(
                _SECRET,
                # Ansible would take the text 0444 for the number 444, which are other bits.
                number(
                    "default_mode",
                    "The mode of the files, for instance V(0444) without quotes.",
                    type="raw",
                    rule=rules.FILE_MODE,
                ),
                Field(
                    "items",
                    "All files. One with the name of the secret and the newest version if not set.",
                    kind=Kind.LIST,
                    replace=True,
                    fields=(
                        Field("path", "The path of the file in the volume."),
                        Field("version", "The version that it holds."),
                        number("mode", "The mode of the file.", type="raw", rule=rules.FILE_MODE),
                    ),
                ),
            ),
        ),
        Field(
            "cloud_sql_instance",
            "Sockets of Cloud SQL instances.",
            one_of=_VOLUME_KINDS,
            fields=(
                Field(
                    "instances",
                    "All instances, each as C(PROJECT:REGION:INSTANCE), in any order.",
                    kind=Kind.SET,
                    rule=rules.CONNECTION,
                ),
            ),
        ),
        Field(
            "gcs",
            "A bucket of Cloud Storage.",
            one_of=_VOLUME_KINDS,
            fields=(
                Field("bucket", "The name of the bucket.", codec=SHORT_NAME, rule=rules.BUCKET),
                _READ_ONLY,
                Field(
                    "mount_options",
                    "Flags of C(gcsfuse) without the hyphens, in any order.",
                    kind=Kind.SET,
                ),
            ),
        ),
        Field(
            "empty_dir",
            "A directory that is empty when an instance starts and lost when it ends.",
            one_of=_VOLUME_KINDS,
            fields=(
                Field("medium", "What holds the files.", choices=("MEMORY", "DISK")),
                Field(
                    "size_limit",
                    "How much it holds at most, for instance V(128Mi).",
                    normalize=rules.quantity,
                ),
            ),
        ),
        Field(
            "nfs",
            "A directory of an NFS server.",
            one_of=_VOLUME_KINDS,
            fields=(
                Field("server", "The name or address of the server."),
                Field("path", "The path that it exports."),
                _READ_ONLY,
            ),
        ),
        Field(
            "filestore",
            "A volume of Filestore.",
            one_of=_VOLUME_KINDS,
            fields=(reference("volume", "The volume, by its full name."),),
        ),
    ),
)

_VPC_ACCESS = Field(
    "vpc_access",
    "How to reach a VPC network.",
    fields=(
        reference(
            "connector",
            "The Serverless VPC Access connector, as C(projects/PROJECT/locations/LOCATION/connectors/CONNECTOR).",
            one_of=_WAYS,
        ),
        Field(
            "egress",
            "Which requests go through it. Google Cloud takes V(PRIVATE_RANGES_ONLY) if not set.",
            choices=("ALL_TRAFFIC", "PRIVATE_RANGES_ONLY"),
        ),
        Field(
            "network_interfaces",
            "The one network to be in (Direct VPC egress).",
            one_of=_WAYS,
            kind=Kind.LIST,
            fields=(
                reference("network", "The network. That of the subnetwork if not set."),
                reference(
                    "subnetwork",
                    "The subnetwork that addresses come from. That with the name of the network if not set.",
                ),
                Field("tags", "Network tags, in any order.", kind=Kind.SET),
            ),
        ),
    ),
)
# gcloud run deploy --revision-suffix leaves it; of one name there is one revision.
_REVISION_NAME = Field("revision", change=Change.ONE_TIME)
#: What instances of services, jobs and worker pools have in common.
_INSTANCE = (
    _SERVICE_ACCOUNT,
    _CONTAINERS,
    _VOLUMES,
    _VPC_ACCESS,
    _ENCRYPTION_KEY,
    _NODE_SELECTOR,
    _ONE_GPU_ZONE,
    _SANDBOXES,
)


def _share(value: t.Any) -> float:
    """A part of a whole as it was meant: a float of 32 bits, which Cloud Run keeps, is a little more or less."""
    return round(float(value), 4)


def is_reconciling(resource: Json) -> bool:
    """Whether Cloud Run has not yet done what it was last asked (run v2, ``reconciling``)."""
    return bool(resource.get("reconciling"))


def _revision_retry(resource: Json, asked: t.Mapping[str, t.Any]) -> Json:
    """What has no ready newest revision gets another one of the template that is asked, which the annotation changes."""
    created, ready = resource.get("latestCreatedRevision") or "", resource.get("latestReadyRevision") or ""
    if created in ("", ready) or is_reconciling(resource) or asked.get("template") is None:
        return {}
    annotations = get_path(resource, "template.annotations") or {}
    return {"template": {"annotations": {**annotations, RETRY_ANNOTATION: created.rpartition("/")[2]}}}


SERVICE = ResourceSpec(
    noun="service",
    api=API,
    path="projects/{project}/locations/{location}/services/{name}",
    permission="run.services",
    id_param="serviceId",
    mark=LabelsPlace(),
    retry=_revision_retry,
    operations=long_running,
    pending=is_reconciling,
    fields=(
        Field("description", "What the service is for.", rule=rules.text(512)),
        _LABELS,
        _SERVICE_ANNOTATIONS,
        Field(
            "ingress",
            "Where requests may come from.",
            choices=(
                "INGRESS_TRAFFIC_ALL",
                "INGRESS_TRAFFIC_INTERNAL_ONLY",
                "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
                "INGRESS_TRAFFIC_NONE",
            ),
        ),
        switch(
            "invoker_iam_disabled",
            "Whether everybody may call the service. Google's recommended way of making a service public.",
            default=False,
        ),
        switch("iap_enabled", "Whether Identity-Aware Proxy asks who calls.", default=False),
        switch("default_uri_disabled", "Whether the service has no C(run.app) address.", default=False),
        Field(
            "custom_audiences",
            "Further audiences that ID tokens for the service may name.",
            kind=Kind.SET,
        ),
        Field(
            "scaling",
            "How many instances the service has, shared by its revisions as their traffic is.",
            fields=(
                number("min_instance_count", "At least so many.", default=0, rule=rules.INSTANCES),
                number("max_instance_count", "At most so many.", rule=rules.INSTANCES),
                Field(
                    "scaling_mode",
                    "Whether Cloud Run chooses how many.",
                    choices=("AUTOMATIC", "MANUAL"),
                    default="AUTOMATIC",
                ),
                number(
                    "manual_instance_count",
                    "So many, with C(scaling_mode) V(MANUAL).",
                    zero_counts=True,
                    rule=rules.INSTANCES,
                ),
            ),
        ),
        # The API takes the template as a whole: every change of it makes a new revision.
        Field(
            "template",
            "What a revision is made of. Any change makes a new revision.",
            mask="template",
            fields=(
                _REVISION_NAME,
                _LABELS,
                _RETRIED_ANNOTATIONS,
                Field(
                    "scaling",
                    "How many instances the revision has.",
                    fields=(
                        number("min_instance_count", "At least so many.", default=0, rule=rules.INSTANCES),
                        number("max_instance_count", "At most so many.", default=100, rule=rules.INSTANCES),
                        Field(
                            "cpu_utilization",
                            "From which use of its processors on more instances are started, V(0.1) to V(0.9). V(0) does not look at it.",
                            type="float",
                            normalize=_share,
                            zero_counts=True,
                        ),
                        Field(
                            "concurrency_utilization",
                            "From which part of C(max_instance_request_concurrency) on more instances are started, V(0.1) to V(0.95). V(0)"
                            " does not look at it.",
                            type="float",
                            normalize=_share,
                            zero_counts=True,
                        ),
                    ),
                ),
                Field(
                    "timeout",
                    "How long a request may take, for instance V(300s).",
                    normalize=rules.duration,
                    rule=rules.REQUEST_TIMEOUT,
                ),
                number(
                    "max_instance_request_concurrency",
                    "How many requests an instance gets at the same time.",
                    rule=rules.CONCURRENCY,
                ),
                switch(
                    "session_affinity",
                    "Whether requests of one visitor go to the same instance where that can be.",
                    default=False,
                ),
                switch(
                    "health_check_disabled",
                    "Whether a revision may serve without having listened on its port.",
                    default=False,
                ),
                *_INSTANCE,
                _EXECUTION_ENVIRONMENT,
                *_KEY_REVOCATION,
                _SERVICE_MESH,
                _WORKLOAD_IDENTITY,
                Field(
                    "ambient_networking",
                    "Ambient networking.",
                    fields=(
                        switch("enabled", "Whether it is on.", default=False),
                        Field(
                            "ambient_scope",
                            "How far it reaches.",
                            choices=("AMBIENT_SCOPE_REGIONAL", "AMBIENT_SCOPE_GLOBAL"),
                        ),
                    ),
                ),
                *_CLIENT,
            ),
        ),
        Field(
            "traffic",
            "Who gets the traffic: all shares, in this order. All of it goes to the newest revision if not set, or V([]).",
            kind=Kind.LIST,
            replace=True,
            # Source: run v2, Service.traffic ("If traffic is empty or not provided").
            default=[{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
            fields=(
                Field(
                    "type",
                    "Whether the share is that of the newest revision or of C(revision).",
                    choices=(
                        "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST",
                        "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION",
                    ),
                ),
                Field("revision", "The name of the revision.", codec=SHORT_NAME, normalize=SHORT_NAME.decode),
                number("percent", "How much of the traffic.", default=0, rule=rules.PERCENT),
                Field("tag", "A name that gives the revision an address of its own.", rule=rules.TAG),
            ),
        ),
        _BINARY_AUTHORIZATION,
        Field(
            "multi_region_settings",
            "A service in several regions.",
            fields=(
                Field("regions", "All regions, in any order, C(location) among them.", kind=Kind.SET),
                Field("multi_region_id", change=Change.OUTPUT),
            ),
        ),
        Field(
            "build_config",
            "How Cloud Run builds a function. An image that is there needs none of it.",
            fields=(
                Field("function_target", "The name of the function in the source."),
                Field("source_location", "The archive with the source, as C(gs://BUCKET/OBJECT)."),
                Field("image_uri", "Where in Artifact Registry the image goes."),
                Field("base_image", "The base image."),
                switch(
                    "enable_automatic_updates",
                    "Whether the base image is updated automatically.",
                    default=False,
                ),
                Field(
                    "environment_variables",
                    "Environment variables of the build.",
                    kind=Kind.MAP,
                    rule=rules.BUILD_VARIABLES,
                ),
                reference(
                    "service_account", "The service account, as C(projects/PROJECT/serviceAccounts/EMAIL)."
                ),
                reference("worker_pool", "The private pool of Cloud Build, by its full name."),
            ),
        ),
        switch("ssh_enabled", "Whether one can log in to instances.", default=False),
        _FUNCTIONAL_TYPE,
        _LAUNCH_STAGE,
        *_CLIENT,
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
        dataclasses.replace(field, replace=True) if field.name == "template" else field
        for field in SERVICE.fields
    ),
)


def _update_job(plan: Plan) -> Request:
    """jobs.patch knows no mask: it takes the whole job."""
    return dataclasses.replace(put_whole(plan), method="PATCH")


def _job_retry(job: Json, asked: t.Mapping[str, t.Any]) -> Json:
    """A job that was not ready (a secret that could not be read yet) is looked at again when it changes."""
    failed = (job.get("terminalCondition") or {}).get("state") == "CONDITION_FAILED"
    if not failed or asked.get("template") is None:
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
    items="jobs",
    mark=LabelsPlace(),
    update=_update_job,
    retry=_job_retry,
    operations=long_running,
    pending=is_reconciling,
    fields=(
        _LABELS,
        _RETRIED_ANNOTATIONS,
        Field(
            "template",
            "What an execution is made of.",
            mask="template",
            fields=(
                _LABELS,
                _ANNOTATIONS,
                number(
                    "parallelism",
                    "How many tasks run at the same time. As many as can if not set.",
                    rule=rules.COUNT,
                ),
                number("task_count", "How many tasks there are, one if not set.", rule=rules.COUNT),
                switch(
                    "delay_execution",
                    "Whether an execution may wait up to twelve hours until there is room for it.",
                    default=False,
                ),
                Field(
                    "template",
                    "What a task is made of.",
                    fields=(
                        Field(
                            "timeout",
                            "How long one try of a task may take, for instance V(600s).",
                            normalize=rules.duration,
                            rule=rules.TASK_TIMEOUT,
                        ),
                        number(
                            "max_retries",
                            "How often a task that failed is tried again. Google Cloud makes a job with V(3) if not set.",
                            default=0,
                            rule=rules.COUNT,
                        ),
                        *_INSTANCE,
                        _EXECUTION_ENVIRONMENT,
                        _WORKLOAD_IDENTITY,
                    ),
                ),
                *_CLIENT,
            ),
        ),
        Field(
            "start_execution_token",
            "A suffix by which an execution is named that starts when the job has changed. The job is ready when it has started.",
            one_of=_TOKENS,
        ),
        Field(
            "run_execution_token",
            "A suffix by which an execution is named that starts when the job has changed. The job is ready when it has succeeded.",
            one_of=_TOKENS,
        ),
        _BINARY_AUTHORIZATION,
        _FUNCTIONAL_TYPE,
        _LAUNCH_STAGE,
        *_CLIENT,
        Field("execution_count", change=Change.OUTPUT, default=0),
        Field("create_time", change=Change.OUTPUT),
        Field("update_time", change=Change.OUTPUT),
    ),
)


WORKER_POOL = ResourceSpec(
    noun="worker pool",
    api=API,
    path="projects/{project}/locations/{location}/workerPools/{name}",
    permission="run.workerpools",
    id_param="workerPoolId",
    items="workerPools",
    mark=LabelsPlace(),
    retry=_revision_retry,
    operations=long_running,
    pending=is_reconciling,
    fields=(
        Field("description", "What the worker pool is for.", rule=rules.text(512)),
        _LABELS,
        _ANNOTATIONS,
        Field(
            "scaling",
            "How many instances the worker pool has.",
            fields=(number("manual_instance_count", "So many.", zero_counts=True, rule=rules.INSTANCES),),
        ),
        Field(
            "template",
            "What a revision is made of. Any change makes a new revision.",
            mask="template",
            fields=(
                _REVISION_NAME,
                _LABELS,
                _RETRIED_ANNOTATIONS,
                *_INSTANCE,
                *_KEY_REVOCATION,
                _SERVICE_MESH,
                *_CLIENT,
            ),
        ),
        Field(
            "instance_splits",
            "Which revisions have the instances: all shares, in this order. All of them are of the newest revision if not set, or V([]).",
            kind=Kind.LIST,
            replace=True,
            # Source: https://github.com/GoogleCloudPlatform/k8s-config-connector, the recorded conversation runworkerpool-maximal.
            default=[{"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST", "percent": 100}],
            fields=(
                Field(
                    "type",
                    "Whether the share is that of the newest revision or of C(revision).",
                    choices=(
                        "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST",
                        "INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION",
                    ),
                ),
                Field("revision", "The name of the revision.", codec=SHORT_NAME, normalize=SHORT_NAME.decode),
                number("percent", "How many of the instances.", default=0, rule=rules.PERCENT),
            ),
        ),
        _BINARY_AUTHORIZATION,
        _LAUNCH_STAGE,
        *_CLIENT,
        Field("latest_ready_revision", codec=SHORT_NAME, change=Change.OUTPUT),
        Field("latest_created_revision", codec=SHORT_NAME, change=Change.OUTPUT),
        Field("create_time", change=Change.OUTPUT),
        Field("update_time", change=Change.OUTPUT),
    ),
)
