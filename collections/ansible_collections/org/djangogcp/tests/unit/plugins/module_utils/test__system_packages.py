# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of an image that lacks something of the system."""

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._system_packages import LACKS, cure

ELSEWHERE = " (a Dockerfile of the project's own installs it itself; a rehearsal builds either with REHEARSAL_RUNTIME=docker)"
BUILD = "build-essential"


@pytest.mark.parametrize(
    ("printed", "packages"),
    [
        ("Error: pg_config executable not found.", [BUILD, "libpq-dev"]),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'pg_config'", [BUILD, "libpq-dev"]),
        ("./psycopg/psycopg.h:35:10: fatal error: libpq-fe.h: No such file or directory", [BUILD, "libpq-dev"]),
        ("ImportError: libpq.so.5: cannot open shared object file: No such file or directory", ["libpq5"]),
        ("Exception: Can not find valid pkg-config name.\nSpecify MYSQLCLIENT_CFLAGS and", [BUILD, "default-libmysqlclient-dev", "pkg-config"]),
        ("Error loading MySQLdb module.\nDid you install mysqlclient?", [BUILD, "default-libmysqlclient-dev", "pkg-config"]),
        ("ImportError: libmariadb.so.3: cannot open shared object file", ["libmariadb3"]),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'gdal-config'", [BUILD, "libgdal-dev"]),
        ('ImproperlyConfigured: Could not find the GDAL library (tried "gdal")', ["gdal-bin"]),
        ("OSError: cannot load library 'libgobject-2.0-0': libgobject", ["libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0"]),
        ("../cairo/meson.build:31:12: ERROR: Dependency \"cairo\" not found, tried pkgconfig", [BUILD, "libcairo2-dev", "pkg-config"]),
        ("Modules/LDAPObject.h:6:10: fatal error: lber.h: No such file or directory", [BUILD, "libldap-dev", "libsasl2-dev"]),
        ("fatal error: sasl/sasl.h: No such file or directory", [BUILD, "libldap-dev", "libsasl2-dev"]),
        ("Error: Please make sure the libxml2 and libxslt development packages are installed.", [BUILD, "libxml2-dev", "libxslt1-dev"]),
        ("The headers or library files could not be found for jpeg,", [BUILD, "libjpeg-dev", "zlib1g-dev"]),
        ("c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory", [BUILD, "libffi-dev"]),
        ("ImportError: failed to find libmagic.  Check your installation", ["libmagic1"]),
        ("CommandError: Can't find msgfmt. Make sure you have GNU gettext tools", ["gettext"]),
        ("ERROR: Cannot find command 'git' - do you have 'git' installed", ["git"]),
        ("error: command 'gcc' failed: No such file or directory", [BUILD]),
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", [BUILD]),
        ("/bin/sh: 1: make: not found", [BUILD]),
        ("Exception: you need a C compiler to build uWSGI", [BUILD]),
        ("fatal error: ffi.h: No such file\nfatal error: openssl/ssl.h: No such file", [BUILD, "libffi-dev", "libssl-dev"]),
    ],
)  # fmt: skip
def test_what_an_image_lacks_is_named_as_packages_of_debian(printed: str, packages: list[str]) -> None:
    said = cure(f"Collecting x\n{printed}\nnote: This error originates from a subprocess")
    assert said.startswith(
        f"The image lacks what Debian has in {' and '.join(packages)}: add to the inventory djangogcp_system_packages:"
        f" [{', '.join(packages)}]{ELSEWHERE}."
    )


def test_a_python_package_that_needs_none_is_named_too() -> None:
    assert cure("Error: pg_config executable not found.").endswith(
        ". Or list psycopg2-binary, or psycopg[binary], which needs nothing of it."
    )
    assert "Or list" not in cure("fatal error: ffi.h: No such file")


@pytest.mark.parametrize(
    ("printed", "lacking"),
    [
        ("fatal error: quux/quux.h: No such file or directory", "quux/quux.h"),
        ("OSError: libquux.so.7: cannot open shared object file: No such file or directory", "libquux.so.7"),
    ],
)
def test_what_is_not_known_is_named_with_where_to_look(printed: str, lacking: str) -> None:
    assert cure(printed) == (
        f'The image lacks {lacking}: find which package of Debian has it (https://packages.debian.org, "Search the contents of packages"), and name'
        f" that in djangogcp_system_packages{ELSEWHERE}."
    )


def test_a_package_that_debian_does_not_have_is_named() -> None:
    assert cure("Reading package lists...\nE: Unable to locate package libasound3\n").startswith(
        "Debian has no package libasound3: python:X-slim is of Debian stable, and Ubuntu (Heroku) calls some packages otherwise."
    )


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "ModuleNotFoundError: No module named 'environ'",
        "urllib.error.HTTPError: HTTP Error 404: not found",
        "error: command '/usr/bin/gcc' failed with exit code 1",
        "FileNotFoundError: [Errno 2] No such file or directory: 'data.json'",
    ],
)
def test_of_other_failures_nothing_is_said(printed: str) -> None:
    assert cure(printed) == ""


def test_every_name_is_one_of_debian() -> None:
    assert [name for lack in LACKS for name in lack.packages if not rules.DEBIAN_PACKAGE.test(name)] == []
