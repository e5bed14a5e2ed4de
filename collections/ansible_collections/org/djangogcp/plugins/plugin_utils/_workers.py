# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a site runs in the background, beside what serves: by name a command, and how much of it there is."""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.plugin_utils import _compose

#: SITE-NAME is the name of a worker pool (49 characters), and SITE has at most 21.
NAME_LENGTH = 27
#: What serves, and what runs before a release, in a Procfile.
OTHERWISE_RUN = ("web", "release")
#: What an entry may say beside its command.
OPTIONS = ("instances", "cpu", "memory", "connections")
EXPECTED = (
    "a command such as celery -A shop worker, or {command: COMMAND} with any of instances, cpu, memory (128Mi to 32Gi) and connections, by a name of"
    f" at most {NAME_LENGTH} lower case letters, digits and hyphens that begins with a letter and is neither web nor release"
)


@dataclasses.dataclass(frozen=True)
class Worker:
    """A process that works in the background.

    Attributes:
        name: what the site calls it.
        command: a line for a shell.
        instances: how many containers run it.
        cpu: the CPUs of a container.
        memory: its memory, "" for that of what serves.
        connections: how many connections to the database a container may open.
    """

    name: str
    command: str
    instances: int
    cpu: str
    memory: str
    connections: int

    @property
    def is_scheduler(self) -> bool:
        """Whether it starts what is due, which two of them would do twice."""
        return "schedule" in (_compose.kind_of_command(self.command), _compose.kind_of_command(self.name))


def workers(asked: t.Mapping[str, t.Any]) -> list[Worker]:
    """What djangogcp_background_workers says, with what it leaves out.

    Args:
        asked: the variable, of which every entry `is_worker`, or null, which takes back what a group of hosts sets.
    """
    found = []
    for name, entry in asked.items():
        if entry is None:
            continue
        said = entry if isinstance(entry, t.Mapping) else {"command": entry}
        cpu = str(said.get("cpu") or "1")
        cpus = float(cpu.removesuffix("m")) / (1000 if cpu.endswith("m") else 1)
        found.append(
            Worker(
                name=name,
                command=said["command"].strip(),
                instances=int(said.get("instances", 1)),
                cpu=cpu,
                memory=str(said.get("memory") or ""),
                # Celery has a process for each CPU, and one that starts them; so have others.
                connections=int(said.get("connections", math.ceil(cpus) + 1)),
            )
        )
    return found


def is_name(name: str) -> bool:
    """Whether a worker can be called so."""
    is_short = len(name) <= NAME_LENGTH and name not in OTHERWISE_RUN
    return is_short and re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) is not None


def is_worker(entry: t.Any) -> bool:
    """Whether an entry says what runs, and nothing that is none of its options."""
    said = entry if isinstance(entry, t.Mapping) else {"command": entry}
    tests: dict[str, t.Callable[[t.Any], bool]] = {
        "command": _is_command,
        "instances": rules.INSTANCES.test,
        "cpu": lambda value: rules.CPU.test(str(value)),
        "memory": rules.MEMORY.test,
        "connections": rules.COUNT.test,
    }
    return "command" in said and said.keys() <= tests.keys() and all(tests[key](said[key]) for key in said)


def _is_command(value: t.Any) -> bool:
    return rules.line(4096).test(value) and bool(value.strip())


def named(name: str) -> str:
    """The name of a process or service as a worker can have it, as near as can be."""
    return name.lower().replace("_", "-")


def of_procfile(processes: t.Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The commands of a Procfile's processes that work in the background, by the names that they can have, and what else there is.

    A second server, what builds assets and what only looks is for a developer's machine.
    """
    found, others = {}, []
    for name, command in processes.items():
        if name in OTHERWISE_RUN:
            continue
        if _compose.kind_of_command(command) in ("worker", "schedule", "other"):
            found[named(name)] = command
        else:
            others.append(name)
    return found, others
