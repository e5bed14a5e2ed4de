"""The docker command."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

#: The label of what is made in the engine: its value is the mark of the emulator whose it is.
LABEL = "gcp-emulator.state"
_ANSWER_SECONDS = 60.0


class DockerError(RuntimeError):
    """What the docker command said when it failed, in one line."""


def docker(*arguments: str) -> str:
    """What ``docker ARGUMENTS`` prints. Raises `DockerError`."""
    try:
        done = subprocess.run(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise DockerError("the program 'docker' is not in PATH") from None
    except subprocess.TimeoutExpired:
        raise DockerError(f"docker {arguments[0]} did not end within {_ANSWER_SECONDS:.0f} s") from None
    if done.returncode != 0:
        raise DockerError(" ".join(done.stderr.split()) or f"docker {arguments[0]} failed")
    return done.stdout


def mark_of(folder: Path) -> str:
    """The mark of the emulator that keeps what it knows in a folder: another place is another emulator."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]


def check_engine() -> str:
    """The version of the engine that answers. Raises `SandboxUnavailable` when none does."""
    try:
        return _linux_engine()
    except DockerError as error:
        raise SandboxUnavailable(
            f"Containers cannot be run: {error}. Start one, or name its socket in DOCKER_HOST, or run processes instead (--runtime process)."
        ) from None


def check_engine_for_machines() -> None:
    """Raises `SandboxUnavailable` when no engine answers that could run virtual machines."""
    try:
        _linux_engine()
    except DockerError as error:
        raise SandboxUnavailable(
            f"--machines containers needs a container engine for Linux on this machine: {error}; start one, or name its socket in "
            "DOCKER_HOST, or keep instances as records that nothing runs (--machines records)."
        ) from None


def _linux_engine() -> str:
    """The version of the engine that answers. Raises `DockerError`."""
    try:
        version, system = docker("version", "--format", "{{.Server.Version}} {{.Server.Os}}").split()
    except (DockerError, ValueError) as error:
        raise DockerError(f"no container engine answers ({error})") from None
    if system != "linux":
        raise DockerError(f"the engine runs containers of {system}, not of Linux")
    return version
