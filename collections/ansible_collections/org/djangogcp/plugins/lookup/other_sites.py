# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: other_sites
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: The sites of the inventory that are not in this run
description:
  - Tells what the inventory says of the hosts of the group C(sites) that C(--limit) leaves out, so that a site that is deployed alone
    does not take what is another one's.
  - What the inventory does not set has the default of the roles. A variable that cannot be read is V(null).
  - A variable that is set by C(-e), and what is made of it, is V(null), because that hides what the inventory says.
options:
  _terms:
    description: The names of the variables to tell.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the names of the other sites
  ansible.builtin.debug:
    msg: "{{ query('org.djangogcp.other_sites', 'djangogcp_site', 'djangogcp_project') }}"
"""

RETURN = r"""
_list:
  description: The sites, each with its C(host) and the variables by name.
  type: list
  elements: dict
"""

import functools
import typing as t
from pathlib import Path

import jinja2
import jinja2.meta
import yaml
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import told_of

ROLES = Path(__file__).resolve().parents[2] / "roles"
#: The roles whose defaults are looked at.
_ROLES = ("preflight", "database")


def role_defaults(roles: Path = ROLES) -> dict[str, t.Any]:
    """The defaults of the variables of a site, as they are written."""
    defaults: dict[str, t.Any] = {}
    for role in _ROLES:
        defaults.update(yaml.safe_load((roles / role / "defaults/main.yml").read_text("utf-8")))
    return defaults


def with_defaults(
    host: str,
    variables: t.Mapping[str, t.Any],
    names: t.Iterable[str],
    defaults: t.Mapping[str, t.Any],
) -> dict[str, t.Any]:
    """The variables of a host, filled up with defaults. What cannot be known is None.

    Args:
        host: its name in the inventory.
        variables: what is known of it; None for a variable whose value is not known.
        names: the variables to tell.
        defaults: as they are written: with templates of other variables of a site.
    """
    known = {"inventory_hostname": host, **variables}

    def value_of(name: str) -> t.Any:
        default = defaults.get(name)
        if name in known or not isinstance(default, str):
            return known.get(name, default)
        needed, template = _compiled(default)
        parts = {part: value_of(part) for part in needed}
        # The template is the roles' own; what it is filled with is data, in which nothing is looked for.
        return None if None in parts.values() else template.render(parts)

    return {"host": host, **{name: value_of(name) for name in names}}


_TEMPLATES = jinja2.Environment(autoescape=False)  # noqa: S701
# The one filter that a default of a variable that sites must not have in common is made with.
_TEMPLATES.filters.update({"org.djangogcp.database_engine": told_of})


@functools.cache
def _compiled(template: str) -> tuple[frozenset[str], jinja2.Template]:
    """The variables in a template, and the template. All sites have the same few."""
    names = jinja2.meta.find_undeclared_variables(_TEMPLATES.parse(template))
    return frozenset(names), _TEMPLATES.from_string(template)


def _set_for(of_host: t.Mapping[str, t.Any], names: t.Iterable[str]) -> dict[str, t.Any]:
    """Those of some variables that the inventory sets for a host; None for one whose template fails."""
    found: dict[str, t.Any] = {}
    for name in names:
        if name in of_host:
            try:
                found[name] = _resolved(of_host[name])
            except (AnsibleError, jinja2.UndefinedError):
                found[name] = None
    return found


def _resolved(value: t.Any) -> t.Any:
    """A value with all templates in it filled in: ansible-core from 2.19 on does it when a part is looked at.

    Raises:
        jinja2.UndefinedError: it is made of a variable that does not exist; ansible-core from 2.19 on has an object for that.
    """
    if isinstance(value, jinja2.Undefined):
        raise jinja2.UndefinedError
    return {key: _resolved(item) for key, item in value.items()} if isinstance(value, t.Mapping) else value


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: t.Any = None, **kwargs: t.Any) -> list[dict[str, t.Any]]:
        others = set(variables["groups"].get("sites", [])) - set(variables["ansible_play_hosts_all"])
        if not others:
            return []
        defaults = role_defaults()
        hidden = dict.fromkeys(load_extra_vars(self._loader))
        return [
            with_defaults(host, {**_set_for(variables["hostvars"][host], terms), **hidden}, terms, defaults)
            for host in sorted(others)
        ]
