"""Running the programs of database servers as somebody who is not root, wherever their files are.

PostgreSQL and MySQL refuse to run as root. When the emulator is root, the programs run as the account ``postgres`` or another
unprivileged one. That account may not be able to reach the files (a checkout below /root, which is 0700); then the
program gets a private mount namespace where the closed folder is covered by an empty one that holds the needed folders
at their own paths. (Not by bubblewrap: it stays between the emulator and the server as a process without CAP_KILL, and
so swallows the parent-death signal that ends the server with the emulator.)
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# The kernel sends the parent-death signal when the *thread* that started the child ends, not the process. Servers are
# therefore started by one thread that lives as long as the process.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="server-starter")


class ServerError(Exception):
    """A database server could not do what was asked; the text says what, on what, why and what to do."""


@dataclass(frozen=True)
class Account:
    """The account that the programs run as."""

    name: str
    uid: int
    gid: int


def find_account() -> Account | None:
    """None when this process is not root and the programs simply run as itself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerError(
        "Database servers do not run as root and this machine has none of the accounts postgres, nobody, daemon. "
        "Create one of them, or run the emulator as an ordinary user."
    )


def own(path: Path, account: Account | None) -> None:
    """Gives ``path`` to the account."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _closed(account: Account, path: Path) -> Path | None:
    """The topmost folder above ``path`` that the account may not enter."""
    for folder in reversed(path.parents):
        status = folder.stat()
        if account.uid == status.st_uid:
            allowed = stat.S_IXUSR
        elif account.gid == status.st_gid:
            allowed = stat.S_IXGRP
        else:
            allowed = stat.S_IXOTH
        if not status.st_mode & allowed:
            return folder
    return None


def command(
    arguments: list[str], account: Account | None, needed: Iterable[Path], *, dies_by: str | None = None
) -> list[str]:
    """The command line that runs ``arguments`` as ``account``.

    ``needed`` are the folders (resolved) that the program must reach. ``dies_by`` is the signal (``INT``) that a server gets
    when the emulator ends, however it ends. ServerError when a program for that is missing.
    """
    if account is None:
        setpriv = shutil.which("setpriv")
        return [setpriv, "--pdeathsig", dies_by, *arguments] if setpriv and dies_by else arguments
    drop = [_tool("setpriv", account), f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    drop += ["--no-new-privs", *(["--pdeathsig", dies_by] if dies_by else []), *arguments]
    closed = {path: _closed(account, path) for path in sorted(set(needed))}
    blocked = {path: folder for path, folder in closed.items() if folder is not None}
    if not blocked:
        return drop
    # The folders are opened before they are covered, and bound from their open handles.
    script = ["set -e"]
    script += [f"exec {number}<{shlex.quote(str(path))}" for number, path in enumerate(blocked, 3)]
    script += [
        f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(folder))}"
        for folder in sorted(set(blocked.values()))
    ]
    for number, path in enumerate(blocked, 3):
        place = shlex.quote(str(path))
        script += [f"mkdir -p {place}", f"mount --no-canonicalize --bind /proc/self/fd/{number} {place}"]
        script += [f"exec {number}<&-"]
    script += ["exec " + shlex.join(drop)]
    return [_tool("unshare", account), "--mount", "--propagation", "private", "sh", "-c", "\n".join(script)]


def _tool(name: str, account: Account) -> str:
    path = shutil.which(name)
    if path is None:
        raise ServerError(
            f"Database servers do not run as root, and the program {name} that would run it as {account.name} was not "
            "found. Install util-linux, or run the emulator as an ordinary user."
        )
    return path


def _environment() -> dict[str, str]:
    """Nothing of the emulator's own environment: it may carry PG* variables and secrets."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def run(arguments: list[str], *, what: str, extra_environment: dict[str, str] | None = None) -> None:
    """Runs a program to its end; ServerError with its last words when it fails."""
    done = subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        umask=0o022,
        env=_environment() | (extra_environment or {}),
    )
    if done.returncode != 0:
        raise ServerError(f"{what} failed (exit code {done.returncode}): {tail(done.stdout)}")


def spawn(arguments: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Starts a server in a session of its own: a Ctrl-C in the terminal is the emulator's to handle, in its order."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            umask=0o022,
            env=_environment(),
        )

    return _STARTER.submit(start).result()


def last_words(path: Path) -> str:
    """The end of a server's log, on one line."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            return tail(file.read().decode("utf-8", "replace"))
    except FileNotFoundError:
        return "no output"


def tail(text: str, lines: int = 5) -> str:
    """The last lines of a program's output, on one line."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-lines:]) or "no output"
