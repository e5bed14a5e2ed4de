"""Fixtures for the tests of the workloads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from gcp_emulator.workloads.docker.command import check_engine
from gcp_emulator.workloads.docker.runtime import DockerRuntime
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable


@pytest.fixture(scope="module")
def docker_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `docker_runtime` knows of its images."""
    return tmp_path_factory.mktemp("docker")


@pytest.fixture(scope="module")
def docker_runtime(docker_folder: Path) -> Iterator[DockerRuntime]:
    """A started runtime of this machine's engine; without one the test is skipped."""
    try:
        check_engine()
    except SandboxUnavailable as why:
        pytest.skip(str(why))
    runtime = DockerRuntime(docker_folder)
    asyncio.run(runtime.start())
    try:
        yield runtime
    finally:
        asyncio.run(runtime.stop())
        runtime.clear()
