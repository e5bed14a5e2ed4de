# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: secret_files
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Name the files in which a machine holds secrets
description:
  - Tells for each secret of a site which version it is of, and the file on a machine that holds it. Another version is another file, so
    that an earlier release keeps its own.
options:
  _input:
    description: By variable, or by the path at which the site finds it, the name of a secret, or C(NAME:NUMBER) for another version than the pinned one.
    type: dict
    required: true
  versions:
    description: By secret the number of its pinned version.
    type: dict
    required: true
  folder:
    description: The folder of the files.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show where a machine holds the key
  ansible.builtin.debug:
    msg: "{{ {'SECRET_KEY': 'polls-secret-key'} | org.djangogcp.secret_files({'polls-secret-key': '2'}, '/etc/djangogcp/polls') }}"
"""

RETURN = r"""
_value:
  description: The files, by the names of the variables and the paths.
  type: list
  elements: dict
  sample:
    - variable: SECRET_KEY
      secret: polls-secret-key
      version: "2"
      path: /etc/djangogcp/polls/polls-secret-key.2
"""

import typing as t

from ansible.errors import AnsibleFilterError


def secret_files(
    secrets: t.Mapping[str, str], versions: t.Mapping[str, t.Any], folder: str
) -> list[dict[str, str]]:
    """The files. See DOCUMENTATION.

    Raises:
        AnsibleFilterError: the version of a secret is not known.
    """
    found = []
    for variable, reference in sorted(secrets.items()):
        secret, _colon, number = reference.partition(":")
        version = number or str(versions.get(secret, ""))
        if not version:
            raise AnsibleFilterError(
                f"The version of the secret {secret} is not known. Run the role secrets first."
            )
        path = f"{folder}/{secret}.{version}"
        found.append({"variable": variable, "secret": secret, "version": version, "path": path})
    return found


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"secret_files": secret_files}
