# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Who has how much of the traffic of a Cloud Run service, and a part of it for a canary.

Source of wire names: run v2, Service.traffic and trafficStatuses.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import (
    CANARY_ANNOTATION,
    TAKEN_OUT_ANNOTATION,
)

LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


def newest_revision(service: Json | None) -> str:
    """The short name of the newest revision of a service, as read, whether it started or not; "" if there is none."""
    return str((service or {}).get("latestCreatedRevision") or "").rpartition("/")[2]


def shares(service: Json | None) -> dict[str, int]:
    """By revision how much of the traffic of a service, as read, it has, in percent."""
    found: dict[str, int] = {}
    for name, percent, _tag in serving_targets(service or {}):
        found[name] = found.get(name, 0) + percent
    return found


def serving_targets(resource: Json, field: str = "trafficStatuses") -> list[tuple[str, int, str]]:
    """Revision, percentage and tag of everything that gets traffic, or the instances of a worker pool."""
    ready = str(resource.get("latestReadyRevision") or "").rpartition("/")[2]
    found = []
    for target in resource.get(field) or []:
        if target.get("percent"):
            revision = str(target.get("revision") or ready).rpartition("/")[2]
            found.append((revision, int(target["percent"]), str(target.get("tag") or "")))
    return found


def tagged(service: Json, tag: str) -> Json | None:
    """The revision that carries a traffic tag, and how much of the traffic it has; None when nothing does."""
    for target in service.get("trafficStatuses") or []:
        if target.get("tag") == tag:
            revision = str(target.get("revision") or newest_revision(service)).rpartition("/")[2]
            return {"revision": revision, "percent": shares(service).get(revision, 0)}
    return None


class Standing(t.NamedTuple):
    """A canary that has a part of the traffic.

    Attributes:
        revision: its short name.
        percent: how much it has.
        before: by revision how much each had before it, in percent.
        digest: what a deploy calls this release, "" if it did not say.
    """

    revision: str
    percent: int
    before: dict[str, int]
    digest: str


def standing(service: Json | None) -> Standing | None:
    """The canary of a service, as read. None when none has a part of the traffic, or somebody has moved the traffic to something else since."""
    noted = str(((service or {}).get("annotations") or {}).get(CANARY_ANNOTATION) or "")
    try:
        canary = json.loads(noted) if noted else {}
        revision, before = (
            str(canary["revision"]),
            {str(name): int(percent) for name, percent in canary["before"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    now = shares(service)
    if not 0 < now.get(revision, 0) < 100 or now.keys() - {revision, *before}:
        return None
    return Standing(revision, now[revision], before, str(canary.get("digest", "")))


def with_canary(current: Json | None, asked: Json, percent: int, digest: str, tag: str) -> Json:
    """What to ask for so that the newest revision has a part of the traffic, and what served before it has the rest.

    Args:
        current: the service as read.
        asked: the options.
        percent: how much, from 1 to 99.
        digest: what the deploy calls this release; see `with_traffic_before`.
        tag: the traffic tag that the revision has, and keeps.

    Raises:
        DjangoGcpError: nothing else serves, or the revision has all the traffic.
    """
    newest, now = newest_revision(current), standing(current)
    before = now.before if now and now.revision == newest else shares(current)
    if not before.keys() - {newest}:
        raise DjangoGcpError(
            f"Failed to give {newest} a part of the traffic: nothing else serves that could have the rest."
        )
    noted = {"revision": newest, "before": before, "digest": digest}
    annotations = {**_annotations(current, asked), CANARY_ANNOTATION: json.dumps(noted, sort_keys=True)}
    canary = {"type": REVISION, "revision": newest, "percent": percent, "tag": tag}
    return {
        **asked,
        "annotations": annotations,
        "traffic": [*_pinned(_scaled(before, 100 - percent)), canary],
    }


def without_canary(current: Json | None, asked: Json) -> Json:
    """What to ask for so that a service forgets the canary that stands, if one does."""
    if standing(current) is None:
        return asked
    return {**asked, "annotations": {**_annotations(current, asked), CANARY_ANNOTATION: ""}}


def with_traffic_before(current: Json | None, asked: Json, tag: str) -> Json:
    """What to ask for so that the traffic is as it was before the canary, which has none, and keeps its address. No deploy brings the same
    release again unasked.

    Args:
        current: the service as read. Where no canary stands, nothing is asked for.
        asked: the options.
        tag: the traffic tag of what has no traffic.
    """
    now = standing(current)
    if now is None:
        return asked
    asked = without_canary(current, asked)
    annotations = asked["annotations"]
    taken = [one for one in annotations.get(TAKEN_OUT_ANNOTATION, "").split(",") if one]
    if now.digest and now.digest not in taken:
        annotations = {**annotations, TAKEN_OUT_ANNOTATION: ",".join([*taken, now.digest])}
    return {**asked, "annotations": annotations, "traffic": without_traffic(now.before, tag)}


def _annotations(current: Json | None, asked: Json) -> dict[str, str]:
    annotations = asked.get("annotations")
    return dict((current or {}).get("annotations") or {} if annotations is None else annotations)


def without_traffic(serving: t.Mapping[str, int], tag: str) -> list[Json]:
    """The traffic of a service that serves as before while its newest revision only has a tag."""
    return [*_pinned(serving), {"type": LATEST, "percent": 0, "tag": tag}]


def _pinned(serving: t.Mapping[str, int]) -> list[Json]:
    return [
        {"type": REVISION, "revision": name, "percent": percent}
        for name, percent in sorted(serving.items())
        if percent
    ]


def _scaled(before: t.Mapping[str, int], percent: int) -> dict[str, int]:
    """Shares that together have so much, in the proportion that they had; what does not divide goes to the largest."""
    whole = sum(before.values())
    found = {name: share * percent // whole for name, share in before.items()}
    largest = max(sorted(before), key=lambda name: before[name])
    found[largest] += percent - sum(found.values())
    return found
