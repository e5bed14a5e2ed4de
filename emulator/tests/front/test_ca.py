"""The certificate authority, with the verification of real TLS clients."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from gcp_emulator.front import ca
from gcp_emulator.front.ca import CertificateAuthority

from emulator.tests import handshakes

NOW = datetime.datetime.now(datetime.UTC)


def shake_hands(authority: CertificateAuthority, host: str) -> None:
    """Of a client that trusts the authority's root alone with a server of the authority's."""
    handshakes.shake_hands(authority.context(host), authority.certificate_path, host)


def root_of(authority: CertificateAuthority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.certificate_path.read_bytes())


@pytest.mark.parametrize(
    "host",
    [
        "run.googleapis.com",
        "storage.googleapis.com",
        "shop-123.us-central1.run.app",
        "us-central1-docker.pkg.dev",
        "accounts.google.com",
        "metadata.google.internal",
        "gcr.io",
        "shop.appspot.com",
        "2.0.18.198.bc.googleusercontent.com",
    ],
)
def test_clients_trust_it_for_what_the_emulator_answers_for(tmp_path: Path, host: str) -> None:
    shake_hands(CertificateAuthority(tmp_path), host)


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "bank.example",
        "notgoogle.com",
        "googleapis.com.evil.example",
        "lh3.googleusercontent.com",
        "127.0.0.1",
    ],
)
def test_clients_do_not_trust_it_for_anything_else(tmp_path: Path, host: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"permitted subtree violation|excluded subtree"):
        shake_hands(CertificateAuthority(tmp_path), host)


def test_a_root_serves_for_as_long_as_it_can(tmp_path: Path) -> None:
    first = root_of(CertificateAuthority(tmp_path))
    assert root_of(CertificateAuthority(tmp_path)) == first
    assert first.not_valid_after_utc < NOW + datetime.timedelta(days=366)


def test_a_root_that_ends_soon_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ca, "_LIFE", datetime.timedelta(days=29))
    first = CertificateAuthority(tmp_path)
    before, pem = root_of(first), first.certificate_path.read_text("utf-8")
    monkeypatch.undo()
    second = CertificateAuthority(tmp_path)
    assert root_of(second).not_valid_after_utc > NOW + datetime.timedelta(days=360)
    assert root_of(second).public_key() != before.public_key()
    text = second.bundle_path.read_text("utf-8")
    assert second.certificate_path.read_text("utf-8") in text
    assert pem not in text
    shake_hands(second, "run.googleapis.com")


def test_a_root_with_other_constraints_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ca, "_CONSTRAINTS", x509.NameConstraints([x509.DNSName("example.com")], None))
    first = root_of(CertificateAuthority(tmp_path))
    monkeypatch.undo()
    second = CertificateAuthority(tmp_path)
    assert root_of(second) != first
    shake_hands(second, "run.googleapis.com")
