"""IAM v1: service accounts, their keys and policies; predefined and custom roles.

Source: https://cloud.google.com/iam/docs/reference/rest. Workload identity pools are not emulated.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote

from gcp_emulator.engine import masks
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.describe import Page, Section, View
from gcp_emulator.engine.errors import (
    ApiError,
    Json,
    aborted,
    constraint_violated,
    failed_precondition,
    invalid_argument,
    not_found,
)
from gcp_emulator.engine.iam_roles import role_names
from gcp_emulator.engine.jwt import PublicKey
from gcp_emulator.engine.policies import Policies
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.engine.tables import Table
from gcp_emulator.services.iam.accounts import ServiceAccounts
from gcp_emulator.services.iam.custom_roles import ROLES, CustomRoles
from gcp_emulator.services.iam.describe import describe
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.iam.roles import role_view
from gcp_emulator.services.orgpolicy.ports import Constraints

_MUTABLE = frozenset({"displayName", "description"})
_NO_KEYS = "iam.disableServiceAccountKeyCreation"
_LIMITS = {"displayName": 100, "description": 256}


class IamApi(Service):
    api = "iam"
    error_style = "both"
    page = Page("/access", "Access")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._constraints = context.ports.find(Constraints)
        self.accounts = ServiceAccounts(context, self._constraints)
        context.ports.offer(Accounts, self.accounts)
        self._custom_roles = CustomRoles(context)
        context.iam.vouch_for(self._exists)

    def canonical(self, path: dict[str, str]) -> dict[str, str]:
        return {name: self.accounts.canonical(value) for name, value in path.items()}

    async def describe(self, view: View) -> Section | None:
        if view.part:
            return None
        grants = self.context.iam.policies_of(view.project)
        return describe(self.accounts.of_project(view.project), grants)

    def parts(self) -> Iterable[object]:
        return self, self._custom_roles

    def tables(self) -> Iterable[Table]:
        return [ROLES]

    def policies(self) -> Iterable[Policies]:
        return [Policies("iam.projects.serviceAccounts", self.accounts.get)]

    def _exists(self, member: str, service: str) -> bool:
        """Service accounts of the emulator's own projects must exist; Google's agents always do."""
        email = member.partition(":")[2]
        project = email.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
        return self.context.projects.find(project) is None or self.accounts.knows(email, service)

    @handles("iam.projects.serviceAccounts.create")
    async def create_account(self, call: Call) -> Json:
        fields = call.body.get("serviceAccount", {})
        _check_lengths(fields)
        return self.accounts.create(
            call.params["name"].removeprefix("projects/"),
            call.body.get("accountId", ""),
            display_name=fields.get("displayName", ""),
            description=fields.get("description", ""),
        )

    @handles("iam.projects.serviceAccounts.get")
    async def get_account(self, call: Call) -> Json:
        return self.accounts.get(call.params["name"])

    @handles("iam.projects.serviceAccounts.list")
    async def list_accounts(self, call: Call) -> Json:
        return call.page(
            self.accounts.of_project(call.params["name"].removeprefix("projects/")), "accounts", default=20
        )

    @handles("iam.projects.serviceAccounts.patch")
    async def patch_account(self, call: Call) -> Json:
        record = self.accounts.get(call.params["name"])
        fields = call.body.get("serviceAccount", {})
        if not call.body.get("updateMask"):
            raise invalid_argument("The update mask must not be empty.", field="update_mask")
        paths = masks.parse_mask(call.body["updateMask"], body=fields, mutable=_MUTABLE)
        return self._update(record, {path: fields.get(path, "") for path in paths}, fields.get("etag"))

    @handles("iam.projects.serviceAccounts.update")
    async def update_account(self, call: Call) -> Json:
        record = self.accounts.get(call.params["name"])
        return self._update(record, {"displayName": call.body.get("displayName", "")}, call.body.get("etag"))

    def _update(self, record: Json, changes: Json, etag: str | None) -> Json:
        if etag and etag != record["etag"]:
            raise aborted(f"The etag {etag} is not the current one of {record['name']}; read it again.")
        _check_lengths(changes)
        return self.accounts.update(record | changes)

    @handles("iam.projects.serviceAccounts.delete")
    async def delete_account(self, call: Call) -> Json:
        self.accounts.delete(self.accounts.get(call.params["name"]))
        return {}

    @handles("iam.projects.serviceAccounts.undelete")
    async def undelete_account(self, call: Call) -> Json:
        return {"restoredAccount": self.accounts.undelete(call.params["name"].rpartition("/")[2])}

    @handles("iam.projects.serviceAccounts.disable")
    async def disable_account(self, call: Call) -> Json:
        self.accounts.set_disabled(self.accounts.get(call.params["name"]), disabled=True)
        return {}

    @handles("iam.projects.serviceAccounts.enable")
    async def enable_account(self, call: Call) -> Json:
        self.accounts.set_disabled(self.accounts.get(call.params["name"]), disabled=False)
        return {}

    @handles("iam.projects.serviceAccounts.keys.create")
    async def create_key(self, call: Call) -> Json:
        account = self.accounts.get(call.params["name"])
        if account["disabled"]:
            raise failed_precondition(f"Service account {account['email']} is disabled.")
        if self._constraints.enforces(account["projectId"], _NO_KEYS):
            raise _keys_refused(account)
        algorithm = call.body.get("keyAlgorithm", "KEY_ALG_UNSPECIFIED")
        kind = call.body.get("privateKeyType", "TYPE_UNSPECIFIED")
        if algorithm == "KEY_ALG_RSA_1024" or kind == "TYPE_PKCS12_FILE":
            raise invalid_argument(
                "The emulator makes 2048 bit RSA keys as TYPE_GOOGLE_CREDENTIALS_FILE only.",
                field="private_key_type",
            )
        name, record, private = await self.accounts.keys.make_user_key(account["name"])
        credentials = json.dumps(_credentials_file(account, record["id"], private), indent=2).encode()
        view = _key_view(name, record)
        return view | {
            "privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE",
            "privateKeyData": base64.b64encode(credentials).decode(),
        }

    @handles("iam.projects.serviceAccounts.keys.list")
    async def list_keys(self, call: Call) -> Json:
        account = self.accounts.get(call.params["name"])
        await self.accounts.keys.signing_key(account["name"])
        wanted = call.params.get("keyTypes") or ["USER_MANAGED", "SYSTEM_MANAGED"]
        found = [
            _key_view(n, r) for n, r in self.accounts.keys.records(account["name"]) if r["keyType"] in wanted
        ]
        return {"keys": found} if found else {}

    @handles("iam.projects.serviceAccounts.keys.get")
    async def get_key(self, call: Call) -> Json:
        name, record = self._key(call)
        view = _key_view(name, record)
        kind = call.params.get("publicKeyType", "TYPE_NONE")
        if kind == "TYPE_X509_PEM_FILE":
            view["publicKeyData"] = base64.b64encode(record["certificate"].encode()).decode()
        elif kind == "TYPE_RAW_PUBLIC_KEY":
            pem = PublicKey(record["id"], record["certificate"]).pem
            view["publicKeyData"] = base64.b64encode(pem).decode()
        return view

    @handles("iam.projects.serviceAccounts.keys.delete")
    async def delete_key(self, call: Call) -> Json:
        name, record = self._key(call)
        if record["keyType"] == "SYSTEM_MANAGED":
            raise failed_precondition("System-managed keys cannot be deleted.")
        self.accounts.keys.delete(name)
        return {}

    @handles("iam.projects.serviceAccounts.keys.disable")
    async def disable_key(self, call: Call) -> Json:
        name, record = self._key(call)
        self.accounts.keys.put(name, record | {"disabled": True})
        return {}

    @handles("iam.projects.serviceAccounts.keys.enable")
    async def enable_key(self, call: Call) -> Json:
        name, record = self._key(call)
        self.accounts.keys.put(name, record | {"disabled": False})
        return {}

    def _key(self, call: Call) -> tuple[str, Json]:
        name = call.params["name"]
        self.accounts.get(name.partition("/keys/")[0])
        record = self.accounts.keys.get(name)
        if record is None:
            # https://github.com/GoogleCloudPlatform/k8s-config-connector/blob/master/mockgcp/mockiam/serviceaccountkeys.go
            raise not_found("Unknown service account key")
        return name, record

    @handles("iam.roles.get")
    async def get_role(self, call: Call) -> Json:
        return role_view(call.params["name"], full=True)

    @handles("iam.roles.list")
    async def list_roles(self, call: Call) -> Json:
        full = call.params.get("view") == "FULL"
        return call.page([role_view(name, full=full) for name in role_names()], "roles", default=300)


def _check_lengths(fields: Json) -> None:
    for name, limit in _LIMITS.items():
        if len(fields.get(name, "").encode()) > limit:
            raise invalid_argument(f"The {name} of a service account has at most {limit} bytes.", field=name)


def _keys_refused(account: Json) -> ApiError:
    return constraint_violated(
        _NO_KEYS,
        "Key creation is not allowed on this service account.",
        subject=f"{account['name']}?configvalue={quote(account['email'])}",
    )


def _key_view(name: str, record: Json) -> Json:
    view = {
        "name": name,
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": record["keyType"],
        "validAfterTime": record["validAfterTime"],
        "validBeforeTime": record["validBeforeTime"],
    }
    if record.get("disabled"):
        view |= {"disabled": True, "disableReason": "SERVICE_ACCOUNT_KEY_DISABLE_REASON_USER_INITIATED"}
    return view


def _credentials_file(account: Json, key_id: str, private: str) -> Json:
    """The file of https://cloud.google.com/iam/docs/keys-create-delete#creating."""
    email = account["email"]
    return {
        "type": "service_account",
        "project_id": account["projectId"],
        "private_key_id": key_id,
        "private_key": private,
        "client_email": email,
        "client_id": account["uniqueId"],
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{email.replace('@', '%40')}",
        "universe_domain": "googleapis.com",
    }
