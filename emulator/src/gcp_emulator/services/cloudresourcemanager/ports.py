"""What other services and the seed ask of what is above projects."""

from __future__ import annotations

from typing import Protocol


class Hierarchy(Protocol):
    """Organisations, folders and billing accounts."""

    def above(self, name: str) -> str | None:
        """The folder or organisation that ``projects/ID`` or ``folders/ID`` is in; None where there is none."""

    def domain(self, name: str) -> str:
        """The domain of the organisation that ``projects/ID`` or ``folders/ID`` is in; "" where there is none."""

    def declare(self, name: str, display_name: str = "", parent: str | None = None) -> None:
        """Adds ``organizations/ID``, ``folders/ID`` or ``billingAccounts/ID``; from now on there are only those that were added."""

    def is_declared(self, name: str) -> bool:
        """Whether it has been added."""

    def put_under(self, project_id: str, parent: str) -> None:
        """Says what a project is in."""
