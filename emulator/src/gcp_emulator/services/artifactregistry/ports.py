"""What other services ask of Artifact Registry: container images by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from gcp_emulator.engine.identity import Identity
from gcp_emulator.workloads.images import Image

_REFERENCE = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[a-z0-9:.-]+)/(?P<repository>[a-z0-9-]+)/"
    r"(?P<package>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Reference:
    """A container image's name, taken apart. ``tag`` is ``latest`` when neither tag nor digest is given."""

    location: str
    project: str
    repository_id: str
    package_id: str
    tag: str
    digest: str | None

    @property
    def repository(self) -> str:
        """The repository's resource name."""
        return f"projects/{self.project}/locations/{self.location}/repositories/{self.repository_id}"

    @property
    def package(self) -> str:
        """The package's resource name; a slash in its id is written as %2F, as the API does."""
        return f"{self.repository}/packages/{self.package_id.replace('/', '%2F')}"


def parse_reference(text: str) -> Reference | None:
    """``LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE[:TAG][@DIGEST]``, or None for anything else."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        return None
    return Reference(
        found["location"],
        found["project"],
        found["repository"],
        found["package"],
        found["tag"] or "latest",
        found["digest"],
    )


class PushRefusedError(Exception):
    """A push that the registry refuses; ``denied`` when it is for lack of a permission."""

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied


class Images(Protocol):
    """The images of all repositories. Permissions to read are the caller's business."""

    def image(self, reference: str) -> Image | None:
        """The image that a reference names now (its digest before its tag), or None."""

    def kept(self, digest: str) -> Image | None:
        """The image of a digest, also when no version names it any more, or None."""

    def push(self, identity: Identity, reference: str, image: Image) -> str:
        """Stores an image under a reference as ``identity``, and returns its digest. Raises `PushRefusedError`."""

    def hold(self, digest: str, holder: str) -> None:
        """Keeps an image's files although no version may name it; ``holder`` is any resource name."""

    def release(self, digest: str, holder: str) -> None:
        """Undoes `hold`; the image's files go when nothing names or holds them any more."""

    def release_all(self, holder: str) -> None:
        """`release` of every image that ``holder`` holds: for one that was killed."""
