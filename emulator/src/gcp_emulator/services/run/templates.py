"""Templates of Cloud Run services and jobs: what is refused, and what Google fills in.

Sources: the discovery document's descriptions (run.v2), "Configure container health checks", "Memory limits", "CPU limits",
"Configure secrets", "Connect from Cloud Run" (Cloud SQL). Texts of refusals are assumed unless a comment says otherwise.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json, failed_precondition, invalid_argument

#: Fields that the emulator acts on, by message. Anything else that is set is refused: it would not be done.
_EMULATED = {
    "service": "name labels annotations description client clientVersion ingress launchStage invokerIamDisabled "
    "customAudiences defaultUriDisabled scaling template traffic etag",
    "worker pool": "name labels annotations description client clientVersion launchStage scaling template instanceSplits etag",
    "job": "name labels annotations client clientVersion launchStage template etag",
    "revision template": "revision labels annotations client clientVersion scaling serviceAccount timeout containers volumes "
    "executionEnvironment maxInstanceRequestConcurrency healthCheckDisabled",
    "worker pool template": "revision labels annotations client clientVersion serviceAccount containers volumes",
    "execution template": "labels annotations client clientVersion parallelism taskCount template",
    "task template": "containers volumes maxRetries timeout serviceAccount executionEnvironment",
    "container": "name image command args env resources ports volumeMounts workingDir livenessProbe startupProbe dependsOn",
    "volume mount": "name mountPath",
    "volume": "name secret cloudSqlInstance emptyDir",
    "probe": "initialDelaySeconds timeoutSeconds periodSeconds failureThreshold httpGet tcpSocket",
    "scaling": "minInstanceCount maxInstanceCount scalingMode manualInstanceCount",
}
#: Fields that are stored and shown, and that change nothing here.
_KEY = "encryptionKey encryptionKeyRevocationAction encryptionKeyShutdownDuration"
_STORED = {
    # A way in for people (https://docs.cloud.google.com/sdk/gcloud/reference/beta/run/services/ssh), which there is none of here.
    "service": "binaryAuthorization sshEnabled",
    "worker pool": "binaryAuthorization customAudiences",
    "job": "binaryAuthorization",
    "revision template": f"vpcAccess sessionAffinity {_KEY}",
    "worker pool template": f"vpcAccess {_KEY}",
    "task template": "vpcAccess encryptionKey",
    "volume": "gcs nfs",
}
_SYSTEM_NAMESPACES = (
    "run.googleapis.com",
    "cloud.googleapis.com",
    "serving.knative.dev",
    "autoscaling.knative.dev",
)
_RESERVED_ENV = {
    "worker pool": ("CLOUD_RUN_WORKER_POOL", "CLOUD_RUN_WORKER_POOL_REVISION"),
    "service": ("K_SERVICE", "K_REVISION", "K_CONFIGURATION"),
    "job": (
        "CLOUD_RUN_JOB", "CLOUD_RUN_EXECUTION", "CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_ATTEMPT", "CLOUD_RUN_TASK_COUNT",
    ),
}  # fmt: skip
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9._-]+)+(:[\w.-]{1,128})?(@sha256:[0-9a-f]{64})?")
_CONNECTION = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]+:[a-z]+-[a-z]+\d+:[a-z][a-z0-9-]*")
_LABEL_KEY = re.compile(r"[a-z][\w-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_MAX_ENV = 1000
_MAX_ENV_VALUE = 32768
_CPUS = (1, 2, 4, 6, 8)
_MEMORY = "512Mi"  # Google: "Memory limits"
#: Google: "default TCP startup probe" (https://cloud.google.com/run/docs/configuring/healthchecks).
_DEFAULT_PROBE = {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def check_name(name: str, field: str) -> None:
    """A service's or job's id: lower case letters, digits and dashes, at most 49 characters."""
    if not _NAME.fullmatch(name):
        raise invalid_argument(
            f"Violation in {field}: '{name}' must contain only lowercase letters, digits and hyphens, begin with a letter, "
            "not end with a hyphen, and be less than 50 characters.",
            field=field,
        )


def check_service(service: Json) -> None:
    """The whole service as it will be stored. Raises ApiError."""
    _only(service, "service", "")
    _check_labels(service, "")
    template = service["template"]
    _only(template, "revision template", "template")
    _check_labels(template, "template.")
    for where, scaling in (
        ("scaling", service.get("scaling")),
        ("template.scaling", template.get("scaling")),
    ):
        _check_scaling(scaling or {}, where)
    _check_seconds(template["timeout"], 1, 3600, "template.timeout")
    _check_range(
        template["maxInstanceRequestConcurrency"], 1, 1000, "template.max_instance_request_concurrency"
    )
    container = _check_containers(template, "template", "service")
    _check_binary_authorization(service)
    if cpu_of(container) < 1 and template["maxInstanceRequestConcurrency"] > 1:
        raise invalid_argument(
            "template.max_instance_request_concurrency: Invalid value specified for concurrency. Total cpu < 1 is not "
            "supported with concurrency > 1.",
            field="template.max_instance_request_concurrency",
        )
    _check_traffic(service["traffic"])


def check_worker_pool(pool: Json) -> None:
    """The whole worker pool as it will be stored. Raises ApiError."""
    _only(pool, "worker pool", "")
    _check_labels(pool, "")
    template = pool["template"]
    _only(template, "worker pool template", "template")
    _check_labels(template, "template.")
    _check_range(pool["scaling"]["manualInstanceCount"], 0, 1000, "scaling.manual_instance_count")
    _check_containers(template, "template", "worker pool")
    _check_binary_authorization(pool)
    splits = pool["instanceSplits"]
    total = sum(split.get("percent", 0) for split in splits)
    if total != 100 or any(split.get("percent", 0) < 0 for split in splits):
        raise invalid_argument(
            f"instance_splits: The sum of instance split percents must be 100; got {total}.",
            field="instance_splits",
        )
    _check_revisions(splits, "instance_splits", "INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION")


def check_job(job: Json) -> None:
    """The whole job as it will be stored. Raises ApiError."""
    _only(job, "job", "")
    _check_labels(job, "")
    execution = job["template"]
    _only(execution, "execution template", "template")
    task = execution["template"]
    _only(task, "task template", "template.template")
    _check_range(execution["taskCount"], 1, 10000, "template.task_count")
    _check_range(execution.get("parallelism", 0), 0, 10000, "template.parallelism")
    _check_range(task["maxRetries"], 0, 10, "template.template.max_retries")
    _check_seconds(task["timeout"], 1, 7 * 24 * 3600, "template.template.timeout")
    container = _check_containers(task, "template.template", "job")
    _check_binary_authorization(job)
    for field in ("ports", "startupProbe", "livenessProbe"):
        if container.get(field):
            raise invalid_argument(
                f"template.template.containers[0].{_snake(field)}: {_snake(field)} should not be set for jobs.",
                field=f"template.template.containers[0].{_snake(field)}",
            )


def with_service_defaults(service: Json, default_account: str) -> Json:
    """The service with what Google fills in (seen in responses of services.get; values of scaling are assumed)."""
    service = copy.deepcopy(service)
    service.setdefault("ingress", "INGRESS_TRAFFIC_ALL")
    service.setdefault("launchStage", "GA")
    service["traffic"] = service.get("traffic") or [
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}
    ]
    template = service.setdefault("template", {})
    _fill_template(template, default_account)
    template.setdefault("timeout", "300s")
    template.setdefault("executionEnvironment", "EXECUTION_ENVIRONMENT_GEN2")
    template.setdefault("scaling", {}).setdefault("maxInstanceCount", 100)
    containers = template.get("containers", [])
    main = ingress_index(containers)
    for index, container in enumerate(containers):
        if index == main:
            container["ports"] = container.get("ports") or [{}]
            container.setdefault("startupProbe", {**_DEFAULT_PROBE, "tcpSocket": {}})
            container.setdefault("resources", {"cpuIdle": True})
        _fill_container(container)
    cpu = sum(cpu_of(container) for container in containers)
    template.setdefault("maxInstanceRequestConcurrency", 80 if cpu >= 1 or not containers else 1)
    return service


def with_worker_pool_defaults(pool: Json, default_account: str) -> Json:
    """The worker pool with what Google fills in. That there is one instance where nobody says how many is assumed."""
    pool = copy.deepcopy(pool)
    pool.setdefault("launchStage", "GA")
    pool.setdefault("scaling", {}).setdefault("manualInstanceCount", 1)
    pool["instanceSplits"] = pool.get("instanceSplits") or [
        {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST", "percent": 100}
    ]
    template = pool.setdefault("template", {})
    _fill_template(template, default_account)
    for container in template.get("containers", []):
        _fill_container(container)
    return pool


def with_job_defaults(job: Json, default_account: str) -> Json:
    """The job with what Google fills in."""
    job = copy.deepcopy(job)
    job.setdefault("launchStage", "GA")
    execution = job.setdefault("template", {})
    execution.setdefault("taskCount", 1)
    task = execution.setdefault("template", {})
    _fill_template(task, default_account)
    task.setdefault("timeout", "600s")
    task.setdefault("maxRetries", 3)
    task.setdefault("executionEnvironment", "EXECUTION_ENVIRONMENT_GEN2")
    for container in task.get("containers", []):
        _fill_container(container)
    return job


def ingress_index(containers: list[Json]) -> int:
    """The place of the container that gets the requests: the one that names a port, else the first."""
    return next((index for index, container in enumerate(containers) if container.get("ports")), 0)


def ports_of(container: Json) -> frozenset[int]:
    """The ports at which a container is known to listen: its own and those of its probes."""
    probes = (container.get("startupProbe", {}), container.get("livenessProbe", {}))
    actions = [probe[kind] for probe in probes for kind in ("httpGet", "tcpSocket") if kind in probe]
    named = (
        *(port["containerPort"] for port in container.get("ports", ())),
        *(one["port"] for one in actions),
    )
    return frozenset(int(port) for port in named)


def start_order(containers: list[Json]) -> list[int]:
    """The places of the containers, each behind those that it depends on. INVALID_ARGUMENT when they depend on one another."""
    names = {container.get("name", ""): index for index, container in enumerate(containers)}
    order: list[int] = []
    while len(order) < len(containers):
        free = [
            index
            for index, container in enumerate(containers)
            if index not in order
            and all(names.get(name, -1) in order for name in container.get("dependsOn", ()))
        ]
        if not free:
            raise invalid_argument(
                "template.containers: depends_on names a container that is not there, or containers depend on one another.",
                field="template.containers",
            )
        order += free
    return order


def cpu_of(container: Json) -> float:
    """The container's CPU limit; 1 when it is missing. Raises ApiError for what is no quantity."""
    text = str(container.get("resources", {}).get("limits", {}).get("cpu", "1"))
    try:
        return int(text[:-1]) / 1000 if text.endswith("m") else float(text)
    except ValueError:
        raise invalid_argument(
            f"template.containers[0].resources.limits.cpu: Invalid value specified for cpu: '{text}' is not a quantity.",
            field="template.containers[0].resources.limits.cpu",
        ) from None


def memory_of(container: Json) -> int:
    """The container's memory limit in bytes. Raises ApiError for what is no quantity."""
    text = container.get("resources", {}).get("limits", {}).get("memory", _MEMORY)
    return int(_bytes(text, "template.containers[0].resources.limits.memory"))


def _fill_template(template: Json, default_account: str) -> None:
    template.setdefault("serviceAccount", default_account)
    for volume in template.get("volumes", []):
        if "secret" in volume:
            volume["secret"].setdefault("defaultMode", 0o444)


def _fill_container(container: Json) -> None:
    limits = container.setdefault("resources", {}).setdefault("limits", {})
    limits.setdefault("cpu", "1000m")
    limits.setdefault("memory", _MEMORY)
    for named in container.get("ports", ()):
        named.setdefault("name", "http1")
        named.setdefault("containerPort", 8080)
    port = container["ports"][0]["containerPort"] if container.get("ports") else 8080
    for kind in ("startupProbe", "livenessProbe"):
        if kind in container:
            _fill_probe(container[kind], port)


def _fill_probe(probe: Json, port: int) -> None:
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("failureThreshold", 3)
    for action in ("httpGet", "tcpSocket"):
        if action in probe:
            probe[action].setdefault("port", port)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")


def _only(message: Json, kind: str, where: str) -> None:
    """Refuse what is set but not emulated, rather than answer 200 for it."""
    unknown = [
        name
        for name in message
        if name not in f"{_EMULATED[kind]} {_STORED.get(kind, '')}".split()
        and message[name] not in ("", [], {}, False, None)
    ]
    if unknown:
        fields = ", ".join(f"{where}.{name}" if where else name for name in unknown)
        raise failed_precondition(f"gcp-emulator does not emulate {fields} of Cloud Run; nothing was done.")


def _check_labels(message: Json, where: str) -> None:
    for field in ("labels", "annotations"):
        for key in message.get(field, {}):
            if key.partition("/")[0].endswith(_SYSTEM_NAMESPACES):
                raise invalid_argument(
                    f"Violation in {where}{field}: '{key}' is in a namespace that the Cloud Run API v2 does not support; use "
                    "the corresponding field.",
                    field=f"{where}{field}",
                )
    for key, value in message.get("labels", {}).items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise invalid_argument(
                f"Violation in {where}labels: invalid label '{key}': '{value}'.", field=f"{where}labels"
            )


def _check_scaling(scaling: Json, where: str) -> None:
    _only(scaling, "scaling", where)
    low, high = scaling.get("minInstanceCount", 0), scaling.get("maxInstanceCount")
    if low < 0 or (high is not None and (high < 1 or low > high)):
        raise invalid_argument(
            f"{where}: Invalid value specified for scaling. min_instance_count ({low}) must not be negative or greater than "
            f"max_instance_count ({high}).",
            field=where,
        )


def _check_containers(template: Json, where: str, kind: str) -> Json:
    """The containers of a template; returns the one that gets the requests."""
    containers: list[Json] = template.get("containers", [])
    if not containers:
        raise invalid_argument(
            f"{where}.containers: must contain at least one container.", field=f"{where}.containers"
        )
    for index, container in enumerate(containers):
        beside = len(containers) > 1 and not container.get("ports")
        _check_container(
            container, f"{where}.containers[{index}]", kind, reserved=() if beside else ("PORT",)
        )
    _check_volumes(template, where)
    _check_vpc_access(template.get("vpcAccess", {}), f"{where}.vpc_access")
    if len(containers) > 1:
        _check_sidecars(containers, where, kind)
    return containers[ingress_index(containers)]


def _check_container(container: Json, place: str, kind: str, *, reserved: tuple[str, ...]) -> None:
    """One container. Which variables are ``reserved`` beside those of the kind: a sidecar may have a PORT of its own."""
    _only(container, "container", place)
    if not _IMAGE.fullmatch(container.get("image", "")):
        raise invalid_argument(
            f"{place}.image: Expected an image path like [host/]repo-path[:tag and/or @digest], where host is one of "
            f"[region.]gcr.io, [region-]docker.pkg.dev or docker.io but obtained {container.get('image', '')}.",
            field=f"{place}.image",
        )
    _check_env(
        container.get("env", []), place, (*_RESERVED_ENV[kind], *(reserved if kind == "service" else ()))
    )
    _check_resources(container, place)
    if container.get("ports"):
        if kind == "worker pool":
            raise invalid_argument(
                f"{place}.ports: ports should not be set for worker pools.", field=f"{place}.ports"
            )
        _check_ports(container, place)
    if kind != "job":
        for field, delay in (("startupProbe", 240), ("livenessProbe", 3600)):
            if field in container:
                _check_probe(
                    container[field], f"{place}.{_snake(field)}", delay, startup=field == "startupProbe"
                )


def _check_sidecars(containers: list[Json], where: str, kind: str) -> None:
    """Several containers (https://cloud.google.com/run/docs/deploying#sidecars)."""
    field = f"{where}.containers"
    if kind == "job":
        raise failed_precondition(
            f"gcp-emulator does not emulate sidecars of jobs ({field} has {len(containers)} entries); nothing was done."
        )
    if len(containers) > 10:
        raise invalid_argument(f"{field}: must contain at most 10 containers.", field=field)
    names = [container.get("name", "") for container in containers]
    if len(set(names)) < len(names):
        raise invalid_argument(f"{field}: names of containers must be unique.", field=field)
    if kind == "service" and sum(bool(container.get("ports")) for container in containers) != 1:
        raise invalid_argument(f"{field}: exactly one container must have ports.", field=field)
    start_order(containers)
    mounts = [mount["name"] for container in containers for mount in container.get("volumeMounts", ())]
    if shared := sorted({name for name in mounts if mounts.count(name) > 1}):
        raise failed_precondition(
            f"gcp-emulator does not emulate volumes that several containers mount ({', '.join(shared)}); nothing was done."
        )


def _check_binary_authorization(resource: Json) -> None:
    if {"useDefault", "policy"} <= set(resource.get("binaryAuthorization", {})):
        raise invalid_argument(
            "binary_authorization: only one of use_default and policy may be set.",
            field="binary_authorization",
        )


def check_env(entries: Iterable[Json], place: str, kind: str) -> None:
    """Names and values of environment variables, for templates and for a job's overrides."""
    _check_env(list(entries), place, _RESERVED_ENV[kind])


def _check_env(entries: list[Json], place: str, reserved_names: tuple[str, ...]) -> None:
    field = f"{place}.env"
    names = [entry.get("name", "") for entry in entries]
    reserved = [name for name in names if name in reserved_names]
    if reserved:  # Google's text
        raise invalid_argument(
            f"{field}: The following reserved env names were provided: {', '.join(reserved)}. These values are automatically set "
            "by the system.",
            field=field,
        )
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise invalid_argument(
            f"{field}: Duplicate env names are not allowed: {', '.join(duplicates)}.", field=field
        )
    if len(entries) > _MAX_ENV:
        raise invalid_argument(f"{field}: at most {_MAX_ENV} environment variables may be set.", field=field)
    for index, entry in enumerate(entries):
        name = entry.get("name", "")
        if not _ENV_NAME.fullmatch(name):
            raise invalid_argument(
                f"{field}[{index}].name: '{name}' is not a valid env name.", field=f"{field}[{index}].name"
            )
        if len(entry.get("value", "")) > _MAX_ENV_VALUE:
            raise invalid_argument(
                f"{field}[{index}].value: must be at most {_MAX_ENV_VALUE} characters long.",
                field=f"{field}[{index}].value",
            )
        reference = entry.get("valueSource", {}).get("secretKeyRef")
        if reference is not None:
            if "value" in entry:
                raise invalid_argument(
                    f"{field}[{index}]: only one of value and value_source may be set.", field=field
                )
            _check_secret_reference(reference, f"{field}[{index}].value_source.secret_key_ref")


def _check_secret_reference(reference: Json, place: str) -> None:
    if not re.fullmatch(r"(projects/[^/]+/secrets/)?[\w-]{1,255}", reference.get("secret", "")):
        raise invalid_argument(
            f"{place}.secret: '{reference.get('secret', '')}' is not a secret name or projects/PROJECT/secrets/SECRET.",
            field=f"{place}.secret",
        )
    if not re.fullmatch(r"[1-9]\d*|[a-zA-Z][\w-]*", reference.get("version", "")):
        raise invalid_argument(
            f"{place}.version: must be a version number, an alias or 'latest'.", field=f"{place}.version"
        )


def _check_resources(container: Json, place: str) -> None:
    limits = container["resources"]["limits"]
    cpu = cpu_of(container)
    field = f"{place}.resources.limits"
    unknown = set(limits) - {"cpu", "memory"}
    if unknown:
        raise failed_precondition(
            f"gcp-emulator does not emulate {field}.{sorted(unknown)[0]} of Cloud Run; nothing was done."
        )
    if not (0.08 <= cpu < 1 or cpu in _CPUS):
        raise invalid_argument(
            f"{field}.cpu: Invalid value specified for cpu. The following values are supported: at least 0.08 and less than 1, "
            f"or one of 1, 2, 4, 6 and 8; got '{limits['cpu']}'.",
            field=f"{field}.cpu",
        )
    memory = _bytes(limits["memory"], f"{field}.memory")
    least = {4: 2 * 2**30, 6: 4 * 2**30, 8: 4 * 2**30}.get(int(cpu), 128 * 2**20)
    most = next(
        size * 2**30
        for bound, size in ((0.5, 0.5), (1, 1), (2, 4), (4, 8), (6, 16), (8, 24), (9, 32))
        if cpu < bound
    )
    if not least <= memory <= most:
        raise invalid_argument(
            f"{field}.memory: Invalid value specified for container memory. For {cpu:g} CPU, memory must be between "
            f"{least // 2**20}Mi and {int(most) // 2**20}Mi inclusive; got '{limits['memory']}'.",
            field=f"{field}.memory",
        )


def _bytes(text: str, field: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]i?)?", text)
    if found is None:
        raise invalid_argument(
            f"{field}: Invalid value specified for memory: '{text}' is not a quantity.", field=field
        )
    return float(found[1]) * _UNITS[found[2] or ""]


def _check_vpc_access(access: Json, where: str) -> None:
    """Source: https://github.com/hashicorp/terraform-provider-google/issues/15568; of the other two the discovery document, the words are assumed."""
    interfaces = access.get("networkInterfaces", [])
    if access and bool(access.get("connector")) == bool(interfaces):
        raise invalid_argument(
            f"{where}.connector: one and only one of connector and network_interfaces must be set.",
            field=f"{where}.connector",
        )
    if len(interfaces) > 1:
        raise invalid_argument(
            f"{where}.network_interfaces: only one network interface is supported.",
            field=f"{where}.network_interfaces",
        )
    if interfaces and not (interfaces[0].get("network") or interfaces[0].get("subnetwork")):
        raise invalid_argument(
            f"{where}.network_interfaces[0]: at least one of network and subnetwork must be set.",
            field=f"{where}.network_interfaces[0]",
        )


def _check_volumes(template: Json, where: str) -> None:
    volumes: dict[str, Json] = {}
    for index, volume in enumerate(template.get("volumes", [])):
        field = f"{where}.volumes[{index}]"
        _only(volume, "volume", field)
        volumes[volume.get("name", "")] = volume
        for connection in volume.get("cloudSqlInstance", {}).get("instances", []):
            if not _CONNECTION.fullmatch(connection):
                raise invalid_argument(
                    f"{field}.cloud_sql_instance.instances: '{connection}' is not PROJECT:REGION:INSTANCE.",
                    field=field,
                )
        if "secret" in volume:
            for item in volume["secret"].get("items", []):
                _check_secret_reference(
                    {"secret": volume["secret"].get("secret", ""), "version": item.get("version", "")},
                    f"{field}.secret",
                )
    mounted: set[str] = set()
    for place, container in enumerate(template["containers"]):
        mounted |= _check_mounts(container, f"{where}.containers[{place}]", set(volumes), where)
    for name, volume in volumes.items():
        if name not in mounted and volume.get("cloudSqlInstance") is None:
            raise invalid_argument(
                f"{where}.volumes: Volume '{name}' is not mounted by any container.", field=f"{where}.volumes"
            )


def _check_mounts(container: Json, place: str, volumes: set[str], where: str) -> set[str]:
    """The volumes that a container mounts. Where Cloud SQL's sockets go is free, whatever the documents say (recorded: runjob-sql)."""
    paths: set[str] = set()
    names: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts", [])):
        field = f"{place}.volume_mounts[{index}]"
        _only(mount, "volume mount", field)
        name, path = mount.get("name", ""), mount.get("mountPath", "")
        if name not in volumes:
            raise invalid_argument(
                f"{field}.name: Volume '{name}' is not defined in {where}.volumes.", field=f"{field}.name"
            )
        if not re.fullmatch(r"/[^:]+", path) or path.startswith(("/proc", "/sys", "/dev")) or path in paths:
            raise invalid_argument(
                f"{field}.mount_path: '{path}' is not a usable mount path.", field=f"{field}.mount_path"
            )
        paths.add(path)
        names.add(name)
    return names


def _check_ports(container: Json, place: str) -> None:
    ports = container["ports"]
    if len(ports) > 1 or not 1 <= ports[0]["containerPort"] <= 65535:
        raise invalid_argument(
            f"{place}.ports: must hold one port between 1 and 65535.", field=f"{place}.ports"
        )
    if ports[0]["name"] != "http1" or ports[0]["containerPort"] == 80:
        raise failed_precondition(
            f"gcp-emulator does not emulate {place}.ports with name '{ports[0]['name']}' and port "
            f"{ports[0]['containerPort']}: only http1, and not port 80, where the metadata server listens; nothing was done."
        )


def _check_probe(probe: Json, place: str, longest: int, *, startup: bool) -> None:
    _only(probe, "probe", place)
    if ("httpGet" in probe) == ("tcpSocket" in probe):
        raise invalid_argument(
            f"{place}: exactly one of http_get, tcp_socket and grpc must be set.", field=place
        )
    if not startup and "tcpSocket" in probe:
        raise invalid_argument(
            f"{place}.tcp_socket: TCP probes are only supported for startup probes.", field=place
        )
    period, timeout = probe["periodSeconds"], probe["timeoutSeconds"]
    for name, value, low, high in (
        ("initial_delay_seconds", probe.get("initialDelaySeconds", 0), 0, longest),
        ("period_seconds", period, 1, longest),
        ("timeout_seconds", timeout, 1, min(period, longest)),
        ("failure_threshold", probe["failureThreshold"], 1, 10000),
    ):
        _check_range(value, low, high, f"{place}.{name}")
    if startup and probe["failureThreshold"] * period > longest:
        raise invalid_argument(
            f"{place}: failure_threshold * period_seconds must not be greater than {longest} seconds; got "
            f"{probe['failureThreshold']} * {period}.",
            field=place,
        )
    if "httpGet" in probe and not probe["httpGet"]["path"].startswith("/"):
        raise invalid_argument(f"{place}.http_get.path: must start with '/'.", field=f"{place}.http_get.path")


def _check_traffic(targets: list[Json]) -> None:
    total = sum(target.get("percent", 0) for target in targets)
    tags = [target["tag"] for target in targets if target.get("tag")]
    if total != 100 or any(target.get("percent", 0) < 0 for target in targets):
        raise invalid_argument(
            f"traffic: The sum of traffic percents must be 100; got {total}.", field="traffic"
        )
    for tag in tags:
        if tags.count(tag) > 1:
            raise invalid_argument(f"traffic: Tag '{tag}' is used more than once.", field="traffic")
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,44}[a-z0-9])?", tag):
            raise invalid_argument(f"traffic: '{tag}' is not a valid tag.", field="traffic")
    _check_revisions(targets, "traffic", "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION")


def _check_revisions(shares: list[Json], where: str, by_revision: str) -> None:
    """Shares that name a revision, and those of the newest one."""
    for index, share in enumerate(shares):
        if (share.get("type") == by_revision) != bool(share.get("revision")):
            raise invalid_argument(
                f"{where}[{index}].revision: must be set for {by_revision} and for nothing else.",
                field=f"{where}[{index}].revision",
            )


def _check_range(value: int, low: int, high: int, field: str) -> None:
    if not low <= value <= high:
        raise invalid_argument(
            f"{field}: must be between {low} and {high} inclusive; got {value}.", field=field
        )


def _check_seconds(duration: str, low: int, high: int, field: str) -> None:
    _check_range(int(clock.seconds(duration)), low, high, field)


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name)


def conflict(name: str, given: str, current: str) -> ApiError:
    """409 for a stale etag, in Google's words."""
    short = name.rpartition("/")[2]
    return ApiError(
        "ABORTED",
        f"Conflict for resource '{short}': version '{given}' was specified but current version is '{current}'.",
    )
