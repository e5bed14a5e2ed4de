"""What other services ask of the organisation policies: whether what they are about to do is allowed in a project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gcp_emulator.engine.errors import Json


class Constraints(Protocol):
    """The policies in effect. Constraints are named without ``constraints/``, as policies are (``gcp.resourceLocations``)."""

    def enforces(self, project: str, constraint: str) -> bool:
        """Whether a boolean constraint is enforced in the project."""

    def allows(self, project: str, constraint: str, value: str) -> bool:
        """Whether a list constraint allows the value in the project (of ``gcp.resourceLocations``: a location, ``global`` too)."""

    def require_location(self, project: str, kind: str, locations: Iterable[str]) -> None:
        """FAILED_PRECONDITION unless a ``kind`` ("secret") may be made in all of the locations."""

    def forbid(self, project: str, constraint: str, resource: str) -> None:
        """FAILED_PRECONDITION where a managed constraint is enforced, which what is asked for the resource violates."""

    def outsiders(self, project: str, members: Iterable[str]) -> list[str]:
        """Those of the members of a policy that ``iam.allowedPolicyMemberDomains`` keeps out, sorted."""

    def declare(self, resource: str, constraint: str, spec: Json) -> None:
        """The policy of ``projects/P``, ``folders/F`` or ``organizations/O``, unless there is one; ValueError for a constraint that is not
        known."""
