"""Cloud Resource Manager v1 and v3: projects and their IAM policies.

Sources: https://cloud.google.com/resource-manager/reference/rest/v1/projects and v3/projects. There is no organisation, so
projects are neither made nor deleted through the API: a seed makes them.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.engine.policies import Policies
from gcp_emulator.engine.service import Call, Service, handles

_TERM = re.compile(r"""(?P<key>[A-Za-z.]+)\s*[:=]\s*(?P<value>"[^"]*"|[^\s"]+)""")
_KEYS = {
    "id": "projectId",
    "projectid": "projectId",
    "name": "displayName",
    "displayname": "displayName",
    "state": "state",
    "lifecyclestate": "state",
    "projectnumber": "projectNumber",
}


class _ProjectPolicies(Policies):
    """Of projects, which the engine has found before."""

    async def set(self, call: Call) -> Json:
        if "policy" not in call.body:
            raise invalid_argument("Missing required field: policy", field="policy")
        return await super().set(call)


class ResourceManager(Service):
    """The engine refuses unknown projects with 403 before anything here runs, as Google does."""

    api = "cloudresourcemanager"
    versions = ("v1", "v3")

    def policies(self) -> Iterable[Policies]:
        return [_ProjectPolicies("cloudresourcemanager.projects", self.context.projects.find, self._name)]

    @handles("cloudresourcemanager.projects.get")
    async def get_project(self, call: Call) -> Json:
        return self._view(call, self._project(call))

    @handles("cloudresourcemanager.projects.list")
    async def list_projects(self, call: Call) -> Json:
        if call.params.get("parent"):
            raise invalid_argument("The emulator's projects have no parent; leave `parent` out.")
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
            and _matches(project, query)
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

    @staticmethod
    def _view(call: Call, project: Mapping[str, Any]) -> Json:
        if call.method.path.startswith("v1/"):
            return {
                "projectNumber": project["projectNumber"],
                "projectId": project["projectId"],
                "lifecycleState": project["state"],
                "name": project["displayName"],
                "createTime": project["createTime"],
            }
        return {
            "name": f"projects/{project['projectNumber']}",
            "projectId": project["projectId"],
            "state": project["state"],
            "displayName": project["displayName"],
            "createTime": project["createTime"],
            "updateTime": project["createTime"],
            "etag": f'W/"{project["projectNumber"]}"',
        }


def _matches(project: Mapping[str, Any], query: str | None) -> bool:
    """Whether the project fits every ``key:value`` of a query (``*`` matches any text, letter case does not matter)."""
    if not query:
        return True
    terms = list(_TERM.finditer(query))
    rest = re.sub(r"\bAND\b", "", _TERM.sub("", query)).strip()
    if rest or not terms:
        raise invalid_argument(f"Request contains an invalid argument: filter {query!r} at {rest!r}.")
    for term in terms:
        key = _KEYS.get(term["key"].lower())
        if key is None:
            raise invalid_argument(f"The emulator does not filter projects by {term['key']}.")
        if not fnmatch.fnmatchcase(project[key].lower(), term["value"].strip('"').lower()):
            return False
    return True
