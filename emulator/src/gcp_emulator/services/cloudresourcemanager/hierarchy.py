"""What is above projects: organisations and folders; and billing accounts, beside them.

A seed declares them (`declare`). Where none does, every organisation, folder and billing account that is named is there, and whoever
has signed in administers it: nobody needs one for a project of their own.
"""

from __future__ import annotations

import secrets

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json

_KINDS = ("organizations/", "folders/", "billingAccounts/")


class Resources:
    """The organisations, folders and billing accounts of this emulator, by name; is an `engine.iam.Hierarchy`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._declared = context.store.collection("cloudresourcemanager.declared")
        self.organizations = context.store.collection("cloudresourcemanager.organizations")
        self.folders = context.store.collection("cloudresourcemanager.folders")
        self._parents = context.store.collection("cloudresourcemanager.parents")
        context.iam.hang(self)

    def above(self, name: str) -> str | None:
        """As `engine.iam.Hierarchy` says."""
        if name.startswith("folders/"):
            folder = self.folders.peek(name)
            return None if folder is None else str(folder["parent"])
        parent = self._parents.peek(name) if name.startswith("projects/") else None
        return None if parent is None else str(parent["parent"])

    def domain(self, name: str) -> str:
        """The domain of the organisation that ``projects/ID`` or ``folders/ID`` is in; "" where there is none."""
        *_, top = self._context.iam.ancestors(name)
        return str((self.organizations.peek(top) or {}).get("displayName", ""))

    def open(self, name: str) -> bool:
        """As `engine.iam.Hierarchy` says."""
        return name.startswith(_KINDS) and not self._declared.names()

    def put_under(self, project_id: str, parent: str) -> None:
        """Says what a project is in."""
        self._parents.put(f"projects/{project_id}", {"parent": parent})

    def declare(self, name: str, display_name: str = "", parent: str | None = None) -> None:
        """Adds ``organizations/ID``, ``folders/ID`` or ``billingAccounts/ID``; from now on there are only those that were added."""
        self._declared.put(name, {})
        now = clock.timestamp()
        times = {"createTime": now, "updateTime": now, "etag": clock.new_etag().strip('"')}
        if name.startswith("organizations/"):
            customer = "C" + secrets.token_hex(4)
            self.organizations.put(
                name,
                {
                    "name": name,
                    "displayName": display_name,
                    "directoryCustomerId": customer,
                    "state": "ACTIVE",
                    **times,
                },
            )
        elif name.startswith("folders/"):
            self.put_folder(name, display_name, parent or "")

    def is_declared(self, name: str) -> bool:
        """Whether `declare` has added it."""
        return name in self._declared

    def put_folder(self, name: str, display_name: str, parent: str) -> Json:
        """Adds a folder."""
        now = clock.timestamp()
        folder = {
            "name": name,
            "parent": parent,
            "displayName": display_name,
            "state": "ACTIVE",
            "createTime": now,
            "updateTime": now,
            "etag": clock.new_etag().strip('"'),
        }
        self.folders.put(name, folder)
        return folder


def new_folder_name() -> str:
    """A number of twelve digits, as those of folders are."""
    return f"folders/{10**11 + secrets.randbelow(9 * 10**11)}"
