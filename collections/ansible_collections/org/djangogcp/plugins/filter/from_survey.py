# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: from_survey
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: A list or a dictionary that is written as text
description:
  - Reads a list or a dictionary that a survey of AWX, or C(-e name=value), hands over as text, which is YAML or JSON.
  - What is no text, or no such text, is left as it is.
options:
  _input:
    description: What the variable holds.
    type: raw
    required: true
  empty:
    description: What an empty text is, an empty list or an empty dictionary. Its type is the one that is expected.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show the host names of an answer
  ansible.builtin.debug:
    msg: "{{ '[www.example.com, example.com]' | org.djangogcp.from_survey([]) }}"
"""

RETURN = r"""
_value:
  description: The list or the dictionary.
  type: raw
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.plugin_utils._survey import from_survey


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"from_survey": from_survey}
