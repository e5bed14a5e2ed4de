# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: background_workers
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What a site runs in the background, with everything that it leaves out
description:
  - Private to the role app.
options:
  _input:
    description: The variable C(djangogcp_background_workers).
    type: dict
    required: true
  shell:
    description: What runs a shell's command line in the image, before the line.
    type: list
    elements: str
    required: true
  memory:
    description: The memory of one that says none.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what runs in the background
  ansible.builtin.debug:
    msg: "{{ {'worker': 'celery -A shop worker'} | org.djangogcp.background_workers(['/bin/sh', '-c'], '512Mi') }}"
"""

RETURN = r"""
_value:
  description: One dictionary for each, in their order.
  type: list
  elements: dict
  sample:
    - name: worker
      command: [/bin/sh, -c]
      args: [exec celery -A shop worker]
      instances: 1
      cpu: "1"
      memory: 512Mi
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.plugin_utils import _start, _workers


def background_workers(
    asked: t.Mapping[str, t.Any], shell: t.Sequence[str], memory: str
) -> list[dict[str, t.Any]]:
    """What a target runs. See DOCUMENTATION."""
    return [
        {
            "name": worker.name,
            "command": list(shell),
            # So that it gets the signals, and not a shell.
            "args": [_start.executed(worker.command)],
            "instances": worker.instances,
            "cpu": worker.cpu,
            "memory": worker.memory or memory,
        }
        for worker in _workers.workers(asked)
    ]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"background_workers": background_workers}
