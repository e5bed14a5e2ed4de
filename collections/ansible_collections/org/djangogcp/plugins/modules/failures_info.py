#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: failures_info
short_description: Read what has failed last of services, jobs and builds
version_added: 0.9.0
description:
  - Reads the newest revision of a Cloud Run service, the newest execution of each of some jobs and the newest build of each of some images, and
    tells of those that have failed, with the end of their logs.
  - What cannot be read is told, and fails nothing.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  location:
    description: The region of O(service) and O(jobs).
    type: str
    required: true
  service:
    description: A service, of which a newest revision that has traffic has not failed.
    type: str
  jobs:
    description: Jobs. One that is not there has not failed.
    type: list
    elements: str
    default: []
  images:
    description: Names of images, without tag and digest.
    type: list
    elements: str
    default: []
  build_locations:
    description: Where O(images) are built, regions or V(global). Among the newest twenty builds of each they are looked for.
    type: list
    elements: str
    default: []
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read why the migration failed
  org.djangogcp.failures_info:
    project: my-project
    location: us-central1
    jobs: [polls-migrate]
  register: result
"""

RETURN = r"""
failures:
  description: What has failed, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(revision), V(execution) or V(build).
      type: str
    name:
      description: What it is called.
      type: str
    of:
      description: The service, the job or the image that it is of.
      type: str
    time:
      description: When it was made.
      type: str
    message:
      description: Why it failed, in Google's words.
      type: str
    lines:
      description: The end of its log, oldest first.
      type: list
      elements: str
  sample:
    - kind: execution
      name: polls-migrate-x7k2p
      of: polls-migrate
      time: "2026-01-31T12:00:00.000000Z"
      message: Task polls-migrate-x7k2p-task0 failed with message The container exited with an error.
      lines: ["django.db.utils.ProgrammingError: relation does not exist"]
unread:
  description: Why something could not be read, a message for each.
  returned: success
  type: list
  elements: str
  sample: []
"""

import functools
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._builds import is_finished
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._logs import log_lines
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import read
from ansible_collections.org.djangogcp.plugins.module_utils._run import Executions, revision_log
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import SERVICE
from ansible_collections.org.djangogcp.plugins.module_utils._traffic import newest_revision, serving_targets

ARGUMENT_SPEC = {
    "location": {"type": "str", "required": True},
    "service": {"type": "str"},
    "jobs": {"type": "list", "elements": "str", "default": []},
    "images": {"type": "list", "elements": "str", "default": []},
    "build_locations": {"type": "list", "elements": "str", "default": []},
}
#: What Google accepts.
RULES = {
    "location": rules.LOCATION,
    "service": rules.SERVICE,
    "jobs": rules.JOB,
    "images": rules.IMAGE_NAME,
    "build_locations": rules.LOCATION,
}
_CLOUD_BUILD = "https://cloudbuild.googleapis.com/v1"
_LINES = 100
_BUILDS = 20


def revision_that_failed(task: Task, service: str) -> list[Json]:
    """The newest revision of a service, if it has no traffic and is not ready.

    Source: run v2, GoogleCloudRunV2Condition; a revision that could not even be made is told by the service alone.
    """
    ids = {"project": task.project, "location": task.params["location"], "name": service}
    found = read(task.client, SERVICE, ids)
    if found is None:
        return []
    revision = newest_revision(found)
    if revision in [name for name, percent, _tag in serving_targets(found) if percent]:
        return []
    call = Call(f"read revision {revision}", "run.revisions.get")
    made = task.client.find(f"{SERVICE.url(ids)}/revisions/{revision}", call) or {}
    conditions = [*(made.get("conditions") or []), found.get("terminalCondition") or {}]
    failed = [one for one in conditions if one.get("state") == "CONDITION_FAILED" and one.get("message")]
    if not failed:
        return []
    return [
        {
            "kind": "revision",
            "name": revision,
            "of": service,
            "time": made.get("createTime") or found.get("updateTime", ""),
            "message": failed[0]["message"],
            "lines": revision_log(task.client, task.project, revision),
        }
    ]


def execution_that_failed(task: Task, job: str) -> list[Json]:
    """The newest execution of a job, if it has failed."""
    executions = Executions(task.client, task.project, task.params["location"], job)
    try:
        newest = executions.list(1)
    except ApiError as error:
        if not error.is_absent:
            raise
        return []
    if not newest or newest[0]["succeeded"] or not newest[0]["completion_time"]:
        return []
    found = newest[0]
    selector = (
        f'resource.type="cloud_run_job" AND resource.labels.job_name="{job}"'
        f' AND labels."run.googleapis.com/execution_name"="{found["name"]}" AND timestamp>="{found["create_time"]}"'
    )
    return [
        {
            "kind": "execution",
            "name": found["name"],
            "of": job,
            "time": found["create_time"],
            "message": found["message"],
            "lines": log_lines(task.client, task.project, selector, limit=_LINES),
        }
    ]


def build_that_failed(task: Task, image: str) -> list[Json]:
    """The newest build of an image, if it has failed. Source: cloudbuild v1, builds.list, the newest first."""
    found: list[Json] = []
    call = Call(f"list the builds of {image}", "cloudbuild.builds.list")
    for location in task.params["build_locations"]:
        url = f"{_CLOUD_BUILD}/projects/{task.project}/locations/{location}/builds"
        try:
            builds = task.client.get(url, call, params={"pageSize": _BUILDS}).get("builds") or []
        except ApiError as error:
            # Where its API is off nothing was built.
            if not error.is_absent:
                raise
            return []
        found += [
            one for one in builds if any(name.startswith(f"{image}:") for name in one.get("images") or [])
        ]
    newest = max(found, key=lambda build: str(build.get("createTime", "")), default=None)
    if newest is None or not is_finished(newest) or newest["status"] == "SUCCESS":
        return []
    detail = newest.get("failureInfo", {}).get("detail") or newest.get("statusDetail") or "no detail given"
    selector = f'resource.type="build" AND resource.labels.build_id="{newest["id"]}"'
    return [
        {
            "kind": "build",
            "name": newest["id"],
            "of": image,
            "time": newest["createTime"],
            "message": f"It ended with {newest['status']}: {detail}",
            "lines": log_lines(task.client, task.project, selector, limit=_LINES),
        }
    ]


def work(task: Task) -> Json:
    """Look at all of it."""
    service = task.params["service"]
    looks = [
        *([functools.partial(revision_that_failed, task, service)] if service else []),
        *(functools.partial(execution_that_failed, task, job) for job in task.params["jobs"]),
        *(functools.partial(build_that_failed, task, image) for image in task.params["images"]),
    ]

    def look(one: t.Callable[[], list[Json]]) -> tuple[list[Json], str]:
        try:
            return one(), ""
        except DjangoGcpError as error:
            return [], error.message

    found = for_each(looks, look)
    failures = [failure for failed, _why in found for failure in failed]
    return {
        "changed": False,
        "failures": sorted(failures, key=lambda one: one["time"], reverse=True),
        "unread": list(dict.fromkeys(why for _failed, why in found if why)),
    }


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES, only_reads=True)


if __name__ == "__main__":
    main()
