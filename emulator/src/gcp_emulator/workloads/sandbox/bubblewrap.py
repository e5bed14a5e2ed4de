"""A sandbox of ordinary processes, made with bubblewrap.

Own process, network, IPC and host name spaces. As root the application really runs under the
image's user and group ids; as an ordinary user it does so in a user namespace, where the image's user is the ordinary user under
another number.

Not limited: CPU (that needs a delegated cgroup). Memory is counted twice a second by process 1. What is written is memory (see `writable`). For an ordinary
user who runs an image as another user than root, and where overlayfs cannot be mounted, only the temporary folders can be written:
an ordinary user's files have one owner, and who may write which of them is not known.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

from gcp_emulator.workloads.sandbox import writable
from gcp_emulator.workloads.sandbox.process import (
    CA_BUNDLE,
    DATAGRAM,
    LINE_LIMIT,
    SHIM,
    SHIM_CAPABILITIES,
    TEMPORARY_FOLDERS,
    LogHandler,
    Sandbox,
    SandboxError,
    SandboxSpec,
    SandboxUnavailable,
    kill_group,
    memory_file,
    said,
)
from gcp_emulator.workloads.sandbox.rootfs import Rootfs

# Not bubblewrap's own --dev: its pseudo-terminals cost a second user namespace, without rights over the network.
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
_DEVICE_LINKS = {
    "/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2",
}  # fmt: skip


def check_available() -> str:
    """The path of bubblewrap. Raises `SandboxUnavailable` where it is missing."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailable(
            "Applications cannot be run: the program 'bwrap' is not in PATH. Install the package bubblewrap "
            "(Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap)."
        )
    return program


class BubblewrapSandbox(Sandbox):
    """A sandbox that sees ``rootfs`` below ``/``."""

    def __init__(self, rootfs: Rootfs, spec: SandboxSpec, on_log: LogHandler) -> None:
        super().__init__(spec, on_log)
        self._rootfs = rootfs
        self._process: asyncio.subprocess.Process | None = None

    async def _launch(self) -> tuple[socket.socket, asyncio.StreamReader, asyncio.StreamReader]:
        program = check_available()
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        for end in (control, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, DATAGRAM)
        prefix: list[str] = []
        root = None
        if await self._is_writable():
            prefix, root = writable.prepare(self._rootfs.tree, self._rootfs.system.root)
        with contextlib.ExitStack() as opened:
            opened.enter_context(theirs)
            arguments, fds = _arguments(self._rootfs, self.spec, root, opened)
            self._process = await asyncio.create_subprocess_exec(
                *prefix, program, *arguments, self._rootfs.python, "-I", "-S", "/run/shim.py", str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(), *fds), env={"PATH": os.defpath}, limit=LINE_LIMIT, process_group=0,
            )  # fmt: skip
        assert self._process.stdout
        assert self._process.stderr
        return control, self._process.stdout, self._process.stderr

    async def _is_writable(self) -> bool:
        layers = (self._rootfs.tree, self._rootfs.system.root)
        return (
            (os.geteuid() == 0 or self.spec.uid == 0)
            and Path("/") not in layers  # which holds more than an image may see
            and writable.can_be_named(*layers)
            and await asyncio.to_thread(writable.is_available)
        )

    def _folders_in_memory(self) -> list[str]:
        return [*super()._folders_in_memory(), "/"]

    async def _end(self) -> None:
        if self._process is None:
            return
        kill_group(self._process)
        await self._process.wait()

    def _explain(self, complaints: list[str]) -> RuntimeError:
        text = said(complaints)
        return refusal(text) or SandboxError(f"The sandbox could not be made: {text}")


def refusal(text: str) -> SandboxUnavailable | None:
    """What the machine's refusal means, if ``text``, which bubblewrap printed, tells of one."""
    signs = (
        "namespace",
        "uid map",
        "gid map",
        "RTM_NEWADDR",
        "loopback",
        "Can't mount proc",
        "Operation not permitted",
    )
    if "bwrap: " not in text or not any(sign in text for sign in signs):
        return None
    return SandboxUnavailable(
        f"Applications cannot be run: this machine refuses to make a sandbox ({text}). {cure()}"
    )


def cure(settings: Path = Path("/proc/sys")) -> str:
    """What lets bubblewrap make sandboxes here, by what the kernel's ``settings`` say.

    The first is Ubuntu's since 23.10, the second Debian's, the third every kernel's.
    """
    for name, forbidding, allowing in (
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "10000"),
    ):
        with contextlib.suppress(OSError):
            if (settings / name.replace(".", "/")).read_text("utf-8").strip() == forbidding:
                return f"Allow user namespaces (sysctl {name} forbids them): sudo sysctl -w {name}={allowing}"
    return (
        "Allow user namespaces (sysctl does not forbid them, something else does; a container needs --security-opt seccomp=unconfined "
        "--security-opt systempaths=unconfined --cap-add SYS_ADMIN), or rehearse in containers: REHEARSAL_RUNTIME=docker make rehearse"
    )


def probe() -> None:
    """Makes the smallest sandbox that has what all have. Raises `SandboxUnavailable` where none can be made."""
    arguments = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]
    if os.geteuid() != 0:
        arguments += ["--unshare-user", "--uid", "0", "--gid", "0"]
    arguments += ["--ro-bind", "/", "/", "--proc", "/proc", "--dev-bind", "/dev/null", "/dev/null"]
    done = subprocess.run(
        [check_available(), *arguments, "--", "/bin/true"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        text = done.stderr.strip() or f"exit status {done.returncode}"
        raise refusal(text) or SandboxUnavailable(
            f"Applications cannot be run: this machine refuses to make a sandbox ({text}). {cure()}"
        )


def _arguments(
    rootfs: Rootfs, spec: SandboxSpec, root: Path | None, opened: contextlib.ExitStack
) -> tuple[list[str], list[int]]:
    """bubblewrap's arguments, and the file descriptors that they name; ``root`` is a writable view of image and system."""
    fds: list[int] = []

    def data(content: bytes) -> str:
        fds.append(memory_file(content, opened))
        return str(fds[-1])

    addresses = {"localhost": "127.0.0.1", **spec.hosts}
    generated = {
        "/etc/hosts": "".join(f"{address}\t{name}\n" for name, address in addresses.items()).encode(),
        "/etc/resolv.conf": b"",
    }
    if spec.ca_bundle:
        generated[CA_BUNDLE] = spec.ca_bundle.read_bytes()
    if not (rootfs.tree / "etc/passwd").exists():
        generated["/etc/passwd"] = (
            f"root:x:0:0::/:/bin/sh\nuser:x:{spec.uid}:{spec.gid}::/:/bin/sh\n".encode()
        )
    mounts = [*generated, *(volume.path for volume in spec.volumes), "/run/shim.py", *TEMPORARY_FOLDERS]

    plan = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    plan += ["--hostname", "localhost", "--die-with-parent", "--new-session", "--as-pid-1"]
    if os.geteuid() != 0:
        plan += ["--unshare-user", "--uid", str(spec.uid), "--gid", str(spec.gid)]
    plan += ["--cap-drop", "ALL"]
    # To see how much memory the application's processes use.
    for capability in (*SHIM_CAPABILITIES, "SYS_PTRACE"):
        plan += ["--cap-add", f"CAP_{capability}"]
    plan += rootfs.arguments_on(root, mounts) if root else rootfs.arguments(mounts)
    plan += ["--proc", "/proc", "--perms", "0755", "--tmpfs", "/dev"]
    for device in _DEVICES:
        plan += ["--dev-bind", device, device]
    for link, target in _DEVICE_LINKS.items():
        plan += ["--symlink", target, link]
    for path in TEMPORARY_FOLDERS:
        plan += ["--perms", "1777", "--tmpfs", path]
    for path, content in generated.items():
        plan += ["--perms", "0644", "--ro-bind-data", data(content), path]
    for volume in spec.volumes:
        plan += ["--perms", "0755", "--tmpfs", volume.path]
    plan += ["--ro-bind", str(SHIM), "/run/shim.py", *(() if root else ("--remount-ro", "/")), "--"]
    return plan, fds
