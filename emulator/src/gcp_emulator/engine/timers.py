"""What is to happen at a time: kept in the store, so that a restart forgets none, and what fell due meanwhile happens at the start."""

from __future__ import annotations

import asyncio
import datetime
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.store import Store
from gcp_emulator.front.tasks import Tasks

log = logging.getLogger(__name__)

Work = Callable[[str, Json], Awaitable[None]]
"""Does what a timer is for, given its name and body."""


class Timers:
    """Timers by kind and name. Each goes off once; its work may set it again under the same name.

    A timer is kept until its work has ended: one that a stop interrupts goes off again at the next start.
    """

    def __init__(self, store: Store) -> None:
        self._timers = store.collection("timers")
        self._works: dict[str, Work] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._running = Tasks()
        self._started = False

    def handle(self, kind: str, work: Work) -> None:
        """Says what happens when timers of this kind go off: before the start, as services are made."""
        self._works[kind] = work

    def set(self, kind: str, name: str, due: datetime.datetime, body: Json | None = None) -> None:
        """Sets a timer, or sets it anew. KeyError for a kind that nothing handles."""
        self._works[kind]
        self._timers.put(f"{kind}/{name}", {"due": clock.timestamp(due), "body": body or {}})
        self._arm(f"{kind}/{name}")

    def cancel(self, kind: str, name: str) -> bool:
        """Removes a timer; False when there was none. Work that has begun goes on."""
        if handle := self._waiting.pop(f"{kind}/{name}", None):
            handle.cancel()
        return self._timers.delete(f"{kind}/{name}")

    def due(self, kind: str, name: str) -> datetime.datetime | None:
        """When a timer goes off, None when there is none."""
        record = self._timers.get(f"{kind}/{name}")
        return None if record is None else clock.parse_timestamp(record["due"])

    def start(self) -> None:
        """Lets every timer run, also those of an earlier emulator; those of kinds that nothing handles any more wait."""
        self._started = True
        for key in self._timers.names():
            if key.partition("/")[0] in self._works:
                self._arm(key)

    async def stop(self) -> None:
        """Stops the timers, which stay in the store, and ends the work that they began."""
        self._started = False
        for handle in self._waiting.values():
            handle.cancel()
        self._waiting.clear()
        await self._running.stop()

    def _arm(self, key: str) -> None:
        if handle := self._waiting.pop(key, None):
            handle.cancel()
        record = self._timers.get(key)
        if not self._started or record is None:
            return
        left = (clock.parse_timestamp(record["due"]) - clock.now()).total_seconds()
        self._waiting[key] = asyncio.get_running_loop().call_later(max(0.0, left), self._go_off, key, record)

    def _go_off(self, key: str, record: Json) -> None:
        del self._waiting[key]
        self._running.start(self._work(key, record))

    async def _work(self, key: str, record: dict[str, Any]) -> None:
        kind, _, name = key.partition("/")
        try:
            await self._works[kind](name, record["body"])
        except Exception:
            log.error("the timer %s failed: %s", key, traceback.format_exc())
        if self._timers.get(key) == record:
            self._timers.delete(key)
