# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Waiting: for Google's operations, and for resources to settle. One waiter, always with a deadline."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    ApiError,
    OperationError,
    WaitTimeoutError,
)
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays

# What Google Cloud failed at, and not we. The operation may have done its work all the same, and the next run looks. The code does
# not tell: a container that does not start is INTERNAL too.
_PASSING = re.compile(r"internal error|unavailable|try again|aborted|deadline exceeded", re.IGNORECASE)
#: The codes of a zone that has no machine left. Source: https://github.com/cirruslabs/cirrus-ci-docs/issues/131 (both),
#: https://github.com/kubernetes/k8s.io/issues/9834 (the details, which name zones that have one).
_EXHAUSTED = ("ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS")


_A_MINUTE = 60
_LONGEST_DELAY_AT_FIRST = 3
_LONGEST_DELAY = 10


@dataclasses.dataclass(frozen=True)
class Wait:
    """How long a task waits.

    Attributes:
        enabled: whether to wait at all (option ``wait``).
        timeout: at most so many seconds for one resource (option ``wait_timeout``).
    """

    enabled: bool = True
    timeout: float = 600.0

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Wait:
        """Pick the options out of a module's parameters."""
        return cls(enabled=params["wait"], timeout=float(params["wait_timeout"]))


Polled = t.TypeVar("Polled")


def poll(
    read: t.Callable[[], Polled],
    done: t.Callable[[Polled], bool],
    deadline: Deadline,
    *,
    doing: str,
    state: t.Callable[[Polled], str] = lambda last: "",
    usual: str = "",
) -> Polled:
    """Read until it is done. The first reads come quickly, those of a minute 3 s apart, later ones up to 10 s: many sites may wait
    for one instance, and users have 180 reads of Cloud SQL a minute. Whoever watches is told every 30 s.

    A read is at most about as far away as a sixth of what was waited so far, which is what may be lost after the end.

    Args:
        read: reads the thing that is waited for.
        done: whether what was read is the end.
        deadline: nothing waits beyond it.
        doing: the verb phrase for the error, for instance "create SQL instance djangogcp".
        state: says how far what was read last has come, for the error and for whoever watches.
        usual: how long it usually takes, for whoever watches; "" if nobody knows.

    Raises:
        WaitTimeoutError: the deadline has passed.
    """
    told = int(deadline.waited // _progress.EVERY_SECONDS)
    for delay in delays(first=0.2, factor=1.25, longest=_LONGEST_DELAY):
        last = read()
        if done(last):
            return last
        if deadline.waited >= (told + 1) * _progress.EVERY_SECONDS:
            told = int(deadline.waited // _progress.EVERY_SECONDS)
            _progress.tell(_progress.line(doing, state(last), deadline.waited, usual))
        if not deadline.sleep(delay if deadline.waited >= _A_MINUTE else min(delay, _LONGEST_DELAY_AT_FIRST)):
            reached = state(last)
            raise WaitTimeoutError(
                f"Failed to {doing}: not finished after {deadline.seconds:.0f} seconds"
                f"{f' (state {reached})' if reached else ''}. It goes on in Google Cloud: run again to wait for it, "
                "or raise wait_timeout."
            )
    raise AssertionError("delays() never ends")


Done = t.TypeVar("Done")


def while_busy(
    attempt: t.Callable[[], Done],
    deadline: Deadline,
    passes: t.Callable[[ApiError], bool] = lambda error: error.is_busy,
) -> Done:
    """The result of an attempt to write, which is made again while other operations have to finish first.

    Args:
        attempt: writes.
        deadline: nothing waits beyond it.
        passes: whether it is made again after an error.

    Raises:
        ApiError: an error that does not pass, or has not by the deadline.
    """
    for delay in delays(first=0.3, factor=2, longest=10):
        try:
            return attempt()
        except ApiError as error:
            if not passes(error) or not deadline.sleep(delay):
                raise
    raise AssertionError("delays() never ends")


class Operations(t.Protocol):
    """How an API tells that a change takes time."""

    def __call__(self, client: Client, api: str, answer: Json, deadline: Deadline, call: Call) -> Json:
        """Wait until the operation in `answer` is done and return it.

        Args:
            client: calls the API.
            api: the base address of the API, with its version.
            answer: what the change was answered with.
            deadline: nothing waits beyond it.
            call: the words for errors.

        Raises:
            OperationError: it finished with an error.
            WaitTimeoutError: the deadline has passed.
        """


def no_operation(client: Client, api: str, answer: Json, deadline: Deadline, call: Call) -> Json:
    """The change is done when it is answered."""
    return answer


def long_running(client: Client, api: str, answer: Json, deadline: Deadline, call: Call) -> Json:
    """google.longrunning.Operation: ``{name, done, error, response}``.

    Source: run v2, artifactregistry v1, serviceusage v1, cloudbuild v1 (GoogleLongrunningOperation).
    """
    operation = answer
    if not operation.get("done"):
        url = f"{api}/{answer['name']}"
        operation = poll(
            lambda: client.get(url, Call(f"follow the operation to {call.doing}")),
            lambda last: bool(last.get("done")),
            deadline,
            doing=call.doing,
        )
    error = operation.get("error")
    if error:
        raise _failed(call, [(str(error.get("code", "")), str(error.get("message", "")))])
    return operation


def sql_operation(client: Client, api: str, answer: Json, deadline: Deadline, call: Call) -> Json:
    """sqladmin's Operation: ``{name, status: PENDING|RUNNING|DONE, error: {errors: [{code, message}]}}``.

    Source: sqladmin v1 (Operation).
    """
    operation = answer
    if operation.get("status") != "DONE":
        url = f"{api}/projects/{answer['targetProject']}/operations/{answer['name']}"
        operation = poll(
            lambda: client.get(url, Call(f"follow the operation to {call.doing}", "cloudsql.instances.get")),
            lambda last: last.get("status") == "DONE",
            deadline,
            doing=call.doing,
            state=lambda last: str(last.get("status", "")),
        )
    errors = (operation.get("error") or {}).get("errors") or []
    if errors:
        raise _failed(call, [(str(item.get("code", "")), str(item.get("message", ""))) for item in errors])
    return operation


def compute_operation(client: Client, api: str, answer: Json, deadline: Deadline, call: Call) -> Json:
    """compute's Operation, of a zone, a region or global: ``{name, status: PENDING|RUNNING|DONE, selfLink, error: {errors: [{code, message}]}}``.

    Source: compute v1 (Operation). One that is DONE with an error has failed, whatever was answered to the request.
    """
    operation = answer
    if operation.get("status") != "DONE":
        # The host of a link is that of the web, and not of the API.
        url = f"{api}/{answer['selfLink'].partition('/compute/v1/')[2]}"
        # .../zones/ZONE/operations/NAME, .../regions/REGION/operations/NAME, .../global/operations/NAME
        kind = {"zones": "zoneOperations", "regions": "regionOperations"}.get(
            url.split("/")[-4], "globalOperations"
        )
        operation = poll(
            lambda: client.get(url, Call(f"follow the operation to {call.doing}", f"compute.{kind}.get")),
            lambda last: last.get("status") == "DONE",
            deadline,
            doing=call.doing,
            state=lambda last: str(last.get("status", "")),
        )
    errors = (operation.get("error") or {}).get("errors") or []
    if errors:
        cure = _compute_cure(errors[0], str(operation.get("selfLink", "")))
        raise _failed(
            call, [(str(item.get("code", "")), str(item.get("message", ""))) for item in errors], cure
        )
    return operation


def _compute_cure(error: Json, link: str) -> str:
    """What to do about what is not there to be had, "" for anything else."""
    code = error.get("code")
    if code in _EXHAUSTED:
        infos = [detail.get("errorInfo") or {} for detail in error.get("errorDetails") or []]
        named = ",".join(str((info.get("metadatas") or {}).get("zonesAvailable") or "") for info in infos)
        zones = " or ".join(filter(None, named.split(",")))
        return (
            f"Take another zone of the region{f' ({zones})' if zones else ''}, which of a site is compute_engine_zone, or another machine type, "
            "which is compute_engine_machine_type, or run again later."
        )
    if code == "QUOTA_EXCEEDED":
        project = link.partition("/projects/")[2].partition("/")[0]
        return f"Delete what nobody needs, or ask for more: https://console.cloud.google.com/iam-admin/quotas?project={project}"
    return ""


def _failed(call: Call, errors: list[tuple[str, str]], cure: str = "") -> OperationError:
    causes = "; ".join((message or code).rstrip(".") for code, message in errors)
    code = errors[0][0]
    # google.rpc.Code numbers say nothing to a reader; sqladmin's codes are words.
    words = f" ({code})" if code and not code.isdigit() and code not in causes else ""
    if not cure and _PASSING.search(causes):
        cure = "Run again; if it fails again, look at its state in the console."
    return OperationError(f"Failed to {call.doing}: {causes}{words}.{f' {cure}' if cure else ''}", code=code)
