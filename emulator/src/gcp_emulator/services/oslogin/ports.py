"""What others ask of OS Login: who may log in to a virtual machine, as whom and with which keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class LoginUser:
    """The POSIX account that somebody has in a project."""

    username: str
    uid: int
    gid: int
    home_directory: str
    #: The public keys that have not expired, each a line of ``authorized_keys``.
    ssh_keys: tuple[str, ...]
    #: Whose account it is.
    email: str


class LoginProfiles(Protocol):
    """The login profiles of users and service accounts."""

    def users(self, project: str) -> Iterable[LoginUser]:
        """Those who have a POSIX account in a project, by e-mail address. Whether they may log in somewhere is for `may_log_in` to say."""

    def may_log_in(self, email: str, instance_path: str) -> Literal["", "login", "admin"]:
        """As what a user or service account may log in to ``projects/P/zones/Z/instances/I``: not at all, as anybody, or with the rights of root."""

    def look_at_instances(self, accounts_of: Callable[[str], Iterable[str] | None]) -> None:
        """Asks ``accounts_of`` from now on for the e-mail addresses of the service accounts of an instance, by its path; None where there is no such one."""
