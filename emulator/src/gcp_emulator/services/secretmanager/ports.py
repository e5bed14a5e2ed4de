"""What other services ask of Secret Manager."""

from __future__ import annotations

from typing import Protocol


class Secrets(Protocol):
    """What secrets hold."""

    def payload(self, name: str) -> bytes:
        """The bytes of an enabled version; ApiError NOT_FOUND, FAILED_PRECONDITION. Permissions are the caller's business."""
