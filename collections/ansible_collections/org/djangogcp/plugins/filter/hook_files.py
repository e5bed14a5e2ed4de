# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: hook_files
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: The files of tasks that a site's hooks name
description:
  - Private to the role preflight. Finds the files, and tells which ones are not there. What is of a wrong form is left to
    P(org.djangogcp.site_problems#filter).
options:
  _input:
    description: By hook a file of tasks, or a list of them.
    type: dict
    required: true
  folders:
    description: Where a relative path begins, the first one that has it. Those that are no path are left out.
    type: list
    elements: path
    required: true
"""

EXAMPLES = r"""
- name: Show the files
  ansible.builtin.debug:
    msg: "{{ {'after_release': 'hooks/tell.yml'} | org.djangogcp.hook_files([inventory_dir, playbook_dir]) }}"
"""

RETURN = r"""
_value:
  description: By hook the C(files) with their whole paths, and the C(problems), a message each.
  type: dict
  sample:
    files:
      after_release: [/home/me/shop/hooks/tell.yml]
    problems: []
"""

import os
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._rules import problem


def hook_files(hooks: t.Any, folders: t.Iterable[t.Any]) -> dict[str, t.Any]:
    """Files and problems. See DOCUMENTATION."""
    places = [os.path.abspath(folder) for folder in folders if folder and isinstance(folder, str)]
    files: dict[str, list[str]] = {}
    problems = []
    for hook, named in (hooks if isinstance(hooks, t.Mapping) else {}).items():
        for path in paths(named):
            tried = [os.path.join(place, os.path.expanduser(path)) for place in places]
            found = next(filter(os.path.isfile, tried), None)
            if found is None:
                expected = f"a file of tasks, absolute or below {' or '.join(dict.fromkeys(places))}"
                problems.append(problem(f"djangogcp_hooks.{hook}", path, expected))
            else:
                files.setdefault(str(hook), []).append(found)
    return {"files": files, "problems": problems}


def paths(named: t.Any) -> list[str]:
    """The paths that a hook names; [] for what is of a wrong form."""
    listed = [named] if isinstance(named, str) else named
    return (
        [path for path in listed if isinstance(path, str) and path]
        if isinstance(listed, list | tuple)
        else []
    )


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"hook_files": hook_files}
