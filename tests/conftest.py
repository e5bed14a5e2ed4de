"""What all tests have: a time at which no more of them begin, where whoever runs them has said one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

#: When no test of a layer that may be cut short begins any more, in seconds since 1970; and the file in which those are named that did not.
_DEADLINE = float(os.environ.get("TEST_DEADLINE", "inf"))
_CUT = os.environ.get("TEST_CUT", os.devnull)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test is made."""
    if time.time() > _DEADLINE:
        with Path(_CUT).open("a", encoding="utf-8") as file:
            file.write(f"{item.nodeid}\n")
        pytest.skip("there was no time for it")
