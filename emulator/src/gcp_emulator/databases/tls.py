"""The certificates of one database server: its authority, its own certificate, and short-lived ones of its clients.

Cloud SQL gives every instance an authority of its own, so a client certificate says by its issuer which instance it
opens (https://cloud.google.com/sql/docs/postgres/configure-ssl-instance, server CA mode GOOGLE_MANAGED_INTERNAL_CA).
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
import ssl
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: How long Cloud SQL's server authorities live.
_YEARS = datetime.timedelta(days=3650)
_ARMOUR = re.compile(
    r"-----BEGIN [A-Z ]*PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END [A-Z ]*PUBLIC KEY-----\s*"
)
#: The token's place in a client certificate, beside the e-mail address: a URI of the subject's alternative names.
_TOKEN = "urn:access-token:"  # noqa: S105 - a prefix


@dataclass(frozen=True)
class Client:
    """What a client certificate says: whose it is, and the access token to log in with, if it carries one."""

    email: str
    token: str | None


class ServerAuthority:
    """The authority of one server. ``name`` is the common name of the server's certificate."""

    def __init__(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.name = name
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, name: str) -> ServerAuthority:
        """A new authority with a key of its own, for ten years."""
        key = ec.generate_private_key(ec.SECP256R1())
        # Google tells its authorities apart by the qualifier too.
        subject = _subject("Cloud SQL Server CA", str(uuid.uuid4()))
        certificate = (
            _builder(subject, subject, key.public_key(), _YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(name, key, certificate)

    @classmethod
    def load(cls, name: str, pem: str) -> ServerAuthority:
        """The authority that :meth:`dump` wrote."""
        key = serialization.load_pem_private_key(pem.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(name, key, x509.load_pem_x509_certificate(pem.encode()))

    def dump(self) -> str:
        """Private key and certificate as PEM."""
        return _private_pem(self._key) + to_pem(self.certificate)

    def server_context(self) -> ssl.SSLContext:
        """A TLS context of the server, which takes only clients with a certificate of this authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = self._sign(_subject(self.name), key.public_key(), _YEARS, usage)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=to_pem(self.certificate))
        # ssl can only load from a file; the folder is private.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "server.pem"
            path.write_text(to_pem(certificate) + _private_pem(key), "utf-8")
            context.load_cert_chain(path)
        return context

    def sign_client(self, public_key: str, client: Client, lifetime: datetime.timedelta) -> x509.Certificate:
        """A certificate of ``client`` for its PEM-encoded public key; ValueError when that is none."""
        names: list[x509.GeneralName] = [x509.RFC822Name(client.email)]
        if client.token is not None:
            names.append(x509.UniformResourceIdentifier(_TOKEN + client.token))
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        subject = _subject("Cloud SQL ephemeral client")
        return self._sign(
            subject, _public_key(public_key), lifetime, usage, x509.SubjectAlternativeName(names)
        )

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        lifetime: datetime.timedelta,
        *extensions: x509.ExtensionType,
    ) -> x509.Certificate:
        issuer = self._key.public_key()
        builder = (
            _builder(subject, self.certificate.subject, key, lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def read_client(certificate: bytes) -> Client:
    """The client behind a certificate (DER) that :meth:`ServerAuthority.sign_client` made."""
    names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    (email,) = names.value.get_values_for_type(x509.RFC822Name)
    tokens = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return Client(email, tokens[0].removeprefix(_TOKEN) if tokens else None)


def to_pem(certificate: x509.Certificate) -> str:
    """A certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + lifetime)
    )


def _subject(name: str, qualifier: str | None = None) -> x509.Name:
    # A server's name (PROJECT:INSTANCE) may be longer than the 64 characters that X.520 allows; clients compare it whole.
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False)]
    if qualifier is not None:
        attributes.append(x509.NameAttribute(NameOID.DN_QUALIFIER, qualifier))
    return x509.Name(attributes)


def _public_key(pem: str) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    # Google's Go connector writes "RSA PUBLIC KEY" over a SubjectPublicKeyInfo, so the armour's words decide nothing.
    found = _ARMOUR.fullmatch(pem.strip())
    if found is None:
        raise ValueError("it is not PEM-encoded")
    try:
        key = serialization.load_der_public_key(base64.b64decode(found[1]))
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        raise ValueError("it cannot be read") from None
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise ValueError("it is neither an RSA nor an elliptic curve key")
    return key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
