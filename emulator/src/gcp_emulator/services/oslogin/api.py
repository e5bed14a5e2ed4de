"""OS Login v1: the POSIX accounts and the public keys of users and service accounts, and who may log in to which machine.

Sources: https://cloud.google.com/compute/docs/oslogin/rest/v1/users; names of accounts and roles:
https://cloud.google.com/compute/docs/oslogin/set-up-oslogin. Certificates (signSshPublicKey) are not emulated.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Callable, Iterable
from typing import ClassVar, Literal

from gcp_emulator.engine import masks
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import (
    ErrorStyle,
    Json,
    already_exists,
    invalid_argument,
    not_found,
    permission_denied,
)
from gcp_emulator.engine.identity import Identity, identity_of
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.engine.validate import is_number
from gcp_emulator.services.cloudresourcemanager.ports import Hierarchy
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.oslogin.ports import LoginProfiles, LoginUser

_HOST = "oslogin.googleapis.com"
_MUTABLE = frozenset({"expirationTimeUsec"})
_KEY = re.compile(r"(?P<type>[a-z0-9@.-]+) (?P<blob>[A-Za-z0-9+/]+={0,2})( .*)?")
#: Longer names of users are cut, because Linux has none (https://github.com/GoogleCloudPlatform/compute-image-packages/pull/624). That Google cuts
#: them, and not the guest, is assumed.
_USERNAME = 32
#: The lowest number of an account; those below belong to the system. Which numbers Google gives is assumed.
_FIRST_UID = 2**16


class OsLogin(Service):
    api = "oslogin"
    error_style: ClassVar[ErrorStyle] = "rpc"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._accounts = context.ports.find(Accounts)
        self._hierarchy = context.ports.find(Hierarchy)
        #: By ``EMAIL/FINGERPRINT``.
        self._keys = context.store.collection("oslogin.sshPublicKeys")
        #: By ``EMAIL/PROJECT``.
        self._posix = context.store.collection("oslogin.posixAccounts")
        self._accounts_of: Callable[[str], Iterable[str] | None] = lambda path: None
        context.ports.offer(LoginProfiles, self)

    # For the emulator's other services.

    def look_at_instances(self, accounts_of: Callable[[str], Iterable[str] | None]) -> None:
        """Asks ``accounts_of`` from now on for the e-mail addresses of the service accounts of an instance; None where there is no such one."""
        self._accounts_of = accounts_of

    def users(self, project: str) -> Iterable[LoginUser]:
        """Those who have a POSIX account in a project, by e-mail address."""
        for name, account in self._posix.items():
            email, _, where = name.rpartition("/")
            if where == project:
                yield LoginUser(
                    account["username"],
                    int(account["uid"]),
                    int(account["gid"]),
                    account["homeDirectory"],
                    tuple(key["key"] for key in self._keys_of(email)),
                    email,
                )

    def may_log_in(self, email: str, instance_path: str) -> Literal["", "login", "admin"]:
        """As what somebody may log in to an instance: by roles/compute.osLogin or osAdminLogin, and, where the instance has a service account, the right
        to act as that; who is of another organisation needs roles/compute.osLoginExternalUser in this one, too."""
        identity, allows = identity_of(email), self.context.iam.allows
        emails = self._accounts_of(instance_path)
        if emails is None:
            return ""
        admin = allows(identity, "compute.instances.osAdminLogin", instance_path)
        if not admin and not allows(identity, "compute.instances.osLogin", instance_path):
            return ""
        for account in map(self._accounts.find, emails):
            if account is None or not allows(identity, "iam.serviceAccounts.actAs", account["name"]):
                return ""
        project = instance_path.split("/")[1]
        if self._is_external(identity, project) and not allows(
            identity, "compute.oslogin.updateExternalUser", f"projects/{project}"
        ):
            return ""
        return "admin" if admin else "login"

    # ---------------------------------------------------------------- profiles

    @handles("oslogin.users.getLoginProfile")
    async def get_profile(self, call: Call) -> Json:
        caller = self._own(call, call.params["name"])
        return self._profile(caller, self._project(call))

    @handles("oslogin.users.importSshPublicKey")
    async def import_key(self, call: Call) -> Json:
        """Adds a key, or gives one that is there another expiry; and makes the POSIX account in the project."""
        caller, project = self._own(call, call.params["parent"]), self._project(call)
        key = _checked(call.body)
        self._keys.put(f"{caller.email}/{key['fingerprint']}", key)
        if project:
            self._provision(caller, project)
        return {"loginProfile": self._profile(caller, project)}

    @handles("oslogin.users.projects.provisionPosixAccount")
    async def provision(self, call: Call) -> Json:
        user, _, project = call.params["name"].partition("/projects/")
        return self._provision(self._own(call, user), project)

    @handles("oslogin.users.projects.delete")
    async def delete_account(self, call: Call) -> Json:
        user, _, project = call.params["name"].partition("/projects/")
        if not self._posix.delete(f"{self._own(call, user).email}/{project}"):
            raise not_found(f"POSIX account of project {project} was not found.")
        return {}

    def _profile(self, caller: Identity, project: str) -> Json:
        accounts = [
            account
            for name, account in self._posix.items(f"{caller.email}/")
            if project in ("", name.rpartition("/")[2])
        ]
        keys = {key["fingerprint"]: _shown(caller.email, key) for key in self._keys_of(caller.email)}
        return {"name": self._accounts.unique_id(caller), "posixAccounts": accounts, "sshPublicKeys": keys}

    def _provision(self, caller: Identity, project: str) -> Json:
        name = f"{caller.email}/{project}"
        found = self._posix.get(name)
        if found is not None:
            return found
        digest = hashlib.sha256(caller.email.encode()).digest()
        number = str(_FIRST_UID + int.from_bytes(digest) % (2**31 - _FIRST_UID))
        username = self._username(caller, project)
        account = {
            "primary": True,
            "username": username,
            "uid": number,
            "gid": number,
            "homeDirectory": f"/home/{username}",
            "operatingSystemType": "LINUX",
            "gecos": "",
            "accountId": project,
            "name": f"users/{caller.email}/projects/{project}",
        }
        self._posix.put(name, account)
        return account

    def _username(self, caller: Identity, project: str) -> str:
        if caller.kind == "serviceAccount":
            return f"sa_{self._accounts.unique_id(caller)}"
        name = re.sub(r"[^a-z0-9_-]", "_", caller.email.lower())
        return (f"ext_{name}" if self._is_external(caller, project) else name)[:_USERNAME]

    def _is_external(self, caller: Identity, project: str) -> bool:
        """Whether a user is of another organisation than the project; nobody is where that is in none."""
        domain = self._hierarchy.domain(f"projects/{project}")
        return caller.kind == "user" and domain not in ("", caller.email.partition("@")[2])

    # ---------------------------------------------------------------- keys

    @handles("oslogin.users.sshPublicKeys.create")
    async def create_key(self, call: Call) -> Json:
        caller = self._own(call, call.params["parent"])
        key = _checked(call.body)
        if any(one["fingerprint"] == key["fingerprint"] for one in self._keys_of(caller.email)):
            raise already_exists(f"SSH public key {key['fingerprint']} already exists.")
        self._keys.put(f"{caller.email}/{key['fingerprint']}", key)
        return _shown(caller.email, key)

    @handles("oslogin.users.sshPublicKeys.get")
    async def get_key(self, call: Call) -> Json:
        return _shown(*self._found(call))

    @handles("oslogin.users.sshPublicKeys.patch")
    async def patch_key(self, call: Call) -> Json:
        email, key = self._found(call)
        paths = masks.parse_mask(call.params.get("updateMask"), body=call.body, mutable=_MUTABLE)
        changed = _checked(masks.apply_mask(key, call.body, paths))
        self._keys.put(f"{email}/{key['fingerprint']}", changed)
        return _shown(email, changed)

    @handles("oslogin.users.sshPublicKeys.delete")
    async def delete_key(self, call: Call) -> Json:
        email, key = self._found(call)
        self._keys.delete(f"{email}/{key['fingerprint']}")
        return {}

    def _keys_of(self, email: str) -> list[Json]:
        """The keys that have not expired."""
        return [key for _, key in self._keys.items(f"{email}/") if not _has_expired(key)]

    def _found(self, call: Call) -> tuple[str, Json]:
        """The e-mail address of the caller and the key that a call names; NOT_FOUND, PERMISSION_DENIED."""
        user, _, fingerprint = call.params["name"].partition("/sshPublicKeys/")
        email = self._own(call, user).email
        key = self._keys.get(f"{email}/{fingerprint}")
        if key is None or _has_expired(key):
            raise not_found(f"SSH public key {fingerprint} was not found.")
        return email, key

    # ---------------------------------------------------------------- both

    def _own(self, call: Call, user: str) -> Identity:
        """The caller, whose own ``users/USER`` has to be, by e-mail address or number; PERMISSION_DENIED."""
        given = user.removeprefix("users/")
        if given not in (call.caller.email, self._accounts.unique_id(call.caller)):
            raise permission_denied("oslogin.users.update", user)
        return call.caller

    def _project(self, call: Call) -> str:
        """The id of the project that a call names, "" for none; PERMISSION_DENIED."""
        given = str(call.params.get("projectId") or "")
        if not given:
            return ""
        found = self.context.projects.find(given)
        if found is None:
            raise permission_denied("resourcemanager.projects.get", f"projects/{given}")
        self.context.projects.require_enabled(found["projectId"], _HOST, "Cloud OS Login API")
        return str(found["projectId"])


def _checked(key: Json) -> Json:
    """A key as it is stored; INVALID_ARGUMENT for what is none, or has expired. The fingerprint is that of the key itself, in hexadecimal digits."""
    text = " ".join(str(key.get("key", "")).split())
    found = _KEY.fullmatch(text)
    blob = _decoded(found["blob"]) if found else b""
    if found is None or not blob[4:].startswith(found["type"].encode()):
        raise invalid_argument("The SSH public key is invalid.", field="key")
    stored = {"key": text, "fingerprint": hashlib.sha256(blob).hexdigest()}
    expiry = str(key.get("expirationTimeUsec") or "0")
    if expiry == "0":
        return stored
    if not is_number(expiry) or _has_expired({"expirationTimeUsec": expiry}):
        raise invalid_argument("The expiration time has to be in the future.", field="expirationTimeUsec")
    return stored | {"expirationTimeUsec": expiry}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _has_expired(key: Json) -> bool:
    return "expirationTimeUsec" in key and int(key["expirationTimeUsec"]) <= time.time() * 1e6


def _shown(email: str, key: Json) -> Json:
    return key | {"name": f"users/{email}/sshPublicKeys/{key['fingerprint']}"}
