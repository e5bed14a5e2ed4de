"""Fixtures for every test of the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.tests.running import RunningEmulator


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[RunningEmulator]:
    """A running emulator with the project ``test-project``; the test fails if a call was not handled."""
    running = RunningEmulator(tmp_path / "state")
    try:
        yield running
    finally:
        running.stop()
    assert list(running.context.unhandled) == [], "nothing answered these calls (see expect_unhandled)"
