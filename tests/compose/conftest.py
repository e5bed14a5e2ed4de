"""One stack for all tests, which run in file order. Without a container engine they are skipped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.compose.stack import ROOT, Stack, engine_answers

#: What the tests measured, for the end of the run.
FIGURES = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Skips everything where no container engine answers."""
    if not engine_answers():
        pytest.skip("no container engine with Compose answers (python3 tools/engine.py up starts one)")


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> dict[str, str]:
    """What was measured: name -> value; printed at the end."""
    return pytestconfig.stash.setdefault(FIGURES, {})


@pytest.fixture(scope="session")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory, figures: dict[str, str]) -> Iterator[Stack]:
    """The stack, up from nothing but its images' layers."""
    found = Stack(tmp_path_factory.mktemp("checkout"))
    found.compose("down", "--volumes", "--remove-orphans")
    figures["build"] = f"{found.timed('build'):.1f} s"
    try:
        figures["up --wait, nothing there"] = f"{found.timed('up', '--wait'):.1f} s"
        yield found
    finally:
        print(found.compose("logs", "--tail", "15"))
        found.compose("--profile", "*", "down", "--volumes", "--remove-orphans")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the figures, and which images were not what their names say."""
    measured = config.stash.get(FIGURES, {})
    if not measured:
        return
    terminalreporter.section("the Compose stack, measured here")
    for name, value in measured.items():
        terminalreporter.write_line(f"{name:<40} {value}")
    status = [sys.executable, str(ROOT / "tools" / "engine.py"), "status"]
    terminalreporter.write(subprocess.run(status, capture_output=True, text=True, check=False).stdout)
