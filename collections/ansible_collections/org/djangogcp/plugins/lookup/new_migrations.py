# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: new_migrations
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Which migrations a database does not have yet
description:
  - Private to the role release. Reads files only, of the project's own apps. Nothing of the project is imported or run.
options:
  _terms:
    description: The folder of the project, on the control node.
    type: list
    elements: str
    required: true
  heads:
    description: The newest migration that the database has, by app.
    type: dict
    default: {}
  applied:
    description: The migrations that it has, with their apps, as far as it is known.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what a deploy would migrate
  ansible.builtin.debug:
    msg: "{{ query('org.djangogcp.new_migrations', '/srv/shop', heads={'shop': '0003_colour'}) }}"
"""

RETURN = r"""
_list:
  description: A line for each.
  type: list
  elements: str
  sample: ["shop.0004_votes (may be destructive: RemoveField)"]
"""

import typing as t
from pathlib import Path

from ansible.plugins.lookup import LookupBase
from ansible_collections.org.djangogcp.plugins.plugin_utils._migrations import migrations, newer, told


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        heads, applied = dict(self.get_option("heads")), list(self.get_option("applied"))
        return [told(one) for folder in terms for one in newer(migrations(Path(folder)), heads, applied)]
