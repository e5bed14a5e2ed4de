# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What PostgreSQL itself says of the roles of users, where the API may be silent or late, and what is done about a difference.

The API is asked to grant and revoke, since its own administrator may for every user; from PostgreSQL 16 on a user with CREATEROLE may
only for those that it has made. Source: PostgreSQL documentation, "Role Attributes", and the release notes of version 16.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._operations import sql_operation, while_busy
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Outcome
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import (
    API,
    USER,
    execute_sql,
)
from ansible_collections.org.djangogcp.plugins.module_utils._sql_statements import interpolated

_SUPERUSER = "cloudsqlsuperuser"

# A membership is in force when the user has the role's rights and may act as it; the options for that came with PostgreSQL 16. The groups
# of IAM users are Google's to manage.
_LOOK = """
SELECT coalesce(json_agg(json_build_object(
  'name', who.rolname,
  'roles', (SELECT coalesce(json_agg(DISTINCT held.rolname), '[]') FROM pg_auth_members AS member JOIN pg_roles AS held
    ON held.oid = member.roleid WHERE member.member = who.oid AND held.rolname NOT LIKE 'cloudsqliam%'),
  'in_force', (SELECT coalesce(json_agg(DISTINCT held.rolname), '[]') FROM pg_auth_members AS member JOIN pg_roles AS held
    ON held.oid = member.roleid WHERE member.member = who.oid AND held.rolname NOT LIKE 'cloudsqliam%'
    AND pg_has_role(who.oid, held.oid, 'USAGE') AND pg_has_role(who.oid, held.oid,
      CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END)),
  'attributes', array_remove(ARRAY[CASE WHEN who.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN who.rolcreatedb THEN 'CREATEDB' END], NULL),
  'is_superuser', EXISTS (SELECT FROM pg_roles AS most WHERE most.rolname = :'superuser' AND pg_has_role(who.oid, most.oid, 'MEMBER'))
)), '[]')::text AS found FROM pg_roles AS who WHERE who.rolname IN ({names})
"""


@dataclasses.dataclass(frozen=True)
class _Really:
    """What a user may, as PostgreSQL tells it.

    Attributes:
        roles: the roles that it is a direct member of.
        in_force: those of them whose rights it has, and that it may act as.
        attributes: CREATEROLE and CREATEDB, if it has them.
        is_superuser: whether it is a member of cloudsqlsuperuser, directly or not.
    """

    roles: frozenset[str]
    in_force: frozenset[str]
    attributes: tuple[str, ...]
    is_superuser: bool


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What is asked of a user's rights."""

    name: str
    roles: frozenset[str]
    kept: frozenset[str]
    keeps_others: bool

    def lacks(self, really: _Really) -> frozenset[str]:
        return self.roles - really.in_force

    def exceeds(self, really: _Really) -> frozenset[str]:
        return frozenset() if self.keeps_others else really.roles - self.roles - self.kept

    def stays(self, really: _Really) -> frozenset[str]:
        """The roles that the user is a member of when it is as asked."""
        return self.roles | (really.roles if self.keeps_others else really.roles & self.kept)

    def attributes(self, really: _Really) -> tuple[str, ...]:
        """The attributes that only come with cloudsqlsuperuser."""
        return () if self.keeps_others or _SUPERUSER in self.roles else really.attributes

    def is_too_much(self, really: _Really) -> bool:
        """Whether the user may do everything, and should not."""
        return really.is_superuser and not self.keeps_others and _SUPERUSER not in self.roles

    def is_so(self, really: _Really) -> bool:
        return not (self.lacks(really) or self.exceeds(really) or self.attributes(really))

    def shown(self, really: _Really) -> Json:
        """For the diff."""
        shown: Json = {"database_roles": sorted(really.roles)}
        return shown if self.keeps_others else {**shown, "attributes": list(really.attributes)}

    def shown_afterwards(self, really: _Really) -> Json:
        roles = self.stays(really)
        shown: Json = {"database_roles": sorted(roles)}
        return shown if self.keeps_others else {**shown, "attributes": []}


def ensure_rights(
    task: Task, instance: str, database: str, users: t.Iterable[tuple[Json, Outcome]]
) -> list[Outcome]:
    """Make the rights of users what is asked where PostgreSQL, other than the API, says that they are not.

    Args:
        task: the task.
        instance: the instance's name.
        database: where to look, as the caller.
        users: items of the option users, and what was done for them.

    Returns:
        What was done for them in all.

    Raises:
        DjangoGcpError: it cannot be looked at, or a difference stays that matters.
    """
    pairs = list(users)
    # A user who is going to be changed, or is being changed, has rights that nobody has seen yet.
    may_look = task.wait.enabled and not task.check_mode
    asked = {
        position: _Asked(
            outcome.resource["name"],
            frozenset(user["database_roles"]),
            frozenset(user["kept_roles"]),
            user["append_roles"],
        )
        for position, (user, outcome) in enumerate(pairs)
        if user["state"] == "present"
        and user["database_roles"] is not None
        and (may_look or not outcome.changed)
    }
    rights = _Rights(task, instance, database)
    outcomes = [outcome for dummy, outcome in pairs]
    really = rights.look([one.name for one in asked.values()])
    for position, one in asked.items():
        if one.name in really and not one.is_so(really[one.name]):
            outcomes[position] = rights.correct(one, really[one.name], outcomes[position])
    if not task.check_mode:
        rights.refuse_superusers(
            [one for one in asked.values() if one.name in really and one.is_too_much(really[one.name])]
        )
    return outcomes


class _Rights:
    def __init__(self, task: Task, instance: str, database: str) -> None:
        self._task = task
        self._instance = instance
        self._database = database

    def look(self, names: list[str]) -> dict[str, _Really]:
        """What users may; none that is not there. In check mode none where the caller is not let in yet."""
        if not names:
            return {}
        variables = {f"name{number}": name for number, name in enumerate(names)}
        query = _LOOK.replace("{names}", ", ".join(f":'{variable}'" for variable in variables))
        sql = interpolated(query, {**variables, "superuser": _SUPERUSER})
        try:
            answer = self._execute(sql, "look at the rights of users")
        except DjangoGcpError:
            if self._task.check_mode:
                return {}
            raise
        return {
            one["name"]: _Really(
                frozenset(one["roles"]),
                frozenset(one["in_force"]),
                tuple(one["attributes"]),
                one["is_superuser"],
            )
            for one in json.loads(answer)
        }

    def correct(self, asked: _Asked, before: _Really, outcome: Outcome) -> Outcome:
        """The outcome with what was done about a difference."""
        after, warnings = asked.shown_afterwards(before), []
        if not self._task.check_mode:
            now = self._correct(asked, before)
            after, warnings = asked.shown(now), self._complaints(asked, now)
        label = f"the rights of {outcome.label}"
        changed = after != asked.shown(before)
        return dataclasses.replace(
            outcome,
            changed=outcome.changed or changed,
            resource={**outcome.resource, "database_roles": after["database_roles"]},
            before={**outcome.before, **asked.shown(before)},
            after={**outcome.after, **after},
            actions=[*outcome.actions, *([f"correct {label}"] if changed else [])],
            warnings=[*outcome.warnings, *warnings],
        )

    def _correct(self, asked: _Asked, really: _Really) -> _Really:
        if asked.lacks(really) or asked.exceeds(really):
            self._update(asked.name, asked.stays(really), revoke=bool(asked.exceeds(really)))
            really = self.look([asked.name])[asked.name]
        if attributes := asked.attributes(really):
            names = " ".join(f"NO{attribute}" for attribute in attributes)
            sql = interpolated(f"""ALTER ROLE :"name" {names}""", {"name": asked.name})
            try:
                self._execute(sql, f"take {' and '.join(attributes)} from {asked.name}")
            except ApiError:
                raise
            except DjangoGcpError:
                # The database refuses: what is left is told.
                return really
            really = self.look([asked.name])[asked.name]
        return really

    def _complaints(self, asked: _Asked, really: _Really) -> list[str]:
        """What a person has to know of rights that could not be corrected.

        Raises:
            DjangoGcpError: they matter: the user has another's rights, or not those that it is there for.
        """
        failed = f"Failed to correct the rights of SQL user {asked.name}: "
        if lacking := asked.lacks(really):
            raise DjangoGcpError(
                f"{failed}it has not the rights of {_list(lacking)}, or may not act as them. Log in to the database {self._database} as a user "
                f"who may, revoke them from {asked.name}, make it INHERIT (ALTER ROLE), and run again."
            )
        if exceeding := asked.exceeds(really):
            raise DjangoGcpError(
                f"{failed}it is a member of {_list(exceeding)} still, which Cloud SQL does not revoke. Revoke that in the database "
                f"{self._database}, as who has granted it."
            )
        if attributes := asked.attributes(really):
            return [
                f"SQL user {asked.name} has {' and '.join(attributes)}, which was not asked for, and who runs this may not take that away. Let "
                "who has made the user do it (ALTER ROLE)."
            ]
        return []

    def refuse_superusers(self, suspects: list[_Asked]) -> None:
        """Look once more at who was a member of cloudsqlsuperuser: a role in between may have lost that.

        Raises:
            DjangoGcpError: one of them still is.
        """
        really = self.look([one.name for one in suspects])
        for one in suspects:
            if one.name in really and one.is_too_much(really[one.name]):
                raise DjangoGcpError(
                    f"Failed to correct the rights of SQL user {one.name}: it is a member of {_SUPERUSER} through one of its roles "
                    f"({_list(really[one.name].roles)}). Revoke that in the database {self._database}, as a user who may."
                )

    def _update(self, name: str, roles: frozenset[str], *, revoke: bool) -> None:
        """Grant roles, also those that the API believes to be granted, and with `revoke` let nothing else stay."""
        client, project = self._task.client, self._task.project
        call = USER.call("update", {"name": name})
        params = {
            "name": name,
            "databaseRoles": sorted(roles),
            "revokeExistingRoles": revoke or None,
        }
        url = f"{API}/projects/{project}/instances/{self._instance}/users"
        deadline = Deadline(self._task.wait.timeout, client.clock)
        answer = while_busy(
            lambda: client.request("PUT", url, call, params=params, body={"name": name}, repeatable=True),
            deadline,
        )
        sql_operation(client, API, answer, deadline, call)

    def _execute(self, sql: str, doing: str) -> str:
        """Run one statement, which may be run twice; its first value, if it has one."""
        task = self._task
        where = f"{doing} in database {self._database} of SQL instance {self._instance}"
        results = execute_sql(
            task.client, task.project, self._instance, self._database, sql, where, repeatable=True
        )
        values = [value for rows in results for row in rows for value in row.get("values") or []]
        return str(values[0]["value"]) if values else ""


def _list(names: t.Iterable[str]) -> str:
    return ", ".join(sorted(names))
