# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Whether rights that were granted a moment ago have taken effect for the site's code, tried as the code's own account.

Cloud Run tells of a secret that an account may not read. Of a bucket or a database that it may not use only the site's code is told, and
what that prints is no evidence. So the rights are tried before it runs, by code of ours in the same container (`_rights_in_force`).
"""

from __future__ import annotations

import base64
import inspect
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rights_in_force
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Change

Right = dict[str, t.Any]

#: The exit code of `python_code` when rights are still refused.
STILL_REFUSED = _rights_in_force.STILL_REFUSED
_STORAGE = "https://storage.googleapis.com/storage/v1/b"
_SQL = "https://sqladmin.googleapis.com/v1/projects"
_CREDENTIALS = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
# What each role for a bucket is for.
_OF_BUCKETS = {
    "roles/storage.objectViewer": "storage.objects.get",
    "roles/storage.objectCreator": "storage.objects.create",
    "roles/storage.objectUser": "storage.objects.create",
    "roles/storage.objectAdmin": "storage.objects.create",
}


def right_of(change: Change, connections: t.Iterable[str]) -> Right | None:
    """How its account tries what it was granted; None for what cannot be tried without doing something.

    Sources: storage v1, buckets.testIamPermissions; sqladmin v1, connect.get, which every connector calls first; iamcredentials
    v1, signBlob.

    Args:
        change: the grant.
        connections: the connection names of the databases that the account's code uses.
    """
    kind, name, role = change.resource_type, change.resource, change.role
    right: Right = {"name": str(change)}
    if kind == "bucket" and role in _OF_BUCKETS:
        permission = _OF_BUCKETS[role]
        url = f"{_STORAGE}/{name}/iam/testPermissions?permissions={permission}"
        return {**right, "url": url, "permission": permission}
    connection = next(iter(connections), "")
    if kind == "project" and role == "roles/cloudsql.client" and connection:
        # A project's id may hold a colon, a region and an instance's name may not.
        project, instance = connection.rsplit(":", 2)[0], connection.rsplit(":", 1)[1]
        return {**right, "url": f"{_SQL}/{project}/instances/{instance}/connectSettings"}
    if kind == "service_account" and role == "roles/iam.serviceAccountTokenCreator":
        body = {"payload": base64.b64encode(b"djangogcp").decode()}
        return {**right, "url": f"{_CREDENTIALS}/{name}:signBlob", "body": body}
    return None


def rights_of(changes: t.Iterable[Change], connections: t.Iterable[str]) -> dict[Change, Right]:
    """Those of the changes that can be tried, and how."""
    databases = list(connections)
    tried = {change: right_of(change, databases) for change in changes}
    return {change: right for change, right in tried.items() if right is not None}


def python_definitions(rights: t.Sequence[Right]) -> str:
    """Python code that defines ``RIGHTS``, and ``refused(RIGHTS)``, which names those that have not taken effect."""
    return f"{inspect.getsource(_rights_in_force)}\n\nRIGHTS = {list(rights)!r}\n"


def python_code(rights: t.Sequence[Right], seconds: float) -> str:
    """Python code that waits until the rights have taken effect, so many seconds at most, and ends with an exit code."""
    return f"{inspect.getsource(_rights_in_force)}\n\nraise SystemExit(wait_for({list(rights)!r}, {seconds:.0f}))\n"
