# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Keys, credentials and data by what is in a file, whatever its name is. Nothing of what is found is kept or told."""

from __future__ import annotations

import json
import re
import typing as t

#: Ends of names of files that may hold public keys and certificates only, which a project needs, for instance to verify a server.
MAY_BE_PUBLIC = (".pem", ".key")

_CHUNK = 1024 * 1024
#: What stands between a key's first line and the key itself, at most: line ends, also as other languages write them, and the headers of RFC 1421.
_MAX_LEAD = 1024
#: A text that only names the first line of a key, as code and manuals do, has no key after it.
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:\s|\\[rn]|[\"'+,(])*(?:[A-Z][A-Za-z-]+:[^\r\n]*(?:\s|\\[rn])+){0,4}[A-Za-z0-9+/]{32}"
)
_KEY_MARK = b"PRIVATE KEY"
_PUTTY_KEY = b"PuTTY-User-Key-File-"
_PUBLIC = re.compile(
    rb"-----BEGIN (?:(?:X509 |TRUSTED )?CERTIFICATE|(?:RSA )?PUBLIC KEY|PGP PUBLIC KEY BLOCK)-----"
)
#: Google downloads a key as PROJECT-ID.json, so its name does not tell. A key file has 2.4 kB.
_MAX_KEY_BYTES = 64 * 1024
#: The first bytes of a database of SQLite (https://www.sqlite.org/fileformat.html) and of an archive of pg_dump.
_SQLITE, _PG_ARCHIVE = b"SQLite format 3\0", b"PGDMP"
_SQLITE_NAMES = (".db", ".db3")
#: The first lines of a dump as text, by pg_dump, mysqldump and mariadb-dump.
_DUMP = re.compile(
    rb"\s*(?:--\s*)*(?:/\*.*?\*/\s*)?-- (?:PostgreSQL database (?:cluster )?dump|MySQL dump|MariaDB dump)"
)
_ROWS = re.compile(rb"^(?:COPY .* FROM stdin;|INSERT INTO )", re.MULTILINE)
#: Tokens in a configuration of npm. One that is taken from the environment is none.
_NPM = re.compile(rb"(?:_authToken|_auth|_password)\s*=\s*[\"']?(?!\$)\S")


def is_sensitive(name: str, file: t.BinaryIO) -> bool:
    """Whether a file holds a private key, credentials or a copy of a database. Leaves it at its beginning."""
    try:
        return _is_sensitive(name.rpartition("/")[2].lower(), file)
    finally:
        file.seek(0)


def _is_sensitive(name: str, file: t.BinaryIO) -> bool:
    begin = file.read(_CHUNK)
    if begin.startswith(_PG_ARCHIVE) or (name.endswith(_SQLITE_NAMES) and begin.startswith(_SQLITE)):
        return True
    if begin.startswith(_PUTTY_KEY) or (name == ".npmrc" and _NPM.search(begin)) or _is_google_key(begin):
        return True
    is_dump = _DUMP.match(begin[:4096]) is not None
    rest = b""
    while begin:
        window = rest + begin
        if _KEY_MARK in window and _PRIVATE_KEY.search(window):
            return True
        if is_dump and _ROWS.search(window):
            return True
        rest, begin = window[-_MAX_LEAD:], file.read(_CHUNK)
    return False


def _is_google_key(begin: bytes) -> bool:
    """Whether a file is a key of a service account, or a person's refresh token or client."""
    if len(begin) > _MAX_KEY_BYTES or not begin.lstrip().startswith(b"{"):
        return False
    try:
        found = json.loads(begin)
    except (ValueError, RecursionError):
        return False
    if found.get("type") in ("service_account", "authorized_user"):
        return True
    return any(
        isinstance(found.get(kind), dict) and "client_secret" in found[kind] for kind in ("web", "installed")
    )


def is_public_key_file(path: str) -> bool:
    """Whether a file holds public keys or certificates, and no private key."""
    try:
        with open(path, "rb") as file:
            return bool(_PUBLIC.search(file.read(_CHUNK))) and not is_sensitive(path, file)
    except OSError:
        return False
