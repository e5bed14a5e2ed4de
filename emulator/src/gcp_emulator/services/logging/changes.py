"""Changes of Cloud Logging that take time: links to BigQuery, and buckets that are made or changed asynchronously.

What is changed is stored at once; the operation says so a little later. Recorded: logginglink-basic.
"""

from __future__ import annotations

from typing import Literal

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.faults import fallible
from gcp_emulator.engine.operations import finish_long_running, operation_name
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.engine.tables import Table
from gcp_emulator.services.logging.tables import BUCKETS, LINKS

_TYPE = "type.googleapis.com/google.logging.v2."
_EMPTY = {"@type": "type.googleapis.com/google.protobuf.Empty"}
_PARENTS = ("projects.", "folders.", "organizations.", "billingAccounts.", "")


def _methods(method: str) -> list[str]:
    return [f"logging.{parent}locations.{method}" for parent in _PARENTS]


class Changes:
    """The methods that answer an operation, and the operations."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @handles(*_methods("buckets.links.create"))
    async def create_link(self, call: Call) -> Json:
        request = {"parent": call.params["parent"], "linkId": call.params.get("linkId", "")}
        return await self._change(LINKS, "create", call, "Link", {"createLinkRequest": request})

    @handles(*_methods("buckets.links.delete"))
    async def delete_link(self, call: Call) -> Json:
        request = {"name": call.params["name"]}
        return await self._change(LINKS, "delete", call, "Link", {"deleteLinkRequest": request})

    @handles(*_methods("buckets.createAsync"))
    async def create_bucket(self, call: Call) -> Json:
        request = {"parent": call.params["parent"], "bucketId": call.params.get("bucketId", "")}
        metadata = {"createBucketRequest": request | {"bucket": call.body}}
        return await self._change(BUCKETS, "create", call, "LogBucket", metadata)

    @handles(*_methods("buckets.updateAsync"))
    async def update_bucket(self, call: Call) -> Json:
        request = {"name": call.params["name"], "bucket": call.body}
        if mask := call.params.get("updateMask"):
            request["updateMask"] = mask
        return await self._change(BUCKETS, "patch", call, "LogBucket", {"updateBucketRequest": request})

    @handles(*_methods("operations.get"))
    async def get_operation(self, call: Call) -> Json:
        return self._context.operations.get(call.params["name"])

    @handles(*_methods("operations.list"))
    async def list_operations(self, call: Call) -> Json:
        return call.page(self._context.operations.list(call.params["name"] + "/operations/"), "operations")

    async def _change(
        self,
        table: Table,
        verb: Literal["create", "patch", "delete"],
        call: Call,
        kind: Literal["Link", "LogBucket"],
        metadata: Json,
    ) -> Json:
        """Makes the change as the table does, and answers the operation."""
        view = await table.answer(verb, call)
        response = {"@type": _TYPE + kind, **view} if view else _EMPTY

        async def work() -> Json:
            return response

        place = str(call.params.get("parent") or call.params["name"]).split("/buckets/")[0]
        name = operation_name(place)
        operation: Json = {
            "name": self._public(name),
            "metadata": {
                "@type": f"{_TYPE}{'Link' if kind == 'Link' else 'Bucket'}Metadata",
                "startTime": clock.timestamp(),
                "state": "OPERATION_STATE_SCHEDULED",
                **metadata,
            },
        }
        stored = self._context.store.collection("operations")
        self._context.operations.launch(
            stored, name, operation, fallible(work()), key=call.method.id, finish=_finish
        )
        return operation

    def _public(self, name: str) -> str:
        """Operations of projects are named by the number of the project."""
        kind, given, *rest = name.split("/")
        return "/".join((kind, self._context.projects.number(given), *rest)) if kind == "projects" else name


def _finish(operation: Json, result: Json | None, error: ApiError | None) -> Json:
    state = "OPERATION_STATE_FAILED" if error else "OPERATION_STATE_SUCCEEDED"
    operation["metadata"] |= {"endTime": clock.timestamp(), "state": state}
    return finish_long_running(operation, result, error)
