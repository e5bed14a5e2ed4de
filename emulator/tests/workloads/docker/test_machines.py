"""Machines that are containers: which images they are started from, and what is said where none can be. services/compute has the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gcp_emulator.workloads.build.run import HostAccess
from gcp_emulator.workloads.docker import guest_image
from gcp_emulator.workloads.docker.command import DockerError, check_engine_for_machines
from gcp_emulator.workloads.docker.guest_image import reference, release_of
from gcp_emulator.workloads.docker.machines import ContainerMachines
from gcp_emulator.workloads.machines import Machine, MachineError
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

NAME = "projects/p/zones/us-central1-a/instances/web"
NO_ACCESS = HostAccess({}, ())
DEBIAN = "projects/debian-cloud/global/images"


@pytest.mark.parametrize(
    ("image", "release"),
    [
        (f"{DEBIAN}/debian-12-bookworm-v20261014", "12"),
        (f"{DEBIAN}/debian-13-trixie-v20261014", "13"),
        (f"{DEBIAN}/debian-12-bookworm-arm64-v20261014", None),
        (f"{DEBIAN}/debian-11-bullseye-v20231010", None),
        ("projects/p/global/images/debian-12-bookworm-v20261014", None),
        ("", None),
    ],
)
def test_images_that_are_stood_in_for(image: str, release: str | None) -> None:
    assert release_of(image) == release


def test_an_image_has_another_name_when_it_is_made_of_other_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.setattr(guest_image, "FILES", tmp_path)
    first = reference("12")
    assert first.startswith("gcp-emulator/guest:debian-12-")
    assert reference("13") == first.replace("debian-12", "debian-13")
    (tmp_path / "environment.py").write_text("")
    assert reference("12") != first


@pytest.mark.parametrize(
    ("image", "what"),
    [(f"{DEBIAN}/debian-11-bullseye-v1", "of the image projects"), ("", "made of no image")],
)
def test_a_machine_of_another_image_is_refused(tmp_path: Path, image: str, what: str) -> None:
    with pytest.raises(MachineError, match=what) as error:
        asyncio.run(ContainerMachines(tmp_path, NO_ACCESS).start(Machine(NAME, image=image)))
    assert error.value.code == "UNSUPPORTED_OPERATION"


def test_without_an_engine_one_sentence_says_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable) as error:
        check_engine_for_machines()
    assert str(error.value) == (
        "--machines containers needs a container engine for Linux on this machine: no container engine answers (the program 'docker' is not in PATH); "
        "start one, or name its socket in DOCKER_HOST, or keep instances as records that nothing runs (--machines records)."
    )


def test_an_engine_that_fails_is_told_by_the_operation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*arguments: str) -> str:
        raise DockerError("no space left on device")

    monkeypatch.setattr(guest_image, "docker", fails)
    with pytest.raises(MachineError, match="no space left on device"):
        asyncio.run(
            ContainerMachines(tmp_path, NO_ACCESS).start(
                Machine(NAME, image=f"{DEBIAN}/debian-12-bookworm-v20261014")
            )
        )


def test_what_does_not_run_is_not_reached(tmp_path: Path) -> None:
    machines = ContainerMachines(tmp_path, NO_ACCESS)
    with pytest.raises(ConnectionRefusedError, match=f"{NAME} does not run"):
        asyncio.run(machines.connect(NAME, 22))
    with pytest.raises(MachineError, match="does not run"):
        asyncio.run(machines.reset(NAME))
    assert machines.serial_output(NAME, 1) == b""
    assert machines.guest_attributes(NAME) == {}
