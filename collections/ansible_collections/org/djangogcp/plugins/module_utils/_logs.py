# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.


"""What something in Google Cloud has printed, read from Cloud Logging.

Source: discovery document logging:v2, entries.list; https://cloud.google.com/logging/docs/view/logging-query-language.
"""

from __future__ import annotations

import datetime
import itertools
import typing as t
import urllib.parse

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays

_LOGGING = "https://logging.googleapis.com/v2"
_LOG_LINES = 200
#: How often who follows a log looks for more. Cloud Logging takes 60 reads a minute of a project.
#: Source: https://cloud.google.com/logging/quotas#api-limits.
_LOOK_SECONDS = 2.0
_MOST_AT_A_LOOK = 1000
#: How much later than others an entry may come and still be shown.
_LATE = datetime.timedelta(minutes=1)
# After so many pages without an entry nobody waits for the next one.
_EMPTY_PAGES = 20


def log_entries(client: Client, project: str, selector: str, *, limit: int = _LOG_LINES) -> list[Json]:
    """The newest entries that a filter of Cloud Logging selects, oldest first.

    An empty page is not the last one when it has a token: Cloud Logging only had no time to search all there is.

    Raises:
        ApiError: the log may not be read.
    """
    body: Json = {
        "resourceNames": [f"projects/{project}"],
        "filter": selector,
        "orderBy": "timestamp desc",
        "pageSize": limit,
    }
    call = Call("read the log", "logging.logEntries.list")
    found: list[Json] = []
    empty = 0
    while empty < _EMPTY_PAGES:
        page = client.request("POST", f"{_LOGGING}/entries:list", call, body=body, repeatable=True)
        entries = page.get("entries") or []
        found += entries
        empty += not entries
        token = page.get("nextPageToken")
        if not token or len(found) >= limit:
            break
        body = {**body, "pageToken": token}
    return found[:limit][::-1]


def log_lines(client: Client, project: str, selector: str, *, limit: int = _LOG_LINES) -> list[str]:
    """The lines of `log_entries`.

    What cannot be read is told as a line, because the log is wanted most when something else has failed already.
    """
    try:
        return lines_of(log_entries(client, project, selector, limit=limit))
    except DjangoGcpError as error:
        return [unreadable(error)]


def log_as_it_comes(
    client: Client,
    project: str,
    selector: str,
    is_whole: t.Callable[[list[Json], float], bool],
    deadline: Deadline,
    *,
    end_of: str,
    limit: int = _LOG_LINES,
) -> tuple[list[Json], list[str]]:
    """The entries that a filter selects, which reach the log by and by, and what is to be said after them.

    Args:
        is_whole: whether entries are all that was printed, given for how many seconds nothing new has come.
        deadline: nothing waits beyond it.
        end_of: what ends with the last entry.

    Returns:
        The newest entries, oldest first, and a line that says that more may come, or that the log cannot be read.
    """
    entries: list[Json] = []
    newest = 0.0
    for delay in delays(first=0.2, factor=1.5, longest=1):
        try:
            found = log_entries(client, project, selector, limit=limit)
        except DjangoGcpError as error:
            return entries, [unreadable(error)]
        if found != entries:
            entries, newest = found, deadline.waited
        if is_whole(entries, deadline.waited - newest):
            return entries, []
        if not deadline.sleep(delay):
            break
    return entries, [
        f"(more may come: after {deadline.seconds:.0f} seconds the log does not hold the end of {end_of})"
    ]


def log_that_goes_on(
    client: Client, project: str, selector: str, since: datetime.datetime, deadline: Deadline, *, limit: int
) -> t.Iterator[list[Json]]:
    """The newest entries since a moment that a filter selects, then again and again those that have come meanwhile, each entry once.

    Entries reach the log late and out of order: each look goes back over the last minute.

    Args:
        deadline: where the looks end; the first one is always taken.
        limit: how many entries the first look takes at most. Later ones take a thousand.

    Raises:
        ApiError: the log may not be read.
    """
    seen: dict[str, datetime.datetime] = {}
    for most in itertools.chain([limit], itertools.repeat(_MOST_AT_A_LOOK)):
        begin = since.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
        found = log_entries(client, project, f'({selector}) AND timestamp>="{begin}"', limit=most)
        fresh = [entry for entry in found if entry["insertId"] not in seen]
        yield fresh
        seen.update((entry["insertId"], moment(entry["timestamp"])) for entry in fresh)
        since = max([since, *(when - _LATE for when in seen.values())])
        seen = {name: when for name, when in seen.items() if when >= since}
        if not deadline.sleep(_LOOK_SECONDS):
            return


def lines_of(entries: t.Iterable[Json]) -> list[str]:
    """What entries hold, line by line."""
    return [line for entry in entries for line in _text(entry).splitlines()]


def dated_lines_of(entries: t.Iterable[Json]) -> list[str]:
    """What entries hold, each with its moment and what it comes from: "2026-11-29T17:00:01Z polls-00001-abc GET / 200 0.012s"."""
    told = []
    for entry in entries:
        labels = (entry.get("resource") or {}).get("labels") or {}
        origin = next((labels[name] for name in _NAMING if labels.get(name)), "-")
        first, *more = _text(entry).splitlines() or [""]
        told += [f"{moment(entry['timestamp']):%Y-%m-%dT%H:%M:%SZ} {origin} {first}", *more]
    return told


def unreadable(error: DjangoGcpError) -> str:
    """The line that stands for a log that cannot be read."""
    return f"(the log cannot be shown: {error.message})"


def lag(entry: Json) -> float:
    """How many seconds after it was printed an entry reached the log."""
    printed, received = entry.get("timestamp"), entry.get("receiveTimestamp")
    return (moment(received) - moment(printed)).total_seconds() if printed and received else 0.0


def moment(timestamp: str) -> datetime.datetime:
    """A moment as Google tells it, with up to nine digits of a second."""
    whole, *fraction = timestamp.rstrip("Z").split(".")
    digits = "".join(fraction)[:6].ljust(6, "0")
    return datetime.datetime.fromisoformat(f"{whole}.{digits}+00:00")


#: The labels of a monitored resource that name it best: https://cloud.google.com/logging/docs/api/v2/resource-list.
_NAMING = ("revision_name", "job_name", "worker_pool_name", "build_id")


def _text(entry: Json) -> str:
    payload = entry.get("jsonPayload")
    if isinstance(payload, dict):
        text = str(payload.get("message", payload))
        is_notable = entry.get("severity", "DEFAULT") not in ("DEFAULT", "INFO")
        return f"{entry['severity']}: {text}" if is_notable else text
    # What Cloud Run answered itself has its reason as text.
    return f"{_request(entry.get('httpRequest') or {})} {entry.get('textPayload', '')}".strip()


def _request(asked: Json) -> str:
    place = urllib.parse.urlsplit(asked.get("requestUrl", ""))
    query = f"?{place.query}" if place.query else ""
    parts = (asked.get("requestMethod"), f"{place.path}{query}", asked.get("status"), asked.get("latency"))
    return " ".join(str(part) for part in parts if part)
