"""Folders and organisations of Cloud Resource Manager.

Source: https://cloud.google.com/resource-manager/reference/rest/v3/folders and v3/organizations.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Coroutine
from typing import Any

from gcp_emulator.engine import clock, masks
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, failed_precondition, invalid_argument, permission_denied
from gcp_emulator.engine.faults import fallible
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.services.cloudresourcemanager.hierarchy import Resources, new_folder_name
from gcp_emulator.services.cloudresourcemanager.queries import matches

_TYPE = "type.googleapis.com/google.cloud.resourcemanager.v3."
_PARENT = re.compile(r"(folders|organizations)/[^/]+")
_DISPLAY_NAME = re.compile(r"[^\W_][\w -]{1,28}[^\W_]")
_FOLDER_KEYS = {"displayname": "displayName", "state": "state", "lifecyclestate": "state", "parent": "parent"}
_ORGANIZATION_KEYS = {"domain": "displayName", "displayname": "displayName"}


class Folders:
    """What the API answers for folders, organisations and operations."""

    def __init__(self, context: Context, resources: Resources) -> None:
        self._context = context
        self._resources = resources

    def folder(self, name: str) -> Json:
        """The folder; Google does not tell one that is not there from one that the caller may not see."""
        folder = self._resources.folders.get(name)
        if folder is None:
            raise permission_denied("resourcemanager.folders.get", name)
        return folder

    def organization(self, name: str) -> Json:
        """The organisation, as `folder`."""
        organization = self._resources.organizations.get(name)
        if organization is None:
            raise permission_denied("resourcemanager.organizations.get", name)
        return organization

    @handles("cloudresourcemanager.folders.create")
    async def create_folder(self, call: Call) -> Json:
        parent = self._parent(call, call.body["parent"], "create")
        display_name = self._display_name(call.body["displayName"], parent)
        folder = self._resources.put_folder(new_folder_name(), display_name, parent)
        for role in ("roles/resourcemanager.folderAdmin", "roles/resourcemanager.folderEditor"):
            self._context.iam.add_binding(folder["name"], role, call.caller.member)
        return self._operation(call, folder)

    @handles("cloudresourcemanager.folders.get")
    async def get_folder(self, call: Call) -> Json:
        return self.folder(call.params["name"])

    @handles("cloudresourcemanager.folders.list")
    async def list_folders(self, call: Call) -> Json:
        parent = call.params.get("parent", "")
        call.require("resourcemanager.folders.list", parent)
        shown = [
            folder for folder in self._children(parent) if call.params.get("showDeleted") or _active(folder)
        ]
        return call.page(shown, "folders")

    @handles("cloudresourcemanager.folders.search")
    async def search_folders(self, call: Call) -> Json:
        found = [
            folder
            for name, folder in self._resources.folders.items()
            if matches(folder, call.params.get("query"), _FOLDER_KEYS)
            and self._context.iam.allows(call.identity, "resourcemanager.folders.get", name)
        ]
        return call.page(found, "folders")

    @handles("cloudresourcemanager.folders.patch")
    async def patch_folder(self, call: Call) -> Json:
        folder = self.folder(call.params["name"])
        masks.parse_mask(call.params.get("updateMask"), body=call.body, mutable=frozenset({"displayName"}))
        display_name = self._display_name(call.body.get("displayName", ""), folder["parent"], folder["name"])
        return self._operation(call, self._changed(folder, displayName=display_name), "UpdateFolderMetadata")

    @handles("cloudresourcemanager.folders.move")
    async def move_folder(self, call: Call) -> Json:
        folder = self.folder(call.params["name"])
        parent = self._parent(call, call.body["destinationParent"], "move")
        if folder["name"] in self._context.iam.ancestors(parent):
            raise failed_precondition("A folder cannot be moved below itself.")
        self._display_name(folder["displayName"], parent, folder["name"])
        return self._operation(call, self._changed(folder, parent=parent), "MoveFolderMetadata")

    @handles("cloudresourcemanager.folders.delete")
    async def delete_folder(self, call: Call) -> Json:
        folder = self.folder(call.params["name"])
        if any(_active(child) for child in self._children(folder["name"])):
            raise failed_precondition("The folder to be deleted must not contain active folders or projects.")
        if _active(folder):
            folder = self._changed(folder, state="DELETE_REQUESTED", deleteTime=clock.timestamp())
        # Recorded (logginglogexclusion-folderexclusion): it has ended already, and has no name.
        return {"done": True, "response": {"@type": _TYPE + "Folder", **folder}}

    @handles("cloudresourcemanager.folders.undelete")
    async def undelete_folder(self, call: Call) -> Json:
        folder = self.folder(call.params["name"])
        self._display_name(folder["displayName"], folder["parent"], folder["name"])
        folder.pop("deleteTime", None)
        return self._operation(call, self._changed(folder, state="ACTIVE"), "UndeleteFolderMetadata")

    @handles("cloudresourcemanager.organizations.get")
    async def get_organization(self, call: Call) -> Json:
        return _organization(call, self.organization(call.params["name"]))

    @handles("cloudresourcemanager.organizations.search")
    async def search_organizations(self, call: Call) -> Json:
        query = call.params.get("query") or call.body.get("filter")
        found = [
            _organization(call, organization)
            for name, organization in self._resources.organizations.items()
            if matches(organization, query, _ORGANIZATION_KEYS)
            and self._context.iam.allows(call.identity, "resourcemanager.organizations.get", name)
        ]
        return call.page(found, "organizations")

    @handles("cloudresourcemanager.operations.get")
    async def get_operation(self, call: Call) -> Json:
        return self._context.operations.get(call.params["name"])

    def _children(self, parent: str) -> list[Json]:
        """The folders that are directly in this one, by display name."""
        found = [folder for _, folder in self._resources.folders.items() if folder["parent"] == parent]
        return sorted(found, key=lambda folder: str(folder["displayName"]))

    def _parent(self, call: Call, parent: str, verb: str) -> str:
        if not _PARENT.fullmatch(parent):
            raise invalid_argument("Request contains an invalid argument.", field="parent")
        call.require(f"resourcemanager.folders.{verb}", parent)
        return parent

    def _display_name(self, name: str, parent: str, own: str = "") -> str:
        if not _DISPLAY_NAME.fullmatch(name):
            raise invalid_argument("Request contains an invalid argument.", field="displayName")
        for folder in self._children(parent):
            if folder["name"] != own and folder["displayName"] == name and _active(folder):
                raise failed_precondition(f"A folder with the display name '{name}' is in {parent} already.")
        return name

    def _changed(self, folder: Json, **changes: str) -> Json:
        folder |= {"updateTime": clock.timestamp(), "etag": clock.new_etag().strip('"'), **changes}
        self._resources.folders.put(folder["name"], folder)
        return folder

    def _operation(self, call: Call, folder: Json, metadata: str = "") -> Json:
        return start(self._context, call, "cf", _work({"@type": _TYPE + "Folder", **folder}), metadata)


def start(
    context: Context, call: Call, kind: str, work: Coroutine[Any, Any, Json], metadata: str = ""
) -> Json:
    """Starts an operation as this API names them; ``metadata`` is the type of its metadata, which is empty."""
    name = f"operations/{kind}.{10**18 + secrets.randbelow(8 * 10**18)}"
    return context.operations.start(
        name,
        fallible(work),
        key=call.method.id,
        metadata={"@type": _TYPE + metadata} if metadata else None,
    )


async def _work(response: Json) -> Json:
    return response


def _active(folder: Json) -> bool:
    return bool(folder["state"] == "ACTIVE")


def _organization(call: Call, organization: Json) -> Json:
    if not call.method.path.startswith("v1/"):
        return organization
    return {
        "name": organization["name"],
        "displayName": organization["displayName"],
        "owner": {"directoryCustomerId": organization["directoryCustomerId"]},
        "creationTime": organization["createTime"],
        "lifecycleState": organization["state"],
    }
