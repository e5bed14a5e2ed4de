"""Timers: once each, set again by their work, and over a restart."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.engine import clock
from gcp_emulator.engine.store import Store
from gcp_emulator.engine.timers import Timers

SOON = datetime.timedelta(milliseconds=20)
HOUR = datetime.timedelta(hours=1)


class Bell:
    """Remembers what went off."""

    def __init__(self, store: Store) -> None:
        self.rung: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.timers = Timers(store)
        self.timers.handle("bell", self._ring)

    async def _ring(self, name: str, body: dict[str, Any]) -> None:
        await self.rung.put((name, body))

    async def next(self) -> tuple[str, Any]:
        return await asyncio.wait_for(self.rung.get(), 5)


async def _settled(timers: Timers) -> None:
    await asyncio.gather(*timers._running.running)


def test_timers_go_off_in_their_order_and_once() -> None:
    async def run() -> None:
        bell = Bell(Store(None))
        bell.timers.start()
        bell.timers.set("bell", "second", clock.now() + 3 * SOON)
        bell.timers.set("bell", "first", clock.now() + SOON, {"number": 1})
        bell.timers.set("bell", "never", clock.now() + HOUR)
        assert await bell.next() == ("first", {"number": 1})
        assert await bell.next() == ("second", {})
        await _settled(bell.timers)
        assert bell.timers.due("bell", "first") is None
        assert bell.timers.cancel("bell", "never")
        assert not bell.timers.cancel("bell", "never")
        await bell.timers.stop()

    asyncio.run(run())


def test_a_timer_that_is_set_again_goes_off_at_the_new_time() -> None:
    async def run() -> None:
        bell = Bell(Store(None))
        bell.timers.start()
        bell.timers.set("bell", "moved", clock.now() + HOUR, {"try": 1})
        bell.timers.set("bell", "moved", clock.now() + SOON, {"try": 2})
        assert await bell.next() == ("moved", {"try": 2})
        await bell.timers.stop()

    asyncio.run(run())


def test_work_may_set_its_own_timer_again() -> None:
    async def run() -> None:
        timers, begun = Timers(Store(None)), asyncio.Event()
        later = clock.now() + HOUR

        async def again(name: str, body: dict[str, Any]) -> None:
            timers.set("bell", name, later)
            begun.set()

        timers.handle("bell", again)
        timers.start()
        timers.set("bell", "weekly", clock.now())
        await asyncio.wait_for(begun.wait(), 5)
        await _settled(timers)
        assert timers.due("bell", "weekly") == later
        await timers.stop()

    asyncio.run(run())


def test_a_restart_forgets_none_and_catches_up(tmp_path: Path) -> None:
    async def first() -> None:
        store = Store(tmp_path / "store.sqlite")
        bell = Bell(store)
        bell.timers.set("bell", "missed", clock.now() + SOON, {"number": 1})
        bell.timers.set("bell", "later", clock.now() + HOUR)
        await bell.timers.stop()
        store.close()

    async def second() -> None:
        bell = Bell(Store(tmp_path / "store.sqlite"))
        bell.timers.start()
        assert await bell.next() == ("missed", {"number": 1})
        assert bell.timers.due("bell", "later") is not None
        await bell.timers.stop()

    asyncio.run(first())
    asyncio.run(second())


def test_what_a_stop_interrupts_goes_off_again() -> None:
    async def run() -> None:
        store = Store(None)
        timers, begun = Timers(store), asyncio.Event()

        async def hang(name: str, body: dict[str, Any]) -> None:
            begun.set()
            await asyncio.Event().wait()

        timers.handle("bell", hang)
        timers.start()
        timers.set("bell", "x", clock.now())
        await asyncio.wait_for(begun.wait(), 5)
        await timers.stop()
        bell = Bell(store)
        bell.timers.start()
        assert (await bell.next())[0] == "x"
        await bell.timers.stop()

    asyncio.run(run())


def test_a_failure_is_logged_and_ends_the_timer(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        timers, begun = Timers(Store(None)), asyncio.Event()

        async def fail(name: str, body: dict[str, Any]) -> None:
            begun.set()
            raise ZeroDivisionError("oops")

        timers.handle("bell", fail)
        timers.start()
        timers.set("bell", "x", clock.now())
        await asyncio.wait_for(begun.wait(), 5)
        await _settled(timers)
        assert timers.due("bell", "x") is None
        await timers.stop()

    asyncio.run(run())
    assert "the timer bell/x failed" in caplog.text
    assert "ZeroDivisionError: oops" in caplog.text


def test_a_kind_that_nothing_handles_is_refused() -> None:
    with pytest.raises(KeyError, match="none"):
        Timers(Store(None)).set("none", "x", clock.now())
