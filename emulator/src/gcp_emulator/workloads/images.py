"""Container images without a container engine: a tree of files, a configuration and a digest.

How an image is laid out, and what a sandbox must do to run it:

* ``Image.root`` holds only the image's own files: what the base, COPY and RUN made. A Python base image is a
  virtual environment of a host interpreter in ``/usr/local``, so ``/usr/local/bin/python`` and ``pip`` work as in
  the official image and ``pip install`` writes into the image.
* The operating system is what of the host's ``/usr`` such an image has (`gcp_emulator.workloads.sandbox.system`). ``/usr/local``
  and ``/usr/src`` are the image's own, and so is every folder there that the host does not have. ``/bin``, ``/sbin`` and ``/lib*``
  are in the tree as the links that a merged-/usr host has.
* ``Image.python`` says which host interpreter it is. Each of ``Interpreter.binds`` is bound read-only at the same
  path (the virtual environment and the shared library's run path name it), and each of ``Interpreter.masked`` is
  covered by an empty tmpfs so that packages installed on the host are not seen. These mount points are not in the tree.

Trees in the store are never written to again: files may be hard links shared with the builder's layer cache and
with other images, so a sandbox binds them read-only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Interpreter:
    """A Python of the host that an image is based on.

    ``executable`` and ``prefix`` are absolute host paths (``sys.base_prefix``), ``version`` is like ``3.13.1``. ``system`` says what
    the image has of the system: what ``python:3.13-slim`` has (``slim``), or ``python:3.13`` (``full``).
    """

    executable: str
    prefix: str
    version: str
    system: str = "slim"

    @property
    def minor(self) -> str:
        """The version that image tags name, like ``3.13``."""
        return ".".join(self.version.split(".")[:2])

    @property
    def binds(self) -> tuple[str, ...]:
        """Host folders to bind read-only at the same path; empty for a system Python, whose ``/usr`` is there."""
        return () if Path(self.prefix).is_relative_to("/usr") else (self.prefix,)

    @property
    def masked(self) -> tuple[str, ...]:
        """Host folders of installed packages, to be covered by an empty tmpfs after ``binds``."""
        library = Path(self.prefix, "lib")
        candidates = (
            library / f"python{self.minor}" / "site-packages",
            library / "python3" / "dist-packages",
        )
        return tuple(str(path) for path in candidates if path.is_dir())


@dataclass(frozen=True)
class ImageConfig:
    """What an image says about running it: the ``config`` object of the OCI image specification.

    ``env`` are ``NAME=value`` strings; ``cmd`` and ``entrypoint`` are argument vectors, None when not set;
    ``user`` is ``name|uid[:group|gid]`` or empty for root; ``working_dir`` is absolute or empty for ``/``;
    ``exposed_ports`` are like ``8080/tcp``.
    """

    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str = ""

    def to_oci(self) -> dict[str, Any]:
        """The configuration in the specification's spelling; what is not set is left out."""
        values: dict[str, Any] = {
            "Env": list(self.env),
            "Cmd": None if self.cmd is None else list(self.cmd),
            "Entrypoint": None if self.entrypoint is None else list(self.entrypoint),
            "User": self.user,
            "WorkingDir": self.working_dir,
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
        }
        return {name: value for name, value in values.items() if value not in (None, "", [], {})}

    @classmethod
    def from_oci(cls, values: dict[str, Any]) -> ImageConfig:
        """The inverse of `to_oci`."""

        def vector(name: str) -> tuple[str, ...] | None:
            return tuple(values[name]) if values.get(name) is not None else None

        return cls(
            env=tuple(values.get("Env") or ()),
            cmd=vector("Cmd"),
            entrypoint=vector("Entrypoint"),
            user=values.get("User", ""),
            working_dir=values.get("WorkingDir", ""),
            exposed_ports=tuple(values.get("ExposedPorts") or ()),
            labels=dict(values.get("Labels") or {}),
            stop_signal=values.get("StopSignal", ""),
        )


@dataclass(frozen=True)
class Image:
    """One built image. ``digest`` is ``sha256:<64 hex>``, ``size`` is in bytes, ``created`` in Unix seconds. ``python`` is
    None for an image without one, and for an image of a container engine, of which ``root`` holds no more than its users."""

    digest: str
    config: ImageConfig
    root: Path
    size: int
    created: float
    python: Interpreter | None


def user_ids(root: Path, user: str) -> tuple[int, int]:
    """The numeric user and group of a USER value (``name|uid[:group|gid]``), looked up in the tree's /etc.

    An empty value is root. A number that /etc/passwd does not hold gets group 0, as in Docker. Raises LookupError
    with Docker's text for a name that the image does not know.
    """
    name, _, group = user.partition(":")
    accounts = _account_lines(root / "etc" / "passwd")
    groups = _account_lines(root / "etc" / "group")
    if not name:
        uid, gid = 0, 0
    elif entry := next((e for e in accounts if e[0] == name or (name.isdigit() and e[2] == name)), None):
        uid, gid = int(entry[2]), int(entry[3])
    elif name.isdigit():
        uid, gid = int(name), 0
    else:
        raise LookupError(f"unable to find user {name}: no matching entries in passwd file")
    if group:
        entry = next((e for e in groups if e[0] == group), None)
        if entry is None and not group.isdigit():
            raise LookupError(f"unable to find group {group}: no matching entries in group file")
        gid = int(entry[2]) if entry else int(group)
    return uid, gid


def _account_lines(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    return [line.split(":") for line in text.splitlines() if line.count(":") >= 3]


def tree_entries(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every file, link and folder below a folder as (relative path, lstat), parents first, in a stable order."""
    pending = [""]
    while pending:
        folder = pending.pop()
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            yield path, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_digest(root: Path, *, salt: str = "") -> tuple[str, int]:
    """(SHA-256 in hexadecimal, bytes) of a tree: its paths, modes, link targets and contents, and a salt.

    Owners and times do not count, so that a build gives the same digest for root and for an ordinary user, today
    and tomorrow. Sockets, pipes and devices are left out: an image cannot carry them.
    """
    lines: list[str] = []
    size = 0
    for path, status in tree_entries(root):
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            lines.append(f"l {os.readlink(root / path)} {path}")
        elif stat.S_ISDIR(status.st_mode):
            lines.append(f"d {mode:o} {path}")
        elif stat.S_ISREG(status.st_mode):
            lines.append(f"f {mode:o} {file_digest(root / path)} {path}")
            size += status.st_size
    content = "\0".join([salt, *sorted(lines)])
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest(), size


def remove_tree(path: Path) -> None:
    """Delete a tree, also one with folders that their owner may not write in; absent is fine."""

    def make_writable(function: Any, name: str, error: Any) -> None:
        if isinstance(error[1], FileNotFoundError):
            return
        os.chmod(os.path.dirname(name), 0o700)
        if os.path.isdir(name) and not os.path.islink(name):
            os.chmod(name, 0o700)
            shutil.rmtree(name, onerror=make_writable)
        else:
            os.unlink(name)

    shutil.rmtree(path, onerror=make_writable)


class ImageStore:
    """Images below one folder, each in ``sha256/<hex>`` with its tree and an ``image.json``.

    Safe to use from several threads. A half-written image is never seen: it is put in place by one rename.
    """

    def __init__(self, folder: Path) -> None:
        """``folder`` is made when it is absent; trees given to `put` must be on the same file system."""
        self._folder = folder / "sha256"
        self._incoming = folder / "incoming"
        remove_tree(self._incoming)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir()
        self._lock = threading.Lock()

    def get(self, digest: str) -> Image | None:
        """The image of a digest (``sha256:<hex>``), or None."""
        home = self._home(digest)
        try:
            facts = json.loads((home / "image.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Image(
            digest=digest,
            config=ImageConfig.from_oci(facts["config"]),
            root=home / "root",
            size=facts["size"],
            created=facts["created"],
            python=Interpreter(**facts["python"]) if facts["python"] else None,
        )

    def put(self, tree: Path, config: ImageConfig, python: Interpreter | None) -> Image:
        """Take a finished tree over (it is moved, or deleted when the same image is there already)."""
        salt = json.dumps([config.to_oci(), python and asdict(python)], sort_keys=True)
        hexadecimal, size = tree_digest(tree, salt=salt)
        return self._keep(f"sha256:{hexadecimal}", tree, config, python, size)

    def _keep(
        self, digest: str, tree: Path, config: ImageConfig, python: Interpreter | None, size: int
    ) -> Image:
        with self._lock:
            if present := self.get(digest):
                remove_tree(tree)
                return present
            incoming = self._incoming / self._home(digest).name
            incoming.mkdir()
            tree.rename(incoming / "root")
            facts = {
                "config": config.to_oci(),
                "size": size,
                "created": time.time(),
                "python": asdict(python) if python else None,
            }
            (incoming / "image.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
            incoming.rename(self._home(digest))
        image = self.get(digest)
        if image is None:
            raise FileNotFoundError(f"image {digest} disappeared from {self._folder} while it was stored")
        return image

    def delete(self, digest: str) -> bool:
        """Free an image's files; False when there was none."""
        home = self._home(digest)
        with self._lock:
            if not home.exists():
                return False
            doomed = self._incoming / f"deleted-{home.name}"
            home.rename(doomed)
        remove_tree(doomed)
        return True

    def list(self) -> tuple[Image, ...]:
        """All images, the oldest first."""
        images = (self.get(f"sha256:{home.name}") for home in self._folder.iterdir())
        return tuple(sorted((image for image in images if image), key=lambda image: image.created))

    def _home(self, digest: str) -> Path:
        algorithm, _, hexadecimal = digest.partition(":")
        if algorithm != "sha256" or len(hexadecimal) != 64 or not set(hexadecimal) <= set("0123456789abcdef"):
            raise ValueError(f"not an image digest: {digest!r}; expected sha256:<64 hexadecimal digits>")
        return self._folder / hexadecimal
