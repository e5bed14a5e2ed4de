"""Instances of several containers: their order, their common end, and nothing left of those that do not start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gcp_emulator.workloads.instances import Instance, InstanceError, Probe
from gcp_emulator.workloads.pods import Pod
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

from emulator.tests.workloads.apps import SERVE, SERVER, image_of
from emulator.tests.workloads.test_instances import Logs, get, spec

try:
    check_available()
except SandboxUnavailable as why:
    pytest.skip(str(why), allow_module_level=True)

STAYS = "import time\nprint('beside', flush=True)\ntime.sleep(600)\n"


def pod(folder: Path, beside: str, logs: Logs, *, after: bool = False, probe: Probe | None = None) -> Pod:
    """A server with another container, before or after it."""
    sidecar = Instance(
        spec(image_of(folder / "beside", beside), container="beside", port=None, startup_probe=probe), logs
    )
    main = spec(image_of(folder / "web", SERVER, SERVE))
    return Pod(main, logs, *(((), (sidecar,)) if after else ((sidecar,), ())))


@pytest.mark.parametrize("after", [False, True])
def test_all_containers_run_and_end_with_the_instance(tmp_path: Path, after: bool) -> None:
    async def run() -> None:
        logs = Logs()
        instance = pod(tmp_path, STAYS, logs, after=after)
        await instance.start()
        sidecars = [*instance._before, *instance._after]
        assert "pid" in await get(instance)
        assert [one.running for one in sidecars] == [True]
        await instance.stop(5)
        assert [one.running for one in (instance, *sidecars)] == [False, False]

    asyncio.run(run())


def test_the_end_of_one_is_the_end_of_all(tmp_path: Path) -> None:
    async def run() -> None:
        logs = Logs()
        instance = pod(tmp_path, "import sys\nsys.exit(3)\n", logs)
        await instance.start()
        await asyncio.wait_for(instance.wait(), 20)
        assert not instance.running
        assert "Container called exit(3)." in logs.of("system")
        await instance.kill()

    asyncio.run(run())


def test_one_that_does_not_start_leaves_nothing_running(tmp_path: Path) -> None:
    async def run() -> None:
        probe = Probe(9, timeout=0.2, period=0.2, failure_threshold=1)
        instance = pod(tmp_path, STAYS, Logs(), probe=probe, after=True)
        with pytest.raises(InstanceError, match="startup probe"):
            await instance.start()
        assert not instance.running

    asyncio.run(run())
