"""``getIamPolicy``, ``setIamPolicy`` and ``testIamPermissions``: declared once for each type of resource that has a policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.facts import load_facts
from gcp_emulator.engine.service import Call, Handler
from gcp_emulator.engine.validate import camel


def _resource(call: Call) -> str:
    return str(call.params["resource"])


@dataclass(frozen=True)
class Policies:
    """The policies of one type of resource. Permissions are in the facts, as for every method."""

    #: What the three methods' ids begin with (``secretmanager.projects.secrets``).
    methods: str
    #: Raises ApiError NOT_FOUND unless there is a resource of this name; not asked when permissions are tested.
    require: Callable[[str], object]
    #: The resource that a call is about.
    name: Callable[[Call], str] = _resource

    def handlers(self) -> dict[str, Handler]:
        """Method id -> what answers it."""
        return {
            f"{self.methods}.getIamPolicy": self.get,
            f"{self.methods}.setIamPolicy": self.set,
            f"{self.methods}.testIamPermissions": self.test,
        }

    async def get(self, call: Call) -> Json:
        name = self.name(call)
        self.require(name)
        return call.context.iam.get_policy(name)

    async def set(self, call: Call) -> Json:
        name = self.name(call)
        self.require(name)
        service = self._permission.partition(".")[0]
        mask = call.body.get("updateMask") or "bindings,etag"
        fields = frozenset(camel(path.strip()) for path in mask.split(","))
        return call.context.iam.set_policy(name, call.body.get("policy", {}), fields, service=service)

    @property
    def _permission(self) -> str:
        """What the method setIamPolicy needs."""
        api = self.methods.partition(".")[0]
        return load_facts(api).methods[f"{self.methods}.setIamPolicy"].permissions[0]

    async def test(self, call: Call) -> Json:
        wanted = call.body.get("permissions", [])
        granted = call.context.iam.test_permissions(call.identity, wanted, self.name(call))
        return {"permissions": granted} if granted else {}
