#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifactregistry_repository_info
short_description: Read repositories of Artifact Registry
version_added: 0.9.0
description:
  - Tells of the Artifact Registry repositories of a region.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._info
options:
  location:
    description: The region, for instance V(us-central1).
    type: str
    required: true
seealso:
  - module: org.djangogcp.artifactregistry_repository
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read all repositories of a region
  org.djangogcp.artifactregistry_repository_info:
    project: my-project
    location: us-central1
  register: result
"""

RETURN = r"""
repositories:
  description: The repositories, each as M(org.djangogcp.artifactregistry_repository) returns it.
  returned: success
  type: list
  elements: dict
  sample:
    - name: djangogcp
      project: my-project
      location: us-central1
      format: DOCKER
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.artifactregistry import REPOSITORY

ARGUMENT_SPEC = {"location": {"type": "str", "required": True}, **INFO_ARGS}


def main() -> None:
    """Run the module."""
    run_info_module(ARGUMENT_SPEC, REPOSITORY, "repositories", rule=rules.REPOSITORY)


if __name__ == "__main__":
    main()
