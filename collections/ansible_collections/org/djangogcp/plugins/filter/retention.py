# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: retention
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Which releases of a site are kept, and what they are made of
description:
  - Private to the role release. Finds by the records of all releases which of them can still be gone back to, and what has to stay for that.
options:
  _input:
    description: The records, as M(org.djangogcp.storage_records_info) tells of them.
    type: list
    elements: dict
    required: true
  serving:
    description: The numbers of the releases that have traffic.
    type: list
    elements: int
    required: true
  keep_releases:
    description: How many different releases are kept, whatever their age.
    type: int
    required: true
  keep_days:
    description: For how many days after its last traffic a release is kept.
    type: int
    required: true
  now:
    description: The time, in seconds since 1970.
    type: float
    required: true
"""

EXAMPLES = r"""
- name: Show which releases are kept
  ansible.builtin.debug:
    msg: "{{ (records | org.djangogcp.retention([7], 10, 30, now().timestamp())).kept }}"
"""

RETURN = r"""
_value:
  description: >-
    C(kept), the numbers of the releases that are kept, the newest first; C(first), the number of the first record that stays, V(0) if all do;
    C(revisions), the names by which the target has the kept releases; C(images), what they run; C(served_images), those of them that had traffic;
    C(secret_versions), by the name of a secret the numbers of the versions that a rollback to them reads; C(backups), the ids of the backups that only
    records name which go.
  type: dict
  sample:
    kept: [7, 6]
    first: 6
    revisions: [polls-00006-abc, polls-00007-abc]
    images: ["us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa"]
    served_images: ["us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa"]
    secret_versions: {polls-secret-key: ["1"]}
    backups: ["1764431999123"]
"""

import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._retention import kept_releases

Json = dict[str, t.Any]

#: A version of a secret other than the pinned one (docs/targets.md).
_VERSION = re.compile(r"(?P<name>[A-Za-z0-9_-]+):(?P<number>[1-9][0-9]*)")


def retention(
    records: t.Iterable[Json], serving: t.Iterable[int], keep_releases: int, keep_days: int, now: float
) -> Json:
    """What is kept. See DOCUMENTATION."""
    records = list(records)
    releases = kept_releases(
        records, [int(number) for number in serving], int(keep_releases), now - int(keep_days) * 86400
    )
    kept = [record for record in records if record["number"] in releases.kept]
    going = [record for record in records if record["number"] in releases.going]
    staying = [record for record in records if record["number"] not in releases.going]
    versions: dict[str, set[str]] = {}
    for record in kept:
        # What was rotated since, a rollback takes from what serves.
        rotated = {
            name
            for later in records
            if later["result"] == "released" and later["number"] > record["number"]
            for name in later.get("rotated_secrets") or []
        }
        for name, number in versions_of(record.get("app") or {}):
            if name not in rotated:
                versions.setdefault(name, set()).add(number)
    return {
        "kept": releases.kept,
        "first": releases.first,
        "revisions": sorted({name for record in kept for name in _revisions(record)}),
        "images": _images(kept),
        "served_images": _images(record for record in kept if record["result"] != "failed"),
        "secret_versions": {name: sorted(numbers, key=int) for name, numbers in sorted(versions.items())},
        "backups": sorted(_backups(going) - _backups(staying)),
    }


def versions_of(app: Json) -> t.Iterator[tuple[str, str]]:
    """Name and number of each version of a secret that a release was given."""
    for name, number in (app.get("secret_versions") or {}).items():
        yield name, str(number)
    parts = [app, *(app.get("commands") or []), *(app.get("workers") or [])]
    for part in parts:
        for key in ("secrets", "command_secrets", "secret_files"):
            for value in (part.get(key) or {}).values():
                found = _VERSION.fullmatch(str(value))
                if found:
                    yield found["name"], found["number"]


def _revisions(record: Json) -> list[str]:
    names = (record.get("candidate") or "", (record.get("traffic") or {}).get("after") or "")
    return [one for name in names for one in name.split(", ") if one]


def _images(records: t.Iterable[Json]) -> list[str]:
    return sorted({record["app"]["image"] for record in records if (record.get("app") or {}).get("image")})


def _backups(records: t.Iterable[Json]) -> set[str]:
    found = {str((record.get("schema") or {}).get("backup") or "") for record in records}
    return {one for one in found if re.fullmatch(r"[1-9][0-9]*", one)}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"retention": retention}
