"""What other services ask of Cloud Run: calls of what it serves."""

from __future__ import annotations

from typing import Protocol

from gcp_emulator.engine.identity import Identity
from gcp_emulator.front.messages import Request, Response


class Invoker(Protocol):
    """Calls services as Cloud Scheduler, Cloud Tasks and Pub/Sub do."""

    async def invoke(
        self, request: Request, identity: Identity | None = None, audience: str = ""
    ) -> Response:
        """What the service at the request's host answers, to ``identity`` with an ID token for ``audience`` (by default the
        host's address), or to nobody in particular. 404 for a host that is no service's."""
