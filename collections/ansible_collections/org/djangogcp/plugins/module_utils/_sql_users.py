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

import hashlib

from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import decode
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Ids,
    Outcome,
    ResourceSpec,
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
    spec = SHARED_USER if user["append_roles"] else USER
    if user["append_roles"] and asked["database_roles"]:
        held = decode(read(task.client, USER, ids) or {}, USER.fields)["database_roles"]
        asked = {**asked, "database_roles": sorted({*asked["database_roles"], *held})}
    if user["state"] == "absent":
        return reconcile(
            task.client, USER, ids, asked, state="absent", check_mode=task.check_mode, wait=task.wait
        )
    if user["password_secret"] is None:
        outcome = reconcile(task.client, spec, ids, asked, check_mode=task.check_mode, wait=task.wait)
    else:
        outcome = _with_password(task, spec, ids, user["password_secret"], asked)
    if outcome.changed and asked["database_roles"] == [] and not task.check_mode:
        # An empty list in JSON is an unset field to Google: a user that is made with none gets cloudsqlsuperuser, which
        # only an update revokes.
        reconcile(task.client, USER, ids, asked, wait=task.wait)
    return outcome


def _with_password(task: Task, spec: ResourceSpec, ids: Ids, secret: str, asked: Json) -> Outcome:
    secret_ids = {"project": ids["project"], "name": secret}
    newest = newest_version(task.client, task.project, secret)
    if newest is None or not newest.is_enabled:
        # A task before this one would have made it.
        if not task.check_mode:
            raise DjangoGcpError(
                f"Failed to set the password of SQL user {ids['name']}: the secret {secret} in project {task.project} has no "
                "enabled newest version. Add one, for instance with the module org.djangogcp.secrets."
            )
        number, annotations = None, {}
    else:
        number = newest.number
        annotations = decode(read(task.client, SECRET, secret_ids) or {}, SECRET.fields)["annotations"]
    key, value = _annotation(ids, number)
    exists = read(task.client, USER, ids) is not None
    if exists and annotations.get(key) == value:
        outcome = reconcile(task.client, spec, ids, asked, check_mode=task.check_mode, wait=task.wait)
    else:
        known = number is not None and not task.check_mode
        password = read_version(task.client, task.project, secret, str(number)).decode() if known else ""
        outcome = reconcile(
            task.client,
            spec,
            ids,
            {**asked, "password": password},
            check_mode=task.check_mode,
            wait=task.wait,
            rewrite=["password"],
        )
        if not task.check_mode:
            reconcile(task.client, SECRET, secret_ids, {"annotations": {**annotations, key: value}})
    outcome.resource["password_version"] = number
    return outcome


def _annotation(ids: Ids, number: str | None) -> tuple[str, str]:
    """The annotation that says which version of a secret a user was given. Keys have at most 63 characters."""
    who = f"{ids['project']}/{ids['instance']}/{ids['name']}"
    return f"sql-user-{hashlib.sha256(who.encode()).hexdigest()[:16]}", f"{who} has version {number}"
