"""Tasks and connections end with their owner, in whatever state it finds them."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from gcp_emulator.front.tasks import Connections, Tasks


async def _forever() -> None:
    await asyncio.Event().wait()


async def _others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_a_stop_ends_what_runs_and_what_that_starts_as_it_ends() -> None:
    async def run() -> None:
        tasks = Tasks()

        async def starts_another() -> None:
            try:
                await _forever()
            finally:
                tasks.start(_forever())

        tasks.start(starts_another())
        await asyncio.sleep(0)
        await tasks.stop()
        assert tasks.running == frozenset()
        assert await _others() == set()

    asyncio.run(run())


def test_what_is_started_after_the_stop_takes_no_step() -> None:
    async def run() -> None:
        steps = []

        async def work() -> None:
            steps.append("taken")

        tasks = Tasks()
        await tasks.stop()
        late = tasks.start(work())
        await asyncio.wait([late])
        assert late.cancelled()
        assert steps == []

    asyncio.run(run())


def test_a_task_may_stop_its_owner_and_goes_on() -> None:
    async def run() -> None:
        tasks = Tasks()
        other = tasks.start(_forever())

        async def stops() -> str:
            await tasks.stop()
            return "went on"

        assert await tasks.start(stops()) == "went on"
        assert other.cancelled()

    asyncio.run(run())


def test_a_task_that_fails_ends_no_other_and_tells_who_waits_for_it() -> None:
    async def run() -> None:
        async def fails() -> None:
            raise LookupError("on its own")

        async with Tasks() as tasks:
            other = tasks.start(_forever())
            with pytest.raises(LookupError, match="on its own"):
                await tasks.start(fails())
            assert not other.done()
        assert other.cancelled()

    asyncio.run(run())


@pytest.mark.parametrize("steps", [0, 3])
def test_a_stop_closes_connections_also_those_that_nobody_has_begun_to_serve(steps: int) -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _forever()

        connections = Connections(serve)
        accepted = asyncio.Event()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.accept(reader, writer)
            accepted.set()

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await accepted.wait()
            for _ in range(steps):
                await asyncio.sleep(0)
            await connections.stop()
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
        assert await _others() == set()

    asyncio.run(run())
