#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_buckets_info
short_description: Read Cloud Storage buckets
version_added: 0.9.0
description:
  - Tells of the Cloud Storage buckets of a project.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._info
seealso:
  - module: org.djangogcp.storage_buckets
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read all buckets of a project
  org.djangogcp.storage_buckets_info:
    project: my-project
  register: result
"""

RETURN = r"""
buckets:
  description: The buckets, each as M(org.djangogcp.storage_buckets) returns it.
  returned: success
  type: list
  elements: dict
  sample:
    - name: my-project-polls-media
      project: my-project
      location: EUROPE-WEST1
      versioning: true
      labels: {site: polls}
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, run_info_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import BUCKET

ARGUMENT_SPEC = INFO_ARGS


def main() -> None:
    """Run the module."""
    run_info_module(ARGUMENT_SPEC, BUCKET, "buckets", rule=rules.BUCKET)


if __name__ == "__main__":
    main()
