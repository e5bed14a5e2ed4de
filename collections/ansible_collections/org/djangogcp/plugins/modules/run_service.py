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
      - Traffic stays exactly where it is. As long as nothing of the service serves, a revision serves at once, because Cloud Run
        cannot create a service without traffic, unless there is a O(placeholder).
    type: str
  placeholder:
    description:
      - What gets the traffic of a service of which nothing serves yet, so that the first revision of O(template), too, can be tried
        out before it serves.
      - It is a revision of its own that is made before the one of O(template), with the image of its first container, its account,
        network access and encryption key, but without its environment, secrets, volumes and probes, with at most one instance and
        with this command. It has to listen on E(PORT).
      - It is marked with the annotation C(djangogcp/placeholder).
    type: dict
    suboptions:
      command:
        description:
          - The program, which the image has to have.
        type: list
        elements: str
        required: true
      args:
        description:
          - Its arguments.
        type: list
        elements: str
  latest_revision:
    description:
      - The revision that has to be the newest one. The task fails if it is not, because somebody else has deployed.
      - With it, traffic for the newest revision is traffic for the one that was tried out.
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
    placeholder:
      command: [python, -m, http.server, "8080", --directory, /srv/not-released]
  register: deployed

- name: Give it all the traffic
  org.djangogcp.run_service:
    project: my-project
    location: us-central1
    name: polls
    traffic:
      - type: TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
        percent: 100
    latest_revision: "{{ deployed.candidate.revision }}"

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
      placeholder: false
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [update service polls]
"""

import dataclasses

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import MARK_ARGS, STATE_ARG, WAIT_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    DjangoGcpError,
    OperationError,
)
from ansible_collections.org.djangogcp.plugins.module_utils._grants import once_granted, refused_secret
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, one_result, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Asked,
    Outcome,
    ResourceSpec,
    owned,
    read,
    reconcile,
)
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    candidate,
    is_placeholder,
    is_serving,
    newest_revision,
    revision_log,
    serving,
    with_another_try,
    with_candidate,
    with_placeholder,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import (
    SERVICE,
    SERVICE_WITH_NEW_TEMPLATE,
)

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
    "placeholder": {
        "type": "dict",
        "options": {
            "command": {"type": "list", "elements": "str", "required": True},
            "args": {"type": "list", "elements": "str"},
        },
    },
    "latest_revision": {"type": "str"},
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def desired(params: Json, current: Json | None, ids: Json) -> Json:
    """The options as the engine compares them."""
    wanted = params["latest_revision"]
    if wanted and current and newest_revision(current) != wanted:
        raise DjangoGcpError(
            f"Failed to update service {params['name']}: its newest revision is {newest_revision(current)} and not {wanted}. "
            "Somebody else has deployed at the same time. Run again."
        )
    asked = {field.name: params[field.name] for field in SERVICE.fields if params.get(field.name) is not None}
    if params["placeholder"] and not is_serving(current):
        return with_another_try(current, with_placeholder(asked, params["placeholder"]))
    ownership = Ownership.from_params(params)
    if ownership:
        # What an adopted service has beside what is asked is no new template.
        asked = dict(owned(SERVICE, ids, asked, current, ownership))
    asked = with_another_try(current, asked)
    return with_candidate(current, asked, params["candidate_tag"]) if params["candidate_tag"] else asked


def deploy(task: Task, ids: Json) -> Outcome:
    """Make the service what is asked: in one step, or in two when nothing of it was released yet."""
    params = task.params

    def step(spec: ResourceSpec, asked: Asked, wait: Wait) -> Outcome:
        return reconcile(
            task.client,
            spec,
            ids,
            asked,
            state=params["state"],
            check_mode=task.check_mode,
            wait=wait,
            ownership=Ownership.from_params(task.params),
        )

    def place(current: Json | None) -> Json:
        return {} if is_placeholder(current) and is_serving(current) else desired(params, current, ids)

    def replace(current: Json | None) -> Json:
        # Another run, or a request of ours whose answer was lost, has done it.
        return {} if is_serving(current) and not is_placeholder(current) else release(current)

    def release(current: Json | None) -> Json:
        return desired({**params, "placeholder": None}, current, ids)

    if not params["placeholder"]:
        return step(SERVICE, release, task.wait)
    # A placeholder has to serve before anything can be made beside it.
    steps = [step(SERVICE, place, dataclasses.replace(task.wait, enabled=True))]
    if is_placeholder(steps[0].wire):
        steps.append(step(SERVICE_WITH_NEW_TEMPLATE, replace, task.wait))
        if not steps[-1].changed:
            steps.append(step(SERVICE, release, task.wait))
    return dataclasses.replace(
        steps[-1],
        changed=any(one.changed for one in steps),
        before=steps[0].before if steps[0].found is None else steps[-1].before,
        # In check mode no step saw what the one before it would have made.
        actions=steps[-1].actions if task.check_mode else [action for one in steps for action in one.actions],
        found=steps[0].found,
    )


def work(task: Task) -> Json:
    """Make the service what is asked."""
    ids = {name: task.params[name] for name in ("project", "location", "name")}
    try:
        outcome = once_granted(task.client, lambda: deploy(task, ids), refused_secret)
    except OperationError as error:
        raise with_log(task, ids, error) from error
    # What check mode predicts has no address and serves nobody.
    after = outcome.found if task.check_mode else outcome.wire
    tag = task.params["candidate_tag"]
    return {
        **one_result("service", outcome),
        "candidate": candidate(after, tag) if after and tag else None,
        "serving": serving(task.client, ids, after) if after else [],
    }


def with_log(task: Task, ids: Json, error: OperationError) -> OperationError:
    """The error of a revision that did not start, with what it printed."""
    service = read(task.client, SERVICE, ids) or {}
    revision = newest_revision(service)
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
        rules={
            "name": rules.SERVICE,
            "candidate_tag": rules.TAG,
            "latest_revision": rules.REVISION,
            "placeholder.command": rules.ARGUMENT,
            "placeholder.args": rules.ARGUMENT,
        },
        tables={"": SERVICE.fields},
        mutually_exclusive=[("traffic", "candidate_tag")],
        required_by={"placeholder": ["candidate_tag", "template"]},
    )


if __name__ == "__main__":
    main()
