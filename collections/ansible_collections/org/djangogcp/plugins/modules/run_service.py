#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_service
short_description: Manage a Cloud Run service
version_added: 1.0.0
description:
  - Creates, updates and deletes a Cloud Run service and its traffic, and waits until what was asked for serves.
  - Only what is asked for is compared; lists (containers, environment variables, volumes, traffic) are exactly what is asked.
  - An empty value removes, for instance V({}) of C(liveness_probe), C(vpc_access) or C(scaling). What is asked for replaces its
    alternatives, for instance a C(tcp_socket) the C(http_get) of a probe.
  - Quantities are compared as such (a C(cpu) of V(1) is V(1000m)); of C(limits), C(cpu) and C(memory) stay when they are not asked for.
  - When the newest revision did not start, the same template is tried again as a new revision.
  - With O(candidate_tag) a changed template becomes a revision that has an address of its own but no traffic, so that it can
    be tried out before it serves.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description:
      - The service's id.
    type: str
    required: true
  location:
    description:
      - The region, for instance V(us-central1).
    type: str
    required: true
  description:
    description:
      - What the service is for.
    type: str
  labels:
    description:
      - Labels; others on the service are removed.
    type: dict
  annotations:
    description:
      - Annotations; others on the service are removed.
    type: dict
  ingress:
    description:
      - Where requests may come from.
    type: str
    choices: [INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY, INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER]
  invoker_iam_disabled:
    description:
      - Whether everybody may call the service. Google's recommended way of making a service public.
    type: bool
  default_uri_disabled:
    description:
      - Whether the service has no C(run.app) address.
    type: bool
  custom_audiences:
    description:
      - Further audiences that ID tokens for the service may name.
    type: list
    elements: str
  scaling:
    description:
      - C(min_instance_count) and C(max_instance_count) of the whole service.
    type: dict
  template:
    description:
      - What a revision is made of, with the names of the API's C(RevisionTemplate) in snake case, for instance
        C(service_account), C(timeout), C(containers), C(volumes), C(max_instance_request_concurrency).
      - A name that the API does not have is refused.
    type: dict
  traffic:
    description:
      - Who gets the traffic, as a list of C(type), C(revision), C(percent) and C(tag).
    type: list
    elements: dict
  candidate_tag:
    description:
      - The tag of a new revision that is to get no traffic yet.
      - Traffic stays exactly where it is. The first revision of a new service serves at once, because Cloud Run
        cannot create a service without traffic.
    type: str
  state:
    description:
      - Whether the service is there.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Deploy a revision without traffic
  org.djangogcp.run_service:
    project: my-project
    location: us-central1
    name: polls
    invoker_iam_disabled: true
    template:
      service_account: polls-web@my-project.iam.gserviceaccount.com
      containers:
        - image: us-central1-docker.pkg.dev/my-project/djangogcp/polls@sha256:aaaa
          env:
            - name: SECRET_KEY
              value_source:
                secret_key_ref:
                  secret: polls-secret-key
                  version: "1"
    candidate_tag: candidate

- name: Give it all the traffic
  org.djangogcp.run_service:
    project: my-project
    location: us-central1
    name: polls
    traffic:
      - type: TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
        percent: 100

- name: Delete the service
  org.djangogcp.run_service:
    project: my-project
    location: us-central1
    name: polls
    state: absent
"""

RETURN = r"""
service:
  description: The service, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: polls
    uri: https://polls-123456789012.us-central1.run.app
    latest_ready_revision: polls-00002-abc
created:
  description: Whether this is the first revision that may serve, or would be. Until one does, none can be tried out beside it.
  returned: success
  type: bool
candidate:
  description: The revision that carries O(candidate_tag), or nothing.
  returned: success
  type: dict
  sample:
    revision: polls-00002-abc
    uri: https://candidate---polls-123456789012.us-central1.run.app
serving:
  description: Who gets traffic.
  returned: success
  type: list
  elements: dict
  sample:
    - revision: polls-00001-xyz
      percent: 100
      tag: ""
      image: us-central1-docker.pkg.dev/my-project/djangogcp/polls@sha256:aaaa
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [update service polls]
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import MARK_ARGS, STATE_ARG, WAIT_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import OperationError
from ansible_collections.org.djangogcp.plugins.module_utils._grants import once_granted, refused_secret
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, one_result, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import read, reconcile
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    candidate,
    is_serving,
    revision_log,
    serving,
    with_another_try,
    with_candidate,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import SERVICE

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "location": {"type": "str", "required": True},
    "description": {"type": "str"},
    "labels": {"type": "dict"},
    "annotations": {"type": "dict"},
    "ingress": {
        "type": "str",
        "choices": [
            "INGRESS_TRAFFIC_ALL",
            "INGRESS_TRAFFIC_INTERNAL_ONLY",
            "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
        ],
    },
    "invoker_iam_disabled": {"type": "bool"},
    "default_uri_disabled": {"type": "bool"},
    "custom_audiences": {"type": "list", "elements": "str"},
    "scaling": {"type": "dict"},
    "template": {"type": "dict"},
    "traffic": {"type": "list", "elements": "dict"},
    "candidate_tag": {"type": "str"},
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def desired(params: Json, current: Json | None) -> Json:
    """The options as the engine compares them."""
    asked = {field.name: params[field.name] for field in SERVICE.fields if params.get(field.name) is not None}
    asked = with_another_try(current, asked)
    return with_candidate(current, asked, params["candidate_tag"]) if params["candidate_tag"] else asked


def work(task: Task) -> Json:
    """Make the service what is asked."""
    ids = {name: task.params[name] for name in ("project", "location", "name")}
    try:
        outcome = once_granted(
            task.client,
            lambda: reconcile(
                task.client,
                SERVICE,
                ids,
                lambda current: desired(task.params, current),
                state=task.params["state"],
                check_mode=task.check_mode,
                wait=task.wait,
                ownership=Ownership.from_params(task.params),
            ),
            refused_secret,
        )
    except OperationError as error:
        raise with_log(task, ids, error) from error
    # What check mode predicts has no address and serves nobody.
    after = outcome.found if task.check_mode else outcome.wire
    tag, asked_for = task.params["candidate_tag"], task.params["state"] == "present"
    return {
        **one_result("service", outcome),
        "created": asked_for and outcome.changed and not is_serving(outcome.found),
        "candidate": candidate(after, tag) if after and tag else None,
        "serving": serving(task.client, ids, after) if after else [],
    }


def with_log(task: Task, ids: Json, error: OperationError) -> OperationError:
    """The error of a revision that did not start, with what it printed."""
    service = read(task.client, SERVICE, ids) or {}
    revision = str(service.get("latestCreatedRevision", "")).rpartition("/")[2]
    lines = revision_log(task.client, task.project, revision) if revision else []
    if not lines:
        return error
    printed = "\n".join(lines)
    return OperationError(f"{error.message} What revision {revision} printed:\n{printed}", code=error.code)


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.SERVICE, "candidate_tag": rules.TAG},
        tables={"": SERVICE.fields},
        mutually_exclusive=[("traffic", "candidate_tag")],
    )


if __name__ == "__main__":
    main()
