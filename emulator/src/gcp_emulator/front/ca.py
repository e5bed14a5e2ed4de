"""The emulator's certificate authority: one key and root per state folder, leaf certificates on demand."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from pathlib import Path
from typing import Any

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
DOMAINS = (
    "googleapis.com",
    "google.com",
    "google.internal",
    "run.app",
    "pkg.dev",
    "appspot.com",
    "gcr.io",
    "cloudproxy.app",
)
"""The domains that the emulator answers for: what a client trusts its certificates for."""
MACHINES = "bc.googleusercontent.com"
"""Below it are the names of machines' external addresses. It is the machines that answer, with certificates of this authority if they are given any."""
#: No addresses: where only names are permitted, an address is not forbidden (RFC 5280, 4.2.1.10).
_CONSTRAINTS = x509.NameConstraints(
    permitted_subtrees=[x509.DNSName(domain) for domain in (*DOMAINS, MACHINES)],
    excluded_subtrees=[
        x509.IPAddress(ipaddress.IPv4Network("0.0.0.0/0")),
        x509.IPAddress(ipaddress.IPv6Network("::/0")),
    ],
)
_LIFE = datetime.timedelta(days=365)
#: At the start of an emulator a root that has less left is renewed.
_LEAST_LEFT = datetime.timedelta(days=30)


class CertificateAuthority:
    """Signs for any host name, and is trusted for those of Google Cloud (`DOMAINS`, `MACHINES`). The root's private key never leaves its folder (mode
    0600)."""

    def __init__(self, folder: Path) -> None:
        """Loads the authority in ``folder``; makes one where there is none, or one that may sign for more, or ends soon."""
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate_path = folder / "ca.pem"
        self.bundle_path = folder / "bundle.pem"
        self._key_path = folder / "ca.key"
        self._leaf_path = folder / "leaf.pem"
        self._contexts: dict[str, ssl.SSLContext] = {}
        if not self._is_good():
            self._create()
        self._write_bundle()
        self._key = serialization.load_pem_private_key(self._key_path.read_bytes(), None)
        self._root = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        # One key for all leaves: making one per host costs time and protects nothing on loopback.
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())

    def _is_good(self) -> bool:
        if not (self._key_path.exists() and self.certificate_path.exists()):
            return False
        root = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        if root.not_valid_after_utc - datetime.datetime.now(datetime.UTC) < _LEAST_LEFT:
            return False
        found = [one.value for one in root.extensions if isinstance(one.value, x509.NameConstraints)]
        return found == [_CONSTRAINTS]

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
            .not_valid_after(now + _LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
            )
            .add_extension(_CONSTRAINTS, critical=True)
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
        certificate = _sign(self._root, self._key, host, self._leaf_key)
        return certificate.public_bytes(serialization.Encoding.PEM) + _private_pem(self._leaf_key)


def issue(folder: Path, host: str) -> tuple[bytes, bytes]:
    """A certificate for ``host``, with the root that signed it behind it, and its private key, for a server that is not the emulator itself. The
    authority in ``folder`` is there already."""
    pem = (folder / "ca.pem").read_bytes()
    key = ec.generate_private_key(ec.SECP256R1())
    signing = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    certificate = _sign(x509.load_pem_x509_certificate(pem), signing, host, key)
    return certificate.public_bytes(serialization.Encoding.PEM) + pem, _private_pem(key)


def _sign(
    root: x509.Certificate, signing: Any, host: str, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """A certificate of a root for a host and the key of its server; as long as that of the root itself."""
    now = datetime.datetime.now(datetime.UTC)
    try:
        name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        name = x509.DNSName(host)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])]))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(root.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(signing, hashes.SHA256())
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
