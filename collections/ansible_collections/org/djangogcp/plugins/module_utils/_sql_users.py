# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What the module sql_users does beside reconciling: passwords that are versions of secrets, and a user for each version.

Cloud SQL tells nobody a password, and SQL over the API logs in with secrets of regional endpoints only. So the version that a
user was given is written down, in an annotation of the secret that it came from: it is lost when the secret is, which is when
the number means nothing any more, and no other place that holds it could be changed by parallel deploys at the same time.
An annotation is written after what it tells: when a run ends in between, the next one does the same once more.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import secrets

from ansible_collections.org.djangogcp.plugins.module_utils._annotations import annotations_of, note
from ansible_collections.org.djangogcp.plugins.module_utils._claims import Claims
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Ids,
    Outcome,
    read,
    reconcile,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import (
    SECRET,
    newest_version,
    read_text,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import (
    USER,
    sql_user_name,
    user_spec,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of, decode


@dataclasses.dataclass(frozen=True)
class _Password:
    """A version of a secret that a user's password is.

    Attributes:
        secret: the secret's name.
        number: the version's number; in check mode perhaps one that a task before this one would have made.
        annotations: the secret's annotations.
    """

    secret: str
    number: str
    annotations: Json

    def is_given_to(self, ids: Ids) -> bool:
        """Whether the user has it already."""
        return _noted(self.annotations, _given(ids)) == self.number


def ensure_users(task: Task, instance: str, user: Json, claims: Claims | None = None) -> list[Outcome]:
    """Make one item of the option users what is asked: one user, or with per_version and state absent all that there are.

    Args:
        task: the task.
        instance: the instance's name.
        user: the item.
        claims: the site's claims; None when nobody is asked whose a user is.

    Raises:
        DjangoGcpError: the secret has no version to give, or what `reconcile` raises.
    """
    # A user that several sites share is nobody's.
    claims = None if user["append_roles"] else claims
    name = sql_user_name(user["type"], user["name"], user["host"])
    ids = {"project": task.project, "instance": instance, "name": name}
    if user["host"] is not None and user["type"] == "BUILT_IN":
        ids["host"] = user["host"]
    if user["state"] == "present":
        return [_present(task, ids, user, claims)]
    if user["per_version"]:
        return _remove_versions(task, ids, user, claims)
    return [_absent(task, ids, claims)]


def _present(task: Task, ids: Ids, user: Json, claims: Claims | None) -> Outcome:
    asked = asked_of(user, USER.fields)
    made_as = None
    if user["host"] is not None and user["type"] != "BUILT_IN":
        made_as = user["name"]
        # Who proves by IAM who it is comes from any host, and must not be given one.
        del asked["host"]
    roles = asked.get("database_roles")
    password = _password(task, ids, user["password_secret"]) if user["password_secret"] is not None else None
    if user["per_version"] and password is not None:
        ids = _of_version(ids, password.number)

    def wanted(current: Json | None) -> Json:
        if claims and not task.check_mode:
            claims.make(USER, ids, current)
        result = dict(asked)
        if roles is not None and (user["append_roles"] or user["kept_roles"]):
            held = set(decode(current or {}, USER.fields)["database_roles"] or [])
            stays = held if user["append_roles"] else held.intersection(user["kept_roles"])
            result["database_roles"] = sorted({*roles, *stays})
        if password is not None and (current is None or not password.is_given_to(ids)):
            result["password"] = _value(task, password)
        if user["random_password"] and current is None:
            result["password"] = secrets.token_urlsafe(32)
        return result

    spec = user_spec(shared=user["append_roles"], host=ids.get("host"), made_as=made_as)
    outcome = reconcile(
        task.client,
        spec,
        ids,
        wanted,
        check_mode=task.check_mode,
        wait=task.wait,
        ownership=claims.ownership(USER, ids) if claims else None,
    )
    if password is not None:
        outcome.resource["password_version"] = password.number
        if not task.check_mode and (outcome.found is None or not password.is_given_to(ids)):
            note(
                task.client,
                task.project,
                password.secret,
                {_given(ids): f"{_who(ids)} has version {password.number}"},
            )
    is_made = outcome.found is None and not task.check_mode
    if is_made and roles is not None and not user["append_roles"]:
        # An empty list in JSON is an unset field to Google: a user that is made with none gets cloudsqlsuperuser, which
        # only an update revokes.
        reconcile(task.client, spec, ids, asked, wait=task.wait)
    return outcome


def _absent(task: Task, ids: Ids, claims: Claims | None) -> Outcome:
    outcome = reconcile(
        task.client,
        user_spec(host=ids.get("host")),
        ids,
        {},
        state="absent",
        check_mode=task.check_mode,
        wait=task.wait,
        ownership=claims.ownership(USER, ids) if claims else None,
    )
    if claims and outcome.changed and not task.check_mode:
        claims.drop(USER, ids)
    return outcome


def _remove_versions(task: Task, ids: Ids, user: Json, claims: Claims | None) -> list[Outcome]:
    """Remove the users of all versions, or with in_use_version of those that nothing uses any more.

    What is in use is noted when everything uses it. Older than that and removed are all but the one that was noted before, whose
    requests may not have ended, and which may be gone back to. A deploy that failed in between has noted nothing.
    """
    in_use = user["in_use_version"]
    if in_use is None:
        return [_absent(task, _of_version(ids, number), claims) for number in _versions(task, ids)]
    secret = user["password_secret"]
    found = read(task.client, SECRET, {"project": task.project, "name": secret}, ahead=True)
    before = _noted(annotations_of(found), _used(ids))
    if found is None or before == in_use:  # None: a task before this one would have made it
        return []
    older = {str(one) for one in range(1, int(in_use))} - {before} if before is not None else set()
    there = _versions(task, ids) if older else []
    outcomes = [_absent(task, _of_version(ids, one), claims) for one in there if one in older]
    if not task.check_mode:
        # Also of users that somebody else has removed.
        gone = dict.fromkeys(_given(_of_version(ids, one)) for one in older)
        note(
            task.client,
            task.project,
            secret,
            {**gone, _used(ids): f"{_who(ids)} is used with version {in_use}"},
        )
    return outcomes


def _of_version(ids: Ids, number: str) -> Ids:
    """The user of a version."""
    return {**ids, "name": f"{ids['name']}_{number}"}


def _versions(task: Task, ids: Ids) -> list[str]:
    """The versions that have a user, in order."""
    call = Call(f"list the users of SQL instance {ids['instance']}", "cloudsql.users.list")
    listed = (task.client.find(USER.collection_url(ids), call, ahead=True) or {}).get("items") or []
    names = re.compile(re.escape(ids["name"]) + r"_([1-9][0-9]*)")
    matches = [names.fullmatch(user["name"]) for user in listed]
    return sorted((match[1] for match in matches if match), key=int)


def _password(task: Task, ids: Ids, secret: str) -> _Password:
    newest = newest_version(task.client, task.project, secret)
    if newest is None or not newest.is_enabled:
        # A task before this one would have made it.
        if task.check_mode:
            return _Password(secret, str(int(newest.number) + 1 if newest else 1), {})
        raise DjangoGcpError(
            f"Failed to set the password of SQL user {ids['name']}: the secret {secret} in project {task.project} has no "
            "enabled newest version. Add one, for instance with the module org.djangogcp.secretmanager_secrets."
        )
    found = read(task.client, SECRET, {"project": task.project, "name": secret}, ahead=True)
    return _Password(secret, newest.number, annotations_of(found))


def _value(task: Task, password: _Password) -> str:
    """The password; check mode needs none."""
    return "" if task.check_mode else read_text(task.client, task.project, password.secret, password.number)


def _who(ids: Ids) -> str:
    return f"{ids['project']}/{ids['instance']}/{ids['name']}"


def _given(ids: Ids) -> str:
    """The key of the annotation that tells which version a user was given: at most 63 characters."""
    return f"sql-user-{hashlib.sha256(_who(ids).encode()).hexdigest()[:16]}"


def _used(ids: Ids) -> str:
    """The key of the annotation that tells which of the users of a secret's versions is in use."""
    return f"{_given(ids)}-in-use"


def _noted(annotations: Json, key: str) -> str | None:
    """The number of the version in an annotation."""
    return str(annotations[key]).rpartition(" ")[2] if key in annotations else None
