#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secretmanager_secrets_info
short_description: Read secrets of Secret Manager, without their values
version_added: 0.9.0
description:
  - Tells of the secrets of a project and of their versions. No value is read.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._info
seealso:
  - module: org.djangogcp.secretmanager_secrets
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See which versions the secrets of a site have
  org.djangogcp.secretmanager_secrets_info:
    project: my-project
    names: [polls-secret-key, polls-web-database-url]
  register: result
"""

RETURN = r"""
secrets:
  description: The secrets, with all their versions, the newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls-secret-key
      project: my-project
      locations: []
      labels: {site: polls}
      versions:
        - version: "2"
          state: ENABLED
          create_time: "2026-01-02T03:04:05.678901Z"
        - version: "1"
          state: DISABLED
          create_time: "2026-01-01T03:04:05.678901Z"
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Ids
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import SECRET, versions_of

ARGUMENT_SPEC = INFO_ARGS


def versions(task: Task, ids: Ids) -> Json:
    """All versions of a secret, the newest first."""
    return {"versions": versions_of(task.client, task.project, ids["name"])}


def main() -> None:
    """Run the module."""
    run_info_module(ARGUMENT_SPEC, SECRET, "secrets", rule=rules.SECRET_ID, beside=versions)


if __name__ == "__main__":
    main()
