"""Databases and users of an instance: in the PostgreSQL that runs for it, or only noted where no server runs.

``failed to delete user`` and ``failed to delete database`` are quoted from reports of real responses; the other error texts follow their
form and are assumed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import psycopg2

from gcp_emulator.databases.postgres import roles
from gcp_emulator.databases.postgres.cluster import Cluster
from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json, failed_precondition
from gcp_emulator.engine.store import Collection
from gcp_emulator.services.sqladmin import rules
from gcp_emulator.services.sqladmin.engines import Engine
from gcp_emulator.services.sqladmin.servers import Servers, failure

P = ParamSpec("P")
T = TypeVar("T")

#: Any host, as MySQL and as Cloud SQL's lists write it.
_ANY_HOST = ("%", "")


class Content(Protocol):
    """What is in one instance. ApiError when Cloud SQL would refuse a change."""

    async def databases(self) -> list[Json]:
        """``name``, ``charset`` and ``collation`` of each, by name."""

    async def create_database(self, name: str, charset: str | None, collation: str | None) -> None: ...

    async def change_database(self, current: Json, wanted: Json) -> None: ...

    async def drop_database(self, name: str) -> None: ...

    async def users(self) -> list[Json]:
        """The users as the API tells them, by name."""

    async def put_user(self, body: Json) -> None:
        """Makes a user, or gives one that is there what ``body`` says."""

    async def change_user(self, user: Json, body: Json, granted: list[str], *, revoke: bool) -> None: ...

    async def drop_user(self, user: Json) -> None: ...


class PostgresContent:
    """The content of a PostgreSQL that runs."""

    def __init__(self, servers: Servers, key: str) -> None:
        self._servers = servers
        self._key = key

    async def databases(self) -> list[Json]:
        return [vars(one) for one in await self._run(roles.list_databases)]

    async def create_database(self, name: str, charset: str | None, collation: str | None) -> None:
        with _refused(f"failed to create database {name}. Detail: pq: "):
            await self._run(
                roles.create_database, name, charset or "UTF8", collation or roles.DEFAULT_COLLATION
            )

    async def change_database(self, current: Json, wanted: Json) -> None:
        for field, value in current.items():
            if wanted.get(field, value) != value:
                raise rules.invalid(f"The {field} of a PostgreSQL database cannot be changed.")

    async def drop_database(self, name: str) -> None:
        with _refused(f"failed to delete database {name}. Detail: pq: "):
            try:
                await self._run(roles.drop_database, name)
            except psycopg2.errors.InsufficientPrivilege as error:
                raise rules.invalid(
                    f'failed to delete database "{name}". Detail: pq: {failure(error)}. '
                    '(Please use psql client to delete database that is not owned by "cloudsqlsuperuser").'
                ) from None
            except psycopg2.errors.ObjectInUse as error:
                # As in https://github.com/MobilityData/mobility-feed-api/issues/1174: how many are connected is not told.
                raise rules.invalid(
                    f"failed to delete database {name}. Detail: pq: {failure(error)}."
                ) from None

    async def users(self) -> list[Json]:
        return [_user_of(one) for one in await self._run(roles.list_users)]

    async def put_user(self, body: Json) -> None:
        name = body["name"]
        for unsupported in ("passwordPolicy", "serverRoles", "sqlserverUserDetails", "dualPasswordType"):
            if unsupported in body:
                raise failed_precondition(
                    f"gcp-emulator does not emulate {unsupported} of users of PostgreSQL; nothing was done."
                )
        kind = body.get("type", "BUILT_IN")
        if kind not in ("BUILT_IN", *roles.IAM_GROUPS):
            raise failed_precondition(
                f"gcp-emulator does not emulate users of type {kind}; nothing was done."
            )
        if kind == "CLOUD_IAM_SERVICE_ACCOUNT" and name.endswith(".gserviceaccount.com"):
            raise rules.invalid(
                f"Invalid IAM user name ({name}): the suffix .gserviceaccount.com must be omitted."
            )
        # An empty list cannot be told from none in a protocol buffer: the default applies.
        granted = body.get("databaseRoles") or None
        with _refused(f"failed to create user {name}: . "):
            await self._run(roles.put_user, name, kind, password=body.get("password"), roles=granted)

    async def change_user(self, user: Json, body: Json, granted: list[str], *, revoke: bool) -> None:
        name, password = user["name"], body.get("password")

        def change(cluster: Cluster) -> None:
            if granted or revoke:
                roles.set_roles(cluster, name, granted, revoke_existing=revoke)
            if password is not None:
                roles.set_password(cluster, name, password)

        with _refused(f"failed to update user {name}: . "):
            await self._run(change)

    async def drop_user(self, user: Json) -> None:
        with _refused(f"failed to delete user {user['name']}: . "):
            await self._run(roles.drop_user, user["name"])

    async def _run(self, work: Callable[Concatenate[Cluster, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._servers.run(self._key, Cluster, work, *args, **kwargs)
        except psycopg2.OperationalError as error:
            # What the server refuses has a code. Without one the connection was lost, which nobody has asked for.
            if error.pgcode is not None:
                raise
            last_words = self._servers.get(self._key, Cluster).last_words()
            raise ApiError(
                "UNAVAILABLE",
                f"The PostgreSQL server of the instance went away ({failure(error)}). Its last words: {last_words}",
            ) from error


@contextlib.contextmanager
def _refused(opening: str) -> Iterator[None]:
    """PostgreSQL's refusal in Cloud SQL's words, which begin so."""
    try:
        yield
    except psycopg2.Error as error:
        detail = error.diag.message_detail
        ending = f" Details: {detail}." if detail else "."
        raise rules.invalid(f"{opening}{failure(error)}{ending}") from None


def _user_of(user: roles.User) -> Json:
    view: Json = {"name": user.name, "host": ""}
    # A built-in user has no type (https://github.com/hashicorp/terraform-provider-google/issues/9723).
    view |= {"type": user.type} if user.type != "BUILT_IN" else {}
    return view | ({"databaseRoles": list(user.roles)} if user.roles else {})


class StoredContent:
    """The content of an instance for which no server runs: noted, and told again."""

    def __init__(self, records: Collection, key: str, engine: Engine) -> None:
        self._records = records
        self._key = key
        self._engine = engine

    @property
    def _content(self) -> Json:
        found = self._records.get(self._key)
        return found or {"databases": self._engine.databases, "users": self._engine.users}

    def _put(self, part: str, items: Iterable[Json]) -> None:
        self._records.put(self._key, self._content | {part: list(items)})

    async def databases(self) -> list[Json]:
        return sorted(self._content["databases"], key=lambda one: one["name"])

    async def create_database(self, name: str, charset: str | None, collation: str | None) -> None:
        before = self._content["databases"]
        if any(one["name"] == name for one in before):
            raise rules.invalid(
                f"failed to create database {name}. Detail: Can't create database '{name}'; database exists."
            )
        charset = charset or (collation or "").partition("_")[0] or self._engine.charset
        default = self._engine.collation(charset)
        if default is None and not self._engine.is_postgres:
            raise rules.invalid(
                f"failed to create database {name}. Detail: Unknown character set: '{charset}'."
            )
        made = {"name": name, "charset": charset, "collation": collation or default}
        self._put("databases", [*before, made])

    async def change_database(self, current: Json, wanted: Json) -> None:
        """Takes the collation and leaves the character set (recorded: sqldatabasebasic)."""
        collation = wanted.get("collation", current["collation"])
        changed = [
            one | {"collation": collation} if one["name"] == current["name"] else one
            for one in self._content["databases"]
        ]
        self._put("databases", changed)

    async def drop_database(self, name: str) -> None:
        self._put("databases", [one for one in self._content["databases"] if one["name"] != name])

    async def users(self) -> list[Json]:
        return sorted(map(_stored_user, self._content["users"]), key=lambda one: (one["name"], one["host"]))

    async def put_user(self, body: Json) -> None:
        kept = ("name", "type", "databaseRoles", "sqlserverUserDetails", "passwordPolicy")
        made: Json = {key: body[key] for key in kept if body.get(key)}
        if made.get("type") == "BUILT_IN":
            del made["type"]
        if self._engine.is_mysql:
            made["host"] = body.get("host", "%")
            if "type" in made:
                # Names of MySQL are short: the account's without its domain (diffSuppressIamUserName of terraform-provider-google).
                made |= {"name": body["name"].partition("@")[0], "iamEmail": body["name"]}
        if "passwordPolicy" in made:
            made["passwordPolicy"] = _dated(made["passwordPolicy"])
        others = [one for one in self._content["users"] if not _is_same(one, made)]
        self._put("users", [*others, made])

    async def change_user(self, user: Json, body: Json, granted: list[str], *, revoke: bool) -> None:
        held = [] if revoke else user.get("databaseRoles", [])
        changed = user | {"databaseRoles": sorted({*held, *granted})}
        if "passwordPolicy" in body:
            changed["passwordPolicy"] = _dated(body["passwordPolicy"])
        self._put("users", [changed if _is_same(one, user) else one for one in self._content["users"]])

    async def drop_user(self, user: Json) -> None:
        self._put("users", [one for one in self._content["users"] if not _is_same(one, user)])


def find_user(users: Iterable[Json], name: str, host: str | None, *, any_host: bool = False) -> Json | None:
    """The user of that name and host, or the only one of that name when no host is said.

    With ``any_host`` any host ("%") says none (recorded: sqluser-full changes a user of one host so).
    """
    named = [one for one in users if one["name"] == name]
    exact = [one for one in named if _host(one["host"]) == _host(host)]
    is_open = host is None or (any_host and _host(host) == "")
    loose = named if is_open and len(named) == 1 else []
    return next(iter(exact or loose), None)


def _is_same(one: Json, other: Json) -> bool:
    return bool(one["name"] == other["name"] and _host(one.get("host")) == _host(other.get("host")))


def _host(host: str | None) -> str:
    return "" if host in _ANY_HOST else host or ""


def _stored_user(user: Json) -> Json:
    roles_held = {"databaseRoles": user["databaseRoles"]} if user.get("databaseRoles") else {}
    rest = {key: value for key, value in user.items() if key != "databaseRoles"}
    return rest | roles_held | {"host": _host(user.get("host"))}


def _dated(policy: Json) -> Json:
    """A password policy with its status, which tells when the password expires."""
    status: Json = {}
    if duration := policy.get("passwordExpirationDuration"):
        expires = clock.moment(clock.now().timestamp() + clock.seconds(duration))
        status["passwordExpirationTime"] = clock.timestamp(expires)
    return policy | {"status": status}
