#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: iam_members
short_description: Grant roles to members, and revoke them
version_added: 0.9.0
description:
  - Adds members to, or removes them from, the IAM policies of projects, service accounts, secrets, buckets, repositories and
    Cloud Run services and jobs.
  - Only the given members of the given roles are touched. Every other binding stays as it is.
  - Each policy is read once and written once, guarded by its etag, so that deploys that run at the same time lose nothing.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
options:
  members:
    description: The grants. Those of one resource are made together.
    type: list
    elements: dict
    required: true
    suboptions:
      resource_type:
        description: The kind of resource.
        type: str
        choices: [project, service_account, secret, bucket, artifact_repository, run_service, run_job]
        default: project
      resource:
        description:
          - The name of the resource. For a service account its e-mail address or its account id.
          - The project of the task, for V(project), if not set.
        type: str
      location:
        description: The region of a repository, service or job. Refused for other resources.
        type: str
      role:
        description: The role.
        type: str
        required: true
      members:
        description: Who, for instance C(serviceAccount:polls-web@my-project.iam.gserviceaccount.com).
        type: list
        elements: str
        required: true
      condition:
        description: When the grant holds. Grants of one role with different conditions are different.
        type: dict
        suboptions:
          title:
            description: A short name.
            type: str
            required: true
          expression:
            description: The condition in Common Expression Language.
            type: str
            required: true
          description:
            description: What it is for.
            type: str
      state:
        description: Whether the members have the role.
        type: str
        choices: [present, absent]
        default: present
seealso:
  - module: org.djangogcp.iam_service_accounts
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Ensure what the web service may do
  org.djangogcp.iam_members:
    project: my-project
    members:
      - role: roles/cloudsql.client
        members: ["serviceAccount:polls-web@my-project.iam.gserviceaccount.com"]
      - resource_type: bucket
        resource: my-project-polls-media
        role: roles/storage.objectUser
        members: ["serviceAccount:polls-web@my-project.iam.gserviceaccount.com"]
      - resource_type: secret
        resource: polls-secret-key
        role: roles/secretmanager.secretAccessor
        members: ["serviceAccount:polls-web@my-project.iam.gserviceaccount.com"]

- name: Let the web service sign addresses as itself
  org.djangogcp.iam_members:
    project: my-project
    members:
      - resource_type: service_account
        resource: polls-web
        role: roles/iam.serviceAccountTokenCreator
        members: ["serviceAccount:polls-web@my-project.iam.gserviceaccount.com"]

- name: Revoke a role
  org.djangogcp.iam_members:
    project: my-project
    members:
      - role: roles/cloudsql.client
        members: ["serviceAccount:polls-web@my-project.iam.gserviceaccount.com"]
        state: absent
"""

RETURN = r"""
policies:
  description: For each resource, which of the asked members have which of the asked roles.
  returned: success
  type: list
  elements: dict
  sample:
    - resource_type: project
      resource: my-project
      changed: true
      members:
        roles/cloudsql.client: ["serviceAccount:polls-web@my-project.iam.gserviceaccount.com"]
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample:
    - grant roles/cloudsql.client to serviceAccount:polls-web@my-project.iam.gserviceaccount.com on project my-project
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import STATE_ARG
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import (
    Task,
    for_each,
    many_results,
    run_module,
)
from ansible_collections.org.djangogcp.plugins.module_utils._policies import Grant, Resource, ensure_grants
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Outcome
from ansible_collections.org.djangogcp.plugins.module_utils._services.iam import POLICY_PLACES, account_email

ARGUMENT_SPEC = {
    "members": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "required_if": [
            ("resource_type", "artifact_repository", ["location"]),
            ("resource_type", "run_service", ["location"]),
            ("resource_type", "run_job", ["location"]),
        ],
        "options": {
            "resource_type": {"type": "str", "choices": list(POLICY_PLACES), "default": "project"},
            "resource": {"type": "str"},
            "location": {"type": "str"},
            "role": {"type": "str", "required": True},
            "members": {"type": "list", "elements": "str", "required": True},
            "condition": {
                "type": "dict",
                "options": {
                    "title": {"type": "str", "required": True},
                    "expression": {"type": "str", "required": True},
                    "description": {"type": "str"},
                },
            },
            "state": STATE_ARG,
        },
    },
}

#: What Google accepts.
RULES = {
    "members.location": rules.LOCATION,
    "members.resource": rules.RESOURCE_NAME,
    "members.role": rules.ROLE,
    "members.members": rules.MEMBER,
    "members.condition.title": rules.text(100),
    "members.condition.expression": rules.text(12000),
    "members.condition.description": rules.text(256),
}


def resource_of(item: dict[str, t.Any], project: str) -> Resource:
    """The resource that an item of the option members is about."""
    kind, name = item["resource_type"], item["resource"]
    if kind == "project":
        return Resource(kind, project, name or project)
    if not name:
        raise DjangoGcpError(
            f"A grant of {item['role']} has the resource_type {kind} but no resource. Name one."
        )
    if kind == "service_account":
        name = account_email(project, name)
    return Resource(kind, project, name, item["location"] or "")


def grants_by_resource(items: t.Iterable[dict[str, t.Any]], project: str) -> dict[Resource, list[Grant]]:
    """All grants of each resource, in the asked order."""
    grants: dict[Resource, list[Grant]] = {}
    for item in items:
        grant = Grant(item["role"], tuple(item["members"]), item["condition"], item["state"] == "present")
        grants.setdefault(resource_of(item, project), []).append(grant)
    return grants


def work(task: Task) -> dict[str, t.Any]:
    asked = grants_by_resource(task.params["members"], task.project)

    def ensure(resource: Resource) -> Outcome:
        return ensure_grants(task.client, resource, asked[resource], check_mode=task.check_mode)

    return many_results("policies", for_each(list(asked), ensure))


def check(params: dict[str, t.Any]) -> list[str]:
    """What would be dropped in silence."""
    return [
        f"members[{number}].location is set: expected none, because a {item['resource_type']} is found without it."
        for number, item in enumerate(params["members"])
        if item["location"] and "{location}" not in POLICY_PLACES[item["resource_type"]].url
    ]


def main() -> None:
    run_module(ARGUMENT_SPEC, work, rules=RULES, check=check)


if __name__ == "__main__":
    main()
