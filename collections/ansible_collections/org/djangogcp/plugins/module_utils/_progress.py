# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Tells whoever watches that something that takes minutes goes on, a line every 30 seconds; it also keeps an AWX job alive.

A module cannot print while it runs. One that runs in Ansible's own process can (`in_process`), which sets `tell`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t

#: Seconds from one line to the next.
EVERY_SECONDS = 30


def _nobody_listens(text: str) -> None:
    """In a process of its own a module is silent."""


tell: t.Callable[[str], None] = _nobody_listens


class Told:
    """What a run tells once, whichever of its tasks come upon it. Safe to use from several processes, of which Ansible gives each task one.

    Args:
        folder: where it is noted, which nobody else may enter; None for nowhere.
        run: which run it is, "" if that is not known: each process tells for itself then.
    """

    def __init__(self, folder: str | None = None, run: str = "") -> None:
        self._folder = folder if run else None
        self._run = run
        self._here: set[str] = set()

    def is_first(self, what: str) -> bool:
        """Whether nobody has asked this before in the run.

        Args:
            what: what is told, as it may be in the name of a file.
        """
        if what in self._here:
            return False
        self._here.add(what)
        if self._folder is None:
            return True
        # What cannot be noted is told once more.
        with contextlib.suppress(OSError):
            descriptor = os.open(os.path.join(self._folder, f"told-{what}"), os.O_RDWR | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if file.read() == self._run:
                    return False
                file.seek(0)
                file.truncate()
                file.write(self._run)
        return True


def line(doing: str, state: str, seconds: float, usual: str) -> str:
    """For instance "Wait for SQL instance djangogcp: PENDING_CREATE, 3 min 20 s, usually 5 to 10 min".

    Args:
        doing: a verb phrase.
        state: how far it has come, "" if nothing tells.
        seconds: for how long it has been waited for.
        usual: how long it usually takes, "" if nobody knows.
    """
    parts = [state, elapsed(seconds), f"usually {usual}" if usual else ""]
    return f"{doing[:1].upper()}{doing[1:]}: {', '.join(part for part in parts if part)}"


def elapsed(seconds: float) -> str:
    """A time in words: "30 s", "3 min 20 s"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
