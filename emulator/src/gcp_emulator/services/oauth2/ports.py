"""What other services ask of Google's OAuth: ID tokens, and the logins of people."""

from __future__ import annotations

from typing import Protocol

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.identity import Identity


class IdTokens(Protocol):
    """ID tokens that Google signs."""

    async def id_token(self, identity: Identity, audience: str, *, email: bool = True) -> str:
        """An ID token of ``identity`` for ``audience``, with its e-mail address or without."""

    def verify_id_token(self, token: str, audience: str | None = None) -> Json | None:
        """The claims of an ID token that Google signed, not expired and (when given) for ``audience``; else None."""


class Logins(Protocol):
    """People who have let a program act for them."""

    def refresh_token(self, email: str) -> str:
        """A new refresh token of ``email``, as `gcloud auth application-default login` gets one."""
