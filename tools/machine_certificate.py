"""Makes the certificate of a rehearsed machine: ``machine_certificate.py STATE FOLDER HOST``.

The authority of the emulator whose state is in STATE signs it. It is FOLDER/HOST.pem, whose path is printed, and its key is FOLDER/HOST.key. It is kept until
it ends within a day, or until the emulator has another authority.
"""

from __future__ import annotations

import datetime
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from gcp_emulator.front import ca

_LEAST_LEFT = datetime.timedelta(days=1)


def main(state: str, folder: str, host: str) -> int:
    """Sees to the certificate; returns the exit status."""
    authority, certificate = Path(state) / "ca", Path(folder) / f"{host}.pem"
    try:
        if not _is_good(certificate, authority):
            _make(certificate, authority, host)
    except OSError as error:
        print(f"error: no certificate for {host}: {error.strerror}: {error.filename}", file=sys.stderr)
        return 1
    print(certificate)
    return 0


def _is_good(certificate: Path, authority: Path) -> bool:
    if not (certificate.exists() and certificate.with_suffix(".key").exists()):
        return False
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        found.verify_directly_issued_by(x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes()))
    except (ValueError, InvalidSignature):
        return False
    return found.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > _LEAST_LEFT


def _make(certificate: Path, authority: Path, host: str) -> None:
    chain, key = ca.issue(authority, host)
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(certificate.with_suffix(".key"), key, 0o600)
    # The last step: what is there is complete.
    _write(certificate, chain, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
