#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_service_info
short_description: Read a Cloud Run service and who serves
version_added: 0.9.0
description:
  - Reads a Cloud Run service and the revisions that get its traffic.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  name:
    description:
      - The service's id.
    type: str
    required: true
  location:
    description:
      - The region.
    type: str
    required: true
  candidate_tag:
    description:
      - The traffic tag of a revision that is looked for.
    type: str
  log_revision:
    description:
      - A revision whose newest lines of log are read.
    type: str
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See what serves
  org.djangogcp.run_service_info:
    project: my-project
    location: us-central1
    name: polls
  register: result
"""

RETURN = r"""
service:
  description: The service, or nothing when there is none.
  returned: success
  type: dict
  sample:
    name: polls
    uri: https://polls-123456789012.us-central1.run.app
serving:
  description: Who gets traffic.
  returned: success
  type: list
  elements: dict
  sample:
    - revision: polls-00001-xyz
      percent: 100
      tag: ""
      image: us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa
      placeholder: false
moved:
  description:
    - Who serves when it is not what M(org.djangogcp.run_service) deployed last, because somebody has moved the traffic since, else nothing.
  returned: success
  type: dict
  contains:
    deployed:
      description: The revision that was given all the traffic last.
      type: str
    serving:
      description: The revision that has most of it now.
      type: str
  sample:
    deployed: polls-00002-abc
    serving: polls-00001-xyz
canary:
  description:
    - The revision that has a part of the traffic because M(org.djangogcp.run_service) was asked for a canary, else nothing.
  returned: success
  type: dict
  contains:
    revision:
      description: The revision.
      type: str
    percent:
      description: Its part.
      type: int
    before:
      description: By revision how much each had before, in percent.
      type: dict
    digest:
      description: What the deploy calls its release.
      type: str
  sample:
    revision: polls-00003-def
    percent: 10
    before: {polls-00002-abc: 100}
    digest: ""
candidate:
  description: The revision that carries O(candidate_tag), with its part of the traffic, or nothing.
  returned: success
  type: dict
  sample:
    revision: polls-00003-def
    percent: 0
log:
  description: The newest lines that O(log_revision) printed, at most 30, oldest first.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import read
from ansible_collections.org.djangogcp.plugins.module_utils._run import moved_traffic, revision_log, serving
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import SERVICE
from ansible_collections.org.djangogcp.plugins.module_utils._traffic import standing, tagged

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "location": {"type": "str", "required": True},
    "candidate_tag": {"type": "str"},
    "log_revision": {"type": "str"},
}


def work(task: Task) -> Json:
    """Read it."""
    ids = {name: task.params[name] for name in ("project", "location", "name")}
    found = read(task.client, SERVICE, ids, ahead=True)
    revision, tag = task.params["log_revision"], task.params["candidate_tag"]
    canary = standing(found)
    return {
        "changed": False,
        "service": SERVICE.show(ids, found) if found else None,
        "serving": serving(task.client, ids, found) if found else [],
        "moved": moved_traffic(found),
        "canary": canary._asdict() if canary else None,
        "candidate": tagged(found, tag) if found and tag else None,
        "log": revision_log(task.client, task.project, revision) if revision else [],
    }


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.SERVICE, "candidate_tag": rules.TAG, "log_revision": rules.REVISION},
        only_reads=True,
    )


if __name__ == "__main__":
    main()
