# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a release runs before its new revision is made: a list of management commands, each with its time, its memory, and what its failure means."""

from __future__ import annotations

import dataclasses
import re
import shlex
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules

#: Commands that a release has its own way to run: by their names alone.
OWN = ("migrate", "collectstatic", "superuser")
#: What has a job of its own already.
TAKEN = ("manage", "release")
#: SITE-NAME is the name of a job (49 characters), and SITE has at most 21.
NAME_LENGTH = 27
_TESTS: dict[str, t.Callable[[t.Any], bool]] = {
    "command": lambda value: rules.line(4096).test(value) and _name_of(value) != "",
    "timeout_seconds": rules.TASK_SECONDS.test,
    "memory": rules.MEMORY.test,
    "on_failure": ("stop", "continue").__contains__,
}
EXPECTED = (
    "migrate, collectstatic, superuser, another command of manage.py with its arguments such as createcachetable, or {command: COMMAND} with any of"
    " timeout_seconds (1 to 604800), memory (128Mi to 32Gi) and on_failure (stop or continue). migrate and superuser have no arguments here"
)


@dataclasses.dataclass(frozen=True)
class Command:
    """A management command of a release.

    Attributes:
        name: what its job is called after the site.
        words: the arguments of manage.py.
        timeout_seconds: for how long it may run, None for as long as any.
        memory: its memory, "" for that of what serves.
        must_succeed: whether its failure stops the release.
    """

    name: str
    words: list[str]
    timeout_seconds: int | None
    memory: str
    must_succeed: bool

    @property
    def is_own(self) -> bool:
        """Whether a release has its own way to run it."""
        return self.words == [self.name] and self.name in OWN


def commands(asked: t.Iterable[t.Any]) -> list[Command]:
    """What djangogcp_release_commands says.

    Args:
        asked: the variable, of which every entry `is_command`.
    """
    found = []
    for entry in asked:
        said = _said(entry)
        found.append(
            Command(
                name=_name_of(said["command"]),
                words=shlex.split(said["command"]),
                timeout_seconds=int(said["timeout_seconds"]) if "timeout_seconds" in said else None,
                memory=str(said.get("memory") or ""),
                must_succeed=said.get("on_failure", "stop") == "stop",
            )
        )
    return found


def is_command(entry: t.Any) -> bool:
    """Whether an entry says what runs, and nothing that is none of its options."""
    said = _said(entry)
    return "command" in said and said.keys() <= _TESTS.keys() and all(_TESTS[key](said[key]) for key in said)


def names_twice(found: t.Iterable[Command]) -> list[str]:
    """The names that more than one command would have."""
    names = [command.name for command in found]
    return sorted({name for name in names if names.count(name) > 1})


def _said(entry: t.Any) -> t.Mapping[str, t.Any]:
    return entry if isinstance(entry, t.Mapping) else {"command": entry}


def _name_of(line: str) -> str:
    """What the job of a command is called; "" for what is no command, or none that a release may run."""
    try:
        words = shlex.split(line)
    except ValueError:
        return ""
    name = words[0].lower().replace("_", "-") if words else ""
    is_name = len(name) <= NAME_LENGTH and re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) is not None
    # With arguments it would pass by what reads the migrations before they run, or it is none of manage.py's.
    is_bent = name in ("migrate", "superuser") and len(words) > 1
    return name if is_name and name not in TAKEN and not is_bent else ""
