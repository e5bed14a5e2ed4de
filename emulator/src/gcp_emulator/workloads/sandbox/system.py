"""What an image sees of the operating system: on a machine with dpkg, the files of the packages that the image has.

An image of Python is Debian with few packages (``slim``) or many (``full``). This machine has others besides: a compiler, libpq, node.
What needs them would work here and fail in Cloud Build or Cloud Run, so what the image does not have is not shown. The files are
copied, once for each state of the machine's packages, into the user's cache: mounting each for itself takes seconds, and hard links
would let whoever changes the mode of a file in the cache change the system's. On a machine without dpkg all of ``/usr`` is shown but
the folders without which nothing can be compiled.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import time
import tomllib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gcp_emulator.workloads.images import Interpreter, remove_tree, tree_entries
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

FOLDERS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""The folders in ``/`` that belong to the system."""

LIBRARY_CACHE = "etc/ld.so.cache"
"""Where the loader, and Python's ``ctypes.util.find_library``, look for a library."""

# Goes into every key: raise it when what is copied changes.
_FORMAT = 1
_HOST = Path("/")
_STATUS = Path("/var/lib/dpkg/status")
_OWN_FOLDERS = ("/usr/local/", "/usr/src/")
_INSTALLED = "${db:Status-Status}\t${Package}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
_UNUSED_SECONDS = 30 * 24 * 3600.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class System:
    """``root`` holds the `FOLDERS`; ``masked`` are absolute paths to be covered by an empty folder; ``missing`` are packages that
    the image has and this machine does not."""

    root: Path
    masked: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, python: Interpreter) -> System:
        """What an image on this interpreter sees. The first call takes a second or two, the others microseconds.

        Raises `SandboxUnavailable`.
        """
        tables = _tables()
        if not (_STATUS.exists() and shutil.which("dpkg-query")):
            hidden = [f"/{path}" for path in tables["masked"] if Path("/", path).is_dir()]
            return cls(_HOST, (*python.masked, *(hidden if python.system == "slim" else ())))
        status = _STATUS.stat()
        facts = [
            _FORMAT,
            tables,
            python.executable,
            python.version,
            python.system,
            status.st_mtime_ns,
            status.st_size,
        ]
        folder = _cache() / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
        try:
            if not folder.exists():
                _make(folder, python, tables)
            os.utime(folder)
            missing = (folder / "missing").read_text("utf-8").split()
        except OSError as error:
            raise SandboxUnavailable(
                f"What images see of the system cannot be kept in {folder.parent} ({error}): set XDG_CACHE_HOME to a folder "
                "that can be written and has 1 GB of free space"
            ) from error
        return cls(folder / "root", python.masked if python.binds else (), tuple(missing))


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "gcp-emulator", "systems")


@functools.cache
def _tables() -> Mapping[str, Sequence[str]]:
    return tomllib.loads(Path(__file__).with_name("system.toml").read_text("utf-8"))


def _make(folder: Path, python: Interpreter, tables: Mapping[str, Sequence[str]]) -> None:
    """Make the folder of a system: seen by others when it is complete. Removes what nobody has used for a month."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.iterdir():
        if old.stat().st_mtime < time.time() - _UNUSED_SECONDS:
            remove_tree(old)
    names = [*tables["slim"], *(tables["full"] if python.system == "full" else ())]
    packages, missing = _installed(names)
    incoming = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
    try:
        root = incoming / "root"
        root.mkdir(parents=True)
        files = {*_files_of(packages), *_files_of_python(python)}
        _copy(
            root,
            [path for path in files if not path.startswith(tuple(f"/{one}/" for one in tables["left_out"]))],
        )
        _link_alternatives(root)
        _index_libraries(root)
        (incoming / "missing").write_text("\n".join(missing), encoding="utf-8")
        try:
            incoming.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        remove_tree(incoming)


# ---------------------------------------------------------------- what belongs to it


def _run(*argv: str) -> str:
    """What a program prints, whatever it thinks of some of its arguments."""
    run = subprocess.run(argv, capture_output=True, check=False, env={"PATH": _PATH, "LC_ALL": "C.UTF-8"})
    return run.stdout.decode(errors="surrogateescape")


def _installed(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The installed ones of packages (``a | b``: of two the first) with all that they depend on, and those that are missing."""
    needs: dict[str, str] = {}
    providers: dict[str, str] = {}
    for line in _run("dpkg-query", "--show", f"--showformat={_INSTALLED}").splitlines():
        state, package, provides, depends = line.split("\t")
        if state == "installed":
            needs[package] = depends
            for name in _names(provides, ","):
                providers.setdefault(name, package)

    def first(alternatives: str) -> str | None:
        choices = list(_names(alternatives, "|"))
        installed = [name for name in choices if name in needs]
        provided = [providers[name] for name in choices if name in providers]
        return next(iter([*installed, *provided]), None)

    missing = [name for name in names if first(name) is None]
    seen: dict[str, None] = {}
    pending = [root for name in names if (root := first(name))]
    while pending:
        package = pending.pop()
        if package not in seen:
            seen[package] = None
            pending += [needed for each in needs[package].split(",") if (needed := first(each))]
    return list(seen), [next(_names(name, "|")) for name in missing]


def _names(text: str, separator: str) -> Iterator[str]:
    """The names in a list of dependencies: ``libc6 (>= 2.36), perl:any``."""
    for part in text.split(separator):
        if name := re.split(r"[\s:(]", part.strip())[0]:
            yield name


def _files_of(packages: Iterable[str]) -> Iterator[str]:
    real_folder = functools.cache(os.path.realpath)
    for line in _run("dpkg-query", "--listfiles", *packages).splitlines():
        if line.startswith("/"):
            # With a merged /usr, packages still say /bin.
            yield os.path.join(real_folder(os.path.dirname(line)), os.path.basename(line))


def _files_of_python(python: Interpreter) -> Iterator[str]:
    """The system's libraries that the interpreter and its modules are linked with, and itself when it is the system's."""
    library = Path(python.prefix, "lib", f"python{python.minor}")
    # As in the Dockerfile of the official images, in which Tk is missing too.
    modules = [str(path) for path in sorted(library.glob("lib-dynload/*.so")) if "tkinter" not in path.name]
    for found in re.finditer(r"=> (/\S+) \(", _run("ldd", python.executable, *modules)):
        yield from _with_target(found[1])
    if python.binds:
        return
    yield from _with_target(python.executable)
    headers = Path(python.prefix, "include", f"python{python.minor}")
    wheels = Path(python.prefix, "share/python-wheels")
    for folder in (library, headers, wheels):
        if folder.is_dir():
            for path, _ in tree_entries(folder):
                if not path.startswith(("site-packages/", "dist-packages/")):
                    yield str(folder / path)


def _with_target(path: str) -> Iterator[str]:
    yield os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    yield os.path.realpath(path)


# ---------------------------------------------------------------- the copy


def _copy(root: Path, files: Iterable[str]) -> None:
    """Copy what of ``files`` is the system's, with modes and links, and the links between the system's folders."""
    for name in FOLDERS:
        if Path("/", name).is_symlink():
            (root / name).symlink_to(Path("/", name).readlink())
    ours = tuple(f"/{name}/" for name in FOLDERS)
    for path in sorted(files):
        if not path.startswith(ours) or path.startswith(_OWN_FOLDERS):
            continue
        target = Path(str(root) + path)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:  # documentation that the machine does not install
            continue
        if stat.S_ISDIR(mode):
            target.mkdir(parents=True, exist_ok=True)
        elif stat.S_ISLNK(mode) or (stat.S_ISREG(mode) and os.access(path, os.R_OK)):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                # No process of a sandbox gains rights by executing a file, and nobody else should by an old copy.
                target.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))


def _link_alternatives(root: Path) -> None:
    """The commands that Debian's alternatives choose (``awk``, ``cc``), without the links in /etc between."""
    for folder in ("usr/bin", "usr/sbin"):
        for entry in os.scandir(Path("/", folder)):
            if entry.is_symlink() and os.readlink(entry.path).startswith("/etc/alternatives/"):
                chosen = os.path.realpath(entry.path)
                link = root / folder / entry.name
                if os.path.exists(str(root) + chosen) and not os.path.lexists(link):
                    link.symlink_to(chosen)


def _index_libraries(root: Path) -> None:
    """Make the loader's cache, which holds no library that is not there."""
    (root / "etc").mkdir()
    for path in (Path("/etc/ld.so.conf"), *Path("/etc/ld.so.conf.d").glob("*.conf")):
        if path.exists():
            target = Path(str(root) + str(path))
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    _run("ldconfig", "-X", "-r", str(root))
