#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_static_retention
short_description: Delete static files that no kept release refers to
version_added: 0.9.0
description:
  - Deletes files from a bucket into which C(collectstatic) of the settings overlay has brought those of several releases. Each release has left a list of
    its files there, C(.collected/DIGEST.json), named after the digest of its image.
  - A file goes when a list names it, and none of a kept release or of the last days does. What no list names stays, for somebody else put it there, or it is
    from before there were lists.
  - Where the list of a kept release is missing, nothing goes.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
options:
  bucket:
    description: The bucket. One that is not there has no files, and of one that carries somebody else's mark none goes.
    type: str
    required: true
  kept:
    description: The images of the releases whose files stay, by digest.
    type: list
    elements: str
    required: true
  older_than_days:
    description: How many days ago a file, or the list of a release, was uploaded that goes.
    type: int
    required: true
seealso:
  - module: org.djangogcp.storage_buckets
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Delete static files that no kept release refers to
  org.djangogcp.storage_static_retention:
    project: my-project
    bucket: my-project-polls-static
    kept: []
    older_than_days: 30
"""

RETURN = r"""
files:
  description: The names of the files that were deleted, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [css/site.0123456789ab.css]
bytes:
  description: How large they were together.
  returned: success
  type: int
  sample: 12345
reason:
  description: Why none may go, empty if they may.
  returned: success
  type: str
  sample: ""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["delete 12 static files of gs://my-project-polls-static (1.2 MB)"]
"""

import re
import time
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import MARK_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership, bucket_owner
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._retention import files_to_delete, seconds, size
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import (
    API,
    delete_object,
    object_address,
)

ARGUMENT_SPEC = {
    "bucket": {"type": "str", "required": True},
    "kept": {"type": "list", "elements": "str", "required": True},
    "older_than_days": {"type": "int", "required": True},
    **MARK_ARGS,
}
#: What Google accepts.
RULES = {"bucket": rules.BUCKET, "kept": rules.IMAGE, "older_than_days": rules.DAYS}
#: The list of a release's files, as the settings overlay names it.
_LIST = re.compile(r"\.collected/([0-9a-f]{64})\.json")


def work(task: Task) -> dict[str, t.Any]:
    """Delete what no kept release refers to."""
    params, client, bucket = task.params, task.client, task.params["bucket"]
    found = client.find(f"{API}/b/{bucket}", Call(f"read bucket {bucket}", "storage.buckets.get"))
    if found is None:
        return result(bucket, [], "")
    ownership = Ownership.from_params(params, purpose="static")
    if ownership and not ownership.is_own(bucket_owner(found)):
        return result(bucket, [], f"gs://{bucket} is somebody else's.")
    listing = Call(f"list the objects of bucket {bucket}", "storage.objects.list")
    asked = {"fields": "items(name,size,timeCreated,generation),nextPageToken"}
    objects = {
        one["name"]: one for one in client.list(f"{API}/b/{bucket}/o", listing, items="items", params=asked)
    }
    names = [name for name in objects if _LIST.fullmatch(name)]
    contents = dict(zip(names, for_each(names, lambda name: read_list(client, bucket, name)), strict=True))
    before = time.time() - params["older_than_days"] * 86400
    kept = {f".collected/{image.rpartition('@sha256:')[2]}.json": image for image in params["kept"]}
    missing = sorted(image for name, image in kept.items() if name not in contents)
    if missing:
        return result(
            bucket,
            [],
            f"no list tells which files of gs://{bucket} {missing[0]} needs: its collectstatic is not that of the settings overlay, "
            "or was before there were lists.",
        )
    kept_lists = {
        name for name in contents if name in kept or seconds(objects[name]["timeCreated"]) >= before
    }
    going = files_to_delete(objects, contents, kept_lists, before)
    lists = [objects[name] for name in names if name not in kept_lists]
    if not task.check_mode:
        for_each(going, lambda one: delete(client, bucket, one))
        # What is left of a run that is ended the next one finds by them.
        for_each(lists, lambda one: delete(client, bucket, one))
    return result(bucket, going, "", lists)


def result(bucket: str, going: list[Json], reason: str, lists: t.Sequence[Json] = ()) -> dict[str, t.Any]:
    """The result of the module."""
    total = sum(int(one["size"]) for one in going)
    actions = [f"delete {len(going)} static files of gs://{bucket} ({size(total)})"] if going else []
    actions += [f"delete the list of static files gs://{bucket}/{one['name']}" for one in lists]
    gone = [*going, *lists]
    return {
        "changed": bool(gone),
        "files": [one["name"] for one in going],
        "bytes": total,
        "reason": reason,
        "actions": actions,
        "diff": {
            "before": "".join(f"gs://{bucket}/{one['name']} ({size(int(one['size']))})\n" for one in gone),
            "after": "",
        },
    }


def read_list(client: Client, bucket: str, name: str) -> set[str]:
    """The names of a release's files."""
    call = Call(f"read gs://{bucket}/{name}", "storage.objects.get")
    return set(client.get(object_address(bucket, name), call, params={"alt": "media"})["files"])


def delete(client: Client, bucket: str, one: Json) -> None:
    """Delete an object as it was listed. One that is gone is deleted, and one that was uploaded again meanwhile stays."""
    call = Call(f"delete gs://{bucket}/{one['name']}", "storage.objects.delete")
    delete_object(client, call, bucket, one["name"], generation=one["generation"])


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES)


if __name__ == "__main__":
    main()
