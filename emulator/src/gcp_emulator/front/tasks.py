"""Tasks and connections that end with whoever began them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

ConnectionHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""Serves one accepted connection; whoever accepted it closes it."""


class Tasks:
    """Runs coroutines; :meth:`stop`, or leaving it as a context manager, cancels those that still run.

    Unlike `asyncio.TaskGroup` it outlives its tasks, and one that fails ends no other: its error is its own.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._stopped = False

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs ``work``; after the stop it is cancelled before its first step."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if self._stopped:
            task.cancel()
        return task

    @property
    def running(self) -> frozenset[asyncio.Task[Any]]:
        """Those that have not ended."""
        return frozenset(self._running)

    async def stop(self) -> None:
        """Cancels the tasks and waits for their ends; the one that calls this goes on. May be called again."""
        self._stopped = True
        # Again, because a task that is being cancelled may start another.
        while others := self._running - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class Connections(Tasks):
    """The connections of a server. `asyncio.Server` leaves those that it has accepted open (before Python 3.13), and lets
    their handlers outlive it."""

    def __init__(self, handler: ConnectionHandler) -> None:
        super().__init__()
        self._handler = handler

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Has a connection served, and closes it in the end: the callback of `asyncio.start_server`."""
        # Not in a coroutine's finally: one that is cancelled before its first step has none.
        self.start(self._handler(reader, writer)).add_done_callback(lambda _: writer.close())
