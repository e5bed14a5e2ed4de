"""RSA keys: those that Google keeps for a service account, those that an account's owner downloads, and Google's own.

Source: https://cloud.google.com/iam/docs/service-account-creds#key-types.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.jwt import PublicKey, SigningKey
from gcp_emulator.engine.store import Store

_SYSTEM_YEARS = datetime.timedelta(days=730)
_NEVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


class KeyRing:
    """Every key by name: ``OWNER/keys/ID``, the owner being ``projects/P/serviceAccounts/EMAIL`` or ``GOOGLE``."""

    def __init__(self, store: Store) -> None:
        self._keys = store.collection("iam.keys")
        self._signing: dict[str, SigningKey] = {}
        self._making = asyncio.Lock()

    def get(self, name: str) -> Json | None:
        """The record of a key."""
        return self._keys.get(name)

    def put(self, name: str, record: Json) -> None:
        self._keys.put(name, record)

    def delete(self, name: str) -> None:
        self._keys.delete(name)

    def records(self, owner: str) -> list[tuple[str, Json]]:
        """Name and record of each key of ``owner``."""
        return list(self._keys.items(f"{owner}/keys/"))

    def forget(self, owner: str) -> None:
        """Deletes every key of ``owner``."""
        for name in self._keys.names(f"{owner}/keys/"):
            self._keys.delete(name)
        self._signing.pop(owner, None)

    def public_keys(self, owner: str) -> list[PublicKey]:
        """The enabled keys of ``owner``: what verifies its signatures. Empty when nothing was ever signed."""
        return [
            PublicKey(name.rpartition("/")[2], record["certificate"])
            for name, record in self.records(owner)
            if not record.get("disabled")
        ]

    async def signing_key(self, owner: str) -> SigningKey:
        """The key that Google manages for ``owner``; made on first use."""
        if owner not in self._signing:
            async with self._making:
                # Who waited for the lock finds the key that the other call has made.
                self._signing[owner] = self._stored(owner) or await self._make_system_key(owner)
        return self._signing[owner]

    async def make_user_key(self, owner: str) -> tuple[str, Json, str]:
        """A key for download: its name, its record and the private key in PEM, which is kept nowhere."""
        private, record = await _generate(owner, _NEVER)
        name = f"{owner}/keys/{record['id']}"
        record |= {"keyType": "USER_MANAGED"}
        self._keys.put(name, record)
        return name, record, private

    async def _make_system_key(self, owner: str) -> SigningKey:
        private, record = await _generate(owner, clock.now() + _SYSTEM_YEARS)
        record |= {"keyType": "SYSTEM_MANAGED", "private": private}
        self._keys.put(f"{owner}/keys/{record['id']}", record)
        return _load(record)

    def _stored(self, owner: str) -> SigningKey | None:
        return next((_load(record) for _, record in self.records(owner) if "private" in record), None)


def _load(record: Json) -> SigningKey:
    # The emulator made the key itself; checking its primes again would take longer than signing.
    key = serialization.load_pem_private_key(
        record["private"].encode(), None, unsafe_skip_rsa_key_validation=True
    )
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"key {record['id']} is not RSA")
    return SigningKey(record["id"], key)


async def _generate(owner: str, until: datetime.datetime) -> tuple[str, Json]:
    return await asyncio.to_thread(_generate_now, owner, until)


def _generate_now(owner: str, until: datetime.datetime) -> tuple[str, Json]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    begins = clock.now().replace(microsecond=0)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, owner.rpartition("/")[2][:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(until)
        .sign(private, hashes.SHA256())
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    record: Json = {
        "id": hashlib.sha1(public, usedforsecurity=False).hexdigest(),
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "validAfterTime": begins.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "validBeforeTime": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode(), record
