#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_firewall
short_description: Manage a firewall rule of a VPC network
version_added: 0.9.0
description:
  - Creates, updates and deletes a firewall rule. One for what comes in has to say from where, because Google Cloud opens it to the whole world otherwise.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description:
      - The name of the firewall rule.
    type: str
    required: true
  # From the table FIREWALL of _services/compute.py: written by tests/module_docs.py.
  description:
    description: What it is for.
    type: str
  network:
    description: The VPC network, by its name or as C(projects/PROJECT/global/networks/NETWORK). It cannot be changed later.
    type: str
  direction:
    description: Whether it is for what comes in or for what goes out. It cannot be changed later.
    type: str
    choices: [INGRESS, EGRESS]
    default: INGRESS
  priority:
    description: Of two rules the one with the lower number counts, and of equal ones that which denies.
    type: int
    default: 1000
  allowed:
    description:
      - What is allowed.
      - Excludes C(denied).
    type: list
    elements: dict
    suboptions:
      ip_protocol:
        description: The protocol, for instance V(tcp), or V(all).
        type: str
      ports:
        description: The ports, for instance V(443) or V(8000-8080). All of them if there are none.
        type: list
        elements: str
  denied:
    description:
      - What is denied.
      - Excludes C(allowed).
    type: list
    elements: dict
    suboptions:
      ip_protocol:
        description: The protocol, for instance V(tcp), or V(all).
        type: str
      ports:
        description: The ports, for instance V(443) or V(8000-8080). All of them if there are none.
        type: list
        elements: str
  source_ranges:
    description: From where, as ranges in CIDR notation.
    type: list
    elements: str
  source_tags:
    description: From machines with one of these network tags.
    type: list
    elements: str
  source_service_accounts:
    description: From machines with one of these service accounts.
    type: list
    elements: str
  destination_ranges:
    description: To where, as ranges in CIDR notation.
    type: list
    elements: str
  target_tags:
    description: Of which machines, by their network tags.
    type: list
    elements: str
  target_service_accounts:
    description: 'Of which machines, by their service accounts: who may give a machine a tag may not give it another''s account.'
    type: list
    elements: str
  disabled:
    description: Whether the rule does not count.
    type: bool
    default: false
  log:
    description: Whether each connection is in Cloud Logging.
    type: bool
    default: false
  # End of the table.
  state:
    description:
      - Whether the firewall rule is there.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Let Google's load balancers and health checks reach the machines of a site
  org.djangogcp.compute_firewall:
    project: my-project
    name: polls-web
    network: default
    allowed:
      - ip_protocol: tcp
        ports: ["80"]
    source_ranges: [130.211.0.0/22, 35.191.0.0/16]
    target_tags: [polls]

- name: Let them reach the port of another one, too, and log each connection
  org.djangogcp.compute_firewall:
    project: my-project
    name: polls-web
    network: default
    allowed:
      - ip_protocol: tcp
        ports: ["80", "8080"]
    source_ranges: [130.211.0.0/22, 35.191.0.0/16]
    target_tags: [polls]
    log: true

- name: Delete the rule
  org.djangogcp.compute_firewall:
    project: my-project
    name: polls-web
    state: absent
"""

RETURN = r"""
firewall:
  description: The firewall rule, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: polls-web
    direction: INGRESS
    source_ranges: [130.211.0.0/22, 35.191.0.0/16]
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [create firewall rule web]
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    WAIT_ARGS,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, reconciled, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.compute import FIREWALL

_SOURCES = ("source_ranges", "source_tags", "source_service_accounts")

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    **table_options(FIREWALL.fields),
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def work(task: Task) -> Json:
    """Make the firewall rule what is asked."""
    return reconciled(task, "firewall", FIREWALL, "name")


def check(params: Json) -> list[str]:
    """What makes a rule another one than somebody means."""
    if params["state"] == "absent":
        return []
    found = (
        [] if params["network"] else ["network is missing: without it the rule is one of the network default"]
    )
    if not params["allowed"] and not params["denied"]:
        found.append("allowed and denied are missing: a rule has one of them")
    found += [
        f"{name}[{place}].ip_protocol is missing: expected the protocol of the ports, or all"
        for name in ("allowed", "denied")
        for place, one in enumerate(params[name] or [])
        if one["ip_protocol"] is None
    ]
    if params["direction"] == "INGRESS" and not any(params[name] for name in _SOURCES):
        found.append(
            f"source_ranges is missing: without it, {_SOURCES[1]} and {_SOURCES[2]} Google Cloud opens the rule to the whole world"
        )
    by_account = params["source_service_accounts"] or params["target_service_accounts"]
    if by_account and (params["source_tags"] or params["target_tags"]):
        found.append("service accounts and tags are in one rule: Google Cloud takes one of the two")
    return found


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.FIREWALL},
        tables={"": FIREWALL.fields},
        check=check,
    )


if __name__ == "__main__":
    main()
