"""Fixtures for every test of the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.tests.running import RunningEmulator


@pytest.fixture
def machines() -> str:
    """What runs virtual machines: nothing, where a folder or a file of tests does not say more."""
    return "none"


@pytest.fixture
def emulator(tmp_path: Path, machines: str) -> Iterator[RunningEmulator]:
    """A running emulator with the project ``test-project``; the test fails if a call was not handled."""
    running = RunningEmulator(tmp_path / "state", machines=machines)
    try:
        yield running
    finally:
        running.stop()
    assert list(running.context.unhandled) == [], "nothing answered these calls (see expect_unhandled)"
