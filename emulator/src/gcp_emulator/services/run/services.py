"""Services and revisions of Cloud Run: every change of the template becomes a revision that must start before it serves.

Sources: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services (fields, conditions),
"Rollbacks, gradual rollouts, and traffic migration" (traffic and tags), messages as gcloud and Terraform users quote them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from gcp_emulator.engine import clock, discovery, masks
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import (
    ApiError,
    Json,
    already_exists,
    failed_precondition,
    invalid_argument,
    not_found,
)
from gcp_emulator.engine.faults import Fault, fallible, operation_failure, striking
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.front.tasks import Tasks
from gcp_emulator.services.run import records, templates
from gcp_emulator.services.run.containers import Containers
from gcp_emulator.services.run.names import (
    Name,
    check_region,
    condition,
    hosts,
    log_uri,
    short,
    suffix,
    tagged,
)
from gcp_emulator.services.run.neighbours import Neighbours, Refusal
from gcp_emulator.workloads.autoscaler import RevisionPool
from gcp_emulator.workloads.instances import Instance, InstanceError
from gcp_emulator.workloads.sandbox.process import SandboxError, SandboxUnavailable

log = logging.getLogger(__name__)

LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
BY_REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
_MESSAGE = discovery.load("run", "v2").schemas["GoogleCloudRunV2Service"]["properties"]
_MUTABLE = frozenset(name for name, field in _MESSAGE.items() if not field.get("readOnly"))
_STOP_GRACE = 5.0
_GUIDANCE = "For more troubleshooting guidance, see https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start"


class ServicesApi:
    """``run.projects.locations.services`` and their revisions."""

    def __init__(self, context: Context, neighbours: Neighbours, containers: Containers) -> None:
        self.context = context
        self.neighbours = neighbours
        self.containers = containers
        self.services = context.store.collection("run.services")
        self.revisions = context.store.collection("run.revisions")
        self._pools: dict[str, RevisionPool] = {}
        #: Revisions that the fault ``revision_crashes`` struck, each with the requests that it serves before its container ends.
        self.crashes: dict[str, tuple[Fault, int]] = {}
        self._rollouts: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._background = Tasks()

    async def start(self) -> None:
        """After a start: revisions come back cold, minimum instances come up, unfinished rollouts go on."""
        for name, record in self.services.items():
            if record["status"]["reconciling"]:
                self._spawn(self._continue(name))
            else:
                self._route(name)

    async def stop(self) -> None:
        """End every instance."""
        await self._background.stop()
        await asyncio.gather(*(pool.close(_STOP_GRACE) for pool in self._pools.values()))
        self._pools.clear()

    # ---------------------------------------------------------------- methods: services

    @handles("run.projects.locations.services.create")
    async def create_service(self, call: Call) -> Json:
        name = records.new_name(call, "services", "serviceId")
        if str(name) in self.services:
            raise already_exists(f"Resource '{name.id}' already exists.")
        return self._apply(call, name, call.body, None)

    @handles("run.projects.locations.services.get")
    async def get_service(self, call: Call) -> Json:
        return records.view(call.params["name"], records.found(self.services, call.params["name"]))

    @handles("run.projects.locations.services.list")
    async def list_services(self, call: Call) -> Json:
        found = records.of_location(self.services, call.params["parent"], "services")
        return call.page([records.view(name, record) for name, record in found], "services")

    @handles("run.projects.locations.services.patch")
    async def update_service(self, call: Call) -> Json:
        name = Name.of(call.params["name"])
        record = self.services.get(str(name))
        if record is None:
            if not call.params.get("allowMissing"):
                records.found(self.services, str(name))
            call.require("run.services.create", name.location)
            templates.check_name(name.id, "service.name")
            check_region(name.region)
            return self._apply(call, name, call.body, None)
        records.check_etag(call.body.get("etag"), str(name), record)
        paths = masks.parse_mask(call.params.get("updateMask"), body=call.body, mutable=_MUTABLE)
        changed = masks.apply_mask(record["spec"], call.body, [p for p in paths if p not in ("name", "etag")])
        return self._apply(call, name, changed, record)

    @handles("run.projects.locations.services.delete")
    async def delete_service(self, call: Call) -> Json:
        name = Name.of(call.params["name"])
        record = records.found(self.services, str(name))
        records.check_etag(call.params.get("etag"), str(name), record)
        view = records.view(str(name), record) | {"deleteTime": clock.timestamp()}
        if call.params.get("validateOnly"):
            return records.validated(name, "Service", view)

        async def work() -> Json:
            async with self._rollouts[str(name)]:
                for revision in self.revisions.names(f"{name}/revisions/"):
                    await self._remove_revision(revision)
                self.services.delete(str(name))
                self.context.iam.forget(str(name))
            return view

        return records.operate(call, name, "Service", view, fallible(work()))

    # ---------------------------------------------------------------- methods: revisions

    @handles("run.projects.locations.services.revisions.get")
    async def get_revision(self, call: Call) -> Json:
        name = call.params["name"]
        if name.endswith("/revisions/-"):
            raise invalid_argument("name: a wildcard is not allowed here.", field="name")
        return self._revision_view(name, records.found(self.revisions, name))

    @handles("run.projects.locations.services.revisions.list")
    async def list_revisions(self, call: Call) -> Json:
        parent = call.params["parent"]
        prefix = parent.removesuffix("-") if parent.endswith("/services/-") else f"{parent}/revisions/"
        found = [self._revision_view(name, record) for name, record in self.revisions.items(prefix)]
        return records.page_of(call, "revisions", found)

    @handles("run.projects.locations.services.revisions.delete")
    async def delete_revision(self, call: Call) -> Json:
        full = call.params["name"]
        record = records.found(self.revisions, full)
        records.check_etag(call.params.get("etag"), full, record)
        name = Name.of(full)
        service = records.found(self.services, str(name))
        if full == service["status"].get("latestCreatedRevision") or full in self._reachable(
            str(name), service
        ):
            raise failed_precondition(
                f"Revision '{short(full)}' cannot be deleted: it is the latest created revision, receives traffic or has a tag."
            )
        view = self._revision_view(full, record) | {"deleteTime": clock.timestamp()}
        if call.params.get("validateOnly"):
            return records.validated(name, "Revision", view)

        async def work() -> Json:
            await self._remove_revision(full)
            return view

        return records.operate(call, name, "Revision", view, work())

    async def _remove_revision(self, revision: str) -> None:
        if pool := self._pools.pop(revision, None):
            await pool.close(_STOP_GRACE)
        record = records.found(self.revisions, revision)
        self.revisions.delete(revision)
        if "digest" in record:
            self.neighbours.release_image(record["digest"], revision)

    def _revision_view(self, name: str, record: Json) -> Json:
        return {"name": name, **record["spec"], **record["status"]}

    # ---------------------------------------------------------------- declaring

    def _apply(self, call: Call, name: Name, wanted: Json, record: Json | None) -> Json:
        """Check and store a declared service, and start its rollout."""
        wanted = {key: value for key, value in wanted.items() if key not in ("name", "etag")}
        spec = templates.with_service_defaults(wanted, self.neighbours.default_account(name.project))
        templates.check_service(spec)
        self._check_traffic_revisions(name, spec)
        template = spec["template"]
        new_revision = (
            record is None
            or _essence(template) != record["deployed"]
            or bool(call.params.get("forceNewRevision"))
        )
        if new_revision:
            self._check_revision_name(name, template)
            self.neighbours.require_act_as(call.identity, template["serviceAccount"], name.project)
            self.neighbours.require_image_access(call.identity, template["containers"][0]["image"])
        status = record["status"] if record else records.born(call)
        record = {"revisions": 0, "deployed": None, **(record or {}), "spec": spec, "status": status}
        if call.params.get("validateOnly"):
            return records.validated(name, "Service", records.view(str(name), record))
        if new_revision:
            record["deployed"] = None
        records.touch(status, call, generation=True)
        number = self.context.projects.number(name.project)
        addresses = [f"https://{host}" for host in hosts(name, number)]
        if spec.get("defaultUriDisabled"):
            addresses = []
        status |= {
            "reconciling": True,
            "urls": addresses,
            "terminalCondition": condition("Ready", "RECONCILING"),
            "conditions": [
                condition("RoutesReady", "RECONCILING"),
                condition("ConfigurationsReady", "RECONCILING"),
            ],
        }
        if addresses:
            status["uri"] = addresses[-1]
        else:
            status.pop("uri", None)
        self.services.put(str(name), record)
        return records.operate(call, name, "Service", records.view(str(name), record), self._rollout(name))

    def _check_revision_name(self, name: Name, template: Json) -> None:
        revision = template.get("revision")
        if not revision:
            return
        if not revision.startswith(f"{name.id}-") or len(revision) > 63:
            raise invalid_argument(
                f"template.revision: Revision name '{revision}' must begin with '{name.id}-' and have at most 63 characters.",
                field="template.revision",
            )
        if f"{name}/revisions/{revision}" in self.revisions:
            raise already_exists(f"Revision named '{revision}' with different configuration already exists.")

    def _check_traffic_revisions(self, name: Name, spec: Json) -> None:
        for target in spec["traffic"]:
            revision = target.get("revision")
            if (
                revision
                and revision != spec["template"].get("revision")
                and f"{name}/revisions/{revision}" not in self.revisions
            ):
                raise not_found(
                    f"Revision '{revision}' of service '{name.id}' was not found; traffic cannot be sent to it."
                )

    # ---------------------------------------------------------------- rolling out

    async def _continue(self, name: str) -> None:
        try:
            await self._rollout(Name.of(name))
        except ApiError as error:
            log.info("rollout of %s: %s", name, error.message)

    async def _rollout(self, name: Name) -> Json:
        """Make the newest declaration real: a revision when the template changed, then traffic. Returns the service."""
        async with self._rollouts[str(name)]:
            record = records.found(self.services, str(name))
            generation = record["status"]["generation"]
            failure = record.get("failure")
            revision = record["status"].get("latestCreatedRevision", "")
            if record["deployed"] is None:
                revision = self._create_revision(name, record)
            if self._is_pending(revision):
                failure = await self._try(name, revision)
                record = records.found(self.services, str(name))
                if failure is None:
                    record["status"]["latestReadyRevision"] = revision
                record["failure"] = failure
            routes = self._resolve_traffic(name, record)
            status = record["status"]
            first = failure or routes
            status["observedGeneration"] = generation
            status["reconciling"] = status["generation"] != generation
            status["terminalCondition"] = _outcome("Ready", first)
            status["conditions"] = [_outcome("RoutesReady", first), _outcome("ConfigurationsReady", failure)]
            records.touch(status)
            self.services.put(str(name), record)
            self._route(str(name))
            if first is not None:
                raise ApiError("INTERNAL", first["message"])
            return records.view(str(name), record)

    def _create_revision(self, name: Name, record: Json) -> str:
        """Store the revision of the declared template; returns its full name."""
        record["revisions"] += 1
        template = dict(record["spec"]["template"])
        revision = template.pop("revision", "") or f"{name.id}-{record['revisions']:05d}-{suffix()}"
        labels = {**record["spec"].get("labels", {}), **template.pop("labels", {})}
        now = clock.timestamp()
        full = f"{name}/revisions/{revision}"
        status: Json = {
            "uid": clock.new_id(), "generation": "1", "createTime": now, "updateTime": now, "service": name.id,
            "creator": record["status"]["lastModifier"], "labels": labels, "etag": clock.new_etag(),
            "launchStage": record["spec"]["launchStage"], "reconciling": True,
            "conditions": [condition("Ready", "RECONCILING")],
            "logUri": log_uri(name.project, "cloud_run_revision", service_name=name.id, revision_name=revision),
        }  # fmt: skip
        self.revisions.put(full, {"spec": template, "status": status})
        record["deployed"] = _essence(record["spec"]["template"])
        record["status"]["latestCreatedRevision"] = full
        self.services.put(str(name), record)
        if fault := striking("revision_crashes"):
            self.crashes[full] = (fault, fault.calls)
        return full

    async def _try(self, name: Name, revision: str) -> Json | None:
        """Start the revision's first instance. Returns None, or the failing condition's message and reason."""
        record = records.found(self.revisions, revision)
        try:
            if error := operation_failure():
                raise Refusal(error.message, "INTERNAL")
            image = self.neighbours.image(record["spec"]["containers"][0]["image"], name.project)
            reference = record["spec"]["containers"][0]["image"].partition("@")[0]
            folder, _, last = reference.rpartition("/")
            container = record["spec"]["containers"][0]
            container["image"] = f"{folder}/{last.partition(':')[0]}@{image.digest}"
            record["status"]["containerStatuses"] = [
                {"name": container.get("name", f"{name.id}-1"), "imageDigest": container["image"]}
            ]
            record["digest"] = image.digest
            self.neighbours.hold_image(image.digest, revision)
            self.revisions.put(revision, record)
            self.containers.check(name, record["spec"], job=False)
            pool = self.pool(revision)
            if not record["spec"].get("healthCheckDisabled"):
                await pool.start()
            failure = None
        except Refusal as refusal:
            failure = {"message": str(refusal), "reason": refusal.reason}
        except InstanceError as error:
            text = f"{error}\n\nLogs URL: {record['status']['logUri']}\n{_GUIDANCE}"
            failure = {"message": text, "revisionReason": "HEALTH_CHECK_CONTAINER_ERROR"}
        except (SandboxUnavailable, SandboxError, OSError) as error:
            failure = {"message": str(error), "reason": "INTERNAL"}
        except Exception as error:
            log.exception("starting %s", revision)
            failure = {"message": records.internal_error(error), "reason": "INTERNAL"}
        status = record["status"]
        if failure is not None:
            if revision in self._pools:
                await self._pools.pop(revision).close(_STOP_GRACE)
            failure["message"] = (
                f"Revision '{short(revision)}' is not ready and cannot serve traffic. {failure['message']}"
            )
        status |= {
            "reconciling": False,
            "observedGeneration": "1",
            "conditions": [_outcome("Ready", failure)],
        }
        records.touch(status)
        self.revisions.put(revision, record)
        return failure

    def _resolve_traffic(self, name: Name, record: Json) -> Json | None:
        """Write ``trafficStatuses`` of the declared traffic. Returns why it cannot be routed, leaving the old routes."""
        if error := operation_failure():
            return {"message": error.message, "reason": "INTERNAL"}
        number = self.context.projects.number(name.project)
        addresses = hosts(name, number)
        statuses: list[Json] = []
        for target in record["spec"]["traffic"]:
            revision = target.get("revision")
            if revision and not self._is_ready(f"{name}/revisions/{revision}"):
                return {
                    "message": f"Revision '{revision}' is not ready and cannot serve traffic.",
                    "reason": "REVISION_FAILED",
                }
            if not revision and "latestReadyRevision" not in record["status"]:
                return None  # the first revision failed: its own message says more
            entry = dict(target)
            if target.get("tag"):
                entry["uri"] = "https://" + tagged(target["tag"], addresses[-1])
            statuses.append(entry)
        record["status"]["trafficStatuses"] = statuses
        return None

    def _is_ready(self, revision: str) -> bool:
        return self._state(revision) == "CONDITION_SUCCEEDED"

    def _is_pending(self, revision: str) -> bool:
        """Whether the first instance is still to be started: also when the emulator was stopped before it had."""
        return self._state(revision) == "CONDITION_RECONCILING"

    def _state(self, revision: str) -> str | None:
        record = self.revisions.get(revision)
        return record["status"]["conditions"][0]["state"] if record else None

    # ---------------------------------------------------------------- instances

    def reachable(self, name: str) -> dict[str, int]:
        """The revisions of the service ``name`` that traffic or a tag reaches, with their percentages."""
        record = self.services.get(name)
        return self._reachable(name, record) if record else {}

    def _reachable(self, name: str, record: Json) -> dict[str, int]:
        """The revisions that traffic or a tag reaches, with their percentages."""
        shares: dict[str, int] = {}
        for target in record["status"].get("trafficStatuses", ()):
            revision = target.get("revision")
            full = f"{name}/revisions/{revision}" if revision else record["status"]["latestReadyRevision"]
            shares[full] = shares.get(full, 0) + target.get("percent", 0)
        return shares

    def _route(self, name: str) -> None:
        """After a change of traffic: minimum instances where requests go, no instances where none can."""
        record = self.services.get(name)
        if record is None:
            return
        shares = self._reachable(name, record)
        for revision in self.revisions.names(f"{name}/revisions/"):
            if revision not in shares:
                if revision in self._pools:
                    self._spawn(self._pools.pop(revision).drain())
                continue
            low, high = self._limits(record, revision, shares[revision])
            if low or revision in self._pools:
                pool = self.pool(revision)
                pool.limit(low, high)
                if low:
                    self._spawn(pool.fill())

    def _limits(self, record: Json, revision: str, percent: int) -> tuple[int, int]:
        """Minimum and maximum instances of a reachable revision, from its own scaling and the service's."""
        own = (self.revisions.get(revision) or {"spec": {}})["spec"].get("scaling", {})
        whole = record["spec"].get("scaling", {})
        if whole.get("scalingMode") == "MANUAL":
            count = whole.get("manualInstanceCount", 0) if percent else 0
            return count, count
        shared = -(-whole.get("minInstanceCount", 0) * percent // 100)
        high = min(own.get("maxInstanceCount", 100), whole.get("maxInstanceCount", 1000))
        return min(high, max(own.get("minInstanceCount", 0), shared)), high

    def pool(self, revision: str) -> RevisionPool:
        """The instances of a revision."""
        if revision not in self._pools:
            record = records.found(self.revisions, revision)
            self._pools[revision] = RevisionPool(
                lambda: self._instance(revision),
                concurrency=record["spec"]["maxInstanceRequestConcurrency"],
                max_instances=record["spec"].get("scaling", {}).get("maxInstanceCount", 100),
            )
        return self._pools[revision]

    async def _instance(self, revision: str) -> Instance:
        name = Name.of(revision)
        record = records.found(self.revisions, revision)
        env = {"K_SERVICE": name.id, "K_REVISION": short(revision), "K_CONFIGURATION": name.id}
        try:
            image = self.neighbours.held_image(record["digest"])
            spec, on_log = self.containers.prepare(
                name, record["spec"], image, env, self.log_resource(revision), {}, job=False
            )
        except Refusal as refusal:
            raise InstanceError(str(refusal)) from None
        return Instance(spec, on_log)

    def log_resource(self, revision: str) -> Json:
        """The monitored resource of a revision's log entries."""
        name = Name.of(revision)
        labels = {
            "project_id": name.project, "location": name.region, "service_name": name.id,
            "configuration_name": name.id, "revision_name": short(revision),
        }  # fmt: skip
        return {"type": "cloud_run_revision", "labels": labels}

    def _spawn(self, work: object) -> None:
        async def run() -> None:
            try:
                await work  # type: ignore[misc]
            except (InstanceError, SandboxUnavailable, SandboxError) as error:
                log.warning("an instance did not start: %s", error)

        self._background.start(run())


def _essence(template: Json) -> Json:
    """What makes a template a different revision: everything, an explicit revision name included."""
    return {key: value for key, value in template.items() if key not in ("client", "clientVersion")}


def _outcome(kind: str, failure: Json | None) -> Json:
    if failure is None:
        return condition(kind, "SUCCEEDED")
    reasons = {key: value for key, value in failure.items() if key != "message"}
    return condition(kind, "FAILED", failure["message"], **reasons)
