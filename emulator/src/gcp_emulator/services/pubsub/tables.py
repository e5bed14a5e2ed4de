"""Topics, subscriptions and snapshots, as they are stored. No message passes through them.

Source: https://cloud.google.com/pubsub/docs/reference/rest (fields and defaults), https://cloud.google.com/pubsub/docs/pubsub-basics
(names). The texts of errors are those that client libraries' users quote.
"""

from __future__ import annotations

import datetime

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.tables import Table

_ID = r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
_MISSING = "Resource not found (resource={id})."
_TAKEN = "Resource already exists in the project (resource={id})."
#: What a subscription names when its topic is deleted.
DELETED_TOPIC = "_deleted-topic_"
_EXPORTS = {"bigqueryConfig", "bigtableConfig", "cloudStorageConfig"}
_SNAPSHOT_LIFE = datetime.timedelta(days=7)


def _complete_topic(call: Call, name: str, topic: Json) -> Json:
    # What takes nothing in from elsewhere has no state.
    return topic | {"state": "ACTIVE"} if topic.get("ingestionDataSourceSettings") else topic


def _complete_subscription(call: Call, name: str, subscription: Json) -> Json:
    if SUBSCRIPTIONS.find(call.context, name) is None:
        TOPICS.require(call.context, subscription["topic"])
        call.require("pubsub.topics.attachSubscription", subscription["topic"])
    for export in _EXPORTS & set(subscription):
        subscription[export]["state"] = "ACTIVE"
    if files := subscription.get("cloudStorageConfig"):
        _complete_files(subscription, files)
    return subscription | {"state": "ACTIVE"}


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
    if SNAPSHOTS.find(call.context, name) is not None:
        return snapshot
    source = SUBSCRIPTIONS.require(call.context, call.body.get("subscription", ""))
    call.require("pubsub.subscriptions.consume", call.body["subscription"])
    return snapshot | {"topic": source["topic"], "expireTime": clock.timestamp(clock.now() + _SNAPSHOT_LIFE)}


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
TABLES = (TOPICS, SUBSCRIPTIONS, SNAPSHOTS)
