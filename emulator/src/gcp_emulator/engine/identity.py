"""Who calls: access tokens that carry an identity and expire."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from gcp_emulator.engine.errors import ApiError, credentials_missing, error_info
from gcp_emulator.engine.store import Store

#: Lifetime of an access token in seconds (https://cloud.google.com/docs/authentication/token-types#access).
TOKEN_SECONDS = 3600
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True)
class Identity:
    """A caller. ``member`` is the IAM spelling: ``user:a@example.com`` or ``serviceAccount:x@p.iam.gserviceaccount.com``."""

    member: str

    @property
    def kind(self) -> str:
        """``user`` or ``serviceAccount``."""
        return self.member.partition(":")[0]

    @property
    def email(self) -> str:
        return self.member.partition(":")[2]


def identity_of(email: str) -> Identity:
    """The identity behind an e-mail address."""
    kind = "serviceAccount" if email.endswith(".gserviceaccount.com") else "user"
    return Identity(f"{kind}:{email}")


class Tokens:
    """Issues and resolves access tokens. They survive a restart, as Google's do."""

    def __init__(self, store: Store) -> None:
        self._tokens = store.collection("tokens")
        for token, record in list(self._tokens.items()):
            if record["expires"] <= time.time():
                self._tokens.delete(token)

    def issue(
        self, identity: Identity, *, seconds: int = TOKEN_SECONDS, scope: str = CLOUD_PLATFORM
    ) -> tuple[str, int]:
        """A new token and its lifetime in seconds. ``scope`` is told by tokeninfo; it limits nothing."""
        token = "ya29." + secrets.token_urlsafe(40)
        self._tokens.put(token, {"member": identity.member, "expires": time.time() + seconds, "scope": scope})
        return token, seconds

    def scope(self, token: str) -> str:
        """The scopes of a known token, separated by blanks."""
        return str((self._tokens.get(token) or {}).get("scope", ""))

    def revoke(self, token: str) -> bool:
        """Ends a token; False when there was none."""
        return self._tokens.delete(token)

    def revoke_all(self, identity: Identity) -> None:
        """Ends every token of a caller (a disabled or deleted service account)."""
        for token, record in list(self._tokens.items()):
            if record["member"] == identity.member:
                self._tokens.delete(token)

    def resolve(self, token: str) -> tuple[Identity, int] | None:
        """Identity and remaining seconds, or None for an unknown or expired token."""
        record = self._tokens.peek(token)
        if record is None:
            return None
        left = int(record["expires"] - time.time())
        if left <= 0:
            self._tokens.delete(token)
            return None
        return Identity(record["member"]), left

    def find(self, authorization: str | None) -> Identity | None:
        """The caller behind an Authorization header, or None without a valid token."""
        scheme, _, token = (authorization or "").partition(" ")
        found = self.resolve(token.strip()) if scheme.lower() == "bearer" else None
        return found[0] if found else None

    def authenticate(self, authorization: str | None) -> Identity:
        """The caller behind an Authorization header; ApiError UNAUTHENTICATED in Google's words otherwise."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise credentials_missing()
        found = self.resolve(token.strip())
        if found is None:
            error = ApiError(
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
                "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
                details=[error_info("ACCESS_TOKEN_EXPIRED", "googleapis.com")],
            )
            raise error
        return found[0]
