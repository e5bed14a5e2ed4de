# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: release_commands
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What a release runs, in its order
description:
  - Private to the role app.
options:
  _input:
    description: The variable C(djangogcp_release_commands).
    type: list
    elements: raw
    required: true
  own:
    description: By name what a release runs its own way. What is missing here is taken as a person wrote it, for who asks what there is, or for how long.
    type: dict
    default: {}
  procfile:
    description: What the project's Procfile runs before a release; empty for nothing.
    type: dict
    default: {}
  migrates:
    description: Whether that migrates. It is the first then, and comes after C(migrate) otherwise.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what a release runs
  ansible.builtin.debug:
    msg: "{{ ['migrate', 'createcachetable'] | org.djangogcp.release_commands({'migrate': {'name': 'migrate', 'args': ['migrate', '--noinput']}}) }}"
"""

RETURN = r"""
_value:
  description: One dictionary for each, with C(timeout_seconds), C(memory) and C(may_fail) where they are not as usual.
  type: list
  elements: dict
  sample:
    - name: migrate
      args: [migrate, --noinput]
    - name: createcachetable
      args: [createcachetable]
      is_shown: true
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.plugin_utils import _commands


def release_commands(
    asked: t.Iterable[t.Any],
    own: t.Mapping[str, t.Mapping[str, t.Any]] | None = None,
    procfile: t.Mapping[str, t.Any] | None = None,
    migrates: bool = False,
) -> list[dict[str, t.Any]]:
    """What a target runs. See DOCUMENTATION."""
    found: list[dict[str, t.Any]] = []
    for command in _commands.commands(asked):
        said: dict[str, t.Any] = {"name": command.name, "args": command.words, "is_shown": True}
        if command.is_own:
            said = dict((own or {}).get(command.name, said))
        if command.timeout_seconds is not None:
            said["timeout_seconds"] = command.timeout_seconds
        if command.memory:
            said["memory"] = command.memory
        if not command.must_succeed:
            said["may_fail"] = True
        found.append(said)
    if procfile:
        names = [one["name"] for one in found]
        found.insert(0 if migrates or "migrate" not in names else names.index("migrate") + 1, dict(procfile))
    return found


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"release_commands": release_commands}
