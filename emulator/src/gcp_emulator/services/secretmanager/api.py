"""Secret Manager v1: secrets, versions, payloads, IAM.

Source: https://cloud.google.com/secret-manager/docs/reference/rest (texts as its clients show them).
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Iterable

import google_crc32c

from gcp_emulator.engine import clock, masks
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.describe import Page, Section, View
from gcp_emulator.engine.errors import Json, already_exists, failed_precondition, invalid_argument, not_found
from gcp_emulator.engine.labels import label_problem
from gcp_emulator.engine.policies import Policies
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.services.secretmanager.describe import describe
from gcp_emulator.services.secretmanager.ports import Secrets

_SECRET_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_MUTABLE = frozenset(
    {
        "labels",
        "annotations",
        "expireTime",
        "ttl",
        "rotation",
        "topics",
        "versionAliases",
        "versionDestroyTtl",
    }
)
_MAX_PAYLOAD = 65536
#: The timers of versions that end when their secret's ``versionDestroyTtl`` has passed.
_DESTROY = "secretmanager.destroy"


class SecretManager(Service):
    api = "secretmanager"
    page = Page("/secrets", "Secrets")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        context.ports.offer(Secrets, self)
        self._constraints = context.ports.find(Constraints)
        self._secrets = context.store.collection("secretmanager.secrets")
        self._versions = context.store.collection("secretmanager.versions")
        context.timers.handle(_DESTROY, self._destroy)

    async def describe(self, view: View) -> Section | None:
        return None if view.part else describe(self._secrets, self._versions, view)

    def hidden(self) -> Iterable[bytes]:
        return (base64.b64decode(record.get("data") or "") for _, record in self._versions.items())

    def policies(self) -> Iterable[Policies]:
        return [Policies("secretmanager.projects.secrets", self.secret)]

    def secret(self, name: str) -> Json:
        """The secret, or NOT_FOUND."""
        secret = self._secrets.get(name)
        if secret is None:
            raise not_found(f"Secret [{self._public(name)}] not found.")
        return secret

    def version(self, name: str) -> tuple[str, Json]:
        """Canonical name and record of a version, ``latest`` and aliases resolved; NOT_FOUND."""
        parent, _, number = name.rpartition("/versions/")
        secret = self.secret(parent)
        number = str(secret.get("versionAliases", {}).get(number, number))
        if number == "latest":
            number = str(secret["lastVersion"])
        record = self._versions.get(f"{parent}/versions/{number}")
        if record is None:
            raise not_found(f"Secret Version [{self._public(parent)}/versions/{number}] not found.")
        return f"{parent}/versions/{number}", record

    def payload(self, name: str) -> bytes:
        """The bytes of an enabled version; NOT_FOUND or FAILED_PRECONDITION. Permissions are the caller's business."""
        canonical, record = self.version(name)
        if record["state"] != "ENABLED":
            raise failed_precondition(
                f"Secret Version [{self._public(canonical)}] is in {record['state']} state."
            )
        return base64.b64decode(record["data"])

    def _public(self, name: str) -> str:
        project, _, rest = name.removeprefix("projects/").partition("/")
        return f"projects/{self.context.projects.number(project)}/{rest}"

    def _secret_view(self, name: str, record: Json) -> Json:
        return {"name": self._public(name)} | {k: v for k, v in record.items() if k != "lastVersion"}

    def _version_view(self, name: str, record: Json) -> Json:
        return {"name": self._public(name)} | {k: v for k, v in record.items() if k != "data"}

    @handles("secretmanager.projects.secrets.create")
    async def create_secret(self, call: Call) -> Json:
        secret_id = call.params.get("secretId", "")
        if not _SECRET_ID.fullmatch(secret_id):
            raise invalid_argument(
                f"The provided Secret ID [{secret_id}] does not match the expected format [[a-zA-Z_0-9]+]"
            )
        name = f"{call.params['parent']}/secrets/{secret_id}"
        if name in self._secrets:
            raise already_exists(f"Secret [{self._public(name)}] already exists.")
        locations = [replica["location"] for replica in _replicas(call.body)] or ["global"]
        self._constraints.require_location(name.split("/")[1], "secret", locations)
        if call.body.get("versionAliases"):
            raise invalid_argument("Aliases cannot be assigned to versions that don't exist")
        record = {
            **_settled(call.body),
            "createTime": clock.timestamp(),
            "etag": clock.new_etag(),
            "lastVersion": 0,
        }
        self._secrets.put(name, record)
        return self._secret_view(name, record)

    @handles("secretmanager.projects.secrets.get")
    async def get_secret(self, call: Call) -> Json:
        return self._secret_view(call.params["name"], self.secret(call.params["name"]))

    @handles("secretmanager.projects.secrets.list")
    async def list_secrets(self, call: Call) -> Json:
        if call.params.get("filter"):
            raise failed_precondition("gcp-emulator does not filter secrets; nothing was listed.")
        found = [self._secret_view(n, r) for n, r in self._secrets.items(call.params["parent"] + "/secrets/")]
        return call.page(found, "secrets", default=25000) | {"totalSize": len(found)}

    @handles("secretmanager.projects.secrets.patch")
    async def update_secret(self, call: Call) -> Json:
        name = call.params["name"]
        record = self.secret(name)
        self._check_etag(call.body.get("etag"), record)
        paths = masks.parse_mask(call.params.get("updateMask"), body=call.body, mutable=_MUTABLE)
        record = _settled(masks.apply_mask(record, call.body, paths)) | {"etag": clock.new_etag()}
        aliased = {f"{name}/versions/{number}" for number in record.get("versionAliases", {}).values()}
        if not aliased <= set(self._versions.names(name + "/versions/")):
            raise invalid_argument("Aliases cannot be assigned to versions that don't exist")
        self._secrets.put(name, record)
        return self._secret_view(name, record)

    @handles("secretmanager.projects.secrets.delete")
    async def delete_secret(self, call: Call) -> Json:
        name = call.params["name"]
        self._check_etag(call.params.get("etag"), self.secret(name))
        for version in self._versions.names(name + "/versions/"):
            self.context.timers.cancel(_DESTROY, version)
            self._versions.delete(version)
        self._secrets.delete(name)
        self.context.iam.forget(name)
        return {}

    @handles("secretmanager.projects.secrets.addVersion")
    async def add_version(self, call: Call) -> Json:
        parent = call.params["parent"]
        secret = self.secret(parent)
        data = base64.b64decode(call.body["payload"]["data"].replace("-", "+").replace("_", "/"))
        if len(data) > _MAX_PAYLOAD:
            raise invalid_argument(f"The secret payload is larger than the maximum of {_MAX_PAYLOAD} bytes.")
        checksum = call.body["payload"].get("dataCrc32c")
        if checksum is not None and int(checksum) != google_crc32c.value(data):
            raise invalid_argument(
                "The secret payload does not match its checksum.", field="payload.data_crc32c"
            )
        secret["lastVersion"] += 1
        replicas = [{"location": replica["location"]} for replica in _replicas(secret)]
        record: Json = {
            **({"clientSpecifiedPayloadChecksum": True} if checksum is not None else {}),
            "createTime": clock.timestamp(),
            "state": "ENABLED",
            "replicationStatus": {"userManaged": {"replicas": replicas}} if replicas else {"automatic": {}},
            "etag": clock.new_etag(),
            "data": base64.b64encode(data).decode(),
        }
        name = f"{parent}/versions/{secret['lastVersion']}"
        self._versions.put(name, record)
        self._secrets.put(parent, secret)
        return self._version_view(name, record)

    @handles("secretmanager.projects.secrets.versions.list")
    async def list_versions(self, call: Call) -> Json:
        parent = call.params["parent"]
        self.secret(parent)
        found = sorted(
            self._versions.items(parent + "/versions/"), key=lambda item: -int(item[0].rpartition("/")[2])
        )
        views = [self._version_view(name, record) for name, record in found]
        return call.page(views, "versions", default=25000) | {"totalSize": len(views)}

    @handles("secretmanager.projects.secrets.versions.get")
    async def get_version(self, call: Call) -> Json:
        return self._version_view(*self.version(call.params["name"]))

    @handles("secretmanager.projects.secrets.versions.access")
    async def access_version(self, call: Call) -> Json:
        data = self.payload(call.params["name"])
        name, _ = self.version(call.params["name"])
        return {
            "name": self._public(name),
            "payload": {
                "data": base64.b64encode(data).decode(),
                "dataCrc32c": str(google_crc32c.value(data)),
            },
        }

    @handles("secretmanager.projects.secrets.versions.enable")
    async def enable_version(self, call: Call) -> Json:
        return self._set_state(call, "ENABLED")

    @handles("secretmanager.projects.secrets.versions.disable")
    async def disable_version(self, call: Call) -> Json:
        return self._set_state(call, "DISABLED")

    @handles("secretmanager.projects.secrets.versions.destroy")
    async def destroy_version(self, call: Call) -> Json:
        return self._set_state(call, "DESTROYED")

    def _set_state(self, call: Call, state: str) -> Json:
        name, record = self.version(call.params["name"])
        self._check_etag(call.body.get("etag"), record)
        if record["state"] == "DESTROYED":
            raise failed_precondition(f"Secret Version [{self._public(name)}] is already in DESTROYED state.")
        # Whatever is said of a version that waits for its end saves it; only to destroy it again hastens nothing.
        record.pop("scheduledDestroyTime", None)
        self.context.timers.cancel(_DESTROY, name)
        delay = self.secret(name.partition("/versions/")[0]).get("versionDestroyTtl")
        if state == "DESTROYED" and delay:
            due = clock.now() + datetime.timedelta(seconds=clock.seconds(delay))
            record |= {"state": "DISABLED", "scheduledDestroyTime": clock.timestamp(due)}
            self.context.timers.set(_DESTROY, name, due)
        else:
            record["state"] = state
            if state == "DESTROYED":
                record |= {"data": "", "destroyTime": clock.timestamp()}
        record["etag"] = clock.new_etag()
        self._versions.put(name, record)
        return self._version_view(name, record)

    async def _destroy(self, name: str, body: Json) -> None:
        """The end of a version that was scheduled."""
        if record := self._versions.get(name):
            record.pop("scheduledDestroyTime", None)
            now = clock.timestamp()
            record |= {"state": "DESTROYED", "data": "", "destroyTime": now, "etag": clock.new_etag()}
            self._versions.put(name, record)

    @staticmethod
    def _check_etag(given: str | None, record: Json) -> None:
        if given and given != record["etag"]:
            raise failed_precondition(
                f"The etag provided [{given}] does not match the etag of the current state of the resource."
            )


def _settled(secret: Json) -> Json:
    """The secret as it is kept: when it expires for how long it lives, without what is input only. INVALID_ARGUMENT.

    Texts: https://github.com/kyma-project/test-infra/pull/13626 and
    https://github.com/GoogleCloudPlatform/k8s-config-connector/blob/master/mockgcp/mocksecretmanager/secrets.go.
    """
    if problem := label_problem(secret.get("labels", {})):
        raise invalid_argument(problem)
    kept = {key: value for key, value in secret.items() if key not in ("ttl", "tags")}
    if ttl := secret.get("ttl"):
        kept["expireTime"] = clock.timestamp(clock.now() + datetime.timedelta(seconds=clock.seconds(ttl)))
    if rotation := kept.get("rotation"):
        if rotation.get("rotationPeriod") and not rotation.get("nextRotationTime"):
            raise invalid_argument("Next rotation time must be set while the rotation period is set.")
        if not kept.get("topics"):
            raise invalid_argument(
                "There must be at least one topic configured when a Rotation policy is set."
            )
    return kept


def _replicas(secret: Json) -> list[Json]:
    """Where the versions of a secret are kept; none when Google chooses."""
    replicas: list[Json] = secret.get("replication", {}).get("userManaged", {}).get("replicas", [])
    return replicas
