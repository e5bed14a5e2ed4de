# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: role_variables
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: The public variables of the roles of this collection
description:
  - Reads the argument specifications of the roles, so that variables of all roles can be checked before the first role changes anything.
options: {}
"""

EXAMPLES = r"""
- name: Show what database_tier may be
  ansible.builtin.debug:
    msg: "{{ lookup('org.djangogcp.role_variables').database_tier }}"
"""

RETURN = r"""
_list:
  description:
    - One dictionary with the variables by name, each an option of an argument specification.
  type: list
  elements: dict
"""

import typing as t
from pathlib import Path

import yaml
from ansible.plugins.lookup import LookupBase

ROLES = Path(__file__).resolve().parents[2] / "roles"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def role_variables(roles: Path = ROLES) -> dict[str, dict[str, t.Any]]:
    """The variables of all roles below a folder, those of a site aside. See DOCUMENTATION."""
    found: dict[str, dict[str, t.Any]] = {}
    for specification in sorted(roles.glob("*/meta/argument_specs.yml")):
        # A role that is used alone, on a server, is no part of a site, and has an example of its own.
        if (specification.parent / "example.md").is_file():
            continue
        for entry_point in _read(specification)["argument_specs"].values():
            found.update(entry_point.get("options") or {})
    # What roles hand to one another is not for an inventory to set.
    return {name: option for name, option in found.items() if not name.startswith(("djangogcp_", "target_"))}


def _read(path: Path) -> dict[str, t.Any]:
    if not path.is_file():
        return {}
    return dict(yaml.load(path.read_bytes(), Loader=_Loader) or {})  # noqa: S506


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: t.Any = None, **kwargs: t.Any) -> list[dict[str, t.Any]]:
        return [role_variables()]
