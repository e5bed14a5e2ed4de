"""Resources of Cloud Run as Admin API v1 shows them: Kubernetes' metadata, conditions and lists around what v2 stores.

Sources: the discovery document run.v1 (field descriptions); names of labels and annotations as gcloud 528 reads them.
"""

from __future__ import annotations

import json
import re

from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.services.run import v1_spec
from gcp_emulator.services.run.names import Name, short

SERVING = "serving.knative.dev/v1"
RUN = "run.googleapis.com/v1"
_STATUS = {"CONDITION_SUCCEEDED": "True", "CONDITION_FAILED": "False"}
_REASONS = ("reason", "revisionReason", "executionReason")
_REQUIREMENT = re.compile(
    r"\s*(?P<key>[\w./-]+)\s*(?:(?P<not>!)?==?\s*(?P<value>[\w.-]*)|(?P<in>in|notin)\s*\((?P<values>[^)]*)\))\s*"
)


def service(view: Json, number: str) -> Json:
    """A Service. ``view`` is v2's, ``number`` the project's, which is the namespace."""
    projected = v1_spec.service_to_v1(view)
    annotations = {
        "serving.knative.dev/creator": view["creator"],
        "serving.knative.dev/lastModifier": view["lastModifier"],
        "run.googleapis.com/ingress-status": projected["metadata"]["annotations"][
            "run.googleapis.com/ingress"
        ],
        "run.googleapis.com/urls": json.dumps(view.get("urls", []), separators=(",", ":")),
    }
    latest = short(view.get("latestReadyRevision", ""))
    status: Json = {
        "observedGeneration": int(view["observedGeneration"]),
        "conditions": _conditions(view),
        "traffic": [_routed(target, latest) for target in view.get("trafficStatuses", ())],
    }
    if "uri" in view:
        status |= {"url": view["uri"], "address": {"url": view["uri"]}}
    for field in ("latestCreatedRevision", "latestReadyRevision"):
        if field in view:
            status[f"{field}Name"] = short(view[field])
    return _resource(SERVING, "Service", view, number, projected, annotations, {}, status)


def revision(view: Json, number: str, *, active: bool) -> Json:
    """A Revision; ``active`` says whether traffic or a tag reaches it."""
    projected = v1_spec.revision_to_v1(view)
    owner = Name.of(view["name"]).id
    labels = dict.fromkeys(("serving.knative.dev/configuration", "serving.knative.dev/service"), owner)
    ready = _condition(view["conditions"][0])
    reach: Json = {
        "type": "Active",
        "status": str(active),
        "lastTransitionTime": view["updateTime"],
        "severity": "Info",
    }
    if not active:
        reach |= {"reason": "Retired", "message": "Revision retired."}
    status: Json = {
        "observedGeneration": int(view.get("observedGeneration", "0")),
        "conditions": [ready, reach],
        "logUrl": view["logUri"],
        "serviceName": owner,
    }
    if containers := view.get("containerStatuses"):
        status |= {"containerStatuses": containers, "imageDigest": containers[0]["imageDigest"]}
    annotations = {"serving.knative.dev/creator": view["creator"]}
    return _resource(SERVING, "Revision", view, number, projected, annotations, labels, status)


def job(view: Json, number: str) -> Json:
    """A Job."""
    projected = v1_spec.job_to_v1(view)
    status: Json = {
        "observedGeneration": int(view["observedGeneration"]),
        "conditions": _conditions(view),
        "executionCount": view["executionCount"],
    }
    if latest := view.get("latestCreatedExecution"):
        names = {
            "createTime": "creationTimestamp",
            "completionTime": "completionTimestamp",
        }
        status["latestCreatedExecution"] = {names.get(key, key): value for key, value in latest.items()}
    return _resource(RUN, "Job", view, number, projected, _people(view), {}, status)


def execution(view: Json, number: str) -> Json:
    """An Execution."""
    projected = v1_spec.execution_to_v1(view)
    status: Json = {
        "observedGeneration": int(view["observedGeneration"]),
        "conditions": _conditions(view),
    }
    for field in (
        "runningCount", "succeededCount", "failedCount", "cancelledCount", "retriedCount", "startTime", "completionTime", "logUri",
    ):  # fmt: skip
        if view.get(field):
            status[field] = view[field]
    labels = {"run.googleapis.com/job": view["job"]}
    return _resource(RUN, "Execution", view, number, projected, _people(view), labels, status)


def task(view: Json, number: str) -> Json:
    """A Task."""
    template = v1_spec.execution_to_v1({"template": view})
    projected = {"metadata": template["metadata"], "spec": template["spec"]["template"]["spec"]}
    outcome = view["conditions"][0]["state"]
    states = {"CONDITION_SUCCEEDED": "Succeeded", "CONDITION_FAILED": "Failed"}
    labels = {
        "run.googleapis.com/job": view["job"],
        "run.googleapis.com/execution": view["execution"],
        "run.googleapis.com/runningState": states.get(
            outcome, "Running" if "startTime" in view else "Pending"
        ),
    }
    status: Json = {
        "observedGeneration": int(view["observedGeneration"]),
        "conditions": _conditions(view),
        "index": view["index"],
    }
    for field in ("retried", "startTime", "completionTime", "lastAttemptResult", "logUri"):
        if view.get(field):
            status[field] = view[field]
    return _resource(RUN, "Task", view, number, projected, {}, labels, status)


def selected(items: list[Json], selector: str) -> list[Json]:
    """The items whose labels fulfil a ``labelSelector``. INVALID_ARGUMENT when it is none.

    Source: "Labels and Selectors" of Kubernetes' documentation (equality and set based, joined by commas).
    """
    position = 0
    while position < len(selector):
        found = _REQUIREMENT.match(selector, position)
        if found is None or selector[found.end() : found.end() + 1] not in ("", ","):
            raise invalid_argument(f"labelSelector: cannot be read: '{selector}'.", field="labelSelector")
        values = found["values"] if found["in"] else found["value"]
        wanted = {part.strip() for part in values.split(",")}
        unwanted = bool(found["not"]) or found["in"] == "notin"
        key = found["key"]
        items = [item for item in items if (item["metadata"]["labels"].get(key) in wanted) != unwanted]
        position = found.end() + 1
    return items


def _resource(
    api: str,
    kind: str,
    view: Json,
    number: str,
    projected: Json,
    annotations: Json,
    labels: Json,
    status: Json,
) -> Json:
    name = short(view["name"])
    region = Name.of(view["name"]).region
    own = projected["metadata"]
    metadata: Json = {
        "name": name,
        "namespace": number,
        "selfLink": f"/apis/{api}/namespaces/{number}/{kind.lower()}s/{name}",
        "uid": view["uid"],
        "resourceVersion": view["etag"].strip('"'),
        "generation": int(view["generation"]),
        "creationTimestamp": view["createTime"],
        "labels": {**own.get("labels", {}), **labels, "cloud.googleapis.com/location": region},
        "annotations": {**own.get("annotations", {}), **annotations},
    }
    if "deleteTime" in view:
        metadata["deletionTimestamp"] = view["deleteTime"]
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": metadata,
        "spec": projected["spec"],
        "status": status,
    }


def _people(view: Json) -> Json:
    annotations = {"run.googleapis.com/creator": view["creator"]}
    if "lastModifier" in view:
        annotations["run.googleapis.com/lastModifier"] = view["lastModifier"]
    return annotations


def _routed(target: Json, latest: str) -> Json:
    """A traffic target of a status: v1 names the revision that "latest" is."""
    result = v1_spec.traffic_to_v1(target)
    if "latestRevision" in result:
        result["revisionName"] = latest
    if "uri" in target:
        result["url"] = target["uri"]
    return result


def _conditions(view: Json) -> list[Json]:
    """The outcome first. What is only validated has none yet."""
    first = [view["terminalCondition"]] if "terminalCondition" in view else []
    return [_condition(one) for one in (*first, *view.get("conditions", ()))]


def _condition(condition: Json) -> Json:
    result: Json = {
        "type": condition["type"],
        "status": _STATUS.get(condition["state"], "Unknown"),
        "lastTransitionTime": condition["lastTransitionTime"],
    }
    if "message" in condition:
        result["message"] = condition["message"]
    for field in _REASONS:
        if field in condition:
            result["reason"] = "".join(part.capitalize() for part in condition[field].split("_"))
    return result
