#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_jobs
short_description: Manage Cloud Run jobs
version_added: 1.0.0
description:
  - Creates, updates and deletes Cloud Run jobs, several at once. It does not run them; M(org.djangogcp.run_job_execution) does.
  - An empty value removes, for instance V({}) of C(vpc_access). What is asked for replaces its alternatives, for instance a C(gcs) the
    C(secret) of a volume.
  - The label C(djangogcp-asked) of a job's O(jobs[].template) is a hash of what was asked when the template was changed last.
    Executions get it, too. It tells which of them ran what the job says now.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  location:
    description:
      - The region, for instance V(us-central1).
    type: str
    required: true
  jobs:
    description:
      - The jobs.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The job's id.
        type: str
        required: true
      labels:
        description:
          - Labels; others on the job are removed.
        type: dict
      annotations:
        description:
          - Annotations; others on the job are removed.
        type: dict
      template:
        description:
          - What an execution is made of, with the names of the API's C(ExecutionTemplate) in snake case, for instance
            C(task_count) and C(template) with C(service_account), C(timeout), C(max_retries), C(containers), C(volumes).
          - A name that the API does not have is refused.
        type: dict
      look_for_execution:
        description:
          - Whether to look if the job's newest execution ran what the job was asked to do, and succeeded. RV(jobs[].executed) tells.
        type: bool
        default: false
      state:
        description:
          - Whether the job is there.
        type: str
        choices: [present, absent]
        default: present
  common:
    description:
      - What jobs that are present have in common. A job's own options are laid over it - dictionaries key by key, containers one by
        one, environment variables by name; another list replaces the common one.
    type: dict
    suboptions:
      labels:
        description:
          - See O(jobs[].labels).
        type: dict
      annotations:
        description:
          - See O(jobs[].annotations).
        type: dict
      template:
        description:
          - See O(jobs[].template).
        type: dict
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Make a job that migrates the database
  org.djangogcp.run_jobs:
    project: my-project
    location: us-central1
    jobs:
      - name: polls-migrate
        template:
          template:
            service_account: polls-migrator@my-project.iam.gserviceaccount.com
            max_retries: 0
            containers:
              - image: us-central1-docker.pkg.dev/my-project/djangogcp/polls@sha256:aaaa
                command: [python]
                args: [manage.py, migrate, --noinput]

- name: Make jobs that differ in their arguments only
  org.djangogcp.run_jobs:
    project: my-project
    location: us-central1
    common:
      template:
        template:
          containers:
            - image: us-central1-docker.pkg.dev/my-project/djangogcp/polls@sha256:aaaa
              command: [python, manage.py]
    jobs:
      - name: polls-clearsessions
        template: {template: {containers: [{args: [clearsessions]}]}}
      - name: polls-check
        template: {template: {containers: [{args: [check, --deploy]}]}}

- name: Label it
  org.djangogcp.run_jobs:
    project: my-project
    location: us-central1
    jobs:
      - name: polls-migrate
        labels: {site: polls}

- name: Delete it
  org.djangogcp.run_jobs:
    project: my-project
    location: us-central1
    jobs:
      - name: polls-migrate
        state: absent
"""

RETURN = r"""
jobs:
  description: The jobs, in the order in which they were asked for.
  returned: success
  type: list
  elements: dict
  contains:
    executed:
      description: Whether its newest execution ran what is asked, and succeeded. False if O(jobs[].look_for_execution=false).
      returned: always
      type: bool
  sample:
    - name: polls-migrate
      executed: false
      changed: true
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [create job polls-migrate]
"""

import functools
import itertools
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    WAIT_ARGS,
    repeated_problems,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._module import (
    Task,
    for_each,
    many_results,
    run_module,
)
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Outcome, reconcile
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    Executions,
    asked_label,
    is_succeeded,
    labelled,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import JOB

ARGUMENT_SPEC = {
    "location": {"type": "str", "required": True},
    "jobs": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "labels": {"type": "dict"},
            "annotations": {"type": "dict"},
            "template": {"type": "dict"},
            "look_for_execution": {"type": "bool", "default": False},
            "state": STATE_ARG,
        },
    },
    "common": {
        "type": "dict",
        "options": {
            "labels": {"type": "dict"},
            "annotations": {"type": "dict"},
            "template": {"type": "dict"},
        },
    },
    **MARK_ARGS,
    **WAIT_ARGS,
}


def laid_over(common: Json, own: Json) -> Json:
    """A job's own options over the common ones: dictionaries key by key, containers one by one, variables by name. What is empty wins
    as it is: it removes."""
    result = dict(common)
    for key, value in own.items():
        below = common.get(key)
        if value and isinstance(value, dict) and isinstance(below, dict):
            result[key] = laid_over(below, value)
        elif key == "containers" and isinstance(value, list) and isinstance(below, list):
            pairs = itertools.zip_longest(below, value, fillvalue={})
            result[key] = [laid_over(*pair) if isinstance(pair[1], dict) else pair[1] for pair in pairs]
        elif (
            key == "env" and isinstance(value, list) and isinstance(below, list) and _are_named(below + value)
        ):
            variables = {item["name"]: item for item in [*below, *value]}
            result[key] = [variables[name] for name in sorted(variables)]
        elif value is not None or key not in common:
            result[key] = value
    return result


def _are_named(variables: list[t.Any]) -> bool:
    return all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in variables)


def desired(job: Json, common: Json) -> Json:
    """One job's options as the engine compares them."""
    return laid_over(common, job) if job["state"] == "present" else job


def work(task: Task) -> Json:
    """Make the jobs what is asked."""
    asked = [desired(job, task.params["common"] or {}) for job in task.params["jobs"]]

    def one(job: Json) -> Outcome:
        ids = {"project": task.project, "location": task.params["location"], "name": job["name"]}
        outcome = reconcile(
            task.client,
            JOB,
            ids,
            functools.partial(labelled, job),
            state=job["state"],
            check_mode=task.check_mode,
            wait=task.wait,
            ownership=Ownership.from_params(task.params),
        )
        if outcome.resource:
            # A job that is asked something else than before has not run it.
            same = bool(asked_label(outcome.found)) and asked_label(outcome.found) == asked_label(
                outcome.wire
            )
            looked = outcome.wire if job["look_for_execution"] and same else None
            executions = Executions(task.client, task.project, ids["location"], ids["name"])
            outcome.resource["executed"] = looked is not None and is_succeeded(
                executions.newest_as_is(looked) or {}
            )
        return outcome

    return many_results("jobs", for_each(asked, one))


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"jobs.name": rules.JOB},
        tables={"jobs": JOB.fields, "common": JOB.fields},
        check=lambda params: repeated_problems(params["jobs"], "jobs"),
    )


if __name__ == "__main__":
    main()
