"""What other services ask of Cloud Storage: objects, read and written as somebody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.identity import Identity


@dataclass(frozen=True)
class StoredObject:
    """An object as it is now. ``path`` is never changed, but goes when the object is overwritten or deleted: open it at once."""

    path: Path
    generation: int


class Objects(Protocol):
    """The objects of all buckets."""

    def read_object(
        self, bucket: str, name: str, *, identity: Identity, generation: int | None = None
    ) -> StoredObject:
        """An object that ``identity`` may read; ApiError 404 or 403 (storage.objects.get)."""

    def require_writable(self, bucket: str, name: str, *, identity: Identity) -> None:
        """ApiError 404, 403 or 412 unless ``identity`` may store an object of that name."""

    async def write_object(
        self,
        bucket: str,
        name: str,
        data: bytes,
        *,
        identity: Identity,
        content_type: str = "application/octet-stream",
        metadata: dict[str, str] | None = None,
    ) -> Json:
        """Stores an object as ``identity`` and returns it as the API shows it; ApiError 404, 403 or 412."""
