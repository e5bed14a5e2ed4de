"""Faults on demand: a plan of what goes wrong, at which method, how often and for whom.

The dispatcher asks :meth:`Faults.strike` before every call. What it returns shapes the answer (an error, a reset, a stall) or
is remembered for the call and all that the call starts: the part that does the work asks :func:`striking` whether it is to fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import errno
import fnmatch
import os
import random
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any, TypeVar

from gcp_emulator.engine.errors import ApiError, Json, invalid_argument, not_found
from gcp_emulator.engine.facts import apis, load_facts, read_yaml

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """What can go wrong."""

    text: str
    #: Fields beyond the common ones, with their defaults.
    fields: dict[str, Any] = field(default_factory=dict)
    #: Patterns of the methods at which it can happen.
    methods: tuple[str, ...] = ("*",)


_LONG_RUNNING = (
    "artifactregistry.*.repositories.create",
    "artifactregistry.*.repositories.delete",
    "cloudbuild.*.builds.create",
    "run.*.services.[cdp]*",
    "run.*.jobs.[cdpr]*",
    "serviceusage.services.*able",
    "serviceusage.services.batchEnable",
    "sql.*.insert",
    "sql.*.patch",
    "sql.*.update",
    "sql.*.delete",
    "sql.instances.restart",
)
KINDS = {
    "unauthenticated": Kind("401: the token is refused"),
    "forbidden": Kind("403: a permission is missing"),
    "not_found": Kind("404: not there"),
    "conflict": Kind("409 ABORTED: somebody else changed it"),
    "precondition_failed": Kind("412: a stale etag or generation"),
    "rate_limited": Kind("429 with Retry-After", {"retryAfter": 1}),
    "internal_error": Kind("500"),
    "unavailable": Kind("503"),
    "html": Kind("502 with an HTML page, as front ends answer"),
    "reset_before": Kind("the connection is reset, nothing was done"),
    "reset_after": Kind("the connection is reset, it was done"),
    "stall": Kind("it is done, and the answer comes after seconds", {"seconds": 3600.0}),
    "truncated": Kind("it is done, and the answer breaks off in the middle"),
    "operation_fails": Kind("the operation ends in an error", methods=_LONG_RUNNING),
    "operation_hangs": Kind("the operation does not go on until the fault is removed", methods=_LONG_RUNNING),
    "unknown_account": Kind(
        "for seconds, calls to service that name the new service account find that it does not exist",
        {"seconds": 3.0, "service": "*"},
        ("iam.projects.serviceAccounts.create",),
    ),
    "grant_pending": Kind(
        "for seconds, service does not see what is granted",
        {"seconds": 3.0, "service": "*"},
        ("*.setIamPolicy",),
    ),
    "build_out_of_memory": Kind("the build's step is killed", methods=("cloudbuild.*.builds.create",)),
    "build_disk_full": Kind("the build's step finds no space", methods=("cloudbuild.*.builds.create",)),
    "revision_crashes": Kind(
        "the new revision serves calls requests, then its container ends at every request until the fault is removed",
        {"calls": 1},
        ("run.projects.locations.services.create", "run.projects.locations.services.patch"),
    ),
    "logs_late": Kind(
        "what is printed reaches the log up to seconds later, each line at its own time",
        {"seconds": 5.0},
        (
            "cloudbuild.*.builds.create",
            "run.projects.locations.jobs.run",
            "run.projects.locations.services.create",
            "run.projects.locations.services.patch",
        ),
    ),
    "empty_page": Kind(
        "a page without entries, with the token of the first page that has some",
        methods=("logging.entries.list",),
    ),
    "database_restart": Kind("all database servers restart after seconds", {"seconds": 0.0}),
    "too_many_operations": Kind(
        "400: Cloud SQL has too many operations on the instance, reads too",
        methods=("sql.databases.*", "sql.users.*", "sql.instances.executeSql"),
    ),
    "disk_full": Kind("what the call writes (state, objects, SQL) finds no space"),
}
_COMMON: dict[str, Any] = {
    "method": "",
    "kind": "",
    "count": 1,
    "skip": 0,
    "probability": 1.0,
    "seed": 0,
    "caller": "*",
    "target": "*",
}
#: Lowest and highest value of the numbers.
_RANGES: dict[str, tuple[float, float]] = {
    "count": (0, 10**6),
    "skip": (0, 10**6),
    "probability": (0, 1),
    "seed": (0, 2**63),
    "retryAfter": (0, 3600),
    "seconds": (0, 3600),
    "calls": (1, 10**6),
}


@dataclass
class Fault:
    """One entry of the plan. ``settings`` holds every field with its value."""

    id: str
    settings: Json
    #: Calls that matched, and calls at which it struck.
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.settings["seed"])  # noqa: S311 - repeatable, not secret
        self._released = asyncio.Event()

    @property
    def kind(self) -> str:
        return str(self.settings["kind"])

    @property
    def calls(self) -> int:
        return int(self.settings["calls"])

    @property
    def seconds(self) -> float:
        return float(self.settings["seconds"])

    def matches(self, method: str, caller: str, target: str) -> bool:
        """Whether the call is one that it is about."""
        wanted = self.settings
        return all(
            fnmatch.fnmatchcase(value, wanted[name])
            for name, value in (("method", method), ("caller", caller), ("target", target))
        ) and matches_any(method, KINDS[self.kind].methods)

    def drawn_seconds(self) -> float:
        """A part of its seconds, drawn repeatably."""
        return self.seconds * self._random.random()

    def is_about(self, service: str) -> bool:
        """Whether a service, named as in its permissions, is one that the fault is about."""
        return fnmatch.fnmatchcase(service, self.settings["service"])

    @property
    def removed(self) -> bool:
        """Whether it is in the plan no longer."""
        return self._released.is_set()

    def strikes(self) -> bool:
        """Whether it happens at this matching call."""
        self.seen += 1
        limit = self.settings["count"]
        if self.seen <= self.settings["skip"] or (limit and self.struck >= limit):
            return False
        if self._random.random() >= self.settings["probability"]:
            return False
        self.struck += 1
        return True

    def release(self) -> None:
        """Lets go what it holds up."""
        self._released.set()

    async def hold(self, seconds: float | None = None) -> None:
        """Waits until it is removed from the plan, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._released.wait()

    def view(self) -> Json:
        return {"id": self.id, **self.settings, "seen": self.seen, "struck": self.struck}


_current: ContextVar[tuple[Fault, ...]] = ContextVar("faults", default=())


def striking(kind: str) -> Fault | None:
    """The fault of this kind that strikes the call which this code works for, directly or in a task that it started."""
    return next(iter(all_striking(kind)), None)


def all_striking(kind: str) -> tuple[Fault, ...]:
    """All faults of this kind that strike it."""
    return tuple(fault for fault in _current.get() if fault.kind == kind)


@contextlib.contextmanager
def during(faults: tuple[Fault, ...]) -> Iterator[None]:
    """What runs inside, and the tasks that it starts, are struck by these."""
    token = _current.set(faults)
    try:
        yield
    finally:
        _current.reset(token)


def operation_failure() -> ApiError | None:
    """The error in which the operation of the current call is to end."""
    return ApiError("INTERNAL", "An internal error has occurred.") if striking("operation_fails") else None


async def fallible(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, unless the operation of the current call is to fail: then nothing is done."""
    if error := operation_failure():
        work.close()
        raise error
    return await work


async def held_up() -> None:
    """Waits as long as the operation of the current call is to hang."""
    if fault := striking("operation_hangs"):
        await fault.hold()


def require_space() -> None:
    """OSError when the disk is to be full for the current call."""
    if striking("disk_full"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@cache
def _services() -> tuple[str, ...]:
    """The services that look at grants, named as in their permissions: what methods need, or, where handlers ask, what roles have."""
    facts = (load_facts(api) for api in apis())
    needed = {one for api in facts for method in api.methods.values() for one in method.permissions}
    granted = {
        kind for role in read_yaml("engine/roles.yaml")["roles"].values() for kind in role["permissions"]
    }
    return tuple(sorted({name.partition(".")[0] for name in needed | granted} - {"*"}))


def matches_any(method: str, patterns: tuple[str, ...]) -> bool:
    """Whether a method id is one that a kind of fault can happen at."""
    return any(fnmatch.fnmatchcase(method, pattern) for pattern in patterns)


class Faults:
    """The plan. It is in memory: a restart forgets it."""

    def __init__(self, methods: frozenset[str]) -> None:
        """``methods`` are the ids that a call can have."""
        self._methods = methods
        self._plan: list[Fault] = []
        self._numbers = count(1)

    def strike(self, method: str, caller: str, target: str) -> tuple[Fault, ...]:
        """Those that happen at a call; they have been counted."""
        return tuple(
            fault for fault in self._plan if fault.matches(method, caller, target) and fault.strikes()
        )

    def __bool__(self) -> bool:
        return bool(self._plan)

    def view(self) -> list[Json]:
        """The plan, with what has happened of it."""
        return [fault.view() for fault in self._plan]

    def add(self, entries: list[Any]) -> list[Json]:
        """Adds entries, all or none; ApiError INVALID_ARGUMENT that names what is wrong."""
        checked = [self._checked(entry, f"faults[{index}]") for index, entry in enumerate(entries)]
        added = [Fault(f"f{next(self._numbers)}", settings) for settings in checked]
        self._plan += added
        return [fault.view() for fault in added]

    def remove(self, fault_id: str | None = None) -> None:
        """Removes one (ApiError NOT_FOUND), or all; what they held up goes on."""
        gone = [fault for fault in self._plan if fault_id in (None, fault.id)]
        if fault_id is not None and not gone:
            raise not_found(f"Fault '{fault_id}' was not found.")
        self._plan = [fault for fault in self._plan if fault not in gone]
        for fault in gone:
            fault.release()

    def _checked(self, entry: Any, where: str) -> Json:
        if not isinstance(entry, dict):
            raise invalid_argument(f"Invalid value at '{where}': an object is expected.", field=where)
        for name in ("method", "kind"):
            if not isinstance(entry.get(name), str) or not entry[name]:
                raise invalid_argument(
                    f"Required field '{where}.{name}' is missing or empty.", field=f"{where}.{name}"
                )
        kind = KINDS.get(entry["kind"])
        if kind is None:
            raise _unknown(f"{where}.kind", entry["kind"], KINDS)
        known = {**_COMMON, **kind.fields}
        for name, value in entry.items():
            if name not in known:
                raise invalid_argument(
                    f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field"
                    f" for the kind {entry['kind']}. It has: {', '.join(known)}.",
                    field=where,
                )
            _check_value(f"{where}.{name}", name, value, known[name])
        self._check_method(f"{where}.method", entry["method"], kind)
        if not fnmatch.filter(_services(), entry.get("service", "*")):
            raise _unknown(f"{where}.service", entry["service"], _services())
        return {**known, **entry}

    def _check_method(self, where: str, pattern: str, kind: Kind) -> None:
        matching = fnmatch.filter(self._methods, pattern)
        if not matching:
            raise _unknown(where, pattern, self._methods)
        if not any(fnmatch.filter(matching, possible) for possible in kind.methods):
            raise invalid_argument(
                f"Invalid value at '{where}': \"{pattern}\" is none of {', '.join(kind.methods)}, the methods at which"
                " this kind can happen.",
                field=where,
            )


def _check_value(where: str, name: str, value: Any, default: Any) -> None:
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if type(value) not in kinds:
        expected = {str: "TYPE_STRING", int: "TYPE_INT64", float: "TYPE_DOUBLE"}[type(default)]
        raise invalid_argument(f"Invalid value at '{where}' ({expected}), {value!r}", field=where)
    low, high = _RANGES.get(name, (0, 0))
    if name in _RANGES and not low <= value <= high:
        raise invalid_argument(
            f"Invalid value at '{where}': {value} is not between {low} and {high}.", field=where
        )


def _unknown(where: str, value: str, known: Any) -> ApiError:
    near = difflib.get_close_matches(value, known, 1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    return invalid_argument(f"Invalid value at '{where}': \"{value}\" is not known.{hint}", field=where)
