"""The IAM policies of buckets: the only ones with errors of their own, and asked for by permission on the bucket."""

from __future__ import annotations

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.service import Call, Handler
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.services.storage.access import Access
from gcp_emulator.services.storage.acls import Acls
from gcp_emulator.services.storage.buckets import Buckets, resource_name
from gcp_emulator.services.storage.errors import condition_not_met, outsiders_refused


class BucketPolicies:
    """``getIamPolicy``, ``setIamPolicy`` and ``testIamPermissions`` of ``storage.buckets``."""

    def __init__(self, buckets: Buckets, access: Access, acls: Acls, constraints: Constraints) -> None:
        self._buckets = buckets
        self._access = access
        self._acls = acls
        self._constraints = constraints

    def handlers(self) -> dict[str, Handler]:
        """Method id -> what answers it."""
        return {
            "storage.buckets.getIamPolicy": self._get,
            "storage.buckets.setIamPolicy": self._set,
            "storage.buckets.testIamPermissions": self._test,
        }

    async def _get(self, call: Call) -> Json:
        name = call.params["bucket"]
        self._access.require(call.identity, "storage.buckets.getIamPolicy", name)
        return self._view(call, name)

    async def _set(self, call: Call) -> Json:
        name = call.params["bucket"]
        bucket = self._access.require(call.identity, "storage.buckets.setIamPolicy", name)
        resource, iam = resource_name(name), call.context.iam
        given = call.body.get("etag")
        if given and given != iam.get_policy(resource)["etag"]:
            raise condition_not_met()
        members = {member for b in call.body.get("bindings", []) for member in b.get("members", [])}
        self._acls.check_public(members, bucket)
        if self._constraints.outsiders(bucket["project"], iam.added_members(resource, call.body)):
            raise outsiders_refused()
        iam.set_policy(resource, call.body, service="storage")
        return self._view(call, name)

    async def _test(self, call: Call) -> Json:
        name = call.params["bucket"]
        self._buckets.get(name)
        wanted = call.params["permissions"]
        granted = call.context.iam.test_permissions(call.identity, wanted, resource_name(name))
        return {"kind": "storage#testIamPermissionsResponse"} | ({"permissions": granted} if granted else {})

    @staticmethod
    def _view(call: Call, name: str) -> Json:
        resource = resource_name(name)
        return {"kind": "storage#policy", "resourceId": resource, **call.context.iam.get_policy(resource)}
