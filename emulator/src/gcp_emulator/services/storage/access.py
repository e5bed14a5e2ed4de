"""Who may do what with a bucket and its objects, in Cloud Storage's order and words: 404 for the bucket, then 401 or 403."""

from __future__ import annotations

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.iam import Iam
from gcp_emulator.engine.identity import Identity
from gcp_emulator.services.storage.acls import Acls
from gcp_emulator.services.storage.buckets import Buckets, is_uniform, resource_name
from gcp_emulator.services.storage.errors import denied


class Access:
    """Permission checks. An identity of None is an anonymous caller."""

    def __init__(self, iam: Iam, buckets: Buckets, acls: Acls) -> None:
        self._iam = iam
        self._buckets = buckets
        self._acls = acls

    def allows(self, identity: Identity | None, permission: str, bucket: str) -> bool:
        """Whether the caller has ``permission`` on an existing bucket."""
        if identity is None and self._acls.prevents_public(self._buckets.get(bucket)):
            return False
        return self._iam.allows(identity, permission, resource_name(bucket))

    def allows_on(self, identity: Identity | None, permission: str, record: Json) -> bool:
        """Whether the caller has ``permission`` on an object: on its bucket, or by the object's own list."""
        if self.allows(identity, permission, record["bucket"]):
            return True
        bucket = self._buckets.get(record["bucket"])
        return not is_uniform(bucket) and self._acls.allow(
            identity, permission, bucket, record.get("acl", [])
        )

    def require(self, identity: Identity | None, permission: str, bucket: str) -> Json:
        """The bucket's record, or NoBucketError, or 401/403."""
        record = self._buckets.get(bucket)
        if not self.allows(identity, permission, bucket):
            listing = permission == "storage.objects.list"
            kind = "object" if permission.startswith("storage.objects.") and not listing else "bucket"
            raise denied(identity, permission, kind)
        return record

    def require_on_project(self, identity: Identity | None, permission: str, project: str) -> None:
        """401 or 403 unless the caller has ``permission`` on the project."""
        if not self._iam.allows(identity, permission, f"projects/{project}"):
            raise denied(identity, permission, "project")
