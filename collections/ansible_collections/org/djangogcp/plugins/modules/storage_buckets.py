#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_buckets
short_description: Manage Cloud Storage buckets
version_added: 0.9.0
description:
  - Makes a list of buckets exactly what is asked, in parallel.
  - Only what is asked is compared and changed.
  - Objects are never touched, and a bucket that holds objects is not deleted, unless O(buckets[].force=true).
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
options:
  buckets:
    description: The buckets.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name, which no other bucket of Google Cloud may have.
        type: str
        required: true
      state:
        description: Whether the bucket exists.
        type: str
        choices: [present, absent]
        default: present
      purpose:
        description:
          - What the bucket holds, for instance V(media). It is a part of the O(mark), and never changes, so that what holds private files
            is never taken for something public.
          - A label is not enough to be taken for V(static). What is private and keeps versions is refused, since that is how V(media) is kept.
        type: str
      force:
        description: Whether O(buckets[].state=absent) deletes all objects in the bucket with all their versions first.
        type: bool
        default: false
      # From the table BUCKET of _services/storage.py: written by tests/module_docs.py.
      location:
        description:
          - The region, dual-region or multi-region. It cannot be changed later. The case does not matter.
          - Google Cloud makes a bucket in the multi-region V(US) if not set.
        type: str
      storage_class:
        description: The storage class of new objects.
        type: str
        choices: [STANDARD, NEARLINE, COLDLINE, ARCHIVE]
      labels:
        description: The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products,
          C(goog-*).
        type: dict
      uniform_bucket_level_access:
        description: Whether access is given by IAM alone, without access control lists on objects.
        type: bool
      public_access_prevention:
        description: V(enforced) refuses to make anything public, whatever the IAM policy says.
        type: str
        choices: [enforced, inherited]
      versioning:
        description: Whether replaced and deleted objects are kept as noncurrent versions.
        type: bool
      soft_delete_seconds:
        description: For how long deleted objects can be restored. V(0) turns soft delete off.
        type: int
      lifecycle_rules:
        description: All lifecycle rules, in any order. V([]) removes them.
        type: list
        elements: dict
        suboptions:
          action:
            description: What is done with an object that fulfils the condition.
            type: dict
            required: true
            suboptions:
              type:
                description: The kind of action.
                type: str
                choices: [Delete, SetStorageClass, AbortIncompleteMultipartUpload]
                required: true
              storage_class:
                description: The storage class for V(SetStorageClass).
                type: str
          condition:
            description: When it is done. An object must fulfil all that is given.
            type: dict
            required: true
            suboptions:
              age:
                description: The age in days.
                type: int
              created_before:
                description: A date, C(YYYY-MM-DD); older objects fulfil it.
                type: str
              days_since_noncurrent_time:
                description: The days since the version became noncurrent.
                type: int
              is_live:
                description: Whether the version is the live one.
                type: bool
              matches_prefix:
                description: Beginnings of names.
                type: list
                elements: str
              matches_storage_class:
                description: Storage classes.
                type: list
                elements: str
              matches_suffix:
                description: Ends of names.
                type: list
                elements: str
              num_newer_versions:
                description: How many newer versions there are at least.
                type: int
      cors:
        description: All rules for cross-origin requests, in their order. V([]) removes them.
        type: list
        elements: dict
        suboptions:
          origin:
            description: The allowed origins.
            type: list
            elements: str
            required: true
          method:
            description: The allowed methods.
            type: list
            elements: str
            required: true
          response_header:
            description: The response headers that a browser lets a page see.
            type: list
            elements: str
          max_age_seconds:
            description: For how long a browser remembers the answer.
            type: int
      website_main_page_suffix:
        description: The object that answers for a directory. An empty text removes it.
        type: str
      website_not_found_page:
        description: The object that answers for what does not exist. An empty text removes it.
        type: str
      # End of the table.
seealso:
  - module: org.djangogcp.iam_members
  - name: Cloud Storage buckets
    description: The API's reference.
    link: https://cloud.google.com/storage/docs/json_api/v1/buckets
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Ensure a private bucket for uploads and a public one for static files
  org.djangogcp.storage_buckets:
    project: my-project
    buckets:
      - name: my-project-polls-media
        location: europe-west1
        uniform_bucket_level_access: true
        public_access_prevention: enforced
        versioning: true
        lifecycle_rules:
          - action: {type: Delete}
            condition: {num_newer_versions: 3, is_live: false}
        labels: {site: polls}
      - name: my-project-polls-static
        location: europe-west1
        uniform_bucket_level_access: true

- name: Remove all lifecycle rules
  org.djangogcp.storage_buckets:
    project: my-project
    buckets:
      - name: my-project-polls-media
        lifecycle_rules: []

- name: Delete an empty bucket
  org.djangogcp.storage_buckets:
    project: my-project
    buckets:
      - name: my-project-polls-static
        state: absent
"""

RETURN = r"""
buckets:
  description: The buckets in the asked order, as they are now, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - name: my-project-polls-media
      project: my-project
      changed: true
      location: EUROPE-WEST1
      versioning: true
      labels: {site: polls}
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [create bucket my-project-polls-media]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    repeated_problems,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership, bucket_owner
from ansible_collections.org.djangogcp.plugins.module_utils._module import (
    Task,
    for_each,
    many_results,
    run_module,
)
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Outcome,
    may_delete,
    read,
    reconcile,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import BUCKET, empty_bucket
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of

ARGUMENT_SPEC = {
    "buckets": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "state": STATE_ARG,
            "purpose": {"type": "str"},
            "force": {"type": "bool", "default": False},
            **table_options(BUCKET.fields),
        },
    },
    **MARK_ARGS,
}


def work(task: Task) -> dict[str, t.Any]:
    def ensure(bucket: dict[str, t.Any]) -> Outcome:
        ids = {"project": task.project, "name": bucket["name"]}
        ownership = Ownership.from_params(task.params, bucket["purpose"], owner=bucket_owner)
        if bucket["force"] and bucket["state"] == "absent" and not task.check_mode:
            found = read(task.client, BUCKET, ids)
            if found is not None and may_delete(BUCKET, found, ownership):
                empty_bucket(task.client, bucket["name"])
        return reconcile(
            task.client,
            BUCKET,
            ids,
            asked_of(bucket, BUCKET.fields),
            state=bucket["state"],
            check_mode=task.check_mode,
            wait=task.wait,
            ownership=ownership,
        )

    return many_results("buckets", for_each(task.params["buckets"], ensure))


def main() -> None:
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"buckets.name": rules.BUCKET, "buckets.purpose": rules.PURPOSE},
        tables={"buckets": BUCKET.fields},
        check=lambda params: repeated_problems(params["buckets"], "buckets"),
    )


if __name__ == "__main__":
    main()
