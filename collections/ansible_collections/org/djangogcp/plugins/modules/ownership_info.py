#!/usr/bin/python
# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ownership_info
short_description: Tell whose resources are
version_added: 0.9.0
description:
  - Reads resources by name, in parallel, and tells which of them are there and whose mark they carry, before a task changes one.
  - What the modules of this collection make for a site carries a mark; they refuse what carries none, or another site's.
  - What cannot be there, since its API is not enabled yet, is absent.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  resources:
    description:
      - The resources.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description:
          - The kind of resource.
        type: str
        required: true
        choices:
          - artifact_repository
          - bucket
          - compute_address
          - compute_firewall
          - compute_instance
          - compute_network
          - compute_router
          - compute_subnetwork
          - run_job
          - run_service
          - run_worker_pool
          - secret
          - service_account
          - sql_database
          - sql_instance
          - sql_user
      name:
        description:
          - Its name.
        type: str
        required: true
      location:
        description:
          - Its region, for what is in one, or its zone. Without one a C(compute_address) is one of the whole world.
        type: str
      instance:
        description:
          - The SQL instance that it is in.
        type: str
      purpose:
        description:
          - What a bucket is for.
        type: str
      claim_secret:
        description:
          - The secret that holds the site's claim on it, for an SQL database or an SQL user.
        type: str
      asked:
        description:
          - Options of the module that makes it, to tell what is not so.
        type: dict
        default: {}
      required:
        description:
          - Options of the module that makes it that have to be so even of what is adopted.
        type: dict
        default: {}
      mark:
        description:
          - For whom it is, as the modules that make it take it.
        type: dict
        required: true
        suboptions:
          site:
            description: The name of the site. Not set for what the sites of a project share.
            type: str
          region:
            description: The region of the site.
            type: str
          former_sites:
            description: Former names of the site.
            type: list
            elements: str
            default: []
          sharing_sites:
            description: Other sites that share it. Nothing is shared if not set.
            type: list
            elements: str
  adopt:
    description:
      - What may be used although somebody else made it, each as messages name it, for instance V(bucket my-uploads).
    type: list
    elements: str
    default: []
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See whether a bucket may be used
  org.djangogcp.ownership_info:
    project: my-project
    resources:
      - type: bucket
        name: my-project-polls-media
        purpose: media
        mark: {site: polls, region: europe-west1}
  register: result
  failed_when: result.refused | length > 0
"""

RETURN = r"""
resources:
  description: The resources in the asked order.
  returned: success
  type: list
  elements: dict
  contains:
    resource:
      description: The resource in words, as O(adopt) takes it.
      type: str
    exists:
      description: Whether it is there.
      type: bool
    owner:
      description: The site that made it, with its region and the purpose; nothing if it carries no mark.
      type: dict
    made_by:
      description: The owner in words.
      returned: when it is there
      type: str
    is_own:
      description: Whether it is the site's own, or what all sites share.
      type: bool
    is_adopted:
      description: Whether it is somebody else's and among O(adopt).
      type: bool
    differences:
      description: What of O(resources[].asked) is not so of what is somebody else's.
      returned: when it is there
      type: list
      elements: str
  sample:
    - resource: bucket my-project-polls-media
      exists: true
      owner: {site: polls, region: europe-west1, purpose: media}
      made_by: the site polls in europe-west1
      is_own: true
      is_adopted: false
refused:
  description: Those that the modules would refuse, each with the reason and what to do.
  returned: success
  type: list
  elements: dict
  sample:
    - resource: bucket my-project-polls-media
      type: bucket
      reason: somebody else made it, it carries no mark of this collection.
      cure: Choose another name.
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import MARK_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._claims import Claims
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._marks import (
    ForeignError,
    Ownership,
    bucket_owner,
    difference_text,
)
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import label_of, owner_of, read
from ansible_collections.org.djangogcp.plugins.module_utils._services import sqladmin
from ansible_collections.org.djangogcp.plugins.module_utils._services.resources import (
    LOCATED,
    SPECS,
    found_by,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import decode
from ansible_collections.org.djangogcp.plugins.module_utils._table_problems import table_problems

ARGUMENT_SPEC: dict[str, t.Any] = {
    "resources": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "required_if": [
            *(("type", kind, ["location"]) for kind in LOCATED),
            ("type", "sql_database", ["instance", "claim_secret"]),
            ("type", "sql_user", ["instance", "claim_secret"]),
        ],
        "options": {
            "type": {"type": "str", "required": True, "choices": sorted(SPECS)},
            "name": {"type": "str", "required": True},
            "location": {"type": "str"},
            "instance": {"type": "str"},
            "purpose": {"type": "str"},
            "claim_secret": {"type": "str", "no_log": False},
            "asked": {"type": "dict", "default": {}},
            "required": {"type": "dict", "default": {}},
            "mark": {**MARK_ARGS["mark"], "required": True},
        },
    },
    "adopt": MARK_ARGS["adopt"],
}


#: What Google accepts.
RULES = {
    "resources.name": rules.RESOURCE_NAME,
    "resources.location": rules.LOCATION,
    "resources.instance": rules.SQL_INSTANCE,
    "resources.purpose": rules.PURPOSE,
    "resources.claim_secret": rules.SECRET_ID,
    "resources.mark.site": rules.SITE,
    "resources.mark.region": rules.LOCATION,
    "resources.mark.former_sites": rules.SITE,
    "resources.mark.sharing_sites": rules.SITE,
}


def check(params: Json) -> list[str]:
    """What is wrong with options of the modules that make the resources."""
    return [
        problem
        for number, resource in enumerate(params["resources"])
        for name in ("asked", "required")
        for problem in table_problems(
            resource[name], SPECS[resource["type"]].fields, f"resources[{number}].{name}"
        )
    ]


def examined(task: Task, resource: Json) -> Json:
    """What is to be said of one resource; with "refused" when the modules would refuse it."""
    spec, ids = found_by(resource["type"], task.project, resource)
    label = label_of(spec, ids)
    result: Json = {"resource": label, "exists": False, "owner": None, "is_own": False, "is_adopted": False}
    try:
        current = read(task.client, spec, ids, ahead=True)
    except ApiError as error:
        # Nothing can be seen of what is in an instance that is still being made, and nothing can be there.
        if not sqladmin.is_not_running(error):
            raise
        return result
    if current is None:
        return result
    params = {**task.params, **resource}
    owner_by_kind = bucket_owner if resource["type"] == "bucket" else None
    ownership = t.cast(Ownership, Ownership.from_params(params, resource["purpose"], owner=owner_by_kind))
    if spec.mark is None:
        claims = t.cast(Claims, Claims.from_params(task.client, params))
        ownership = claims.ownership(spec, ids)
    actual = decode(current, spec.fields)
    owner = owner_of(spec, actual, ownership)
    result.update(
        exists=True,
        owner={"site": owner.site, "region": owner.region, "purpose": owner.purpose} if owner else None,
        made_by=str(owner) if owner else "somebody else",
        is_own=ownership.is_own(owner),
        is_adopted=not ownership.is_own(owner) and ownership.adopts(label, owner),
    )
    if result["is_own"]:
        return result
    differing = differences(resource["asked"], actual, spec.fields)
    lacking = differences(resource["required"], actual, spec.fields)
    result["differences"] = [difference_text(one) for one in differing]
    if result["is_adopted"] and lacking:
        result["refused"] = {
            "resource": label,
            "reason": f"it is adopted, and {'; '.join(difference_text(one) for one in lacking)}.",
            "cure": "What is adopted is not changed: change this yourself, or choose another name.",
        }
    elif not (ownership.may_change(owner) or ownership.may_use(owner) or result["is_adopted"]):
        result["refused"] = ForeignError(label, owner, ownership, differing).as_dict()
    return result


def work(task: Task) -> Json:
    """Read all of them."""
    asked = task.params["resources"]
    found = for_each(asked, lambda resource: examined(task, resource))
    refused = [
        {"type": resource["type"], **why}
        for resource, one in zip(asked, found, strict=True)
        if (why := one.pop("refused", None))
    ]
    return {"changed": False, "resources": found, "refused": refused}


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES, check=check, only_reads=True)


if __name__ == "__main__":
    main()
