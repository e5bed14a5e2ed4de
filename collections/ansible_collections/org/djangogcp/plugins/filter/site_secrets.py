# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: site_secrets
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Which versions a deploy takes of the secrets that a site asks for
description:
  - Finds the newest enabled version of each secret, and the secrets that cannot be used, with the reason and what to do.
options:
  _input:
    description: What the site asks for. Each has a C(variable), the C(name) of the secret and the C(path) of a file, which may be empty.
    type: list
    elements: dict
    required: true
  found:
    description: The secrets that there are, as M(org.djangogcp.secretmanager_secrets_info) tells of them.
    type: list
    elements: dict
    required: true
  project:
    description: The project.
    type: str
    required: true
  mark:
    description: The mark of the site, as modules take it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which version of a secret a deploy takes
  ansible.builtin.debug:
    msg: >-
      {{ [{'variable': 'EMAIL_HOST_PASSWORD', 'name': 'smtp-password', 'path': ''}]
         | org.djangogcp.site_secrets(found, 'my-project', {'site': 'polls', 'region': 'europe-west1'}) }}
  vars:
    found: [{name: smtp-password, labels: {}, versions: [{version: "2", state: DISABLED}, {version: "1", state: ENABLED}]}]
"""

RETURN = r"""
_value:
  description: >-
    C(secrets), which are what was asked for with the C(version), and C(refused), of which each has C(type), C(resource), C(reason) and C(cure).
  type: dict
  sample:
    secrets:
      - variable: EMAIL_HOST_PASSWORD
        name: smtp-password
        path: ""
        version: "1"
    refused: []
"""

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._marks import Mark

Json = dict[str, t.Any]


def site_secrets(
    asked: t.Sequence[t.Mapping[str, str]],
    found: t.Sequence[t.Mapping[str, t.Any]],
    project: str,
    mark: t.Mapping[str, t.Any],
) -> Json:
    """What becomes of the secrets that a site asks for. See DOCUMENTATION."""
    by_name = {secret["name"]: secret for secret in found}
    refused = {}
    for one in asked:
        why = _refusal(one["name"], by_name.get(one["name"]), project, mark)
        if why:
            resource = f"secret {one['name']}"
            refused[resource] = {
                "type": "site_secret",
                "resource": resource,
                "reason": why[0],
                "cure": why[1],
            }
    return {
        "secrets": [{**one, "version": _newest_enabled(by_name.get(one["name"]))} for one in asked],
        "refused": list(refused.values()),
    }


def _refusal(
    name: str, secret: t.Mapping[str, t.Any] | None, project: str, mark: t.Mapping[str, t.Any]
) -> tuple[str, str] | None:
    """Why a secret cannot be used and what to do, None if it can."""
    make = f"gcloud secrets create {name} --project={project} --data-file=-"
    if secret is None:
        return "it does not exist.", f"Make it, with its value as standard input: {make}"
    owner = Mark.from_labels(secret["labels"])
    own_names = [mark["site"], *(mark.get("former_sites") or [])]
    if owner and owner.site and not (owner.site in own_names and owner.region == mark["region"]):
        return (
            f"it belongs to {owner}, which changes and deletes it as its own.",
            f"Make a secret that belongs to no site, and name that instead of {name}.",
        )
    if not _newest_enabled(secret):
        add = f"gcloud secrets versions add {name} --project={project} --data-file=-"
        return "it has no enabled version.", f"Enable one, or add one with its value as standard input: {add}"
    return None


def _newest_enabled(secret: t.Mapping[str, t.Any] | None) -> str:
    """The number of the newest version that is enabled, "" if there is none."""
    enabled = [int(one["version"]) for one in (secret or {}).get("versions", []) if one["state"] == "ENABLED"]
    return str(max(enabled)) if enabled else ""


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"site_secrets": site_secrets}
