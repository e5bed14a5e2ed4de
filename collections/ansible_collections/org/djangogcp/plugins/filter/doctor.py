# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: doctor
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What is wrong with a site, and what cures it
description:
  - Private to the role release. Takes what was read of a site, and finds causes and cures.
options:
  _input:
    description: What was read, by name, each as its module returns it, or with its C(msg) where it could not be read.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ (facts | org.djangogcp.doctor).lines }}"
"""

RETURN = r"""
_value:
  description: >-
    C(summary), a line; how many C(problems) and C(warnings) there are, and how much was C(not_looked_at); C(findings), each with C(check), C(state),
    C(text), C(cause), C(cure), C(page) and C(lines) of a log; C(lines), all of it for people.
  type: dict
  sample:
    site: polls
    summary: "polls in my-project, us-central1: 1 problem"
    problems: 1
    warnings: 0
    not_looked_at: 0
    findings:
      - check: database
        state: problem
        text: the SQL instance djangogcp is stopped
        cause: Somebody has stopped it (activation policy NEVER).
        cure: gcloud sql instances patch djangogcp --project=my-project --activation-policy=ALWAYS
        page: https://github.com/djangogcp/djangogcp/blob/main/docs/when-it-goes-wrong.md#the-database-does-not-answer
        lines: []
    lines: ["polls in my-project, us-central1: 1 problem"]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.plugin_utils import _doctor


def doctor(facts: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is wrong with a site. See DOCUMENTATION."""
    return _doctor.told(facts)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"doctor": doctor}
