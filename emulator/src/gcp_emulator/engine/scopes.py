"""Operations of a zone, of a region, or of the whole project: the form of Compute Engine and of what is made like it.

Sources: https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations, regionOperations and globalOperations (fields;
``wait`` returns after two minutes at the latest, done or not).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json, not_found
from gcp_emulator.engine.operations import Operations
from gcp_emulator.engine.store import Collection

#: How long ``wait`` waits at the longest.
WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Scope:
    """Where an operation belongs. ``place`` is the zone or the region."""

    project: str
    kind: Literal["zones", "regions", "global"] = "global"
    place: str = ""

    @classmethod
    def of(cls, params: Json) -> Scope:
        """The scope that the path parameters of a call name: ``zone``, ``region``, or neither."""
        if "zone" in params:
            return cls(params["project"], "zones", params["zone"])
        if "region" in params:
            return cls(params["project"], "regions", params["region"])
        return cls(params["project"])

    @property
    def path(self) -> str:
        """``projects/P/zones/Z``, ``projects/P/regions/R`` or ``projects/P/global``."""
        return f"projects/{self.project}/{self.kind}" + (f"/{self.place}" if self.place else "")


class ScopedOperations:
    """The operations of one API. ``link_to`` makes the link of a path (``https://www.googleapis.com/compute/v1/projects/...``)."""

    def __init__(
        self, operations: Operations, collection: Collection, link_to: Callable[[str], str], kind: str
    ) -> None:
        """``kind`` is that of an operation (``compute#operation``)."""
        self._operations = operations
        self._collection = collection
        self._link_to = link_to
        self._kind = kind
        operations.adopt(collection, lambda operation: operation["status"] == "DONE", self._finish)

    def start(
        self,
        scope: Scope,
        verb: str,
        target: str,
        work: Coroutine[Any, Any, Json],
        *,
        key: str,
        user: str,
        target_id: str = "",
    ) -> Json:
        """Starts ``work`` as an operation ``verb`` (``insert``) on the resource ``target``, a path of the API, and returns its first
        view. What ``work`` returns is merged into the operation (``{"warnings": ...}``)."""
        full, operation = self._new(scope, verb, target, user, target_id)
        self._operations.launch(
            self._collection,
            full,
            operation,
            work,
            key=key,
            finish=self._finish,
            target=target.rpartition("/")[2],
        )
        return operation

    def done(
        self, scope: Scope, verb: str, target: str, *, user: str, target_id: str = "", progress: int = 100
    ) -> Json:
        """An operation as :meth:`start` begins one, of work that is done already."""
        full, operation = self._new(scope, verb, target, user, target_id)
        operation |= {"status": "DONE", "progress": progress, "endTime": clock.timestamp()}
        self._collection.put(full, operation)
        return operation

    def _new(self, scope: Scope, verb: str, target: str, user: str, target_id: str) -> tuple[str, Json]:
        """The full name of a new operation, and the operation."""
        name = f"operation-{time.time_ns() // 10**6}-{'-'.join(secrets.token_hex(n) for n in (7, 4, 4))}"
        operation: Json = {
            "kind": self._kind,
            "id": str(secrets.randbits(62)),
            "name": name,
            "operationType": verb,
            "targetLink": self._link_to(target),
            "selfLink": self._link_to(f"{scope.path}/operations/{name}"),
            "user": user,
            "status": "RUNNING",
            "progress": 0,
            "insertTime": clock.timestamp(),
            "startTime": clock.timestamp(),
        }
        if target_id:
            operation["targetId"] = target_id
        if scope.place:
            operation[scope.kind.removesuffix("s")] = self._link_to(scope.path)
        return f"{scope.path}/operations/{name}", operation

    def get(self, scope: Scope, name: str) -> Json:
        """The operation; ApiError NOT_FOUND, also for one of another scope."""
        operation = self._collection.get(f"{scope.path}/operations/{name}")
        if operation is None:
            resource = f"{scope.path}/operations/{name}"
            raise not_found(f"The resource '{resource}' was not found", reason="notFound")
        return operation

    def list(self, scope: Scope) -> list[Json]:
        """The operations of a scope, by name."""
        return [operation for _, operation in self._collection.items(f"{scope.path}/operations/")]

    def delete(self, scope: Scope, name: str) -> None:
        """Forgets an operation; ApiError NOT_FOUND."""
        self.get(scope, name)
        self._collection.delete(f"{scope.path}/operations/{name}")

    async def wait(self, scope: Scope, name: str) -> Json:
        """The operation when it is done, or as it is after two minutes; ApiError NOT_FOUND."""
        self.get(scope, name)
        await self._operations.wait(f"{scope.path}/operations/{name}", WAIT_SECONDS)
        return self.get(scope, name)

    @staticmethod
    def _finish(operation: Json, result: Json | None, error: ApiError | None) -> Json:
        operation |= {"status": "DONE", "progress": 100, "endTime": clock.timestamp()}
        if error is None:
            return operation | (result or {})
        return operation | {
            "error": {"errors": [{"code": error.status, "message": error.message}]},
            "httpErrorStatusCode": error.code,
            "httpErrorMessage": error.status.replace("_", " "),
        }
