"""Access that takes effect after a time: what IAM was told reaches one service after the other.

Google says "typically 2 minutes, potentially 7 minutes or longer" of a changed policy
(https://cloud.google.com/iam/docs/access-change-propagation), and that new accounts are found later, too
(https://cloud.google.com/iam/docs/service-accounts-create). That each service learns of it at a time of its own, and all of it at
once, is assumed.

The realistic profile draws the times, repeatably; the faults ``grant_pending`` and ``unknown_account`` say them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from gcp_emulator.engine.faults import Fault, all_striking
from gcp_emulator.engine.operations import Profile

#: What has just been made or granted: its parts, which tell it from all others.
Change = tuple[str, ...]


@dataclass(frozen=True)
class _Pending:
    since: float
    key: str
    faults: tuple[Fault, ...]


class Propagation:
    """Which services know of a change. In memory: a restart lets everything take effect."""

    def __init__(self, profile: Profile | None = None) -> None:
        self._profile = profile or Profile()
        self._pending: dict[Change, _Pending] = {}

    def begin(self, change: Change, key: str, fault: str) -> None:
        """A change was made. ``key`` picks the seconds of the profile; ``fault`` is the kind that says others."""
        faults = all_striking(fault)
        if faults or self._profile.drawn(key, str(change)):
            self._pending[change] = _Pending(time.monotonic(), key, faults)

    def has_reached(self, change: Change, service: str) -> bool:
        """Whether a service, named as in its permissions (``cloudsql``), knows of a change."""
        pending = self._pending.get(change)
        if pending is None:
            return True
        said = [fault.seconds for fault in pending.faults if fault.is_about(service)]
        seconds = max(said) if said else self._profile.drawn(pending.key, f"{change} {service}")
        return time.monotonic() - pending.since >= seconds

    def forget(self, change: Change) -> None:
        """The change was undone."""
        self._pending.pop(change, None)
