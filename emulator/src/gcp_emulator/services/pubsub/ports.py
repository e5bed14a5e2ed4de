"""What other services ask of Pub/Sub."""

from __future__ import annotations

from typing import Protocol


class Topics(Protocol):
    """The topics of projects."""

    def has_topic(self, name: str) -> bool:
        """Whether there is a topic ``projects/P/topics/T``."""
