"""Notifications of buckets are kept and shown; nothing is published.

Source: https://cloud.google.com/storage/docs/json_api/v1/notifications, the recordings that facts.yaml names, and for the texts of errors
https://github.com/googleapis/nodejs-storage/issues/1402 and https://github.com/hashicorp/terraform-provider-google/pull/4354.
"""

from __future__ import annotations

import re

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument, not_found
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.front.messages import Response
from gcp_emulator.services.pubsub.ports import Topics
from gcp_emulator.services.storage.access import Access
from gcp_emulator.services.storage.records import etag

_HOST = "//pubsub.googleapis.com/"
_TOPIC = re.compile(rf"(?:{_HOST})?(projects/[^/]+/topics/[^/]+)")
_FORMATS = ("JSON_API_V1", "NONE")
_EVENTS = ("OBJECT_FINALIZE", "OBJECT_METADATA_UPDATE", "OBJECT_DELETE", "OBJECT_ARCHIVE")
#: Of one bucket (https://cloud.google.com/storage/quotas#buckets).
_MOST = 100


class Notifications:
    """The methods of ``notificationConfigs``."""

    def __init__(self, context: Context, access: Access) -> None:
        self._context = context
        self._notifications = context.store.collection("storage.notifications")
        self._last = context.store.collection("storage.notifications.last")
        self._access = access
        self._topics = context.ports.find(Topics)

    @handles("storage.notifications.insert")
    async def insert(self, call: Call) -> Json:
        name = call.params["bucket"]
        bucket = self._access.require(call.identity, "storage.buckets.update", name)
        topic = self._topic(call.body.get("topic", ""), bucket["project"])
        payload = call.body.get("payload_format")
        if payload not in _FORMATS:
            raise invalid_argument(
                f"Invalid payload format: {payload}", reason="invalid" if payload else "required"
            )
        for event in call.body.get("event_types", []):
            if event not in _EVENTS:
                raise invalid_argument(f"Invalid event type: {event}")
        if len(self._notifications.names(f"{name}/")) >= _MOST:
            raise invalid_argument(f"A bucket can have at most {_MOST} notification configurations.")
        number = int((self._last.get(name) or {}).get("number", 0)) + 1
        self._last.put(name, {"number": number})
        kept = ("custom_attributes", "event_types", "object_name_prefix", "payload_format")
        notification = {
            **{key: call.body[key] for key in kept if call.body.get(key)},
            "topic": f"{_HOST}{topic}",
        }
        self._notifications.put(f"{name}/{number}", notification)
        return _view(name, str(number), notification)

    def _topic(self, given: str, project: str) -> str:
        """The topic of a request, which must be there, and where the bucket's project publishes."""
        found = _TOPIC.fullmatch(given)
        if found is None:
            raise invalid_argument(
                f"Invalid Google Cloud Pub/Sub topic: '{given}'", reason="invalid" if given else "required"
            )
        topic = self._context.projects.canonical(found[1])
        agent = (
            f"service-{self._context.projects.number(project)}@gs-project-accounts.iam.gserviceaccount.com"
        )
        if not self._topics.has_topic(topic):
            raise invalid_argument(
                f"Cloud Pub/Sub topic '{_HOST}{topic}' not found, or user '{agent}' does not have permission to it.'"
            )
        if not self._context.iam.allows(identity_of(agent), "pubsub.topics.publish", topic):
            raise ApiError(
                "PERMISSION_DENIED",
                f"The service account '{agent}' does not have permission to publish messages to to the Cloud Pub/Sub topic "
                f"'{_HOST}{topic}', or that topic does not exist.",
            )
        return topic

    @handles("storage.notifications.get")
    async def get(self, call: Call) -> Json:
        name, number = call.params["bucket"], call.params["notification"]
        self._access.require(call.identity, "storage.buckets.get", name)
        return _view(name, number, self._require(name, number))

    @handles("storage.notifications.list")
    async def list(self, call: Call) -> Json:
        name = call.params["bucket"]
        self._access.require(call.identity, "storage.buckets.get", name)
        found = sorted(
            self._notifications.items(f"{name}/"), key=lambda item: int(item[0].rpartition("/")[2])
        )
        items = [_view(name, full.rpartition("/")[2], one) for full, one in found]
        return {"kind": "storage#notifications", **({"items": items} if items else {})}

    @handles("storage.notifications.delete")
    async def delete(self, call: Call) -> Response:
        name, number = call.params["bucket"], call.params["notification"]
        self._access.require(call.identity, "storage.buckets.update", name)
        self._require(name, number)
        self._notifications.delete(f"{name}/{number}")
        return Response(204)

    def forget(self, bucket: str) -> None:
        """They go with their bucket."""
        for full in self._notifications.names(f"{bucket}/"):
            self._notifications.delete(full)
        self._last.delete(bucket)

    def _require(self, bucket: str, number: str) -> Json:
        found = self._notifications.get(f"{bucket}/{number}")
        if found is None:
            raise not_found("Not Found")
        return found


def _view(bucket: str, number: str, notification: Json) -> Json:
    return {
        "kind": "storage#notification",
        "id": number,
        "selfLink": f"https://www.googleapis.com/storage/v1/b/{bucket}/notificationConfigs/{number}",
        "etag": etag(int(number)),
        **notification,
    }
