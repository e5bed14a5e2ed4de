"""RUN: execute a command on a stage's tree with bubblewrap.

The tree is the writable root; the interpreter is the host's, and so is, read-only, what of ``/usr`` the image has (`System`).
Own process, IPC and host name spaces; the network is the host's, because `pip` needs its registry. As root the
command has the capabilities that Docker gives; as an ordinary user it is root of a user namespace with that one user,
where changes of ownership report success and do nothing.
"""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import os
import platform
import posixpath
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gcp_emulator.workloads.build.cache import in_thread
from gcp_emulator.workloads.build.copy import OWN_USR_FOLDERS, resolve_inside
from gcp_emulator.workloads.build.overlay import Overlay
from gcp_emulator.workloads.images import Interpreter
from gcp_emulator.workloads.sandbox.bubblewrap import check_available, refusal
from gcp_emulator.workloads.sandbox.process import kill_group
from gcp_emulator.workloads.sandbox.system import FOLDERS, LIBRARY_CACHE, System

Log = Callable[[str], None]

# What Docker leaves to a container's root, without those for devices and raw sockets.
_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
    "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
)  # fmt: skip
# Of the host's /etc: what name look-ups and TLS need, and what belongs to the programs in /usr. Never part of the image.
_HOST_ETC = (
    "/etc/ca-certificates", "/etc/hosts", "/etc/pip.conf", "/etc/pki", "/etc/protocols", "/etc/resolv.conf", "/etc/services",
    "/etc/ssl",
)  # fmt: skip
_SYSTEM_ETC = ("etc/alternatives", LIBRARY_CACHE)
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_ABSOLUTE_PATH = re.compile(r"(?:(?<=^)|(?<=[\s=])|(?<=file://))/[^\s,;'\"]+")
_LINE_LIMIT = 64 * 1024
# (audit architecture, system call numbers of chown, fchown, lchown, fchownat) from the kernel's headers.
_OWNERSHIP_CALLS = {
    "x86_64": (0xC000003E, (92, 93, 94, 260)),
    "aarch64": (0xC00000B7, (54, 55)),
}


@dataclass(frozen=True)
class HostAccess:
    """What a build may use of the host: variables, and the files and folders that they name (read-only)."""

    env: Mapping[str, str]
    paths: tuple[str, ...]


def host_access(environ: Mapping[str, str], own_proxy: str | None = None) -> HostAccess:
    """pip's configuration, certificates and proxy of the host.

    ``own_proxy`` is the emulator's own address (``http://127.0.0.1:8080``): when the variables point there they are
    left out, because the package registry is not Google Cloud's.
    """
    proxied = any(
        own_proxy and environ.get(spelling, "").rstrip("/") == own_proxy.rstrip("/")
        for name in PROXY_VARIABLES
        for spelling in (name, name.lower())
    )
    env = {}
    for name, value in environ.items():
        is_proxy = name.upper() in PROXY_VARIABLES
        if (is_proxy and not proxied) or name.startswith("PIP_") or name in _CA_VARIABLES:
            env[name] = value
    texts = list(env.values())
    own_files = [Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"]
    own = next((path for path in own_files if path.is_file()), None)
    if own and "PIP_CONFIG_FILE" not in env:
        # Inside, the home folder is the image's.
        env["PIP_CONFIG_FILE"] = str(own)
        texts.append(str(own))
    for path in (env.get("PIP_CONFIG_FILE"), "/etc/pip.conf"):
        texts += _settings(path) if path else []
    named = {match[0] for text in texts for match in _ABSOLUTE_PATH.finditer(text)}
    paths = sorted(path for path in named if os.path.exists(path) and not _is_there_anyway(path))
    return HostAccess(env, tuple(paths))


def _settings(path: str) -> list[str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError):
        return []  # pip itself will complain, with better words
    return [value for section in parser.sections() for value in parser[section].values()]


def _is_there_anyway(path: str) -> bool:
    return path.startswith(("/usr/", "/dev/")) or any(
        path == own or path.startswith(own + "/") for own in _HOST_ETC
    )


@dataclass(frozen=True)
class Mount:
    """Something to see at ``target`` during one RUN: a host path read-only (``bind``) or writable (``cache``), or an
    empty folder in memory (``tmpfs``)."""

    kind: str
    target: str
    source: Path | None = None


@dataclass(frozen=True)
class Command:
    """A RUN. ``env`` is the image's and the build arguments'; ``user`` is (uid, gid)."""

    argv: Sequence[str]
    env: Mapping[str, str]
    working_dir: str = "/"
    user: tuple[int, int] = (0, 0)
    mounts: tuple[Mount, ...] = ()
    network: bool = True


async def execute(
    tree: Path, python: Interpreter, command: Command, host: HostAccess, log: Log, *, overlay: bool
) -> int:
    """Run a command on a tree, its output passed to ``log`` line by line; returns the exit code.

    With ``overlay`` the tree's files are never written to, only replaced, and stay as they were when the command fails.
    Cancelling kills everything that it started. Raises `gcp_emulator.workloads.sandbox.process.SandboxUnavailable` where
    there is no bubblewrap, or it is forbidden. Mount points that were made for the sandbox are removed from the tree again.
    """
    program = check_available()
    plan = _mounts(await in_thread(System.of, python), python, command, host)
    view = Overlay(tree) if overlay else None
    prefix = view.prepare() if view else []
    missing = _missing(tree, [target for _, _, target in plan])
    arguments = ["--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    arguments += ["--hostname", "build"] + ([] if command.network else ["--unshare-net"])
    argv = list(command.argv)
    descriptors: list[int] = []
    uid, gid = command.user
    with contextlib.ExitStack() as opened:
        if os.geteuid() == 0:
            arguments += [
                "--cap-drop",
                "ALL",
                *(word for name in _CAPABILITIES for word in ("--cap-add", name)),
            ]
            if uid or gid:
                argv = [
                    *(
                        "/usr/bin/setpriv",
                        f"--reuid={uid}",
                        f"--regid={gid}",
                        "--clear-groups",
                        "--inh-caps=-all",
                    ),
                    *("--bounding-set=-all", "--", *argv),
                ]
        else:
            arguments += ["--unshare-user", "--uid", str(uid), "--gid", str(gid)]
            if filter_program := _ignore_ownership(platform.machine()):
                descriptor = os.memfd_create("seccomp")
                opened.callback(os.close, descriptor)
                os.write(descriptor, filter_program)
                os.lseek(descriptor, 0, os.SEEK_SET)
                descriptors.append(descriptor)
                arguments += ["--seccomp", str(descriptor)]
        arguments += ["--bind", str(view.merged if view else tree), "/"]
        for option, source, target in plan:
            arguments += [option, source, target] if source else [option, target]
        arguments += ["--chdir", command.working_dir, "--", *argv]
        process = await asyncio.create_subprocess_exec(
            *prefix, program, *arguments, cwd=tree.parent, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env={**host.env, **command.env}, pass_fds=descriptors, umask=0o022,
            process_group=0,
        )  # fmt: skip
    said: list[str] = []

    def note(line: str) -> None:
        if not said:
            said.append(line)
        log(line)

    try:
        assert process.stdout is not None
        await pass_lines(process.stdout, note)
        code = await process.wait()
        # bubblewrap's own words come first, and instead of the command's.
        if code != 0 and said and said[0].startswith("bwrap: ") and (forbidden := refusal(said[0])):
            raise forbidden
        _remove_empty([view.upper / path.relative_to(tree) for path in missing] if view else missing)
        if view and code == 0:
            await in_thread(view.commit)
        return code
    finally:
        kill_group(process)
        await process.wait()
        if view:
            await in_thread(view.remove)


def _mounts(
    system: System, python: Interpreter, command: Command, host: HostAccess
) -> list[tuple[str, str, str]]:
    """(bubblewrap option, source or "", target) for everything that is not the image's."""
    plan: list[tuple[str, str, str]] = []
    for entry in sorted(os.scandir(system.root / "usr"), key=lambda each: each.name):
        if entry.name in OWN_USR_FOLDERS:
            continue
        target = f"/usr/{entry.name}"
        if entry.is_symlink():
            plan.append(("--symlink", os.readlink(entry.path), target))
        else:
            plan.append(("--ro-bind", entry.path, target))
    for name in FOLDERS[1:]:
        path = system.root / name
        if path.is_dir() and not path.is_symlink():
            # A host without merged /usr.
            plan.append(("--ro-bind", str(path), f"/{name}"))
    plan += [("--proc", "", "/proc"), ("--dev", "", "/dev")]
    of_system = ((str(system.root / path), f"/{path}") for path in _SYSTEM_ETC)
    as_it_is = ((path, path) for path in (*_HOST_ETC, *python.binds, *host.paths))
    plan += [
        ("--ro-bind", source, target) for source, target in (*of_system, *as_it_is) if os.path.exists(source)
    ]
    plan += [("--tmpfs", "", path) for path in system.masked]
    for mount in command.mounts:
        option = {"bind": "--ro-bind", "cache": "--bind", "tmpfs": "--tmpfs"}[mount.kind]
        plan.append((option, str(mount.source or ""), mount.target))
    return plan


def _missing(tree: Path, targets: Sequence[str]) -> list[Path]:
    """The mount points, and the folders above them, that bubblewrap will have to make in the tree; parents first."""
    missing: dict[Path, None] = {}
    for target in targets:
        path = tree
        folder = resolve_inside(tree, posixpath.dirname(target))
        for part in (*folder.split("/"), posixpath.basename(target)):
            path = path / part
            if not os.path.lexists(path):
                missing.setdefault(path)
    return list(missing)


def _remove_empty(paths: Sequence[Path]) -> None:
    """Remove mount points; what the command itself put there stays."""
    for path in reversed(paths):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif path.is_symlink() or path.stat().st_size == 0:
                path.unlink()


async def pass_lines(stream: asyncio.StreamReader, log: Log) -> None:
    """Give ``log`` every line of a stream until its end."""
    rest = b""
    while chunk := await stream.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LINE_LIMIT:
            lines, rest = [*lines, rest], b""
        for line in lines:
            log(line.rstrip(b"\r").decode(errors="replace"))
    if rest:
        log(rest.decode(errors="replace"))


def _ignore_ownership(machine: str) -> bytes | None:
    """A seccomp program: chown and its relatives return 0 without doing anything; None on an unknown machine.

    In a user namespace with one user the kernel refuses every other owner, and `useradd -m` or `chown -R app` in a
    Dockerfile would fail, although owners do not matter for an image that is run read-only.
    """
    if machine not in _OWNERSHIP_CALLS:
        return None
    architecture, numbers = _OWNERSHIP_CALLS[machine]
    load, jump_equal, give_back = 0x20, 0x15, 0x06
    allow, succeed = 0x7FFF0000, 0x00050000
    program = [(load, 0, 0, 4), (jump_equal, 0, len(numbers) + 1, architecture), (load, 0, 0, 0)]
    for position, number in enumerate(numbers):
        program.append((jump_equal, len(numbers) - position, 0, number))
    program += [(give_back, 0, 0, allow), (give_back, 0, 0, succeed)]
    return b"".join(struct.pack("=HBBI", *step) for step in program)
