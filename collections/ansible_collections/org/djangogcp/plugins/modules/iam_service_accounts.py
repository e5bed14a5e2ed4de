#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: iam_service_accounts
short_description: Manage service accounts
version_added: 0.9.0
description:
  - Makes a list of service accounts what is asked, in parallel, and waits until a new one can be seen.
  - Keys are never made.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
options:
  service_accounts:
    description: The service accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The account id, the part of its e-mail address before the C(@). It has 6 to 30 characters.
        type: str
        required: true
      state:
        description: Whether it exists.
        type: str
        choices: [present, absent]
        default: present
      # From the table SERVICE_ACCOUNT of _services/iam.py: written by tests/module_docs.py.
      display_name:
        description: The name that people read.
        type: str
      description:
        description: What it is for.
        type: str
      # End of the table.
seealso:
  - module: org.djangogcp.iam_members
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Ensure one identity for each job of a site
  org.djangogcp.iam_service_accounts:
    project: my-project
    service_accounts:
      - name: polls-web
        display_name: polls, the web service
      - name: polls-migrator
        display_name: polls, migrations and static files

- name: Say what a service account is for
  org.djangogcp.iam_service_accounts:
    project: my-project
    service_accounts:
      - name: polls-migrator
        description: Owns the tables of polls

- name: Delete a service account
  org.djangogcp.iam_service_accounts:
    project: my-project
    service_accounts:
      - name: polls-web
        state: absent
"""

RETURN = r"""
service_accounts:
  description: The service accounts in the asked order, as they are now, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls-web
      project: my-project
      email: polls-web@my-project.iam.gserviceaccount.com
      display_name: polls, the web service
      changed: true
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [create service account polls-web]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    repeated_problems,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._granted import account_made
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._module import (
    Task,
    for_each,
    many_results,
    run_module,
)
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Outcome, reconcile
from ansible_collections.org.djangogcp.plugins.module_utils._services.iam import (
    SERVICE_ACCOUNT,
    account_email,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of

ARGUMENT_SPEC = {
    "service_accounts": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "state": STATE_ARG,
            **table_options(SERVICE_ACCOUNT.fields),
        },
    },
    **MARK_ARGS,
}


def work(task: Task) -> dict[str, t.Any]:
    def ensure(account: dict[str, t.Any]) -> Outcome:
        ids = {"project": task.project, "name": account["name"]}
        outcome = reconcile(
            task.client,
            SERVICE_ACCOUNT,
            ids,
            asked_of(account, SERVICE_ACCOUNT.fields),
            state=account["state"],
            check_mode=task.check_mode,
            ownership=Ownership.from_params(task.params),
        )
        if outcome.found is None and outcome.wire is not None and not task.check_mode:
            task.client.granted.note(account_made(account_email(task.project, account["name"])))
        return outcome

    return many_results("service_accounts", for_each(task.params["service_accounts"], ensure))


def main() -> None:
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"service_accounts.name": rules.SERVICE_ACCOUNT_ID},
        tables={"service_accounts": SERVICE_ACCOUNT.fields},
        check=lambda params: repeated_problems(params["service_accounts"], "service_accounts"),
    )


if __name__ == "__main__":
    main()
