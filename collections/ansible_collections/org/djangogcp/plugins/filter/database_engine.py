# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: database_engine
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What a version of a database server is in Cloud SQL and in Django
description:
  - Tells what differs between PostgreSQL and MySQL, by the version of Cloud SQL that is asked for.
options:
  _input:
    description: The version, such as V(POSTGRES_17) or V(MYSQL_8_4). What is no version counts as PostgreSQL.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show how an address of MySQL begins
  ansible.builtin.debug:
    msg: "{{ ('MYSQL_8_4' | org.djangogcp.database_engine).scheme }}"
"""

RETURN = r"""
_value:
  description: What the roles have to know, by name.
  type: dict
  sample: {name: MySQL, scheme: mysql, port: 3306}
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import told_of


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"database_engine": told_of}
