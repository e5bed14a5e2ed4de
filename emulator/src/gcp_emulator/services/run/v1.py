"""Cloud Run Admin API v1, the Knative form that gcloud speaks: a projection of what v2 stores and does.

``namespaces/PROJECT/...`` has no location: the host says it (``REGION-run.googleapis.com``); the host without a region
answers lists of every region. Source: discovery document run.v1, "Cloud Run Admin API" (service endpoints).

A resource's ``resourceVersion`` is its etag; permissions are those of the v2 methods that do the work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gcp_emulator.engine import discovery
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, invalid_argument, not_found
from gcp_emulator.engine.facts import load_facts, read_yaml
from gcp_emulator.engine.policies import Policies
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.engine.store import Collection
from gcp_emulator.engine.validate import BodyValidator
from gcp_emulator.front.messages import Response
from gcp_emulator.services.run import records, v1_spec, v1_view
from gcp_emulator.services.run.api import CloudRun
from gcp_emulator.services.run.names import TYPE, Name, short

_REGION = re.compile(
    r"(?P<region>[a-z]+-[a-z]+\d+)-run\.googleapis\.com|run\.(?P<endpoint>[a-z]+-[a-z]+\d+)\.rep\.googleapis\.com"
)
_EVERY_REGION = "-"
_PARENTS = {"services": "", "revisions": "services", "jobs": "", "executions": "jobs", "tasks": "jobs"}


@dataclass(frozen=True)
class _Kind:
    """One kind of resource: where v2 keeps it, its methods there, and how v1 shows it."""

    records: Collection
    methods: str
    show: Callable[[str, Json], Json]
    api: str


class CloudRunV1(Service):
    """https://REGION-run.googleapis.com/apis/... and https://run.googleapis.com/v1."""

    api = "run"
    versions = ("v1",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._run = context.ports.find(CloudRun)
        self._handlers = self._run.handlers()
        self._v2 = discovery.load("run", "v2")
        self._validator = BodyValidator(self._v2.schemas, {})

    def policies(self) -> Iterable[Policies]:
        return self._run.policies()

    def canonical(self, path: dict[str, str]) -> dict[str, str]:
        """Namespaces are projects: the engine then finds the project, by id or number."""
        return {key: re.sub(r"^namespaces/", "projects/", value) for key, value in path.items()}

    # ---------------------------------------------------------------- services

    @handles("run.namespaces.services.list", "run.projects.locations.services.list")
    async def list_services(self, call: Call) -> Json:
        return self._list(call, "services")

    @handles("run.namespaces.services.get")
    async def get_service(self, call: Call) -> Json:
        return self._get(call, "services")

    @handles("run.namespaces.services.create")
    async def create_service(self, call: Call) -> Json:
        name = self._declared_name(call, v1_view.SERVING, "Service")
        params = {"parent": self._location(call), "serviceId": name, **_validate_only(call)}
        return await self._declare(call, "services", "create", params, v1_spec.service_to_v2(call.body))

    @handles("run.namespaces.services.replaceService")
    async def replace_service(self, call: Call) -> Json:
        self._declared_name(call, v1_view.SERVING, "Service")
        body = {**v1_spec.service_to_v2(call.body), **_etag(call)}
        params = {
            "name": self._full_name(call, "services"),
            "updateMask": "*",
            "forceNewRevision": v1_spec.wants_new_revision(call.body),
            **_validate_only(call),
        }
        return await self._declare(call, "services", "patch", params, body)

    @handles("run.namespaces.services.delete")
    async def delete_service(self, call: Call) -> Json:
        return await self._delete(call, "services")

    # ---------------------------------------------------------------- revisions

    @handles("run.namespaces.revisions.list")
    async def list_revisions(self, call: Call) -> Json:
        return self._list(call, "revisions")

    @handles("run.namespaces.revisions.get")
    async def get_revision(self, call: Call) -> Json:
        return self._get(call, "revisions")

    @handles("run.namespaces.revisions.delete")
    async def delete_revision(self, call: Call) -> Json:
        return await self._delete(call, "revisions")

    # ---------------------------------------------------------------- jobs

    @handles("run.namespaces.jobs.list")
    async def list_jobs(self, call: Call) -> Json:
        return self._list(call, "jobs")

    @handles("run.namespaces.jobs.get")
    async def get_job(self, call: Call) -> Json:
        return self._get(call, "jobs")

    @handles("run.namespaces.jobs.create")
    async def create_job(self, call: Call) -> Json:
        name = self._declared_name(call, v1_view.RUN, "Job")
        params = {"parent": self._location(call), "jobId": name, **_validate_only(call)}
        return await self._declare(call, "jobs", "create", params, v1_spec.job_to_v2(call.body))

    @handles("run.namespaces.jobs.replaceJob")
    async def replace_job(self, call: Call) -> Json:
        self._declared_name(call, v1_view.RUN, "Job")
        body = {**v1_spec.job_to_v2(call.body), **_etag(call)}
        params = {"name": self._full_name(call, "jobs"), **_validate_only(call)}
        return await self._declare(call, "jobs", "patch", params, body)

    @handles("run.namespaces.jobs.delete")
    async def delete_job(self, call: Call) -> Json:
        return await self._delete(call, "jobs")

    @handles("run.namespaces.jobs.run")
    async def run_job(self, call: Call) -> Json:
        overrides = call.body.get("overrides")
        body = {"overrides": v1_spec.overrides_to_v2(overrides)} if overrides else {}
        operation = await self._do(call, "jobs.run", {"name": self._full_name(call, "jobs")}, body)
        return self._shown("executions", operation["metadata"]["name"])

    # ---------------------------------------------------------------- executions and tasks

    @handles("run.namespaces.executions.list")
    async def list_executions(self, call: Call) -> Json:
        return self._list(call, "executions")

    @handles("run.namespaces.executions.get")
    async def get_execution(self, call: Call) -> Json:
        return self._get(call, "executions")

    @handles("run.namespaces.executions.cancel")
    async def cancel_execution(self, call: Call) -> Json:
        name = self._full_name(call, "executions")
        await self._do(call, "jobs.executions.cancel", {"name": name}, {})
        return self._shown("executions", name)

    @handles("run.namespaces.executions.delete")
    async def delete_execution(self, call: Call) -> Json:
        return await self._delete(call, "executions")

    @handles("run.namespaces.tasks.list")
    async def list_tasks(self, call: Call) -> Json:
        return self._list(call, "tasks")

    @handles("run.namespaces.tasks.get")
    async def get_task(self, call: Call) -> Json:
        return self._get(call, "tasks")

    # ---------------------------------------------------------------- locations and operations

    @handles("run.projects.locations.list")
    async def list_locations(self, call: Call) -> Json:
        project = call.params["name"]
        regions = sorted(read_yaml("services/run/facts.yaml")["regions"])
        found = [{"name": f"{project}/locations/{region}", "locationId": region} for region in regions]
        return call.page(found, "locations")

    @handles("run.projects.locations.operations.get")
    async def get_operation(self, call: Call) -> Json:
        return self._operation(await self._run.get_operation(call))

    @handles("run.projects.locations.operations.list")
    async def list_operations(self, call: Call) -> Json:
        page = await self._run.list_operations(call)
        return {**page, "operations": [self._operation(one) for one in page.get("operations", ())]}

    @handles("run.projects.locations.operations.wait")
    async def wait_operation(self, call: Call) -> Json:
        return self._operation(await self._run.wait_operation(call))

    def _operation(self, operation: Json) -> Json:
        """The operation with v1's Service in it, which gcloud shows when it has waited."""
        shown = dict(operation)
        for field in ("metadata", "response"):
            view = operation.get(field, {})
            if view.get("@type") == f"{TYPE}Service":
                projected = v1_view.service(view, self._number(view["name"]))
                shown[field] = {"@type": TYPE.replace("v2", "v1") + "Service", **projected}
        return shown

    # ---------------------------------------------------------------- helpers

    def _kind(self, kind: str) -> _Kind:
        run = self._run
        serving, jobs = v1_view.SERVING, v1_view.RUN
        return {
            "services": _Kind(run.services.declared, "services", self._show_service, serving),
            "revisions": _Kind(run.services.revisions, "services.revisions", self._show_revision, serving),
            "jobs": _Kind(run.jobs.jobs, "jobs", self._show_job, jobs),
            "executions": _Kind(run.jobs.executions, "jobs.executions", self._show_execution, jobs),
            "tasks": _Kind(run.jobs.tasks, "jobs.executions.tasks", self._show_task, jobs),
        }[kind]

    def _show_service(self, name: str, record: Json) -> Json:
        return v1_view.service(records.view(name, record), self._number(name))

    def _show_revision(self, name: str, record: Json) -> Json:
        owner = str(Name.of(name))
        active = name in self._run.services.reachable(owner)
        return v1_view.revision(records.view(name, record), self._number(name), active=active)

    def _show_job(self, name: str, record: Json) -> Json:
        return v1_view.job(records.view(name, record), self._number(name))

    def _show_execution(self, name: str, record: Json) -> Json:
        return v1_view.execution({"name": name, **record}, self._number(name))

    def _show_task(self, name: str, record: Json) -> Json:
        return v1_view.task({"name": name, **record}, self._number(name))

    def _number(self, name: str) -> str:
        return self.context.projects.number(Name.of(name).project)

    def _shown(self, kind: str, name: str) -> Json:
        found = self._kind(kind)
        return found.show(name, records.found(found.records, name))

    def _region(self, call: Call) -> str:
        """The region that the request is for: the path's, else the host's, else every one."""
        if found := re.search(r"/locations/([^/]+)", call.params.get("parent", "")):
            return found[1]
        host = _REGION.fullmatch(call.request.host)
        return (host["region"] or host["endpoint"]) if host else _EVERY_REGION

    def _location(self, call: Call) -> str:
        """``projects/PROJECT/locations/REGION``, or INVALID_ARGUMENT at the host that has no region."""
        region = self._region(call)
        if region == _EVERY_REGION:
            raise invalid_argument(
                f"The host {call.request.host} does not say a region; use REGION-run.googleapis.com."
            )
        project = (call.params.get("name") or call.params["parent"]).split("/")[1]
        return f"projects/{project}/locations/{region}"

    def _full_name(self, call: Call, kind: str) -> str:
        """The v2 name of a resource, which for what belongs to a service or a job names that too. NOT_FOUND without one."""
        location, name = self._location(call), short(call.params["name"])
        if kind in ("services", "jobs"):
            return f"{location}/{kind}/{name}"
        for full in self._kind(kind).records.names(f"{location}/"):
            if full.endswith(f"/{kind}/{name}"):
                return full
        raise not_found(f"{kind.capitalize()[:-1]} '{name}' was not found in '{location}'.")

    def _declared_name(self, call: Call, api: str, kind: str) -> str:
        """The name in the body, which must be of the right kind, project and, when there is one, path."""
        metadata = call.body.get("metadata", {})
        project = (call.params.get("name") or call.params["parent"]).split("/")[1]
        for field, given, allowed in (
            ("apiVersion", call.body.get("apiVersion"), [api]),
            ("kind", call.body.get("kind"), [kind]),
            (
                "metadata.namespace",
                metadata.get("namespace"),
                [project, self.context.projects.number(project)],
            ),
        ):
            if given not in allowed:
                raise invalid_argument(f"{field}: must be '{allowed[0]}'; got '{given or ''}'.", field=field)
        name = str(metadata.get("name", ""))
        if not name or ("name" in call.params and name != short(call.params["name"])):
            raise invalid_argument(
                f"metadata.name: must be the name of the resource; got '{name}'.", field="metadata.name"
            )
        return name

    async def _do(self, call: Call, method: str, params: Json, body: Json | None) -> Json:
        """What the v2 method does, with its permissions and validation."""
        chosen = self._v2.methods[f"run.projects.locations.{method}"]
        for permission in load_facts(self.api).methods[chosen.id].permissions:
            call.require(permission, params.get("name") or params["parent"])
        if body is not None and chosen.request is not None:
            body = self._validator.validate(chosen.request, body)
        answer = await self._handlers[chosen.id](
            replace(call, method=chosen, params=params, body=body or {}, raw_body=body or {})
        )
        if isinstance(answer, Response):
            raise TypeError(f"{chosen.id} answers with more than JSON")
        return answer

    async def _declare(self, call: Call, kind: str, verb: str, params: Json, body: Json) -> Json:
        """Create or replace; the answer names the operation, which gcloud waits for."""
        operation = await self._do(call, f"{kind}.{verb}", params, body)
        view = operation["metadata"]
        if not operation["done"]:  # the metadata tell how it is to be, v1 how it is
            view = records.view(view["name"], records.found(self._kind(kind).records, view["name"]))
        shown = {"services": v1_view.service, "jobs": v1_view.job}[kind](view, self._number(view["name"]))
        if kind == "services" and not operation["done"]:
            shown["metadata"]["annotations"]["run.googleapis.com/operation-id"] = short(operation["name"])
        return shown

    async def _delete(self, call: Call, kind: str) -> Json:
        params = {"name": self._full_name(call, kind), **_validate_only(call)}
        await self._do(call, f"{self._kind(kind).methods}.delete", params, None)
        return {"status": "Success", "details": {"name": short(params["name"]), "kind": kind}}

    def _get(self, call: Call, kind: str) -> Json:
        found = self._kind(kind)
        name = self._full_name(call, kind)
        for permission in (
            load_facts(self.api).methods[f"run.projects.locations.{found.methods}.get"].permissions
        ):
            call.require(permission, name)
        return found.show(name, records.found(found.records, name))

    def _list(self, call: Call, kind: str) -> Json:
        found = self._kind(kind)
        project = call.params["parent"].split("/")[1]
        region = self._region(call)
        location = f"projects/{project}/locations/{region}"
        for permission in (
            load_facts(self.api).methods[f"run.projects.locations.{found.methods}.list"].permissions
        ):
            call.require(permission, location)
        prefix = f"{location.removesuffix(_EVERY_REGION)}{'' if region == _EVERY_REGION else '/'}"
        shown = [found.show(name, record) for name, record in found.records.items(prefix)]
        shown = v1_view.selected(shown, call.params.get("labelSelector", ""))
        paging = replace(
            call, params={"limit": call.params.get("limit"), "pageToken": call.params.get("continue")}
        )
        page = paging.page(shown, "items", size_parameter="limit")
        metadata = {"continue": page["nextPageToken"]} if "nextPageToken" in page else {}
        kind_name = f"{kind[:-1].capitalize()}List"
        return {
            "apiVersion": found.api,
            "kind": kind_name,
            "metadata": metadata,
            "items": page.get("items", []),
        }


def _validate_only(call: Call) -> Json:
    """``dryRun=all`` is v2's ``validateOnly``."""
    asked = call.params.get("dryRun", "")
    if asked not in ("", "all"):
        raise invalid_argument(f"dryRun: must be 'all' or empty; got '{asked}'.", field="dryRun")
    return {"validateOnly": True} if asked else {}


def _etag(call: Call) -> Json:
    version = call.body.get("metadata", {}).get("resourceVersion")
    return {"etag": f'"{version}"'} if version else {}
