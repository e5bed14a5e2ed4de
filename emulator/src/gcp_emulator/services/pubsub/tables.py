"""Schemas, topics, subscriptions and snapshots, as they are stored. No message passes through them.

Source: https://cloud.google.com/pubsub/docs/reference/rest (fields and defaults), https://cloud.google.com/pubsub/docs/pubsub-basics
(names). The texts of errors are those that client libraries' users quote.
"""

from __future__ import annotations

import datetime
import secrets

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.engine.labels import label_problem
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.tables import Table

_ID = r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
_MISSING = "Resource not found (resource={id})."
_TAKEN = "Resource already exists in the project (resource={id})."
#: What a subscription names when its topic is deleted.
DELETED_TOPIC = "_deleted-topic_"
_EXPORTS = {"bigqueryConfig", "bigtableConfig", "cloudStorageConfig"}
_SNAPSHOT_LIFE = datetime.timedelta(days=7)


def _complete_schema(call: Call, name: str, schema: Json) -> Json:
    return schema | {"revisionId": secrets.token_hex(4), "revisionCreateTime": clock.timestamp()}


def _show_schema(call: Call, name: str, schema: Json) -> Json:
    """A list tells the definitions only where it is asked to, get unless it is asked not to."""
    verb = call.method.id.rpartition(".")[2]
    view = call.params.get("view") or "SCHEMA_VIEW_UNSPECIFIED"
    is_basic = view == "BASIC" or (verb == "list" and view != "FULL")
    return {key: value for key, value in schema.items() if key != "definition" or not is_basic}


def _check_labels(resource: Json) -> None:
    if problem := label_problem(resource.get("labels", {})):
        # The words around it: https://github.com/terraform-linters/tflint-ruleset-google/issues/413.
        raise invalid_argument(
            f"You have passed an invalid argument to the service (argument=Invalid labels: {problem})."
        )


def _complete_topic(call: Call, name: str, topic: Json) -> Json:
    _check_labels(topic)
    if schema := topic.get("schemaSettings", {}).get("schema"):
        SCHEMAS.require(call.context, call.context.projects.canonical(schema))
    # What takes nothing in from elsewhere has no state.
    return topic | {"state": "ACTIVE"} if topic.get("ingestionDataSourceSettings") else topic


def _complete_subscription(call: Call, name: str, subscription: Json) -> Json:
    _check_labels(subscription)
    if SUBSCRIPTIONS.find(call.context, name) is None:
        TOPICS.require(call.context, subscription["topic"])
        call.require("pubsub.topics.attachSubscription", subscription["topic"])
    _complete_policies(subscription)
    for export in _EXPORTS & set(subscription):
        subscription[export]["state"] = "ACTIVE"
    if files := subscription.get("cloudStorageConfig"):
        _complete_files(subscription, files)
    return subscription | {"state": "ACTIVE"}


def _complete_policies(subscription: Json) -> None:
    """Policies that are given are whole, and a deadline of 0 is the usual one."""
    if "retryPolicy" in subscription:
        backoff = {"minimumBackoff": "10s", "maximumBackoff": "600s"}
        subscription["retryPolicy"] = backoff | subscription["retryPolicy"]
    if "deadLetterPolicy" in subscription:
        attempts = subscription["deadLetterPolicy"].setdefault("maxDeliveryAttempts", 5)
        if not 5 <= attempts <= 100:
            raise invalid_argument("The maximum number of delivery attempts has to be between 5 and 100.")
    subscription["ackDeadlineSeconds"] = subscription.get("ackDeadlineSeconds") or 10
    if not 10 <= subscription["ackDeadlineSeconds"] <= 600:
        raise invalid_argument(
            f"Invalid ack deadline given: (ack_deadline={subscription['ackDeadlineSeconds']})."
        )


def _complete_files(subscription: Json, files: Json) -> None:
    """What is written to Cloud Storage is text unless something is said of Avro, and nobody has to acknowledge before it is."""
    if not files.get("avroConfig"):
        files.pop("avroConfig", None)
        files.setdefault("textConfig", {})
    seconds = float(files.get("maxDuration", "0s").removesuffix("s"))
    subscription["ackDeadlineSeconds"] = max(subscription["ackDeadlineSeconds"], int(seconds))


def _show_subscription(call: Call, name: str, subscription: Json) -> Json:
    """Only what answers a change tells the attributes that are pushed."""
    verb = call.method.id.rpartition(".")[2]
    push = dict(subscription.get("pushConfig", {}))
    attributes = push.pop("attributes", {})
    if verb == "patch" or (verb == "create" and "pushEndpoint" in push):
        attributes = {"x-goog-version": "v1", **attributes}
    if attributes and verb in ("create", "patch"):
        push["attributes"] = attributes
    return subscription | {"pushConfig": push}


def _complete_snapshot(call: Call, name: str, snapshot: Json) -> Json:
    _check_labels(snapshot)
    if SNAPSHOTS.find(call.context, name) is not None:
        return snapshot
    source = SUBSCRIPTIONS.require(call.context, call.body.get("subscription", ""))
    call.require("pubsub.subscriptions.consume", call.body["subscription"])
    return snapshot | {"topic": source["topic"], "expireTime": clock.timestamp(clock.now() + _SNAPSHOT_LIFE)}


SCHEMAS = Table(
    message=("pubsub", "v1", "Schema"),
    methods=("pubsub.projects.schemas",),
    id=_ID,
    bad_id="Invalid [schemas] name: (name={name})",
    id_from="query:schemaId",
    required=("type", "definition"),
    times=(),
    complete=_complete_schema,
    show=_show_schema,
    # The whole name, where the others say the last part of it.
    missing="Resource not found (resource={name}).",
    taken=_TAKEN,
)
TOPICS = Table(
    message=("pubsub", "v1", "Topic"),
    methods=("pubsub.projects.topics",),
    id=_ID,
    bad_id="Invalid [topics] name: (name={name})",
    id_from="path",
    name="topic",
    wrapped={"patch": "topic"},
    times=(),
    complete=_complete_topic,
    missing=_MISSING,
    taken=_TAKEN,
)
SUBSCRIPTIONS = Table(
    message=("pubsub", "v1", "Subscription"),
    methods=("pubsub.projects.subscriptions",),
    id=_ID,
    bad_id="Invalid [subscriptions] name: (name={name})",
    id_from="path",
    name="subscription",
    wrapped={"patch": "subscription"},
    required=("topic",),
    immutable=frozenset({"topic", "filter", "enableMessageOrdering"}),
    defaults={
        "ackDeadlineSeconds": 10,
        "expirationPolicy": {"ttl": "2678400s"},
        "messageRetentionDuration": "604800s",
        "pushConfig": {},
    },
    times=(),
    complete=_complete_subscription,
    show=_show_subscription,
    missing=_MISSING,
    taken=_TAKEN,
)
SNAPSHOTS = Table(
    message=("pubsub", "v1", "Snapshot"),
    methods=("pubsub.projects.snapshots",),
    id=_ID,
    bad_id="Invalid [snapshots] name: (name={name})",
    id_from="path",
    name="snapshot",
    wrapped={"patch": "snapshot"},
    immutable=frozenset({"topic"}),
    times=(),
    complete=_complete_snapshot,
    missing=_MISSING,
    taken=_TAKEN,
)
TABLES = (SCHEMAS, TOPICS, SUBSCRIPTIONS, SNAPSHOTS)
