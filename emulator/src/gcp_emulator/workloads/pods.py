"""Instances of several containers: one that gets the requests and others beside it, which start in a given order and end together.

Source: https://cloud.google.com/run/docs/deploying#sidecars (shared network and volumes in memory, start-up order, one end ends all).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gcp_emulator.front.tasks import Tasks
from gcp_emulator.workloads.instances import STOP_GRACE, Instance, InstanceSpec
from gcp_emulator.workloads.sandbox.process import Exit, LogHandler


class Pod(Instance):
    """The container of ``spec`` with ``before`` and ``after``: those that start before it, and those that start when it is ready."""

    def __init__(
        self, spec: InstanceSpec, on_log: LogHandler, before: Sequence[Instance], after: Sequence[Instance]
    ) -> None:
        super().__init__(spec, on_log)
        self._before = before
        self._after = after
        self._ends = Tasks()

    async def start(self) -> None:
        """Returns when the startup probe of each has passed. Raises as `Instance.start`, and then nothing runs."""
        try:
            for one in self._before:
                await one.start()
            await super().start()
            for one in self._after:
                await one.start()
        except BaseException:
            await self.kill()
            raise
        for one in (*self._before, *self._after):
            self._ends.start(self._end_with(one))

    async def stop(self, grace: float = STOP_GRACE) -> Exit:
        """See `Instance.stop`; the others follow."""
        await self._ends.stop()
        try:
            return await super().stop(grace)
        finally:
            await asyncio.gather(*(one.stop(grace) for one in self._beside()))

    async def kill(self) -> None:
        """See `Instance.kill`."""
        await self._ends.stop()
        await super().kill()
        await asyncio.gather(*(one.kill() for one in (*self._before, *self._after)))

    def _beside(self) -> list[Instance]:
        return [one for one in (*self._after, *self._before) if one.running]

    async def _end_with(self, one: Instance) -> None:
        await one.wait()
        await super().kill()
