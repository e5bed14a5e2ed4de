#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_revision_retention
short_description: Delete Cloud Run revisions that nobody needs any more
version_added: 0.9.0
description:
  - Deletes old revisions of services and worker pools. What has traffic, a tag or instances stays, and so do the newest revision, the newest one that
    is ready, what was deployed last, and what had traffic before a canary.
  - Executions of jobs stay, because Cloud Run deletes all but the newest 1000 of a job itself.
  - Tells which images and versions of secrets what is left in the region refers to, revisions and jobs.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  location:
    description: The region.
    type: str
    required: true
  services:
    description: The services whose revisions are looked at. One that is not there has none.
    type: list
    elements: str
    default: []
  worker_pools:
    description: The worker pools whose revisions are looked at. One that is not there has none.
    type: list
    elements: str
    default: []
  kept:
    description: The names of revisions that stay.
    type: list
    elements: str
    default: []
  keep_newest:
    description: How many of the newest revisions of a worker pool stay.
    type: int
    default: 1
  older_than_days:
    description: How many days old a revision is that goes.
    type: int
    required: true
seealso:
  - module: org.djangogcp.run_service
  - name: Limits of Cloud Run
    description: What it deletes itself.
    link: https://cloud.google.com/run/quotas
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Delete revisions that are older than a month
  org.djangogcp.run_revision_retention:
    project: my-project
    location: us-central1
    services: [polls]
    kept: [polls-00007-abc]
    older_than_days: 30
"""

RETURN = r"""
revisions:
  description: The revisions that were deleted, or would be in check mode, the newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - name: polls-00003-abc
      created: "2026-10-01T12:00:00.000000Z"
      image: us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa
images:
  description: The images that what is left in the region refers to.
  returned: success
  type: list
  elements: str
  sample: ["us-central1-docker.pkg.dev/my-project/polls/polls@sha256:bbbb"]
secret_versions:
  description: By the name of a secret the numbers of the versions that what is left in the region reads.
  returned: success
  type: dict
  sample: {polls-secret-key: ["1"]}
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [delete revision polls-00003-abc of 2026-10-01]
"""

import json
import time
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import MARK_ARGS, WAIT_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._marks import ForeignError, Mark, Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import long_running
from ansible_collections.org.djangogcp.plugins.module_utils._retention import revisions_to_delete, short
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import (
    API,
    CANARY_ANNOTATION,
    DEPLOYED_ANNOTATION,
)

ARGUMENT_SPEC = {
    "location": {"type": "str", "required": True},
    "services": {"type": "list", "elements": "str", "default": []},
    "worker_pools": {"type": "list", "elements": "str", "default": []},
    "kept": {"type": "list", "elements": "str", "default": []},
    "keep_newest": {"type": "int", "default": 1},
    "older_than_days": {"type": "int", "required": True},
    **MARK_ARGS,
    **WAIT_ARGS,
}
#: What Google accepts.
RULES = {
    "location": rules.LOCATION,
    "services": rules.SERVICE,
    "worker_pools": rules.WORKER_POOL,
    "kept": rules.REVISION,
    "keep_newest": rules.between(1, 1000),
    "older_than_days": rules.DAYS,
}
_TARGETS = ("traffic", "trafficStatuses", "instanceSplits", "instanceSplitStatuses")
_NEWEST = ("latestCreatedRevision", "latestReadyRevision")


def needed(owner: Json) -> set[str]:
    """The short names of the revisions that a service or a worker pool, as read, needs itself: also with a tag alone, and before a canary."""
    noted = owner.get("annotations") or {}
    targets = [one.get("revision") or "" for field in _TARGETS for one in owner.get(field) or []]
    names = {short(name) for name in (*targets, *(owner.get(field) or "" for field in _NEWEST))}
    try:
        before = json.loads(noted.get(CANARY_ANNOTATION) or "{}").get("before") or {}
    except (ValueError, AttributeError):
        before = {}
    return {*names, *before, noted.get(DEPLOYED_ANNOTATION, "")} - {""}


def images_of(resource: Json) -> list[str]:
    """The images that a revision or a job refers to."""
    template = resource.get("template") or {}
    containers = resource.get("containers") or (template.get("template") or {}).get("containers") or []
    return [one["image"] for one in containers if one.get("image")]


def secret_versions(resources: t.Iterable[Json]) -> dict[str, list[str]]:
    """By the short name of a secret the numbers of the versions that revisions and jobs read, as variables and as files."""
    found: dict[str, set[str]] = {}

    def look(part: t.Any) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("secret"), str):
                for one in (part, *(part.get("items") or [])):
                    if str(one.get("version") or "").isdigit():
                        found.setdefault(short(part["secret"]), set()).add(str(one["version"]))
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    for resource in resources:
        look(resource)
    return {name: sorted(numbers, key=int) for name, numbers in sorted(found.items())}


def listed(client: Client, place: str, path: str, items: str) -> list[Json]:
    """All resources of a kind in a region."""
    call = Call(f"list the {items} of {place.rpartition('/')[2]}", f"run.{items.lower()}.list")
    try:
        return list(client.list(f"{API}/{place}/{path}", call, items=items))
    except ApiError as error:
        if not error.is_absent:
            raise
        return []


def work(task: Task) -> dict[str, t.Any]:
    """Delete what nobody needs.

    Sources: run v2, services.revisions.list ("To list all Revisions across all Services, use "-" instead of Service name"),
    services.revisions.delete, workerPools.revisions.delete.
    """
    params, client = task.params, task.client
    place = f"projects/{task.project}/locations/{params['location']}"
    before = time.time() - params["older_than_days"] * 86400
    looks = [
        ("services", "services"),
        ("workerPools", "workerPools"),
        ("services/-/revisions", "revisions"),
        ("workerPools/-/revisions", "revisions"),
        ("jobs", "jobs"),
    ]
    services, pools, of_services, of_pools, jobs = for_each(looks, lambda look: listed(client, place, *look))
    going: list[tuple[str, Json]] = []
    for kind, names, owners, revisions, keep_newest in (
        ("service", params["services"], services, of_services, 0),
        ("worker pool", params["worker_pools"], pools, of_pools, params["keep_newest"]),
    ):
        path = {"service": "services", "worker pool": "workerPools"}[kind]
        for owner in owners:
            name = short(owner["name"])
            if name not in names:
                continue
            require_own(task, f"{kind} {name}", owner)
            own = [one for one in revisions if f"/{path}/{name}/" in one["name"]]
            kept = {*params["kept"], *needed(owner)}
            going += [(path, one) for one in revisions_to_delete(own, kept, keep_newest, before)]
    gone = {one["name"] for _path, one in going}
    left = [one for one in (*of_services, *of_pools, *jobs) if one["name"] not in gone]
    if not task.check_mode:
        deadline = Deadline(task.wait.timeout, client.clock)
        for_each(going, lambda one: delete(client, one[1]["name"], deadline, wait=task.wait.enabled))
    shown = [
        {"name": short(one["name"]), "created": one["createTime"], "image": (images_of(one) or [""])[0]}
        for _path, one in going
    ]
    return {
        "changed": bool(going),
        "revisions": shown,
        "images": sorted({image for one in left for image in images_of(one)}),
        "secret_versions": secret_versions(left),
        "actions": [f"delete revision {one['name']} of {one['created'][:10]}" for one in shown],
        "diff": {
            "before": "".join(
                f"revision {one['name']} of {one['created'][:10]}: {one['image']}\n" for one in shown
            ),
            "after": "",
        },
    }


def require_own(task: Task, label: str, owner: Json) -> None:
    """Refuse what somebody else made."""
    ownership = Ownership.from_params(task.params)
    maker = Mark.from_labels(owner.get("labels") or {})
    if ownership and not (ownership.may_change(maker) or ownership.adopts(label, maker)):
        raise ForeignError(label, maker, ownership, [])


def delete(client: Client, name: str, deadline: Deadline, *, wait: bool) -> None:
    """Delete a revision; one that is gone is deleted."""
    call = Call(f"delete revision {short(name)}", "run.revisions.delete")
    try:
        answer = client.request("DELETE", f"{API}/{name}", call)
    except ApiError as error:
        if error.status == 404:
            return
        raise
    if wait:
        long_running(client, API, answer, deadline, call)


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES)


if __name__ == "__main__":
    main()
