"""Databases and users of an instance whose MySQL runs. What MySQL does not know of a user (the policy of its password, the account that it is
of) is noted beside it.

``failed to create database`` and its like are quoted from reports of PostgreSQL; that MySQL's are of the same form is assumed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

import pymysql

from gcp_emulator.databases.mysql import accounts
from gcp_emulator.databases.mysql.server import MysqlServer
from gcp_emulator.databases.server import iam_password
from gcp_emulator.engine.errors import Json, failed_precondition
from gcp_emulator.services.sqladmin import rules
from gcp_emulator.services.sqladmin.contents import StoredContent, find_user
from gcp_emulator.services.sqladmin.engines import Engine
from gcp_emulator.services.sqladmin.kinds import plugin
from gcp_emulator.services.sqladmin.servers import Servers, failure

P = ParamSpec("P")
T = TypeVar("T")


class MysqlContent:
    """The content of a MySQL that runs; ``notes`` is what is told beside."""

    def __init__(
        self, servers: Servers, key: str, engine: Engine, settings: Json, notes: StoredContent
    ) -> None:
        self._servers = servers
        self._key = key
        self._engine = engine
        self._settings = settings
        self._notes = notes

    async def databases(self) -> list[Json]:
        return [vars(one) for one in await self._run(accounts.list_databases)]

    async def create_database(self, name: str, charset: str | None, collation: str | None) -> None:
        with _refused(f"failed to create database {name}. Detail: "):
            await self._run(accounts.create_database, name, charset, collation)

    async def change_database(self, current: Json, wanted: Json) -> None:
        with _refused(f"failed to update database {current['name']}. Detail: "):
            await self._run(
                accounts.alter_database, current["name"], wanted.get("charset"), wanted.get("collation")
            )

    async def drop_database(self, name: str) -> None:
        with _refused(f"failed to delete database {name}. Detail: "):
            await self._run(accounts.drop_database, name)

    async def users(self) -> list[Json]:
        noted = await self._notes.users()
        return [
            find_user(noted, user.name, user.host) or {"name": user.name, "host": _told(user.host)}
            for user in await self._run(accounts.list_users)
        ]

    async def put_user(self, body: Json) -> None:
        name, host, kind = body["name"], body.get("host") or "%", body.get("type", "BUILT_IN")
        if "dualPasswordType" in body:
            raise failed_precondition(
                "gcp-emulator does not emulate dualPasswordType of users of MySQL; nothing was done."
            )
        # An empty list cannot be told from none in a protocol buffer: the default applies.
        granted = body.get("databaseRoles") or None
        if kind != "BUILT_IN":
            name, granted = name.partition("@")[0], granted or []

        def put(server: MysqlServer) -> None:
            # An IAM user has a token, which nobody is asked for at the door: it gets in by executeSql only.
            known = kind == "BUILT_IN"
            password = body.get("password") if known else iam_password(server, name)
            method = plugin(server, self._engine, self._settings)
            accounts.put_user(server, name, host, password, method, granted)

        with _refused(f"failed to create user {name}: . "):
            await self._run(put)
        await self._notes.put_user(body)

    async def change_user(self, user: Json, body: Json, granted: list[str], *, revoke: bool) -> None:
        name, host, password = user["name"], user["host"] or "%", body.get("password")
        held = [] if revoke else user.get("databaseRoles", [])

        def change(server: MysqlServer) -> None:
            if granted or revoke:
                accounts.set_roles(server, name, host, sorted({*held, *granted}))
            if password is not None:
                accounts.set_password(server, name, host, password)

        with _refused(f"failed to update user {name}: . "):
            await self._run(change)
        await self._notes.change_user(user, body, granted, revoke=revoke)

    async def drop_user(self, user: Json) -> None:
        with _refused(f"failed to delete user {user['name']}: . "):
            await self._run(accounts.drop_user, user["name"], user["host"] or "%")
        await self._notes.drop_user(user)

    async def _run(
        self, work: Callable[Concatenate[MysqlServer, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._servers.run(self._key, MysqlServer, work, *args, **kwargs)


def _told(host: str) -> str:
    return "" if host == "%" else host


@contextlib.contextmanager
def _refused(opening: str) -> Iterator[None]:
    """MySQL's refusal in Cloud SQL's words, which begin so."""
    try:
        yield
    except pymysql.MySQLError as error:
        raise rules.invalid(f"{opening}{failure(error)}.") from None
