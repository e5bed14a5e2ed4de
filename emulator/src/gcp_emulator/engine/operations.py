"""Operations that take time, by profile, and end in a result or an error.

``instant`` still defers completion by one short delay, so that a poller that never polls is noticed.
``realistic`` takes the seconds of the APIs' facts times a scale.
"""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from gcp_emulator.engine import clock, faults
from gcp_emulator.engine.errors import ApiError, Json, not_found
from gcp_emulator.engine.facts import apis, load_facts
from gcp_emulator.engine.store import Collection, Store

log = logging.getLogger(__name__)

ProfileName = Literal["instant", "realistic"]
IsDone = Callable[[Json], bool]
#: Turns (stored operation, result | None, error | None) into the stored operation of a finished one.
Finish = Callable[[Json, Json | None, ApiError | None], Json]

_INSTANT_SECONDS = 0.02
#: Of the realistic profile, where no facts say how long.
_DEFAULT_SECONDS = 2.0


@dataclass(frozen=True)
class Profile:
    """How long operations take. ``scale`` multiplies the seconds of the realistic profile; ``seed`` is what it draws from."""

    name: ProfileName = "instant"
    scale: float = 1.0
    seed: int = 0

    def seconds(self, key: str) -> float:
        """Seconds for the operation ``key`` (a method id, or a key of ``durations`` in some facts)."""
        if self.name == "instant":
            return _INSTANT_SECONDS
        return _durations().get(key, _DEFAULT_SECONDS) * self.scale

    def drawn(self, key: str, what: str) -> float:
        """Of the seconds for ``key`` a part, at least a fifth, that ``what`` and the seed decide; none with ``instant``."""
        if self.name == "instant":
            return 0.0
        draw = random.Random(f"{self.seed} {key} {what}")  # noqa: S311 - repeatable, not secret
        return self.seconds(key) * draw.uniform(0.2, 1)


@cache
def _durations() -> dict[str, float]:
    return {key: seconds for api in apis() for key, seconds in load_facts(api).durations.items()}


def finish_long_running(operation: Json, result: Json | None, error: ApiError | None) -> Json:
    """google.longrunning.Operation: ``done`` with ``response`` or ``error``."""
    operation["done"] = True
    if error is not None:
        operation["error"] = error.rpc_status()
    else:
        operation["response"] = result or {}
    return operation


@dataclass(frozen=True)
class Span:
    """Something that took time: which method, about what, from when to when (None: it goes on), how it stands and why."""

    method: str
    target: str
    begun: str
    ended: str | None = None
    state: str = "running"
    message: str = ""


class Operations:
    """Starts, remembers and finishes operations of every shape."""

    def __init__(self, store: Store, profile: Profile) -> None:
        self.profile = profile
        self._long_running = store.collection("operations")
        #: What each operation of any shape did and when: most shapes do not tell.
        self._spans = store.collection("operations.spans")
        #: The shapes of operations: where they are, whether one is done, and what writes its end.
        self._shapes: list[tuple[Collection, IsDone, Finish]] = []
        self.adopt(self._long_running, lambda operation: bool(operation.get("done")), finish_long_running)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(
        self,
        name: str,
        work: Coroutine[Any, Any, Json],
        *,
        key: str,
        metadata: Json | None = None,
        ended: Callable[[], Json | None] = lambda: None,
    ) -> Json:
        """Starts ``work`` as the google.longrunning operation ``name`` and returns its first view.

        ``work`` returns the response (with ``@type``) or raises ApiError. ``key`` picks the duration. ``ended`` tells the metadata
        of the finished operation; None: as they were.
        """

        def finish(operation: Json, result: Json | None, error: ApiError | None) -> Json:
            if (last := ended()) is not None:
                operation["metadata"] = last
            return finish_long_running(operation, result, error)

        operation: Json = {"name": name, "done": False}
        if metadata is not None:
            operation["metadata"] = metadata
        target = str((metadata or {}).get("name", "")).rpartition("/")[2]
        self.launch(self._long_running, name, operation, work, key=key, finish=finish, target=target)
        return operation

    def adopt(self, collection: Collection, is_done: IsDone, finish: Finish) -> None:
        """Ends, at the next start, the operations of another shape that a killed emulator left open in ``collection``."""
        self._shapes.append((collection, is_done, finish))

    async def wait(self, name: str, seconds: float) -> None:
        """Waits until the operation ``name`` of any shape has ended, at most so many seconds."""
        if task := self._tasks.get(name):
            await asyncio.wait({task}, timeout=seconds)

    def get(self, name: str) -> Json:
        """The google.longrunning operation, or ApiError NOT_FOUND."""
        operation = self._long_running.get(name)
        if operation is None:
            raise not_found(f"Operation '{name}' not found.")
        return operation

    def list(self, prefix: str) -> list[Json]:
        return [operation for _, operation in self._long_running.items(prefix)]

    def launch(
        self,
        collection: Collection,
        name: str,
        operation: Json,
        work: Coroutine[Any, Any, Json],
        *,
        key: str,
        finish: Finish,
        target: str = "",
    ) -> None:
        """As :meth:`start` for APIs with an operation shape of their own (sqladmin): ``finish`` writes the end, and ``target``
        is the last part of the name that the operation is about."""
        collection.put(name, operation)
        self.note(name, Span(key, target, clock.timestamp()))
        task = asyncio.create_task(self._run(collection, name, work, self.profile.seconds(key), finish))
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _run(
        self,
        collection: Collection,
        name: str,
        work: Coroutine[Any, Any, Json],
        seconds: float,
        finish: Finish,
        target: str = "",
    ) -> None:
        earliest = asyncio.get_running_loop().time() + seconds
        result: Json | None = None
        error: ApiError | None = None
        try:
            await faults.held_up()
            result = await work
        except ApiError as failure:
            error = failure
        except asyncio.CancelledError:
            error = ApiError("ABORTED", "The emulator was stopped while the operation ran.")
            collection.put(name, finish(collection.get(name) or {}, None, error))
            self._end(name, "failed", error.message)
            raise
        except Exception as failure:
            log.error("operation %s failed: %s", name, traceback.format_exc())
            error = ApiError(
                "INTERNAL", f"An internal error has occurred ({type(failure).__name__}: {failure})"
            )
        await asyncio.sleep(max(0.0, earliest - asyncio.get_running_loop().time()))
        collection.put(name, finish(collection.get(name) or {}, result, error))
        self._end(name, "failed" if error else "done", error.message if error else "")

    def abandon_unfinished(self) -> None:
        """After a start: operations that a killed emulator left open end in an error."""
        error = ApiError("ABORTED", "The emulator was stopped while the operation ran.")
        for collection, is_done, finish in self._shapes:
            for name, operation in collection.items():
                if not is_done(operation):
                    collection.put(name, finish(operation, None, error))
                    self._end(name, "failed", error.message)

    def note(self, name: str, span: Span) -> None:
        """Notes, for the state page, work that is no operation of this engine (a build), or how far it is now."""
        self._spans.put(name, asdict(span))

    def spans(self, project: str, number: str) -> tuple[Span, ...]:
        """What took time in a project."""
        # Service Usage names no project but its number.
        begins = (f"projects/{project}/", f"projects/{number}/")
        return tuple(
            Span(**body)
            for name, body in self._spans.items()
            if name.startswith(begins) or f"-{number}-" in name
        )

    def _end(self, name: str, state: str, message: str) -> None:
        if span := self._spans.get(name):
            self.note(name, Span(**span | {"state": state, "message": message, "ended": clock.timestamp()}))

    async def stop(self) -> None:
        """Cancels what still runs; each cancelled operation ends in an error."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def operation_name(parent: str) -> str:
    """A fresh ``PARENT/operations/UUID``."""
    return f"{parent}/operations/{clock.new_id()}"
