# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Which packages of Debian distributions of Python need, and which bring what a build, or a site that starts, says that its image lacks.

An image of ``python:X-slim`` has Python's own libraries, and no compiler. The names are those of Debian 12 and 13.
"""

from __future__ import annotations

import re
import typing as t

#: A C compiler, make and the headers of the C library; gcc alone has no headers (https://packages.debian.org/stable/build-essential).
_COMPILER = "build-essential"


class Needs(t.NamedTuple):
    """What a distribution without a wheel for Linux needs of Debian.

    Attributes:
        build: what compiles it.
        run: what it is linked with.
        instead: the Python package that needs none of them, "" if there is none.
    """

    build: tuple[str, ...]
    run: tuple[str, ...] = ()
    instead: str = ""


#: By normalized name (PEP 503), those that have nothing but a source distribution on PyPI, and libraries that are called alike in Debian 12 and 13
#: (those of python-ldap and pylibmc are not). Sources are those of LACKS.
NEEDS = {
    "gssapi": Needs((_COMPILER, "libkrb5-dev"), ("libgssapi-krb5-2",)),
    "mysqlclient": Needs(
        (_COMPILER, "default-libmysqlclient-dev", "pkg-config"), ("libmariadb3",), "PyMySQL"
    ),
    "psycopg-c": Needs((_COMPILER, "libpq-dev"), ("libpq5",), "psycopg-binary"),
    "psycopg2": Needs((_COMPILER, "libpq-dev"), ("libpq5",), "psycopg2-binary"),
    "pycairo": Needs((_COMPILER, "libcairo2-dev", "pkg-config"), ("libcairo2",)),
    "uwsgi": Needs((_COMPILER,)),
}


class Lack(t.NamedTuple):
    """Something that an image lacks.

    Attributes:
        said: how that is said.
        packages: what brings it.
        instead: the Python packages that need none of them, "" if there are none.
    """

    said: re.Pattern[str]
    packages: tuple[str, ...]
    instead: str = ""


def _lack(said: str, *packages: str, instead: str = "") -> Lack:
    return Lack(re.compile(said), packages, instead)


def _header(name: str) -> str:
    """How compilers say that there is no such header."""
    return rf"fatal error: (?:\S*/)?{name}: No such file|'{name}' file not found"


def _program(name: str) -> str:
    """How shells, Python and pip say that there is no such program."""
    return (
        rf"No such file or directory: '(?:\S*/)?{name}'|\b{name}: (?:command )?not found|Cannot find command '{name}'"
        rf"|command '(?:\S*/)?{name}' failed: No such file"
    )


#: With what each library's own instructions name for Debian.
LACKS = (
    # https://www.psycopg.org/docs/install.html#build-prerequisites, https://www.psycopg.org/psycopg3/docs/basic/install.html
    _lack(
        rf"pg_config executable not found|{_program('pg_config')}|{_header('libpq-fe.h')}",
        _COMPILER,
        "libpq-dev",
        instead="psycopg2-binary, or psycopg[binary]",
    ),
    _lack(r"libpq\.so\.5: cannot open|libpq library not found", "libpq5", instead="psycopg2-binary, or psycopg[binary]"),
    # https://github.com/PyMySQL/mysqlclient, "Linux"
    _lack(
        rf"MYSQLCLIENT_CFLAGS|{_program('mysql_config')}|{_header('mysql.h')}|Did you install mysqlclient\?",
        _COMPILER,
        "default-libmysqlclient-dev",
        "pkg-config",
    ),
    _lack(r"libmariadb\.so\.\d+: cannot open|libmysqlclient\.so\.\d+: cannot open", "libmariadb3"),
    # https://docs.djangoproject.com/en/5.2/ref/contrib/gis/install/geolibs/; gdal-bin brings GEOS and PROJ
    _lack(rf"{_program('gdal-config')}|{_header('gdal.h')}|{_header('cpl_[a-z]+.h')}", _COMPILER, "libgdal-dev"),
    _lack(r"Could not find the (?:GDAL|GEOS|PROJ) library|lib(?:gdal|geos_c|proj)\.so[\d.]*: cannot open", "gdal-bin"),
    # https://doc.courtbouillon.org/weasyprint/stable/first_steps.html, "Debian"
    _lack(
        r"cannot load library 'lib(?:gobject|pango|harfbuzz)", "libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0"
    ),
    # https://pycairo.readthedocs.io/en/latest/getting_started.html; https://doc.courtbouillon.org/cairocffi/stable/overview.html
    _lack(
        rf"Dependency \"?cairo\"? not found|No package '?cairo'? found|{_header('cairo.h')}", _COMPILER, "libcairo2-dev", "pkg-config"
    ),
    _lack(r"no library called \"cairo|libcairo\.so\.2: cannot open", "libcairo2"),
    # https://www.python-ldap.org/en/latest/installing.html, "Debian"
    _lack(f"{_header('(?:lber|ldap|sasl).h')}", _COMPILER, "libldap-dev", "libsasl2-dev"),
    # https://github.com/xmlsec/python-xmlsec, "Linux (Debian)"
    _lack(rf"xmlsec1 is not installed|No package '?xmlsec1|{_header('xmlsec.h')}", _COMPILER, "libxmlsec1-dev", "pkg-config"),
    # https://lxml.de/installation.html
    _lack(
        rf"libxml2 and libxslt development packages are installed|{_header('(?:xmlversion|xmlreader|xslt).h')}",
        _COMPILER,
        "libxml2-dev",
        "libxslt1-dev",
    ),
    # https://pillow.readthedocs.io/en/stable/installation/building-from-source.html
    _lack(
        rf"headers or library files could not be found for (?:jpeg|zlib)|{_header('jpeglib.h')}", _COMPILER, "libjpeg-dev", "zlib1g-dev"
    ),
    # https://cryptography.io/en/latest/installation/
    _lack(_header("ffi.h"), _COMPILER, "libffi-dev"),
    _lack(_header("(?:ssl|opensslv|evp|err|aes|sha).h"), _COMPILER, "libssl-dev"),
    _lack(r"can't find Rust compiler|Cargo, the Rust package manager, is not installed", _COMPILER, "cargo"),
    # https://sendapatch.se/projects/pylibmc/install.html
    _lack(_header("memcached.h"), _COMPILER, "libmemcached-dev", "zlib1g-dev"),
    # https://github.com/mkleehammer/pyodbc/wiki/Install
    _lack(_header("sql(?:ext)?.h"), _COMPILER, "unixodbc-dev"),
    _lack(r"libodbc\.so\.\d+: cannot open", "unixodbc"),
    # https://github.com/pythongssapi/python-gssapi, "Installation"
    _lack(rf"{_program('krb5-config')}|{_header('gssapi.h')}", _COMPILER, "libkrb5-dev"),
    # https://github.com/ahupp/python-magic, "Installation"
    _lack(r"failed to find libmagic|libmagic\.so\.1: cannot open", "libmagic1"),
    # https://github.com/opencv/opencv-python, "Installation and Usage": the other package has no window
    _lack(r"libGL\.so\.1: cannot open", "libgl1", instead="opencv-python-headless"),
    _lack(r"libg(?:thread|lib)-2\.0\.so\.0: cannot open", "libglib2.0-0", instead="opencv-python-headless"),
    # https://github.com/NaturalHistoryMuseum/pyzbar, "Installation"
    _lack(r"Unable to find zbar shared library", "libzbar0"),
    # https://github.com/Belval/pdf2image; https://github.com/madmaze/pytesseract
    _lack(r"Is poppler installed and in PATH", "poppler-utils"),
    _lack(r"tesseract is not installed", "tesseract-ocr"),
    # https://docs.djangoproject.com/en/5.2/topics/i18n/translation/
    _lack(r"Can't find msg(?:fmt|merge|uniq|attrib)", "gettext"),
    _lack(_program("git"), "git"),
    _lack(_program("ffmpeg"), "ffmpeg"),
    _lack(_program("cmake"), _COMPILER, "cmake"),
    _lack(_program("pkg-config"), "pkg-config"),
    # https://uwsgi-docs.readthedocs.io/en/latest/Install.html
    _lack(
        r"you need a C compiler to build uWSGI|Unknown compiler\(s\)"
        + "".join(f"|{_program(name)}" for name in (r"(?:[\w-]+-)?gcc", r"(?:[\w-]+-)?g\+\+", "cc", r"c\+\+", "make")),
        _COMPILER,
    ),
)  # fmt: skip
#: What no library's instructions were read for.
_UNKNOWN = re.compile(
    r"fatal error: (?P<header>\S+\.h): No such file|(?P<library>lib[\w.+-]+\.so[\d.]*): cannot open shared object file"
)
#: apt-get's words.
_NO_PACKAGE = re.compile(
    r"E: Unable to locate package (\S+)|E: Package '([^']+)' has no installation candidate"
)


def cure(output: str) -> str:
    """What to do about an image that lacks something of the system, by what was printed; "" if nothing says that it does."""
    if absent := [one or other for one, other in _NO_PACKAGE.findall(output)]:
        return (
            f"Debian has no package {', '.join(dict.fromkeys(absent))}: python:X-slim is of Debian stable, and Ubuntu (Heroku) calls some packages"
            " otherwise. https://packages.debian.org has the names for djangogcp_system_packages, which is taken instead of an Aptfile."
        )
    found = [lack for lack in LACKS if lack.said.search(output)]
    if found:
        packages = list(dict.fromkeys(package for lack in found for package in lack.packages))
        instead = list(dict.fromkeys(lack.instead for lack in found if lack.instead))
        text = (
            f"The image lacks what Debian has in {' and '.join(packages)}: add to the inventory djangogcp_system_packages: [{', '.join(packages)}]"
            f"{_ELSEWHERE}."
        )
        return text + (f" Or list {', or '.join(instead)}, which needs nothing of it." if instead else "")
    unknown = _UNKNOWN.search(output)
    if unknown is None:
        return ""
    return (
        f'The image lacks {unknown["header"] or unknown["library"]}: find which package of Debian has it (https://packages.debian.org, "Search the contents'
        f' of packages"), and name that in djangogcp_system_packages{_ELSEWHERE}.'
    )


_ELSEWHERE = " (a Dockerfile of the project's own installs it itself; a rehearsal builds either with REHEARSAL_RUNTIME=docker)"
