"""``gcp-emulator start --runtime``: which runtime a state has, and what is said when it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gcp_emulator.cli import main
from gcp_emulator.workloads.docker.command import check_engine
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A folder whose emulator is stopped when the test ends."""
    yield tmp_path / "state"
    main(["clean", "--state", str(tmp_path / "state")])


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_nothing_is_started(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "--state", str(state), "--runtime", "docker"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gcp-emulator: Containers cannot be run: no container engine answers (")
    assert not state.exists()


@pytest.mark.usefixtures("no_engine")
def test_auto_runs_processes_without_an_engine(state: Path) -> None:
    assert main(["start", "--state", str(state), "--runtime", "auto"]) == 0
    assert (state / "runtime").read_text() == "process\n"


def test_a_state_keeps_the_runtime_of_its_images(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state.mkdir()
    (state / "runtime").write_text("process\n")
    assert main(["start", "--state", str(state), "--runtime", "docker"]) == 1
    assert capsys.readouterr().err == (
        f"gcp-emulator: {state} holds images of the runtime process, which the runtime docker cannot run. "
        "Go on with process, or remove the state (gcp-emulator clean).\n"
    )


def test_clean_leaves_nothing_of_a_docker_state(state: Path) -> None:
    try:
        check_engine()
    except SandboxUnavailable as why:
        pytest.skip(str(why))
    assert main(["start", "--state", str(state), "--runtime", "docker"]) == 0
    assert main(["stop", "--state", str(state)]) == 0
    assert main(["start", "--state", str(state)]) == 0
    assert (state / "runtime").read_text() == "docker\n"
    assert main(["clean", "--state", str(state)]) == 0
    assert not state.exists()
