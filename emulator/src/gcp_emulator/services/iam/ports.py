"""What other services ask of IAM: its service accounts, and the keys that sign for them and for Google."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.jwt import PublicKey, SigningKey

#: The owner of the key that signs Google's ID tokens; every other owner is an account's resource name.
GOOGLE = "accounts.google.com"


class Accounts(Protocol):
    """The service accounts of all projects. Records are as ``iam.projects.serviceAccounts.get`` returns them."""

    def find(self, email_or_id: str) -> Json | None:
        """The record of an account by e-mail or unique id."""

    def knows(self, email: str, service: str) -> bool:
        """Whether a service that is told the account finds it; a new one may take a while."""

    def get(self, name: str) -> Json:
        """The record of ``projects/P/serviceAccounts/EMAIL``; ApiError NOT_FOUND."""

    def active(self, email: str) -> Json:
        """The record of an account that may get tokens; ApiError NOT_FOUND, FAILED_PRECONDITION."""

    def create(self, project: str, account_id: str) -> Json:
        """A new account; ApiError ALREADY_EXISTS, INVALID_ARGUMENT."""

    def ensure_default(self, project: str) -> None:
        """Makes the project's Compute Engine default service account unless it is there."""

    def canonical(self, name: str) -> str:
        """``projects/P/serviceAccounts/EMAIL...`` for any spelling of the account."""

    def unique_id(self, identity: Identity) -> str:
        """The ``sub`` of an identity's tokens."""

    async def signing_key(self, owner: str) -> SigningKey:
        """The key that Google manages for ``owner``; made on first use."""

    def public_keys(self, owner: str) -> Sequence[PublicKey]:
        """What verifies the signatures of ``owner``; empty when nothing was ever signed."""

    def public_keys_of(self, email: str) -> Sequence[RSAPublicKey]:
        """As `public_keys` for an account by e-mail, unless it is disabled."""
