"""The metadata server of a virtual machine: metadata that changes while it runs, what it publishes of itself, and OS Login.

Sources: https://cloud.google.com/compute/docs/metadata/querying-metadata (``recursive``, ``alt``, ``wait_for_change``, ``last_etag``, ``timeout_sec``),
https://cloud.google.com/compute/docs/metadata/manage-guest-attributes, https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys, and of OS
Login https://github.com/GoogleCloudPlatform/guest-oslogin (src/oslogin_utils.cc: paths, parameters, and what of an answer is read). JSON has names without
hyphens, as https://github.com/GoogleCloudPlatform/guest-agent reads them (metadata/metadata.go). Assumed: texts of refusals, and that a path that is not
there is not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from typing import Any

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json
from gcp_emulator.front.messages import BodyTooLargeError, Request, Response
from gcp_emulator.services.metadata.instance import (
    AccountTokens,
    InstanceMetadata,
    find,
    is_recursive,
    json_text,
    not_found,
    text,
)
from gcp_emulator.services.metadata.ports import Told
from gcp_emulator.services.oslogin.ports import LoginProfiles, LoginUser
from gcp_emulator.workloads.machines import Guest

#: The longest value of a guest attribute, in bytes.
_VALUE = 256 * 1024
#: Folders whose names are somebody's own.
_OWN_NAMES = ("attributes", "guest-attributes")


class MachineMetadata(InstanceMetadata):
    """Answers one machine."""

    server = "Metadata Server for VM"

    def __init__(self, context: Context, tokens: AccountTokens | None, told: Told, guest: Guest) -> None:
        super().__init__(tokens, {})
        self._context = context
        self._told = told
        self._guest = guest
        self._project = told.path.split("/")[1]

    async def answer(self, request: Request, parts: list[str], query: dict[str, str]) -> Response:
        """See `InstanceMetadata`."""
        if parts[:1] == ["oslogin"] and request.method == "GET":
            return self._os_login(parts[1:], query) or not_found(request.path)
        if parts[:2] == ["instance", "guest-attributes"]:
            if self._guest.metadata.get("enable-guest-attributes", "").upper() != "TRUE":
                return text("Guest attributes endpoint access is disabled.\n", 403)
            if request.method in ("PUT", "DELETE"):
                return await self._publish(request, parts[2:])
        if request.method != "GET":
            return text("Only GET is answered here.\n", 405)
        tree = self.tree()
        if token := await self.token(parts, query, tree):
            return token
        if query.get("wait_for_change", "").lower() == "true":
            tree = await self._changed(parts, query)
        return self._value(tree, parts, request.path, query)

    def tree(self) -> Json:
        """All that the machine is told now."""
        account = {"aliases": ["default"], "email": self._told.account, "scopes": list(self._told.scopes)}
        accounts = {"default": account, self._told.account: account} if self._told.account else {}
        number = int(self._context.projects.number(self._project))
        return {
            "instance": {
                "attributes": dict(self._guest.metadata),
                "guest-attributes": {space: dict(one) for space, one in self._guest.attributes.items()},
                "service-accounts": accounts,
                **self._told.describe(),
            },
            "project": {"attributes": {}, "numeric-project-id": number, "project-id": self._project},
        }

    def _value(self, tree: Json, parts: list[str], path: str, query: dict[str, str]) -> Response:
        node = find(tree, parts)
        recursive = is_recursive(query)
        as_json = query.get("alt", "json" if recursive else "text").lower() == "json"
        if node is not None and as_json and (recursive or not isinstance(node, dict)):
            response = json_text(_in_json(node, own=bool(set(parts) & set(_OWN_NAMES))))
        elif isinstance(node, list) and parts == ["instance", "tags"]:
            response = text(json.dumps(node, separators=(",", ":")))
        else:
            response = self.node(tree, parts, path, recursive=recursive)
        response.headers.set("ETag", _etag(node))
        return response

    async def _changed(self, parts: list[str], query: dict[str, str]) -> Json:
        """The tree in which something is otherwise below this path than in the answer with ``last_etag``, or than now; what is there when time is out."""
        tree = self.tree()
        known = query.get("last_etag") or _etag(find(tree, parts))
        seconds = query.get("timeout_sec", "")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(int(seconds) if seconds.isdecimal() else None):
                while (node := find(tree, parts)) is not None and _etag(node) == known:
                    await self._guest.changed()
                    tree = self.tree()
        return tree

    async def _publish(self, request: Request, parts: list[str]) -> Response:
        if len(parts) != 2:
            return text("A guest attribute has a namespace and a key.\n", 400)
        namespace, key = parts
        if request.method == "DELETE":
            self._guest.withdraw(namespace, key)
            return text("")
        try:
            value = (await request.read(_VALUE)).decode()
        except (BodyTooLargeError, UnicodeDecodeError) as error:
            return text(f"The value of a guest attribute is text of at most {_VALUE} bytes: {error}.\n", 400)
        self._guest.publish(namespace, key, value)
        return text("")

    # ---------------------------------------------------------------- OS Login

    def _os_login(self, parts: list[str], query: dict[str, str]) -> Response | None:
        # Asked for when it is needed, because OS Login may ask Compute Engine for the instance.
        logins = self._context.ports.find(LoginProfiles)
        if parts == ["authorize"]:
            may = logins.may_log_in(query.get("email", ""), self._told.path)
            wanted = {"login": ("login", "admin"), "adminLogin": ("admin",)}
            return json_text({"success": may in wanted.get(query.get("policy", ""), ())})
        if parts != ["users"]:
            return None
        users = list(logins.users(self._project))
        for name in ("username", "uid"):
            if name in query:
                users = [one for one in users if str(getattr(one, name)) == query[name]]
                if not users:
                    return None
        return json_text({"loginProfiles": [_profile(one) for one in users], "nextPageToken": "0"})


def _profile(user: LoginUser) -> Json:
    account = {
        "primary": True,
        "username": user.username,
        "uid": str(user.uid),
        "gid": str(user.gid),
        "homeDirectory": user.home_directory,
        "shell": "/bin/bash",
        "operatingSystemType": "LINUX",
    }
    keys = {hashlib.sha256(key.encode()).hexdigest(): key for key in user.ssh_keys}
    return {
        "name": user.email,
        "posixAccounts": [account],
        "sshPublicKeys": {digest: {"key": key, "fingerprint": digest} for digest, key in keys.items()},
    }


def _etag(node: Any) -> str:
    return hashlib.sha256(json.dumps(node, sort_keys=True).encode()).hexdigest()[:16]


def _in_json(node: Any, *, own: bool = False) -> Any:
    """A tree as JSON shows it: folders that are numbered are lists, and names have no hyphens, but those that are somebody's ``own``."""
    if not isinstance(node, dict):
        return node
    if node and not own and all(name.isdecimal() for name in node):
        return [_in_json(one) for one in node.values()]
    return {
        name if own or "@" in name else _camel(name): _in_json(one, own=own or name in _OWN_NAMES)
        for name, one in node.items()
    }


def _camel(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(part.capitalize() for part in others)
