# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Answers that one task of a run has read ahead for the tasks after it.

A deploy that changes nothing is a row of tasks that each look at something: one after the other, each a whole way to Google Cloud.
What they will look at is known once the variables are checked, so the module read_ahead asks for all of it at the same time.

Only looks that say so take an answer from here, above all the first look of the engine: never the look after a write, at a conflict or
at an operation. A write empties everything of its API. So an answer may be old by what others did within a minute, which etags and the
races that the engine settles anyway take care of: it costs one more look, and never a wrong write. No value of a secret is ever here.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import tempfile
import time
import typing as t
import urllib.parse

Json = dict[str, t.Any]

#: The run that this process works for. Empty in a process of its own, which cannot know it: nothing is kept nor found there then.
run = ""

# Seconds after which an answer is too old.
_LIFE_SECONDS = 60.0


class Ahead:
    """The answers of one run and one identity. Safe to use from several threads.

    Args:
        folder: where they are kept, which nobody else may enter; None for nowhere.
        identity: who asks; what others were answered is not found.
        fills: whether answers are kept, and none is found.
    """

    def __init__(self, folder: str | None, identity: str, *, fills: bool = False) -> None:
        self._start = os.path.join(folder, f"ahead-{run}-") if folder and run else ""
        self._identity = identity
        #: Whether answers are kept for the tasks that come later.
        self.fills = fills and bool(self._start)

    def find(self, method: str, url: str, params: t.Mapping[str, t.Any]) -> list[Json | None]:
        """The answer as the one item of a list, None in it for a resource that is absent; an empty list when nothing is known."""
        if self.fills or not self._start:
            return []
        try:
            with open(self._path(method, url, params), encoding="utf-8") as file:
                if time.time() - os.fstat(file.fileno()).st_mtime > _LIFE_SECONDS:
                    return []
                return [t.cast("Json | None", json.load(file))]
        except (OSError, ValueError):
            return []

    def keep(self, method: str, url: str, params: t.Mapping[str, t.Any], answer: Json | None) -> None:
        """Keep an answer, where they are kept. None is a resource that is absent."""
        if not self.fills:
            return
        # An answer that cannot be kept is asked for again.
        with contextlib.suppress(OSError):
            path = self._path(method, url, params)
            descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))  # mode 0600
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(answer, file)
            os.replace(temporary, path)

    def forget(self, url: str) -> None:
        """Forget what the API of an address has answered: something of it is changed."""
        if self._start:
            self._remove(f"{glob.escape(self._start)}{_host(url)}-*")

    def forget_old(self) -> None:
        """Remove what is too old, also of other runs."""
        if self._start:
            pattern = os.path.join(glob.escape(os.path.dirname(self._start)), "ahead-*")
            self._remove(pattern, older_than=time.time() - _LIFE_SECONDS)

    @staticmethod
    def _remove(pattern: str, older_than: float | None = None) -> None:
        for path in glob.glob(pattern):
            # Another task may have removed it.
            with contextlib.suppress(OSError):
                if older_than is None or os.stat(path).st_mtime < older_than:
                    os.unlink(path)

    def _path(self, method: str, url: str, params: t.Mapping[str, t.Any]) -> str:
        asked = json.dumps([self._identity, method, url, sorted(params.items())], default=str)
        return f"{self._start}{_host(url)}-{hashlib.sha256(asked.encode()).hexdigest()}"


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc
