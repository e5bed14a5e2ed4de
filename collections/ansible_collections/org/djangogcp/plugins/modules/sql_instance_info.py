#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_instance_info
short_description: Read Cloud SQL instances
version_added: 0.9.0
description:
  - Tells of the Cloud SQL instances of a project.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._info
seealso:
  - module: org.djangogcp.sql_instance
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read an instance
  org.djangogcp.sql_instance_info:
    project: my-project
    names: [djangogcp]
  register: result
"""

RETURN = r"""
instances:
  description: The instances, each as M(org.djangogcp.sql_instance) returns it.
  returned: success
  type: list
  elements: dict
  sample:
    - name: djangogcp
      project: my-project
      region: europe-west1
      connection_name: my-project:europe-west1:djangogcp
      state: RUNNABLE
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import INSTANCE

ARGUMENT_SPEC = INFO_ARGS


def main() -> None:
    """Run the module."""
    run_info_module(ARGUMENT_SPEC, INSTANCE, "instances", rule=rules.SQL_INSTANCE)


if __name__ == "__main__":
    main()
