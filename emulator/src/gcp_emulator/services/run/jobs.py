"""Jobs, executions and tasks of Cloud Run: containers that run to their end, with retries, timeouts and exit codes.

Sources: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs, "Execute jobs", "Container runtime
contract" (CLOUD_RUN_* variables). ``jobs.run`` is done when the execution is; a failed execution is a response whose
``Completed`` condition failed, not an error of the operation (assumed from how client libraries read the response).

An execution has the labels and annotations of its job's ``template`` ("ExecutionTemplate describes the data an execution should
have when created from a template", discovery document run:v2) and not those of the job itself ("Cloud Billing and Cloud Logging
only receive labels that are specified in the spec.template.metadata.labels attribute",
https://docs.cloud.google.com/run/docs/configuring/jobs/labels).

Resources are provided before an execution starts, and it starts before it completes (gcloud waits for the conditions
``ResourcesAvailable``, ``Started`` and ``Completed`` in this order: googlecloudsdk/command_lib/run/stages.py,
``ExecutionDependencies``). That a secret is such a resource, and that no task of an execution that lacks one is counted, is assumed.
"""

from __future__ import annotations

import asyncio
import copy
import logging

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, already_exists, failed_precondition, invalid_argument
from gcp_emulator.engine.faults import fallible, operation_failure
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.services.run import records, templates
from gcp_emulator.services.run.containers import Containers, tell_of_empty_volumes
from gcp_emulator.services.run.names import Name, check_region, condition, log_uri, short, suffix
from gcp_emulator.services.run.neighbours import Neighbours, Refusal
from gcp_emulator.workloads.instances import TaskResult, run_task
from gcp_emulator.workloads.sandbox.process import SandboxError, SandboxUnavailable

log = logging.getLogger(__name__)

_PARALLEL_TASKS = 8  # a laptop is not a region
_EXITED = "The container exited with an error."
_TIMED_OUT = "The configured timeout was reached."
_CANCELLED = "The execution was cancelled."
_INTERRUPTED = "The emulator was stopped while the task ran."


class JobsApi:
    """``run.projects.locations.jobs``, their executions and tasks."""

    def __init__(self, context: Context, neighbours: Neighbours, containers: Containers) -> None:
        self.context = context
        self.neighbours = neighbours
        self.containers = containers
        self.jobs = context.store.collection("run.jobs")
        self.executions = context.store.collection("run.executions")
        self.tasks = context.store.collection("run.tasks")
        self._running: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_PARALLEL_TASKS)
        self._stopping = False

    async def start(self) -> None:
        """After a start: jobs that were being made are made, executions that a killed emulator left running failed."""
        for name, job in self.jobs.items():
            if job["status"]["reconciling"]:
                await self._settle(Name.of(name))
        for name, execution in self.executions.items():
            if "completionTime" not in execution:
                for task in self.tasks.names(f"{name}/tasks/"):
                    self._end_task(task, None, _INTERRUPTED)
                self._end_execution(name, execution, cancelled=False)

    async def stop(self) -> None:
        """End every task that runs."""
        self._stopping = True
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    # ---------------------------------------------------------------- methods: jobs

    @handles("run.projects.locations.jobs.create")
    async def create_job(self, call: Call) -> Json:
        name = records.new_name(call, "jobs", "jobId")
        if str(name) in self.jobs:
            raise already_exists(f"Resource '{name.id}' already exists.")
        return self._declare(call, name, None)

    @handles("run.projects.locations.jobs.get")
    async def get_job(self, call: Call) -> Json:
        return records.view(call.params["name"], records.found(self.jobs, call.params["name"]))

    @handles("run.projects.locations.jobs.list")
    async def list_jobs(self, call: Call) -> Json:
        found = records.of_location(self.jobs, call.params["parent"], "jobs")
        return call.page([records.view(name, record) for name, record in found], "jobs")

    @handles("run.projects.locations.jobs.patch")
    async def update_job(self, call: Call) -> Json:
        name = Name.of(call.params["name"])
        record = self.jobs.get(str(name))
        if record is None:
            if not call.params.get("allowMissing"):
                records.found(self.jobs, str(name))
            call.require("run.jobs.create", name.location)
            templates.check_name(name.id, "job.name")
            check_region(name.region)
        else:
            records.check_etag(call.body.get("etag"), str(name), record)
        return self._declare(call, name, record)

    @handles("run.projects.locations.jobs.delete")
    async def delete_job(self, call: Call) -> Json:
        name = Name.of(call.params["name"])
        record = records.found(self.jobs, str(name))
        records.check_etag(call.params.get("etag"), str(name), record)
        view = records.view(str(name), record) | {"deleteTime": clock.timestamp()}
        if call.params.get("validateOnly"):
            return records.validated(name, "Job", view)

        async def work() -> Json:
            for execution in self.executions.names(f"{name}/executions/"):
                await self._cancel(execution)
                self._remove_execution(execution)
            self.jobs.delete(str(name))
            self.context.iam.forget(str(name))
            return view

        return records.operate(call, name, "Job", view, fallible(work()))

    @handles("run.projects.locations.jobs.run")
    async def run_job(self, call: Call) -> Json:
        name = Name.of(call.params["name"])
        record = records.found(self.jobs, str(name))
        records.check_etag(call.body.get("etag"), str(name), record)
        overrides = call.body.get("overrides") or {}
        if overrides:
            call.require("run.jobs.runWithOverrides", str(name))
        if record["status"]["terminalCondition"]["state"] != "CONDITION_SUCCEEDED":
            why = record["status"]["terminalCondition"].get(
                "message", "it is still being created or updated."
            )
            raise failed_precondition(f"Job '{name.id}' is not ready to be run: {why}")
        template = _overridden(record["spec"]["template"], overrides)
        full = f"{name}/executions/{name.id}-{suffix(5)}"
        execution = self._execution(name, record, template, call)
        if call.body.get("validateOnly"):
            return records.validated(name, "Execution", {"name": full, **execution})
        self._begin(name, full, execution)
        running = self._running[full]

        async def work() -> Json:
            await asyncio.wait({running})
            return {"name": full, **records.found(self.executions, full)}

        return records.operate(call, name, "Execution", {"name": full, **execution}, work())

    # ---------------------------------------------------------------- methods: executions and tasks

    @handles("run.projects.locations.jobs.executions.get")
    async def get_execution(self, call: Call) -> Json:
        name = call.params["name"]
        return {"name": name, **records.found(self.executions, name)}

    @handles("run.projects.locations.jobs.executions.list")
    async def list_executions(self, call: Call) -> Json:
        parent = call.params["parent"]
        prefix = parent.removesuffix("-") if parent.endswith("/jobs/-") else f"{parent}/executions/"
        found = [{"name": name, **execution} for name, execution in self.executions.items(prefix)]
        return records.page_of(call, "executions", found)

    @handles("run.projects.locations.jobs.executions.cancel")
    async def cancel_execution(self, call: Call) -> Json:
        full = call.params["name"]
        execution = records.found(self.executions, full)
        if call.body.get("etag") and call.body["etag"] != execution["etag"]:
            raise templates.conflict(full, call.body["etag"], execution["etag"])
        if "completionTime" in execution:
            raise failed_precondition(
                f"Execution '{short(full)}' is already completed and cannot be cancelled."
            )
        name = Name.of(full)
        view = {"name": full, **execution}
        if call.body.get("validateOnly"):
            return records.validated(name, "Execution", view)

        async def work() -> Json:
            await self._cancel(full)
            return {"name": full, **records.found(self.executions, full)}

        return records.operate(call, name, "Execution", view, work())

    @handles("run.projects.locations.jobs.executions.delete")
    async def delete_execution(self, call: Call) -> Json:
        full = call.params["name"]
        execution = records.found(self.executions, full)
        if call.params.get("etag") and call.params["etag"] != execution["etag"]:
            raise templates.conflict(full, call.params["etag"], execution["etag"])
        name = Name.of(full)
        view = {"name": full, **execution, "deleteTime": clock.timestamp()}
        if call.params.get("validateOnly"):
            return records.validated(name, "Execution", view)

        async def work() -> Json:
            await self._cancel(full)
            self._remove_execution(full)
            return view

        return records.operate(call, name, "Execution", view, work())

    @handles("run.projects.locations.jobs.executions.tasks.get")
    async def get_task(self, call: Call) -> Json:
        name = call.params["name"]
        return {"name": name, **records.found(self.tasks, name)}

    @handles("run.projects.locations.jobs.executions.tasks.list")
    async def list_tasks(self, call: Call) -> Json:
        parent = call.params["parent"]
        prefix = f"{parent}/tasks/"
        if parent.endswith("/executions/-"):
            prefix = parent.removesuffix("-")
        found = [{"name": name, **task} for name, task in self.tasks.items(prefix)]
        return call.page(sorted(found, key=lambda task: (task["execution"], task["index"])), "tasks")

    # ---------------------------------------------------------------- declaring

    def _declare(self, call: Call, name: Name, record: Json | None) -> Json:
        """Check and store a job. It becomes ready when its image and secrets can be had."""
        wanted = {key: value for key, value in call.body.items() if key not in ("name", "etag")}
        spec = templates.with_job_defaults(wanted, self.neighbours.default_account(name.project))
        templates.check_job(spec)
        if record is None:
            self.neighbours.constraints.require_location(name.project, "job", [name.region])
        task = spec["template"]["template"]
        self.neighbours.require_act_as(call.caller, task["serviceAccount"], name.project)
        self.neighbours.require_image_access(call.caller, task["containers"][0]["image"])
        status = (
            record["status"]
            if record
            else {
                **records.born(call),
                "executionCount": 0,
                "latestCreatedExecution": {},
            }
        )
        record = {"spec": spec, "status": status}
        if call.params.get("validateOnly"):
            return records.validated(name, "Job", records.view(str(name), record))
        records.touch(status, call, generation=True)
        status |= {
            "reconciling": True,
            "terminalCondition": condition("Ready", "RECONCILING"),
            "conditions": [],
        }
        self.jobs.put(str(name), record)
        return records.declare(call, name, "Job", self.jobs, self._make_ready(name))

    async def _make_ready(self, name: Name) -> Json:
        record = await self._settle(name)
        outcome = record["status"]["terminalCondition"]
        if outcome["state"] == "CONDITION_FAILED":
            raise ApiError("FAILED_PRECONDITION", outcome["message"])
        return records.view(str(name), record)

    async def _settle(self, name: Name) -> Json:
        """Find out whether a declared job can run, and store the answer."""
        record = records.found(self.jobs, str(name))
        status = record["status"]
        try:
            if error := operation_failure():
                raise Refusal(error.message, "INTERNAL")
            await self.containers.check(name, record["spec"]["template"]["template"])
            outcome = condition("Ready", "SUCCEEDED")
        except Refusal as refusal:
            outcome = condition("Ready", "FAILED", str(refusal), reason=refusal.reason)
        status |= {
            "reconciling": False,
            "observedGeneration": status["generation"],
            "terminalCondition": outcome,
        }
        records.touch(status)
        self.jobs.put(str(name), record)
        return record

    # ---------------------------------------------------------------- executing

    def _execution(self, name: Name, job: Json, template: Json, call: Call) -> Json:
        """A new execution of a job, not yet stored."""
        return {
            "uid": clock.new_id(),
            "generation": "1",
            "observedGeneration": "1",
            "creator": call.caller.email,
            "labels": template.get("labels", {}),
            "annotations": template.get("annotations", {}),
            "createTime": clock.timestamp(),
            "updateTime": clock.timestamp(),
            "launchStage": job["spec"]["launchStage"],
            "job": name.id,
            "parallelism": template.get("parallelism") or template["taskCount"],
            "taskCount": template["taskCount"],
            "template": template["template"],
            "reconciling": True,
            "conditions": [condition("Completed", "PENDING")],
            "runningCount": 0, "succeededCount": 0, "failedCount": 0, "cancelledCount": 0, "retriedCount": 0,
            "etag": clock.new_etag(),
        }  # fmt: skip

    def _begin(self, name: Name, full: str, execution: Json) -> None:
        """Store an execution and its tasks and let them run."""
        execution["logUri"] = log_uri(name.project, "cloud_run_job", job_name=name.id, location=name.region)
        self.executions.put(full, execution)
        names = [f"{full}/tasks/{short(full)}-task{index}" for index in range(execution["taskCount"])]
        for index, task in enumerate(names):
            self.tasks.put(task, _new_task(name, full, execution, index))
        job = records.found(self.jobs, str(name))
        job["status"]["executionCount"] += 1
        job["status"]["latestCreatedExecution"] = {
            "name": short(full), "createTime": execution["createTime"], "completionStatus": "EXECUTION_RUNNING",
        }  # fmt: skip
        self.jobs.put(str(name), job)
        self._running[full] = asyncio.create_task(self._execute(name, full, names))
        self._running[full].add_done_callback(lambda _: self._running.pop(full, None))

    async def _execute(self, name: Name, full: str, names: list[str]) -> None:
        execution = records.found(self.executions, full)
        try:
            await self.containers.check(name, execution["template"])
        except Refusal as refusal:
            self._end_before_start(full, execution, names, refusal)
            return
        execution["startTime"] = clock.timestamp()
        execution["runningCount"] = len(names)
        execution["conditions"] = [condition("Completed", "RECONCILING"), *_started()]
        self.executions.put(full, execution)
        places = asyncio.Semaphore(execution["parallelism"])

        async def one(index: int, task: str) -> None:
            async with places, self._slots:
                await self._run_task(name, full, task, index)

        cancelled = False
        try:
            await asyncio.gather(*(one(index, task) for index, task in enumerate(names)))
        except asyncio.CancelledError:
            cancelled = not self._stopping
            for task in names:
                self._end_task(task, None, _CANCELLED if cancelled else _INTERRUPTED, cancelled=cancelled)
        except Exception as error:
            log.exception("running %s", full)
            for task in names:
                self._end_task(task, None, records.internal_error(error))
        if current := self.executions.get(full):
            self._end_execution(full, current, cancelled=cancelled)

    async def _run_task(self, name: Name, full: str, task_name: str, index: int) -> None:
        """One task with its retries."""
        task = records.found(self.tasks, task_name)
        task["startTime"] = clock.timestamp()
        count = records.found(self.executions, full)["taskCount"]
        for attempt in range(task["maxRetries"] + 1):
            task["retried"] = attempt
            self.tasks.put(task_name, task)
            env = {
                "CLOUD_RUN_JOB": name.id, "CLOUD_RUN_EXECUTION": short(full), "CLOUD_RUN_TASK_INDEX": str(index),
                "CLOUD_RUN_TASK_ATTEMPT": str(attempt), "CLOUD_RUN_TASK_COUNT": str(count),
            }  # fmt: skip
            result, failure = await self._attempt(name, full, task, env)
            if result is not None and result.succeeded:
                break
        self._end_task(task_name, result, failure)

    async def _attempt(
        self, name: Name, full: str, task: Json, env: dict[str, str]
    ) -> tuple[TaskResult | None, str]:
        """Run the container once: (result, Google's words for a failure or nothing)."""
        if error := operation_failure():
            return None, error.message
        resource = {
            "type": "cloud_run_job",
            "labels": {"project_id": name.project, "location": name.region, "job_name": name.id},
        }
        labels = {
            "run.googleapis.com/execution_name": short(full),
            "run.googleapis.com/task_index": env["CLOUD_RUN_TASK_INDEX"],
            "run.googleapis.com/task_attempt": env["CLOUD_RUN_TASK_ATTEMPT"],
        }
        try:
            image = await self.neighbours.image(task["containers"][0]["image"], name.project)
            spec, on_log = self.containers.prepare(name, task, 0, image, env, resource, labels)
            tell_of_empty_volumes(task, 0, on_log)
            result = await run_task(spec, clock.seconds(task["timeout"]), on_log)
        except (Refusal, SandboxUnavailable, SandboxError, OSError) as error:
            return None, str(error)
        if result.succeeded:
            return result, ""
        return result, result.failure or (_TIMED_OUT if result.timed_out else _EXITED)

    def _end_task(
        self, name: str, result: TaskResult | None, failure: str, *, cancelled: bool = False
    ) -> None:
        task = self.tasks.get(name)
        if task is None or "completionTime" in task:
            return
        task |= {"completionTime": clock.timestamp(), "updateTime": clock.timestamp(), "reconciling": False}
        if result is not None and result.exit is not None:
            task["lastAttemptResult"] = {
                key: value
                for key, value in (("exitCode", result.exit.code), ("termSignal", result.exit.signal))
                if value is not None
            }
        if failure:
            task.setdefault("lastAttemptResult", {})["status"] = {
                "code": 1 if cancelled else 10,
                "message": failure,
            }
        reason = {"executionReason": "CANCELLED" if cancelled else "NON_ZERO_EXIT_CODE"} if failure else {}
        task["conditions"] = [condition("Completed", "FAILED" if failure else "SUCCEEDED", failure, **reason)]
        self.tasks.put(name, task)

    def _end_execution(self, full: str, execution: Json, *, cancelled: bool) -> None:
        tasks = [task for _, task in self.tasks.items(f"{full}/tasks/")]
        states = [task["conditions"][0] for task in tasks]
        succeeded = sum(state["state"] == "CONDITION_SUCCEEDED" for state in states)
        stopped = sum(state.get("executionReason") == "CANCELLED" for state in states)
        now = clock.timestamp()
        execution |= {
            "runningCount": 0, "succeededCount": succeeded, "cancelledCount": stopped,
            "failedCount": len(tasks) - succeeded - stopped,
            "retriedCount": sum(task["retried"] for task in tasks),
            "completionTime": now, "updateTime": now, "reconciling": False, "etag": clock.new_etag(),
        }  # fmt: skip
        if cancelled:
            outcome = condition("Completed", "FAILED", _CANCELLED, executionReason="CANCELLED")
        elif failed := [task for task in tasks if task["conditions"][0]["state"] == "CONDITION_FAILED"]:
            first = failed[0]
            message = f"Task {first['execution']}-task{first['index']} failed with message: {first['conditions'][0]['message']}"
            outcome = condition("Completed", "FAILED", message, executionReason="NON_ZERO_EXIT_CODE")
        else:
            outcome = condition("Completed", "SUCCEEDED", "Execution completed successfully.")
        execution["conditions"] = [outcome, *_started()]
        self.executions.put(full, execution)
        self._tell_job(
            full, execution, "CANCELLED" if cancelled else outcome["state"].removeprefix("CONDITION_")
        )

    def _end_before_start(self, full: str, execution: Json, tasks: list[str], refusal: Refusal) -> None:
        """End an execution that cannot have what its tasks need: none of them starts."""
        for task in tasks:
            self._end_task(task, None, str(refusal))
        now = clock.timestamp()
        failed = [
            condition(kind, "FAILED", str(refusal), reason=refusal.reason)
            for kind in ("Completed", "ResourcesAvailable")
        ]
        execution |= {
            "completionTime": now, "updateTime": now, "reconciling": False, "etag": clock.new_etag(),
            "conditions": [*failed, condition("Started", "PENDING")],
        }  # fmt: skip
        self.executions.put(full, execution)
        self._tell_job(full, execution, "FAILED")

    def _tell_job(self, full: str, execution: Json, ended: str) -> None:
        """Let the job say how its newest execution ended."""
        name = str(Name.of(full))
        job = self.jobs.get(name)
        if job and job["status"].get("latestCreatedExecution", {}).get("name") == short(full):
            job["status"]["latestCreatedExecution"] |= {
                "completionTime": execution["completionTime"],
                "completionStatus": f"EXECUTION_{ended}",
            }
            self.jobs.put(name, job)

    async def _cancel(self, full: str) -> None:
        if task := self._running.get(full):
            task.cancel()
            await asyncio.wait({task})

    def _remove_execution(self, full: str) -> None:
        for task in self.tasks.names(f"{full}/tasks/"):
            self.tasks.delete(task)
        self.executions.delete(full)


def _started() -> list[Json]:
    """The conditions of an execution whose tasks run, or ran."""
    return [condition("ResourcesAvailable", "SUCCEEDED"), condition("Started", "SUCCEEDED")]


def _new_task(name: Name, full: str, execution: Json, index: int) -> Json:
    now = clock.timestamp()
    return {
        "uid": clock.new_id(), "generation": "1", "observedGeneration": "1", "createTime": now, "updateTime": now,
        "scheduledTime": now, "job": name.id, "execution": short(full), "index": index, "retried": 0,
        "labels": execution["labels"], "annotations": execution["annotations"], "logUri": execution["logUri"],
        "reconciling": True, "etag": clock.new_etag(),
        "conditions": [condition("Completed", "PENDING")], **execution["template"],
    }  # fmt: skip


def _overridden(template: Json, overrides: Json) -> Json:
    """The execution template of one run: only arguments, variables, task count and timeout can differ."""
    template = copy.deepcopy(template)
    task = template["template"]
    for index, override in enumerate(overrides.get("containerOverrides", ())):
        container = task["containers"][0]
        if index > 0 or override.get("name", container.get("name")) != container.get("name"):
            raise invalid_argument(
                f"overrides.container_overrides[{index}]: no container '{override.get('name', '')}' to override.",
                field="overrides.container_overrides",
            )
        if override.get("clearArgs"):
            container["args"] = []
        if override.get("args"):
            container["args"] = override["args"]
        if override.get("env"):
            templates.check_env(override["env"], "overrides.container_overrides[0]", "job")
            changed = {entry["name"]: entry for entry in override["env"]}
            kept = [entry for entry in container.get("env", []) if entry["name"] not in changed]
            container["env"] = [*kept, *changed.values()]
    if "taskCount" in overrides:
        template["taskCount"] = overrides["taskCount"] or template["taskCount"]
    if "timeout" in overrides:
        task["timeout"] = overrides["timeout"]
    templates.check_job({"template": template})
    return template
