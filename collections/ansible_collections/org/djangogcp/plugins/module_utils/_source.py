# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""A project's source as one deterministic archive: the same files give the same bytes and the same digest everywhere.

What never belongs in an image is left out whatever the project says: version control, caches, virtual environments,
and files that hold secrets. The project's ``.dockerignore`` is honoured on top of that.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import pathlib
import re
import tarfile
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError

#: Left out always; the patterns are those of a .dockerignore.
ALWAYS_IGNORED = (
    "**/.git", "**/.hg", "**/.svn", "**/__pycache__", "**/*.py[cod]", "**/.venv", "**/venv", "**/node_modules",
    "**/.mypy_cache", "**/.pytest_cache", "**/.ruff_cache", "**/.tox", "**/.nox", "**/.DS_Store", "**/*.sqlite3",
    "**/.env", "**/.env.*", "**/*.pem", "**/*.key", "**/*.p12", "**/*.pfx", "**/id_rsa*", "**/id_ed25519*",
    "**/*credentials*.json", "**/*service-account*.json", "**/*service_account*.json",
)  # fmt: skip
#: The most files and bytes that an archive may hold. A Django project with more has something in it by mistake.
MAX_FILES = 20_000
MAX_BYTES = 512 * 1024 * 1024


class SourceError(DjangoGcpError):
    """The source folder cannot be packed as it is."""


@dataclasses.dataclass(frozen=True)
class Archive:
    """A packed source.

    Attributes:
        digest: SHA-256 over names, modes and contents, as 64 hexadecimal digits.
        files: the names in it, sorted.
        content: the .tar.gz.
    """

    digest: str
    files: tuple[str, ...]
    content: bytes


def pack(folder: str, extra: t.Mapping[str, str] | None = None) -> Archive:
    """Pack a folder.

    Args:
        folder: the project's folder.
        extra: further files, name to text; each replaces a file of that name in the folder.

    Raises:
        SourceError: the folder is not there, a link leads out of it, or it is far too large.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise SourceError(
            f"Failed to pack the source {folder}: it is not a folder. Set source_dir to the Django project's folder."
        )
    added = {name: text.encode() for name, text in (extra or {}).items()}
    members: dict[str, tuple[int, bytes] | str] = {name: (0o644, content) for name, content in added.items()}
    size = 0
    for name in _names(root, _Ignored.of(root)):
        if name in added:
            continue
        member = _member(root, name)
        size += 0 if isinstance(member, str) else len(member[1])
        if len(members) >= MAX_FILES or size > MAX_BYTES:
            raise SourceError(
                f"Failed to pack the source {folder}: it holds more than {MAX_FILES} files or {MAX_BYTES // 1024**2} MiB "
                f"(reached at {name!r}). List what does not belong in the image in .dockerignore."
            )
        members[name] = member
    return _archive(members)


def _names(root: pathlib.Path, ignored: _Ignored) -> t.Iterator[str]:
    """The relative names of all files and links below `root` that are not ignored."""
    for folder, folders, files in os.walk(root):
        here = pathlib.Path(folder).relative_to(root)
        links = [name for name in folders if (root / here / name).is_symlink()]
        folders[:] = sorted(
            n for n in folders if n not in links and not ignored.prunes((here / n).as_posix())
        )
        for name in sorted(files + links):
            relative = (here / name).as_posix()
            if not ignored.matches(relative):
                yield relative


def _member(root: pathlib.Path, name: str) -> tuple[int, bytes] | str:
    """Mode and content of a file, or the target of a link."""
    path = root / name
    if any(ord(char) < 32 for char in name):
        raise SourceError(
            f"Failed to pack the source {root}: the file name {name!r} holds a control character. Rename or remove it."
        )
    if path.is_symlink():
        target = os.readlink(path)
        if not path.resolve().is_relative_to(root.resolve()) or os.path.isabs(target):
            raise SourceError(
                f"Failed to pack the source {root}: the link {name} leads out of it, to {target}. Replace it by a copy or remove it."
            )
        return target
    if not path.is_file():
        raise SourceError(
            f"Failed to pack the source {root}: {name} is neither a file nor a link. Remove it or list it in .dockerignore."
        )
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(
            f"Failed to pack the source {root}: {name} alone has more than {MAX_BYTES // 1024**2} MiB. List it in .dockerignore."
        )
    try:
        return 0o755 if os.access(path, os.X_OK) else 0o644, path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"Failed to pack the source {root}: cannot read {name}: {error.strerror}."
        ) from error


def _archive(members: t.Mapping[str, tuple[int, bytes] | str]) -> Archive:
    digest = hashlib.sha256()
    packed = io.BytesIO()
    # The header of gzip holds a time, too.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name in sorted(members):
            member = members[name]
            info = tarfile.TarInfo(name)
            content = b""
            if isinstance(member, str):
                info.type, info.linkname = tarfile.SYMTYPE, member
            else:
                info.mode, content = member
                info.size = len(content)
            digest.update(
                f"{name}\0{info.mode:o}\0{info.linkname}\0{hashlib.sha256(content).hexdigest()}\n".encode()
            )
            tar.addfile(info, io.BytesIO(content))
    return Archive(digest.hexdigest(), tuple(sorted(members)), packed.getvalue())


class _Ignored:
    """The patterns of a .dockerignore: the last one that matches decides, ``!`` takes a name back in.

    Source: docs.docker.com, "Build context", ".dockerignore files".
    """

    def __init__(self, patterns: t.Iterable[str]) -> None:
        self._rules = [
            (not pattern.startswith("!"), _regex(pattern.removeprefix("!")))
            for pattern in (line.strip() for line in patterns)
            if pattern and not pattern.startswith("#")
        ]
        self._always = [_regex(pattern) for pattern in ALWAYS_IGNORED]
        self._has_exceptions = any(not ignores for ignores, regex in self._rules)

    @classmethod
    def of(cls, root: pathlib.Path) -> _Ignored:
        file = root / ".dockerignore"
        if not file.is_file():
            return cls(())
        try:
            return cls(file.read_text("utf-8").splitlines())
        except UnicodeDecodeError as error:
            raise SourceError(
                f"Failed to pack the source {root}: .dockerignore is not UTF-8 ({error.reason})."
            ) from error

    def matches(self, name: str) -> bool:
        """Whether a file stays out. The Dockerfile and the .dockerignore always go in: the build reads them."""
        if any(regex.match(name) for regex in self._always):
            return True
        if name in ("Dockerfile", ".dockerignore"):
            return False
        verdict = False
        for ignores, regex in self._rules:
            if regex.match(name):
                verdict = ignores
        return verdict

    def prunes(self, folder: str) -> bool:
        """Whether nothing below a folder can go in."""
        if any(regex.match(folder) for regex in self._always):
            return True
        return not self._has_exceptions and self.matches(folder)


def _regex(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression that matches a name or any folder above it."""
    translated = ""
    for part in re.findall(r"\*\*/?|\*|\?|\[[^]]*\]|[^*?\[]+|\[", pattern.strip("/")):
        if part.startswith("**"):
            translated += "(?:.*/)?" if part.endswith("/") else ".*"
        elif part == "*":
            translated += "[^/]*"
        elif part == "?":
            translated += "[^/]"
        elif part.startswith("[") and part.endswith("]") and len(part) > 2:
            translated += "[" + part[1:-1].replace("\\", "\\\\").replace("[!", "[^") + "]"
        else:
            translated += re.escape(part)
    return re.compile(f"{translated}(?:/.*)?\\Z")
