"""The instances of one revision: started on demand, shared by requests, stopped when idle."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from gcp_emulator.front.tasks import Tasks
from gcp_emulator.workloads.instances import Instance, InstanceError

PENDING_SECONDS = 10.0
"""How long a request waits for a free instance when no more may be started (Google: "About instance autoscaling")."""

IDLE_SECONDS = 15 * 60.0
"""How long an instance without requests is kept (Google: "About instance autoscaling": up to 15 minutes)."""

_SETTLED_SECONDS = 60.0
_RESTART_DELAYS = (0.0, 1.0, 5.0, 30.0)


class NoCapacityError(Exception):
    """Every instance is full, the maximum runs, and none became free in time. Cloud Run answers 429."""


class RevisionPool:
    """Instances of a revision.

    ``make`` returns a new, not yet started instance (it is called for each start, so that what an instance reads when it
    starts is read anew). ``concurrency`` requests at most share one instance.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[Instance]],
        *,
        concurrency: int = 80,
        min_instances: int = 0,
        max_instances: int = 100,
        idle_timeout: float | None = None,
        pending_timeout: float = PENDING_SECONDS,
    ) -> None:
        self._min = min_instances
        self._max = max_instances
        self._make = make
        self._concurrency = concurrency
        self._idle_timeout = IDLE_SECONDS if idle_timeout is None else idle_timeout
        self._pending_timeout = pending_timeout
        self._instances: list[Instance] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._tasks = Tasks()
        self._idle: dict[Instance, asyncio.TimerHandle] = {}
        self._early_ends = 0
        self._closed = False

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The instances that are ready."""
        return tuple(self._instances)

    def limit(self, low: int, high: int) -> None:
        """Change the minimum and maximum. `fill` brings a higher minimum up, a lower one lets idle instances go."""
        self._min, self._max = low, high
        for instance in self._instances:
            if instance.active == 0 and instance not in self._idle:
                self._retire_later(instance)

    @contextlib.asynccontextmanager
    async def request(self) -> AsyncIterator[Instance]:
        """A place for one request: on the least loaded instance, else on a new one (a cold start), else after
        waiting. Raises `NoCapacityError`, or `InstanceError` when the instance that was waited for did not start."""
        instance = await self._acquire()
        instance.active += 1
        if timer := self._idle.pop(instance, None):
            timer.cancel()
        try:
            yield instance
        finally:
            instance.active -= 1
            self._wake(1)
            if instance.active == 0 and instance in self._instances:
                self._retire_later(instance)

    async def start(self, count: int = 1) -> None:
        """Start instances until ``count`` are ready. Raises `InstanceError` or `SandboxUnavailable`."""
        missing = count - len(self._instances) - len(self._starting)
        starts = [*self._starting, *(self._start_one() for _ in range(missing))]
        await asyncio.gather(*starts)

    async def fill(self) -> None:
        """Bring the minimum up, again and again with growing pauses when instances fail or end early."""
        while not self._closed and len(self._instances) + len(self._starting) < self._min:
            await asyncio.sleep(_RESTART_DELAYS[min(self._early_ends, len(_RESTART_DELAYS) - 1)])
            self._early_ends += 1
            with contextlib.suppress(InstanceError):
                await self._start_one()

    async def close(self, grace: float = 10.0) -> None:
        """Stop every instance: SIGTERM, SIGKILL after ``grace`` seconds. Requests under way lose their instance."""
        self._closed = True
        for timer in self._idle.values():
            timer.cancel()
        await self._tasks.stop()
        instances, self._instances = self._instances, []
        await asyncio.gather(*(instance.stop(grace) for instance in instances))
        self._wake(len(self._waiting))

    async def drain(self) -> None:
        """Start nothing more, stop each instance when its last request is done, return when all are gone."""
        self._min = 0
        self._idle_timeout = 0.0
        for instance in self.instances:
            self._retire(instance)
        try:
            while tasks := self._tasks.running - self._starting:
                await asyncio.wait(tasks)
        finally:
            await self.close()

    # ---------------------------------------------------------------- places

    async def _acquire(self) -> Instance:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._pending_timeout
        while True:
            if self._closed:
                raise NoCapacityError("The revision is being removed.")
            if instance := self._least_loaded():
                return instance
            demand = len(self._waiting) + 1
            room = self._max - len(self._instances) - len(self._starting)
            if room > 0 and len(self._starting) * self._concurrency < demand:
                self._start_one()
            await self._wait_for_change(deadline if not self._starting else None)
            if self._starting:
                deadline = loop.time() + self._pending_timeout

    def _least_loaded(self) -> Instance | None:
        free = [one for one in self._instances if one.active < self._concurrency and one.running]
        return min(free, key=lambda one: one.active, default=None)

    async def _wait_for_change(self, deadline: float | None) -> None:
        change = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        try:
            async with asyncio.timeout_at(deadline):
                await change
        except TimeoutError:
            raise NoCapacityError(
                "The request was aborted because there was no available instance."
            ) from None
        finally:
            if change in self._waiting:
                self._waiting.remove(change)

    def _wake(self, count: int, error: BaseException | None = None) -> None:
        woken, self._waiting = self._waiting[:count], self._waiting[count:]
        for change in woken:
            if change.done():
                continue
            if error is None:
                change.set_result(None)
            else:
                change.set_exception(error)

    # ---------------------------------------------------------------- starting and ending

    def _start_one(self) -> asyncio.Task[None]:
        def done(task: asyncio.Task[None]) -> None:
            self._starting.discard(task)
            if task.cancelled() or (error := task.exception()) is None:
                self._wake(self._concurrency)
            elif not self._starting and not self._instances:
                self._wake(len(self._waiting), error)

        task = self._tasks.start(self._begin())
        self._starting.add(task)
        task.add_done_callback(done)
        return task

    async def _begin(self) -> None:
        instance = await self._make()
        await instance.start()
        self._instances.append(instance)
        self._retire_later(instance)
        self._tasks.start(self._live(instance))

    async def _live(self, instance: Instance) -> None:
        """Wait for the end of an instance. One that goes by itself is forgotten, and replaced up to the minimum."""
        await instance.wait()
        if instance not in self._instances:
            return
        await instance.kill()
        if instance in self._instances:
            self._forget(instance)
        self._wake(len(self._waiting))
        if time.time() - instance.started_at > _SETTLED_SECONDS:
            self._early_ends = 0
        await self.fill()

    def _forget(self, instance: Instance) -> None:
        self._instances.remove(instance)
        if timer := self._idle.pop(instance, None):
            timer.cancel()

    def _retire_later(self, instance: Instance) -> None:
        loop = asyncio.get_running_loop()
        self._idle[instance] = loop.call_later(self._idle_timeout, self._retire, instance)

    def _retire(self, instance: Instance) -> None:
        self._idle.pop(instance, None)
        if instance.active or instance not in self._instances or len(self._instances) <= self._min:
            return
        self._forget(instance)
        self._tasks.start(instance.stop())
