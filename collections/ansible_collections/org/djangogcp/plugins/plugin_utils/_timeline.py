# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a run did and what it waited for, as data. Pure: times come in, nothing is read or written.

Times are seconds since the run began.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

#: Two events that are nearer than this are taken for one after the other, in seconds.
_AT_ONCE = 0.001
#: A look at something that does not have to be waited for takes less than this, in seconds.
_LOOK_SECONDS = 1.0


@dataclasses.dataclass(eq=False)
class Step:
    """One task on one host."""

    host: str
    name: str
    #: The role that the task is from, "" for a play's own.
    role: str
    #: The module, with its full name.
    module: str
    began: float
    ended: float | None = None
    #: ``ok``, ``changed``, ``skipped``, ``failed``, ``ignored`` or ``unreachable``.
    outcome: str = ""
    #: Whether the task waits for something: is asked until it is so (``until``), waits for an ``async`` one, or waits itself.
    waits: bool = False
    #: How often it was asked.
    attempts: int = 1
    #: Whether it began something and did not wait for it (``wait: false``).
    goes_on: bool = False
    #: Whether the hosts of its play go from task to task together (strategy ``linear``).
    together: bool = True
    #: What was done, in the words of the collection's modules.
    actions: list[str] = dataclasses.field(default_factory=list)
    #: Whether what it says when it fails are the words of the collection's modules and roles.
    is_own: bool = False
    #: These words.
    reason: str = ""

    @property
    def waited(self) -> bool:
        """Whether it had to wait, because it asked more than once or its one look took long."""
        return self.waits and (self.attempts > 1 or self.seconds > _LOOK_SECONDS)

    @property
    def seconds(self) -> float:
        """How long it took; 0 while it has not ended."""
        return (self.ended or self.began) - self.began

    @property
    def end(self) -> float:
        """When it ended; a step that has not counts as ended when it began."""
        return self.began if self.ended is None else self.ended


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """What went on by itself between the step that began it and the step that waited for it."""

    begun_by: Step
    awaited_by: Step

    @property
    def host(self) -> str:
        return self.begun_by.host

    @property
    def name(self) -> str:
        """``finish | Wait for the build of the image`` -> ``Build of the image``; else the module's name."""
        found = re.search(r"\bwait for (?:the |a |an )?(.+)", self.awaited_by.name, re.IGNORECASE)
        text = found.group(1) if found else self.begun_by.module.rpartition(".")[2]
        return text[:1].upper() + text[1:]

    @property
    def began(self) -> float:
        return self.begun_by.end

    @property
    def end(self) -> float:
        """When its end was noticed."""
        return self.awaited_by.end


@dataclasses.dataclass(frozen=True)
class Link:
    """A part of the critical path: a step, or something in the background, from ``began`` to ``end``.

    ``step`` is the step, or the one that waited for what went on in the background; None for several steps put together.
    """

    name: str
    host: str
    began: float
    end: float
    step: Step | None = None
    background: bool = False

    @property
    def seconds(self) -> float:
        return self.end - self.began


def short_name(name: str) -> str:
    """A task's name without the name of its file: ``finish | Wait`` -> ``Wait``."""
    return name.rpartition(" | ")[2]


def waits_itself(name: str) -> bool:
    """Whether a task of the collection waits until something is so, as its name says: ``finish | Wait for the image``."""
    return short_name(name).lower().startswith("wait for ")


def backgrounds(steps: t.Sequence[Step]) -> list[Background]:
    """What went on meanwhile: a step that waits does so for the last step of the same module on its host that did not wait."""
    found = []
    for index, waiting in enumerate(steps):
        if not waiting.waits or waiting.outcome == "skipped":
            continue
        for earlier in reversed(steps[:index]):
            if (
                (earlier.host, earlier.module) == (waiting.host, waiting.module)
                and earlier.goes_on
                and not earlier.waits
            ):
                found.append(Background(earlier, waiting))
                break
    return found


def critical_path(steps: t.Sequence[Step]) -> list[Link]:
    """The chain that decided how long the run took, from its beginning to its end.

    From the step that ended last backwards: a step that had to wait hands over to what went on in the background and from
    there to the step that began it; any other one to what ended last before it began, on its own host or, where the hosts
    of a play go together, on any.
    """
    ended = [step for step in steps if step.ended is not None]
    behind = {background.awaited_by: background for background in backgrounds(ended)}
    path: list[Link] = []
    current = max(ended, key=lambda step: step.end, default=None)
    while current is not None:
        background = behind.get(current)
        if background is not None and current.waited:
            path.append(
                Link(background.name, current.host, background.began, current.end, current, background=True)
            )
            # The step that began it is always the earlier one, so that this comes to an end.
            current = background.begun_by
        path.append(Link(short_name(current.name), current.host, current.began, current.end, current))
        current = _before(ended, current)
    return path[::-1]


def _before(steps: t.Sequence[Step], current: Step) -> Step | None:
    """The step that ended last before this one could begin."""
    candidates = [
        step
        for step in steps
        if step is not current
        and step.end <= current.began + _AT_ONCE
        and step.began < current.began
        and (current.together or step.host == current.host)
    ]
    return max(candidates, key=lambda step: step.end, default=None)


def summarised(path: t.Sequence[Link], shortest: float) -> list[Link]:
    """The path with neighbouring parts that took less than *shortest* seconds put together."""
    result: list[Link] = []
    short: list[Link] = []

    def put_together() -> None:
        if len(short) == 1:
            result.append(short[0])
        elif short:
            hosts = {link.host for link in short}
            name = f"{len(short)} short steps"
            result.append(Link(name, hosts.pop() if len(hosts) == 1 else "", short[0].began, short[-1].end))
        short.clear()

    for link in path:
        if link.seconds < shortest:
            short.append(link)
        else:
            put_together()
            result.append(link)
    put_together()
    return result


@dataclasses.dataclass
class Run:
    """A run of a playbook."""

    playbook: str
    #: When it began, as people read it, in UTC.
    date: str
    seconds: float
    steps: list[Step]
    #: Host -> the counts of the recap.
    recap: dict[str, dict[str, int]]
    check_mode: bool = False

    @property
    def hosts(self) -> list[str]:
        """The hosts in the order in which they had something to do."""
        return list(dict.fromkeys(step.host for step in self.steps))

    @property
    def failed(self) -> bool:
        return any(counts.get("failures") or counts.get("unreachable") for counts in self.recap.values())

    @property
    def reasons(self) -> dict[str, Step]:
        """For each host that failed the step that ended it. Before it may be others, which were taken up."""
        failed = [host for host, counts in self.recap.items() if counts.get("failures")]
        last = {step.host: step for step in self.steps if step.outcome == "failed"}
        return {host: last[host] for host in failed if host in last and last[host].reason}
