"""Service Usage v1 and v1beta1: which APIs a project has enabled, and the service agents of these.

Source: https://cloud.google.com/service-usage/docs/reference/rest/v1/services and v1beta1/services. What can be enabled and what depends on what is
data in facts.yaml; what a new project starts with, in engine/projects.yaml.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Coroutine
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, error_info, failed_precondition, invalid_argument
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.faults import fallible
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.services.iam.ports import Accounts

_TYPE = "type.googleapis.com/google.api.serviceusage.v1."
_EMPTY = {"@type": "type.googleapis.com/google.protobuf.Empty"}
_FILTER = re.compile(r"\s*state\s*:\s*(ENABLED|DISABLED)\s*")
_MAX_BATCH_ENABLE = 20
_MAX_BATCH_GET = 30
_MAX_PAGE = 200


class ServiceUsage(Service):
    api = "serviceusage"
    versions = ("v1", "v1beta1")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._accounts = context.ports.find(Accounts)
        facts = read_yaml("services/serviceusage/facts.yaml")
        self._titles: dict[str, str] = facts["services"]
        self._agents: dict[str, str] = facts["agents"]
        self._depends_on: dict[str, list[str]] = facts["depends_on"]
        self._creates_default_account: frozenset[str] = frozenset(facts["creates_default_account"])

    @handles("serviceusage.services.list")
    async def list_services(self, call: Call) -> Json:
        project = _project(call.params["parent"])
        wanted = call.params.get("filter")
        if wanted and not (found := _FILTER.fullmatch(wanted)):
            raise invalid_argument(
                f"Invalid filter '{wanted}': the allowed filters are state:ENABLED and state:DISABLED.",
                field="filter",
            )
        if int(call.params.get("pageSize") or 0) > _MAX_PAGE:
            raise invalid_argument(f"page_size must not exceed {_MAX_PAGE}.", field="page_size")
        views = [self._view(project, name) for name in sorted(self._titles)]
        if wanted and found:
            views = [view for view in views if view["state"] == found[1]]
        return call.page(views, "services", default=50)

    @handles("serviceusage.services.get")
    async def get_service(self, call: Call) -> Json:
        project, name = _service(call.params["name"])
        self._check_known([name])
        return self._view(project, name)

    @handles("serviceusage.services.batchGet")
    async def batch_get(self, call: Call) -> Json:
        project = _project(call.params["parent"])
        names = call.params.get("names", [])
        if not 0 < len(names) <= _MAX_BATCH_GET:
            raise invalid_argument(f"names must hold 1 to {_MAX_BATCH_GET} services.", field="names")
        services = [_service(name)[1] for name in names]
        self._check_known(services)
        return {"services": [self._view(project, name) for name in services]}

    @handles("serviceusage.services.enable")
    async def enable(self, call: Call) -> Json:
        project, name = _service(call.params["name"])
        return self._enable(call, project, [name], batch=False)

    @handles("serviceusage.services.batchEnable")
    async def batch_enable(self, call: Call) -> Json:
        names = call.body["serviceIds"]
        if len(names) > _MAX_BATCH_ENABLE:
            raise invalid_argument(
                f"Number of services must not exceed the maximum batch size ({_MAX_BATCH_ENABLE}).",
                field="service_ids",
            )
        return self._enable(call, _project(call.params["parent"]), names, batch=True)

    @handles("serviceusage.services.disable")
    async def disable(self, call: Call) -> Json:
        project, name = _service(call.params["name"])
        self._check_known([name])
        dependents = [other for other in self._enabled(project) if name in self._depends_on.get(other, ())]
        if dependents and not call.body.get("disableDependentServices"):
            raise failed_precondition(
                f"The service {name} is depended on by the following active service(s): {','.join(dependents)}; "
                "Please specify disable_dependent_services=true if you want to proceed with disabling all services."
            )

        async def work() -> Json:
            for service in [name, *dependents]:
                self.context.projects.set_enabled(project, service, enabled=False)
            if _is_beta(call):
                return _EMPTY
            return {"@type": f"{_TYPE}DisableServiceResponse", "service": self._view(project, name)}

        return self._start(call, project, [name], work())

    @handles("serviceusage.services.generateServiceIdentity")
    async def generate_service_identity(self, call: Call) -> Json:
        project, name = _service(call.params["parent"])
        self._check_known([name])
        identity: Json = {"@type": "type.googleapis.com/google.api.serviceusage.v1beta1.ServiceIdentity"}
        # Some services have no agent that this method tells, as Compute Engine has.
        if agent := self._agents.get(name):
            email = agent.format(number=self.context.projects.number(project))
            digits = int(hashlib.sha256(email.encode()).hexdigest(), 16) % 10**20
            identity |= {"email": email, "uniqueId": str(10**20 + digits)}
        return {"name": "operations/finished.DONE_OPERATION", "done": True, "response": identity}

    @handles("serviceusage.operations.get")
    async def get_operation(self, call: Call) -> Json:
        return self.context.operations.get(call.params["name"])

    def _enable(self, call: Call, project: str, names: list[str], *, batch: bool) -> Json:
        self._check_known(names)

        def response() -> Json:
            if _is_beta(call):
                return _EMPTY
            views = [self._view(project, name) for name in names]
            if batch:
                return {"@type": f"{_TYPE}BatchEnableServicesResponse", "services": views}
            return {"@type": f"{_TYPE}EnableServiceResponse", "service": views[0]}

        if set(names) <= set(self._enabled(project)):
            return {"name": "operations/noop.DONE_OPERATION", "done": True, "response": response()}

        async def work() -> Json:
            for name in self._with_dependencies(names):
                self.context.projects.set_enabled(project, name, enabled=True)
                if name in self._creates_default_account:
                    self._accounts.ensure_default(project)
            return response()

        return self._start(call, project, names, work())

    def _start(self, call: Call, project: str, names: list[str], work: Coroutine[Any, Any, Json]) -> Json:
        number = self.context.projects.number(project)
        metadata = {
            "@type": f"{_TYPE}OperationMetadata",
            "resourceNames": [f"projects/{number}/services/{name}" for name in names],
        }
        name = f"operations/acat.p2-{number}-{clock.new_id()}"
        return self.context.operations.start(name, fallible(work), key=call.method.id, metadata=metadata)

    def _with_dependencies(self, names: list[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._depends_on.get(name, [])
        return found

    def _enabled(self, project: str) -> list[str]:
        return self.context.projects.enabled(project)

    def _check_known(self, names: list[str]) -> None:
        unknown = [name for name in names if name not in self._titles]
        if unknown:
            raise ApiError(
                "PERMISSION_DENIED",
                f"Not found or permission denied for service(s): {', '.join(unknown)}.",
                details=[
                    error_info(
                        "SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED",
                        "serviceusage.googleapis.com",
                        services=",".join(unknown),
                    )
                ],
            )

    def _view(self, project: str, name: str) -> Json:
        number = self.context.projects.number(project)
        state = "ENABLED" if self.context.projects.is_enabled(project, name) else "DISABLED"
        return {
            "name": f"projects/{number}/services/{name}",
            "parent": f"projects/{number}",
            "config": {"name": name, "title": self._titles[name]},
            "state": state,
        }


def _is_beta(call: Call) -> bool:
    return call.method.path.startswith("v1beta1/")


def _project(parent: str) -> str:
    kind, _, project = parent.partition("/")
    if kind != "projects":
        raise invalid_argument(f"The emulator knows projects only, not {parent}.", field="parent")
    return project


def _service(name: str) -> tuple[str, str]:
    parent, _, service = name.partition("/services/")
    return _project(parent), service
