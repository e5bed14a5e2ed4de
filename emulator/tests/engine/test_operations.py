"""Operations: deferred, finished, failed, abandoned."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from gcp_emulator.engine.errors import ApiError, failed_precondition
from gcp_emulator.engine.operations import Operations, Profile, Span
from gcp_emulator.engine.store import Store

NAME = "projects/p/operations/1"
KEY = "secretmanager.projects.secrets.create"


async def _finished(operations: Operations, name: str = NAME) -> dict[str, Any]:
    deadline = time.monotonic() + 5
    while not (operation := operations.get(name)).get("done"):
        assert time.monotonic() < deadline, "the operation does not end"
        await asyncio.sleep(0.005)
    return operation


async def _answer() -> dict[str, Any]:
    return {"@type": "type.googleapis.com/x.Y", "value": 1}


def test_an_operation_is_never_done_at_once() -> None:
    async def run() -> None:
        operations = Operations(Store(None), Profile())
        first = operations.start(NAME, _answer(), key=KEY, metadata={"step": 1})
        assert first == {"name": NAME, "done": False, "metadata": {"step": 1}}
        await asyncio.sleep(0)
        assert operations.get(NAME)["done"] is False
        assert await _finished(operations) == {
            "name": NAME,
            "done": True,
            "metadata": {"step": 1},
            "response": {"@type": "type.googleapis.com/x.Y", "value": 1},
        }

    asyncio.run(run())


def test_a_failure_is_stored_as_an_rpc_status() -> None:
    async def fail() -> dict[str, Any]:
        raise failed_precondition("not now")

    async def break_down() -> dict[str, Any]:
        raise ZeroDivisionError("oops")

    async def run() -> None:
        operations = Operations(Store(None), Profile())
        operations.start(NAME, fail(), key=KEY)
        operations.start(NAME + "2", break_down(), key=KEY)
        assert (await _finished(operations))["error"] == {"code": 9, "message": "not now"}
        assert (await _finished(operations, NAME + "2"))["error"] == {
            "code": 13,
            "message": "An internal error has occurred (ZeroDivisionError: oops)",
        }

    asyncio.run(run())


def test_the_realistic_profile_takes_the_seconds_of_the_facts_times_its_scale() -> None:
    realistic = Profile("realistic", 0.5)
    assert realistic.seconds("sql.instances.insert") == 120
    assert realistic.seconds("something.else") == 1
    assert Profile().seconds("sql.instances.insert") < 0.1


def test_an_operation_takes_as_long_as_its_profile_says() -> None:
    async def run() -> float:
        operations = Operations(Store(None), Profile("realistic", 0.1))
        begun = time.monotonic()
        operations.start(NAME, _answer(), key="something.else")
        await _finished(operations)
        return time.monotonic() - begun

    assert asyncio.run(run()) >= 0.2


def test_what_a_stop_interrupts_ends_in_an_error() -> None:
    async def forever() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def run() -> dict[str, Any]:
        operations = Operations(Store(None), Profile())
        operations.start(NAME, forever(), key=KEY)
        await asyncio.sleep(0)
        await operations.stop()
        return operations.get(NAME)

    assert asyncio.run(run())["error"] == {
        "code": 10,
        "message": "The emulator was stopped while the operation ran.",
    }


def test_what_a_killed_emulator_left_open_ends_in_an_error() -> None:
    store = Store(None)
    store.collection("operations").put(NAME, {"name": NAME, "done": False})
    operations = Operations(store, Profile())
    operations.abandon_unfinished()
    assert operations.get(NAME)["error"]["code"] == 10


def test_unknown_operations_are_not_found() -> None:
    operations = Operations(Store(None), Profile())
    with pytest.raises(ApiError, match="Operation 'operations/none' not found"):
        operations.get("operations/none")
    assert operations.list("projects/p") == []


def test_what_took_time_is_told_by_project() -> None:
    async def fail() -> dict[str, Any]:
        raise failed_precondition("not now")

    async def run() -> None:
        operations = Operations(Store(None), Profile())
        operations.start(NAME, _answer(), key=KEY, metadata={"name": "projects/p/secrets/s"})
        operations.start("operations/acat.p2-12-x", fail(), key=KEY)
        operations.note("projects/12/builds/b", Span("build", "web", "2026-01-01T00:00:00Z"))
        await _finished(operations)
        await _finished(operations, "operations/acat.p2-12-x")
        own, build, usage = sorted(operations.spans("p", "12"), key=lambda span: span.state)
        assert (own.method, own.target, own.state, own.message) == (KEY, "s", "done", "")
        assert (build.state, build.message) == ("failed", "not now")
        assert (usage.target, usage.state, usage.ended) == ("web", "running", None)
        assert own.ended is not None
        assert operations.spans("other", "13") == ()

    asyncio.run(run())
