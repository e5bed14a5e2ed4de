"""What services and jobs of Cloud Run share: records, operations, etags.

A record is {"spec": what was asked for with defaults, "status": what Google adds, ...}.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json, not_found
from gcp_emulator.engine.operations import operation_name
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.store import Collection
from gcp_emulator.services.run import templates
from gcp_emulator.services.run.names import TYPE, Name, check_region, condition


def internal_error(error: Exception) -> str:
    """What a condition says of a defect of the emulator, so that nothing stays "reconciling" for ever."""
    return (
        f"An internal error has occurred ({type(error).__name__}: {error}; this is a defect of the emulator)."
    )


def view(name: str, record: Json) -> Json:
    """The resource as the API shows it."""
    return {"name": name, **record["spec"], **record["status"]}


def found(collection: Collection, name: str) -> Json:
    """The record, or NOT_FOUND as in the conversations that the facts name."""
    record = collection.get(name)
    if record is None:
        raise not_found(f'{name.split("/")[-2].removesuffix("s")} "{name}" not found')
    return record


def of_location(collection: Collection, parent: str, kind: str) -> list[tuple[str, Json]]:
    """The records of one location, or of every location of the project (``locations/-``)."""
    if parent.endswith("/locations/-"):
        return list(collection.items(parent.removesuffix("-")))
    return list(collection.items(f"{parent}/{kind}/"))


def new_name(call: Call, kind: str, parameter: str) -> Name:
    """The name of a resource to be made, its id and region checked."""
    templates.check_name(call.params[parameter], f"{parameter[:-2]}_id")
    name = Name.of(f"{call.params['parent']}/{kind}/{call.params[parameter]}")
    check_region(name.region)
    return name


def check_etag(given: str | None, name: str, record: Json) -> None:
    """ABORTED when an etag was given and is not the current one."""
    if given and given != record["status"]["etag"]:
        raise templates.conflict(name, given, record["status"]["etag"])


def born(call: Call) -> Json:
    """The status fields of a new resource."""
    now = clock.timestamp()
    email = call.caller.email
    return {
        "uid": clock.new_id(), "generation": "0", "observedGeneration": "0", "createTime": now, "updateTime": now,
        "creator": email, "lastModifier": email, "etag": clock.new_etag(),
    }  # fmt: skip


def touch(status: Json, call: Call | None = None, *, generation: bool = False) -> None:
    """A change: new etag and time, and with ``generation`` a new generation that waits to be observed."""
    status["etag"] = clock.new_etag()
    status["updateTime"] = clock.timestamp()
    if call is not None:
        status["lastModifier"] = call.caller.email
    if generation:
        status["generation"] = str(int(status["generation"]) + 1)


def operate(
    call: Call,
    name: Name,
    kind: str,
    view: Json,
    work: Coroutine[Any, Any, Json],
    *,
    settled: Callable[[], Json | None] = lambda: None,
) -> Json:
    """A long-running operation about a resource (``kind`` is its message's name); in the end its metadata are what ``settled`` tells."""

    async def answer() -> Json:
        return {"@type": f"{TYPE}{kind}", **await work}

    def ended() -> Json | None:
        now = settled()
        return None if now is None else {"@type": f"{TYPE}{kind}", **now}

    return call.context.operations.start(
        operation_name(name.location),
        answer(),
        key=call.method.id,
        metadata={"@type": f"{TYPE}{kind}", **view},
        ended=ended,
    )


def declare(
    call: Call, name: Name, kind: str, collection: Collection, work: Coroutine[Any, Any, Json]
) -> Json:
    """The operation of a change of what is declared. Its metadata show the resource as it is to be, and in the end as it is.

    That the condition is good from the first answer on: recorded (runjob-minimal, runserviceprobes).
    """

    def now() -> Json | None:
        record = collection.get(str(name))
        return None if record is None else view(str(name), record)

    wanted = {
        **view(str(name), found(collection, str(name))),
        "terminalCondition": condition("Ready", "SUCCEEDED"),
    }
    return operate(call, name, kind, wanted, work, settled=now)


def validated(name: Name, kind: str, view: Json) -> Json:
    """The answer to ``validateOnly``: an operation that is done and changed nothing."""
    return {
        "name": operation_name(name.location), "done": True, "metadata": {"@type": f"{TYPE}{kind}", **view},
        "response": {"@type": f"{TYPE}{kind}", **view},
    }  # fmt: skip


def page_of(call: Call, key: str, found: list[Json]) -> Json:
    """A page of a list, the newest first as Cloud Run lists revisions, executions and tasks."""
    return call.page(sorted(found, key=lambda one: str(one["createTime"]), reverse=True), key)
