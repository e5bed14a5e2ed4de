# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Tells whoever watches that something that takes minutes goes on, a line every 30 seconds; it also keeps an AWX job alive.

A module cannot print while it runs. One that runs in Ansible's own process can (`in_process`), which sets `tell`.
"""

from __future__ import annotations

import typing as t

#: Seconds from one line to the next.
EVERY_SECONDS = 30


def _nobody_listens(text: str) -> None:
    """In a process of its own a module is silent."""


tell: t.Callable[[str], None] = _nobody_listens


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
