#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifactregistry_repository
short_description: Manage an Artifact Registry repository
version_added: 0.9.0
description:
  - Creates, updates and deletes a repository of L(Artifact Registry,https://cloud.google.com/artifact-registry/docs).
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description:
      - The repository's id.
    type: str
    required: true
  location:
    description:
      - The region, for instance V(us-central1).
    type: str
    required: true
  # From the table REPOSITORY of _services/artifactregistry.py: written by tests/module_docs.py.
  format:
    description: What the repository holds. It cannot be changed later.
    type: str
    choices: [DOCKER, PYTHON, NPM, MAVEN, APT, YUM, GENERIC]
    default: DOCKER
  description:
    description: What the repository is for.
    type: str
  labels:
    description: The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products,
      C(goog-*).
    type: dict
  cleanup_policies:
    description: Cleanup policies by name, as the API has them (C(action), C(condition), C(mostRecentVersions)). What the
      API does not know is refused.
    type: dict
  cleanup_policy_dry_run:
    description: Whether cleanup policies only log what they would delete.
    type: bool
  immutable_tags:
    description: Whether a tag can never be moved to another image.
    type: bool
  # End of the table.
  state:
    description:
      - Whether the repository is there. Deleting it deletes its images.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Make the repository for a site's images
  org.djangogcp.artifactregistry_repository:
    project: my-project
    location: us-central1
    name: polls
    description: Images of the Django site polls

- name: Label it
  org.djangogcp.artifactregistry_repository:
    project: my-project
    location: us-central1
    name: polls
    labels:
      managed-by: djangogcp

- name: Delete it with its images
  org.djangogcp.artifactregistry_repository:
    project: my-project
    location: us-central1
    name: polls
    state: absent
"""

RETURN = r"""
repository:
  description: The repository, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: polls
    location: us-central1
    format: DOCKER
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [create repository djangogcp]
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    WAIT_ARGS,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, reconciled, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._rules import one_line
from ansible_collections.org.djangogcp.plugins.module_utils._services.artifactregistry import (
    CLEANUP_POLICY,
    REPOSITORY,
)
from ansible_collections.org.djangogcp.plugins.module_utils._table_problems import table_problems

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "location": {"type": "str", "required": True},
    **table_options(REPOSITORY.fields),
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def work(task: Task) -> Json:
    """Make the repository what is asked."""
    return reconciled(task, "repository", REPOSITORY, "location", "name")


def check(params: Json) -> list[str]:
    """What is wrong with the cleanup policies, whose names are free."""
    return [
        problem
        for name, policy in (params["cleanup_policies"] or {}).items()
        for problem in table_problems(policy, CLEANUP_POLICY, f"cleanup_policies.{one_line(str(name))}")
    ]


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.REPOSITORY},
        tables={"": REPOSITORY.fields},
        check=check,
    )


if __name__ == "__main__":
    main()
