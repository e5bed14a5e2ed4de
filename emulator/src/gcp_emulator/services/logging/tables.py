"""What Cloud Logging only stores: sinks, metrics, exclusions, buckets, their views and links. Nothing is routed, counted or queried.

Of projects, folders, organisations and billing accounts. Source: https://cloud.google.com/logging/docs/reference/v2/rest (fields), and the
pages "Log buckets" and "Route logs" for what each has from the beginning. The permissions are in facts.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, failed_precondition, invalid_argument
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.tables import Table

#: Days, and indexed fields: https://cloud.google.com/logging/quotas.
_MAX_RETENTION, _MAX_INDEXES = 3650, 20
_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
_AUDIT = ("activity", "system_event", "access_transparency")
_REQUIRED = " OR ".join(
    f'LOG_ID("{kind}.googleapis.com/{log}")' for log in _AUDIT for kind in ("cloudaudit", "externalaudit")
)
_OLD_WRITER = "serviceAccount:cloud-logs@system.gserviceaccount.com"
#: The agents of folders and organisations: https://docs.cloud.google.com/iam/docs/service-agents; of billing accounts: assumed.
_AGENTS = {"folders": "folder", "organizations": "org", "billingAccounts": "billing"}
#: What methods of resources that others than projects have, too, begin with; the last spelling is of any parent.
_PARENTS = (
    "logging.projects.",
    "logging.folders.",
    "logging.organizations.",
    "logging.billingAccounts.",
    "logging.",
)


def _of_every_parent(kind: str) -> tuple[str, ...]:
    return tuple(prefix + kind for prefix in _PARENTS)


def _given_sinks(context: Context, parent: str) -> Mapping[str, Json]:
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
    kind, given = name.split("/")[:2]
    if sink.get("includeChildren") and kind in ("projects", "billingAccounts"):
        raise invalid_argument(
            "The include_children field can be set on sinks of organizations and folders only.",
            field="sink.include_children",
        )
    number = f"{_AGENTS[kind]}-{given}" if kind in _AGENTS else call.context.projects.number(given)
    own = f"serviceAccount:service-{number}@gcp-sa-logging.iam.gserviceaccount.com"
    if not sink["destination"].startswith(f"logging.googleapis.com/{kind}/{given}/"):
        unique = (
            kind in _AGENTS or call.params.get("uniqueWriterIdentity") or sink.get("writerIdentity") == own
        )
        chosen = call.params.get("customWriterIdentity")
        sink["writerIdentity"] = chosen or (own if unique else _OLD_WRITER)
    # https://cloud.google.com/logging/docs/reference/v2/rest/v2/BigQueryOptions: so it is in all new sinks.
    if sink.get("bigqueryOptions", {}).get("usePartitionedTables"):
        sink["bigqueryOptions"] |= {"usesTimestampColumnPartitioning": True}
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
    asked = metric.get("metricDescriptor", {})
    if len(asked.get("labels", [])) != len(metric.get("labelExtractors", {})):
        # https://github.com/chainguard-dev/terraform-infra-common/pull/470
        raise invalid_argument("Number of label descriptors must match number of label extractors")
    # https://github.com/GoogleCloudPlatform/k8s-config-connector/blob/master/mockgcp/mocklogging/logmetric.go: these are not given back.
    descriptor = defaults | {key: asked[key] for key in asked if key not in ("metadata", "launchStage")} | own
    return metric | {"metricDescriptor": descriptor, "resourceName": f"{parent}/metrics/{given}"}


def _given_buckets(context: Context, parent: str) -> Mapping[str, Json]:
    owner, _, location = parent.partition("/locations/")
    if location not in ("global", "-"):
        return {}
    return {
        f"{owner}/locations/global/buckets/{name}": {"lifecycleState": "ACTIVE", **fields}
        for name, fields in (
            ("_Default", {"description": "Default bucket", "retentionDays": 30}),
            ("_Required", {"description": "Audit bucket", "retentionDays": 400, "locked": True}),
        )
    }


def _complete_bucket(call: Call, name: str, bucket: Json) -> Json:
    current = BUCKETS.find(call.context, name) or {}
    if name.endswith("/buckets/_Required"):
        raise failed_precondition("The _Required bucket cannot be modified.")
    if current.get("locked") and bucket.get("retentionDays") != current.get("retentionDays"):
        raise failed_precondition("The retention period of a locked bucket cannot be changed.")
    if current.get("analyticsEnabled") and not bucket.get("analyticsEnabled"):
        raise failed_precondition("Log Analytics cannot be disabled once it is enabled on a bucket.")
    days = bucket.get("retentionDays") or 30
    if not 1 <= days <= _MAX_RETENTION:
        raise invalid_argument(
            f"The retention period must be between 1 and {_MAX_RETENTION} days.",
            field="bucket.retention_days",
        )
    paths = [index.get("fieldPath") for index in bucket.get("indexConfigs", [])]
    if len(paths) > _MAX_INDEXES or len(paths) != len(set(paths)):
        raise invalid_argument(
            f"A bucket has at most {_MAX_INDEXES} indexes, each of another field.",
            field="bucket.index_configs",
        )
    made = {index["fieldPath"]: index for index in current.get("indexConfigs", [])}
    for index in bucket.get("indexConfigs", []):
        index["createTime"] = made.get(index["fieldPath"], {}).get("createTime") or clock.timestamp()
    return {"lifecycleState": "ACTIVE", **bucket, "retentionDays": days}


def _request_deletion(call: Call, name: str, bucket: Json) -> Json:
    if name.rpartition("/")[2] in ("_Default", "_Required"):
        raise failed_precondition(f"The {name.rpartition('/')[2]} bucket cannot be deleted.")
    return bucket | {"lifecycleState": "DELETE_REQUESTED"}


def _complete_link(call: Call, name: str, link: Json) -> Json:
    bucket = BUCKETS.require(call.context, name.rpartition("/links/")[0])
    if not bucket.get("analyticsEnabled"):
        raise failed_precondition("Links can be created on buckets with Log Analytics enabled only.")
    owner, given = name.split("/locations/")[0], name.rpartition("/")[2]
    dataset = f"bigquery.googleapis.com/{owner}/datasets/{given}"
    return link | {"lifecycleState": "ACTIVE", "bigqueryDataset": {"datasetId": dataset}}


def _bucket_views(context: Context, parent: str) -> Mapping[str, Json]:
    views = {f"{parent}/views/_AllLogs": {"filter": ""}}
    if parent.endswith("/buckets/_Default"):
        views[f"{parent}/views/_Default"] = {"filter": f"NOT {_REQUIRED.replace(' OR ', ' AND NOT ')}"}
    return views


SINKS = Table(
    message=("logging", "v2", "LogSink"),
    methods=_of_every_parent("sinks"),
    id=_ID,
    name="sinkName",
    short_name=True,
    required=("destination",),
    replaced=frozenset({"destination", "filter", "includeChildren"}),
    given=_given_sinks,
    complete=_complete_sink,
    missing="Sink {id} does not exist",
    taken="Sink {id} already exists",
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
    taken="Metric {id} already exists",
)
EXCLUSIONS = Table(
    message=("logging", "v2", "LogExclusion"),
    methods=_of_every_parent("exclusions"),
    id=_ID,
    required=("filter",),
    missing="Exclusion {name} does not exist",
    taken="Exclusion {id} already exists",
)
BUCKETS = Table(
    message=("logging", "v2", "LogBucket"),
    methods=_of_every_parent("locations.buckets"),
    id=_ID,
    id_from="query:bucketId",
    given=_given_buckets,
    complete=_complete_bucket,
    deleted=_request_deletion,
    missing="Bucket `{id}` in location `{locations}` does not exist",
    taken="Bucket {id} already exists",
)
VIEWS = Table(
    message=("logging", "v2", "LogView"),
    methods=_of_every_parent("locations.buckets.views"),
    id=_ID,
    id_from="query:viewId",
    within=BUCKETS,
    given=_bucket_views,
    missing="View {id} does not exist",
    taken="View {id} already exists",
)
#: BigQuery's datasets are named by them, so a name has no hyphen.
LINKS = Table(
    message=("logging", "v2", "Link"),
    methods=_of_every_parent("locations.buckets.links"),
    id=r"[A-Za-z0-9_]{1,100}",
    id_from="query:linkId",
    within=BUCKETS,
    output_only=frozenset({"bigqueryDataset"}),
    times=("createTime",),
    complete=_complete_link,
    missing="{name} does not exist",
    taken="{name} already exists",
)
LOG_SCOPES = Table(
    message=("logging", "v2", "LogScope"),
    methods=(
        "logging.projects.locations.logScopes",
        "logging.folders.locations.logScopes",
        "logging.organizations.locations.logScopes",
    ),
    id=_ID,
    id_from="query:logScopeId",
    required=("resourceNames",),
    missing="{name} does not exist",
    taken="{name} already exists",
)
TABLES = (SINKS, METRICS, EXCLUSIONS, BUCKETS, VIEWS, LINKS, LOG_SCOPES)
