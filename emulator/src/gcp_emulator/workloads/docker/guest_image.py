"""The images that machines are started from: Debian with systemd and what stands in for Google's guest environment (`workloads.guest`).

One is built when the first machine needs it. Its name has the digest of what it is made of, and so all emulators of an engine share it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import deque
from pathlib import Path

from gcp_emulator.workloads import guest
from gcp_emulator.workloads.build.builder import BuildFailed
from gcp_emulator.workloads.build.cache import in_thread
from gcp_emulator.workloads.build.run import HostAccess
from gcp_emulator.workloads.docker.builder import EngineBuilder
from gcp_emulator.workloads.docker.command import DockerError, docker
from gcp_emulator.workloads.machines import Machine, MachineError

log = logging.getLogger(__name__)

REPOSITORY = "gcp-emulator/guest"
FILES = Path(guest.__file__).parent
_DEBIAN = re.compile(r"projects/debian-cloud/global/images/debian-(1[23])-[a-z]+-v\d+")
#: So many lines of a build that failed are told.
_LAST_LINES = 5


def release_of(image: str) -> str | None:
    """The release of Debian (``12``) whose image of Google's this is (``projects/debian-cloud/global/images/...``); None for any other."""
    found = _DEBIAN.fullmatch(image)
    return found[1] if found else None


def reference(release: str) -> str:
    """The name of the image that stands in for that of a release of Debian."""
    digest = hashlib.sha256()
    for path in sorted(FILES.iterdir()):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{REPOSITORY}:debian-{release}-{digest.hexdigest()[:12]}"


class GuestImages:
    """Finds them, or has them built."""

    def __init__(self, folder: Path, host: HostAccess) -> None:
        """``folder`` is for what is there while one is built, ``host`` what a build may use of this machine."""
        self._builder = EngineBuilder(folder, host)
        self._building = asyncio.Lock()

    async def image_for(self, machine: Machine) -> str:
        """The name of the image that a machine is started from. MachineError."""
        release = release_of(machine.image)
        if release is None:
            what = (
                f"of the image {machine.image}" if machine.image else "whose boot disk was made of no image"
            )
            raise MachineError(
                "UNSUPPORTED_OPERATION",
                f"gcp-emulator cannot start {machine.name}, {what}: its machines are of Debian's images for x86, of the families debian-12 and "
                "debian-13 of the project debian-cloud.",
            )
        name = reference(release)
        # One at a time: the second finds what the first has made.
        async with self._building:
            if not await in_thread(_is_there, name):
                await self._build(name, release)
        return name

    async def _build(self, name: str, release: str) -> None:
        log.info("building %s, which takes a minute", name)
        lines: deque[str] = deque(maxlen=_LAST_LINES)
        try:
            built = await self._builder.build_id(
                FILES, build_args={"BASE": f"debian:{release}-slim"}, log=lines.append
            )
            await in_thread(docker, "tag", built, name)
        except (BuildFailed, DockerError) as error:
            raise MachineError(
                "INTERNAL_ERROR",
                f"The image of machines with Debian {release} could not be made of debian:{release}-slim: {error} {' '.join(lines)}",
            ) from None


def _is_there(name: str) -> bool:
    return bool(docker("image", "ls", "--quiet", name).strip())
