"""What every database server here has, whatever it speaks: a folder, a port, an account to run as, a life."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from gcp_emulator.databases.files import free_port, is_free, replace_file
from gcp_emulator.databases.process import ServerError, command, find_account, last_words, own, spawn, tail

log = logging.getLogger(__name__)

State = Literal["absent", "stopped", "crashed", "running"]

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
#: A server whose emulator was killed has shut down by then.
_ORPHAN_SECONDS = 5.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Status:
    """What is known of a server. ``crashed``: it ended without removing its pid file."""

    state: State
    pid: int | None = None
    port: int | None = None


@dataclass(frozen=True)
class Database:
    """A database as users know it."""

    name: str
    charset: str
    collation: str


class DatabaseServer(ABC):
    """One server with its data, in one folder::

        server.json          port and version, remembered from start to start
        admin-password       of the superuser, 0600, never leaves the machine
        server.log           what it prints
        server/data          its data, owned by the account that it runs as
        server/backups/ID    physical copies, each a data folder that can be started

    The methods block (callers on an event loop use ``asyncio.to_thread``) and raise ServerError; settings are names and values of the
    server's own. It listens on 127.0.0.1 only and shuts down when the emulator ends, however it ends.
    """

    #: What people call it.
    PRODUCT: ClassVar[str]
    #: In its data folder.
    PID_FILE: ClassVar[str]
    #: Has it disconnect its clients and end with complete data; ends it at once.
    STOP_SIGNAL: ClassVar[signal.Signals]
    KILL_SIGNAL: ClassVar[signal.Signals]

    def __init__(self, directory: Path, version: str, folders: Iterable[Path]) -> None:
        """``version`` is that of its programs, ``folders`` are all that they have to reach."""
        self.directory = directory.resolve()
        self._version = version
        self._folders = tuple(folders)
        self._server_dir = self.directory / "server"
        self._data = self._server_dir / "data"
        self._backups = self._server_dir / "backups"
        self._log = self.directory / "server.log"
        self._pid_file = self._data / self.PID_FILE
        self._process: subprocess.Popen[bytes] | None = None

    # What is remembered ------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 of the last start."""
        return int(json.loads((self.directory / "server.json").read_text("utf-8"))["port"])

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.directory / "admin-password").read_text("utf-8")

    def _remember(self, port: int) -> None:
        text = json.dumps({"port": port, "version": self._version})
        replace_file(self.directory / "server.json", text + "\n")

    def _make_folders(self) -> None:
        """Makes what a server has beside its data."""
        account = find_account()
        self.directory.mkdir(parents=True, exist_ok=True)
        for folder in (self._server_dir, self._backups):
            folder.mkdir(mode=0o700, exist_ok=True)
            own(folder, account)
        replace_file(self.directory / "admin-password", secrets.token_urlsafe(24), mode=0o600)

    # Life --------------------------------------------------------------------------------------------------------

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Starts it with ``settings`` and returns when it takes connections.

        The port of the last start is kept when it is free, else another is taken and remembered. A server that was killed recovers by
        itself. ServerError when another emulator runs it, or it does not come up: the text ends with its last words.
        """
        self._wait_for_orphan()
        if self.status().state == "crashed":
            log.warning("%s in %s was not shut down; it recovers now", self.PRODUCT, self.directory)
            self._pid_file.unlink(missing_ok=True)
        for attempt in range(3):
            port = self.port if attempt == 0 and is_free(self.port) else free_port()
            if port != self.port:
                log.warning(
                    "port %d of %s is taken; %s listens on %d now",
                    self.port,
                    self.directory,
                    self.PRODUCT,
                    port,
                )
                self._remember(port)
            self._configure(settings or {})
            if self._launch():
                return
        raise ServerError(f"{self.PRODUCT} in {self.directory} found no free port: {self.last_words()}")

    def stop(self) -> None:
        """Shuts it down (clients are disconnected, data are complete); nothing when it does not run."""
        status = self.status()
        if status.state != "running" or status.pid is None:
            return
        if self._process is None:
            raise ServerError(self._foreign(status))
        with contextlib.suppress(ProcessLookupError):
            os.kill(status.pid, self.STOP_SIGNAL)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error(
                "%s in %s did not stop in %d s; it is ended at once",
                self.PRODUCT,
                self.directory,
                _STOP_SECONDS,
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(status.pid, self.KILL_SIGNAL)
            self._process.wait(_STOP_SECONDS)
        self._process = None

    def restart(self, settings: Mapping[str, str] | None = None) -> None:
        """Stops and starts."""
        self.stop()
        self.start(settings)

    @abstractmethod
    def reload(self, settings: Mapping[str, str]) -> None:
        """Applies the settings that need no restart."""

    def destroy(self) -> None:
        """Stops it and removes the folder with all data and backups."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=False)

    def status(self) -> Status:
        """Whether it runs, by its pid file and the process behind it."""
        if not self._data.is_dir():
            return Status("absent")
        try:
            pid = int(self._pid_file.read_text("utf-8").split(maxsplit=1)[0])
        except (FileNotFoundError, IndexError, ValueError):
            return Status("stopped")
        # A pid alone may be another program's by now; a server works in its data folder.
        try:
            alive = os.path.samefile(f"/proc/{pid}/cwd", self._data)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            alive = False
        return Status("running" if alive else "crashed", pid, self.port)

    def last_words(self) -> str:
        """The end of its log, on one line."""
        return last_words(self._log)

    # Backups -----------------------------------------------------------------------------------------------------

    def backup(self, name: str) -> int:
        """A physical copy of the running server under ``server/backups/NAME``; its size in bytes."""
        target = self._backups / name
        try:
            self._back_up(target)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        self._hand_over(target)
        return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())

    def drop_backup(self, name: str) -> None:
        """Removes a backup; FileNotFoundError when there is none."""
        shutil.rmtree(self._backups / name)

    # What each does in its own way -------------------------------------------------------------------------------

    @abstractmethod
    def _configure(self, settings: Mapping[str, str]) -> None:
        """Writes the configuration of the next start."""

    @abstractmethod
    def _starting(self) -> contextlib.AbstractContextManager[list[str]]:
        """The program and its arguments, while it starts."""

    @abstractmethod
    def _is_ready(self, printed: str) -> bool:
        """Whether it takes connections; ``printed`` is its log since it was started."""

    @abstractmethod
    def _back_up(self, target: Path) -> None:
        """Copies the data of the running server to ``target``, which is not there."""

    def _complaint(self, printed: str) -> str:
        """Why it did not come up, of what it printed."""
        return tail(printed)

    def _is_still_used(self, printed: str) -> bool:
        """Whether it did not come up because processes of a server that was killed are not gone, of what it printed."""
        return False

    # Inside ------------------------------------------------------------------------------------------------------

    def _hand_over(self, folder: Path) -> None:
        """Gives all of a folder to the account that the server runs as."""
        account = find_account()
        for path in (folder, *folder.rglob("*")):
            own(path, account)

    def _command(self, arguments: list[str], *, dies_by: str | None = None) -> list[str]:
        needed = [self._server_dir, *self._folders]
        return command(arguments, find_account(), needed, dies_by=dies_by)

    def _launch(self) -> bool:
        """True when the server takes connections, False when its port was taken meanwhile. What is left of one that was killed is waited for."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return self._launch_once()
            except _StillUsedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)

    def _launch_once(self) -> bool:
        self._log.touch(mode=0o600)
        offset = self._log.stat().st_size
        with self._starting() as arguments, self._log.open("ab") as output:
            dies_by = self.STOP_SIGNAL.name.removeprefix("SIG")
            self._process = spawn(self._command(arguments, dies_by=dies_by), output)
            return self._wait_until_ready(self._process, offset)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], offset: int) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            with self._log.open("rb") as file:
                file.seek(offset)
                printed = file.read().decode("utf-8", "replace")
            if ended:
                self._process = None
                if "Address already in use" in printed:
                    return False
                kind = _StillUsedError if self._is_still_used(printed) else ServerError
                raise kind(f"{self.PRODUCT} in {self.directory} did not start: {self._complaint(printed)}")
            if self._is_ready(printed):
                return True
            time.sleep(_POLL_SECONDS)
        raise ServerError(
            f"{self.PRODUCT} in {self.directory} took longer than {_START_SECONDS:.0f} s to start: {self.last_words()}"
        )

    def _running_pid(self) -> int:
        status = self.status()
        if status.state != "running" or status.pid is None:
            raise ServerError(
                f"{self.PRODUCT} in {self.directory} does not run ({status.state}): {self.last_words()}"
            )
        return status.pid

    def _wait_for_orphan(self) -> None:
        """A server whose emulator was killed is shutting down; one that stays belongs to another emulator."""
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while (status := self.status()).state == "running":
            if time.monotonic() > deadline:
                raise ServerError(self._foreign(status))
            time.sleep(_POLL_SECONDS)

    def _foreign(self, status: Status) -> str:
        return (
            f"The {self.PRODUCT} server of {self.directory} already runs (pid {status.pid}, port {status.port}) and was not "
            "started by this emulator. Stop the emulator that started it."
        )


class _StillUsedError(ServerError):
    """Processes of a server that was killed are not gone yet."""


def made_by(directory: Path) -> str:
    """The version that made the data of the server in ``directory``; FileNotFoundError when there are none."""
    return str(json.loads((directory / "server.json").read_text("utf-8"))["version"])


def iam_password(server: DatabaseServer, name: str) -> str:
    """The password behind an IAM user's passwordless login, derived, never stored."""
    return base64.urlsafe_b64encode(hmac.digest(server.password.encode(), name.encode(), "sha256")).decode()
