# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates that visitors could not be served with."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.org.djangogcp.plugins.filter.certificate_problems import certificate_problems
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _unused in range(2))
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def certificate(
    *names: str, begins: datetime.datetime = NOW - 2 * DAY, ends: datetime.datetime = NOW + DAY
) -> str:
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        built = built.add_extension(alternatives, critical=False)
    return built.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


GOOD = certificate("shop.example.com")


def test_a_good_one() -> None:
    assert certificate_problems(GOOD, pem(KEY), ["shop.example.com"]) == []
    assert certificate_problems(GOOD, pem(KEY), ["Shop.Example.com"]) == []
    assert certificate_problems(certificate("*.example.com"), pem(KEY), ["shop.example.com"]) == []
    # With those between it and its authority.
    assert certificate_problems(GOOD + certificate("an.authority"), pem(KEY), ["shop.example.com"]) == []


@pytest.mark.parametrize(
    ("given", "key", "problems"),
    [
        ("", pem(KEY), ["there is no such file, or it is empty"]),
        (GOOD, "", ["there is no file of its key, or it is empty"]),
        (pem(KEY), pem(KEY), ["it is no certificate in PEM"]),
        (GOOD, GOOD, ["its key is no private key in PEM"]),
        (GOOD, pem(OTHER), ["its key belongs to another certificate"]),
        (GOOD, pem(KEY, b"secret"), ["its key is encrypted, which nginx would ask a person for"]),
        (certificate(), pem(KEY), ["it has no host names (subjectAltName)"]),
        (
            certificate("www.example.com", "*.shop.example.com"),
            pem(KEY),
            ["it is for www.example.com, *.shop.example.com, and not for shop.example.com"],
        ),
        (
            certificate("shop.example.com", ends=datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC), begins=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
            pem(OTHER),
            ["it ended on 2026-02-01 00:00 UTC", "its key belongs to another certificate"],
        ),
        (
            certificate("shop.example.com", begins=datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC), ends=datetime.datetime(2101, 1, 1, tzinfo=datetime.UTC)),
            pem(KEY),
            ["it begins on 2100-01-01 00:00 UTC"],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(given: str, key: str, problems: list[str]) -> None:
    assert certificate_problems(given, key, ["shop.example.com"]) == problems
