#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_database
short_description: Manage a database of a Cloud SQL instance
version_added: 0.9.0
description:
  - Makes sure that a database exists, or does not.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description: The name of the database.
    type: str
    required: true
  instance:
    description: The name of the instance.
    type: str
    required: true
  state:
    description: Whether it exists. V(absent) deletes all its data.
    type: str
    choices: [present, absent]
    default: present
  # From the table DATABASE of _services/sqladmin.py: written by tests/module_docs.py.
  charset:
    description: The character set, for instance V(UTF8), or V(utf8mb4) of MySQL. It cannot be changed later.
    type: str
  collation:
    description: The collation, for instance V(en_US.UTF8), or V(utf8mb4_0900_ai_ci) of MySQL. It cannot be changed later.
    type: str
  # End of the table.
  close_connections:
    description:
      - With O(state=absent), whether connections that are open are closed, and nobody may make new ones, as the caller's own IAM
        database user. It is done only when Cloud SQL does not delete the database because somebody is connected to it.
      - Whether or not, it is tried for a minute until nobody is connected any more.
    type: bool
    default: false
  claim_secret:
    description:
      - The secret, which only this site has, in whose annotations the O(mark) is written as a claim before the database is made, because a
        database has no labels. Required with O(mark).
    type: str
seealso:
  - module: org.djangogcp.sql_instance
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Ensure a database
  org.djangogcp.sql_database:
    project: my-project
    instance: djangogcp
    name: polls

- name: Delete a database
  org.djangogcp.sql_database:
    project: my-project
    instance: djangogcp
    name: polls
    state: absent
    close_connections: true
"""

RETURN = r"""
database:
  description: The database as it is now, or would be in check mode.
  returned: success
  type: dict
  sample:
    name: polls
    instance: djangogcp
    project: my-project
    charset: UTF8
    collation: en_US.UTF8
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [create SQL database polls]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    WAIT_ARGS,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._claims import Claims
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, one_result, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Outcome, reconcile
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import DATABASE
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of
from ansible_collections.org.djangogcp.plugins.module_utils._sql_statements import close_connections

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "instance": {"type": "str", "required": True},
    "state": STATE_ARG,
    **table_options(DATABASE.fields),
    "close_connections": {"type": "bool", "default": False},
    "claim_secret": {"type": "str", "no_log": False},
    **MARK_ARGS,
    **WAIT_ARGS,
}


#: How long a database that somebody is connected to is tried to be deleted. A process of the database that is told to end, and an
#: instance of Cloud Run whose service was deleted, do so within seconds.
_IN_USE_SECONDS = 60.0


def once_unused(task: Task, attempt: t.Callable[[], Outcome]) -> Outcome:
    """The outcome of an attempt to delete the database, which is made until nobody is connected to it.

    Raises:
        ApiError: somebody still is after a minute; it says what was tried, and what to do.
    """
    deadline = Deadline(_IN_USE_SECONDS, task.client.clock)
    for delay in delays(first=0.3, factor=1.5, longest=5):
        try:
            return attempt()
        except ApiError as error:
            if not error.is_in_use:
                raise
            refused = _closed(task) if task.params["close_connections"] else ""
            if not deadline.sleep(delay):
                raise error.with_hint(
                    "Close what is connected to it (psql, a proxy, an instance that still serves; pg_stat_activity in the database"
                    f" postgres lists them all), and run again. {refused}".rstrip()
                ) from error
    raise AssertionError("delays() never ends")


def _closed(task: Task) -> str:
    """Close the connections; returns why that was refused, "" when it was not: they may end by themselves."""
    try:
        close_connections(task.client, task.project, task.params["instance"], task.params["name"])
    except DjangoGcpError as error:
        return f"Closing them was refused: {error.message}"
    return ""


def work(task: Task) -> dict[str, t.Any]:
    params = task.params
    ids = {"project": task.project, "instance": params["instance"], "name": params["name"]}
    claims = Claims.from_params(task.client, params)
    ownership = claims.ownership(DATABASE, ids) if claims else None

    def asked(current: dict[str, t.Any] | None) -> dict[str, t.Any]:
        if claims and not task.check_mode:
            claims.make(DATABASE, ids, current)
        return asked_of(params, DATABASE.fields)

    outcome = once_unused(
        task,
        lambda: reconcile(
            task.client,
            DATABASE,
            ids,
            asked,
            state=params["state"],
            check_mode=task.check_mode,
            wait=task.wait,
            ownership=ownership,
        ),
    )
    if claims and params["state"] == "absent" and outcome.changed and not task.check_mode:
        claims.drop(DATABASE, ids)
    return one_result("database", outcome)


def main() -> None:
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={
            "name": rules.SQL_DATABASE,
            "instance": rules.SQL_INSTANCE,
        },
        tables={"": DATABASE.fields},
    )


if __name__ == "__main__":
    main()
