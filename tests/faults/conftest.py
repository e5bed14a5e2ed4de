"""A world with one undisturbed deploy in it, which everything else is compared with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.origin import Origin


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """The undisturbed deploy."""
    # Not pytest's folder: paths of sockets have to be short.
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    found = Origin(folder)
    yield found
    found.world.stop()
    shutil.rmtree(folder)
