# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: missing_packages
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Which packages of Debian an image lacks
description:
  - Tells by what was printed in an image which packages of Debian bring what it lacks, and how to get them.
options:
  _input:
    description: What was printed.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show that libpq5 is missing
  ansible.builtin.debug:
    msg: "{{ 'ImportError: libpq.so.5: cannot open shared object file' | org.djangogcp.missing_packages }}"
"""

RETURN = r"""
_value:
  description: What to do, empty if nothing says that something is missing.
  type: str
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._system_packages import cure


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"missing_packages": cure}
