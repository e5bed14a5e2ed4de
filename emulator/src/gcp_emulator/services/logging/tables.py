"""What Cloud Logging only stores: sinks, metrics, exclusions, buckets and their views. Nothing is routed or counted.

Source: https://cloud.google.com/logging/docs/reference/v2/rest (fields), and the pages "Log buckets" and "Route logs" for what
every project has from the beginning. The permissions are in facts.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, failed_precondition
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.tables import Table

_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
_AUDIT = ("activity", "system_event", "access_transparency")
_REQUIRED = " OR ".join(
    f'LOG_ID("{kind}.googleapis.com/{log}")' for log in _AUDIT for kind in ("cloudaudit", "externalaudit")
)
_OLD_WRITER = "serviceAccount:cloud-logs@system.gserviceaccount.com"


def _project_sinks(context: Context, parent: str) -> Mapping[str, Json]:
    filters = {"_Required": _REQUIRED, "_Default": f"NOT {_REQUIRED.replace(' OR ', ' AND NOT ')}"}
    return {
        f"{parent}/sinks/{name}": {
            "destination": f"logging.googleapis.com/{parent}/locations/global/buckets/{name}",
            "filter": text,
        }
        for name, text in filters.items()
    }


def _complete_sink(call: Call, name: str, sink: Json) -> Json:
    if name.endswith("/sinks/_Required"):
        raise failed_precondition("The _Required sink cannot be modified.")
    number = call.context.projects.number(name.split("/")[1])
    own = f"serviceAccount:service-{number}@gcp-sa-logging.iam.gserviceaccount.com"
    if not sink["destination"].startswith(f"logging.googleapis.com/projects/{name.split('/')[1]}/"):
        keeps = sink.get("writerIdentity") == own
        sink["writerIdentity"] = own if keeps or call.params.get("uniqueWriterIdentity") else _OLD_WRITER
    return sink | {"resourceName": name}


def _complete_metric(call: Call, name: str, metric: Json) -> Json:
    parent, given = METRICS.split(name)
    kind = f"logging.googleapis.com/user/{given}"
    defaults = {"metricKind": "DELTA", "valueType": "INT64", "unit": "1"}
    own = {
        "name": f"{parent}/metricDescriptors/{kind}",
        "type": kind,
        "description": metric.get("description", ""),
    }
    descriptor = defaults | metric.get("metricDescriptor", {}) | own
    return metric | {"metricDescriptor": descriptor, "resourceName": f"{parent}/metrics/{given}"}


def _project_buckets(context: Context, parent: str) -> Mapping[str, Json]:
    project, _, location = parent.partition("/locations/")
    if location not in ("global", "-"):
        return {}
    return {
        f"{project}/locations/global/buckets/{name}": {"lifecycleState": "ACTIVE", **fields}
        for name, fields in (
            ("_Default", {"retentionDays": 30}),
            ("_Required", {"retentionDays": 400, "locked": True}),
        )
    }


def _complete_bucket(call: Call, name: str, bucket: Json) -> Json:
    current = BUCKETS.find(call.context, name) or {}
    if name.endswith("/buckets/_Required"):
        raise failed_precondition("The _Required bucket cannot be modified.")
    if current.get("locked") and bucket.get("retentionDays") != current.get("retentionDays"):
        raise failed_precondition("The retention period of a locked bucket cannot be changed.")
    return {"lifecycleState": "ACTIVE", **bucket, "retentionDays": bucket.get("retentionDays") or 30}


def _request_deletion(call: Call, name: str, bucket: Json) -> Json:
    if name.rpartition("/")[2] in ("_Default", "_Required"):
        raise failed_precondition(f"The {name.rpartition('/')[2]} bucket cannot be deleted.")
    return bucket | {"lifecycleState": "DELETE_REQUESTED"}


def _bucket_views(context: Context, parent: str) -> Mapping[str, Json]:
    views = {f"{parent}/views/_AllLogs": {"filter": ""}}
    if parent.endswith("/buckets/_Default"):
        views[f"{parent}/views/_Default"] = {"filter": f"NOT {_REQUIRED.replace(' OR ', ' AND NOT ')}"}
    return views


SINKS = Table(
    message=("logging", "v2", "LogSink"),
    methods=("logging.projects.sinks",),
    id=_ID,
    name="sinkName",
    short_name=True,
    required=("destination",),
    replaced=frozenset({"destination", "filter", "includeChildren"}),
    given=_project_sinks,
    complete=_complete_sink,
    missing="Sink {id} does not exist",
    taken="Sink already exists.",
)
METRICS = Table(
    message=("logging", "v2", "LogMetric"),
    methods=("logging.projects.metrics",),
    id=r"[A-Za-z0-9_.,+!*'()%-][A-Za-z0-9_.,+!*'()%/-]{0,99}",
    name="metricName",
    short_name=True,
    required=("filter",),
    upsert=True,
    complete=_complete_metric,
    missing="Metric {id} does not exist.",
    taken="Metric already exists.",
)
EXCLUSIONS = Table(
    message=("logging", "v2", "LogExclusion"),
    methods=("logging.projects.exclusions",),
    id=_ID,
    short_name=True,
    required=("filter",),
    missing="Exclusion {name} does not exist",
    taken="Exclusion already exists.",
)
BUCKETS = Table(
    message=("logging", "v2", "LogBucket"),
    methods=("logging.projects.locations.buckets",),
    id=_ID,
    id_from="query:bucketId",
    given=_project_buckets,
    complete=_complete_bucket,
    deleted=_request_deletion,
    missing="Bucket `{id}` in location `{locations}` does not exist",
    taken="Bucket already exists.",
)
VIEWS = Table(
    message=("logging", "v2", "LogView"),
    methods=("logging.projects.locations.buckets.views",),
    id=_ID,
    id_from="query:viewId",
    within=BUCKETS,
    given=_bucket_views,
    missing="View `{id}` does not exist",
    taken="View already exists.",
)
TABLES = (SINKS, METRICS, EXCLUSIONS, BUCKETS, VIEWS)
