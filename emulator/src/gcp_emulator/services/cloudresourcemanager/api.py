"""Cloud Resource Manager v1 and v3: projects and their IAM policies; folders and organisations are in `folders`.

Sources: https://cloud.google.com/resource-manager/reference/rest/v1/projects and v3/projects. Projects are neither made nor deleted
through the API: a seed makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.engine.policies import Policies
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.services.cloudresourcemanager.folders import Folders
from gcp_emulator.services.cloudresourcemanager.hierarchy import Resources
from gcp_emulator.services.cloudresourcemanager.ports import Hierarchy
from gcp_emulator.services.cloudresourcemanager.queries import matches

_KEYS = {
    "id": "projectId",
    "projectid": "projectId",
    "name": "displayName",
    "displayname": "displayName",
    "state": "state",
    "lifecyclestate": "state",
    "projectnumber": "projectNumber",
    "parent": "parent",
}


class _ResourcePolicies(Policies):
    """Of projects (which the engine has found before), folders and organisations."""

    async def set(self, call: Call) -> Json:
        if "policy" not in call.body:
            raise invalid_argument("Missing required field: policy", field="policy")
        return await super().set(call)


class ResourceManager(Service):
    """The engine refuses unknown projects with 403 before anything here runs, as Google does."""

    api = "cloudresourcemanager"
    versions = ("v1", "v3")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._resources = Resources(context)
        self._folders = Folders(context, self._resources)
        context.ports.offer(Hierarchy, self._resources)

    def parts(self) -> Iterable[object]:
        return self, self._folders

    def policies(self) -> Iterable[Policies]:
        return [
            _ResourcePolicies("cloudresourcemanager.projects", self.context.projects.find, self._name),
            _ResourcePolicies("cloudresourcemanager.folders", self._folders.folder),
            _ResourcePolicies("cloudresourcemanager.organizations", self._policy_of_organization),
        ]

    def _policy_of_organization(self, name: str) -> None:
        if not self._resources.open(name):
            self._folders.organization(name)

    @handles("cloudresourcemanager.projects.get")
    async def get_project(self, call: Call) -> Json:
        return self._view(call, self._project(call))

    @handles("cloudresourcemanager.projects.list")
    async def list_projects(self, call: Call) -> Json:
        if parent := call.params.get("parent"):
            call.require("resourcemanager.projects.list", parent)
            return self._visible(call, f"parent:{parent}")
        return self._visible(call, call.params.get("filter"))

    @handles("cloudresourcemanager.projects.search")
    async def search_projects(self, call: Call) -> Json:
        return self._visible(call, call.params.get("query"))

    def _visible(self, call: Call, query: str | None) -> Json:
        found = [
            self._view(call, project)
            for project in self.context.projects.all()
            if self.context.iam.allows(
                call.identity, "resourcemanager.projects.get", f"projects/{project['projectId']}"
            )
            and matches({**project, "parent": self._parent(project)}, query, _KEYS)
        ]
        return call.page(found, "projects", default=500)

    def _project(self, call: Call) -> Mapping[str, Any]:
        project = self.context.projects.find(self._name(call).removeprefix("projects/"))
        if project is None:
            raise AssertionError("the engine lets no call for an unknown project through")
        return project

    @staticmethod
    def _name(call: Call) -> str:
        """``projects/ID`` of v3's ``name`` and ``resource`` and of v1's bare ids."""
        given = next(call.params[key] for key in ("name", "resource", "projectId") if key in call.params)
        return given if "/" in given else f"projects/{given}"

    @handles("cloudresourcemanager.projects.getAncestry")
    async def get_ancestry(self, call: Call) -> Json:
        project = self._project(call)
        above = list(self.context.iam.ancestors(f"projects/{project['projectId']}"))
        return {"ancestor": [{"resourceId": _resource_id(name)} for name in above]}

    def _parent(self, project: Mapping[str, Any]) -> str:
        return self._resources.above(f"projects/{project['projectId']}") or ""

    def _view(self, call: Call, project: Mapping[str, Any]) -> Json:
        parent = self._parent(project)
        if call.method.path.startswith("v1/"):
            return {
                **({"parent": _resource_id(parent)} if parent else {}),
                "projectNumber": project["projectNumber"],
                "projectId": project["projectId"],
                "lifecycleState": project["state"],
                "name": project["displayName"],
                "createTime": project["createTime"],
            }
        return {
            **({"parent": parent} if parent else {}),
            "name": f"projects/{project['projectNumber']}",
            "projectId": project["projectId"],
            "state": project["state"],
            "displayName": project["displayName"],
            "createTime": project["createTime"],
            "updateTime": project["createTime"],
            "etag": f'W/"{project["projectNumber"]}"',
        }


def _resource_id(name: str) -> Json:
    """``folders/1`` as version 1 has it."""
    kind, _, given = name.partition("/")
    return {"type": kind.removesuffix("s"), "id": given}
