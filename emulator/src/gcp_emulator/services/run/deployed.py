"""What services and worker pools of Cloud Run have in common: every change of the template becomes a revision that has to start.

Sources: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services and .workerPools (fields, conditions),
messages as gcloud and Terraform users quote them.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections import defaultdict
from typing import ClassVar

from gcp_emulator.engine import clock, discovery, masks
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import (
    ApiError,
    Json,
    already_exists,
    failed_precondition,
    invalid_argument,
)
from gcp_emulator.engine.faults import Fault, fallible, operation_failure, striking
from gcp_emulator.engine.service import Call
from gcp_emulator.front.tasks import Tasks
from gcp_emulator.services.run import records, templates
from gcp_emulator.services.run.containers import Containers
from gcp_emulator.services.run.names import (
    Name,
    check_region,
    condition,
    log_uri,
    short,
    suffix,
)
from gcp_emulator.services.run.neighbours import Neighbours, Refusal
from gcp_emulator.workloads.autoscaler import RevisionPool
from gcp_emulator.workloads.instances import Instance, InstanceError
from gcp_emulator.workloads.sandbox.process import SandboxError, SandboxUnavailable

log = logging.getLogger(__name__)

_STOP_GRACE = 5.0
_GUIDANCE = "For more troubleshooting guidance, see https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start"


class Deployed(abc.ABC):
    """A kind of resource that is declared with a template, of which revisions are made."""

    #: The collection in names (``services``), its message (``Service``) and the query parameter with the id of a new one.
    kind: ClassVar[str]
    message: ClassVar[str]
    id_parameter: ClassVar[str]
    #: The conditions beside Ready: of what distributes (traffic, instances) and of the configuration.
    conditions: ClassVar[tuple[str, str]]

    def __init__(self, context: Context, neighbours: Neighbours, containers: Containers) -> None:
        self.context = context
        self.neighbours = neighbours
        self.containers = containers
        self.declared = context.store.collection(f"run.{self.kind}")
        self.revisions = context.store.collection(self.revisions_collection)
        fields = discovery.load("run", "v2").schemas[f"GoogleCloudRunV2{self.message}"]["properties"]
        self._mutable = frozenset(name for name, field in fields.items() if not field.get("readOnly"))
        self._pools: dict[str, RevisionPool] = {}
        #: Revisions that the fault ``revision_crashes`` struck, each with the requests that it serves before its container ends.
        self.crashes: dict[str, tuple[Fault, int]] = {}
        self._rollouts: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._background = Tasks()

    # ---------------------------------------------------------------- what each kind says

    #: Where the revisions are stored.
    revisions_collection: ClassVar[str]

    @abc.abstractmethod
    def with_defaults(self, declared: Json, default_account: str) -> Json:
        """The declaration with what Google fills in."""

    @abc.abstractmethod
    def check(self, name: Name, spec: Json) -> None:
        """Refuse a declaration. ApiError."""

    @abc.abstractmethod
    def addresses(self, name: Name, spec: Json) -> Json:
        """The status fields that say where it is reached."""

    @abc.abstractmethod
    def distribute(self, name: Name, record: Json) -> Json | None:
        """Write who gets traffic or instances into the status. Returns why that cannot be, leaving it as it was."""

    @abc.abstractmethod
    def shares(self, name: str, record: Json) -> dict[str, int]:
        """The revisions that are to run, by full name, with their percentages."""

    @abc.abstractmethod
    def limits(self, record: Json, revision: str, percent: int) -> tuple[int, int]:
        """Minimum and maximum instances of a revision with such a share."""

    @abc.abstractmethod
    def new_pool(self, revision: str, record: Json) -> RevisionPool:
        """The instances of a revision, none of them started."""

    @abc.abstractmethod
    def first_instances(self, record: Json) -> int:
        """How many instances of a new revision have to start before it is ready."""

    @abc.abstractmethod
    def environment(self, name: Name, revision: str) -> dict[str, str]:
        """The platform's variables in the containers of a revision."""

    @abc.abstractmethod
    def log_resource(self, revision: str) -> Json:
        """The monitored resource of a revision's log entries."""

    # ---------------------------------------------------------------- life
    async def start(self) -> None:
        """After a start: revisions come back cold, minimum instances come up, unfinished rollouts go on."""
        for name, record in self.declared.items():
            if record["status"]["reconciling"]:
                self._spawn(self._continue(name))
            else:
                self._route(name)

    async def stop(self) -> None:
        """End every instance."""
        await self._background.stop()
        await asyncio.gather(*(pool.close(_STOP_GRACE) for pool in self._pools.values()))
        self._pools.clear()

    # ---------------------------------------------------------------- methods

    async def create(self, call: Call) -> Json:
        name = records.new_name(call, self.kind, self.id_parameter)
        if str(name) in self.declared:
            raise already_exists(f"Resource '{name.id}' already exists.")
        return self._apply(call, name, call.body, None)

    async def get(self, call: Call) -> Json:
        return records.view(call.params["name"], records.found(self.declared, call.params["name"]))

    async def list(self, call: Call) -> Json:
        found = records.of_location(self.declared, call.params["parent"], self.kind)
        return call.page([records.view(name, record) for name, record in found], self.kind)

    async def patch(self, call: Call) -> Json:
        name = Name.of(call.params["name"])
        record = self.declared.get(str(name))
        if record is None:
            if not call.params.get("allowMissing"):
                records.found(self.declared, str(name))
            call.require(f"run.{self.kind.lower()}.create", name.location)
            templates.check_name(name.id, f"{self.id_parameter[:-2]}.name")
            check_region(name.region)
            return self._apply(call, name, call.body, None)
        records.check_etag(call.body.get("etag"), str(name), record)
        paths = masks.parse_mask(call.params.get("updateMask"), body=call.body, mutable=self._mutable)
        changed = masks.apply_mask(record["spec"], call.body, [p for p in paths if p not in ("name", "etag")])
        return self._apply(call, name, changed, record)

    async def delete(self, call: Call) -> Json:
        name = Name.of(call.params["name"])
        record = records.found(self.declared, str(name))
        records.check_etag(call.params.get("etag"), str(name), record)
        view = records.view(str(name), record) | {"deleteTime": clock.timestamp()}
        if call.params.get("validateOnly"):
            return records.validated(name, self.message, view)

        async def work() -> Json:
            async with self._rollouts[str(name)]:
                for revision in self.revisions.names(f"{name}/revisions/"):
                    await self._remove_revision(revision)
                self.declared.delete(str(name))
                self.context.iam.forget(str(name))
            return view

        return records.operate(call, name, self.message, view, fallible(work()))

    async def get_revision(self, call: Call) -> Json:
        name = call.params["name"]
        if name.endswith("/revisions/-"):
            raise invalid_argument("name: a wildcard is not allowed here.", field="name")
        return self._revision_view(name, records.found(self.revisions, name))

    async def list_revisions(self, call: Call) -> Json:
        parent = call.params["parent"]
        prefix = parent.removesuffix("-") if parent.endswith(f"/{self.kind}/-") else f"{parent}/revisions/"
        found = [self._revision_view(name, record) for name, record in self.revisions.items(prefix)]
        return records.page_of(call, "revisions", found)

    async def delete_revision(self, call: Call) -> Json:
        full = call.params["name"]
        record = records.found(self.revisions, full)
        records.check_etag(call.params.get("etag"), full, record)
        name = Name.of(full)
        owner = records.found(self.declared, str(name))
        if full == owner["status"].get("latestCreatedRevision") or full in self.shares(str(name), owner):
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
        for digest in record.get("digests", ()):
            self.neighbours.release_image(digest, revision)

    def _revision_view(self, name: str, record: Json) -> Json:
        return {"name": name, **record["spec"], **record["status"]}

    # ---------------------------------------------------------------- declaring

    def _apply(self, call: Call, name: Name, wanted: Json, record: Json | None) -> Json:
        """Check and store what is declared, and start its rollout."""
        wanted = {key: value for key, value in wanted.items() if key not in ("name", "etag")}
        spec = self.with_defaults(wanted, self.neighbours.default_account(name.project))
        self.check(name, spec)
        if record is None:
            self.neighbours.constraints.require_location(name.project, self.message.lower(), [name.region])
        template = spec["template"]
        new_revision = (
            record is None
            or _essence(template) != record["deployed"]
            or bool(call.params.get("forceNewRevision"))
        )
        if new_revision:
            self._check_revision_name(name, template)
            self.neighbours.require_act_as(call.caller, template["serviceAccount"], name.project)
            for container in template["containers"]:
                self.neighbours.require_image_access(call.caller, container["image"])
        status = record["status"] if record else records.born(call)
        record = {"revisions": 0, "deployed": None, **(record or {}), "spec": spec, "status": status}
        if call.params.get("validateOnly"):
            return records.validated(name, self.message, records.view(str(name), record))
        if new_revision:
            record["deployed"] = None
        records.touch(status, call, generation=True)
        status |= {
            "reconciling": True,
            "terminalCondition": condition("Ready", "RECONCILING"),
            "conditions": [condition(kind, "RECONCILING") for kind in self.conditions],
        }
        status.pop("uri", None)
        status |= self.addresses(name, spec)
        self.declared.put(str(name), record)
        return records.declare(call, name, self.message, self.declared, self._rollout(name))

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

    # ---------------------------------------------------------------- rolling out

    async def _continue(self, name: str) -> None:
        try:
            await self._rollout(Name.of(name))
        except ApiError as error:
            log.info("rollout of %s: %s", name, error.message)

    async def _rollout(self, name: Name) -> Json:
        """Make the newest declaration real: a revision when the template changed, then who gets traffic or instances."""
        async with self._rollouts[str(name)]:
            record = records.found(self.declared, str(name))
            generation = record["status"]["generation"]
            failure = record.get("failure")
            revision = record["status"].get("latestCreatedRevision", "")
            if record["deployed"] is None:
                revision = self._create_revision(name, record)
            if self._is_pending(revision):
                failure = await self._try(name, revision, self.first_instances(record))
                record = records.found(self.declared, str(name))
                if failure is None:
                    record["status"]["latestReadyRevision"] = revision
                record["failure"] = failure
            undistributed = self._distributed(name, record)
            status = record["status"]
            first = failure or undistributed
            distribution, configuration = self.conditions
            status["observedGeneration"] = generation
            status["reconciling"] = status["generation"] != generation
            status["terminalCondition"] = _outcome("Ready", first)
            status["conditions"] = [_outcome(distribution, first), _outcome(configuration, failure)]
            records.touch(status)
            self.declared.put(str(name), record)
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
        resource = self.log_resource(full)
        status: Json = {
            "uid": clock.new_id(), "generation": "1", "createTime": now, "updateTime": now,
            self.message[:1].lower() + self.message[1:]: name.id,
            "creator": record["status"]["lastModifier"], "labels": labels, "etag": clock.new_etag(),
            "launchStage": record["spec"]["launchStage"], "reconciling": True,
            "conditions": [condition("Ready", "RECONCILING")],
            "logUri": log_uri(
                name.project,
                resource["type"],
                **{key: value for key, value in resource["labels"].items() if key not in ("project_id", "location", "configuration_name")},
            ),
        }  # fmt: skip
        self.revisions.put(full, {"spec": template, "status": status})
        record["deployed"] = _essence(record["spec"]["template"])
        record["status"]["latestCreatedRevision"] = full
        self.declared.put(str(name), record)
        if fault := striking("revision_crashes"):
            self.crashes[full] = (fault, fault.calls)
        return full

    async def _try(self, name: Name, revision: str, instances: int) -> Json | None:
        """Start the revision's first instances. Returns None, or the failing condition's message and reason."""
        record = records.found(self.revisions, revision)
        try:
            if error := operation_failure():
                raise Refusal(error.message, "INTERNAL")
            await self._pin(name, revision, record)
            await self.containers.check(name, record["spec"])
            pool = self.pool(revision)
            if not record["spec"].get("healthCheckDisabled"):
                await pool.start(instances)
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

    async def _pin(self, name: Name, revision: str, record: Json) -> None:
        """Write the digests of a revision's images into it, and keep the images."""
        statuses: list[Json] = []
        digests: list[str] = []
        for index, container in enumerate(record["spec"]["containers"], 1):
            image = await self.neighbours.image(container["image"], name.project)
            folder, _, last = container["image"].partition("@")[0].rpartition("/")
            container["image"] = f"{folder}/{last.partition(':')[0]}@{image.digest}"
            statuses.append(
                {"name": container.get("name", f"{name.id}-{index}"), "imageDigest": container["image"]}
            )
            self.neighbours.hold_image(image.digest, revision)
            digests.append(image.digest)
        record["status"]["containerStatuses"] = statuses
        record["digests"] = digests
        self.revisions.put(revision, record)

    def _distributed(self, name: Name, record: Json) -> Json | None:
        if error := operation_failure():
            return {"message": error.message, "reason": "INTERNAL"}
        return self.distribute(name, record)

    def is_ready(self, revision: str) -> bool:
        """Whether a revision has started."""
        return self._state(revision) == "CONDITION_SUCCEEDED"

    def _is_pending(self, revision: str) -> bool:
        """Whether the first instance is still to be started: also when the emulator was stopped before it had."""
        return self._state(revision) == "CONDITION_RECONCILING"

    def _state(self, revision: str) -> str | None:
        record = self.revisions.get(revision)
        return record["status"]["conditions"][0]["state"] if record else None

    # ---------------------------------------------------------------- instances

    def reachable(self, name: str) -> dict[str, int]:
        """The revisions of ``name`` that traffic, a tag or instances reach, with their percentages."""
        record = self.declared.get(name)
        return self.shares(name, record) if record else {}

    def _route(self, name: str) -> None:
        """After a change: minimum instances where they are to be, none elsewhere."""
        record = self.declared.get(name)
        if record is None:
            return
        shares = self.shares(name, record)
        for revision in self.revisions.names(f"{name}/revisions/"):
            if revision not in shares:
                if revision in self._pools:
                    self._spawn(self._pools.pop(revision).drain())
                continue
            low, high = self.limits(record, revision, shares[revision])
            if low or revision in self._pools:
                pool = self.pool(revision)
                pool.limit(low, high)
                if low:
                    self._spawn(pool.fill())

    def pool(self, revision: str) -> RevisionPool:
        """The instances of a revision."""
        if revision not in self._pools:
            self._pools[revision] = self.new_pool(revision, records.found(self.revisions, revision))
        return self._pools[revision]

    async def instance(self, revision: str) -> Instance:
        """An instance of a revision, not yet started. Raises `InstanceError`."""
        name = Name.of(revision)
        record = records.found(self.revisions, revision)
        env = self.environment(name, short(revision))
        try:
            images = [self.neighbours.held_image(digest) for digest in record["digests"]]
            return self.containers.instance(name, record["spec"], images, env, self.log_resource(revision))
        except Refusal as refusal:
            raise InstanceError(str(refusal)) from None

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
