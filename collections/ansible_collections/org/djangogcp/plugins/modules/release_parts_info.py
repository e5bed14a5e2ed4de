#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_parts_info
short_description: Tell whether what releases were made of is still there
version_added: 0.9.0
description:
  - Looks for the images of releases in Artifact Registry, and for the versions of their secrets, each once and all at the same time. No value of a
    secret is read.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  releases:
    description: The releases.
    type: list
    elements: dict
    required: true
    suboptions:
      number:
        description: Which one it is.
        type: int
        required: true
      image:
        description: The image by its digest.
        type: str
        required: true
      secret_versions:
        description: By the name of a secret the number of its version.
        type: dict
        default: {}
seealso:
  - module: org.djangogcp.storage_records_info
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See whether a release can be gone back to
  org.djangogcp.release_parts_info:
    project: my-project
    releases:
      - number: 7
        image: us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa
        secret_versions: {polls-secret-key: "1"}
  register: result
"""

RETURN = r"""
releases:
  description: The releases as they were asked for.
  returned: success
  type: list
  elements: dict
  contains:
    number:
      description: Which one it is.
      type: int
    missing:
      description: What of it is gone, in words.
      type: list
      elements: str
  sample:
    - number: 7
      missing: [version 1 of secret polls-secret-key is destroyed]
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._builds import Image, is_there
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import version_state

ARGUMENT_SPEC = {
    "releases": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "number": {"type": "int", "required": True},
            "image": {"type": "str", "required": True},
            "secret_versions": {"type": "dict", "default": {}, "no_log": False},
        },
    },
}
#: What Google accepts.
RULES = {
    "releases.number": rules.between(0, 999999),
    "releases.image": rules.IMAGE,
    "releases.secret_versions": rules.SECRET_VERSIONS,
}


def parts_of(release: Json) -> list[tuple[str, str]]:
    """What has to be there for a release: the image, and each secret with the number of its version."""
    versions = {str(name): str(number) for name, number in release["secret_versions"].items()}
    return [("", release["image"]), *sorted(versions.items())]


def work(task: Task) -> dict[str, t.Any]:
    """Look for all of them, each once."""
    asked = task.params["releases"]
    parts = sorted({part for release in asked for part in parts_of(release)})

    def problem(part: tuple[str, str]) -> str:
        secret, what = part
        if not secret:
            name, _at, digest = what.partition("@")
            return "" if is_there(task.client, Image(name, "", digest)) else f"image {what} is gone"
        state = version_state(task.client, task.project, secret, what)
        return "" if state == "ENABLED" else f"version {what} of secret {secret} is {state.lower()}"

    found = dict(zip(parts, for_each(parts, problem), strict=True))
    return {
        "changed": False,
        "releases": [
            {
                "number": release["number"],
                "missing": [found[part] for part in parts_of(release) if found[part]],
            }
            for release in asked
        ],
    }


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES, only_reads=True)


if __name__ == "__main__":
    main()
