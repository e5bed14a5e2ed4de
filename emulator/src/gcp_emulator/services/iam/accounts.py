"""Service accounts as records: found by e-mail, unique id or resource name; created, deleted, brought back.

Source: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, already_exists, failed_precondition, invalid_argument, not_found
from gcp_emulator.engine.identity import Identity, identity_of
from gcp_emulator.engine.jwt import PublicKey, SigningKey
from gcp_emulator.services.iam.keys import KeyRing
from gcp_emulator.services.orgpolicy.ports import Constraints

_NAME = re.compile(r"projects/(?P<project>[^/]+)/serviceAccounts/(?P<id>[^/]+)(?P<rest>/.*)?")
_ACCOUNT_ID = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])")
_DOMAIN = ".iam.gserviceaccount.com"


class ServiceAccounts:
    """The service accounts of all projects, and their keys."""

    def __init__(self, context: Context, constraints: Constraints) -> None:
        self._context = context
        self._constraints = constraints
        #: By e-mail; the engine looks here to tell whether a policy member exists.
        self._accounts = context.store.collection("iam.serviceAccounts")
        self._emails = {record["uniqueId"]: email for email, record in self._accounts.items()}
        #: By unique id, for undelete.
        self._deleted = context.store.collection("iam.deletedServiceAccounts")
        self.keys = KeyRing(context.store)

    def find(self, email_or_id: str) -> Json | None:
        """The record of an account by e-mail or unique id."""
        return self._accounts.get(self._emails.get(email_or_id, email_or_id))

    def knows(self, email: str, service: str) -> bool:
        """Whether a service that is told the account finds it."""
        return email in self._accounts and self._context.iam.propagation.has_reached((email,), service)

    def get(self, name: str) -> Json:
        """The record of ``projects/P/serviceAccounts/EMAIL``; NOT_FOUND."""
        found = self._accounts.get(name.rpartition("/")[2])
        if found is None or found["name"] != name or not self.knows(found["email"], "iam"):
            raise not_found("Unknown service account")
        return found

    def active(self, email: str) -> Json:
        """The record of an account that may get tokens; NOT_FOUND, or FAILED_PRECONDITION when it is disabled."""
        found = self._accounts.get(email)
        if found is None:
            raise not_found(f"Not found; Gaia id not found for email {email}")
        if found.get("disabled"):
            raise failed_precondition(f"Service account {email} is disabled.")
        return found

    def of_project(self, project: str) -> list[Json]:
        """The accounts of a project, by e-mail."""
        return [account for _, account in self._accounts.items() if account["projectId"] == project]

    def create(self, project: str, account_id: str, *, display_name: str = "", description: str = "") -> Json:
        """A new account ``ACCOUNT_ID@PROJECT.iam.gserviceaccount.com``; ALREADY_EXISTS, INVALID_ARGUMENT."""
        if not 6 <= len(account_id) <= 30:
            raise invalid_argument(
                f'The account ID "{account_id}" does not have a length between 6 and 30.', field="account_id"
            )
        if not _ACCOUNT_ID.fullmatch(account_id):
            raise invalid_argument(
                f'The account ID "{account_id}" does not match the pattern "[a-z]([-a-z0-9]*[a-z0-9])".',
                field="account_id",
            )
        email = f"{account_id}@{project}{_DOMAIN}"
        if email in self._accounts:
            raise already_exists(
                f"Service account {account_id} already exists within project projects/{project}."
            )
        self._context.iam.propagation.begin((email,), "iam.serviceAccounts.propagation", "unknown_account")
        return self._add(project, email, display_name, description)

    def ensure_default(self, project: str) -> None:
        """The Compute Engine default service account of a project, which Google makes by itself."""
        email = f"{self._context.projects.number(project)}-compute@developer.gserviceaccount.com"
        if email not in self._accounts:
            self._add(project, email, "Compute Engine default service account", "")
            if not self._constraints.enforces(project, "iam.automaticIamGrantsForDefaultServiceAccounts"):
                self._context.iam.add_binding(
                    f"projects/{project}", "roles/editor", f"serviceAccount:{email}"
                )

    def _add(self, project: str, email: str, display_name: str, description: str) -> Json:
        unique_id = "1" + "".join(secrets.choice("0123456789") for _ in range(20))
        record: Json = {
            "name": f"projects/{project}/serviceAccounts/{email}",
            "projectId": project,
            "uniqueId": unique_id,
            "email": email,
            "displayName": display_name,
            "description": description,
            "etag": clock.new_etag().strip('"'),
            "oauth2ClientId": unique_id,
            "disabled": False,
        }
        self._put(record)
        return record

    def _put(self, record: Json) -> None:
        self._accounts.put(record["email"], record)
        self._emails[record["uniqueId"]] = record["email"]

    def update(self, record: Json) -> Json:
        """Stores a changed record under a new etag."""
        record["etag"] = clock.new_etag().strip('"')
        self._put(record)
        return record

    def set_disabled(self, record: Json, disabled: bool) -> None:
        """Disables (ends its tokens) or enables an account."""
        record["disabled"] = disabled
        self.update(record)
        if disabled:
            self._context.tokens.revoke_all(identity_of(record["email"]))

    def delete(self, record: Json) -> None:
        """Deletes an account: its tokens end, policies keep it as a ``deleted:`` member."""
        email, unique_id = record["email"], record["uniqueId"]
        self._accounts.delete(email)
        self._emails.pop(unique_id, None)
        self._deleted.put(unique_id, record)
        self._context.tokens.revoke_all(identity_of(email))
        self._context.iam.forget(record["name"])
        self._context.iam.mark_member_deleted(f"serviceAccount:{email}", unique_id)
        self.keys.forget(record["name"])

    def undelete(self, unique_id: str) -> Json:
        """Brings a deleted account back with its grants; NOT_FOUND, or ALREADY_EXISTS when its e-mail is taken again."""
        record = self._deleted.get(unique_id)
        if record is None:
            raise not_found(f"Service account {unique_id} does not exist.")
        if record["email"] in self._accounts:
            raise already_exists(f"Service account {record['email']} already exists.")
        self._deleted.delete(unique_id)
        self._put(record)
        self._context.iam.restore_member(f"serviceAccount:{record['email']}", unique_id)
        return record

    def canonical(self, name: str) -> str:
        """``projects/P/serviceAccounts/EMAIL...`` for any spelling of the account (``-`` as project, unique id)."""
        found = _NAME.fullmatch(name)
        if found is None:
            return name
        rest = found["rest"] or ""
        account = self.find(found["id"])
        given = self._context.projects.find(found["project"]) or {"projectId": found["project"]}
        if account is not None and given["projectId"] in ("-", account["projectId"]):
            return f"{account['name']}{rest}"
        project = found["id"].partition("@")[2].removesuffix(_DOMAIN)
        if found["project"] == "-" and self._context.projects.find(project) is not None:
            return f"projects/{project}/serviceAccounts/{found['id']}{rest}"
        return name

    def unique_id(self, identity: Identity) -> str:
        """The ``sub`` of an identity's tokens: a number that stays the same."""
        account = self.find(identity.email)
        if account is not None:
            return str(account["uniqueId"])
        return "1" + str(int(hashlib.sha256(identity.email.encode()).hexdigest(), 16) % 10**20).zfill(20)

    async def signing_key(self, owner: str) -> SigningKey:
        """The key that Google manages for an account, or for itself (``GOOGLE``); made on first use."""
        return await self.keys.signing_key(owner)

    def public_keys(self, owner: str) -> list[PublicKey]:
        """What verifies the signatures of an account or of Google; empty when nothing was ever signed."""
        return self.keys.public_keys(owner)

    def public_keys_of(self, email: str) -> list[RSAPublicKey]:
        """The keys that verify what ``email`` signed (signBlob, or a downloaded key); empty when it signed nothing."""
        account = self.find(email)
        if account is None or account.get("disabled"):
            return []
        return [public.key for public in self.public_keys(account["name"])]
