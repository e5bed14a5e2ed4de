#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_instance_info
short_description: Read virtual machines of Compute Engine, and their host keys
version_added: 0.9.0
description:
  - Tells of the instances of a zone what it takes to connect to them.
  - The host keys are those that a machine has published in its guest attributes, which only programs on it can write. So C(known_hosts) is filled with
    them, and nothing is accepted blindly at the first connection.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._info
  - org.djangogcp._wait
options:
  zone:
    description:
      - The zone, for instance V(us-central1-a).
    type: str
    required: true
  labels:
    description:
      - Only instances that have these labels with these values are told of.
    type: dict
    default: {}
  host_keys:
    description:
      - Whether the host keys of instances that run are read. A machine publishes them as it starts, if C(enable-guest-attributes) is V(TRUE) in its
        metadata before that.
    type: bool
    default: false
  wait:
    description:
      - Whether to wait for host keys that are not published yet, and fail if they do not come. If V(false), RV(instances[].host_keys) is empty then.
  wait_timeout:
    description:
      - How long to wait for host keys at most, in seconds.
    default: 300
seealso:
  - module: org.djangogcp.compute_instance
  - module: org.djangogcp.oslogin_ssh_key
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Read the machines of a site with their host keys
  org.djangogcp.compute_instance_info:
    project: my-project
    zone: us-central1-a
    labels:
      site: polls
    host_keys: true
  register: machines
"""

RETURN = r"""
instances:
  description: The instances, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
    id:
      description: The number by which Google Cloud knows the instance.
      type: str
    zone:
      description: The zone.
      type: str
    status:
      description: What it does, for instance C(RUNNING) or C(TERMINATED).
      type: str
    labels:
      description: The labels.
      type: dict
    address:
      description: The address in its network.
      type: str
    external_address:
      description: The external address, empty if there is none.
      type: str
    host_keys:
      description: The host keys, each its type and the key itself. Empty where they were not asked for, or not published.
      type: list
      elements: str
  sample:
    - name: polls
      id: "1234567890123456789"
      zone: us-central1-a
      status: RUNNING
      labels: {site: polls}
      address: 10.128.0.2
      external_address: ""
      host_keys:
        - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKb6dMYbUqcDbI6JjRGJ5mSzsm6c8hAxUVA5Z1tRrmT1
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import WaitTimeoutError
from ansible_collections.org.djangogcp.plugins.module_utils._info import INFO_ARGS, read_many
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import poll
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Ids
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.compute import INSTANCE

ARGUMENT_SPEC = {
    **INFO_ARGS,
    "zone": {"type": "str", "required": True},
    "labels": {"type": "dict", "default": {}},
    "host_keys": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
}
RULES = {"names": rules.INSTANCE, "zone": rules.ZONE, "labels": rules.LABELS}
#: Where machines publish their host keys. Source: gcloud, command_lib/compute/ssh_utils.py, GetHostKeysFromGuestAttributes.
_NAMESPACE = "hostkeys"


def host_keys(client: Client, ids: Ids) -> list[str]:
    """What a machine has published; nothing yet is 404, which is no error here."""
    call = Call(f"read the host keys of instance {ids['name']}", "compute.instances.getGuestAttributes")
    found = client.find(
        f"{INSTANCE.url(ids)}/getGuestAttributes", call, params={"queryPath": f"{_NAMESPACE}/"}
    )
    items = ((found or {}).get("queryValue") or {}).get("items") or []
    return sorted(f"{one['key']} {one['value']}" for one in items if one.get("namespace") == _NAMESPACE)


def _awaited(task: Task, ids: Ids) -> list[str]:
    if not task.wait.enabled:
        return host_keys(task.client, ids)
    try:
        return poll(
            lambda: host_keys(task.client, ids),
            bool,
            Deadline(task.wait.timeout, task.client.clock),
            doing=f"read the host keys of instance {ids['name']}",
        )
    except WaitTimeoutError as error:
        raise WaitTimeoutError(
            f"Failed to read the host keys of instance {ids['name']}: it has published none for {task.wait.timeout:.0f} seconds. They are published as it "
            "starts, by the guest agent of Google's images and if its metadata has enable-guest-attributes: TRUE: set that, and restart it; its serial "
            "port tells what it does. Nothing is connected to whose key is not known."
        ) from error


def shown(task: Task, ids: Ids, wire: Json) -> Json:
    """An instance as it is told."""
    cards = wire.get("networkInterfaces") or [{}]
    access = cards[0].get("accessConfigs") or [{}]
    runs = wire.get("status") == "RUNNING"
    return {
        "name": ids["name"],
        "id": str(wire.get("id", "")),
        "zone": ids["zone"],
        "status": wire.get("status", ""),
        "labels": wire.get("labels") or {},
        "address": cards[0].get("networkIP", ""),
        "external_address": access[0].get("natIP", ""),
        "host_keys": _awaited(task, ids) if runs and task.params["host_keys"] else [],
    }


def work(task: Task) -> Json:
    """Read them."""
    place = {name: task.params[name] for name in ("project", "zone")}
    wanted = task.params["labels"].items()
    found = [
        (ids, wire)
        for ids, wire in read_many(task.client, INSTANCE, place, task.params["names"])
        if wanted <= (wire.get("labels") or {}).items()
    ]
    found.sort(key=lambda one: one[0]["name"])
    return {"changed": False, "instances": for_each(found, lambda one: shown(task, *one))}


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES, only_reads=True)


if __name__ == "__main__":
    main()
