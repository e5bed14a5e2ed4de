# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: in_maintenance
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What a release is given, in maintenance or not
description:
  - Private to the roles app and site. Gives what serves, and nothing else, the variables by which the settings overlay answers visitors with 503.
options:
  _input:
    description: What the release is given.
    type: dict
    required: true
  said:
    description: The variables C(MAINTENANCE_RETRY_AFTER) and C(MAINTENANCE_MESSAGE). The site is not in maintenance if empty.
    type: dict
    required: true
  hosts:
    description: The hosts at which the site answers as ever, for who tests.
    type: list
    elements: str
    default: []
  paths:
    description: The paths that probes ask.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what a site in maintenance gets
  ansible.builtin.debug:
    msg: "{{ djangogcp_out_app | org.djangogcp.in_maintenance({'MAINTENANCE_RETRY_AFTER': '600'}, ['candidate---polls.example.com'], ['/-/live']) }}"
"""

RETURN = r"""
_value:
  description: What the release is given.
  type: dict
"""

import typing as t

#: What the settings overlay reads (roles/image/files/overlay, middleware.py).
VARIABLES = (
    "MAINTENANCE_RETRY_AFTER",
    "MAINTENANCE_MESSAGE",
    "MAINTENANCE_EXCEPT_HOSTS",
    "MAINTENANCE_EXCEPT_PATHS",
)


def in_maintenance(
    app: t.Mapping[str, t.Any],
    said: t.Mapping[str, t.Any],
    hosts: t.Sequence[str] = (),
    paths: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """What the release is given. See DOCUMENTATION."""
    environment = {
        name: value for name, value in (app.get("environment") or {}).items() if name not in VARIABLES
    }
    if said:
        environment |= {
            **said,
            "MAINTENANCE_EXCEPT_HOSTS": ",".join(hosts),
            "MAINTENANCE_EXCEPT_PATHS": ",".join(dict.fromkeys(path for path in paths if path)),
        }
    return {**app, "environment": environment}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"in_maintenance": in_maintenance}
