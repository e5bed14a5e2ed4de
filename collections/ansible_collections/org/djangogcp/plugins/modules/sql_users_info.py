#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_users_info
short_description: Read the users of a Cloud SQL instance
version_added: 0.9.0
description:
  - Tells of the users of an instance, without their passwords. An instance that is not there, or does not run, has none.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._info
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
seealso:
  - module: org.djangogcp.sql_users
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See which users an instance has
  org.djangogcp.sql_users_info:
    project: my-project
    instance: djangogcp
  register: result
"""

RETURN = r"""
users:
  description: The users, each by its name in PostgreSQL, with the one that every instance has (C(postgres)).
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls_web
      project: my-project
      instance: djangogcp
      type: BUILT_IN
      database_roles: [polls_web]
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import USER, is_empty_instance

ARGUMENT_SPEC = {"instance": {"type": "str", "required": True}, **INFO_ARGS}


def main() -> None:
    """Run the module."""
    run_info_module(
        ARGUMENT_SPEC,
        USER,
        "users",
        rule=rules.SQL_USER,
        place_rules={"instance": rules.SQL_INSTANCE},
        holds_none=is_empty_instance,
    )


if __name__ == "__main__":
    main()
