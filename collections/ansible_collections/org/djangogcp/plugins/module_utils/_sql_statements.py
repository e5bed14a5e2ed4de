# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What the module sql_statements does: statements that run only when their check says that they must."""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Client
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    ApiError,
    ConnectionLostError,
    DjangoGcpError,
)
from ansible_collections.org.djangogcp.plugins.module_utils._retry import delays
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import execute_sql

_ATTEMPTS = 5
# Two runs grant on one object, or create one thing, at the same time. PostgreSQL has no SQLSTATE of its own for the first.
# Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICT = re.compile(r"tuple concurrently (?:updated|deleted)|SQLSTATE (?:40001|40P01|23505|42710)\b")

# Two colons are a cast.
_VARIABLE = re.compile(r"(?<!:):(['\"`])(\w+)\1")


# Who may connect no more does not come back. What PostgreSQL's own processes and superusers do is not ours to end: nobody but a
# superuser may, and DROP DATABASE does not count autovacuum.
_NO_MORE_CONNECTIONS = """
DO $do$ DECLARE connecting oid; BEGIN
REVOKE CONNECT ON DATABASE :"database" FROM PUBLIC;
FOR connecting IN SELECT DISTINCT item.grantee FROM pg_database, aclexplode(datacl) AS item
WHERE datname = :'database' AND item.privilege_type = 'CONNECT' AND item.grantee NOT IN (0, datdba) LOOP
EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM %I', :'database', pg_get_userbyid(connecting));
END LOOP; END $do$;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_roles ON usesysid = pg_roles.oid
WHERE datname = :'database' AND pid <> pg_backend_pid() AND NOT rolsuper
"""


@dataclasses.dataclass(frozen=True)
class Statement:
    """A statement and the query that returns a row when it is fulfilled.

    Attributes:
        name: what it does, for messages.
        check: one query, without a semicolon at its end.
        statement: what to run.
    """

    name: str
    check: str
    statement: str


def interpolated(sql: str, variables: t.Mapping[str, t.Any]) -> str:
    """A statement with its variables filled in and quoted, as psql does: ``:"name"`` is an identifier, ``:'name'`` a literal.

    ``:`name` `` is an identifier of MySQL. A literal with a backslash is one of PostgreSQL.

    Source: PostgreSQL documentation, psql, "SQL Interpolation"; rules of quoting: "Lexical Structure"; MySQL's manual, "Schema Object Names".

    Raises:
        DjangoGcpError: a variable is not there, or its value holds a zero byte, which PostgreSQL cannot hold.
    """

    def quoted(match: re.Match[str]) -> str:
        quote, name = match.group(1, 2)
        if name not in variables:
            raise DjangoGcpError(
                f"The statement uses :{quote}{name}{quote} but variables has no {name}. Add it, or correct the name."
            )
        value = str(variables[name])
        if "\0" in value:
            raise DjangoGcpError(f"The variable {name} holds a zero byte. Take it out.")
        if quote != "'" or "\\" not in value:
            return quote + value.replace(quote, quote * 2) + quote
        escaped = value.replace("\\", "\\\\").replace("'", "''")
        return f" E'{escaped}'"

    return _VARIABLE.sub(quoted, sql)


def used_variables(sql: str) -> set[str]:
    """The names of the variables that a statement uses."""
    return {name for _quote, name in _VARIABLE.findall(sql)}


class Database:
    """A database of a Cloud SQL instance, reached through the API.

    Args:
        client: calls the API.
        project: the project's id.
        instance: the instance's name.
        database: the database's name.
    """

    def __init__(self, client: Client, project: str, instance: str, database: str) -> None:
        self._client = client
        self._project = project
        self._instance = instance
        self._database = database

    def ensure(self, statements: list[Statement], *, check_mode: bool) -> list[Statement]:
        """Run what is not fulfilled, in order. Returns what ran, or would run in check mode.

        Raises:
            ApiError: the API refuses.
            DjangoGcpError: the database refuses.
        """
        fulfilled = self._all_fulfilled(statements, check_mode)
        ran: list[Statement] = []
        for position, statement in enumerate(statements):
            # What ran before may have fulfilled it, undone it (a REVOKE does), or made its check possible.
            if fulfilled is None or (ran and not check_mode):
                done = self._is_fulfilled(statement, check_mode)
            else:
                done = fulfilled[position]
            if done:
                continue
            if not check_mode:
                self._fulfil(statement)
            ran.append(statement)
        return ran

    def _fulfil(self, statement: Statement) -> None:
        """Run a statement. When its answer is lost, or another run was in its way, its check tells whether it is needed still."""
        for delay in itertools.islice(delays(first=0.5, factor=2, longest=8), _ATTEMPTS - 1):
            try:
                self._run(statement.statement, statement.name, repeatable=False)
                return
            except DjangoGcpError as error:
                if not isinstance(error, ConnectionLostError) and not _CONFLICT.search(error.message):
                    raise
                self._client.clock.sleep(delay)
                if self._is_fulfilled(statement, check_mode=False):
                    return
        self._run(statement.statement, statement.name, repeatable=False)

    def _all_fulfilled(self, statements: list[Statement], check_mode: bool) -> list[bool] | None:
        """Ask all checks in one request; None when one of them fails, as it may before what is to run has run."""
        if not statements:
            return []
        checks = ";\n".join(statement.check for statement in statements)
        try:
            results = self._run(checks, "check what is fulfilled", repeatable=True)
        except ApiError as error:
            if check_mode and error.is_absent:
                return [False] * len(statements)
            if error.status != 400:
                raise
            return None
        except DjangoGcpError:
            return None
        return [bool(rows) for rows in results] if len(results) == len(statements) else None

    def _is_fulfilled(self, statement: Statement, check_mode: bool) -> bool:
        try:
            results = self._run(statement.check, f"check whether to {statement.name}", repeatable=True)
        except DjangoGcpError:
            # The check may need what another statement would have made.
            if check_mode:
                return False
            raise
        return any(results)

    def _run(self, sql: str, doing: str, *, repeatable: bool) -> list[list[dict[str, object]]]:
        where = f"{doing} in database {self._database} of SQL instance {self._instance}"
        return execute_sql(
            self._client, self._project, self._instance, self._database, sql, where, repeatable=repeatable
        )


def close_connections(client: Client, project: str, instance: str, database: str) -> None:
    """End the connections to a database that is about to be deleted, and let nobody make new ones.

    It runs in the database ``postgres``: a connection to the other one would be in its own way.

    Raises:
        ApiError: the API refuses.
        DjangoGcpError: the database refuses.
    """
    sql = interpolated(_NO_MORE_CONNECTIONS, {"database": database})
    doing = f"close the connections to database {database} of SQL instance {instance}"
    execute_sql(client, project, instance, "postgres", sql, doing, repeatable=True)
