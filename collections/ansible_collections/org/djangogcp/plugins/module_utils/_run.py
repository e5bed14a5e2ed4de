# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What Cloud Run needs beyond the reconcile engine: candidates, who serves, executions and their output."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ConnectionLostError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    decode,
    differences,
    dig,
)
from ansible_collections.org.djangogcp.plugins.module_utils._logs import log_lines
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait, poll
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import (
    JOB,
    PLACEHOLDER_ANNOTATION,
    RETRY_ANNOTATION,
    SERVICE,
)

_LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
_REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
#: How long the first line of a finished execution's log may be on its way to Cloud Logging, in seconds.
_LOG_SECONDS = 15.0


class ExecutionError(DjangoGcpError):
    """An execution of a job that failed. Carries what it printed."""

    def __init__(self, message: str, result: Json) -> None:
        super().__init__(message)
        self.result = result

    def as_fail_json(self) -> dict[str, t.Any]:
        return {"msg": self.message, **self.result}


def with_candidate(current: Json | None, asked: Json, tag: str) -> Json:
    """What to ask for so that a changed template becomes a tagged revision without traffic.

    Args:
        current: the service as read; None when there is none yet. As long as nothing serves, the first revision that
            starts has to, unless a placeholder was made before (`with_placeholder`).
        asked: the options.
        tag: the tag of the candidate.

    Returns:
        The options with ``traffic`` that leaves everything where it serves now; with all traffic for the newest revision when
        that has it and there is nothing to try out.
    """
    if current is None or not is_serving(current):
        return asked
    changed = is_placeholder(current) or any(
        change.name.startswith("template")
        for change in differences(asked, decode(current, SERVICE.fields), SERVICE.fields)
    )
    serving = {name: percent for name, percent, _tag in _serving(current)}
    if not changed and serving == {newest_revision(current): 100}:
        return {**asked, "traffic": [{"type": _LATEST, "percent": 100}]}
    pinned = [
        {"type": _REVISION, "revision": name, "percent": percent} for name, percent in sorted(serving.items())
    ]
    return {**asked, "traffic": [*pinned, {"type": _LATEST, "percent": 0, "tag": tag}]}


def with_placeholder(asked: Json, placeholder: Json) -> Json:
    """What to ask for so that a placeholder gets the traffic of a service of which nothing serves.

    Cloud Run cannot create a service without traffic, and the first revision would serve without having been tried out.
    The placeholder needs nothing that may not be there yet: no secret, no volume, no database.

    Args:
        asked: the options, with the template of the release.
        placeholder: ``command`` and ``args`` of its container.
    """
    release = asked["template"]
    kept = ("service_account", "encryption_key", "vpc_access")
    template = {
        **{name: release[name] for name in kept if release.get(name) is not None},
        "annotations": {PLACEHOLDER_ANNOTATION: "true"},
        "scaling": {"min_instance_count": 0, "max_instance_count": 1},
        "containers": [
            {
                "image": release["containers"][0]["image"],
                "command": placeholder["command"],
                "args": placeholder["args"] or [],
            }
        ],
    }
    return {**asked, "template": template, "traffic": [{"type": _LATEST, "percent": 100}]}


def is_placeholder(resource: Json | None) -> bool:
    """Whether the template of a service, or a revision, as read, is a placeholder's."""
    resource = resource or {}
    annotations = resource.get("template", resource).get("annotations") or {}
    return PLACEHOLDER_ANNOTATION in annotations


def newest_revision(service: Json | None) -> str:
    """The short name of the newest revision of a service, as read, whether it started or not; "" if there is none."""
    return str((service or {}).get("latestCreatedRevision", "")).rpartition("/")[2]


def with_another_try(current: Json | None, asked: Json) -> Json:
    """What to ask for so that a template whose revision did not start gets a new revision.

    Cloud Run makes revisions for changed templates only: what was mended outside of the template (a grant, a database)
    would never be tried again. The annotation is the change.

    Args:
        current: the service as read.
        asked: the options.
    """
    if current is None or "template" not in asked or current.get("reconciling"):
        return asked
    created, ready = current.get("latestCreatedRevision", ""), current.get("latestReadyRevision", "")
    if created == ready:
        return asked
    annotations = {
        **(dig(current, "template.annotations") or {}),
        **(asked["template"].get("annotations") or {}),
    }
    annotations[RETRY_ANNOTATION] = newest_revision(current)
    return {**asked, "template": {**asked["template"], "annotations": annotations}}


def is_serving(service: Json | None) -> bool:
    """Whether anything of a service, as read, gets traffic."""
    return bool(_serving(service or {}))


def _serving(service: Json) -> list[tuple[str, int, str]]:
    """Revision, percentage and tag of everything that gets traffic."""
    ready = str(service.get("latestReadyRevision", "")).rpartition("/")[2]
    found = []
    for target in service.get("trafficStatuses") or []:
        if target.get("percent"):
            revision = str(target.get("revision") or ready).rpartition("/")[2]
            found.append((revision, int(target["percent"]), str(target.get("tag", ""))))
    return found


def serving(client: Client, ids: t.Mapping[str, str], service: Json) -> list[Json]:
    """Who serves: revision, percentage, tag, image and whether it is a placeholder. One read per revision."""
    result = []
    for revision, percent, tag in _serving(service):
        call = Call(f"read revision {revision}", "run.revisions.get")
        found = client.find(f"{SERVICE.url(ids)}/revisions/{revision}", call) or {}
        containers = found.get("containers") or [{}]
        result.append(
            {
                "revision": revision,
                "percent": percent,
                "tag": tag,
                "image": containers[0].get("image", ""),
                "placeholder": is_placeholder(found),
            }
        )
    return result


def candidate(service: Json, tag: str) -> Json | None:
    """Revision and address of what carries a tag, None when nothing does."""
    for target in service.get("trafficStatuses") or []:
        if target.get("tag") == tag and not target.get("percent"):
            revision = str(target.get("revision") or newest_revision(service)).rpartition("/")[2]
            return {"revision": revision, "uri": target.get("uri", "")}
    return None


def revision_log(client: Client, project: str, revision: str) -> list[str]:
    """What a revision has printed."""
    return log_lines(
        client,
        project,
        f'resource.type="cloud_run_revision" AND resource.labels.revision_name="{revision}"',
        limit=30,
    )


@dataclasses.dataclass(frozen=True)
class Overrides:
    """What one execution does differently from its job (run v2, Overrides). The command cannot be overridden."""

    args: list[str] | None = None
    env: t.Mapping[str, str] | None = None
    timeout: int | None = None

    def body(self) -> Json:
        """The body of projects.locations.jobs.run."""
        container: Json = {}
        if self.args is not None:
            container["args"] = self.args
        if self.env:
            container["env"] = [{"name": name, "value": value} for name, value in sorted(self.env.items())]
        overrides: Json = {"containerOverrides": [container]} if container else {}
        if self.timeout is not None:
            overrides["timeout"] = f"{self.timeout}s"
        return {"overrides": overrides} if overrides else {}


class Executions:
    """The executions of one job."""

    def __init__(self, client: Client, project: str, location: str, job: str) -> None:
        self._client = client
        self._project = project
        self._job = job
        self._url = JOB.url({"project": project, "location": location, "name": job})

    def newest_as_is(self, job: Json | None = None) -> Json | None:
        """The job's newest execution when it runs, or ran without failing, exactly what the job says now; else None.

        Args:
            job: the job, if it has just been read.
        """
        job = job or self._job_now()
        newest = self._newest(job)
        execution = self._execution(newest) if newest else None
        if execution is None or execution.get("template") != job["template"].get("template"):
            return None
        return None if execution.get("completionTime") and not is_succeeded(execution) else execution

    def _job_now(self) -> Json:
        return self._client.get(self._url, Call(f"read job {self._job}", "run.jobs.get"))

    @staticmethod
    def _newest(job: Json) -> str:
        return str((job.get("latestCreatedExecution") or {}).get("name", "")).rpartition("/")[2]

    def _execution(self, name: str) -> Json | None:
        call = Call(f"read execution {name}", "run.executions.get")
        return self._client.find(f"{self._url}/executions/{name}", call)

    def start(self, overrides: Overrides) -> Json:
        """Start an execution and return it. When the answer is lost, the job's newest execution tells whether it was started."""
        body = overrides.body()
        permission = "run.jobs.runWithOverrides" if body else "run.jobs.run"
        call = Call(f"run job {self._job}", permission)
        before = self._newest(self._job_now())
        try:
            operation = self._client.request("POST", f"{self._url}:run", call, body=body)
        except ConnectionLostError:
            job = self._job_now()
            newest = self._newest(job)
            execution = self._execution(newest) if newest and newest != before else None
            if execution is not None and _runs(execution, job, overrides):
                return execution
            operation = self._client.request("POST", f"{self._url}:run", call, body=body)
        if operation.get("error"):
            raise DjangoGcpError(f"Failed to run job {self._job}: {operation['error'].get('message', '')}.")
        return t.cast(Json, operation.get("metadata") or operation.get("response") or {})

    def finish(self, execution: Json, wait: Wait) -> Json:
        """Wait for the end of an execution, good or bad."""
        name = str(execution["name"]).rpartition("/")[2]
        return poll(
            lambda: self._client.get(
                f"{self._url}/executions/{name}", Call(f"read execution {name}", "run.executions.get")
            ),
            lambda last: bool(last.get("completionTime")),
            Deadline(wait.timeout, self._client.clock),
            doing=f"run job {self._job} (execution {name})",
        )

    def output(self, execution: Json) -> list[str]:
        """What an execution has printed, oldest line first."""
        name = str(execution["name"]).rpartition("/")[2]
        selector = (
            f'resource.type="cloud_run_job" AND resource.labels.job_name="{self._job}"'
            f' AND labels."run.googleapis.com/execution_name"="{name}"'
        )
        deadline = Deadline(_LOG_SECONDS if not is_succeeded(execution) else 2.0, self._client.clock)
        delay = 0.2
        while True:
            lines = log_lines(self._client, self._project, selector)
            if lines or not deadline.sleep(delay):
                return lines
            delay *= 2

    def result(self, execution: Json) -> Json:
        """An execution as modules return it."""
        return {
            "name": str(execution["name"]).rpartition("/")[2],
            "succeeded": is_succeeded(execution),
            "exit_code": self._exit_code(execution),
            "log_uri": execution.get("logUri", ""),
            "create_time": execution.get("createTime", ""),
            "completion_time": execution.get("completionTime", ""),
            "message": _message(execution),
        }

    def list(self, limit: int) -> list[Json]:
        """The newest executions first."""
        call = Call(f"list the executions of job {self._job}", "run.executions.list")
        page = self._client.get(f"{self._url}/executions", call, params={"pageSize": limit})
        return [self.result(execution) for execution in page.get("executions") or []]

    def _exit_code(self, execution: Json) -> int:
        """The exit code of the first task that failed; 0 when all succeeded, -1 when none is told (a timeout)."""
        if is_succeeded(execution):
            return 0
        name = str(execution["name"]).rpartition("/")[2]
        call = Call(f"list the tasks of execution {name}", "run.tasks.list")
        for task in self._client.list(f"{self._url}/executions/{name}/tasks", call, items="tasks"):
            code = (task.get("lastAttemptResult") or {}).get("exitCode")
            if code:
                return int(code)
        return -1


def _runs(execution: Json, job: Json, overrides: Overrides) -> bool:
    """Whether an execution does what was asked: what the job says, with the arguments that were given."""
    container = dig(execution, "template.containers") or [{}]
    own = dig(job, "template.template.containers") or [{}]
    args = overrides.args if overrides.args is not None else own[0].get("args") or []
    return container[0].get("image") == own[0].get("image") and (container[0].get("args") or []) == args


def is_succeeded(execution: Json) -> bool:
    """Whether an execution has come to a good end."""
    return bool(execution.get("completionTime")) and any(
        condition.get("type") == "Completed" and condition.get("state") == "CONDITION_SUCCEEDED"
        for condition in execution.get("conditions") or []
    )


def _message(execution: Json) -> str:
    return next(
        (
            str(c.get("message", ""))
            for c in execution.get("conditions") or []
            if c.get("type") == "Completed"
        ),
        "",
    )
