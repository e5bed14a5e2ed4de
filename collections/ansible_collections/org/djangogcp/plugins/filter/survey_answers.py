# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: survey_answers
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Variables with the lists and dictionaries among them that are written as text
description:
  - Reads of several variables those that an argument specification says are lists or dictionaries, as
    P(org.djangogcp.from_survey#filter) does.
  - Entries of a dictionary that are null are left out.
options:
  _input:
    description: The variables by name.
    type: dict
    required: true
  options:
    description: What an argument specification says of them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what the answers are
  ansible.builtin.debug:
    msg: "{{ {'djangogcp_labels': 'team: web'} | org.djangogcp.survey_answers({'djangogcp_labels': {'type': 'dict'}}) }}"
"""

RETURN = r"""
_value:
  description: The variables.
  type: dict
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.plugin_utils._survey import survey_answers


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"survey_answers": survey_answers}
