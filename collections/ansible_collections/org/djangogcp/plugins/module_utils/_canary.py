# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Whether what a revision answers that has a part of the traffic is good enough.

What was answered is read from the log of requests, which Cloud Run writes itself. Source: https://cloud.google.com/run/docs/logging ("Request
logs"), https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest.
"""

from __future__ import annotations

import collections
import math
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._logs import log_entries, log_lines

_REQUEST_LOG = "run.googleapis.com/requests"
#: Of a revision that answers more, so many of the newest requests are judged: the largest page of entries.list.
MOST_REQUESTS = 1000
_EXAMPLES = 5
_LINES = 30


class Limits(t.NamedTuple):
    """From when on a canary is bad.

    Attributes:
        error_ratio: which part of its requests may be errors of the server, from 0 to 1, beside the part that are errors of the old revision.
        p95_ms: within how many milliseconds 95 of 100 requests are answered, unless the old revision is as slow; 0 for any time.
        requests: fewer say nothing of the time, and count as so many, the others of them good, for the errors.
    """

    error_ratio: float
    p95_ms: int
    requests: int


class Seen(t.NamedTuple):
    """What a revision answered.

    Attributes:
        requests: how many requests.
        errors: how many of them with a status from 500 on.
        p95_ms: within how many milliseconds 95 of 100 were answered (the nearest rank); None without a request.
        examples: what the errors were, the most frequent first.
    """

    requests: int
    errors: int
    p95_ms: int | None
    examples: list[str]

    @property
    def error_ratio(self) -> float:
        """Errors by requests, 0 without a request."""
        return self.errors / self.requests if self.requests else 0.0


def seen(entries: t.Iterable[Json], tag: str = "") -> Seen:
    """What entries of the log of requests say.

    Args:
        entries: LogEntry objects. What is no finished request (without a status) is left out.
        tag: requests to the address of this traffic tag are left out: nobody visits it.
    """
    times: list[float] = []
    errors: collections.Counter[str] = collections.Counter()
    for entry in entries:
        request = entry.get("httpRequest") or {}
        url, status = str(request.get("requestUrl", "")), int(request.get("status") or 0)
        if not status or (tag and f"//{tag}---" in url):
            continue
        times.append(float(str(request.get("latency") or "0s").removesuffix("s")))
        if status >= 500:
            # What stands behind the path may be a person's.
            path = "/" + url.partition("//")[2].partition("/")[2].partition("?")[0]
            errors[f"{status} {request.get('requestMethod', '')} {path}"] += 1
    times.sort()
    return Seen(
        requests=len(times),
        errors=errors.total(),
        p95_ms=round(times[math.ceil(0.95 * len(times)) - 1] * 1000) if times else None,
        examples=[f"{what} ({count})" for what, count in errors.most_common(_EXAMPLES)],
    )


def problems(canary: Seen, before: Seen, limits: Limits) -> list[str]:
    """What is bad about a canary: a sentence each, [] when it is good so far.

    What the old revision does no better is no fault of the new one: a database that is slow is slow for both.

    Args:
        canary: what the new revision answered.
        before: what the old ones answered in the same time.
        limits: from when on it is bad.
    """
    found = []
    # With fewer requests than that one error says little, and ten say all.
    counted = max(canary.requests, limits.requests)
    if canary.errors > (limits.error_ratio + before.error_ratio) * counted:
        found.append(
            f"{canary.errors} of {canary.requests} requests were answered with an error of the server ({canary.error_ratio:.1%}, of the old"
            f" revision {before.error_ratio:.1%}): max_error_ratio is {limits.error_ratio:g}."
        )
    slow, old = canary.p95_ms or 0, before.p95_ms or 0
    if limits.p95_ms and canary.requests >= limits.requests and slow > max(limits.p95_ms, old):
        found.append(
            f"95 % of {canary.requests} requests were answered within {slow} ms (of the old revision {old} ms): max_p95_ms is {limits.p95_ms}."
        )
    return found


def requests_of(client: Client, project: str, revisions: t.Iterable[str], since: str, tag: str = "") -> Seen:
    """What revisions answered since a moment, of the newest `MOST_REQUESTS` requests.

    Args:
        client: calls the APIs.
        project: the project.
        revisions: their short names, at least one.
        since: a timestamp.
        tag: as of `seen`.

    Raises:
        ApiError: the log may not be read.
    """
    return seen(
        log_entries(
            client,
            project,
            f'{_of_revisions(revisions, since)} AND log_id("{_REQUEST_LOG}")',
            limit=MOST_REQUESTS,
        ),
        tag,
    )


def printed(client: Client, project: str, revision: str, since: str) -> list[str]:
    """The newest lines that a revision itself printed since a moment."""
    selector = f'{_of_revisions([revision], since)} AND NOT log_id("{_REQUEST_LOG}")'
    return log_lines(client, project, selector, limit=_LINES)


def _of_revisions(revisions: t.Iterable[str], since: str) -> str:
    names = " OR ".join(f'"{name}"' for name in sorted(revisions))
    return f'resource.type="cloud_run_revision" AND resource.labels.revision_name=({names}) AND timestamp>="{since}"'
