# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""A lock that several machines share: an object that only one of them can create, and that tells who holds it.

Source: ifGenerationMatch=0 creates an object only where there is none, a generation deletes exactly the one that was read, and both are
strongly consistent (https://cloud.google.com/storage/docs/request-preconditions, https://cloud.google.com/storage/docs/consistency).
Times are Cloud Storage's own: the object's timeCreated, and the Date of its answers. No clock of a machine that deploys counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import json
import os
import socket
import typing as t
import uuid

from ansible_collections.org.djangogcp.plugins.module_utils import _ahead, _progress
from ansible_collections.org.djangogcp.plugins.module_utils._auth import cached_token, default_cache_dir
from ansible_collections.org.djangogcp.plugins.module_utils._client import (
    Call,
    Client,
    Json,
    authorize,
    new_session,
)
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import (
    create_object,
    delete_object,
    object_address,
)

#: Cloud Storage lets an object be written once in a second; a deploy takes longer than to look so often.
_LOOK_SECONDS = 5.0
#: For how long a run that ends tries to give its lock back.
_LEAVING_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Process:
    """The run that holds a lock, as another one on the same machine can look for it.

    Attributes:
        space: where its number means something: the machine since it was started, and the container in it.
        pid: its number.
        started: when it was started, as the kernel counts, because numbers come again.
    """

    space: str
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process with that number here; None where this is not Linux, or there is none."""
        started = _started(pid)
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                boot = file.read().strip()
            space = f"{boot} {os.readlink('/proc/self/ns/pid')}"
        except OSError:
            return None
        return cls(space, pid, started) if started else None

    def has_ended(self) -> bool:
        """Whether it is known that it does not run any more: it did here, and does not. Never known of another machine."""
        here = Process.of(os.getpid())
        if here is None or here.space != self.space:
            return False
        started = _started_if_there(self.pid)
        return started is not None and started != self.started


def _started(pid: int) -> str | None:
    """When a process was started; "" when it has ended and nobody has asked how, None when it cannot be read.

    Source: proc_pid_stat(5), fields 3 and 22. The name in brackets may hold anything.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[0] in "ZX" else fields[19]


def _started_if_there(pid: int) -> str | None:
    """As `_started`; "" also where there is no such process, None also for somebody else's and where a system hides those of others."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        return None
    return _started(pid)


def _run_has_ended() -> bool:
    """Whether the run that this process works for was killed, and this process left behind."""
    return bool(_ahead.run) and _started_if_there(int(_ahead.run)) == ""


@dataclasses.dataclass(frozen=True)
class Lock:
    """What is in the object.

    Attributes:
        id: tells the locks of one holder apart, so that one whose answer was lost is known again.
        owner: who holds it, in words.
        reason: what for, in words.
        lifetime_seconds: after how long others may take it.
        host: the name of the machine, for people.
        process: the run, where it can be told.
    """

    id: str
    owner: str
    reason: str
    lifetime_seconds: int
    host: str
    process: Process | None

    @classmethod
    def new(cls, owner: str, reason: str, lifetime_seconds: int) -> Lock:
        """A lock of this run."""
        process = Process.of(int(_ahead.run)) if _ahead.run else None
        return cls(uuid.uuid4().hex, owner, reason, lifetime_seconds, socket.gethostname(), process)

    @classmethod
    def from_json(cls, found: Json) -> Lock:
        """Of the object's content. What is not there is unknown: somebody may have written it by hand."""
        process = found.get("process")
        is_told = isinstance(process, dict) and process.keys() == {"space", "pid", "started"}
        told = t.cast(Json, process) if is_told else None
        return cls(
            str(found.get("id", "")),
            str(found.get("owner") or "somebody"),
            str(found.get("reason") or "an unknown reason"),
            int(found.get("lifetime_seconds") or 0),
            str(found.get("host") or "an unknown machine"),
            Process(**told) if told else None,
        )

    def encoded(self) -> bytes:
        """The object's content."""
        return json.dumps(dataclasses.asdict(self), indent=1).encode()


@dataclasses.dataclass(frozen=True)
class Held:
    """A lock that was found.

    Attributes:
        lock: what is in it.
        generation: which of all objects of that name it is.
        since: when it was made, in seconds since the epoch.
    """

    lock: Lock
    generation: str
    since: float

    @property
    def until(self) -> float | None:
        """When others may take it; None if it does not say so: never."""
        return self.since + self.lock.lifetime_seconds if self.lock.lifetime_seconds else None

    def __str__(self) -> str:
        until = "until it is unlocked" if self.until is None else f"at most until {moment_text(self.until)}"
        return f"{self.lock.owner} on {self.lock.host} since {moment_text(self.since)}, {until}, for {self.lock.reason}"

    def as_dict(self) -> Json:
        """What a module returns of it."""
        return {
            "owner": self.lock.owner,
            "reason": self.lock.reason,
            "host": self.lock.host,
            "since": moment_text(self.since),
            "until": "" if self.until is None else moment_text(self.until),
            "generation": self.generation,
        }


def why_free(held: Held, now: float | None) -> str:
    """Why a lock may be taken from who holds it, in words; "" if it may not.

    Args:
        held: the lock.
        now: the time by Cloud Storage's clock, in seconds since the epoch; None if it did not tell.
    """
    if held.lock.process is not None and held.lock.process.has_ended():
        return f"process {held.lock.process.pid} of this machine, which held it, has ended without giving it back"
    if held.until is not None and now is not None and now >= held.until:
        return "its time is over"
    return ""


def moment_text(seconds: float) -> str:
    """For instance "2026-01-31 12:00:00 UTC"."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class LockedError(DjangoGcpError):
    """Somebody else holds the lock."""


class Locks:
    """The lock of one bucket.

    Args:
        client: calls Cloud Storage.
        bucket: the name of the bucket.
        name: the name of the object.
    """

    def __init__(self, client: Client, bucket: str, name: str) -> None:
        self._client = client
        self._bucket = bucket
        self._name = name
        self._where = f"gs://{bucket}/{name}"
        self._url = object_address(bucket, name)

    def acquire(self, lock: Lock, wait_seconds: float, cure: str) -> tuple[str, list[str]]:
        """Take the lock, and wait for it so long if somebody else holds it.

        Args:
            lock: what is written.
            wait_seconds: how long to wait; 0 to fail at once.
            cure: what a person may do about a lock that is held.

        Returns:
            Its generation, and what a person has to be told: whose lock was taken, and why it could be.

        Raises:
            LockedError: somebody else holds it, or the run was killed: nobody would give it back, nor know that it may be taken.
        """
        deadline = Deadline(wait_seconds, self._client.clock)
        told: list[str] = []
        next_line = 0.0
        while True:
            if _run_has_ended():
                raise LockedError(
                    f"Failed to take the lock {self._where}: the run that asked for it has ended."
                )
            generation = self._create(lock)
            if generation:
                _note(self._client, self._bucket, self._name, generation)
                return generation, told
            held = self.find()
            if held is None:
                continue  # it was given back meanwhile
            if held.lock.id == lock.id:
                _note(self._client, self._bucket, self._name, held.generation)
                return held.generation, told  # the answer to the first attempt was lost
            if why := why_free(held, self._client.server_time):
                if self._delete(held.generation):
                    told.append(f"The lock {self._where} was taken from {held}: {why}.")
                continue
            if deadline.waited >= next_line and wait_seconds:
                next_line = deadline.waited + _progress.EVERY_SECONDS
                _progress.tell(_progress.line(f"wait for the lock of {held}", "", deadline.waited, ""))
            if not deadline.sleep(_LOOK_SECONDS):
                waited = f" It was waited for {_progress.elapsed(wait_seconds)}." if wait_seconds else ""
                raise LockedError(f"The lock {self._where} is held by {held}.{waited} {cure}")

    def release(self, generation: str) -> str:
        """Give back the lock with that generation. Returns what a person has to be told, if somebody else has it now.

        Raises:
            DjangoGcpError: it is still there.
        """
        _forget(self._bucket, self._name)
        for _attempt in range(2):
            if self._delete(generation):
                return ""
            # Somebody has unlocked it, or it was deleted by a request whose answer was lost.
            held = self.find()
            if held is None:
                return ""
            if held.generation != generation:
                return f"The lock {self._where} was taken from this run before its end. It is held by {held}."
        raise DjangoGcpError(
            f"Failed to give back the lock {self._where}: Cloud Storage refuses twice to delete what it holds. The next run on this machine takes"
            " it; for others it has to be unlocked."
        )

    def break_(self) -> Held | None:
        """Take the lock away, whoever holds it. Returns whose it was, None if nobody held it."""
        held = self.find()
        if held is None or not self._delete(held.generation):
            return None
        return held

    def find(self) -> Held | None:
        """The lock as it is held, None if nobody holds it."""
        call = Call(f"read the lock {self._where}", "storage.objects.get")
        found = self._client.find(self._url, call, params={"fields": "generation,timeCreated"})
        if found is None:
            return None
        content = self._client.find(
            self._url, call, params={"alt": "media", "generation": found["generation"]}
        )
        if content is None:
            return None
        since = datetime.datetime.fromisoformat(found["timeCreated"].replace("Z", "+00:00")).timestamp()
        return Held(Lock.from_json(content), str(found["generation"]), since)

    def _create(self, lock: Lock) -> str:
        """Returns the generation, "" when there is one already."""
        call = Call(f"take the lock {self._where}", "storage.objects.create")
        try:
            return create_object(self._client, call, self._bucket, self._name, lock.encoded())
        except ApiError as error:
            if error.status == 404:
                raise DjangoGcpError(
                    f"Failed to take the lock {self._where}: there is no such bucket. Make it with the playbook provision, or deploy"
                    " without --tags."
                ) from error
            raise

    def _delete(self, generation: str) -> bool:
        """Whether the lock with that generation was there and is deleted."""
        call = Call(f"give back the lock {self._where}", "storage.objects.delete")
        return delete_object(self._client, call, self._bucket, self._name, generation=generation)


# A run that is interrupted (Ctrl-C) does nothing more of its playbook. What it holds is noted beside its tokens, for its end.


def _path(run: str, bucket: str, name: str) -> str | None:
    folder = default_cache_dir() if run else None
    if folder is None:
        return None
    return os.path.join(folder, f"lock-{run}-{hashlib.sha256(f'{bucket}/{name}'.encode()).hexdigest()[:16]}")


def _note(client: Client, bucket: str, name: str, generation: str) -> None:
    path = _path(_ahead.run, bucket, name)
    # What cannot be noted is left over by an interrupted run, and taken by the next one.
    with contextlib.suppress(OSError):
        if path is not None:
            note = {
                "bucket": bucket,
                "name": name,
                "generation": generation,
                "identity": client.identity,
                "started": _started(int(_ahead.run)),
            }
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(note, file)


def _forget(bucket: str, name: str) -> None:
    path = _path(_ahead.run, bucket, name)
    with contextlib.suppress(OSError):
        if path is not None:
            os.unlink(path)


def leave(run: int, tell: t.Callable[[str], None]) -> None:
    """Give back what a run still holds at its end, because it was interrupted. Never fails: the next run takes what is left.

    Args:
        run: the process number of the run. Another process, forked of it, does nothing.
        tell: shows a line to whoever watches.
    """
    folder = default_cache_dir() if os.getpid() == run else None
    if folder is None:
        return
    with contextlib.suppress(OSError, ValueError, KeyError):
        for entry in list(os.scandir(folder)):
            if entry.name.startswith(f"lock-{run}-"):
                with open(entry.path, encoding="utf-8") as file:
                    note = json.load(file)
                os.unlink(entry.path)
                # Numbers come again: another run had this one, and was killed.
                if note["started"] == _started(run):
                    tell(_left(folder, note))


def _left(folder: str, note: Json) -> str:
    """Give back one lock, and tell how it went."""
    where = f"gs://{note['bucket']}/{note['name']}"
    token = cached_token(folder, note["identity"])
    if token is not None:
        # Only this object, and without waiting for anything: somebody wants to leave.
        with contextlib.suppress(Exception):
            answer = new_session().delete(
                object_address(note["bucket"], note["name"]),
                params={"ifGenerationMatch": note["generation"]},
                auth=functools.partial(authorize, token),
                timeout=_LEAVING_SECONDS,
                allow_redirects=False,
            )
            if answer.status_code in (204, 404, 412):
                return f"The run was interrupted. Its lock {where} is given back."
    return f"The run was interrupted, and its lock {where} could not be given back. The next run on this machine takes it."
