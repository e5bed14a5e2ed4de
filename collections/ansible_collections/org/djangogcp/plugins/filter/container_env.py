# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: container_env
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Environment variables as Cloud Run's containers have them
description:
  - Makes a list of plain variables and of secrets pinned to the number of a version, sorted by name.
options:
  _input:
    description: The values of the plain variables by name. A variable whose value is null is left out.
    type: dict
    required: true
  secrets:
    description: The names of the secrets by variable, or V(NAME:NUMBER) for another version than that in O(versions). No plain variable has one of these names.
    type: dict
    required: true
  versions:
    description: The numbers of the versions by secret.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the environment of a container
  ansible.builtin.debug:
    msg: "{{ {'PYTHONUNBUFFERED': 1} | org.djangogcp.container_env({'SECRET_KEY': 'polls-secret-key'}, {'polls-secret-key': '2'}) }}"
"""

RETURN = r"""
_value:
  description: The variables.
  type: list
  elements: dict
  sample:
    - name: PYTHONUNBUFFERED
      value: "1"
    - name: SECRET_KEY
      value_source:
        secret_key_ref:
          secret: polls-secret-key
          version: "2"
"""

import typing as t

from ansible.errors import AnsibleFilterError


def container_env(
    variables: t.Mapping[str, t.Any],
    secrets: t.Mapping[str, str],
    versions: t.Mapping[str, str],
) -> list[dict[str, t.Any]]:
    """The environment of a container, sorted by name. See DOCUMENTATION.

    Raises:
        AnsibleFilterError: the version of a secret is not known, or a variable is plain and secret.
    """
    environment: dict[str, dict[str, t.Any]] = {
        name: {"value": _text(value)} for name, value in variables.items() if value is not None
    }
    both = sorted(environment.keys() & secrets.keys())
    if both:
        raise AnsibleFilterError(
            f"{', '.join(both)} is both a plain variable and a secret. Remove the plain variable."
        )
    for name, reference in secrets.items():
        secret, _colon, number = reference.partition(":")
        if not number and secret not in versions:
            raise AnsibleFilterError(
                f"The version of the secret {secret} is not known. Run the role secrets first."
            )
        environment[name] = {
            "value_source": {"secret_key_ref": {"secret": secret, "version": number or str(versions[secret])}}
        }
    return [{"name": name, **environment[name]} for name in sorted(environment)]


def _text(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"container_env": container_env}
