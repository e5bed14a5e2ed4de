# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rotated
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What a release was given, with other versions of its secrets
description:
  - Private to the roles site and release. Makes of C(djangogcp_out_app) of a release that of its rotation.
options:
  _input:
    description: What the release was given.
    type: dict
    required: true
  versions:
    description: By the name of a secret the number of the version that replaces another one.
    type: dict
    required: true
  fallback:
    description: What C(SECRET_KEY_FALLBACKS) is, as V(NAME:NUMBER). The project is given none if empty.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what the release gets after a rotation of its key
  ansible.builtin.debug:
    msg: "{{ djangogcp_out_app | org.djangogcp.rotated({'polls-secret-key': '2'}, 'polls-secret-key:1') }}"
"""

RETURN = r"""
_value:
  description: What the rotation is given.
  type: dict
"""

import typing as t

Json = dict[str, t.Any]

#: What Django accepts beside SECRET_KEY (https://docs.djangoproject.com/en/stable/ref/settings/#secret-key-fallbacks).
_VARIABLE = "SECRET_KEY_FALLBACKS"


def rotated(app: t.Mapping[str, t.Any], versions: t.Mapping[str, t.Any], fallback: str) -> Json:
    """What the rotation is given. See DOCUMENTATION."""

    def with_fallback(given: t.Mapping[str, t.Any], key: str, plain: str) -> Json:
        secrets = {name: value for name, value in (given.get(key) or {}).items() if not _is_own(name, value)}
        # What the project says of it itself stands.
        if fallback and _VARIABLE not in secrets and _VARIABLE not in (given.get(plain) or {}):
            secrets[_VARIABLE] = fallback
        return {key: secrets}

    return {
        **app,
        **with_fallback(app, "secrets", "environment"),
        **with_fallback(app, "command_secrets", "command_environment"),
        "workers": [
            {**worker, **with_fallback(worker, "secrets", "environment")}
            for worker in app.get("workers") or []
        ],
        "secret_versions": {**(app.get("secret_versions") or {}), **versions},
    }


def _is_own(name: str, reference: str) -> bool:
    """Whether it was set by a rotation: a version of its own, and not a secret of the team's."""
    return name == _VARIABLE and ":" in reference


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rotated": rotated}
