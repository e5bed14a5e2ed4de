# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Which roles were granted here, and which service accounts were made, so short ago that they may not have taken effect everywhere.

IAM does not tell when a role was granted, so it is noted, beside the tokens of the run. A refusal is waited out for nothing else: what has
been granted for longer is refused for another reason. A run that goes on after one that was interrupted finds what that one noted.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import tempfile
import threading
import time
import typing as t

#: "Typically 2 minutes, potentially 7 minutes or longer".
#: Source: https://cloud.google.com/iam/docs/access-change-propagation
EFFECT_SECONDS = 420.0


class Change(t.NamedTuple):
    """A role that was granted, or a service account that was made.

    Attributes:
        resource_type: a key of `iam.POLICY_PLACES`.
        resource: the name of the resource on which the role was granted, or the e-mail address of the account that was made.
        role: the role; "" for an account that was made.
        member: who got it, for instance "serviceAccount:polls-web@my-project.iam.gserviceaccount.com"; the account that was made.
    """

    resource_type: str
    resource: str
    role: str
    member: str

    def __str__(self) -> str:
        if not self.role:
            return "it was made"
        return f"{self.role} on {self.resource_type.replace('_', ' ')} {self.resource} was granted"


def account_made(email: str) -> Change:
    """The change that a new service account is."""
    return Change("service_account", email, "", f"serviceAccount:{email}")


class Granted:
    """The changes of the last minutes. Safe to use from several threads and processes.

    Args:
        folder: where they are noted, which nobody else may enter; None for nowhere, and none is known then.
        now: tells the time of day in seconds.
    """

    def __init__(self, folder: str | None, now: t.Callable[[], float] = time.time) -> None:
        self._start = os.path.join(folder, "granted-") if folder else ""
        self._now = now
        self._telling = threading.Lock()
        self._told = 0

    def tells(self, waited: float, every: float) -> bool:
        """Whether who has waited for so long tells how far it is: of all who wait at the same time one, each so many seconds."""
        with self._telling:
            is_time = waited >= (self._told + 1) * every
            if is_time:
                self._told = int(waited // every)
        return is_time

    def note(self, change: Change) -> None:
        """A change was made just now."""
        if not self._start:
            return
        # What cannot be noted is not waited for.
        with contextlib.suppress(OSError):
            path = self._path(change)
            descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))  # mode 0600
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"change": change, "at": self._now()}, file)
            os.replace(temporary, path)

    def forget(self, change: Change) -> None:
        """A change was undone."""
        if self._start:
            with contextlib.suppress(OSError):
                os.unlink(self._path(change))

    def changes(self) -> dict[Change, float]:
        """The changes that may not have taken effect, and for how many seconds more that may be so."""
        found: dict[Change, float] = {}
        for path in glob.glob(f"{glob.escape(self._start)}*") if self._start else []:
            # Another task may remove it, or may not have written it in a way that is known here.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                with open(path, encoding="utf-8") as file:
                    noted = json.load(file)
                left = noted["at"] + EFFECT_SECONDS - self._now()
                if 0 < left <= EFFECT_SECONDS:
                    found[Change(*noted["change"])] = left
                else:
                    os.unlink(path)
        return found

    def of(self, account: str) -> dict[Change, float]:
        """Those `changes` that are about what a service account may do."""
        member = f"serviceAccount:{account}"
        return {change: left for change, left in self.changes().items() if change.member == member}

    def _path(self, change: Change) -> str:
        return self._start + hashlib.sha256(json.dumps(change).encode()).hexdigest()
