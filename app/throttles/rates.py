"""Rates, and taking one of what they leave.

A rate is kept by the generic cell rate algorithm (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm): one number for
each client, the time at which nothing of the rate is in use any more. Whoever takes one moves it on by a share of the period, and
must not move it further ahead than the period. So nothing has to be reset, and nobody is ever refused for longer than one period.
"""

from __future__ import annotations

import time

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils.crypto import salted_hmac

from throttles.models import Throttle

_SECOND = 1_000_000  # microseconds
_SWEPT_AT_ONCE = 100


class ThrottledError(Exception):
    """A rate is used up.

    Args:
        name: whose rate, as in `settings.THROTTLES`.
        retry_after: in how many seconds there is one to take again.
    """

    def __init__(self, name: str, retry_after: int) -> None:
        super().__init__(f"{name}: again in {retry_after} s")
        self.name = name
        self.retry_after = retry_after


def take(name: str, client: str) -> None:
    """Take one of what the rate `name` of `settings.THROTTLES` leaves to `client`. Without such a rate nothing is counted.

    Not within a transaction that may be rolled back: what was taken would be given back.

    Raises:
        ThrottledError: nothing is left.
    """
    rate = settings.THROTTLES[name]
    if rate is None:
        return
    count, seconds = rate
    share = seconds * _SECOND // count
    ahead = seconds * _SECOND - share
    throttles = Throttle.objects.filter(key=_key(name, client))
    while True:
        now = _now()
        # One statement, which the database repeats on what another one has just changed: two cannot take the same one.
        if throttles.filter(free_at__lte=now + ahead).update(free_at=Greatest(F("free_at"), now) + share):
            return
        free_at = throttles.values_list("free_at", flat=True).first()
        # The time has gone on while others were waited for.
        if free_at is not None and (wait := free_at - ahead - _now()) > 0:
            raise ThrottledError(name, -(-wait // _SECOND))
        _sweep(now)
        Throttle.objects.bulk_create([Throttle(pk=_key(name, client), free_at=now)], ignore_conflicts=True)


def give_back(name: str, client: str) -> None:
    """Undo a `take`."""
    rate = settings.THROTTLES[name]
    if rate is not None:
        count, seconds = rate
        share = seconds * _SECOND // count
        Throttle.objects.filter(key=_key(name, client)).update(free_at=F("free_at") - share)


def _key(name: str, client: str) -> str:
    return salted_hmac("throttles", f"{name} {client}", algorithm="sha256").hexdigest()


def _now() -> int:
    return int(time.time() * _SECOND)


def _sweep(now: int) -> None:
    """Delete some that say no more than none would: each new one makes room, so that they do not pile up."""
    # Read beforehand: MySQL takes no subquery with a limit, and SQLite ends a transaction that reads before it writes when others write.
    keys = list(Throttle.objects.filter(free_at__lt=now).values_list("pk", flat=True)[:_SWEPT_AT_ONCE])
    # What others have locked is left to them: two who wait for each other would both fail.
    old = Throttle.objects.select_for_update(skip_locked=True).filter(pk__in=keys, free_at__lt=now)
    with transaction.atomic():
        Throttle.objects.filter(pk__in=old.values("pk")).delete()
