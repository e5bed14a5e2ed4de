# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What the module sql_users does beside reconciling: passwords that are versions of secrets.

Cloud SQL tells nobody a password, and SQL over the API logs in with secrets of regional endpoints only. So the version that a
user was given is written down, in an annotation of the secret that it came from: it is lost when the secret is, which is when
the number means nothing any more, and no other place that holds it could be changed by parallel deploys at the same time.
"""

from __future__ import annotations

import dataclasses
import hashlib

from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import decode
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
    read_version,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import (
    SHARED_USER,
    USER,
    sql_user_name,
)


@dataclasses.dataclass(frozen=True)
class _Password:
    """A version of a secret that a user's password is.

    Attributes:
        secret: the secret's name.
        number: the version's number; None when a task before this one would have made it.
        annotations: the secret's annotations.
    """

    secret: str
    number: str | None
    annotations: Json

    def is_given_to(self, ids: Ids) -> bool:
        """Whether the user has it already."""
        key, value = _annotation(ids, self.number)
        return bool(self.annotations.get(key) == value)


def ensure_user(task: Task, instance: str, user: Json, asked: Json) -> Outcome:
    """Make one user what is asked.

    Args:
        task: the task.
        instance: the instance's name.
        user: the item of the option users.
        asked: what is asked of it, the password aside.

    Raises:
        DjangoGcpError: the secret has no version to give, or what `reconcile` raises.
    """
    ids = {"project": task.project, "instance": instance, "name": sql_user_name(user["type"], user["name"])}
    if user["state"] == "absent":
        return reconcile(
            task.client, USER, ids, asked, state="absent", check_mode=task.check_mode, wait=task.wait
        )
    password = _password(task, ids, user["password_secret"]) if user["password_secret"] is not None else None

    def wanted(current: Json | None) -> Json:
        result = dict(asked)
        if user["append_roles"] and asked["database_roles"]:
            held = decode(current or {}, USER.fields)["database_roles"]
            result["database_roles"] = sorted({*asked["database_roles"], *held})
        if password is not None and (current is None or not password.is_given_to(ids)):
            result["password"] = _value(task, password)
        return result

    spec = SHARED_USER if user["append_roles"] else USER
    outcome = reconcile(task.client, spec, ids, wanted, check_mode=task.check_mode, wait=task.wait)
    if password is not None:
        outcome.resource["password_version"] = password.number
        if not task.check_mode and (outcome.found is None or not password.is_given_to(ids)):
            key, value = _annotation(ids, password.number)
            reconcile(
                task.client,
                SECRET,
                {"project": ids["project"], "name": password.secret},
                lambda current: {"annotations": {**_annotations(current), key: value}},
            )
    if outcome.changed and asked["database_roles"] == [] and not task.check_mode:
        # An empty list in JSON is an unset field to Google: a user that is made with none gets cloudsqlsuperuser, which
        # only an update revokes.
        reconcile(task.client, USER, ids, asked, wait=task.wait)
    return outcome


def _password(task: Task, ids: Ids, secret: str) -> _Password:
    known = next((one for one in task.params["secrets"] or [] if one.get("name") == secret), None)
    if known is not None and known.get("version"):
        return _Password(secret, str(known["version"]), known.get("annotations") or {})
    newest = newest_version(task.client, task.project, secret)
    if newest is None or not newest.is_enabled:
        # A task before this one would have made it.
        if task.check_mode:
            return _Password(secret, None, {})
        raise DjangoGcpError(
            f"Failed to set the password of SQL user {ids['name']}: the secret {secret} in project {task.project} has no "
            "enabled newest version. Add one, for instance with the module org.djangogcp.secrets."
        )
    found = read(task.client, SECRET, {"project": task.project, "name": secret})
    return _Password(secret, newest.number, _annotations(found))


def _value(task: Task, password: _Password) -> str:
    """The password; check mode needs none."""
    if task.check_mode or password.number is None:
        return ""
    return read_version(task.client, task.project, password.secret, password.number).decode()


def _annotations(secret: Json | None) -> Json:
    return dict(decode(secret or {}, SECRET.fields)["annotations"])


def _annotation(ids: Ids, number: str | None) -> tuple[str, str]:
    """The annotation that says which version of a secret a user was given. Keys have at most 63 characters."""
    who = f"{ids['project']}/{ids['instance']}/{ids['name']}"
    return f"sql-user-{hashlib.sha256(who.encode()).hexdigest()[:16]}", f"{who} has version {number}"
