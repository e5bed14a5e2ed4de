"""What others ask of Cloud Build."""

from __future__ import annotations

from typing import Protocol


class BuildLocations(Protocol):
    """Where projects may build."""

    def restrict(self, project: str) -> None:
        """Lets a project build only where every project may, as Google Cloud does to new ones."""
