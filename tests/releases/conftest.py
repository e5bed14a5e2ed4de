"""The site of the tests, deployed once."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.releases.site import Site

#: Requests per second, on a machine that runs other tests at the same time.
_RATE = 10


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site; what is drawn comes from RELEASES_SEED, another one each time if it is not set, and is printed."""
    seed = int(os.environ.get("RELEASES_SEED") or random.SystemRandom().randrange(10**6))
    print(f"RELEASES_SEED={seed}")
    # Not pytest's folder: paths of sockets have to be short.
    folder = Path(tempfile.mkdtemp(prefix="releases-"))
    found = Site(folder, tmp_path_factory.mktemp("logs"), _RATE, seed)
    try:
        found.begin()
        yield found
    finally:
        found.rehearsal.make("rehearse-clean")
        shutil.rmtree(folder)
