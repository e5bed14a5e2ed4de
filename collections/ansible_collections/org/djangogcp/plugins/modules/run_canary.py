#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_canary
short_description: Watch a Cloud Run revision that has a part of the traffic
version_added: 0.9.0
description:
  - Watches for some time what the revision answers that M(org.djangogcp.run_service) has given a part of the traffic (its
    O(org.djangogcp.run_service#module:canary)), in Cloud Run's own log of requests.
  - Fails as soon as it answers too many requests with an error of the server or too slowly, and says which ones and what it printed. What the
    old revision does no better in the same time is no fault of the new one.
  - Fails, too, when somebody moves the traffic meanwhile.
  - Of a revision that answers more than 1000 requests the newest 1000 are judged. Requests to the address of O(candidate_tag) do not count.
  - Changes nothing. In check mode nothing is watched.
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
      - The traffic tag of the revision.
    type: str
    required: true
  seconds:
    description:
      - For how long it is watched.
    type: int
    default: 300
  max_error_ratio:
    description:
      - Which part of its requests, from V(0) to V(1), may be answered with a status from 500 on, beside the part that the old revision answers
        so. Fewer than O(min_requests) count as so many.
    type: float
    default: 0.05
  max_p95_ms:
    description:
      - Within how many milliseconds 95 of 100 requests have to be answered, unless the old revision is as slow. V(0) takes any time.
      - Looked at from O(min_requests) on.
    type: int
    default: 3000
  min_requests:
    description:
      - With how many requests it can be judged. With fewer at the end it is told that it was not, unless there were too many errors.
    type: int
    default: 20
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Watch what a tenth of the visitors get
  org.djangogcp.run_canary:
    project: my-project
    location: us-central1
    name: polls
    candidate_tag: candidate
    seconds: 300
  register: result
"""

RETURN = r"""
canary:
  description: What was seen.
  returned: when it was watched
  type: dict
  contains:
    revision:
      description: The revision that was watched.
      type: str
    percent:
      description: Its part of the traffic.
      type: int
    requests:
      description: How many requests it answered.
      type: int
    errors:
      description: How many of them with a status from 500 on.
      type: int
    p95_ms:
      description: Within how many milliseconds 95 of 100 were answered, nothing without requests.
      type: int
    examples:
      description: The most frequent errors, each with its status, method, path and number.
      type: list
      elements: str
    is_judged:
      description: Whether there were as many as O(min_requests), or it was bad.
      type: bool
    text:
      description: The same as a sentence.
      type: str
  sample:
    revision: polls-00002-abc
    percent: 10
    requests: 240
    errors: 0
    p95_ms: 180
    examples: []
    is_judged: true
    text: "polls-00002-abc, with 10 % of the traffic, answered 240 requests: 0 errors of the server, 95 % within 180 ms."
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._canary import (
    Limits,
    Seen,
    printed,
    problems,
    requests_of,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import read
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import SERVICE
from ansible_collections.org.djangogcp.plugins.module_utils._traffic import Standing, shares, standing

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "location": {"type": "str", "required": True},
    "candidate_tag": {"type": "str", "required": True},
    "seconds": {"type": "int", "default": 300},
    "max_error_ratio": {"type": "float", "default": 0.05},
    "max_p95_ms": {"type": "int", "default": 3000},
    "min_requests": {"type": "int", "default": 20},
}
#: A project has 60 reads of the log a minute (https://cloud.google.com/logging/quotas), and several sites may be deployed at the same time.
_LONGEST_DELAY = 20


class CanaryError(DjangoGcpError):
    """A canary that is bad. Carries what was seen of it.

    Args:
        message: the text for the user.
        canary: what the module returns of it.
    """

    def __init__(self, message: str, canary: Json) -> None:
        super().__init__(message)
        self.canary = canary

    def as_fail_json(self) -> dict[str, t.Any]:
        return {"msg": self.message, "canary": self.canary}


def told(canary: Standing, seen: Seen, *, is_judged: bool) -> Json:
    """What the module returns."""
    share = f"{canary.revision}, with {canary.percent} % of the traffic, answered {seen.requests} request{'' if seen.requests == 1 else 's'}"
    within = f", 95 % within {seen.p95_ms} ms" if seen.requests else ""
    errors = f"{seen.errors} error{'' if seen.errors == 1 else 's'} of the server"
    return {
        "revision": canary.revision,
        "percent": canary.percent,
        **seen._asdict(),
        "is_judged": is_judged,
        "text": f"{share}: {errors}{within}." if seen.requests else f"{share}.",
    }


def watch(task: Task, ids: Json) -> Json:
    """Look until the time is over, or the canary is bad."""
    params, client, tag = task.params, task.client, task.params["candidate_tag"]
    limits = Limits(params["max_error_ratio"], params["max_p95_ms"], params["min_requests"])
    deadline = Deadline(params["seconds"], client.clock)
    # By Google's clock: since when the traffic is as it is.
    service = read(client, SERVICE, ids) or {}
    since = str(service.get("updateTime", ""))
    first = standing(service)
    if first is None:
        raise DjangoGcpError(f"Failed to watch service {ids['name']}: no canary has a part of its traffic.")
    lines = 0
    for delay in delays(first=1, factor=1.5, longest=_LONGEST_DELAY):
        is_last = not deadline.sleep(delay)
        service = read(client, SERVICE, ids) or {}
        if standing(service) != first:
            now = ", ".join(f"{name} {percent} %" for name, percent in sorted(shares(service).items()))
            raise DjangoGcpError(
                f"Failed to watch {first.revision}: somebody has moved the traffic of service {ids['name']} meanwhile ({now})."
            )
        seen = requests_of(client, task.project, [first.revision], since, tag)
        # Most looks are good, whatever the old revision does.
        if problems(seen, Seen(0, 0, None, []), limits):
            before = requests_of(client, task.project, first.before, since, tag)
            bad = problems(seen, before, limits)
            if bad:
                raise failure(task, first, seen, bad, since)
        is_judged = seen.requests >= limits.requests
        found = told(first, seen, is_judged=is_judged)
        if is_last:
            return {"changed": False, "canary": found}
        if deadline.waited >= (lines + 1) * _progress.EVERY_SECONDS:
            lines = int(deadline.waited // _progress.EVERY_SECONDS)
            _progress.tell(
                f"{found['text']} {_progress.elapsed(deadline.waited)} of {_progress.elapsed(deadline.seconds)}"
            )
    raise AssertionError("delays() never ends")


def failure(task: Task, canary: Standing, seen: Seen, bad: list[str], since: str) -> CanaryError:
    """The error of a canary that is bad, with what was answered and printed."""
    errors = [f"Errors: {', '.join(seen.examples)}."] if seen.examples else []
    lines = printed(task.client, task.project, canary.revision, since)
    log = [f"What {canary.revision} printed last:", *lines] if lines else []
    first = f"{canary.revision} is bad with {canary.percent} % of the traffic:"
    return CanaryError(
        "\n".join([" ".join([first, *bad]), *errors, *log]), told(canary, seen, is_judged=True)
    )


def work(task: Task) -> Json:
    """Watch it."""
    if task.check_mode:
        return {"changed": False, "skipped": True, "msg": "Not done in check mode."}
    return watch(task, {name: task.params[name] for name in ("project", "location", "name")})


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={
            "name": rules.SERVICE,
            "candidate_tag": rules.TAG,
            "seconds": rules.CANARY_SECONDS,
            "max_error_ratio": rules.RATIO,
            "max_p95_ms": rules.MILLISECONDS,
            "min_requests": rules.CANARY_REQUESTS,
        },
        only_reads=True,
    )


if __name__ == "__main__":
    main()
