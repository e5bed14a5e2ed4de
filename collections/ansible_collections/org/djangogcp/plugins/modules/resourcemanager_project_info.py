#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: resourcemanager_project_info
short_description: Read a project, who is calling, what the caller may do, what its organization forbids, and whether names are free
version_added: 0.9.0
description:
  - Reads the project's number and state, tells who the credentials belong to, tests permissions, and reads organization policies.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  permissions:
    description:
      - Permissions that the caller is going to need on the project, for instance V(run.services.create).
    type: list
    elements: str
    default: []
  buckets:
    description:
      - Names of buckets that are going to be made. It is looked whether another project has them, once the caller has all of
        O(permissions).
    type: list
    elements: str
    default: []
  constraints:
    description:
      - Constraints of organization policies, for instance V(gcp.resourceLocations), whose policies in effect are read.
      - That takes the API C(orgpolicy.googleapis.com) in the project and C(orgpolicy.policy.get), which C(roles/orgpolicy.policyViewer) has. Where
        either is missing, nothing is told, and nothing fails.
    type: list
    elements: str
    default: []
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See whether this account may deploy
  org.djangogcp.resourcemanager_project_info:
    project: my-project
    permissions:
      - run.services.create
      - iam.serviceAccounts.actAs
  register: result
"""

RETURN = r"""
project:
  description:
    - The project.
  returned: success
  type: dict
  sample:
    project_id: my-project
    number: "123456789012"
    name: My project
    state: ACTIVE
missing_permissions:
  description:
    - Those of O(permissions) that the caller does not have, each with a predefined role that has it.
  returned: success
  type: list
  elements: dict
  sample:
    - permission: run.services.create
      role: roles/run.admin
taken_buckets:
  description:
    - Those of O(buckets) that exist in another project.
  returned: success
  type: list
  elements: str
  sample: []
policies:
  description:
    - By each of O(constraints) that is known there, the rules of the policy in effect as Google Cloud tells them.
  returned: success
  type: dict
  sample:
    gcp.resourceLocations:
      - values:
          allowedValues: [europe-west1]
policies_problem:
  description:
    - Why the policies could not be read, empty if they could.
  returned: success
  type: str
  sample: ""
permissions_tested:
  description:
    - Whether the permissions could be tested. They cannot in a new project whose Resource Manager API is not enabled yet.
  returned: success
  type: bool
is_emulator:
  description:
    - Whether this collection's emulator of Google Cloud answered, and not Google Cloud.
  returned: success
  type: bool
  sample: false
caller:
  description:
    - Who the credentials belong to, with the name and the type of the matching Cloud SQL user.
  returned: success
  type: dict
  sample:
    email: deployer@my-project.iam.gserviceaccount.com
    member: serviceAccount:deployer@my-project.iam.gserviceaccount.com
    database_user: deployer@my-project.iam
    database_user_type: CLOUD_IAM_SERVICE_ACCOUNT
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._caller import find_caller
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._permissions import role_that_has
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import taken_buckets

ARGUMENT_SPEC = {
    "permissions": {"type": "list", "elements": "str", "default": []},
    "buckets": {"type": "list", "elements": "str", "default": []},
    "constraints": {"type": "list", "elements": "str", "default": []},
}

_ORG_POLICY = "https://orgpolicy.googleapis.com/v2"
_RESOURCE_MANAGER = "https://cloudresourcemanager.googleapis.com/v3"
# projects.testIamPermissions takes at most 100 (cloudresourcemanager v3, TestIamPermissionsRequest).
_PERMISSIONS_PER_CALL = 100


def find_project(client: Client, project: str) -> Json:
    """The project, or one clear error.

    Google answers 403 both for a project that does not exist and for one that the caller may not see.
    """
    try:
        found = client.get(f"{_RESOURCE_MANAGER}/projects/{project}", Call(f"read project {project}"))
    except ApiError as error:
        if error.status not in (403, 404) or error.is_disabled:
            raise
        raise DjangoGcpError(
            f"Failed to read project {project}: it does not exist, or the caller may not see it (HTTP {error.status} "
            f"{error.code}). Check the spelling of the project's id; if it is right, grant the caller "
            "resourcemanager.projects.get, for example with the role roles/browser."
        ) from error
    return {
        "project_id": found["projectId"],
        "number": str(found["name"]).rpartition("/")[2],
        "name": found.get("displayName", ""),
        "state": found.get("state", ""),
    }


def find_new_project(client: Client, project: str) -> Json:
    """What can be known of a project whose Resource Manager API is not enabled yet: that it is there, and its number.

    Source: serviceusage:v1, services.get answers for every project with ``parent: projects/NUMBER``.
    """
    url = f"https://serviceusage.googleapis.com/v1/projects/{project}/services/cloudresourcemanager.googleapis.com"
    found = client.get(url, Call(f"read the APIs of project {project}", "serviceusage.services.get"))
    return {
        "project_id": project,
        "number": str(found["parent"]).rpartition("/")[2],
        "name": "",
        "state": "ACTIVE",
    }


def missing(client: Client, project: str, permissions: list[str]) -> list[Json]:
    """The permissions that the caller does not have on the project."""
    granted: set[str] = set()
    for start in range(0, len(permissions), _PERMISSIONS_PER_CALL):
        body = {"permissions": permissions[start : start + _PERMISSIONS_PER_CALL]}
        url = f"{_RESOURCE_MANAGER}/projects/{project}:testIamPermissions"
        answer = client.request(
            "POST", url, Call(f"test permissions on project {project}"), body=body, repeatable=True
        )
        granted.update(answer.get("permissions") or [])
    return [{"permission": name, "role": role_that_has(name)} for name in permissions if name not in granted]


def _is_unreadable(answer: Json | DjangoGcpError) -> bool:
    """Whether it is an error, and not that of a constraint that Google does not know."""
    return isinstance(answer, DjangoGcpError) and not (isinstance(answer, ApiError) and answer.status == 404)


def effective_policies(client: Client, project: str, constraints: list[str]) -> tuple[Json, str]:
    """The rules in effect by constraint, and why they could not be read, "" if they could.

    Source: orgpolicy:v2, projects.policies.getEffectivePolicy.
    """

    def read(constraint: str) -> Json | DjangoGcpError:
        url = f"{_ORG_POLICY}/projects/{project}/policies/{constraint}:getEffectivePolicy"
        call = Call(f"read the policy {constraint} in effect in project {project}", "orgpolicy.policy.get")
        try:
            return client.get(url, call)
        except DjangoGcpError as error:
            return error

    # Why one cannot be read is why none can.
    first = [read(constraint) for constraint in constraints[:1]]
    if first and _is_unreadable(first[0]):
        return {}, str(first[0])
    answers = dict(zip(constraints, first + for_each(constraints[1:], read), strict=True))
    for answer in answers.values():
        if _is_unreadable(answer):
            return {}, str(answer)
    return {
        name: (answer.get("spec") or {}).get("rules") or []
        for name, answer in answers.items()
        if not isinstance(answer, DjangoGcpError)
    }, ""


def work(task: Task) -> Json:
    """Read all of it."""
    result = {"changed": False, "caller": find_caller(task.client), "taken_buckets": []}
    result["is_emulator"] = task.client.is_emulator
    try:
        found = find_project(task.client, task.project)
    except ApiError as error:
        if not error.is_disabled:
            raise
        found = find_new_project(task.client, task.project)
        return {
            **result,
            "project": found,
            "permissions_tested": False,
            "missing_permissions": [],
            "policies": {},
            "policies_problem": error.message,
        }
    project = found["project_id"]
    (result["policies"], result["policies_problem"]), lacking = for_each(
        [
            lambda: effective_policies(task.client, project, task.params["constraints"]),
            lambda: missing(task.client, project, task.params["permissions"]),
        ],
        lambda read: read(),
    )
    if task.params["buckets"] and not lacking:
        result["taken_buckets"] = taken_buckets(task.client, task.project, task.params["buckets"])
    return {**result, "project": found, "permissions_tested": True, "missing_permissions": lacking}


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={
            "permissions": rules.PERMISSION,
            "buckets": rules.BUCKET,
            "constraints": rules.CONSTRAINT,
        },
    )


if __name__ == "__main__":
    main()
