# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: preview
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What a preview of a site is
description:
  - Private to the role preflight. A preview is a site of its own, described as the site is, with other names and without what only one may have.
options:
  _input:
    description: >-
      The variables C(djangogcp_project), C(djangogcp_site), C(djangogcp_database_version), C(djangogcp_preview_database) and C(djangogcp_preview_variables)
      of the site.
    type: dict
    required: true
  name:
    description: The name of the preview.
    type: raw
    required: true
  described:
    description: The variables that a person has set for the site.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what a preview is called
  ansible.builtin.debug:
    msg: "{{ (site | org.djangogcp.preview('pr1')).variables.djangogcp_site }}"
  vars:
    site:
      djangogcp_project: my-project
      djangogcp_site: polls
      djangogcp_database_version: POSTGRES_17
      djangogcp_preview_database: empty
      djangogcp_preview_variables: {}
"""

RETURN = r"""
_value:
  description: C(problem), empty if there is none, and C(variables), those that the preview has otherwise than the site.
  type: dict
"""

import hashlib
import typing as t

from ansible_collections.org.djangogcp.plugins.filter.shared_problems import BUCKET_VARIABLES
from ansible_collections.org.djangogcp.plugins.filter.site_problems import HIDDEN, RULES, SITE_LENGTH
from ansible_collections.org.djangogcp.plugins.lookup.other_sites import role_defaults, with_defaults
from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import engine_of
from ansible_collections.org.djangogcp.plugins.module_utils._rules import problem
from ansible_collections.org.djangogcp.plugins.plugin_utils._survey import from_survey

#: What of a site is named after it, whatever the site says.
NAMES = (*BUCKET_VARIABLES, "djangogcp_repository", "djangogcp_database_name")
#: What a preview has not, or little of: an address of the site's, what was there before it, work that is done once, and costs.
OTHERWISE: dict[str, t.Any] = {
    "djangogcp_adopt": [],
    "djangogcp_background_workers": {},
    "djangogcp_domains": [],
    "djangogcp_former_site": "",
    "djangogcp_max_instances": 1,
    "djangogcp_min_instances": 0,
    "djangogcp_roll_forward_from": "",
    "djangogcp_rotation_days": {},
    "djangogcp_strategy": "direct",
}
#: What makes it the preview that it is.
_FIXED = frozenset((*NAMES, "djangogcp_project", "djangogcp_region", "djangogcp_site", "djangogcp_target"))


def preview(
    site: t.Mapping[str, t.Any], name: t.Any, described: t.Mapping[str, t.Any] | None = None
) -> dict[str, t.Any]:
    """What a preview of the *site* is. See DOCUMENTATION."""
    text = str(name)
    asked = from_survey(site["djangogcp_preview_variables"], {})
    for variable, value in (("preview", text), ("djangogcp_preview_variables", asked)):
        if not RULES[variable].test(value):
            return _wrong(problem(variable, value, RULES[variable].expected, is_secret=variable in HIDDEN))
    fixed = sorted(_FIXED.intersection(asked))
    if fixed:
        return _wrong(f"djangogcp_preview_variables has {', '.join(fixed)}: a preview has its own.")
    version = asked.get("djangogcp_database_version", site["djangogcp_database_version"])
    if site["djangogcp_preview_database"] == "copy" and not engine_of(version).has_owners:
        return _wrong(
            "djangogcp_preview_database is 'copy': expected empty, because a dump of MySQL is imported into the database that it names, that of the site."
        )
    called = _called(str(site["djangogcp_site"]), text)
    known = {
        "djangogcp_project": site["djangogcp_project"],
        "djangogcp_site": called,
        "djangogcp_database_version": version,
    }
    names = with_defaults(called, known, NAMES, role_defaults())
    del names["host"]
    # What the site says in terms of its own name stays as it was meant.
    return {
        "problem": "",
        "variables": {**(described or {}), **OTHERWISE, **asked, **names, "djangogcp_site": called},
    }


def _called(site: str, name: str) -> str:
    """The name of a preview's site: as much of that of the site as there is room for, and then something that tells it from others."""
    plain = f"{site}-{name}"
    if len(plain) <= SITE_LENGTH:
        return plain
    told = hashlib.sha256(site.encode()).hexdigest()[:4]
    return f"{site[: SITE_LENGTH - len(name) - len(told) - 2].rstrip('-')}-{told}-{name}"


def _wrong(text: str) -> dict[str, t.Any]:
    return {"problem": text, "variables": {}}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"preview": preview}
