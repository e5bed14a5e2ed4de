# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What may be repeated, when, and for how long: no network and no clock of its own, so that tests need neither."""

from __future__ import annotations

import dataclasses
import email.utils
import random
import time
import typing as t

# 500 is included because Google's own clients repeat it for reads. When a quota is used up (429) its error says whether to wait.
# Source: https://cloud.google.com/storage/docs/retry-strategy and AIP-194.
RETRYABLE_STATUSES = frozenset({500, 502, 503, 504})


@dataclasses.dataclass(frozen=True)
class Clock:
    """Time, as the client and the waiter see it. Tests give their own."""

    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep


class Deadline:
    """A point in time that nothing waits beyond.

    Args:
        seconds: how far away it is.
        clock: where the time comes from.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock.now() + seconds

    @property
    def remaining(self) -> float:
        """Seconds that are left; 0 when it has passed."""
        return max(0.0, self._end - self._clock.now())

    @property
    def waited(self) -> float:
        """Seconds that have passed."""
        return self.seconds - (self._end - self._clock.now())

    def sleep(self, seconds: float) -> bool:
        """Sleep, but not beyond the deadline. Returns whether there was time left to sleep."""
        remaining = self.remaining
        if remaining <= 0:
            return False
        self._clock.sleep(min(seconds, remaining))
        return True


def delays(first: float, factor: float, longest: float) -> t.Iterator[float]:
    """Endless growing delays in seconds, each between a half and the whole of its step.

    The jitter keeps the parallel tasks of several sites from asking at the same moment.
    """
    step = first
    while True:
        yield step * random.uniform(0.5, 1.0)  # noqa: S311
        step = min(step * factor, longest)


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """The seconds that a Retry-After header asks for (a number or an HTTP date), None without a usable one.

    Args:
        value: the header.
        now: the wall clock in seconds since the epoch; the real one by default.
    """
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    moment = http_date(value)
    return None if moment is None else max(0.0, moment - (time.time() if now is None else now))


def http_date(value: str | None) -> float | None:
    """The moment that a header such as Date tells, in seconds since the epoch; None without a usable one."""
    if not value:
        return None
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError):
        return None
