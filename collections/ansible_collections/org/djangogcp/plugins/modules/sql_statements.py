#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_statements
short_description: Run SQL statements that are not yet fulfilled
version_added: 0.9.0
description:
  - Runs statements in a database of a Cloud SQL instance of PostgreSQL or MySQL, through Google Cloud's API, as the caller's own IAM
    database user. No network path to the database and no password is needed.
  - Each statement comes with a query that returns a row when it need not run. When all do, that is one request.
  - The instance needs C(data_api_access=ALLOW_DATA_API) and the database flag C(cloudsql.iam_authentication), of MySQL
    C(cloudsql_iam_authentication), and the caller must be one of its users.
  - Do not put secrets into statements. They are shown in the diff.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
  database:
    description: The name of the database.
    type: str
    required: true
  statements:
    description: The statements, in the order in which they run.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What it does, for messages.
        type: str
        required: true
      check:
        description: One query. If it returns a row, the statement is fulfilled and does not run.
        type: str
        required: true
      statement:
        description: What to run. It may be several statements, separated by semicolons.
        type: str
        required: true
  variables:
    description:
      - Values that are filled into O(statements[].name), O(statements[].check) and O(statements[].statement), and quoted, as psql does.
      - In SQL, C(:"name") becomes an identifier, C(:`name`) one of MySQL, and C(:'name') a literal. In a name, C({name}) becomes the plain value.
      - A variable that is used nowhere is refused.
    type: dict
    default: {}
seealso:
  - module: org.djangogcp.sql_users
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Ensure an extension
  org.djangogcp.sql_statements:
    project: my-project
    instance: djangogcp
    database: polls
    statements:
      - name: create the extension unaccent
        check: SELECT 1 FROM pg_extension WHERE extname = 'unaccent'
        statement: CREATE EXTENSION IF NOT EXISTS unaccent

- name: Ensure that a role may connect
  org.djangogcp.sql_statements:
    project: my-project
    instance: djangogcp
    database: polls
    variables:
      role: polls_web
      database: polls
    statements:
      - name: let {role} connect
        check: SELECT 1 WHERE has_database_privilege(:'role', :'database', 'CONNECT')
        statement: GRANT CONNECT ON DATABASE :"database" TO :"role"
"""

RETURN = r"""
statements:
  description: The statements, and whether each one ran, or would run in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - name: create the extension unaccent
      changed: true
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [create the extension unaccent]
"""

import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._rules import problem, unknown
from ansible_collections.org.djangogcp.plugins.module_utils._sql_statements import (
    Database,
    Statement,
    interpolated,
    used_variables,
)

ARGUMENT_SPEC = {
    "instance": {"type": "str", "required": True},
    "database": {"type": "str", "required": True},
    "statements": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "check": {"type": "str", "required": True},
            "statement": {"type": "str", "required": True},
        },
    },
    "variables": {"type": "dict", "default": {}},
}
_NAME_VARIABLE = re.compile(r"\{(\w+)\}")

#: What Google accepts.
RULES = {
    "instance": rules.SQL_INSTANCE,
    "database": rules.SQL_DATABASE,
    "statements.name": rules.line(1000),
    "statements.check": rules.text(100_000),
    "statements.statement": rules.text(1_000_000),
}


def desired(params: dict[str, t.Any]) -> list[Statement]:
    """What is asked of the database.

    Raises:
        DjangoGcpError: a variable is missing or cannot be a value of PostgreSQL.
    """
    variables = params["variables"]
    return [
        Statement(
            _NAME_VARIABLE.sub(
                lambda match: str(variables.get(match.group(1), match.group(0))), item["name"]
            ),
            interpolated(item["check"], variables).strip().rstrip(";"),
            interpolated(item["statement"], variables),
        )
        for item in params["statements"]
    ]


def work(task: Task) -> dict[str, t.Any]:
    statements = desired(task.params)
    database = Database(task.client, task.project, task.params["instance"], task.params["database"])
    ran = database.ensure(statements, check_mode=task.check_mode)
    return {
        "changed": bool(ran),
        "statements": [{"name": one.name, "changed": one in ran} for one in statements],
        "actions": [one.name for one in ran],
        "diff": {
            "before": {one.name: "not fulfilled" for one in ran},
            "after": {one.name: one.statement for one in ran},
        },
    }


def check(params: dict[str, t.Any]) -> list[str]:
    """Variables that no statement uses, and those without a value."""
    used = {
        name
        for item in params["statements"]
        for name in [
            *_NAME_VARIABLE.findall(item["name"]),
            *used_variables(item["check"]),
            *used_variables(item["statement"]),
        ]
    }
    expected = "the name of a variable that a statement uses"
    return [
        unknown(name, expected, used, "variables.")
        if name not in used
        else problem(f"variables.{name}", None, "a string or a number")
        for name, value in params["variables"].items()
        if name not in used or value is None
    ]


def main() -> None:
    run_module(ARGUMENT_SPEC, work, rules=RULES, check=check)


if __name__ == "__main__":
    main()
