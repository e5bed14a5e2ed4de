#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifactregistry_image_retention
short_description: Delete container images that nothing refers to any more
version_added: 0.9.0
description:
  - Deletes old versions of one image, with the tags that M(org.djangogcp.cloudbuild_build) has given them. A version with a tag of somebody
    else's stays, and so does the newest one.
  - What belongs to an image of several platforms stays as long as that does.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._wait
options:
  image:
    description: The image without tag or digest.
    type: str
    required: true
  used:
    description: The images that something refers to, by digest or tag, also of other names.
    type: list
    elements: str
    required: true
  older_than_days:
    description: How many days ago a version was pushed that goes.
    type: int
    required: true
seealso:
  - module: org.djangogcp.run_revision_retention
  - module: org.djangogcp.cloudbuild_build
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Delete images that are older than a month
  org.djangogcp.artifactregistry_image_retention:
    project: my-project
    image: us-central1-docker.pkg.dev/my-project/polls/polls
    used: [us-central1-docker.pkg.dev/my-project/polls/polls@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef]
    older_than_days: 30
"""

RETURN = r"""
images:
  description: The images that were deleted, or would be in check mode, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    uri:
      description: The image by its digest.
      type: str
    tags:
      description: The tags that it had.
      type: list
      elements: str
    bytes:
      description: How large it was. What it shares with other images stays.
      type: int
  sample:
    - uri: us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa
      tags: [source-0123456789abcdef01234567]
      bytes: 123456789
bytes:
  description: How large they were together.
  returned: success
  type: int
  sample: 123456789
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [delete image us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa (123.5 MB)]
"""

import time
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import WAIT_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._builds import Image
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, OperationError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import long_running
from ansible_collections.org.djangogcp.plugins.module_utils._retention import (
    images_to_delete,
    short,
    size,
    tags_of,
)
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline

_API = "https://artifactregistry.googleapis.com/v1"

ARGUMENT_SPEC = {
    "image": {"type": "str", "required": True},
    "used": {"type": "list", "elements": "str", "required": True},
    "older_than_days": {"type": "int", "required": True},
    **WAIT_ARGS,
}
#: What Google accepts.
RULES = {"image": rules.IMAGE_NAME, "used": rules.IMAGE, "older_than_days": rules.DAYS}


def work(task: Task) -> dict[str, t.Any]:
    """Delete what nothing refers to.

    Source: artifactregistry v1, packages.versions.list (view FULL) and delete ("force: by default, a version that is tagged may not be
    deleted").
    """
    params, client = task.params, task.client
    image = Image(params["image"], "")
    call = Call(f"list the versions of image {image.name}", "artifactregistry.versions.list")
    asked = {"view": "FULL", "pageSize": 1000}
    try:
        versions = list(client.list(f"{_API}/{image.package}/versions", call, items="versions", params=asked))
    except ApiError as error:
        if not error.is_absent:
            raise
        versions = []
    before = time.time() - params["older_than_days"] * 86400
    going = images_to_delete(versions, params["used"], before)
    if not task.check_mode:
        deadline = Deadline(task.wait.timeout, client.clock)
        is_gone = for_each(going, lambda one: delete(client, one, deadline, wait=task.wait.enabled))
        going = [one for one, gone in zip(going, is_gone, strict=True) if gone]
    shown = [
        {
            "uri": f"{image.name}@{short(one['name'])}",
            "tags": tags_of(one),
            "bytes": int((one.get("metadata") or {}).get("imageSizeBytes") or 0),
        }
        for one in going
    ]
    return {
        "changed": bool(shown),
        "images": shown,
        "bytes": sum(one["bytes"] for one in shown),
        "actions": [f"delete image {one['uri']} ({size(one['bytes'])})" for one in shown],
        "diff": {
            "before": "".join(
                f"image {one['uri']} ({size(one['bytes'])}) {' '.join(one['tags'])}".rstrip() + "\n"
                for one in shown
            ),
            "after": "",
        },
    }


def delete(client: Client, version: Json, deadline: Deadline, *, wait: bool) -> bool:
    """Delete a version with its tags. False if it is a part of another one, which the registry refuses.

    Source: https://github.com/GoogleCloudPlatform/gcr-cleaner/issues/118 (status 400, "Manifest is still referenced by one or more parent images");
    that the API refuses it by the same status, or in its operation, is assumed.
    """
    call = Call(f"delete image {short(version['name'])}", "artifactregistry.versions.delete")
    # The name of a package may have a slash, which an address holds as %2F: so it is told.
    try:
        answer = client.request("DELETE", f"{_API}/{version['name']}", call, params={"force": "true"})
        if wait:
            long_running(client, _API, answer, deadline, call)
    except ApiError as error:
        if error.status == 404:
            return True
        if error.status != 400 or tags_of(version):
            raise
        return False
    except OperationError:
        if tags_of(version):
            raise
        return False
    return True


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES)


if __name__ == "__main__":
    main()
