# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_problems
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Find what is wrong with a given certificate
description:
  - Private to the role compute_engine. Tells why visitors could not be served with a certificate, before it takes the place of another.
options:
  _input:
    description: The certificate in PEM, and after it those between it and its authority.
    type: str
    required: true
  key:
    description: Its key in PEM.
    type: str
    required: true
  names:
    description: The host names of the site.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a certificate that visitors could not be served with
  ansible.builtin.assert:
    that: lookup('file', 'shop.pem') | org.djangogcp.certificate_problems(lookup('file', 'shop.key'), ['shop.example.com']) | length == 0
"""

RETURN = r"""
_value:
  description: A part of a sentence for each problem.
  type: list
  elements: str
  sample:
    - "it ended on 2026-02-01 00:00 UTC"
    - "it is for www.example.com, and not for shop.example.com"
"""

import datetime
import typing as t

from ansible.errors import AnsibleFilterError

# ansible-core needs it for vaults.
try:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
except ImportError as error:
    IMPORT_ERROR: ImportError | None = error
else:
    IMPORT_ERROR = None


def certificate_problems(certificate: str, key: str, names: t.Sequence[str]) -> list[str]:
    """What is wrong with it. See DOCUMENTATION.

    Raises:
        AnsibleFilterError: the library cryptography is missing.
    """
    if IMPORT_ERROR:
        raise AnsibleFilterError(
            f"certificate_problems needs the Python library cryptography: {IMPORT_ERROR}"
        )
    if not certificate.strip():
        return ["there is no such file, or it is empty"]
    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        return ["it is no certificate in PEM"]
    return [*_time_problems(found), *_name_problems(found, names), *_key_problems(found, key)]


def _time_problems(certificate: x509.Certificate) -> list[str]:
    now = datetime.datetime.now(datetime.UTC)
    if certificate.not_valid_after_utc < now:
        return [f"it ended on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"]
    if certificate.not_valid_before_utc > now:
        return [f"it begins on {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"]
    return []


def _name_problems(certificate: x509.Certificate, names: t.Sequence[str]) -> list[str]:
    """Browsers look at the alternative names alone (RFC 9525), of which * stands for one label."""
    try:
        told = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ["it has no host names (subjectAltName)"]
    has = [name.lower() for name in told.get_values_for_type(x509.DNSName)]
    missing = [name for name in names if not {name.lower(), f"*.{name.lower().partition('.')[2]}"} & {*has}]
    return [f"it is for {', '.join(has) or 'no host'}, and not for {', '.join(missing)}"] if missing else []


def _key_problems(certificate: x509.Certificate, key: str) -> list[str]:
    if not key.strip():
        return ["there is no file of its key, or it is empty"]
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except TypeError:
        return ["its key is encrypted, which nginx would ask a person for"]
    except ValueError:
        return ["its key is no private key in PEM"]
    return (
        [] if private.public_key() == certificate.public_key() else ["its key belongs to another certificate"]
    )


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"certificate_problems": certificate_problems}
