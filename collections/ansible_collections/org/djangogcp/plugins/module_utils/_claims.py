# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Marks of what can carry none: a database and an SQL user have neither labels nor a description.

A claim is an annotation of a secret of the site, and the secret carries the site's mark. It is written before the thing is made:
a run that is killed in between finds its claim and goes on. A comment in the database would do as well, but only who can log in
could read it, and a new operator cannot before the first deploy.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._annotations import annotations_of, note
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Mark, Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Ids,
    ResourceSpec,
    read,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import API, SECRET
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import USER
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json, decode


class Claims:
    """The claims of a site on databases and SQL users.

    Args:
        client: calls the API.
        project: the id of the project.
        secret: the name of the secret that holds them, which only the site has.
        ownership: for whom the task works.
    """

    def __init__(self, client: Client, project: str, secret: str, ownership: Ownership) -> None:
        self._client = client
        self._ids = {"project": project, "name": secret}
        self._ownership = ownership
        self._annotations: Json | None = None

    @classmethod
    def from_params(cls, client: Client, params: t.Mapping[str, t.Any]) -> Claims | None:
        """Pick the options ``mark`` and ``claim_secret`` out of a module's parameters; None without a mark."""
        ownership = Ownership.from_params(params)
        if ownership is None:
            return None
        return cls(client, str(params["project"]), str(params["claim_secret"]), ownership)

    def ownership(self, spec: ResourceSpec, ids: Ids) -> Ownership:
        """For whom the task works, with who owns this resource."""
        return dataclasses.replace(
            self._ownership,
            owner=lambda resource: self.owner(spec, ids),
            claim=f"gcloud secrets update {self._ids['name']} --update-annotations={_key(spec, ids)}='{_words(spec, ids)}'",
            is_adoptable=spec is not USER,
        )

    def owner(self, spec: ResourceSpec, ids: Ids) -> Mark | None:
        """Who has claimed a resource: the site itself, or another one of the project; None when nobody has."""
        key = _key(spec, ids)
        return self._ownership.mark if key in self._own() else self._holder(key)[0]

    def make(self, spec: ResourceSpec, ids: Ids, current: Json | None) -> None:
        """Claim a resource that is about to be made, or one that the site has claimed by a former name.

        Args:
            spec: the kind of resource.
            ids: its names.
            current: the resource as read; None when it is not there.
        """
        key = _key(spec, ids)
        if key in self._own():
            return
        owner, holder = self._holder(key)
        if current is not None and not self._ownership.is_own(owner):
            return
        self._write(self._ids["name"], {key: _words(spec, ids)})
        self._annotations = None
        # Another run of this site may have claimed it since the secret was read.
        if self._ownership.is_own(owner) and holder != self._ids["name"]:
            self._write(holder, {key: None})

    def drop(self, spec: ResourceSpec, ids: Ids) -> None:
        """Take the site's claim on a resource back that is gone."""
        key = _key(spec, ids)
        if key in self._own():
            self._write(self._ids["name"], {key: None})
            self._annotations = None

    def _own(self) -> Json:
        if self._annotations is None:
            found = read(self._client, SECRET, self._ids, ahead=True)
            # A secret of this name may be another's: of a site with the same name in another region, or of nobody.
            self._annotations = annotations_of(found) if self._ownership.is_own(_mark(found)) else {}
        return self._annotations

    def _holder(self, key: str) -> tuple[Mark | None, str]:
        """The mark and the name of the secret that holds a claim."""
        call = Call(f"list the secrets of project {self._ids['project']}", "secretmanager.secrets.list")
        url = f"{API}/projects/{self._ids['project']}/secrets"
        for found in self._client.list(url, call, items="secrets"):
            mark = _mark(found)
            if mark is not None and key in annotations_of(found):
                return mark, str(found["name"]).rpartition("/")[2]
        return None, ""

    def _write(self, secret: str, changes: t.Mapping[str, str | None]) -> None:
        note(self._client, self._ids["project"], secret, changes)


def _mark(secret: Json | None) -> Mark | None:
    return SECRET.mark.read(decode(secret or {}, SECRET.fields)) if SECRET.mark else None


def _words(spec: ResourceSpec, ids: Ids) -> str:
    return f"{spec.noun} {ids['name']} of {ids['project']}/{ids['instance']}"


def _key(spec: ResourceSpec, ids: Ids) -> str:
    """The annotation of a claim. Keys have at most 63 characters, so the name of the thing is in the value."""
    return f"claim-{hashlib.sha256(_words(spec, ids).encode()).hexdigest()[:16]}"
