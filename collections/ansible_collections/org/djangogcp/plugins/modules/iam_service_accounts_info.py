#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: iam_service_accounts_info
short_description: Read service accounts
version_added: 0.9.0
description:
  - Tells of the service accounts of a project.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._info
seealso:
  - module: org.djangogcp.iam_service_accounts
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read two service accounts
  org.djangogcp.iam_service_accounts_info:
    project: my-project
    names: [polls-web, polls-migrator]
  register: result
"""

RETURN = r"""
service_accounts:
  description: The service accounts, each as M(org.djangogcp.iam_service_accounts) returns it. The C(name) of one that Google has made is its e-mail address.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls-web
      project: my-project
      email: polls-web@my-project.iam.gserviceaccount.com
      display_name: polls, the web service
      disabled: false
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.iam import SERVICE_ACCOUNT

ARGUMENT_SPEC = INFO_ARGS


def main() -> None:
    """Run the module."""
    run_info_module(ARGUMENT_SPEC, SERVICE_ACCOUNT, "service_accounts", rule=rules.SERVICE_ACCOUNT_ID)


if __name__ == "__main__":
    main()
