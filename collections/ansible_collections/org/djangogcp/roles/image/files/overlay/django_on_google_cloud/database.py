# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The address of the database, in the form that django-environ, dj-database-url and the drivers read."""

from __future__ import annotations

import importlib.util
import re
import urllib.parse
from typing import Any, Mapping

POSTGRESQL = "django.db.backends.postgresql"
MYSQL = "django.db.backends.mysql"
ENGINES = {
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    "mysql": MYSQL,
    "sqlite": "django.db.backends.sqlite3",
}
#: Where a server is and how it is spoken to: the platform's to say, and not the project's. (libpq, "Parameter Key Words"; mysqlclient.)
_CONNECTING = {
    "host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service", "unix_socket", "ssl", "ssl_mode", "sslmode", "sslcert",
    "sslkey", "sslrootcert", "sslcrl", "channel_binding", "gssencmode", "requiressl", "target_session_attrs",
}  # fmt: skip


def parsed(url: str) -> dict[str, Any]:
    """The entry of ``DATABASES`` that ``postgres://USER:PASSWORD@/NAME?host=/cloudsql/PROJECT:REGION:INSTANCE`` says.

    Raises:
        ValueError: it is no address of a database. The message does not show it, since it may hold a password.
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        raise ValueError("DATABASE_URL is no URL") from None
    if parts.scheme not in ENGINES:
        raise ValueError(f"DATABASE_URL begins with {parts.scheme!r}: expected one of {', '.join(ENGINES)}")
    path, name = "", urllib.parse.unquote(parts.path[1:])
    if parts.scheme == "sqlite":
        # As SQLAlchemy has it, and all others: three slashes for a relative path, and :memory: where a host would be.
        return {"ENGINE": ENGINES["sqlite"], "NAME": name or ":memory:"}
    try:
        port = parts.port
    except ValueError:
        raise ValueError(
            "DATABASE_URL names no port (what is special in a password has to be percent-encoded)"
        ) from None
    options: dict[str, Any] = dict(urllib.parse.parse_qsl(parts.query))
    if name.startswith("/"):
        # As Google's guide has it, and django-environ reads it: postgres://USER:PASSWORD@//cloudsql/PROJECT:REGION:INSTANCE/NAME
        path, _slash, name = name.rpartition("/")
    socket = options.pop("host", "") or options.pop("unix_socket", "")
    host = socket or path or urllib.parse.unquote(parts.hostname or "")
    return {
        "ENGINE": ENGINES[parts.scheme],
        "NAME": name,
        "USER": urllib.parse.unquote(parts.username or ""),
        "PASSWORD": urllib.parse.unquote(parts.password or ""),
        # A path is that of a socket, for Django's drivers of either server.
        "HOST": host,
        "PORT": str(port or options.pop("port", "")),
        "OPTIONS": options,
    }


def _family(engine: str) -> str:
    """The kind of server behind a backend, whoever wrote it: ``django.contrib.gis.db.backends.postgis`` is PostgreSQL's."""
    engine = engine.lower()
    if "postg" in engine or "psql" in engine:
        return "postgresql"
    return "mysql" if "mysql" in engine or "mariadb" in engine else engine


def is_postgresql(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of ``DATABASES`` speaks to PostgreSQL."""
    return _family(str(entry.get("ENGINE", ""))) == "postgresql"


def _engine(given: str, project: str, *, is_geographic: bool) -> str:
    """The backend: the project's own, where it speaks to that kind of server."""
    if _family(project) == _family(given):
        return project
    if is_geographic and _family(given) != given:
        return f"django.contrib.gis.db.backends.{'postgis' if given == POSTGRESQL else 'mysql'}"
    return given


def laid_over(
    project: Mapping[str, Any],
    url: str,
    *,
    max_age: int | None,
    statement_timeout: int,
    is_geographic: bool,
    is_asgi: bool = False,
) -> dict[str, Any]:
    """A project's entry of ``DATABASES`` with the database of *url*.

    What the project says of anything but the way to its server is kept; its ``OPTIONS``, if it is of the same kind.

    Args:
        project: the entry as the project has it, may be empty.
        url: what ``DATABASE_URL`` holds.
        max_age: for how many seconds a connection is kept, None to do as the project says, or ten minutes (ASGI: not at all).
        statement_timeout: after how many seconds the server ends a statement, 0 for never.
        is_geographic: whether the project uses GeoDjango.
        is_asgi: whether an ASGI server serves, under which Django advises against kept connections (its documentation, "Persistent connections").

    Raises:
        ValueError: as `parsed` does.
    """
    given = parsed(url)
    own = str(project.get("ENGINE", ""))
    is_same = _family(own) == _family(given["ENGINE"])
    kept = dict(project.get("OPTIONS") or {}) if is_same else {}
    options = {name: value for name, value in kept.items() if name not in _CONNECTING}
    said = given.pop("OPTIONS", {})
    words = [options.pop("options", ""), said.pop("options", "")]
    if _family(given["ENGINE"]) == "postgresql":
        # libpq waits without end by default.
        options.setdefault("connect_timeout", 10)
        if statement_timeout:
            words.insert(0, f"-c statement_timeout={statement_timeout * 1000}")
    if any(words):
        options["options"] = " ".join(filter(None, words))
    if _family(given["ENGINE"]) == "mysql":
        _lay_over_mysql(options, statement_timeout)
    options.update(said)
    engine = _engine(given["ENGINE"], own, is_geographic=is_geographic)
    database = {**project, **given, "ENGINE": engine, "OPTIONS": options}
    if max_age is None:
        max_age = project.get("CONN_MAX_AGE", 0 if is_asgi else 600)
    # Django refuses to keep the connections of a pool (its documentation, "Connection pool").
    database["CONN_MAX_AGE"] = 0 if options.get("pool") else max_age
    database["CONN_HEALTH_CHECKS"] = True
    return database


def _lay_over_mysql(options: dict[str, Any], statement_timeout: int) -> None:
    """What a site asks of MySQL, unless the project asks for something else.

    Rows that do not fit are refused (Django's documentation, "MySQL notes", Setting sql_mode). The time limit is one of SELECT alone, in
    milliseconds, because MySQL has none for other statements (its manual, max_execution_time); a statement of its own sets all of it, for
    there is one ``init_command``.
    """
    # Before 5.2 Django asks for the character set of three bytes (its release notes, "5.2").
    options.setdefault("charset", "utf8mb4")
    options.setdefault("connect_timeout", 10)
    strict = "SESSION sql_mode = TRIM(LEADING ',' FROM CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES'))"
    # MariaDB has another variable, in seconds, and reads comments of its own (its documentation, "Comment Syntax").
    limit = (
        f" /*!50708 , SESSION max_execution_time = {statement_timeout * 1000} */"
        f" /*M!100101 , SESSION max_statement_time = {statement_timeout} */"
    )
    own = str(options.get("init_command", "SET " + strict)).rstrip("; ")
    # What is not a list of assignments cannot be made longer.
    if statement_timeout and re.match(r"SET\s+(SESSION\s+|@@)?\w[\w.]*\s*:?=", own, re.IGNORECASE):
        own += limit
    options["init_command"] = own


def take_pymysql(settings: Mapping[str, Any]) -> None:
    """Let Django find PyMySQL where a database is MySQL and mysqlclient is not installed (https://github.com/PyMySQL/PyMySQL).

    It encrypts where the server can, but has another option for that where the server has to.

    Args:
        settings: all settings; the options of databases are changed.
    """
    found = [
        one
        for one in (settings.get("DATABASES") or {}).values()
        if _family(str(one.get("ENGINE", ""))) == "mysql"
    ]
    if not found or importlib.util.find_spec("MySQLdb") or not importlib.util.find_spec("pymysql"):
        return
    pymysql: Any = importlib.import_module("pymysql")
    pymysql.install_as_MySQLdb()
    for one in found:
        options = one.get("OPTIONS") or {}
        if options.pop("ssl_mode", "") == "REQUIRED":
            options["ssl"] = {"check_hostname": False}


def variables(url: str) -> dict[str, str]:
    """The parts of the address, for settings that read each from a variable of its own.

    Raises:
        ValueError: as `parsed` does.
    """
    database = parsed(url)
    host = database.get("HOST", "")
    return {
        "DATABASE_ENGINE": database["ENGINE"],
        "DATABASE_NAME": database["NAME"],
        "DATABASE_USER": database.get("USER", ""),
        "DATABASE_PASSWORD": database.get("PASSWORD", ""),
        "DATABASE_HOST": host,
        "DATABASE_PORT": database.get("PORT", "")
        or ("3306" if _family(database["ENGINE"]) == "mysql" else "5432"),
        "DATABASE_INSTANCE": host[len("/cloudsql/") :] if host.startswith("/cloudsql/") else "",
    }
