"""Process 1 of a sandbox: prepares the network, starts the application, reports how it ended.

Run by the *image's* Python as ``python -I -S shim.py CONTROL`` with nothing but the standard library, so it imports little
and keeps to what Python 3.9 knows. CONTROL is a ``SOCK_SEQPACKET`` socket whose other end the emulator holds: the number of an
inherited one or the path of one to connect to. Each datagram is one JSON object; sockets travel beside it (``SCM_RIGHTS``). A socket belongs to the network namespace it was made
in, whoever uses it: that is how the emulator, which lives outside, accepts and connects inside.

From the emulator                                       | to the emulator
--------------------------------------------------------|------------------------------------------------------------
``prepare`` {addresses, listen, files, volumes, own,    | ``prepared`` {} + one listening socket per ``listen`` entry
``memory``} + the contents of ``files``                 |
``start``   {argv, env, cwd, uid, gid}                  | ``started`` {pid} or ``refused`` {errno, path}
``sockets`` {count}                                     | ``sockets`` {} + ``count`` unconnected TCP sockets
``signal``  {number}                                    | ``ended`` {code} or {signal[, memory]}, after which this process
                                                        | ends; ``memory`` when it was killed for want of it

When the emulator goes away the socket reads end of file, this process ends, and the kernel kills the rest of the namespace.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module `typing` costs milliseconds at every start
    from collections.abc import Iterable
    from typing import Any, NoReturn

_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION = 0x20080522
_DATAGRAM = 1 << 20
_MOST_FDS = 253  # the kernel's SCM_MAX_FD
_MEMORY_INTERVAL = 500  # milliseconds


def add_address(index: int, address: str) -> None:
    """Give the loopback device one more IPv4 address (``lo:INDEX``); 169.254.169.254 is one of them."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
            entry = struct.pack("16sH2s4s8x", b"lo:%d" % index, socket.AF_INET, b"", socket.inet_aton(value))
            fcntl.ioctl(device, request, entry)


def listen(where: list[Any]) -> socket.socket:
    """A listening socket: ``["tcp", address, port]`` or ``["unix", path]``."""
    if where[0] == "tcp":
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((where[1], where[2]))
    else:
        os.makedirs(os.path.dirname(where[1]), exist_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(where[1])
        os.chmod(where[1], 0o777)  # noqa: S103 - whoever the application runs as connects
    listener.listen(128)
    return listener


def change_user(uid: int, gid: int) -> None:
    """Become the application's user, with no capability and none to gain on exec, not even for uid 0."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int, what: str) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "cannot " + what)

    for capability in range(_LAST_CAPABILITY + 1):
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 and ctypes.get_errno() != errno.EINVAL:
            raise OSError(ctypes.get_errno(), f"cannot drop capability {capability}")
    check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear the ambient capabilities")
    if os.getuid() == 0 and uid != 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    check(libc.capset(header, bytes(24)), "clear the capabilities")


def become(message: dict[str, Any]) -> NoReturn:
    """In the child: turn into the application. Returns only by raising."""
    os.setsid()
    if os.getuid() == 0:
        for stream in (1, 2):  # so that the application may open /dev/stdout and /dev/stderr anew
            os.fchown(stream, message["uid"], message["gid"])
    change_user(message["uid"], message["gid"])
    os.chdir(message["cwd"])
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    argv, env = message["argv"], message["env"]
    if "/" in argv[0]:
        os.execve(argv[0], argv, env)  # noqa: S606
    os.execvpe(argv[0], argv, env)  # noqa: S606


def start(message: dict[str, Any]) -> tuple[int | None, dict[str, Any]]:
    """Fork and exec; an exec that fails comes back here as an OSError, through a pipe that a good exec closes."""
    broken, report = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(broken)
            become(message)
        except OSError as error:
            where = error.filename or message["argv"][0]
            os.write(report, json.dumps({"errno": error.errno or errno.EIO, "path": where}).encode())
        finally:
            os._exit(127)
    os.close(report)
    with open(broken, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        return None, json.loads(failure)
    return pid, {}


class Cgroup:
    """The memory cgroup of the container, version 1 or 2. The kernel kills any one process that asks for too much, Cloud Run
    all of them, so somebody has to look."""

    def __init__(self) -> None:
        second = os.path.exists("/sys/fs/cgroup/memory.events")
        folder = "/sys/fs/cgroup/" if second else "/sys/fs/cgroup/memory/"
        self._events = folder + ("memory.events" if second else "memory.oom_control")
        self._highest = folder + ("memory.peak" if second else "memory.max_usage_in_bytes")
        self._limit = folder + ("memory.max" if second else "memory.limit_in_bytes")

    def exceeded(self) -> int | None:
        """The most that was used, in bytes, when a process has been killed for want of memory; else None."""
        try:
            with open(self._events) as events:
                kills = [line.split()[1] for line in events if line.startswith("oom_kill ")]
        except FileNotFoundError:  # an engine that cannot limit memory says so when it starts the container
            return None
        if kills in ([], ["0"]):
            return None
        # memory.peak came with Linux 5.19; whoever was killed had reached the limit.
        highest = self._highest if os.path.exists(self._highest) else self._limit
        with open(highest) as number:
            return int(number.read())


class Usage:
    """The memory of all processes but this one and of their files in ``folders``, where no cgroup counts it.

    Counted is what the kernel could not take back from them: anonymous pages, each once though several processes share it, and
    files in memory. Pages of programs and of mapped files are not.
    """

    def __init__(self, limit: int, folders: list[str]) -> None:
        self._limit = limit
        # Folders of one file system are counted once.
        self._folders = {os.stat(folder).st_dev: folder for folder in folders}.values()

    def exceeded(self) -> int | None:
        """What is used, or was for a moment since the last look, in bytes, when it is more than the limit; else None.

        A cgroup would have counted the moment.
        """
        processes = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        files = sum(self._written(folder) for folder in self._folders)
        status = self._sizes(processes, "status")
        used = self._sum(status, status, ("VmRSS", "RssAnon", "RssShmem"), files)
        if used > self._limit:
            # That counted a shared page in each process. To count it once, the kernel walks through all pages: only now.
            exact = self._sizes(processes, "smaps_rollup")
            status = self._sizes(processes, "status")
            used = self._sum(exact, status, ("Rss", "Pss_Anon", "Pss_Shmem"), files)
        for process, size in status.items():
            # Only then, because what happens between the look and this is lost.
            if size["VmHWM"] - size["VmRSS"] > self._limit // 16:
                self._forget_highest(process)
        return used if used > self._limit else None

    @staticmethod
    def _sum(
        sizes: dict[str, dict[str, int]],
        status: dict[str, dict[str, int]],
        names: tuple[str, str, str],
        files: int,
    ) -> int:
        """What is in use, and what the process that has given back most since its sizes were taken had more. ``names`` are those of
        all of a process, of what is its own, and of what it shares in memory."""
        resident, anonymous, shared = names
        returned = [status[one]["VmHWM"] - size[resident] for one, size in sizes.items() if one in status]
        # Files in memory that are mapped are in both.
        mapped = sum(size[shared] for size in sizes.values())
        return sum(size[anonymous] for size in sizes.values()) + max(files, mapped) + max(returned, default=0)

    @staticmethod
    def _sizes(processes: list[str], source: str) -> dict[str, dict[str, int]]:
        """What the kernel tells of the processes that are still there, in bytes."""
        found = {}
        for process in processes:
            try:
                with open(f"/proc/{process}/{source}", "rb") as file:
                    lines = [line.split() for line in file]
            except OSError:
                continue
            sizes = {line[0][:-1].decode(): int(line[1]) << 10 for line in lines if line[2:] == [b"kB"]}
            if sizes:  # a process that has ended and is not collected yet has none
                found[process] = sizes
        return found

    @staticmethod
    def _written(folder: str) -> int:
        system = os.statvfs(folder)
        return (system.f_blocks - system.f_bfree) * system.f_frsize

    @staticmethod
    def _forget_highest(process: str) -> None:
        """Let VmHWM begin again: https://www.kernel.org/doc/html/latest/filesystems/proc.html, clear_refs."""
        try:
            with open(f"/proc/{process}/clear_refs", "w") as setting:
                setting.write("5")
        except OSError:
            pass


class Shim:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.child: int | None = None
        self.memory: Cgroup | Usage | None = None

    def send(self, event: str, fds: Iterable[int] = (), **fields: Any) -> None:
        socket.send_fds(self.control, [json.dumps(dict(fields, event=event)).encode()], list(fds))

    def prepare(self, message: dict[str, Any], fds: list[int]) -> None:
        for path, fd in zip(message["files"], fds):  # noqa: B905 - Python 3.9
            with open(path, "wb") as file, open(fd, "rb") as content:
                file.write(content.read())
        for index, address in enumerate(message["addresses"], 1):
            add_address(index, address)
        for path, mode in message["volumes"]:
            if os.getuid() == 0:
                os.chown(path, message["own"], message["own"])
            os.chmod(path, mode)
        if message["memory"] == "cgroup":
            self.memory = Cgroup()
        elif message["memory"]:
            self.memory = Usage(**message["memory"])
        listeners = [listen(where) for where in message["listen"]]
        self.send("prepared", fds=[listener.fileno() for listener in listeners])

    def start(self, message: dict[str, Any], _: list[int]) -> None:
        self.child, failure = start(message)
        if failure:
            self.send("refused", **failure)
        else:
            self.send("started", pid=self.child)

    def sockets(self, message: dict[str, Any], _: list[int]) -> None:
        made = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(message["count"])]
        self.send("sockets", fds=[one.fileno() for one in made])
        for one in made:
            one.close()

    def signal(self, message: dict[str, Any], _: list[int]) -> None:
        if self.child:
            os.kill(self.child, message["number"])

    def reap(self) -> bool:
        """Collect every ended process (orphans come to process 1). True when the application itself has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return False
            if pid == self.child:
                code = os.waitstatus_to_exitcode(status)
                if code >= 0:
                    self.send("ended", code=code)
                elif not self.starved():
                    self.send("ended", signal=-code)
                return True

    def starved(self) -> bool:
        """Whether the application has been killed, in whole or in part, because it used more memory than it may."""
        used = self.memory.exceeded() if self.memory and self.child else None
        if used is not None:
            self.send("ended", signal=signal.SIGKILL, memory=used)
        return used is not None

    def run(self) -> None:
        woken, wake = socket.socketpair()
        woken.setblocking(False)
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        verbs = {"prepare": self.prepare, "start": self.start, "sockets": self.sockets, "signal": self.signal}
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(woken, select.POLLIN)
        while not self.starved():
            for fd, _ in poll.poll(_MEMORY_INTERVAL if self.memory else None):
                if fd == woken.fileno():
                    woken.recv(4096)
                    if self.reap():
                        return
                else:
                    datagram, fds, _, _ = socket.recv_fds(self.control, _DATAGRAM, _MOST_FDS)
                    if not datagram:
                        return
                    message = json.loads(datagram)
                    verbs[message.pop("do")](message, fds)


def connect(control: str) -> socket.socket:
    """The control socket: inherited under a number, or listening at a path."""
    if control.isdigit():
        return socket.socket(fileno=int(control))
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(control)
    return connection


if __name__ == "__main__":
    Shim(connect(sys.argv[1])).run()
    # A child that ends now would wake what the interpreter has taken down already.
    os._exit(0)
