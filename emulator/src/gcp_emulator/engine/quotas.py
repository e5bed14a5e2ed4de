"""Request quotas: how many calls of an API a project, one of its regions or one of its users may send in a minute.

The limits are Google's defaults, in the facts of each API. With the realistic profile they are held, by minutes of the profile's scale;
with the instant one nothing is counted. What a refusal says is quoted for Cloud SQL in
https://github.com/GoogleCloudPlatform/cloud-sql-jdbc-socket-factory/issues/979 and for Cloud Run in
https://github.com/googleapis/repo-automation-bots/issues/4469. That a minute's quota is there again at the start of the next one is said of
Compute Engine (https://cloud.google.com/compute/api-quota). Assumed: that a call counts against the called project where no other is named
(``x-goog-user-project``), that one which is refused does not count, and that no answer has Retry-After.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gcp_emulator.engine.errors import ApiError, ErrorStyle, Json, error_info
from gcp_emulator.engine.facts import Quota
from gcp_emulator.engine.operations import Profile

_MINUTE = 60.0
_HELP = {
    "@type": "type.googleapis.com/google.rpc.Help",
    "links": [
        {
            "description": "Request a higher quota limit.",
            "url": "https://cloud.google.com/docs/quotas/help/request_increase",
        }
    ],
}
_UNITS = {
    "project": "1/min/{project}",
    "region": "1/min/{project}/{region}",
    "user": "1/min/{project}/{user}",
}


class QuotaExceededError(ApiError):
    """429: it comes from the front end of all APIs, and also the older ones tell ``status`` then."""

    def body(self, style: ErrorStyle) -> Json:
        return super().body("both" if style == "legacy" else style)


@dataclass(frozen=True)
class Caller:
    """Whom a call counts against: the project by its number, the IAM member, and the region that is called ("" for none)."""

    project: str
    user: str
    region: str


class Quotas:
    """What has been sent in the current minute. In memory."""

    def __init__(self, profile: Profile, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._minute = 0.0 if profile.name == "instant" else _MINUTE * profile.scale
        #: By limit and whom it counts against: in which minute how much was sent.
        self._sent: dict[tuple[str, ...], tuple[int, int]] = {}
        #: By the project's number, the API's host and the limit's id: what a project has in place of the default.
        self._own: dict[tuple[str, str, str], int] = {}

    def __bool__(self) -> bool:
        """Whether they are held."""
        return self._minute > 0

    def limit(self, project: str, host: str, limit_id: str, value: int) -> None:
        """Gives the project with this number another limit than the default of the API ``host``."""
        self._own[project, host, limit_id] = value

    def charge(self, host: str, quotas: tuple[Quota, ...], method: str, caller: Caller) -> None:
        """Counts a call of a method of the API ``host``; QuotaExceededError when the minute's quota is used up."""
        quota = next((one for one in quotas if one.counts(method)), None)
        if quota is None or not self:
            return
        whose = {"project": "", "region": caller.region or "global", "user": caller.user}[quota.per]
        key = (host, quota.limit, caller.project, whose)
        minute = int(self._now() // self._minute)
        since, sent = self._sent.get(key, (minute, 0))
        sent = (sent if since == minute else 0) + quota.cost_of(method)
        value = self._own.get((caller.project, host, quota.limit_id), quota.value)
        if sent > value:
            raise _exceeded(host, quota, value, caller)
        self._sent[key] = minute, sent


def _exceeded(host: str, quota: Quota, value: int, caller: Caller) -> QuotaExceededError:
    metadata: Mapping[str, str] = {
        "service": host,
        "consumer": f"projects/{caller.project}",
        "quota_metric": f"{host}/{quota.metric_id}",
        "quota_limit": quota.limit_id,
        "quota_limit_value": str(value),
        "quota_unit": _UNITS[quota.per],
        "quota_location": caller.region if quota.per == "region" and caller.region else "global",
    }
    return QuotaExceededError(
        "RESOURCE_EXHAUSTED",
        f"Quota exceeded for quota metric '{quota.metric}' and limit '{quota.limit}' of service '{host}' for consumer "
        f"'project_number:{caller.project}'.",
        details=[error_info("RATE_LIMIT_EXCEEDED", "googleapis.com", **metadata), _HELP],
    )
