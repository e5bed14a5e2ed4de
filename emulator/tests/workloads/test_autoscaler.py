"""How many instances a revision has. The instances here are stand-ins: what they run is tested with the instances."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from gcp_emulator.workloads.autoscaler import NoCapacityError, RevisionPool
from gcp_emulator.workloads.instances import InstanceError
from gcp_emulator.workloads.sandbox.process import Exit


class StandIn:
    """The part of `Instance` that the pool uses."""

    def __init__(self, failure: str = "", ready: asyncio.Event | None = None) -> None:
        self.active = 0
        self.started_at = 0.0
        self.stopped = False
        self._failure = failure
        self._ready = ready
        self._end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        if self._ready:
            await self._ready.wait()
        if self._failure:
            raise InstanceError(self._failure)

    async def wait(self) -> Exit:
        return await asyncio.shield(self._end)

    @property
    def running(self) -> bool:
        return not self._end.done()

    async def stop(self, grace: float = 10) -> Exit:
        self.stopped = True
        await self.kill()
        return self._end.result()

    async def kill(self) -> None:
        self.crash()

    def crash(self) -> None:
        if not self._end.done():
            self._end.set_result(Exit(code=1))


class Factory(list[StandIn]):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    async def __call__(self) -> Any:
        self.append(StandIn(**self.options))
        return self[-1]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a stand-in has no event to wait for
            await asyncio.sleep(0.005)


def test_the_first_request_starts_an_instance_and_the_next_share_it() -> None:
    async def check() -> None:
        made = Factory()
        pool = RevisionPool(made, concurrency=2)
        async with pool.request() as one, pool.request() as two:
            assert one is two is made[0]
            async with pool.request() as three:
                assert three is made[1]
        assert len(made) == 2
        await pool.close()

    asyncio.run(check())


def test_requests_that_arrive_during_a_cold_start_wait_for_it() -> None:
    async def check() -> None:
        ready = asyncio.Event()
        made = Factory(ready=ready)
        pool = RevisionPool(made, concurrency=3, pending_timeout=0.01)

        async def request() -> Any:
            async with pool.request() as instance:
                await asyncio.sleep(0.02)
                return instance

        requests = [asyncio.create_task(request()) for _ in range(3)]
        await asyncio.sleep(0.05)
        ready.set()
        assert set(await asyncio.gather(*requests)) == {made[0]}
        await pool.close()

    asyncio.run(check())


def test_a_request_beyond_the_maximum_waits_for_a_place() -> None:
    async def check() -> None:
        made = Factory()
        pool = RevisionPool(made, concurrency=1, max_instances=1)

        async def request() -> Any:
            async with pool.request() as instance:
                assert instance.active == 1
                await asyncio.sleep(0.01)
                return instance

        assert set(await asyncio.gather(*(request() for _ in range(4)))) == {made[0]}
        await pool.close()

    asyncio.run(check())


def test_a_request_that_finds_no_place_in_time_is_refused() -> None:
    async def check() -> None:
        pool = RevisionPool(Factory(), concurrency=1, max_instances=1, pending_timeout=0.02)
        async with pool.request():
            with pytest.raises(NoCapacityError) as refused:
                async with pool.request():
                    pass
        assert str(refused.value) == "The request was aborted because there was no available instance."
        await pool.close()

    asyncio.run(check())


def test_a_cold_start_that_fails_fails_the_requests_that_waited_for_it() -> None:
    async def check() -> None:
        pool = RevisionPool(Factory(failure="broken"))
        with pytest.raises(InstanceError, match=r"^broken$"):
            async with pool.request():
                pass
        await pool.close()

    asyncio.run(check())


def test_an_idle_instance_is_stopped_and_the_next_request_starts_another() -> None:
    async def check() -> None:
        made = Factory()
        pool = RevisionPool(made, idle_timeout=0.02)
        async with pool.request():
            await asyncio.sleep(0.05)
            assert not made[0].stopped
        await until(lambda: made[0].stopped)
        assert pool.instances == ()
        async with pool.request() as instance:
            assert instance is made[1]
        await pool.close()

    asyncio.run(check())


def test_the_minimum_stays_when_idle_and_is_refilled_after_a_crash() -> None:
    async def check() -> None:
        made = Factory()
        pool = RevisionPool(made, min_instances=1, idle_timeout=0.01)
        await pool.start()
        await asyncio.sleep(0.05)
        assert pool.instances == (made[0],)
        made[0].crash()
        await until(lambda: pool.instances == tuple(made[1:2]) != ())
        await pool.close()

    asyncio.run(check())


def test_an_instance_that_crashed_serves_no_more_requests() -> None:
    async def check() -> None:
        made = Factory()
        pool = RevisionPool(made)
        async with pool.request() as instance:
            instance.crash()  # type: ignore[attr-defined]
        async with pool.request() as other:
            assert other is made[1]
        await pool.close()

    asyncio.run(check())


def test_closing_stops_every_instance() -> None:
    async def check() -> None:
        made = Factory()
        pool = RevisionPool(made, concurrency=1)
        async with pool.request(), pool.request():
            pass
        await pool.close()
        assert [one.stopped for one in made] == [True, True]
        with pytest.raises(NoCapacityError, match="The revision is being removed"):
            async with pool.request():
                pass

    asyncio.run(check())
