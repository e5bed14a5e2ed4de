# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: play_hosts
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Name the hosts of a play so that somebody is there to say that none matched
description:
  - Names the group when one of its hosts matches the limit of the run.
  - Names other hosts when none does, so that the first check of the play can refuse them. Ansible ends a play without hosts with
    exit status 0.
  - A play asks for its hosts in Ansible's main process. This collection's filters are loaded there for all tasks, instead of by each.
options:
  _input:
    description: The variable C(groups).
    type: dict
    required: true
  group:
    description: The group that the play is for.
    type: str
    required: true
  matched:
    description: The variable C(ansible_play_batch), which holds what matches the limit of the run.
    type: list
    elements: str
    required: true
  limited:
    description: Whether there is such a limit.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Look at the sites
  hosts: "{{ groups | org.djangogcp.play_hosts('sites', ansible_play_batch, limited=ansible_limit is defined) }}"
  tasks: []
"""

RETURN = r"""
_value:
  description: The pattern of the hosts.
  type: str
  sample: sites
"""

import typing as t


def play_hosts(
    groups: t.Mapping[str, t.Sequence[str]], group: str, matched: t.Sequence[str], limited: bool
) -> str:
    """The pattern of the hosts. See DOCUMENTATION."""
    if set(groups.get(group, ())) & set(matched):
        return group
    return "all" if limited else "localhost"


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"play_hosts": play_hosts}
