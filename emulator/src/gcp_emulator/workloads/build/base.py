"""Base images: the host's Python interpreters dressed as the official ``python`` images.

Finds an interpreter for a tag (``python:3.13-slim``) and makes the tree that FROM starts with. See
`gcp_emulator.workloads.images` for the layout.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gcp_emulator.workloads.build.dockerfile import IN_CONTAINERS
from gcp_emulator.workloads.images import Interpreter, tree_entries

# Goes into every layer's key: raise it when the tree below changes, and old layers are not used any more.
BASE_FORMAT = 1
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHON_IMAGE = re.compile(
    r"(?:(?:docker\.io|mirror\.gcr\.io|public\.ecr\.aws/docker)/)?(?:library/)?python(?::(?P<tag>[\w.-]+))?(?:@sha256:.*)?"
)
_QUERY = """\
import importlib.util, json, sys
print(json.dumps([sys.version_info[:3], sys.base_prefix, bool(importlib.util.find_spec('ensurepip'))]))
"""
# Distributions keep the wheels in a folder of their own (sysconfig WHEEL_PKG_DIR; Debian only in ensurepip).
_WHEELS = """\
import ensurepip, glob, json, os, sys, sysconfig
folders = [os.path.join(os.path.dirname(ensurepip.__file__), '_bundled'),
           sysconfig.get_config_var('WHEEL_PKG_DIR'), getattr(ensurepip, '_WHEEL_PKG_DIR', None)]
found = []
for name in ['pip', 'setuptools'] if sys.version_info < (3, 12) else ['pip']:
    found += [wheel for f in folders if f for wheel in sorted(glob.glob(os.path.join(f, name + '-*.whl')))][:1]
print(json.dumps(found))
"""
_PIP = """\
#!/usr/local/bin/{binary}
import sys
from pip._internal.cli.main import main
if __name__ == "__main__":
    sys.exit(main())
"""
_FOLDERS = (
    *(
        "dev",
        "proc",
        "sys",
        "boot",
        "home",
        "media",
        "mnt",
        "opt",
        "root",
        "run",
        "srv",
        "etc/skel",
        "etc/default",
    ),
    *("usr/local/bin", "usr/local/etc", "usr/local/lib", "usr/local/sbin", "usr/local/share", "usr/src"),
    *("var/cache", "var/lib", "var/local", "var/log", "var/mail", "var/spool"),
)
# Debian's own numbers (base-passwd), so that files get the same owners as in a Debian image.
_ACCOUNTS = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
games:x:5:60:games:/usr/games:/usr/sbin/nologin
man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
backup:x:34:34:backup:/var/backups:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUPS = {
    "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "mail": 8, "man": 12, "sudo": 27,
    "www-data": 33, "backup": 34, "shadow": 42, "utmp": 43, "video": 44, "staff": 50, "games": 60, "users": 100,
    "nogroup": 65534,
}  # fmt: skip
_LOGIN_DEFS = """\
UMASK 022
PASS_MAX_DAYS 99999
PASS_MIN_DAYS 0
PASS_WARN_AGE 7
UID_MIN 1000
UID_MAX 60000
SYS_UID_MIN 100
SYS_UID_MAX 999
GID_MIN 1000
GID_MAX 60000
SYS_GID_MIN 100
SYS_GID_MAX 999
USERGROUPS_ENAB yes
ENCRYPT_METHOD SHA512
"""


class BaseUnavailableError(Exception):
    """A FROM that this machine cannot give; the text says why and what to do."""


@dataclass(frozen=True)
class Base:
    """What FROM resolved to. ``python`` is None for ``scratch``; ``note`` is for the log, or empty."""

    python: Interpreter | None
    env: tuple[tuple[str, str], ...]
    cmd: tuple[str, ...] | None
    note: str = ""

    @property
    def key(self) -> str:
        """What layers on this base start their keys with."""
        facts = [BASE_FORMAT, asdict(self.python) if self.python else None]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class Interpreters:
    """The host's Python installations, looked for once, when the first build asks."""

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        """``folders`` hold executables like ``python3.13``; default: PATH, the system's, pyenv's and our own."""
        self._folders = folders
        self._found: tuple[Interpreter, ...] | None = None

    def installed(self) -> tuple[Interpreter, ...]:
        """One usable interpreter (it has ``ensurepip``) per minor version, the newest first."""
        if self._found is None:
            by_minor: dict[str, Interpreter] = {}
            for executable in self._executables():
                found = _ask(executable)
                if found:
                    by_minor.setdefault(found.minor, found)
            self._found = tuple(
                sorted(by_minor.values(), key=lambda each: _numbers(each.version), reverse=True)
            )
        return self._found

    def _executables(self) -> list[Path]:
        folders = self._folders
        if folders is None:
            own = Path(sys.base_prefix, "bin")
            search = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
            pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
            try:
                versions = sorted(pyenv.iterdir(), reverse=True)
            except OSError:
                versions = []
            folders = [
                own,
                *search,
                Path("/usr/local/bin"),
                Path("/usr/bin"),
                *(each / "bin" for each in versions),
            ]
        executables: dict[Path, None] = {}
        for folder in folders:
            # pyenv's shims are scripts that choose by the working directory: what they run is found in versions/.
            names = folder.glob("python3.*") if folder.name != "shims" and os.access(folder, os.R_OK) else ()
            for path in sorted(names):
                if re.fullmatch(r"python3\.\d+", path.name) and os.access(path, os.X_OK):
                    executables.setdefault(path)
        return list(executables)


def _ask(executable: Path) -> Interpreter | None:
    """An executable's facts; None when it does not run, or cannot make virtual environments with pip."""
    try:
        # The installation's site-packages do not matter, and start-up files in it may print: -I -S.
        run = subprocess.run(
            [executable, "-I", "-S", "-c", _QUERY],
            capture_output=True,
            timeout=20,
            check=True,
            env={"PATH": PATH},
        )
        version, prefix, has_pip = json.loads(run.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    own = Path(prefix, "bin", f"python{version[0]}.{version[1]}")
    if not has_pip or not own.exists():
        return None
    return Interpreter(str(own), prefix, ".".join(map(str, version)))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def resolve_base(reference: str, interpreters: Interpreters) -> Base:
    """What a FROM gives on this machine. Raises `BaseUnavailableError`."""
    if reference == "scratch":
        return Base(None, (("PATH", PATH),), None)
    match = _PYTHON_IMAGE.fullmatch(reference)
    if not match:
        raise BaseUnavailableError(
            f"cannot pull {reference}: without a container engine only python:* base images, which are this machine's"
            f" interpreters, and scratch can be built from. {IN_CONTAINERS}"
        )
    tag = match["tag"] or "latest"
    version = re.match(r"(\d+)(?:\.(\d+))?", tag)
    if version and version[1] != "3":
        raise BaseUnavailableError(f"cannot pull {reference}: only Python 3 can be built from")
    installed = interpreters.installed()
    if not installed:
        raise BaseUnavailableError(
            f"cannot use {reference}: no Python with the module ensurepip was found in PATH, /usr/bin or pyenv;"
            " install one (Debian, Ubuntu: apt-get install python3-venv)"
        )
    chosen, note = installed[0], ""
    if version and version[2]:
        wanted = int(version[2])
        chosen = min(installed, key=lambda each: (abs(int(each.minor[2:]) - wanted), -int(each.minor[2:])))
        if chosen.minor != f"3.{wanted}":
            have = ", ".join(each.minor for each in installed)
            note = f"Python 3.{wanted} is not on this machine (there is {have}): {reference} is built with {chosen.minor}"
    env = (("PATH", PATH), ("LANG", "C.UTF-8"), ("PYTHON_VERSION", chosen.version))
    few = {"slim", "alpine"} & set(re.split(r"[^a-z]+", tag))
    return Base(replace(chosen, system="slim" if few else "full"), env, ("python3",), note)


def make_skeleton(tree: Path, python: Interpreter | None) -> None:
    """Write what every base holds besides ``/usr/local``: folders and accounts; the latter not for ``scratch``."""
    folders = [tree, *(tree / name for name in (_FOLDERS if python else ("dev", "proc", "sys", "usr")))]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    # /root too is open: the interpreter may be bound below it, and the image's user must get there.
    for path, _ in tree_entries(tree):
        (tree / path).chmod(0o755)
    tree.chmod(0o755)
    for name in ("tmp", "var/tmp") if python else ("tmp",):
        (tree / name).mkdir()
        (tree / name).chmod(0o1777)
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        if Path("/", name).is_symlink():
            (tree / name).symlink_to(Path("/", name).readlink())
    if python is None:
        return
    (tree / "var/run").symlink_to("/run")
    names = [line.split(":")[0] for line in _ACCOUNTS.splitlines()]
    files = {
        "passwd": (0o644, _ACCOUNTS),
        "shadow": (0o640, "".join(f"{name}:*:19000:0:99999:7:::\n" for name in names)),
        "group": (0o644, "".join(f"{name}:x:{number}:\n" for name, number in _GROUPS.items())),
        "gshadow": (0o640, "".join(f"{name}:*::\n" for name in _GROUPS)),
        "login.defs": (0o644, _LOGIN_DEFS),
        "nsswitch.conf": (0o644, "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"),
        "hostname": (0o644, "localhost\n"),
    }
    for name, (mode, content) in files.items():
        (tree / "etc" / name).write_text(content, encoding="utf-8")
        (tree / "etc" / name).chmod(mode)
    (tree / "etc/os-release").symlink_to("../usr/lib/os-release")


def make_environment(tree: Path, python: Interpreter) -> None:
    """Make ``/usr/local`` the interpreter's virtual environment, with the pip that the interpreter carries.

    By hand, because `python -m venv` takes seconds to run pip, and writes byte code that depends on the time. The
    official images have none either.
    """
    local = tree / "usr/local"
    # Packages are looked for in the user's folder too only when the installation's own are: `pip install --user`
    # in a build stage needs that. The host's packages stay unseen, they are masked.
    (local / "pyvenv.cfg").write_text(
        f"home = {Path(python.executable).parent}\n"
        "include-system-site-packages = true\n"
        f"version = {python.version}\n"
        f"executable = {python.executable}\n",
        encoding="utf-8",
    )
    binary = f"python{python.minor}"
    (local / "bin" / binary).symlink_to(python.executable)
    for name in ("python", "python3"):
        (local / "bin" / name).symlink_to(binary)
    packages = local / "lib" / binary / "site-packages"
    packages.mkdir(parents=True)
    for wheel in _wheels(python):
        with zipfile.ZipFile(wheel) as content:
            content.extractall(packages)
    for name in ("pip", "pip3", f"pip{python.minor}"):
        (local / "bin" / name).write_text(_PIP.format(binary=binary), encoding="utf-8")
        (local / "bin" / name).chmod(0o755)
    for path, status in tree_entries(packages.parent):
        (packages.parent / path).chmod(0o755 if stat.S_ISDIR(status.st_mode) else 0o644)
    packages.parent.chmod(0o755)
    (local / "pyvenv.cfg").chmod(0o644)


def _wheels(python: Interpreter) -> list[str]:
    """The wheels that the interpreter's ensurepip would install: pip, and setuptools before Python 3.12."""
    run = subprocess.run(
        [python.executable, "-I", "-S", "-c", _WHEELS],
        capture_output=True,
        timeout=20,
        check=True,
        env={"PATH": PATH},
    )
    wheels: list[str] = json.loads(run.stdout)
    return wheels
