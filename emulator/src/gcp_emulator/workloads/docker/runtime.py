"""The runtime of a container engine: docker builds the images and runs the instances.

The engine must be on this machine, because containers and emulator share sockets and files. It is driven by the docker command,
which is the one client that knows BuildKit, contexts and credentials.

Whatever is made in the engine bears the emulator's own mark, which follows from the place of its state: containers a label, images a
repository. Nothing without that mark is touched.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from pathlib import Path

from gcp_emulator.workloads.build.cache import in_thread
from gcp_emulator.workloads.build.run import HostAccess
from gcp_emulator.workloads.docker.builder import DockerBuilder
from gcp_emulator.workloads.docker.command import LABEL, DockerError, check_engine, docker, mark_of
from gcp_emulator.workloads.docker.sandbox import DockerSandbox
from gcp_emulator.workloads.images import Image, ImageConfig, ImageStore, remove_tree
from gcp_emulator.workloads.runtime import ImageBuilder
from gcp_emulator.workloads.sandbox.process import LogHandler, Sandbox, SandboxSpec

log = logging.getLogger(__name__)
_REMOVAL_SECONDS = 20.0
_REMOVAL_POLL = 0.1


class DockerImages(ImageStore):
    """The images that the engine has built, each with a tag of its own that keeps the engine from pruning it."""

    def __init__(self, folder: Path, repository: str) -> None:
        """``repository`` is the name that the tags are made in."""
        super().__init__(folder)
        self._repository = repository

    def reference(self, digest: str) -> str:
        """The engine's name of an image."""
        return f"{self._repository}:{digest.partition(':')[2]}"

    def adopt(self, image_id: str) -> Image:
        """Keep an image that the engine has just built. Its digest is the engine's id, the digest of its configuration."""
        facts = json.loads(docker("image", "inspect", image_id))[0]
        digest: str = facts["Id"]
        if present := self.get(digest):
            return present
        docker("tag", digest, self.reference(digest))
        tree = self._incoming / uuid.uuid4().hex
        _copy_users(digest, tree)
        return self._keep(digest, tree, ImageConfig.from_oci(facts["Config"]), None, facts["Size"])

    def delete(self, digest: str) -> bool:
        """Free an image's files; False when there was none. Layers that other images have stay with them."""
        if not super().delete(digest):
            return False
        # An image whose last container is just going is removed by the next `reconcile`.
        with contextlib.suppress(DockerError):
            docker("image", "rm", self.reference(digest))
        return True

    def reconcile(self) -> None:
        """Forget the images that the engine has lost, and remove those from it that are forgotten."""
        tags = set(docker("image", "ls", "--format", "{{.Tag}}", self._repository).split())
        known = {image.digest.partition(":")[2] for image in self.list()}
        for lost in known - tags:
            super().delete(f"sha256:{lost}")
        for forgotten in tags - known:
            try:
                docker("image", "rm", self.reference(f"sha256:{forgotten}"))
            except DockerError as error:
                log.warning("an image that is no longer needed stays: %s", error)

    def clear(self) -> None:
        """Remove every image from the engine."""
        tags = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", self._repository).split()
        if tags:
            docker("image", "rm", *tags)


def _copy_users(image_id: str, tree: Path) -> None:
    """The files of an image that say who its users are, as `images.user_ids` wants them."""
    (tree / "etc").mkdir(parents=True)
    container = docker("create", image_id, "never-started").strip()
    try:
        for path in ("etc/passwd", "etc/group"):
            with contextlib.suppress(DockerError):  # an image from scratch has neither
                docker("cp", "--follow-link", f"{container}:/{path}", str(tree / path))
    finally:
        docker("rm", container)


class DockerRuntime:
    """Images and instances of a container engine."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is for what must be known of the images; it gives the emulator's mark as well."""
        self.mark = mark_of(folder)
        self.images = DockerImages(folder, f"gcp-emulator/{self.mark}")
        self._sockets = folder / "sockets"

    async def start(self) -> None:
        """See `Runtime`."""
        await in_thread(check_engine)
        remove_tree(self._sockets)
        self._sockets.mkdir()
        await in_thread(self.remove_containers)
        await in_thread(self.images.reconcile)

    async def stop(self) -> None:
        """See `Runtime`."""
        try:
            await in_thread(self.remove_containers)
        except DockerError as error:
            log.warning("what the engine still runs is removed at the next start: %s", error)

    def builder(self, folder: Path, host: HostAccess) -> ImageBuilder:
        """See `Runtime`."""
        return DockerBuilder(folder, self.images.adopt, host)

    def sandbox(self, image: Image, spec: SandboxSpec, on_log: LogHandler) -> Sandbox:
        """See `SandboxMaker`."""
        label = f"{LABEL}={self.mark}"
        return DockerSandbox(self.images.reference(image.digest), label, self._sockets, spec, on_log)

    def remove_containers(self) -> None:
        """Remove every container of this emulator, whatever it does. Raises `DockerError` for one that stays."""
        deadline = time.monotonic() + _REMOVAL_SECONDS
        while found := docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={self.mark}").split():
            if time.monotonic() > deadline:
                raise DockerError(f"containers that cannot be removed: {', '.join(found)}")
            # One may be about to go by itself, which is an error for this command.
            with contextlib.suppress(DockerError):
                docker("rm", "--force", *found)
            time.sleep(_REMOVAL_POLL)

    def clear(self) -> None:
        """Remove everything of this emulator from the engine."""
        self.remove_containers()
        self.images.clear()
