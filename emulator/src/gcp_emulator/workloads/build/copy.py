"""COPY and ADD: choose files of a build context or of another stage, and put them into a stage's tree.

Both sides may hold links made by somebody else, and the builder may be root: every path is resolved inside its own
tree, never on the host.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gcp_emulator.workloads.images import file_digest, tree_entries

# What the kernel provides: a file of the image there would never be seen.
_KERNEL_FOLDERS = ("proc", "sys", "dev")
# The folders in /usr that are the image's own; of the others those that the host has are the host's.
OWN_USR_FOLDERS = ("local", "src")
_LINK_LIMIT = 40


class CopyError(Exception):
    """A COPY or ADD that cannot be done; the text says on what and why."""


def resolve_inside(root: Path, path: str, *, follow_last: bool = True) -> str:
    """A path of a tree with its links followed as the tree's own root sees them, relative to that root.

    Parts that do not exist are kept as they are. ``..`` stops at the root. Raises `CopyError` for a loop of links.
    """
    pending = [part for part in path.split("/") if part not in ("", ".")][::-1]
    resolved: list[str] = []
    followed = 0
    while pending:
        part = pending.pop()
        if part == "..":
            resolved = resolved[:-1]
            continue
        candidate = root.joinpath(*resolved, part)
        if candidate.is_symlink() and (pending or follow_last):
            followed += 1
            if followed > _LINK_LIMIT:
                raise CopyError(f"too many levels of symbolic links in /{path.lstrip('/')}")
            target = os.readlink(candidate)
            if target.startswith("/"):
                resolved = []
            pending.extend(step for step in target.split("/")[::-1] if step not in ("", "."))
        else:
            resolved.append(part)
    return "/".join(resolved)


class IgnoreRules:
    """The rules of a ``.dockerignore`` file (docs.docker.com/build/concepts/context, ".dockerignore files")."""

    def __init__(self, text: str = "") -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in text.splitlines():
            pattern = line.strip()
            if not pattern or pattern.startswith("#"):
                continue
            keep = pattern.startswith("!")
            cleaned = posixpath.normpath(pattern.lstrip("!").strip()).lstrip("/")
            if cleaned != ".":
                self._rules.append((keep, _translate(cleaned)))
        self.has_rules = bool(self._rules)
        self.has_exceptions = any(keep for keep, _ in self._rules)

    def ignores(self, path: str) -> bool:
        """True when the last rule that matches the path or a folder above it is not an exception (``!``)."""
        parts = path.split("/")
        prefixes = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        ignored = False
        for keep, expression in self._rules:
            if keep is ignored and any(expression.fullmatch(prefix) for prefix in prefixes):
                ignored = not keep
        return ignored


def _translate(pattern: str) -> re.Pattern[str]:
    """Go's filepath.Match pattern, plus ``**`` for any number of folders, as a regular expression."""
    expression = ""
    position = 0
    while position < len(pattern):
        if pattern.startswith("**", position):
            position += 2
            if pattern.startswith("/", position):
                position += 1
                expression += "(?:.*/)?"
            else:
                expression += ".*"
            continue
        character = pattern[position]
        position += 1
        if character == "*":
            expression += "[^/]*"
        elif character == "?":
            expression += "[^/]"
        elif character == "[" and "]" in pattern[position:]:
            end = pattern.index("]", position)
            expression += f"[{pattern[position:end]}]"
            position = end + 1
        elif character == "\\" and position < len(pattern):
            expression += re.escape(pattern[position])
            position += 1
        else:
            expression += re.escape(character)
    try:
        return re.compile(expression, re.DOTALL)
    except re.error as error:
        raise CopyError(f"syntax error in pattern {pattern!r}: {error}") from None


@dataclass(frozen=True)
class CopySource:
    """Where COPY takes files from. ``title`` names it in errors ("build context", "stage build")."""

    root: Path
    title: str
    rules: IgnoreRules

    def matches(self, pattern: str) -> list[str]:
        """The paths that a source argument names, relative to the root. Raises `CopyError` when there is none."""
        cleaned = posixpath.normpath("/" + pattern).lstrip("/")
        if posixpath.normpath(pattern.lstrip("/")).startswith(".."):
            raise CopyError(f"forbidden path outside the build context: {pattern} ()")
        found = [""]
        for part in cleaned.split("/") if cleaned else ():
            found = [path for folder in found for path in self._children(folder, part)]
        found = [
            path for path in found if not path or self.rules.has_exceptions or not self.rules.ignores(path)
        ]
        if not found:
            excluded = " or excluded by .dockerignore" if self.title == "build context" else ""
            raise CopyError(
                f"COPY failed: file not found in {self.title}{excluded}: stat {pattern.lstrip('/')}: file does not exist"
            )
        return sorted(found)

    def _children(self, folder: str, part: str) -> list[str]:
        if not re.search(r"[*?\[\\]", part):
            candidate = f"{folder}/{part}" if folder else part
            return [candidate] if os.path.lexists(self.root / resolve_inside(self.root, candidate)) else []
        expression = _translate(part)
        inside = self.root / resolve_inside(self.root, folder)
        names = [entry.name for entry in os.scandir(inside)] if inside.is_dir() else []
        return [f"{folder}/{name}" if folder else name for name in names if expression.fullmatch(name)]

    def entries(self, path: str) -> Iterator[tuple[str, Path, os.stat_result]]:
        """(path below the argument, host path, lstat) of what a matched path brings, folders before their content.

        The path itself is the entry "" when it is a file; of a folder only the content is brought, as in Docker.
        """
        start = self.root / resolve_inside(self.root, path)
        status = start.lstat()
        if not stat.S_ISDIR(status.st_mode):
            yield "", start, status
            return
        pending = [""]
        while pending:
            folder = pending.pop()
            for entry in sorted(os.scandir(start / folder), key=lambda item: item.name):
                below = f"{folder}/{entry.name}" if folder else entry.name
                ignored = self.rules.ignores(f"{path}/{below}" if path else below)
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and (not ignored or self.rules.has_exceptions):
                    pending.append(below)
                if not ignored:
                    yield below, start / below, entry.stat(follow_symlinks=False)

    def digest(self, patterns: Sequence[str]) -> str:
        """SHA-256 over everything that these source arguments bring: paths, modes, link targets, contents."""
        lines: list[str] = []
        for path in (found for pattern in patterns for found in self.matches(pattern)):
            for below, place, status in self.entries(path):
                content = ""
                if stat.S_ISLNK(status.st_mode):
                    content = os.readlink(place)
                elif stat.S_ISREG(status.st_mode):
                    content = file_digest(place)
                lines.append(f"{path}\0{below}\0{status.st_mode:o}\0{content}")
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def build_context(folder: Path, dockerfile: str) -> CopySource:
    """The files that a build may copy. ``<dockerfile>.dockerignore`` comes before ``.dockerignore``."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = folder / resolve_inside(folder, name)
        if path.is_file():
            return CopySource(
                folder, "build context", IgnoreRules(path.read_text(encoding="utf-8", errors="replace"))
            )
    return CopySource(folder, "build context", IgnoreRules())


@dataclass(frozen=True)
class Placement:
    """How files are put into a tree.

    ``owner`` is (uid, gid), applied only as root; ``mode`` is that of --chmod or None; ``share`` allows hard links
    to a source that will never be written to again, and ``move`` taking whole folders out of it.
    """

    owner: tuple[int, int] = (0, 0)
    mode: int | None = None
    share: bool = False
    move: bool = False


def make_folder(tree: Path, path: str, placement: Placement = Placement()) -> Path:
    """Make a folder and those above it inside a tree, as WORKDIR does. Raises `CopyError`."""
    relative = resolve_inside(tree, path)
    _refuse_host_folder(relative)
    current = tree
    for part in relative.split("/") if relative else ():
        current = current / part
        if not current.is_dir():
            try:
                current.mkdir(mode=0o755)
            except FileExistsError:
                raise CopyError(
                    f"cannot make the folder /{path.lstrip('/')}: {part} is not a folder"
                ) from None
            current.chmod(0o755)
            _own(current, placement)
    return current


def copy_files(
    tree: Path, source: CopySource, patterns: Sequence[str], destination: str, placement: Placement
) -> None:
    """Do one COPY. ``destination`` is absolute and ends with ``/`` when it is a folder. Raises `CopyError`."""
    found = [path for pattern in patterns for path in source.matches(pattern)]
    inside = tree / resolve_inside(tree, destination)
    to_folder = destination.endswith("/") or inside.is_dir()
    if len(found) > 1 and not to_folder:
        raise CopyError(
            "When using COPY with more than one source file, the destination must be a directory and end with a /"
        )
    for path in found:
        name = posixpath.basename(path)
        if _copy_folder(tree, source, path, destination, placement):
            continue
        for below, place, status in source.entries(path):
            if below:
                target = posixpath.join(destination, below)
            else:
                target = posixpath.join(destination, name) if to_folder else destination
            _put(tree, target, place, status, placement)
        if (source.root / resolve_inside(source.root, path)).is_dir():
            make_folder(tree, destination, placement)


def _copy_folder(tree: Path, source: CopySource, path: str, destination: str, placement: Placement) -> bool:
    """Copy a whole folder to a place where nothing is with `cp`, which is several times as fast; False when not so."""
    folder = source.root / resolve_inside(source.root, path)
    target = tree / resolve_inside(tree, destination)
    if not folder.is_dir() or os.path.lexists(target) or source.rules.has_rules or placement.mode is not None:
        return False
    if os.geteuid() == 0 and any(
        (status.st_uid, status.st_gid) != placement.owner for _, status in tree_entries(folder)
    ):
        return False
    make_folder(tree, posixpath.dirname(destination.rstrip("/")), placement)
    _refuse_host_folder(str(target.relative_to(tree)))
    if placement.move and path:
        folder.rename(target)
        target.chmod(0o755)
        return True
    copied = subprocess.run(
        ["cp", "-al" if placement.share else "-a", "--", folder, target],
        capture_output=True,
        text=True,
        check=False,
    )
    if copied.returncode:
        raise CopyError(f"COPY failed: cannot copy {path} to {destination}: {copied.stderr.strip()}")
    target.chmod(0o755)
    return True


def _put(tree: Path, target: str, place: Path, status: os.stat_result, placement: Placement) -> None:
    if stat.S_ISDIR(status.st_mode):
        folder = make_folder(tree, target, placement)
        os.chmod(folder, stat.S_IMODE(status.st_mode) if placement.mode is None else placement.mode)
        return
    folder = make_folder(tree, posixpath.dirname(target), placement)
    path = folder / posixpath.basename(target)
    _refuse_host_folder(str(path.relative_to(tree)))
    if path.is_dir() and not path.is_symlink():
        raise CopyError(f"cannot copy to /{target.lstrip('/')}: it is a folder, and the source is a file")
    # Never written through: the old file may be a link shared with a cached layer.
    path.unlink(missing_ok=True)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(place), path)
        _own(path, placement)
    elif stat.S_ISREG(status.st_mode):
        same_owner = os.geteuid() != 0 or (status.st_uid, status.st_gid) == placement.owner
        if placement.share and placement.mode is None and same_owner:
            os.link(place, path)
            return
        shutil.copyfile(place, path)
        _own(path, placement)
        os.chmod(path, stat.S_IMODE(status.st_mode) if placement.mode is None else placement.mode)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _own(path: Path, placement: Placement) -> None:
    if os.geteuid() == 0:
        os.chown(path, *placement.owner, follow_symlinks=False)


def _refuse_host_folder(relative: str) -> None:
    parts = relative.split("/")
    kernel = parts[0] in _KERNEL_FOLDERS
    host = (
        parts[0] == "usr"
        and len(parts) > 1
        and parts[1] not in OWN_USR_FOLDERS
        and Path("/usr", parts[1]).exists()
    )
    if kernel or host:
        raise CopyError(
            f"cannot write to /{relative}: without a container engine /{'/'.join(parts[: 1 + host])} is the host's and"
            " read-only; put the file elsewhere, for example below /usr/local, /opt or the application's folder"
        )
