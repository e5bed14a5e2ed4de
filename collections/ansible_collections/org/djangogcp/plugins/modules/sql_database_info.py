#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_database_info
short_description: Read the databases of a Cloud SQL instance
version_added: 0.9.0
description:
  - Tells of the databases of an instance. An instance that is not there, or does not run, has none.
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
      project: my-project
      instance: djangogcp
      charset: UTF8
      collation: en_US.UTF8
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import (
    DATABASE,
    is_empty_instance,
)

ARGUMENT_SPEC = {"instance": {"type": "str", "required": True}, **INFO_ARGS}


def main() -> None:
    """Run the module."""
    run_info_module(
        ARGUMENT_SPEC,
        DATABASE,
        "databases",
        rule=rules.SQL_DATABASE,
        place_rules={"instance": rules.SQL_INSTANCE},
        holds_none=is_empty_instance,
    )


if __name__ == "__main__":
    main()
