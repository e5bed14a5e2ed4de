"""JSON Web Tokens with RS256, and their keys: what Google signs and what service accounts sign.

Source: https://www.rfc-editor.org/rfc/rfc7519, https://developers.google.com/identity/protocols/oauth2/service-account.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.validate import parse_json


@dataclass(frozen=True)
class PublicKey:
    """The public half of a key. ``certificate`` is PEM."""

    id: str
    certificate: str

    @property
    def key(self) -> rsa.RSAPublicKey:
        key = x509.load_pem_x509_certificate(self.certificate.encode()).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise TypeError(f"key {self.id} is not RSA")
        return key

    @property
    def pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM."""
        return self.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def jwk(self) -> Json:
        """The key as a JSON Web Key."""
        numbers = self.key.public_numbers()
        return {
            "kid": self.id,
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "n": _base64(numbers.n),
            "e": _base64(numbers.e),
        }


@dataclass(frozen=True)
class SigningKey:
    """A key that the emulator signs with."""

    id: str
    private: rsa.RSAPrivateKey

    def sign(self, data: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256."""
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())


@dataclass(frozen=True)
class Jwt:
    """A token taken apart; nothing is verified yet."""

    header: Json
    claims: Json
    signed: bytes
    signature: bytes

    def is_signed_by(self, key: RSAPublicKey) -> bool:
        """Whether the signature is RS256 by ``key``."""
        return self.header.get("alg") == "RS256" and verifies(key, self.signature, self.signed)


def encode_jwt(claims: Json | str, key: SigningKey) -> str:
    """The signed token. A string is taken for the serialised claims as they are."""
    header = {"alg": "RS256", "kid": key.id, "typ": "JWT"}
    payload = claims if isinstance(claims, str) else json.dumps(claims, separators=(",", ":"))
    signed = f"{_encode(json.dumps(header, separators=(',', ':')).encode())}.{_encode(payload.encode())}"
    return f"{signed}.{_encode(key.sign(signed.encode()))}"


def decode_jwt(text: str) -> Jwt:
    """The parts of a token; ValueError when it is not one."""
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError("a JWT has three parts")
    try:
        header, claims = (parse_json(_decode(part)) for part in parts[:2])
        signature = _decode(parts[2])
    except (ValueError, ApiError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("header and claims of a JWT are objects")
    return Jwt(header, claims, f"{parts[0]}.{parts[1]}".encode(), signature)


def verifies(key: RSAPublicKey, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` is ``key``'s RSASSA-PKCS1-v1_5 with SHA-256 over ``data``."""
    try:
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _base64(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
