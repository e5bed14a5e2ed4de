"""What is asked for, in two spellings: Knative's of Cloud Run Admin API v1, and that of v2, in which it is stored.

Sources: the descriptions of ObjectMeta.annotations, Container, Volume and TrafficTarget in the discovery document run.v1, the
"YAML reference" pages of Cloud Run, and, where a default goes unsaid, what gcloud 528 sends and reads.

Every function has its inverse. Three things that v1 cannot say are lost on the way there: the name of a Cloud SQL
volume (``cloudsql`` on the way back), an empty field that is the same as a missing one, and the difference of a label
that only drives a client (the nonce, see `wants_new_revision`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gcp_emulator.engine.errors import Json, failed_precondition, invalid_argument

_NONCE = "client.knative.dev/nonce"
_CLOUD_SQL = "run.googleapis.com/cloudsql-instances"
_SECRETS = "run.googleapis.com/secrets"
_THROTTLING = "run.googleapis.com/cpu-throttling"
_BOOST = "run.googleapis.com/startup-cpu-boost"
_DEPENDENCIES = "run.googleapis.com/container-dependencies"
_SYSTEM = (".googleapis.com", ".knative.dev")
_LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
_REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
#: Written by the server; a client that sends back what it read changes nothing with them.
_OUTPUT_ONLY = frozenset(
    [
        "cloud.googleapis.com/location",
        "run.googleapis.com/creator",
        "run.googleapis.com/lastModifier",
        "run.googleapis.com/operation-id",
        "run.googleapis.com/ingress-status",
        "run.googleapis.com/lastUpdatedTime",
        "run.googleapis.com/startupProbeType",
        "run.googleapis.com/urls",
        "serving.knative.dev/creator",
        "serving.knative.dev/lastModifier",
        _NONCE,
    ]
)


@dataclass(frozen=True)
class _Annotation:
    """An annotation of v1 that is a field of v2 (``path``, dotted)."""

    name: str
    path: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _text(name: str, path: str) -> _Annotation:
    return _Annotation(name, path, str, str)


def _integer(name: str, path: str) -> _Annotation:
    return _Annotation(name, path, str, int)


def _boolean(name: str, path: str) -> _Annotation:
    return _Annotation(
        name, path, lambda value: str(value).lower(), {"true": True, "false": False}.__getitem__
    )


def _choice(name: str, path: str, choices: dict[str, str]) -> _Annotation:
    back = {value: key for key, value in choices.items()}
    return _Annotation(name, path, back.__getitem__, choices.__getitem__)


_CLIENT = (
    _text("run.googleapis.com/client-name", "client"),
    _text("run.googleapis.com/client-version", "clientVersion"),
)
_LAUNCH_STAGE = _text("run.googleapis.com/launch-stage", "launchStage")
_ENVIRONMENT = _choice(
    "run.googleapis.com/execution-environment",
    "executionEnvironment",
    {"gen1": "EXECUTION_ENVIRONMENT_GEN1", "gen2": "EXECUTION_ENVIRONMENT_GEN2"},
)


#: https://cloud.google.com/run/docs/configuring/vpc-direct-vpc and .../vpc-connectors (YAML). In v2 those of a job belong to the task.
def _vpc_access(place: str) -> tuple[_Annotation, ...]:
    return (
        _Annotation(
            "run.googleapis.com/network-interfaces",
            f"{place}vpcAccess.networkInterfaces",
            json.dumps,
            _interfaces,
        ),
        _text("run.googleapis.com/vpc-access-connector", f"{place}vpcAccess.connector"),
        _choice(
            "run.googleapis.com/vpc-access-egress",
            f"{place}vpcAccess.egress",
            {"all-traffic": "ALL_TRAFFIC", "private-ranges-only": "PRIVATE_RANGES_ONLY"},
        ),
    )


def _interfaces(text: str) -> list[Json]:
    """The networks of an annotation. Raises ValueError."""
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(one, dict) and _is_interface(one) for one in found):
        raise ValueError(text)
    return found


def _is_interface(one: Json) -> bool:
    tags = one.get("tags", [])
    return (
        set(one) <= {"network", "subnetwork", "tags"}
        and all(isinstance(one.get(name, ""), str) for name in ("network", "subnetwork"))
        and isinstance(tags, list)
        and all(isinstance(tag, str) for tag in tags)
    )


_SERVICE = (
    *_CLIENT,
    _LAUNCH_STAGE,
    _text("run.googleapis.com/description", "description"),
    _choice(
        "run.googleapis.com/ingress",
        "ingress",
        {
            "all": "INGRESS_TRAFFIC_ALL",
            "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
            "internal-and-cloud-load-balancing": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
            "none": "INGRESS_TRAFFIC_NONE",
        },
    ),
    _boolean("run.googleapis.com/invoker-iam-disabled", "invokerIamDisabled"),
    _boolean("run.googleapis.com/default-url-disabled", "defaultUriDisabled"),
    _Annotation("run.googleapis.com/custom-audiences", "customAudiences", json.dumps, json.loads),
    _integer("run.googleapis.com/minScale", "scaling.minInstanceCount"),
    _integer("run.googleapis.com/maxScale", "scaling.maxInstanceCount"),
    _integer("run.googleapis.com/manualInstanceCount", "scaling.manualInstanceCount"),
    _choice(
        "run.googleapis.com/scalingMode",
        "scaling.scalingMode",
        {"automatic": "AUTOMATIC", "manual": "MANUAL"},
    ),
)
_REVISION_TEMPLATE = (
    *_CLIENT,
    _ENVIRONMENT,
    _integer("autoscaling.knative.dev/minScale", "scaling.minInstanceCount"),
    _integer("autoscaling.knative.dev/maxScale", "scaling.maxInstanceCount"),
    _boolean("run.googleapis.com/health-check-disabled", "healthCheckDisabled"),
    _boolean("run.googleapis.com/sessionAffinity", "sessionAffinity"),
    *_vpc_access(""),
)
_JOB = (*_CLIENT, _LAUNCH_STAGE)
#: In v2 the execution environment of a job belongs to the task, which v1 gives no annotations.
_EXECUTION_TEMPLATE = (
    *_CLIENT,
    _choice(
        _ENVIRONMENT.name,
        "template.executionEnvironment",
        {"gen1": "EXECUTION_ENVIRONMENT_GEN1", "gen2": "EXECUTION_ENVIRONMENT_GEN2"},
    ),
    *_vpc_access("template."),
)


# -------------------------------------------------------------------- whole resources


def service_to_v2(service: Json) -> Json:
    """A v1 Service's metadata and spec as the body of v2. Raises ApiError for what v2 or the emulator does not have."""
    spec = _message(service, "spec", "")
    template = _message(spec, "template", "spec.")
    _only(spec, ("template", "traffic"), "spec")
    _only(template, ("metadata", "spec"), "spec.template")
    result = _metadata_to_v2(service.get("metadata", {}), _SERVICE, (), "metadata")
    result["template"] = revision_to_v2(template)
    if "traffic" in spec:
        result["traffic"] = [traffic_to_v2(target) for target in spec["traffic"]]
    return result


def service_to_v1(service: Json) -> Json:
    """The inverse: ``{"metadata": {labels, annotations}, "spec": ...}`` of a service of v2."""
    spec: Json = {"template": revision_to_v1(service["template"])}
    if "traffic" in service:
        spec["traffic"] = [traffic_to_v1(target) for target in service["traffic"]]
    return {"metadata": _metadata_to_v1(service, _SERVICE), "spec": spec}


def job_to_v2(job: Json) -> Json:
    """A v1 Job's metadata and spec as the body of v2."""
    spec = _message(job, "spec", "")
    _only(spec, ("template",), "spec")
    result = _metadata_to_v2(job.get("metadata", {}), _JOB, (), "metadata")
    template = _message(spec, "template", "spec.")
    _only(template, ("metadata", "spec"), "spec.template")
    metadata = template.get("metadata", {})
    execution = _message(template, "spec", "spec.template.")
    where = "spec.template.spec"
    _only(execution, ("taskCount", "parallelism", "template"), where)
    task = _message(_message(execution, "template", f"{where}."), "spec", f"{where}.template.")
    where = f"{where}.template.spec"
    _only(task, ("containers", "volumes", "maxRetries", "timeoutSeconds", "serviceAccountName"), where)
    changed = _containers_to_v2(task, metadata.get("annotations", {}), where)
    _copy(task, changed, {"maxRetries": "maxRetries", "serviceAccountName": "serviceAccount"})
    if "timeoutSeconds" in task:
        changed["timeout"] = f"{task['timeoutSeconds']}s"
    wanted = {"template": changed}
    _copy(execution, wanted, {"taskCount": "taskCount", "parallelism": "parallelism"})
    more = _metadata_to_v2(metadata, _EXECUTION_TEMPLATE, (_CLOUD_SQL, _SECRETS), "spec.template.metadata")
    changed |= more.pop("template", {})
    result["template"] = {**more, **wanted}
    return result


def job_to_v1(job: Json) -> Json:
    """The inverse of `job_to_v2`."""
    return {
        "metadata": _metadata_to_v1(job, _JOB),
        "spec": {"template": execution_to_v1(job["template"])},
    }


def execution_to_v1(template: Json) -> Json:
    """``{"metadata", "spec"}`` of an execution's template; executions carry the same fields."""
    task = template["template"]
    spec, annotations = _containers_to_v1(task)
    _copy(task, spec, {"maxRetries": "maxRetries", "serviceAccount": "serviceAccountName"})
    if "timeout" in task:
        spec["timeoutSeconds"] = task["timeout"].removesuffix("s")
    metadata = _metadata_to_v1(template, _EXECUTION_TEMPLATE, annotations)
    result: Json = {"template": {"spec": spec}}
    _copy(template, result, {"taskCount": "taskCount", "parallelism": "parallelism"})
    return {"metadata": metadata, "spec": result}


def revision_to_v2(template: Json) -> Json:
    """A v1 RevisionTemplate as v2's."""
    metadata, where = template.get("metadata", {}), "spec.template"
    spec = _message(template, "spec", f"{where}.")
    _only(
        spec,
        ("containers", "volumes", "containerConcurrency", "timeoutSeconds", "serviceAccountName"),
        f"{where}.spec",
    )
    own = (_CLOUD_SQL, _SECRETS, _THROTTLING, _BOOST, _DEPENDENCIES)
    result = _metadata_to_v2(metadata, _REVISION_TEMPLATE, own, f"{where}.metadata")
    annotations = metadata.get("annotations", {})
    result |= _containers_to_v2(spec, annotations, f"{where}.spec")
    for container in result["containers"]:
        resources = container.setdefault("resources", {})
        if annotations.get(_THROTTLING) != "false":
            resources["cpuIdle"] = True
        if annotations.get(_BOOST) == "true":
            resources["startupCpuBoost"] = True
    dependencies = _dependencies(annotations, f"{where}.metadata")
    for container in result["containers"]:
        if needed := dependencies.get(container.get("name", "")):
            container["dependsOn"] = needed
    if metadata.get("name"):
        result["revision"] = metadata["name"]
    if spec.get("containerConcurrency"):
        result["maxInstanceRequestConcurrency"] = spec["containerConcurrency"]
    if "timeoutSeconds" in spec:
        result["timeout"] = f"{spec['timeoutSeconds']}s"
    _copy(spec, result, {"serviceAccountName": "serviceAccount"})
    return result


def _dependencies(annotations: Json, where: str) -> dict[str, list[str]]:
    """Which containers start before which, by their names: an annotation of v1."""
    try:
        found = json.loads(annotations.get(_DEPENDENCIES, "{}"))
        return {str(name): [str(one) for one in needed] for name, needed in found.items()}
    except (ValueError, AttributeError, TypeError):
        raise invalid_argument(
            f"{where}.annotations[{_DEPENDENCIES}]: must be an object of lists.", field=f"{where}.annotations"
        ) from None


def revision_to_v1(template: Json) -> Json:
    """The inverse; a revision of v2 has the same fields as the template it was made of."""
    spec, annotations = _containers_to_v1(template)
    resources = template["containers"][0].get("resources", {})
    if not resources.get("cpuIdle"):
        annotations[_THROTTLING] = "false"
    if resources.get("startupCpuBoost"):
        annotations[_BOOST] = "true"
    if needed := {
        one.get("name", ""): one["dependsOn"] for one in template["containers"] if one.get("dependsOn")
    }:
        annotations[_DEPENDENCIES] = json.dumps(needed, separators=(",", ":"))
    metadata = _metadata_to_v1(template, _REVISION_TEMPLATE, annotations)
    if template.get("revision"):
        metadata["name"] = template["revision"]
    _copy(
        template,
        spec,
        {"maxInstanceRequestConcurrency": "containerConcurrency", "serviceAccount": "serviceAccountName"},
    )
    if "timeout" in template:
        spec["timeoutSeconds"] = int(template["timeout"].removesuffix("s"))
    return {"metadata": metadata, "spec": spec}


def wants_new_revision(service: Json) -> bool:
    """Whether the client asks for a revision although the template may be the old one: gcloud labels it with a nonce."""
    return _NONCE in service["spec"]["template"].get("metadata", {}).get("labels", {})


def traffic_to_v2(target: Json) -> Json:
    """A v1 TrafficTarget as v2's."""
    result: Json = (
        {"type": _REVISION, "revision": target["revisionName"]}
        if target.get("revisionName")
        else {"type": _LATEST}
    )
    if target.get("latestRevision") and target.get("revisionName"):
        raise invalid_argument(
            "spec.traffic: revisionName and latestRevision: true exclude each other.", field="spec.traffic"
        )
    _copy(target, result, {"percent": "percent", "tag": "tag"})
    return result


def traffic_to_v1(target: Json) -> Json:
    """The inverse of `traffic_to_v2`."""
    result: Json = (
        {"revisionName": target["revision"]} if target.get("revision") else {"latestRevision": True}
    )
    _copy(target, result, {"percent": "percent", "tag": "tag"})
    return result


def overrides_to_v2(overrides: Json) -> Json:
    """The overrides of one run of a job."""
    _only(overrides, ("containerOverrides", "taskCount", "timeoutSeconds"), "overrides")
    result: Json = {}
    _copy(overrides, result, {"taskCount": "taskCount"})
    if overrides.get("timeoutSeconds"):
        result["timeout"] = f"{overrides['timeoutSeconds']}s"
    for override in overrides.get("containerOverrides", ()):
        changed = dict(override)
        if "env" in override:
            changed["env"] = [
                _env_to_v2(entry, {}, "overrides.containerOverrides.env") for entry in override["env"]
            ]
        result.setdefault("containerOverrides", []).append(changed)
    return result


# -------------------------------------------------------------------- metadata


def _metadata_to_v2(
    metadata: Json, fields: Iterable[_Annotation], handled: tuple[str, ...], where: str
) -> Json:
    """Labels, plain annotations, and the fields that v1 keeps in annotations. ``handled`` are read by the caller."""
    result: Json = {}
    known = {field.name: field for field in fields}
    for name, text in metadata.get("annotations", {}).items():
        if field := known.get(name):
            try:
                _put(result, field.path, field.read(text))
            except (KeyError, ValueError):
                raise invalid_argument(
                    f"{where}.annotations[{name}]: Invalid value: '{text}'.", field=f"{where}.annotations"
                ) from None
        elif name in handled or name in _OUTPUT_ONLY:
            continue
        elif name.partition("/")[0].endswith(_SYSTEM):
            raise failed_precondition(
                f"gcp-emulator does not emulate the annotation {name} ({where}) of Cloud Run; nothing was done."
            )
        else:
            result.setdefault("annotations", {})[name] = text
    labels = {key: text for key, text in metadata.get("labels", {}).items() if key not in _OUTPUT_ONLY}
    if labels:
        result["labels"] = labels
    return result


def _metadata_to_v1(message: Json, fields: Iterable[_Annotation], more: Json | None = None) -> Json:
    annotations: Json = {**message.get("annotations", {}), **(more or {})}
    for field in fields:
        value = _get(message, field.path)
        if value not in (None, "", [], False) and (field is not _LAUNCH_STAGE or value != "GA"):
            annotations[field.name] = field.write(value)
    result: Json = {}
    if annotations:
        result["annotations"] = annotations
    if message.get("labels"):
        result["labels"] = dict(message["labels"])
    return result


def _put(message: Json, path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    for parent in parents:
        message = message.setdefault(parent, {})
    message[leaf] = value


def _get(message: Json, path: str) -> Any:
    value: Any = message
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


# -------------------------------------------------------------------- containers and volumes

_PROBE = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "failureThreshold",
    "httpGet",
    "tcpSocket",
    "grpc",
)
_GCSFUSE = "gcsfuse.run.googleapis.com"
_SAME = ("name", "image", "command", "args", "workingDir")
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def _containers_to_v2(spec: Json, annotations: Json, where: str) -> Json:
    """``containers`` and ``volumes`` of v2, those that v1 hides in annotations included."""
    aliases = dict(
        part.strip().split(":", 1) for part in annotations.get(_SECRETS, "").split(",") if ":" in part
    )
    containers = [
        _container_to_v2(container, aliases, f"{where}.containers[{index}]")
        for index, container in enumerate(spec.get("containers", ()))
    ]
    if not containers:
        raise invalid_argument(
            f"{where}.containers: must contain exactly one container.", field=f"{where}.containers"
        )
    volumes = [
        _volume_to_v2(volume, aliases, f"{where}.volumes[{index}]")
        for index, volume in enumerate(spec.get("volumes", ()))
    ]
    if instances := [part.strip() for part in annotations.get(_CLOUD_SQL, "").split(",") if part.strip()]:
        volumes.append({"name": "cloudsql", "cloudSqlInstance": {"instances": instances}})
        containers[0].setdefault("volumeMounts", []).append({"name": "cloudsql", "mountPath": "/cloudsql"})
    result: Json = {"containers": containers}
    if volumes:
        result["volumes"] = volumes
    return result


def _containers_to_v1(template: Json) -> tuple[Json, Json]:
    """The inverse: the v1 spec and the annotations that belong to it."""
    secrets: dict[str, str] = {}
    instances: list[str] = []
    sql: set[str] = set()
    volumes: list[Json] = []
    for volume in template.get("volumes", ()):
        if "cloudSqlInstance" in volume:
            sql.add(volume["name"])
            instances += volume["cloudSqlInstance"].get("instances", [])
        else:
            volumes.append(_volume_to_v1(volume, secrets))
    spec: Json = {"containers": [_container_to_v1(one, secrets, sql) for one in template["containers"]]}
    if volumes:
        spec["volumes"] = volumes
    annotations: Json = {}
    if instances:
        annotations[_CLOUD_SQL] = ",".join(instances)
    if secrets:
        annotations[_SECRETS] = ",".join(f"{alias}:{name}" for alias, name in sorted(secrets.items()))
    return spec, annotations


def _container_to_v2(container: Json, aliases: Json, where: str) -> Json:
    _only(container, (*_SAME, *_PROBES, "env", "ports", "resources", "volumeMounts"), where)
    result = {name: container[name] for name in _SAME if name in container}
    if "env" in container:
        result["env"] = [_env_to_v2(entry, aliases, f"{where}.env") for entry in container["env"]]
    if "ports" in container:
        result["ports"] = [
            {key: port[key] for key in ("name", "containerPort") if key in port}
            for port in container["ports"]
        ]
    if limits := container.get("resources", {}).get("limits"):
        _only(container["resources"], ("limits",), f"{where}.resources")
        result["resources"] = {"limits": limits}
    if "volumeMounts" in container:
        result["volumeMounts"] = [dict(mount) for mount in container["volumeMounts"]]
        for index, mount in enumerate(container["volumeMounts"]):
            _only(mount, ("name", "mountPath"), f"{where}.volumeMounts[{index}]")
    for name in _PROBES:
        if name in container:
            _only(container[name], (*_PROBE, "successThreshold"), f"{where}.{name}")
            result[name] = {key: value for key, value in container[name].items() if key in _PROBE}
    return result


def _container_to_v1(container: Json, secrets: dict[str, str], sql: set[str]) -> Json:
    result = {name: container[name] for name in (*_SAME, *_PROBES, "ports") if name in container}
    if "env" in container:
        result["env"] = [_env_to_v1(entry, secrets) for entry in container["env"]]
    if limits := container.get("resources", {}).get("limits"):
        result["resources"] = {"limits": limits}
    if mounts := [mount for mount in container.get("volumeMounts", ()) if mount["name"] not in sql]:
        result["volumeMounts"] = mounts
    return result


def _env_to_v2(entry: Json, aliases: Json, where: str) -> Json:
    source = entry.get("valueFrom")
    if source is None:
        return dict(entry)
    _only(source, ("secretKeyRef",), f"{where}.valueFrom")
    reference = source.get("secretKeyRef", {})
    name = reference.get("name", "")
    wanted = {"secret": aliases.get(name, name), "version": reference.get("key", "")}
    return {"name": entry.get("name", ""), "valueSource": {"secretKeyRef": wanted}}


def _env_to_v1(entry: Json, secrets: dict[str, str]) -> Json:
    reference = entry.get("valueSource", {}).get("secretKeyRef")
    if reference is None:
        return dict(entry)
    wanted = {"name": _alias(reference["secret"], secrets), "key": reference["version"]}
    return {"name": entry["name"], "valueFrom": {"secretKeyRef": wanted}}


def _volume_to_v2(volume: Json, aliases: Json, where: str) -> Json:
    _only(volume, ("name", "secret", "emptyDir", "nfs", "csi"), where)
    result: Json = {"name": volume.get("name", "")}
    if "secret" in volume:
        source = volume["secret"]
        _only(source, ("secretName", "items", "defaultMode"), f"{where}.secret")
        name = source.get("secretName", "")
        result["secret"] = {"secret": aliases.get(name, name)}
        _copy(source, result["secret"], {"defaultMode": "defaultMode"})
        if "items" in source:
            result["secret"]["items"] = [_renamed(item, "key", "version") for item in source["items"]]
    if "emptyDir" in volume:
        result["emptyDir"] = dict(volume["emptyDir"])
        if "medium" in result["emptyDir"]:
            result["emptyDir"]["medium"] = result["emptyDir"]["medium"].upper()
    if "nfs" in volume:
        result["nfs"] = dict(volume["nfs"])
    if "csi" in volume:
        result["gcs"] = _bucket_to_v2(volume["csi"], f"{where}.csi")
    return result


def _bucket_to_v2(source: Json, where: str) -> Json:
    """A bucket of Cloud Storage (https://cloud.google.com/run/docs/configuring/services/cloud-storage-volume-mounts, YAML)."""
    if source.get("driver") != _GCSFUSE:
        raise invalid_argument(f"{where}.driver: must be '{_GCSFUSE}'.", field=f"{where}.driver")
    attributes = source.get("volumeAttributes", {})
    _only(attributes, ("bucketName", "mountOptions"), f"{where}.volumeAttributes")
    result: Json = {"bucket": attributes.get("bucketName", "")}
    if options := [part for part in attributes.get("mountOptions", "").split(",") if part]:
        result["mountOptions"] = options
    _copy(source, result, {"readOnly": "readOnly"})
    return result


def _volume_to_v1(volume: Json, secrets: dict[str, str]) -> Json:
    result: Json = {"name": volume["name"]}
    if source := volume.get("secret"):
        result["secret"] = {"secretName": _alias(source["secret"], secrets)}
        _copy(source, result["secret"], {"defaultMode": "defaultMode"})
        if "items" in source:
            result["secret"]["items"] = [_renamed(item, "version", "key") for item in source["items"]]
    if "emptyDir" in volume:
        result["emptyDir"] = dict(volume["emptyDir"])
        if "medium" in result["emptyDir"]:
            result["emptyDir"]["medium"] = result["emptyDir"]["medium"].capitalize()
    if "nfs" in volume:
        result["nfs"] = dict(volume["nfs"])
    if source := volume.get("gcs"):
        attributes = {"bucketName": source.get("bucket", "")}
        if source.get("mountOptions"):
            attributes["mountOptions"] = ",".join(source["mountOptions"])
        result["csi"] = {"driver": _GCSFUSE, "volumeAttributes": attributes}
        _copy(source, result["csi"], {"readOnly": "readOnly"})
    return result


def _alias(secret: str, secrets: dict[str, str]) -> str:
    """v1 names secrets of other projects by an alias, which an annotation explains."""
    if "/" not in secret:
        return secret
    alias = "secret-" + hashlib.sha256(secret.encode()).hexdigest()[:12]
    secrets[alias] = secret
    return alias


# -------------------------------------------------------------------- helpers


def _renamed(message: Json, old: str, new: str) -> Json:
    return {new if key == old else key: value for key, value in message.items()}


def _copy(source: Json, target: Json, names: dict[str, str]) -> None:
    for old, new in names.items():
        if old in source:
            target[new] = source[old]


def _message(parent: Json, name: str, where: str) -> Json:
    found: Json | None = parent.get(name)
    if not found:
        raise invalid_argument(f"{where}{name}: must be set.", field=f"{where}{name}")
    return found


def _only(message: Json, known: tuple[str, ...], where: str) -> None:
    """Refuse what is set but not emulated, rather than answer 200 for it."""
    unknown = [
        name for name in message if name not in known and message[name] not in ("", [], {}, False, None)
    ]
    if unknown:
        fields = ", ".join(f"{where}.{name}" for name in unknown)
        raise failed_precondition(f"gcp-emulator does not emulate {fields} of Cloud Run; nothing was done.")
