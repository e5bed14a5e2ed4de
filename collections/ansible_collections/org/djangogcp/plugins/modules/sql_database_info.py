#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_database_info
short_description: List the databases of a Cloud SQL instance
version_added: 1.0.0
description:
  - Lists the databases of an instance. An instance that is not there, or does not run, has none.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
seealso:
  - module: org.djangogcp.sql_database
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See which databases an instance holds
  org.djangogcp.sql_database_info:
    project: my-project
    instance: djangogcp
  register: result
"""

RETURN = r"""
databases:
  description: The databases, with the one that every instance has (C(postgres)).
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls
      charset: UTF8
      collation: en_US.UTF8
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import decode
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import (
    API,
    DATABASE,
    is_not_running,
)

ARGUMENT_SPEC: dict[str, t.Any] = {"instance": {"type": "str", "required": True}}


def work(task: Task) -> dict[str, t.Any]:
    """List them."""
    instance = task.params["instance"]
    url = f"{API}/projects/{task.project}/instances/{instance}/databases"
    call = Call(f"list the databases of SQL instance {instance}", "cloudsql.databases.list")
    try:
        found = list(task.client.list(url, call, items="items"))
    except ApiError as error:
        if not (error.is_absent or is_not_running(error)):
            raise
        found = []
    databases = [{"name": one["name"], **decode(one, DATABASE.fields)} for one in found]
    return {"changed": False, "databases": databases}


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules={"instance": rules.SQL_INSTANCE}, only_reads=True)


if __name__ == "__main__":
    main()
