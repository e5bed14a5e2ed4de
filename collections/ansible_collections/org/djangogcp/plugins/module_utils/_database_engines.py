# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What differs between the database servers that a site can have: the one place that decides it, by the version that is asked for."""

from __future__ import annotations

import dataclasses
import re
import typing as t


@dataclasses.dataclass(frozen=True)
class Engine:
    """A kind of database server, as Cloud SQL runs it and Django speaks to it.

    Attributes:
        name: how it is called.
        versions: the values of ``databaseVersion`` that are this engine, as a regular expression.
        scheme: what an address of it begins with.
        socket_option: the option of such an address that holds the folder or the file of its socket.
        address_options: further options of such an address.
        tls_options: those that make a driver encrypt, where the socket does not do it.
        has_socket: whether sites log in over the socket that Cloud Run has; otherwise over the private address, unless the target has another socket.
        port: where the server listens.
        drivers: the distributions that Django's backend takes, of which one will do.
        driver: what is installed where a project lists none of them.
        needs_overlay: whether that one only works with the settings overlay.
        iam_flag: the database flag by which people and service accounts log in as themselves.
        log_option: the option of a backup configuration that keeps what any moment is restored from.
        charset: the character set of a site's database.
        user_host: the host of its users, "" where users have none.
        has_extensions: whether it has extensions that a site may ask for.
        has_owners: whether tables belong to users, so that a user goes only when nothing depends on it.
        is_held_by_connections: whether a database that somebody is connected to cannot be deleted.
        database_name: what a site's database may be called, as a regular expression.
        database_name_words: the same in words.
        separator: what stands in the database's name for the hyphen of the site's.
        system_databases: the databases that every instance has.
        connections: how many connections it takes by default, by memory in GB below a bound.
        most_connections: the same above the last bound.
        shared_core_connections: the same of the tiers without a core of their own.
    """

    name: str
    versions: str
    scheme: str
    socket_option: str
    port: int
    drivers: tuple[str, ...]
    driver: tuple[str, ...]
    iam_flag: str
    log_option: str
    charset: str
    database_name: str
    database_name_words: str
    separator: str
    system_databases: tuple[str, ...]
    connections: tuple[tuple[float, int], ...]
    most_connections: int
    shared_core_connections: dict[str, int]
    address_options: str = ""
    tls_options: str = ""
    has_socket: bool = True
    needs_overlay: bool = False
    user_host: str = ""
    has_extensions: bool = False
    has_owners: bool = False
    is_held_by_connections: bool = False


_POSTGRESQL = Engine(
    name="PostgreSQL",
    versions=r"POSTGRES_(1[4-9]|[2-9]\d)",
    scheme="postgres",
    # The folder of the socket, which django-environ, dj-database-url and libpq find there.
    socket_option="host",
    port=5432,
    drivers=("psycopg2-binary", "psycopg2", "psycopg", "psycopg-binary"),
    driver=("psycopg2-binary==2.9.13",),
    iam_flag="cloudsql.iam_authentication",
    log_option="point_in_time_recovery_enabled",
    charset="UTF8",
    has_extensions=True,
    has_owners=True,
    is_held_by_connections=True,
    # With _migrator at its end it is the name of a user, of at most 63 bytes.
    database_name=r"(?!(postgres|template[01]|cloudsqladmin)\Z|pg_)[a-z_][a-z0-9_]{0,53}",
    database_name_words=(
        "at most 54 lower case letters, digits and underscores, beginning with a letter, and none of the server's own (postgres, template0,"
        " template1, cloudsqladmin, pg_*)"
    ),
    separator="_",
    system_databases=("postgres", "cloudsqladmin", "template0", "template1"),
    # https://cloud.google.com/sql/docs/postgres/flags, "max_connections"
    connections=((1.7, 25), (3.75, 50), (6, 100), (7.5, 200), (15, 400), (30, 500), (60, 600), (120, 800)),
    most_connections=1000,
    shared_core_connections={"db-f1-micro": 25, "db-g1-small": 50},
)

_MYSQL = Engine(
    name="MySQL",
    versions=r"MYSQL_8_0(_\d{1,2})?",
    scheme="mysql",
    # django-environ and dj-database-url hand it to the driver, which knows it by that name.
    socket_option="unix_socket",
    # Before 5.2 Django asks for the character set that has three bytes only (its release notes, "5.2", MySQL).
    address_options="&charset=utf8mb4",
    tls_options="&ssl_mode=REQUIRED",
    port=3306,
    drivers=("mysqlclient", "pymysql"),
    # mysqlclient has no wheel for Linux and would have to be compiled; PyMySQL is Python alone, and Django's own tests are run with it
    # (https://github.com/PyMySQL/PyMySQL, .github/workflows/django.yaml).
    driver=("PyMySQL==1.2.4",),
    needs_overlay=True,
    # https://cloud.google.com/sql/docs/mysql/iam-authentication
    iam_flag="cloudsql_iam_authentication",
    log_option="binary_log_enabled",
    charset="utf8mb4",
    user_host="%",
    # With _migrator at its end it is the name of a user, of at most 32 characters; an underscore in the database's name of a GRANT stands for
    # any character (https://dev.mysql.com/doc/refman/8.4/en/user-names.html, grant.html).
    database_name=r"(?!(mysql|sys)\Z)[a-z][a-z0-9]{0,22}",
    database_name_words=(
        "at most 23 lower case letters and digits, beginning with a letter, and none of the server's own (mysql, sys), because users of MySQL"
        " have short names, and an underscore in a GRANT stands for any character"
    ),
    separator="",
    system_databases=("mysql", "information_schema", "performance_schema", "sys"),
    # The same server and flag for every tier (https://cloud.google.com/sql/docs/mysql/flags, "max_connections").
    connections=(),
    most_connections=4000,
    shared_core_connections={"db-f1-micro": 250, "db-g1-small": 1000},
)

#: In the order in which they are looked at. The first is what an unknown version is taken for, which preflight refuses.
ENGINES = (
    _POSTGRESQL,
    _MYSQL,
    dataclasses.replace(
        _MYSQL,
        versions="MYSQL_8_4",
        # Its users log in by caching_sha2_password, which the socket's server side does not do
        # (https://github.com/GoogleCloudPlatform/cloud-sql-proxy/issues/2317; the proxy does since 2.19, of Cloud Run nothing is said).
        has_socket=False,
    ),
)
VERSIONS = "|".join(engine.versions for engine in ENGINES)


def engine_of(version: object) -> Engine:
    """The engine of a ``databaseVersion`` such as POSTGRES_17 or MYSQL_8_4; PostgreSQL if it is none."""
    return next((engine for engine in ENGINES if re.fullmatch(engine.versions, str(version))), ENGINES[0])


def told_of(version: object) -> dict[str, t.Any]:
    """The same for templates: the attributes by name."""
    return dataclasses.asdict(engine_of(version))
