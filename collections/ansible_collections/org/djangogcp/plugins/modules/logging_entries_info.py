#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: logging_entries_info
short_description: Read, and follow, a log of Cloud Logging
version_added: 0.9.0
description:
  - Reads the newest entries that a filter selects. With O(follow_seconds) it goes on, and shows each as it comes.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  filter:
    description: Which entries, in the query language of Cloud Logging.
    type: str
    required: true
  since_seconds:
    description: How old the oldest entry may be.
    type: int
    default: 3600
  limit:
    description: How many entries are read at most, of those the newest.
    type: int
    default: 100
  follow_seconds:
    description:
      - For how long new entries are shown as they come. Nothing is shown before the end where the module runs in a process of its own, as it
        does on another host.
    type: int
    default: 0
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read what went wrong within the last hour
  org.djangogcp.logging_entries_info:
    project: my-project
    filter: resource.type="cloud_run_revision" AND severity>=ERROR
  register: result
"""

RETURN = r"""
lines:
  description:
    - What the entries hold, oldest first, each with its moment and what it comes from. Further lines of an entry follow it as they are.
    - Of a log that was followed the newest ten thousand.
  returned: success
  type: list
  elements: str
  sample:
    - 2026-11-29T17:00:01Z polls-00001-abc GET / 200 0.012s
"""

import collections
import datetime
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._logs import dated_lines_of, log_that_goes_on
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline

ARGUMENT_SPEC = {
    "filter": {"type": "str", "required": True},
    "since_seconds": {"type": "int", "default": 3600},
    "limit": {"type": "int", "default": 100},
    "follow_seconds": {"type": "int", "default": 0},
}
#: What Google accepts.
RULES = {
    "filter": rules.LOG_FILTER,
    "since_seconds": rules.between(1, 10 * 365 * 86400),
    "limit": rules.between(1, 1000),
    "follow_seconds": rules.between(0, 86400),
}


def work(task: Task) -> dict[str, t.Any]:
    """Read the log, and show what comes."""
    params = task.params
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=params["since_seconds"])
    deadline = Deadline(params["follow_seconds"], task.client.clock)
    looks = log_that_goes_on(
        task.client, task.project, params["filter"], since, deadline, limit=params["limit"]
    )
    lines: collections.deque[str] = collections.deque(maxlen=10_000)
    for entries in looks:
        found = dated_lines_of(entries)
        lines += found
        if params["follow_seconds"]:
            for line in found:
                _progress.tell(line)
    return {"changed": False, "lines": list(lines)}


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES, only_reads=True)


if __name__ == "__main__":
    main()
