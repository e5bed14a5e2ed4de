"""What every database server here can do, whatever it speaks."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

State = Literal["absent", "stopped", "crashed", "running"]


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


class DatabaseServer(Protocol):
    """One server with its data below ``directory``. The methods block and raise ServerError; settings are names and values of its own."""

    directory: Path

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 of the last start."""

    @property
    def password(self) -> str:
        """The superuser's password."""

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Starts it and returns when it takes connections."""

    def reload(self, settings: Mapping[str, str]) -> None:
        """Applies the settings that need no restart."""

    def restart(self, settings: Mapping[str, str] | None = None) -> None:
        """Stops and starts."""

    def stop(self) -> None:
        """Shuts it down; nothing when it does not run."""

    def destroy(self) -> None:
        """Stops it and removes the folder with all data and backups."""

    def status(self) -> Status:
        """Whether it runs."""

    def backup(self, name: str) -> int:
        """A copy of its data under that name; the size in bytes."""

    def drop_backup(self, name: str) -> None:
        """Removes a backup; FileNotFoundError when there is none."""


def iam_password(server: DatabaseServer, name: str) -> str:
    """The password behind an IAM user's passwordless login, derived, never stored."""
    return base64.urlsafe_b64encode(hmac.digest(server.password.encode(), name.encode(), "sha256")).decode()
