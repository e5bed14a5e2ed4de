"""What Cloud SQL puts into a MySQL server, and how it manages users and databases there.

Sources: https://cloud.google.com/sql/docs/mysql/users and .../create-manage-users (``cloudsqlsuperuser``: all static privileges but SUPER and FILE;
who is made through the API gets it unless roles are named, and is written over where it exists);
https://github.com/petoju/terraform-provider-mysql/issues/250 (nothing is changed in the database mysql: error 3879). That the role is active after a
login, and its dynamic privileges, are assumed. All functions block and raise :class:`pymysql.MySQLError` with MySQL's own message.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gcp_emulator.databases.mysql.server import CLIENT, MysqlServer
from gcp_emulator.databases.server import Database

SUPERUSER_ROLE = "cloudsqlsuperuser"
#: How Cloud SQL's proxy and connectors appear to the server ("Access denied for user 'u'@'cloudsqlproxy~34.1.2.3'":
#: https://github.com/GoogleCloudPlatform/cloud-sql-proxy/issues/2317). A host name cannot have that form anywhere else.
PROXY_HOSTS = "cloudsqlproxy~%"
NATIVE_PASSWORD, CACHING_SHA2 = "mysql_native_password", "caching_sha2_password"
_STATIC = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, SHUTDOWN, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, "
    "LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER, "
    "CREATE TABLESPACE, CREATE ROLE, DROP ROLE"
)
_DYNAMIC = "CONNECTION_ADMIN, ROLE_ADMIN, XA_RECOVER_ADMIN"
#: What nobody but Cloud SQL may do in MySQL's own databases; of reading nothing is known to be refused.
_CHANGES = "CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER"


@dataclass(frozen=True)
class User:
    """An account. ``host`` is Cloud SQL's, ``roles`` the names of those that it was granted."""

    name: str
    host: str
    roles: tuple[str, ...]


def bootstrap(server: MysqlServer, root_password: str | None, plugin: str) -> None:
    """Makes the predefined role and the user ``root`` (without a login until it has a password)."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {SUPERUSER_ROLE}")
        for privileges in (_STATIC, _DYNAMIC):
            cursor.execute(f"GRANT {privileges} ON *.* TO {SUPERUSER_ROLE} WITH GRANT OPTION")
        if server.binaries.has_partial_revokes:
            cursor.execute("SET PERSIST partial_revokes = ON")
            cursor.execute(
                f"REVOKE INSERT, UPDATE, DELETE, EXECUTE, {_CHANGES} ON mysql.* FROM {SUPERUSER_ROLE}"
            )
            cursor.execute(f"REVOKE {_CHANGES} ON sys.* FROM {SUPERUSER_ROLE}")
    put_user(server, "root", "%", root_password, plugin, None)


# Databases -------------------------------------------------------------------------------------------------------


def list_databases(server: MysqlServer) -> list[Database]:
    """The databases, also those made by SQL, in name order."""
    rows = _query(
        server,
        "SELECT schema_name, default_character_set_name, default_collation_name FROM information_schema.schemata ORDER BY 1",
    )
    return [Database(*row) for row in rows]


def create_database(server: MysqlServer, name: str, charset: str | None, collation: str | None) -> None:
    """A database; what is not said is the server's default, or follows from what is."""
    _administrate(server, f"CREATE DATABASE {_identifier(name)}{_characters(charset, collation)}")


def alter_database(server: MysqlServer, name: str, charset: str | None, collation: str | None) -> None:
    """Gives what is made in the database later another character set and collation."""
    _administrate(server, f"ALTER DATABASE {_identifier(name)}{_characters(charset, collation)}")


def drop_database(server: MysqlServer, name: str) -> None:
    """Drops the database with all that is in it."""
    _administrate(server, f"DROP DATABASE {_identifier(name)}")


def _characters(charset: str | None, collation: str | None) -> str:
    clause = f" CHARACTER SET {_identifier(charset)}" if charset else ""
    return clause + (f" COLLATE {_identifier(collation)}" if collation else "")


# Users -----------------------------------------------------------------------------------------------------------


def list_users(server: MysqlServer) -> list[User]:
    """The users, also those made by SQL, in name order; roles and the agents of Google and MySQL left out."""
    rows = _query(
        server,
        "SELECT u.user, u.host, GROUP_CONCAT(e.from_user ORDER BY 1) FROM mysql.user u"
        " LEFT JOIN mysql.role_edges e ON e.to_user = u.user AND e.to_host = u.host"
        " WHERE u.user NOT LIKE 'cloudsql%%' AND u.user NOT LIKE 'mysql.%%'"
        " AND NOT (u.account_locked = 'Y' AND u.authentication_string = '') GROUP BY 1, 2 ORDER BY 1, 2",
    )
    return [User(name, _told(host), tuple(roles.split(",")) if roles else ()) for name, host, roles in rows]


def put_user(
    server: MysqlServer, name: str, host: str, password: str | None, plugin: str, roles: Iterable[str] | None
) -> None:
    """Makes a user, or gives one that is there this password and these roles.

    ``roles`` None is ``cloudsqlsuperuser``, which is active after a login as all roles are that are given here. Without a password nobody
    logs in. ``plugin`` is the way of authentication.
    """
    account = (name, _known(host))
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER IF NOT EXISTS %s@%s", account)
        cursor.execute(
            f"ALTER USER %s@%s IDENTIFIED WITH {plugin} BY %s ACCOUNT UNLOCK",
            (*account, secrets.token_urlsafe(32) if password is None else password),
        )
        _set_roles(cursor, account, [SUPERUSER_ROLE] if roles is None else list(roles))


def set_password(server: MysqlServer, name: str, host: str, password: str) -> None:
    """Changes the password of a user, who keeps the way of authentication."""
    _administrate(server, "ALTER USER %s@%s IDENTIFIED BY %s", (name, _known(host), password))


def set_roles(server: MysqlServer, name: str, host: str, roles: Iterable[str]) -> None:
    """Grants ``roles``, and no others."""
    with server.connect() as connection, connection.cursor() as cursor:
        _set_roles(cursor, (name, _known(host)), list(roles))


def drop_user(server: MysqlServer, name: str, host: str) -> None:
    """Drops the user; what it made stays."""
    _administrate(server, "DROP USER %s@%s", (name, _known(host)))


def _set_roles(cursor: Any, account: tuple[str, str], roles: list[str]) -> None:
    cursor.execute("SELECT from_user FROM mysql.role_edges WHERE to_user = %s AND to_host = %s", account)
    held = {role for (role,) in cursor.fetchall()}
    for role in sorted(held.difference(roles)):
        cursor.execute("REVOKE %s FROM %s@%s", (role, *account))
    for role in roles:
        cursor.execute("GRANT %s TO %s@%s", (role, *account))
    cursor.execute("SET DEFAULT ROLE ALL TO %s@%s", account)


def _known(host: str) -> str:
    """What the server knows a host by: the proxy's and the connectors' clients come from this machine here."""
    return CLIENT if host == PROXY_HOSTS else host


def _told(host: str) -> str:
    return PROXY_HOSTS if host == CLIENT else host


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _query(server: MysqlServer, text: str) -> list[Any]:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(text, ())
        return list(cursor.fetchall())


def _administrate(server: MysqlServer, statement: str, values: tuple[str, ...] | None = None) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
