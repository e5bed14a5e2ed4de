"""The emulator's certificate authority: one key and root per state folder, leaf certificates on demand."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gcp_emulator.front import http2

#: Where Debian, Fedora and Alpine have it.
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_YEARS = datetime.timedelta(days=3650)


class CertificateAuthority:
    """Signs for any host name. The root's private key never leaves its folder (mode 0600)."""

    def __init__(self, folder: Path) -> None:
        """Loads the authority in ``folder``, or makes one there."""
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate_path = folder / "ca.pem"
        self.bundle_path = folder / "bundle.pem"
        self._key_path = folder / "ca.key"
        self._leaf_path = folder / "leaf.pem"
        self._contexts: dict[str, ssl.SSLContext] = {}
        if not self._key_path.exists():
            self._create()
        self._write_bundle()
        self._key = serialization.load_pem_private_key(self._key_path.read_bytes(), None)
        self._root = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        # One key for all leaves: making one per host costs time and protects nothing on loopback.
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gcp-emulator root")])
        now = datetime.datetime.now(datetime.UTC)
        root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + _YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = root.public_bytes(serialization.Encoding.PEM)
        _write_private(self._key_path, _private_pem(key))
        self.certificate_path.write_bytes(pem)

    def _write_bundle(self) -> None:
        """The root beside the certificates that this machine trusts, as its variables or its system have them: whoever trusts the bundle
        alone still reaches other hosts."""
        defaults = ssl.get_default_verify_paths()
        named = [
            os.environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        ]
        places = [*named, defaults.cafile, defaults.openssl_cafile, *_SYSTEM_BUNDLES]
        known = next(
            (
                Path(place)
                for place in places
                if place and Path(place) != self.bundle_path and Path(place).is_file()
            ),
            None,
        )
        content = known.read_bytes() if known and known else b""
        root = self.certificate_path.read_bytes()
        fresh = self.bundle_path.with_suffix(".new")
        fresh.write_bytes(content + b"\n" + root)
        fresh.replace(self.bundle_path)

    def context(self, host: str) -> ssl.SSLContext:
        """A server-side TLS context with a certificate for ``host``."""
        if host not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # In the order of preference: only who speaks nothing else gets HTTP/2.
            context.set_alpn_protocols(["http/1.1", http2.PROTOCOL])
            # Hardly a client resumes its sessions, and making the tickets for it is a third of a handshake.
            context.num_tickets = 0
            # ssl can only load from a file; the folder is private.
            _write_private(self._leaf_path, self._leaf(host))
            context.load_cert_chain(self._leaf_path)
            self._leaf_path.unlink()
            self._contexts[host] = context
        return self._contexts[host]

    def _leaf(self, host: str) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])]))
            .issuer_name(self._root.subject)
            .public_key(self._leaf_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._root.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
            .sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + _private_pem(self._leaf_key)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
