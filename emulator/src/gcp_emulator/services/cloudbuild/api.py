"""Cloud Build v1: builds, which really build (see `run`), and the operations that tell of them.

Source: https://cloud.google.com/build/docs/api/reference/rest. Not emulated: triggers, worker pools, retry, approval, and
builders other than ``gcr.io/cloud-builders/docker``.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
import traceback
from collections.abc import Iterable

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import (
    RPC_CODES,
    ApiError,
    Json,
    failed_precondition,
    invalid_argument,
    not_found,
)
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.faults import held_up, operation_failure
from gcp_emulator.engine.identity import Identity, identity_of
from gcp_emulator.engine.operations import Span
from gcp_emulator.engine.routes import Route
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.front.messages import Request, Response
from gcp_emulator.services.artifactregistry.ports import Images
from gcp_emulator.services.cloudbuild.logs import LOGS_HOST, LOGS_PATH, DefaultLogs
from gcp_emulator.services.cloudbuild.ports import BuildLocations
from gcp_emulator.services.cloudbuild.request import QUEUE_TTL, check, service_account, substitute, timeout_of
from gcp_emulator.services.cloudbuild.run import BuildEnded, BuildRun, free_workspaces
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.storage.ports import Objects
from gcp_emulator.workloads.build.run import host_access

log = logging.getLogger(__name__)
_TYPE = "type.googleapis.com/google.devtools.cloudbuild.v1."
_LOCATIONS = "services/cloudbuild/locations.yaml"
_UNFINISHED = ("QUEUED", "WORKING")
_STOPPED = "The emulator was stopped while the build ran."
_REASONS = {403: "forbidden", 404: "notFound"}
#: How the operation of a build that did not succeed ends: google.rpc.Code and text.
_ERRORS = {
    "FAILURE": ("UNKNOWN", "Build failed; check build logs for details"),
    "TIMEOUT": ("DEADLINE_EXCEEDED", "Build timed out"),
    "CANCELLED": ("CANCELLED", "Build cancelled"),
    "INTERNAL_ERROR": ("INTERNAL", "Build failed due to internal error"),
}
_FILTER = re.compile(r'\s*(?P<field>\w+)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"()]+))\s*(?:AND|$)')


class CloudBuild(Service):
    api = "cloudbuild"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._accounts = context.ports.find(Accounts)
        self._images = context.ports.find(Images)
        self._objects = context.ports.find(Objects)
        self._builds = context.store.collection("cloudbuild.builds")
        self._restricted = context.store.collection("cloudbuild.restricted")
        context.ports.offer(BuildLocations, self)
        self._names = {record["id"]: name for name, record in self._builds.items()}
        self._folder = context.state / "cloudbuild"
        self._default_logs = DefaultLogs(self._folder / "logs")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[str] = set()

    async def start(self) -> None:
        """Ends the builds of an emulator that was killed."""
        own_proxy = f"http://127.0.0.1:{self.context.port}"
        self._builder = self.context.runtime.builder(
            self._folder / "cache", host_access(os.environ, own_proxy)
        )
        free_workspaces(self._folder / "workspaces")
        for _, record in self._builds.items():
            if record["status"] in _UNFINISHED:
                self._finish(record, "INTERNAL_ERROR", _STOPPED)
                self._images.release_all(record["name"])

    async def stop(self) -> None:
        """Kills what builds run; their status becomes INTERNAL_ERROR."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._builder.close()

    # ---------------------------------------------------------------- logs in the default bucket

    def routes(self) -> Iterable[Route]:
        # Before the buckets of Cloud Storage.
        return [Route(LOGS_HOST, LOGS_PATH, self._serve_log, "storage.objects.get")]

    async def _serve_log(self, request: Request) -> Response:
        owner = DefaultLogs.owner(request.path)
        project = self.context.projects.find(owner[0]) if owner else None
        if owner is None or project is None:
            return Response(404)
        identity = self.context.tokens.authenticate(request.headers.get("authorization"))
        self.context.iam.require(identity, "cloudbuild.builds.get", f"projects/{project['projectId']}")
        return self._default_logs.answer(request, owner[1])

    # ---------------------------------------------------------------- builds

    def restrict(self, project: str) -> None:
        """See `BuildLocations`."""
        self._restricted.put(project, {})

    def _check_may_build(self, project: str, location: str) -> None:
        """Refuses to build where Cloud Build is not, and where the project may not.

        Source of the words: https://github.com/google-github-actions/deploy-cloudrun/issues/480.
        """
        _check_location(location)
        if project in self._restricted and location not in read_yaml(_LOCATIONS)["unrestricted"]:
            raise failed_precondition(
                "failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support"
            )

    @handles("cloudbuild.projects.builds.create")
    async def create_global_build(self, call: Call) -> Json:
        return self._create(call, call.params["projectId"], "global")

    @handles("cloudbuild.projects.locations.builds.create")
    async def create_build(self, call: Call) -> Json:
        _, project, _, location = call.params["parent"].split("/")
        return self._create(call, project, location)

    def _create(self, call: Call, project: str, location: str) -> Json:
        number = self.context.projects.number(project)
        self._check_may_build(self.context.projects.canonical(f"projects/{project}")[9:], location)
        build_id = clock.new_id()
        check(call.body)
        identity, account = self._account(call, project, number)
        values = {
            "PROJECT_ID": project,
            "PROJECT_NUMBER": number,
            "BUILD_ID": build_id,
            "LOCATION": location,
            "SERVICE_ACCOUNT": account,
            "SERVICE_ACCOUNT_EMAIL": identity.email,
        }
        build = substitute(call.body, values)
        record: Json = {
            **build,
            "name": f"projects/{number}/locations/{location}/builds/{build_id}",
            "id": build_id,
            "projectId": project,
            "status": "QUEUED",
            "createTime": clock.timestamp(),
            "timeout": f"{timeout_of(build):g}s",
            "queueTtl": build.get("queueTtl", f"{QUEUE_TTL}s"),
            "options": {"logging": "LEGACY", **build.get("options", {})},
            "logUrl": f"https://console.cloud.google.com/cloud-build/builds;region={location}/{build_id}?project={number}",
            "timing": {},
            "results": {},
        }
        if record["options"]["logging"] not in ("CLOUD_LOGGING_ONLY", "NONE"):
            record.setdefault("logsBucket", DefaultLogs.bucket(number))
        if build.get("images"):
            record["artifacts"] = {"images": build["images"]}
        if source := build.get("source", {}).get("storageSource"):
            record["sourceProvenance"] = {"resolvedStorageSource": self._resolve(source, identity)}
        self._save(record)
        task = asyncio.create_task(self._run(record, identity))
        self._tasks[record["name"]] = task
        task.add_done_callback(lambda _: self._tasks.pop(record["name"], None))
        return self._operation(record)

    def _account(self, call: Call, project: str, number: str) -> tuple[Identity, str]:
        """The account that the build runs as, and its resource name; the caller must be allowed to act as it."""
        home, account = service_account(call.body, project, number)
        found = self._accounts.find(account)
        email = found["email"] if found else account
        resource = f"projects/{home}/serviceAccounts/{email}"
        known = not call.body.get("serviceAccount") or self._accounts.knows(email, "cloudbuild")
        if not known or not self.context.iam.allows(
            call.identity, "iam.serviceAccounts.actAs", resource, service="cloudbuild"
        ):
            told = f"projects/{home}/serviceAccounts/{found['uniqueId']}" if found else resource
            raise ApiError(
                "PERMISSION_DENIED", f"caller does not have permission to act as service account {told}"
            )
        return identity_of(email), resource

    def _resolve(self, source: Json, identity: Identity) -> Json:
        """The source with the generation that the build's account sees now."""
        bucket, name, generation = (
            source.get("bucket", ""),
            source.get("object", ""),
            source.get("generation"),
        )
        try:
            found = self._objects.read_object(
                bucket, name, identity=identity, generation=int(generation) if generation else None
            )
        except ApiError as error:
            reason = _REASONS.get(error.code, "invalid")
            raise invalid_argument(
                f"could not resolve source: googleapi: Error {error.code}: {error.message}, {reason}",
                field="build.source",
            ) from None
        return {"bucket": bucket, "object": name, "generation": str(found.generation)}

    @handles("cloudbuild.projects.builds.get")
    async def get_global_build(self, call: Call) -> Json:
        return self._find(call.params["projectId"], call.params["id"])

    @handles("cloudbuild.projects.locations.builds.get")
    async def get_build(self, call: Call) -> Json:
        return self._by_name(call.params["name"])

    @handles("cloudbuild.projects.builds.list")
    async def list_global_builds(self, call: Call) -> Json:
        return self._list(call, call.params["projectId"], "global")

    @handles("cloudbuild.projects.locations.builds.list")
    async def list_builds(self, call: Call) -> Json:
        _, project, _, location = call.params["parent"].split("/")
        if location != "-":
            _check_location(location)
        return self._list(call, project, location)

    def _list(self, call: Call, project: str, location: str) -> Json:
        wanted = _conditions(call.params.get("filter") or "")
        prefix = f"projects/{self.context.projects.number(project)}/locations/"
        found = [
            record
            for name, record in self._builds.items(prefix if location == "-" else f"{prefix}{location}/")
            if all(_matches(record, field, value) for field, value in wanted)
        ]
        return call.page(
            sorted(found, key=lambda each: str(each["createTime"]), reverse=True), "builds", default=50
        )

    @handles("cloudbuild.projects.builds.cancel")
    async def cancel_global_build(self, call: Call) -> Json:
        return await self._cancel(self._find(call.params["projectId"], call.params["id"]))

    @handles("cloudbuild.projects.locations.builds.cancel")
    async def cancel_build(self, call: Call) -> Json:
        return await self._cancel(self._by_name(call.params["name"]))

    async def _cancel(self, record: Json) -> Json:
        task = self._tasks.get(record["name"])
        if task is None or record["status"] not in _UNFINISHED:
            raise failed_precondition(
                f"Cannot cancel build {record['id']}: its status is {record['status']}."
            )
        self._cancelled.add(record["name"])
        task.cancel()
        await asyncio.wait([task])
        record = self._builds.get(record["name"]) or record
        if record["status"] in _UNFINISHED:
            # The task was cancelled before its first step.
            self._finish(record, "CANCELLED", "")
        return record

    def _find(self, project: str, build_id: str) -> Json:
        """By id alone, in any location."""
        number = self.context.projects.number(project)
        name = self._names.get(build_id, "")
        record = self._builds.get(name) if name.startswith(f"projects/{number}/") else None
        if record is None:
            raise not_found("Requested entity was not found.")
        return record

    def _by_name(self, name: str) -> Json:
        _, project, *rest = name.split("/")
        record = self._builds.get("/".join(["projects", self.context.projects.number(project), *rest]))
        if record is None:
            raise not_found("Requested entity was not found.")
        return record

    @handles("cloudbuild.projects.locations.getDefaultServiceAccount")
    async def get_default_service_account(self, call: Call) -> Json:
        _, project, *_ = call.params["name"].split("/")
        number = self.context.projects.number(project)
        email = f"{number}-compute@developer.gserviceaccount.com"
        return {
            "name": call.params["name"],
            "serviceAccountEmail": f"projects/{project}/serviceAccounts/{email}",
        }

    # ---------------------------------------------------------------- operations

    @handles("cloudbuild.operations.get", "cloudbuild.projects.locations.operations.get")
    async def get_operation(self, call: Call) -> Json:
        record = self._operation_build(call.params["name"])
        call.require("cloudbuild.builds.get", f"projects/{record['projectId']}")
        return self._operation(record)

    @handles("cloudbuild.operations.cancel", "cloudbuild.projects.locations.operations.cancel")
    async def cancel_operation(self, call: Call) -> Json:
        record = self._operation_build(call.params["name"])
        call.require("cloudbuild.builds.update", f"projects/{record['projectId']}")
        await self._cancel(record)
        return {}

    def _operation_build(self, name: str) -> Json:
        """The build of ``operations/build/PROJECT/ID`` or ``projects/PROJECT/locations/L/operations/ID``, ID in base64."""
        parts = name.split("/")
        project = parts[2] if parts[0] == "operations" and len(parts) == 4 else parts[1]
        try:
            build_id = base64.b64decode(parts[-1], validate=True).decode("ascii")
        except ValueError:
            build_id = ""
        if self.context.projects.find(project) is None:
            raise not_found("Requested entity was not found.")
        return self._find(project, build_id)

    def _operation(self, record: Json) -> Json:
        encoded = base64.b64encode(record["id"].encode()).decode()
        location = record["name"].split("/")[3]
        operation: Json = {
            "name": f"operations/build/{record['projectId']}/{encoded}"
            if location == "global"
            else f"projects/{record['projectId']}/locations/{location}/operations/{encoded}",
            "metadata": {"@type": _TYPE + "BuildOperationMetadata", "build": record},
        }
        if record["status"] == "SUCCESS":
            operation |= {"done": True, "response": {"@type": _TYPE + "Build", **record}}
        elif record["status"] not in _UNFINISHED:
            code, message = _ERRORS[record["status"]]
            operation |= {"done": True, "error": {"code": RPC_CODES[code], "message": message}}
        return operation

    # ---------------------------------------------------------------- running

    async def _run(self, record: Json, identity: Identity) -> None:
        name = record["name"]
        earliest = asyncio.get_running_loop().time() + self.context.operations.profile.seconds(
            "cloudbuild.projects.builds.create"
        )
        run = BuildRun(
            self.context, self._images, self._objects, record, identity, self._builder, self._folder / "workspaces" / record["id"],
            lambda: self._save(record), self._default_logs,
        )  # fmt: skip
        status, detail, failure = "SUCCESS", "", None
        try:
            record |= {"status": "WORKING", "startTime": clock.timestamp()}
            self._save(record)
            await held_up()
            if operation_failure():
                raise BuildEnded(
                    "INTERNAL_ERROR", "FAILURE_TYPE_UNSPECIFIED", "An internal error has occurred."
                )
            try:
                await run.execute()
            finally:
                await run.close()
            await asyncio.sleep(earliest - asyncio.get_running_loop().time())
        except BuildEnded as ended:
            status, failure = ended.status, {"type": ended.failure, "detail": ended.detail}
        except asyncio.CancelledError:
            status, detail = ("CANCELLED", "") if name in self._cancelled else ("INTERNAL_ERROR", _STOPPED)
        except Exception as error:
            log.error("build %s failed: %s", name, traceback.format_exc())
            status, detail = (
                "INTERNAL_ERROR",
                f"{type(error).__name__}: {error} (this is a defect of the emulator)",
            )
        self._cancelled.discard(name)
        if failure:
            record["failureInfo"] = failure
        self._finish(record, status, detail)

    def _finish(self, record: Json, status: str, detail: str) -> None:
        record |= {"status": status, "finishTime": clock.timestamp()}
        if detail:
            record["statusDetail"] = detail
        for step in record["steps"]:
            if step.get("status") == "WORKING":
                step["status"] = status
        self._save(record)

    def _save(self, record: Json) -> None:
        self._builds.put(record["name"], record)
        self._names[record["id"]] = record["name"]
        images = record.get("images") or []
        self.context.operations.note(
            record["name"],
            Span(
                "cloudbuild.projects.locations.builds.create",
                str(images[0]).rpartition("/")[2] if images else record["id"],
                record.get("startTime") or record["createTime"],
                record.get("finishTime"),
                record["status"],
                record.get("failureInfo", {}).get("detail", ""),
            ),
        )


def _check_location(location: str) -> None:
    """Refuses a location that Cloud Build does not have, in the words of Cloud Run, which is assumed."""
    if location not in read_yaml(_LOCATIONS)["locations"]:
        raise ApiError(
            "PERMISSION_DENIED", f"Permission denied on 'locations/{location}' (or it may not exist)."
        )


def _conditions(text: str) -> list[tuple[str, str]]:
    """``field = "value" AND ...`` of a list filter; the rest of the filter language is refused."""
    found = []
    position = 0
    while position < len(text.rstrip()):
        match = _FILTER.match(text, position)
        if match is None or match["field"] not in ("status", "tags", "build_id", "images"):
            raise invalid_argument(
                f"The emulator's filter knows status, tags, build_id and images with = and AND, not: {text}",
                field="filter",
            )
        found.append((match["field"], match["quoted"] if match["quoted"] is not None else match["bare"]))
        position = match.end()
    return found


def _matches(record: Json, field: str, value: str) -> bool:
    if field in ("tags", "images"):
        return value in record.get(field, ())
    return bool(record["id" if field == "build_id" else field] == value)
