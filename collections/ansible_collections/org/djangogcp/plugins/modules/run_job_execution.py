#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_job_execution
short_description: Run a Cloud Run job and show what it prints
version_added: 0.9.0
description:
  - Runs a job, waits for its end, and returns its exit code and its output. The task fails when the execution does, with the
    end of the output in the message.
  - It never starts a job twice. When the answer to the start is lost, the execution is looked for. If none is found, the task fails
    and says that nobody knows whether the job ran.
  - An execution gets the environment variable C(DJANGOGCP_EXECUTION), by which it is found, except with O(once=true) and no overrides.
    That needs the permission C(run.jobs.runWithOverrides), which for instance C(roles/run.developer) has.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._wait
attributes:
  idempotent:
    support: partial
    details: Only with O(once=true); otherwise every run runs the job.
options:
  job:
    description:
      - The job's id.
    type: str
    required: true
  location:
    description:
      - The region.
    type: str
    required: true
  args:
    description:
      - Arguments instead of the job's own. Cloud Run cannot replace the command.
    type: list
    elements: str
  env:
    description:
      - Environment variables on top of the job's. Not for secrets, which Cloud Run would show.
      - Those whose names begin with C(DJANGOGCP_) are about the execution alone; for O(once=true) it ran what the job was asked to do all the same.
    type: dict
  timeout:
    description:
      - Seconds after which the execution is stopped, instead of the job's own.
    type: int
  once:
    description:
      - Do nothing when the newest execution ran what the job was asked to do, and succeeded. Wait for it when it is still
        running, also when an earlier task or an interrupted run began it.
      - The label that M(org.djangogcp.run_jobs) puts on a job tells. A job without it has not run as it is.
    type: bool
    default: false
  report_line:
    description:
      - A regular expression for the line that tells whoever reads RV(output) what was done. The log is read until there is one, or for 30 seconds,
        also with O(once=true), and of a failure it is not among the lines in the message.
    type: str
  python_args:
    description:
      - Arguments with which the job runs the Python code that follows them, for instance V([shell, -c]) of a Django project's C(manage.py).
      - With them, what the job's account was granted less than seven minutes ago, to use a bucket or a database of Cloud SQL or to sign,
        is waited for before the job is started, by one execution that tries it. Without them, a right that has not taken effect yet
        makes the job fail.
    type: list
    elements: str
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Migrate the database, unless this image has done it
  org.djangogcp.run_job_execution:
    project: my-project
    location: us-central1
    job: polls-migrate
    once: true

- name: Run a management command
  org.djangogcp.run_job_execution:
    project: my-project
    location: us-central1
    job: polls-manage
    args: [manage.py, showmigrations]
"""

RETURN = r"""
execution:
  description: The execution, only its name with O(wait=false). Nothing in check mode when it would run.
  returned: always
  type: dict
  sample:
    name: polls-migrate-x7k2p
    succeeded: true
    exit_code: 0
    log_uri: https://console.cloud.google.com/logs
    message: ""
output:
  description:
    - What the execution printed, oldest line first. The log is read until it holds the last line, or for 30 seconds; the last item
      says so when more may come.
    - With O(once=true), of an execution that succeeded, only what the log holds within two seconds, and at O(report_line).
  returned: always
  type: list
  elements: str
  sample:
    - Running migrations...
"""

import re

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import WAIT_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._grants import (
    Refusal,
    once_granted,
    refused_by_cloud_run,
    refused_in,
)
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.module_utils._rights import (
    STILL_REFUSED,
    python_code,
    rights_of,
)
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    ExecutionError,
    Executions,
    Output,
    Overrides,
    has_started,
    is_succeeded,
)

ARGUMENT_SPEC = {
    "job": {"type": "str", "required": True},
    "location": {"type": "str", "required": True},
    "args": {"type": "list", "elements": "str"},
    "env": {"type": "dict"},
    "timeout": {"type": "int"},
    "once": {"type": "bool", "default": False},
    "report_line": {"type": "str"},
    "python_args": {"type": "list", "elements": "str"},
    **WAIT_ARGS,
}

#: What Google accepts.
RULES = {
    "job": rules.JOB,
    "args": rules.ARGUMENT,
    "python_args": rules.ARGUMENT,
    "report_line": rules.REGULAR_EXPRESSION,
    "env": rules.ENVIRONMENT,
    "timeout": rules.TASK_SECONDS,
}
# So many seconds may an execution take beside what it waits for.
_MARGIN = 120
# So much of the output is shown in the message of a failure.
_SHOWN_LINES = 40


def explained(
    job: str, execution: Json, result: Json, output: Output, report_line: str | None = None
) -> ExecutionError:
    """The error of an execution that failed."""
    code = result["exit_code"]
    how = f"exit code {code}" if code > 0 else "no exit code"
    lines = [line for line in output.lines if not (report_line and re.search(report_line, line))]
    shown = "\n".join(lines[-_SHOWN_LINES:]) or "(it printed nothing)"
    # What Django makes of it is further down, and does not tell why.
    what = f"{output.cause.rstrip('.')}. Execution" if output.cause else "execution"
    message = (
        f"Failed to run job {job}: {what} {result['name']} ended with {how}: {result['message'].rstrip('.')}. "
        f"Fix what failed, and run again. What it printed:\n{shown}"
    )
    refusal = "" if has_started(execution) else result["message"]
    return ExecutionError(message, {"execution": result, "output": output.lines}, refusal)


def refused(error: DjangoGcpError) -> Refusal | None:
    """What Cloud Run refused an execution before any of its tasks began; None for all else, which is not repeated."""
    return refused_in(error.refusal) if isinstance(error, ExecutionError) else refused_by_cloud_run(error)


def begun(task: Task, executions: Executions) -> Json | None:
    """The execution that makes another one unnecessary: it succeeded, or is still running."""
    if not task.params["once"]:
        return None
    try:
        return executions.newest_as_is()
    except ApiError as error:
        # In check mode the job itself may not have been made.
        if task.check_mode and error.status in (403, 404):
            return None
        raise


def work(task: Task) -> Json:
    """Run the job."""
    executions = Executions(task.client, task.project, task.params["location"], task.params["job"])
    job = task.params["job"]
    return once_granted(task.client, lambda: run(task, executions), refused, doing=f"run job {job}")


def await_rights(task: Task, executions: Executions) -> None:
    """Run the job once with code that waits for what its account was granted a moment ago, if there is such a thing.

    Raises:
        ExecutionError: Cloud Run refused to start it; or a right has not taken effect seven minutes after it was granted.
    """
    if not task.client.granted.changes():
        return
    account, databases = executions.account_and_databases()
    changes = task.client.granted.of(account)
    tried = rights_of(changes, databases)
    if not tried:
        return
    seconds = max(changes[change] for change in tried)
    code = python_code([*tried.values()], seconds)
    started = executions.start(Overrides([*task.params["python_args"], code], timeout=int(seconds) + _MARGIN))
    wait = Wait(timeout=seconds + 2 * _MARGIN)
    doing = f"wait until what {account} was granted has taken effect"
    execution = executions.finish(started, wait, doing=doing)
    if not has_started(execution) and not is_succeeded(execution):
        raise explained(task.params["job"], execution, executions.result(execution), Output([], ""))
    if not is_succeeded(execution):
        result = executions.result(execution)
        if result["exit_code"] == STILL_REFUSED:
            raise explained(task.params["job"], execution, result, executions.output(execution))
        # Whatever is wrong with the code of the site, running it says better.
        return
    for change in tried:
        task.client.granted.forget(change)


def run(task: Task, executions: Executions) -> Json:
    """Run the job once, unless that is not needed."""
    params = task.params
    found = begun(task, executions)
    changed = found is None
    if found is not None and is_succeeded(found):
        return {"changed": changed, "execution": executions.result(found), "output": []}
    if task.check_mode:
        return {"changed": changed, "execution": None, "output": []}
    if found is None and params["python_args"]:
        await_rights(task, executions)
    overrides = Overrides(params["args"], params["env"], params["timeout"])
    started = found or executions.start(overrides, once=params["once"])
    if not task.wait.enabled:
        return {
            "changed": changed,
            "execution": {"name": str(started["name"]).rpartition("/")[2]},
            "output": [],
        }
    execution = executions.finish(started, task.wait)
    result = executions.result(execution)
    # Of a release's command that succeeded nobody needs the last line; somebody who runs another one does.
    whole = not (result["succeeded"] and params["once"])
    output = (
        executions.output(execution, whole=whole, report_line=params["report_line"])
        if has_started(execution)
        else Output([], "")
    )
    if not result["succeeded"]:
        raise explained(params["job"], execution, result, output, params["report_line"])
    return {"changed": changed, "execution": result, "output": output.lines}


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules=RULES,
        mutually_exclusive=[("once", "args"), ("once", "env")],
    )


if __name__ == "__main__":
    main()
