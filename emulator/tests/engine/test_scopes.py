"""Zonal, regional and global operations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gcp_emulator.engine import scopes
from gcp_emulator.engine.errors import ApiError, failed_precondition
from gcp_emulator.engine.operations import Operations, Profile
from gcp_emulator.engine.scopes import Scope, ScopedOperations
from gcp_emulator.engine.store import Store

BASE = "https://www.googleapis.com/compute/v1"
ZONE = Scope("p", "zones", "us-central1-a")
TARGET = "projects/p/zones/us-central1-a/instances/vm"


def _make(store: Store) -> tuple[Operations, ScopedOperations]:
    operations = Operations(store, Profile())
    return operations, ScopedOperations(
        operations, store.collection("compute.operations"), lambda path: f"{BASE}/{path}", "compute#operation"
    )


async def _done() -> dict[str, Any]:
    return {"targetId": "7"}


@pytest.mark.parametrize(
    ("params", "path", "field"),
    [
        ({"project": "p", "zone": "us-central1-a"}, "projects/p/zones/us-central1-a", "zone"),
        ({"project": "p", "region": "us-central1"}, "projects/p/regions/us-central1", "region"),
        ({"project": "p"}, "projects/p/global", None),
    ],
)
def test_an_operation_says_where_it_belongs(params: dict[str, str], path: str, field: str | None) -> None:
    async def run() -> None:
        operations, scoped = _make(Store(None))
        scope = Scope.of(params)
        begun = scoped.start(scope, "insert", TARGET, _done(), key="k", user="ann@example.com")
        assert begun["status"] == "RUNNING"
        assert begun["selfLink"] == f"{BASE}/{path}/operations/{begun['name']}"
        assert {name for name in ("zone", "region") if name in begun} == ({field} if field else set())
        if field:
            assert begun[field] == f"{BASE}/{path}"
        ended = await scoped.wait(scope, begun["name"])
        assert (ended["status"], ended["progress"], ended["targetId"]) == ("DONE", 100, "7")
        assert scoped.list(scope) == [ended]
        (span,) = operations.spans("p", "1")
        assert (span.target, span.state) == ("vm", "done")

    asyncio.run(run())


def test_a_failure_has_code_message_and_http_status() -> None:
    async def fail() -> dict[str, Any]:
        raise failed_precondition("not now")

    async def run() -> None:
        _, scoped = _make(Store(None))
        begun = scoped.start(ZONE, "insert", TARGET, fail(), key="k", user="u")
        ended = await scoped.wait(ZONE, begun["name"])
        assert ended["error"] == {"errors": [{"code": "FAILED_PRECONDITION", "message": "not now"}]}
        assert (ended["httpErrorStatusCode"], ended["httpErrorMessage"]) == (400, "FAILED PRECONDITION")

    asyncio.run(run())


def test_another_scope_does_not_know_it() -> None:
    async def run() -> None:
        _, scoped = _make(Store(None))
        name = scoped.start(ZONE, "insert", TARGET, _done(), key="k", user="u")["name"]
        with pytest.raises(
            ApiError, match=f"The resource 'projects/p/global/operations/{name}' was not found"
        ):
            scoped.get(Scope("p"), name)
        await scoped.wait(ZONE, name)
        scoped.delete(ZONE, name)
        assert scoped.list(ZONE) == []

    asyncio.run(run())


def test_waiting_ends_with_an_operation_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scopes, "WAIT_SECONDS", 0.01)

    async def hang() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def run() -> None:
        operations, scoped = _make(Store(None))
        name = scoped.start(ZONE, "insert", TARGET, hang(), key="k", user="u")["name"]
        assert (await scoped.wait(ZONE, name))["status"] == "RUNNING"
        await operations.stop()
        assert scoped.get(ZONE, name)["error"]["errors"][0]["code"] == "ABORTED"

    asyncio.run(run())


def test_what_a_killed_emulator_left_open_ends_at_the_start() -> None:
    store = Store(None)
    full = f"{ZONE.path}/operations/o"
    store.collection("compute.operations").put(full, {"name": "o", "status": "RUNNING"})
    operations, scoped = _make(store)
    operations.abandon_unfinished()
    assert scoped.get(ZONE, "o")["status"] == "DONE"
    assert (
        scoped.get(ZONE, "o")["error"]["errors"][0]["message"]
        == "The emulator was stopped while the operation ran."
    )


def test_an_operation_may_be_done_when_it_is_answered() -> None:
    operations, scoped = _make(Store(None))
    begun = scoped.done(ZONE, "setLabels", TARGET, user="ann@example.com", target_id="7")
    assert (begun["status"], begun["progress"], begun["targetId"]) == ("DONE", 100, "7")
    assert scoped.get(ZONE, begun["name"]) == begun
    assert operations.spans("p", "1") == ()
