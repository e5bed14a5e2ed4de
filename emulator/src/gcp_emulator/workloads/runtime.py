"""What builds images and runs them: processes of this machine, or (see `docker`) the containers of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from gcp_emulator.workloads.build.builder import Builder
from gcp_emulator.workloads.build.run import HostAccess, Log
from gcp_emulator.workloads.images import Image, ImageStore
from gcp_emulator.workloads.sandbox.bubblewrap import BubblewrapSandbox
from gcp_emulator.workloads.sandbox.process import LogHandler, Sandbox, SandboxSpec
from gcp_emulator.workloads.sandbox.rootfs import Rootfs

SandboxMaker = Callable[[Image, SandboxSpec, LogHandler], Sandbox]
"""Makes a sandbox, not yet started, of an image. Raises ValueError for an image that cannot be run here."""


class ImageBuilder(Protocol):
    """Builds the images of Dockerfiles."""

    async def build(
        self,
        context_dir: Path,
        dockerfile: str = "Dockerfile",
        *,
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        buildkit: bool = True,
        machine: set[str] | None = None,
        cache_from: Sequence[Image] = (),
        inline_cache: bool = False,
        log: Log,
    ) -> Image:
        """Build the image of a Dockerfile (a path relative to the context) up to the stage ``target``, default the last.

        ``log`` gets one line at a time, as `docker build` prints them. Without ``buildkit`` what needs BuildKit is
        refused. ``machine`` is what the machine of the build has already, an empty set at first, to which the build adds; what
        earlier builds made elsewhere is used only as far as an image of ``cache_from`` was built with ``inline_cache`` and holds the
        result. None uses whatever is there. Cancelling kills what runs. Raises `gcp_emulator.workloads.build.builder.BuildFailed`.
        """

    async def close(self) -> None:
        """Wait until everything that ended builds left behind is removed."""


class Runtime(Protocol):
    """One kind of images, how they are built and how they run. `start` comes first, `stop` last."""

    @property
    def images(self) -> ImageStore:
        """The images that were built and are still needed."""

    async def start(self) -> None:
        """Remove what an emulator that was killed has left. Raises `SandboxUnavailable` when nothing can run."""

    async def stop(self) -> None:
        """Remove whatever of this emulator still runs."""

    def builder(self, folder: Path, host: HostAccess) -> ImageBuilder:
        """A builder into ``images`` that may use ``folder``, which is on the same file system."""

    def sandbox(self, image: Image, spec: SandboxSpec, on_log: LogHandler) -> Sandbox:
        """See `SandboxMaker`."""


def bubblewrap_sandbox(image: Image, spec: SandboxSpec, on_log: LogHandler) -> Sandbox:
    """See `SandboxMaker`."""
    return BubblewrapSandbox(Rootfs.of(image), spec, on_log)


class ProcessRuntime:
    """Images are trees of files on top of this machine's system, instances its processes. Needs bubblewrap."""

    def __init__(self, folder: Path) -> None:
        self.images = ImageStore(folder)

    async def start(self) -> None:
        """Nothing outlives an emulator."""

    async def stop(self) -> None:
        """Everything has ended with its sandbox."""

    def builder(self, folder: Path, host: HostAccess) -> ImageBuilder:
        """See `Runtime`."""
        return Builder(folder, self.images, host)

    def sandbox(self, image: Image, spec: SandboxSpec, on_log: LogHandler) -> Sandbox:
        """See `SandboxMaker`."""
        return bubblewrap_sandbox(image, spec, on_log)
