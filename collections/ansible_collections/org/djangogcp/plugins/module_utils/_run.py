# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What Cloud Run needs beyond the reconcile engine: candidates, who serves, executions and their output."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
import json
import re
import typing as t
import uuid

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ConnectionLostError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._logs import (
    lag,
    lines_of,
    log_as_it_comes,
    log_lines,
    moment,
)
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait, poll
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import read
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import (
    CANARY_ANNOTATION,
    DEPLOYED_ANNOTATION,
    JOB,
    PLACEHOLDER_ANNOTATION,
    SERVICE,
    TAKEN_OUT_ANNOTATION,
    WORKER_POOL,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import decode, get_path
from ansible_collections.org.djangogcp.plugins.module_utils._traffic import (
    LATEST,
    newest_revision,
    serving_targets,
    shares,
    standing,
    without_canary,
    without_traffic,
)

#: How long the log of a finished execution is read, in seconds: Cloud Logging says of no entry when it will be there.
_LOG_SECONDS = 30.0
# The same where the last line is not needed.
_FIRST_LOG_SECONDS = 2.0
# Entries come in any order. When the end of each container is among them, so long nothing new has to come.
_QUIET_SECONDS = 5.0
# The same where all was there within a second, as it usually is.
_PROMPT_QUIET_SECONDS = 2.0
_SYSTEM_LOG = "run.googleapis.com%2Fvarlog%2Fsystem"
# How Cloud Run tells the end of a container, in its own log and not in the application's.
_ENDS = ("Container called exit(", "Container terminated on signal ")
# How it tells in the same log that a container was given up before it served.
_NOT_STARTED = ("The instance was not started.", "Application failed to start")
# The reason of a revision whose container ran and did not begin to serve (run v2, Condition.revisionReason).
_CONTAINER_FAILED = "HEALTH_CHECK_CONTAINER_ERROR"
_REVISION_LINES = 30
#: The label that tells what a job was asked to do. It is on the job's template, which gives it to the executions.
#: Source: run v2, ExecutionTemplate ("describes the data an execution should have when created from a template"), and
#: https://docs.cloud.google.com/run/docs/configuring/jobs/labels.
ASKED_LABEL = "djangogcp-asked"
#: The environment variable that tells one start from all others.
START_VARIABLE = "DJANGOGCP_EXECUTION"
#: What the names of variables begin with that are about one execution, as that is, and not about what it runs.
_OF_ONE_EXECUTION = "DJANGOGCP_"
# How long an execution whose start was not answered is looked for, in seconds.
_LOST_SECONDS = 15.0
_PAGE = 20


class ExecutionError(DjangoGcpError):
    """An execution of a job that failed. Carries what it printed.

    Args:
        message: the text for the user.
        result: what the module returns besides.
        refusal: what Cloud Run says of an execution of which no task has started, "" when one has: it must not be repeated.
    """

    def __init__(self, message: str, result: Json, refusal: str = "") -> None:
        super().__init__(message)
        self.result = result
        self.refusal = refusal

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

    Raises:
        DjangoGcpError: the newest revision was deployed before, and somebody has given its traffic to another one since.
    """
    if current is None or not is_serving(current):
        return asked
    changed = is_placeholder(current) or any(
        change.name.startswith("template")
        for change in differences(asked, decode(current, SERVICE.fields), SERVICE.fields)
    )
    # What a run that was ended left with a part of the traffic begins again, without any.
    asked, serving = without_canary(current, asked), shares(current)
    if canary := standing(current):
        serving = canary.before
    newest = newest_revision(current)
    if not changed and serving == {newest: 100}:
        # Who was given the tag with the traffic keeps it.
        tagged = {"tag": tag} if tag in [one for _name, _percent, one in serving_targets(current)] else {}
        return with_deployed(
            current, {**asked, "traffic": [{"type": LATEST, "percent": 100, **tagged}]}, newest
        )
    moved = moved_traffic(current)
    if not changed and moved and moved["deployed"] == newest:
        raise DjangoGcpError(
            f"Failed to deploy {newest} again: nothing has changed since it was deployed, and somebody has given its traffic to "
            f"{moved['serving']} since. Deploy a change, or give it the traffic back with gcloud run services update-traffic."
        )
    return {**asked, "traffic": without_traffic(serving, tag)}


def with_own_hosts(current: Json | None, asked: Json, prefixes: t.Mapping[str, str], tag: str | None) -> Json:
    """What to ask for so that the program in a service knows all the addresses that Cloud Run gives the service.

    One of them has a hash that nobody can compute; Cloud Run tells it once the service is there, which a placeholder is enough for.
    Source: https://cloud.google.com/run/docs/triggering/https-request, "Service URLs"; run v2, Service.urls.

    Args:
        current: the service as read; None when there is none yet, and nothing is known.
        asked: the options.
        prefixes: by variable of the first container, which lists hosts with commas, what stands before each host.
        tag: a traffic tag whose addresses are wanted, too.
    """
    urls = {*(current or {}).get("urls", ()), (current or {}).get("uri")} - {None}
    own = sorted(str(url).removeprefix("https://") for url in urls)
    hosts = [*own, *(f"{tag}---{host}" for host in own if tag)]
    containers = (asked.get("template") or {}).get("containers")
    if not hosts or not containers:
        return asked

    def listed(variable: Json) -> Json:
        name, value = variable["name"], variable.get("value")
        if name not in prefixes or value is None:
            return variable
        there = [entry for entry in value.split(",") if entry]
        more = [prefixes[name] + host for host in hosts]
        return {**variable, "value": ",".join(dict.fromkeys([*there, *more]))}

    first = {**containers[0], "env": [listed(variable) for variable in containers[0].get("env") or []]}
    return {**asked, "template": {**asked["template"], "containers": [first, *containers[1:]]}}


def with_deployed(
    current: Json | None, asked: Json, revision: str, taken_out: t.Iterable[str] | None = None
) -> Json:
    """What to ask for so that the service remembers which revision was given all the traffic.

    Args:
        current: the service as read.
        asked: the options.
        revision: the short name of the revision.
        taken_out: what a rollback takes out, which is remembered, too; None to leave what is remembered of the last one.
    """
    annotations = asked.get("annotations")
    if annotations is None:
        annotations = (current or {}).get("annotations") or {}
    noted = {**annotations, DEPLOYED_ANNOTATION: revision}
    if noted.get(CANARY_ANNOTATION):
        noted[CANARY_ANNOTATION] = ""
    if taken_out is not None and (taken := ",".join(taken_out)) != annotations.get(TAKEN_OUT_ANNOTATION, ""):
        noted[TAKEN_OUT_ANNOTATION] = taken
    return {**asked, "annotations": noted}


def moved_traffic(service: Json | None) -> Json | None:
    """Who serves when it is not the revision that was deployed last, because somebody has moved the traffic since.

    Returns:
        ``deployed``, the revision that was given all the traffic last, and ``serving``, the one that has most of it. None when
        the one has all of it, a canary has a part of it, nobody knows of a deploy, or Cloud Run is still at what it was last asked.
    """
    service = service or {}
    deployed = str((service.get("annotations") or {}).get(DEPLOYED_ANNOTATION, ""))
    now = shares(service)
    if not deployed or not now or now == {deployed: 100} or standing(service) or service.get("reconciling"):
        return None
    return {"deployed": deployed, "serving": max(sorted(now), key=lambda name: now[name])}


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
    return {**asked, "template": template, "traffic": [{"type": LATEST, "percent": 100}]}


def is_placeholder(resource: Json | None) -> bool:
    """Whether the template of a service, or a revision, as read, is a placeholder's."""
    resource = resource or {}
    annotations = (resource.get("template", resource) or {}).get("annotations") or {}
    return PLACEHOLDER_ANNOTATION in annotations


def is_serving(service: Json | None) -> bool:
    """Whether anything of a service, as read, gets traffic."""
    return bool(serving_targets(service or {}))


def serving(client: Client, ids: t.Mapping[str, str], service: Json) -> list[Json]:
    """Who serves: revision, percentage, tag, image and whether it is a placeholder. One read per revision."""
    result = []
    for revision, percent, tag in serving_targets(service):
        call = Call(f"read revision {revision}", "run.revisions.get")
        found = client.find(f"{SERVICE.url(ids)}/revisions/{revision}", call, ahead=True) or {}
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


def working(client: Client, ids: t.Mapping[str, str]) -> list[Json]:
    """Which revisions have the instances of a worker pool: revision, percentage and image. One read per revision."""
    pool = read(client, WORKER_POOL, ids) or {}
    result = []
    for revision, percent, _tag in serving_targets(pool, "instanceSplitStatuses"):
        call = Call(f"read revision {revision}", "run.revisions.get")
        found = client.find(f"{WORKER_POOL.url(ids)}/revisions/{revision}", call) or {}
        containers = found.get("containers") or [{}]
        result.append({"revision": revision, "percent": percent, "image": containers[0].get("image", "")})
    return result


def candidate(service: Json, tag: str) -> Json | None:
    """Revision and address of what carries a tag, None when nothing does."""
    for target in service.get("trafficStatuses") or []:
        if target.get("tag") == tag and not target.get("percent"):
            revision = str(target.get("revision") or newest_revision(service)).rpartition("/")[2]
            return {"revision": revision, "uri": target.get("uri", "")}
    return None


def revision_log(client: Client, project: str, revision: str) -> list[str]:
    """What a revision has printed so far."""
    return log_lines(client, project, _of_revision(revision), limit=_REVISION_LINES)


def ended_at_once(
    client: Client, ids: t.Mapping[str, str], pool: Json, seconds: int, *, wait: bool
) -> list[str]:
    """What the newest revision of a worker pool printed when a container of it ended so soon that it cannot have worked; [] when none did.

    Nobody asks such a container whether it works: Cloud Run takes it for ready when it runs, and starts it again when it ends.

    Args:
        client: calls the APIs.
        ids: the values of the braces in the path of the worker pool.
        pool: the worker pool as read.
        seconds: how soon after it was ready is at once.
        wait: whether its log is looked at until then, because it has just been made.
    """
    revision, project = newest_revision(pool), ids["project"]
    call = Call(f"read revision {revision}", "run.revisions.get")
    found = client.find(f"{WORKER_POOL.url(ids)}/revisions/{revision}", call) or {}
    ready: Json = next((one for one in found.get("conditions") or [] if one.get("type") == "Ready"), {})
    if ready.get("state") != "CONDITION_SUCCEEDED":
        return []
    until = moment(ready["lastTransitionTime"]) + datetime.timedelta(seconds=seconds)
    selector = _of_revision(revision, "cloud_run_worker_pool")

    def is_end(entry: Json) -> bool:
        return _is_end(entry) and moment(entry["timestamp"]) <= until

    entries, _unread = log_as_it_comes(
        client,
        project,
        f'{selector} AND logName="projects/{project}/logs/{_SYSTEM_LOG}"',
        lambda entries, quiet: any(map(is_end, entries)),
        Deadline(seconds if wait else 0, client.clock),
        end_of=f"revision {revision}",
    )
    ends = list(filter(is_end, entries))
    if not ends:
        return []
    return log_lines(client, project, selector, limit=_REVISION_LINES) or lines_of(ends)


def log_of_failed_start(
    client: Client, project: str, service: Json, revision: str, kind: str = "cloud_run_revision"
) -> list[str]:
    """What a revision that did not start has printed. As of an execution that has ended, it is waited for, unless Cloud Run says of the
    service that no container ran.

    Args:
        client: calls the APIs.
        project: the project.
        service: the service or worker pool as read.
        revision: its newest revision.
        kind: the kind of monitored resource whose log it is.
    """
    reason = _reason_of(service)
    if reason and reason != _CONTAINER_FAILED:
        return log_lines(client, project, _of_revision(revision, kind), limit=_REVISION_LINES)

    def is_whole(entries: list[Json], quiet: float) -> bool:
        return any(map(_is_end_of_start, entries)) and quiet >= _quiet_seconds(False, entries)

    entries, said = log_as_it_comes(
        client,
        project,
        _of_revision(revision, kind),
        is_whole,
        Deadline(_LOG_SECONDS, client.clock),
        end_of=f"revision {revision}",
        limit=_REVISION_LINES,
    )
    return [*lines_of(entries), *said]


def _of_revision(revision: str, kind: str = "cloud_run_revision") -> str:
    return f'resource.type="{kind}" AND resource.labels.revision_name="{revision}"'


def _reason_of(service: Json) -> str:
    """Why a service is not ready, "" if Cloud Run tells no reason (run v2, Condition: a reason is in one of these fields)."""
    condition = service.get("terminalCondition") or {}
    return str(condition.get("revisionReason") or condition.get("reason") or "")


@dataclasses.dataclass(frozen=True)
class Overrides:
    """What one execution does differently from its job (run v2, Overrides). The command cannot be overridden."""

    args: list[str] | None = None
    env: t.Mapping[str, str] | None = None
    timeout: int | None = None

    def body(self, start: str = "") -> Json:
        """The body of projects.locations.jobs.run.

        Args:
            start: what tells this start from all others, "" for nothing.
        """
        container: Json = {}
        if self.args is not None:
            container["args"] = self.args
        env = {**(self.env or {}), **({START_VARIABLE: start} if start else {})}
        if env:
            container["env"] = [{"name": name, "value": value} for name, value in sorted(env.items())]
        overrides: Json = {"containerOverrides": [container]} if container else {}
        if self.timeout is not None:
            overrides["timeout"] = f"{self.timeout}s"
        return {"overrides": overrides} if overrides else {}


def labelled(asked: Json, current: Json | None) -> Json:
    """What to ask for so that a job's executions tell what the job was asked to do.

    The label changes with the template only: it is never the one difference, but on a job that was made without it.

    Args:
        asked: the options of a job.
        current: the job as read; None when there is none yet.
    """
    template = asked.get("template")
    if template is None:
        return asked
    present = get_path(current, "template.labels") or {}
    others = template.get("labels")
    if others is None:
        others = {key: value for key, value in present.items() if key != ASKED_LABEL}

    def with_label(value: str) -> Json:
        return {**asked, "template": {**template, "labels": {**others, ASKED_LABEL: value}}}

    if current is not None and ASKED_LABEL in present:
        kept = with_label(present[ASKED_LABEL])
        if not differences({"template": kept["template"]}, decode(current, JOB.fields), JOB.fields):
            return kept
    return with_label(asked_hash(template))


def asked_hash(template: Json) -> str:
    """A job's asked template, without its labels, as 32 hexadecimal digits."""
    what_runs = {key: value for key, value in template.items() if key != "labels"}
    text = json.dumps(_comparable(what_runs), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _comparable(value: t.Any) -> t.Any:
    """Without what is not asked. Scalars are strings, which ansible-core 2.18 makes of numbers that a template computes."""
    if isinstance(value, dict):
        return {str(key): _comparable(item) for key, item in value.items() if item is not None}
    return [_comparable(item) for item in value] if isinstance(value, list) else str(value)


def asked_label(job: Json | None) -> str:
    """The label of a job as read, "" when it has none."""
    return str((get_path(job, "template.labels") or {}).get(ASKED_LABEL, ""))


class Output(t.NamedTuple):
    """What an execution has printed.

    Attributes:
        lines: all of it, oldest line first, also what Cloud Run said beside.
        cause: what Cloud Run itself said first, "" when it only told the end.
    """

    lines: list[str]
    cause: str


class Executions:
    """The executions of one job."""

    def __init__(self, client: Client, project: str, location: str, job: str) -> None:
        self._client = client
        self._project = project
        self._location = location
        self._job = job
        self._url = JOB.url({"project": project, "location": location, "name": job})
        self._read: Json | None = None
        #: The names of the newest executions when they were looked at.
        self._before: set[str] | None = None

    def newest_as_is(self, job: Json | None = None) -> Json | None:
        """The job's newest execution when it runs, or ran without failing, what the job was asked to do; else None.

        The label tells, and not the templates, in which Google fills in what it likes. Executions with other arguments or
        variables than the job's, which somebody started besides, do not count.

        Args:
            job: the job, if it has just been read. Then executions that were read ahead will do, too.
        """
        ahead = job is not None
        job = job or self._read_job()
        label = asked_label(job)
        if not label:
            return None
        for execution in self._all_of(job, ahead):
            if _label(execution) != label:
                return None
            if not _is_overridden(execution, job):
                return None if execution.get("completionTime") and not is_succeeded(execution) else execution
        return None

    def account_and_databases(self) -> tuple[str, list[str]]:
        """As which service account the job runs, "" for the project's default one, and which databases it has a socket of."""
        task = get_path(self._read_job(), "template.template") or {}
        volumes = [volume.get("cloudSqlInstance", {}) for volume in task.get("volumes") or []]
        connections = [name for volume in volumes for name in volume.get("instances") or []]
        return str(task.get("serviceAccount", "")), connections

    def _read_job(self) -> Json:
        """The job, read once: what it is asked to do does not change by running it."""
        if self._read is None:
            self._read = self._client.get(self._url, Call(f"read job {self._job}", "run.jobs.get"))
        return self._read

    def _all_of(self, job: Json, ahead: bool) -> t.Iterator[Json]:
        """All executions, the newest first, also one that the job knows already and the list does not yet."""
        executions = self.newest_first(ahead=ahead)
        page = [*itertools.islice(executions, _PAGE)]
        self._before = {execution["name"] for execution in page}
        newest = _short((job.get("latestCreatedExecution") or {}).get("name", ""))
        if newest and newest not in {_short(execution["name"]) for execution in page}:
            call = Call(f"read execution {newest}", "run.executions.get")
            unlisted = self._client.find(f"{self._url}/executions/{newest}", call)
            if unlisted is not None:
                self._before.add(unlisted["name"])
                yield unlisted
        yield from page
        yield from executions

    def newest_first(self, *, ahead: bool = False) -> t.Iterator[Json]:
        """All executions (run v2, executions.list: "sorted by creation time, descending"). With `ahead`, those that were read
        ahead will do.
        """
        call = Call(f"list the executions of job {self._job}", "run.executions.list")
        url, params = f"{self._url}/executions", {"pageSize": _PAGE}
        return self._client.list(url, call, items="executions", params=params, ahead=ahead)

    def _page(self) -> t.Iterator[Json]:
        """So many of the newest executions that one that was just started is among them."""
        return itertools.islice(self.newest_first(), _PAGE)

    def start(self, overrides: Overrides, *, once: bool = False) -> Json:
        """Start an execution and return it. It is never started a second time.

        When the answer is lost, the execution is looked for: by a variable that only this start has, or with `once` and no
        overrides (which need a permission of their own) by the job's label and its being new.

        Raises:
            DjangoGcpError: the answer is lost and no execution is found, so that nobody knows whether the job ran; or Cloud
                Run refuses to start it.
        """
        start = "" if once and not overrides.body() else uuid.uuid4().hex
        body = overrides.body(start)
        is_ours = (lambda execution: _start_of(execution) == start) if start else self._is_new()
        call = Call(f"run job {self._job}", "run.jobs.runWithOverrides" if body else "run.jobs.run")
        try:
            operation = self._client.request("POST", f"{self._url}:run", call, body=body)
        except ConnectionLostError as lost:
            return self._started(is_ours, lost, once)
        if operation.get("error"):
            raise DjangoGcpError(f"Failed to run job {self._job}: {operation['error'].get('message', '')}.")
        return t.cast(Json, operation.get("metadata") or operation.get("response") or {})

    def _is_new(self) -> t.Callable[[Json], bool]:
        """What tells an execution that runs what the job says, and was not there when its executions were looked at.

        One that somebody else has started in between would do: it runs the same.
        """
        job = self._read_job()
        label = asked_label(job)
        before = {execution["name"] for execution in self._page()} if self._before is None else self._before
        return lambda execution: (
            execution["name"] not in before
            and _label(execution) == label
            and not _is_overridden(execution, job)
        )

    def _started(self, is_ours: t.Callable[[Json], bool], lost: ConnectionLostError, once: bool) -> Json:
        """The execution of a start whose answer was lost."""
        deadline = Deadline(_LOST_SECONDS, self._client.clock)
        why = f"No execution of this start was seen for {_LOST_SECONDS:.0f} seconds."
        try:
            for delay in delays(first=0.3, factor=1.5, longest=3):
                found = next(filter(is_ours, self._page()), None)
                if found is not None:
                    return found
                if not deadline.sleep(delay):
                    break
        except DjangoGcpError as error:
            why = error.message
        again = "What has run by then is not run again." if once else "Only if it did not run, run again."
        raise DjangoGcpError(
            f"{lost.cause} It is not known whether the job runs, and it is not started a second time. {why} "
            f"Look with 'gcloud run jobs executions list --job {self._job} --region {self._location} "
            f"--project {self._project}'{', or run again' if once else ''}. {again}"
        ) from lost

    def finish(self, execution: Json, wait: Wait, *, doing: str = "") -> Json:
        """Wait for the end of an execution, good or bad. ``doing`` says what it does, in a verb phrase: run the job by default."""
        name = str(execution["name"]).rpartition("/")[2]
        return poll(
            lambda: self._client.get(
                f"{self._url}/executions/{name}", Call(f"read execution {name}", "run.executions.get")
            ),
            lambda last: bool(last.get("completionTime")),
            Deadline(wait.timeout, self._client.clock),
            doing=f"{doing or f'run job {self._job}'} (execution {name})",
        )

    def output(self, execution: Json, *, whole: bool = True, report_line: str | None = None) -> Output:
        """What an execution that has ended printed.

        It reaches the log by and by. The lines are all there when Cloud Run has told the end of each container and nothing new
        has come for a while; when that does not happen in time, the last line says that more may come.

        Args:
            whole: wait until the last line is there. Otherwise what comes within two seconds will do.
            report_line: a regular expression; a line that matches it has to be there in any case.
        """
        name = str(execution["name"]).rpartition("/")[2]
        selector = (
            f'resource.type="cloud_run_job" AND resource.labels.job_name="{self._job}"'
            f' AND labels."run.googleapis.com/execution_name"="{name}"'
        )
        if execution.get("createTime"):
            # Otherwise all that Cloud Logging keeps is searched.
            selector += f' AND timestamp>="{execution["createTime"]}"'
        ends = max(1, int(execution.get("taskCount") or 1)) + int(execution.get("retriedCount") or 0)

        def is_whole(entries: list[Json], quiet: float) -> bool:
            has_ended = len([entry for entry in entries if _is_end(entry)]) >= ends
            if report_line and not whole:
                return any(re.search(report_line, line) for line in lines_of(entries))
            return has_ended and (not whole or quiet >= _quiet_seconds(is_succeeded(execution), entries))

        entries, said = log_as_it_comes(
            self._client,
            self._project,
            selector,
            is_whole,
            Deadline(_LOG_SECONDS if whole or report_line else _FIRST_LOG_SECONDS, self._client.clock),
            end_of="the execution",
        )
        return Output([*lines_of(entries), *said], _said_by_cloud_run(entries))

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


def _is_of_cloud_run(entry: Json) -> bool:
    return str(entry.get("logName", "")).endswith(_SYSTEM_LOG)


def _is_end(entry: Json) -> bool:
    """Whether an entry is Cloud Run's own, and tells the end of a container."""
    return _is_of_cloud_run(entry) and str(entry.get("textPayload", "")).startswith(_ENDS)


def _is_end_of_start(entry: Json) -> bool:
    """Whether an entry is Cloud Run's own, and tells that a container ended or was given up."""
    text = str(entry.get("textPayload", ""))
    return _is_end(entry) or (_is_of_cloud_run(entry) and any(sign in text for sign in _NOT_STARTED))


def _quiet_seconds(succeeded: bool, entries: t.Iterable[Json]) -> float:
    """For how long nothing new may have come to a log that is whole, by whether what printed it succeeded."""
    slowest = max(map(lag, entries), default=0.0)
    if slowest < 1 and succeeded:
        return _PROMPT_QUIET_SECONDS
    return max(_QUIET_SECONDS, slowest)


def _said_by_cloud_run(entries: t.Iterable[Json]) -> str:
    """What Cloud Run itself logged beside the ends of containers, for instance that an account may not use a database."""
    said = [str(one.get("textPayload", "")) for one in entries if _is_of_cloud_run(one) and not _is_end(one)]
    return next((text for text in said if text), "")


def has_started(execution: Json) -> bool:
    """Whether any task of an execution has begun. run v2, Execution: ``startTime`` and the counts are of tasks that ran."""
    counts = ("runningCount", "succeededCount", "failedCount", "cancelledCount", "retriedCount")
    return bool(execution.get("startTime")) or any(execution.get(count) for count in counts)


def _short(name: str) -> str:
    """The last segment of a name."""
    return str(name).rpartition("/")[2]


def _label(execution: Json) -> str:
    return str((execution.get("labels") or {}).get(ASKED_LABEL, ""))


def _container(shape: Json, path: str) -> Json:
    """The one container of a job or an execution."""
    containers: list[Json] = get_path(shape, path) or [{}]
    return containers[0]


def _variables(container: Json) -> dict[str, str]:
    """The variables of a container that are no secrets."""
    return {
        one["name"]: str(one.get("value", ""))
        for one in container.get("env") or []
        if "valueSource" not in one
    }


def _start_of(execution: Json) -> str:
    """What tells the start of an execution from all others, "" for nothing."""
    return _variables(_container(execution, "template.containers")).get(START_VARIABLE, "")


def _is_overridden(execution: Json, job: Json) -> bool:
    """Whether an execution has other arguments than the job as read, or variables that the job does not have.

    This is what a start can override of what runs (run v2, ContainerOverride). Google fills in neither.
    """
    ran, said = _container(execution, "template.containers"), _container(job, "template.template.containers")
    variables = {
        name: value for name, value in _variables(ran).items() if not name.startswith(_OF_ONE_EXECUTION)
    }
    same_arguments = (ran.get("args") or []) == (said.get("args") or [])
    return not (same_arguments and variables.items() <= _variables(said).items())


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
