"""What Cloud SQL puts into a PostgreSQL server, and how it manages users and databases there.

Sources: https://cloud.google.com/sql/docs/postgres/users (predefined roles, users made through the API),
https://cloud.google.com/sql/docs/postgres/iam-authentication (IAM users and their groups). All functions block and
raise :class:`psycopg2.Error` with PostgreSQL's own message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from gcp_emulator.databases.postgres.binaries import SUPERUSER_ROLE
from gcp_emulator.databases.postgres.cluster import Cluster
from gcp_emulator.databases.server import Database, iam_password

#: The role that every IAM user of a type is a member of; it is also how the type is known again.
IAM_GROUPS = {"CLOUD_IAM_USER": "cloudsqliamuser", "CLOUD_IAM_SERVICE_ACCOUNT": "cloudsqliamserviceaccount"}
#: Attributes are not inherited: whoever is made ``cloudsqlsuperuser`` gets them too.
_SUPERUSER_OPTIONS = "CREATEROLE CREATEDB"
#: Cloud SQL's own database; administration works from here, so that a user's databases are named in errors.
ADMIN_DATABASE = "cloudsqladmin"
_OWN_DATABASES = (ADMIN_DATABASE, "template0", "template1")
#: What Cloud SQL reports and takes as the collation of a new database.
DEFAULT_COLLATION = "en_US.UTF8"


@dataclass(frozen=True)
class User:
    """A role that may log in. ``type`` is Cloud SQL's; ``roles`` the direct memberships."""

    name: str
    type: str
    roles: tuple[str, ...]


def bootstrap(cluster: Cluster, root_password: str | None) -> None:
    """Makes the predefined roles and the user ``postgres`` (without a login until it has a password)."""
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {SUPERUSER_ROLE} NOLOGIN CREATEROLE CREATEDB")
        cursor.execute(f"GRANT pg_monitor, pg_signal_backend TO {SUPERUSER_ROLE} WITH ADMIN OPTION")
        for group in IAM_GROUPS.values():
            cursor.execute(f"CREATE ROLE {group} NOLOGIN")
        cursor.execute("CREATE ROLE cloudsqlreplica LOGIN REPLICATION")
        for agent in ("cloudsqlagent", "cloudsqlimportexport"):
            cursor.execute(f"CREATE ROLE {agent} LOGIN CREATEROLE CREATEDB IN ROLE {SUPERUSER_ROLE}")
        cursor.execute(f"CREATE DATABASE {ADMIN_DATABASE}")
        cursor.execute(f"REVOKE CONNECT ON DATABASE {ADMIN_DATABASE} FROM PUBLIC")
        for database in ("postgres", "template1"):
            cursor.execute(f"ALTER DATABASE {database} OWNER TO {SUPERUSER_ROLE}")
    put_user(cluster, "postgres", "BUILT_IN", password=root_password, roles=None)


# Databases -------------------------------------------------------------------------------------------------------


def list_databases(cluster: Cluster) -> list[Database]:
    """The databases, also those made by SQL, in name order."""
    rows = _query(
        cluster,
        "SELECT datname, pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname <> ALL(%s) ORDER BY 1",
        [list(_OWN_DATABASES)],
    )
    return [Database(name, charset, _public_collation(collation)) for name, charset, collation in rows]


def _public_collation(collation: str) -> str:
    """Servers on machines without en_US use C.UTF-8 in its place; the API speaks of Cloud SQL's."""
    return DEFAULT_COLLATION if collation in ("C.UTF-8", "en_US.UTF-8", "en_US.utf8") else collation


def create_database(cluster: Cluster, name: str, charset: str, collation: str) -> None:
    """A database owned by ``cloudsqlsuperuser``."""
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {}").format(
        sql.Identifier(name), sql.Identifier(SUPERUSER_ROLE), sql.Literal(charset)
    )
    if collation != DEFAULT_COLLATION:
        statement += sql.SQL(" LC_COLLATE {0} LC_CTYPE {0}").format(sql.Literal(collation))
    _administrate(cluster, statement)


def drop_database(cluster: Cluster, name: str) -> None:
    """Drops with the rights of ``cloudsqlsuperuser``: what a user owns, the API cannot drop."""
    _administrate(
        cluster,
        sql.SQL("SET ROLE {}").format(sql.Identifier(SUPERUSER_ROLE)),
        sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)),
    )


# Users -----------------------------------------------------------------------------------------------------------


def list_users(cluster: Cluster) -> list[User]:
    """The users, also those made by SQL, in name order; Google's own agents left out."""
    rows = _query(
        cluster,
        "SELECT r.rolname, array(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid"
        " WHERE m.member = r.oid ORDER BY 1) FROM pg_roles r"
        " WHERE r.rolcanlogin AND r.rolname NOT LIKE 'cloudsql%%' ORDER BY 1",
        [],
    )
    users = []
    for name, groups in rows:
        kind = next((kind for kind, group in IAM_GROUPS.items() if group in groups), "BUILT_IN")
        users.append(User(name, kind, tuple(group for group in groups if group not in IAM_GROUPS.values())))
    return users


def put_user(
    cluster: Cluster, name: str, kind: str, *, password: str | None, roles: Iterable[str] | None
) -> None:
    """Makes a user, or gives an existing one the password and roles.

    New built-in users become ``cloudsqlsuperuser`` unless ``roles`` says which they get; IAM users get no roles of
    themselves, and a password that only the server's keeper can work out.
    """
    group = IAM_GROUPS.get(kind)
    known = any(user.name == name for user in list_users(cluster))
    granted = list(roles) if roles is not None else []
    if group is not None:
        password = iam_password(cluster, name)
        granted.append(group)
    elif roles is None and not known:
        granted = [SUPERUSER_ROLE]
    verb = sql.SQL("ALTER" if known else "CREATE")
    identifier = sql.Identifier(name)
    options = sql.SQL(_SUPERUSER_OPTIONS if SUPERUSER_ROLE in granted else "")
    statements = [sql.SQL("{} ROLE {} WITH LOGIN {}").format(verb, identifier, options)]
    statements += [sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), identifier) for role in granted]
    with cluster.connect() as connection:
        connection.autocommit = False
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            if password is not None:
                _set_password(cursor, name, password)


def set_password(cluster: Cluster, name: str, password: str) -> None:
    """Changes the password of a user."""
    with cluster.connect() as connection, connection.cursor() as cursor:
        _set_password(cursor, name, password)


def set_roles(cluster: Cluster, name: str, roles: Iterable[str], *, revoke_existing: bool) -> None:
    """Grants ``roles``; with ``revoke_existing`` the user keeps no other (its IAM group apart)."""
    wanted = set(roles)
    current = set(next(user.roles for user in list_users(cluster) if user.name == name))
    revoked = sorted(current - wanted) if revoke_existing else []
    identifier = sql.Identifier(name)
    options = sql.SQL("")
    if SUPERUSER_ROLE in wanted:
        options = sql.SQL(_SUPERUSER_OPTIONS)
    elif SUPERUSER_ROLE in revoked:
        options = sql.SQL("NOCREATEROLE NOCREATEDB")
    statements = [sql.SQL("ALTER ROLE {} WITH LOGIN {}").format(identifier, options)]
    statements += [
        sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), identifier)
        for role in sorted(wanted - current)
    ]
    statements += [sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(role), identifier) for role in revoked]
    _administrate(cluster, *statements)


def drop_user(cluster: Cluster, name: str) -> None:
    """Drops the user; PostgreSQL refuses while objects depend on it."""
    _administrate(cluster, sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def _set_password(cursor: Any, name: str, password: str) -> None:
    # Sent as a SCRAM verifier, as psql does, so that no log and no statistics view ever holds the password.
    verifier = psycopg2.extensions.encrypt_password(
        password, name, scope=cursor.connection, algorithm="scram-sha-256"
    )
    cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier)))


def _query(cluster: Cluster, text: str, values: list[Any]) -> list[Any]:
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute(text, values)
        return list(cursor.fetchall())


def _administrate(cluster: Cluster, *statements: sql.Composable) -> None:
    with cluster.connect(ADMIN_DATABASE) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
