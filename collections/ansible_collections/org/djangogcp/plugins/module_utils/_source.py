# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""A project's source as one deterministic archive: the same files give the same bytes and the same digest everywhere.

What never belongs in an image is left out whatever the project says: version control, caches, virtual environments,
and files that hold secrets. The project's ``.dockerignore`` and ``.gcloudignore`` are honoured on top of that.

A folder is looked through before anything of it is read, and files are read one after the other, so what is far too large costs
neither memory nor time.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import stat
import tarfile
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError

#: Left out always; the patterns are those of a .dockerignore. The documentation of the module cloudbuild_build lists them.
LEFTOVERS = (
    "**/.git", "**/.hg", "**/.svn", "**/__pycache__", "**/*.py[cod]", "**/.venv", "**/venv", "**/node_modules",
    "**/.mypy_cache", "**/.pytest_cache", "**/.ruff_cache", "**/.tox", "**/.nox", "**/.DS_Store",
)  # fmt: skip
SECRETS = (
    "**/.env", "**/.env.*", "**/.env-*", "**/.envs", "**/.envrc", "**/*.pem", "**/*.key", "**/*.p12", "**/*.pfx", "**/*.jks", "**/*.kdbx", "**/id_rsa*",
    "**/id_dsa*", "**/id_ecdsa*", "**/id_ed25519*", "**/.ssh", "**/.gnupg", "**/.aws", "**/.netrc", "**/.pgpass", "**/.pypirc",
    "**/.boto", "**/*credentials*.json", "**/*service-account*.json", "**/*service_account*.json", "**/client_secret*.json",
    "**/*.sqlite", "**/*.sqlite-*", "**/*.sqlite3", "**/*.sqlite3-*", "**/*.pgdump",
)  # fmt: skip
#: The most files and bytes that an archive may hold. A Django project with more has something in it by mistake.
MAX_FILES = 20_000
MAX_BYTES = 512 * 1024 * 1024
#: Google downloads a key as PROJECT-ID.json, so its name does not tell. A key file has 2.4 kB.
_MAX_KEY_BYTES = 64 * 1024
_MAX_TEXT_BYTES = 1024 * 1024
#: The kernel reads no more of a script's first line (Linux, BINPRM_BUF_SIZE), and takes a carriage return for a part of the program's name.
_MAX_SHEBANG_BYTES = 256
_WINDOWS_SCRIPT = re.compile(rb"#![^\n]*\r\n")
#: Control characters, and the halves of surrogate pairs by which Python shows bytes that are no UTF-8.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class SourceError(DjangoGcpError):
    """The source folder cannot be packed as it is."""

    def __init__(self, root: str, problem: str, cure: str) -> None:
        super().__init__(f"Failed to pack the source {root}: {problem}. {cure}")


@dataclasses.dataclass(frozen=True)
class Archive:
    """A packed source.

    Attributes:
        digest: SHA-256 over names, modes and contents, as 64 hexadecimal digits.
        files: the names in it, sorted.
        content: the .tar.gz.
        withheld: the names of files and folders that are not in it although the project does not say so, because they may hold secrets; sorted.
        windows_scripts: the names of scripts whose first line ends as on Windows, so that Linux does not find what runs them; sorted.
    """

    digest: str
    files: tuple[str, ...]
    content: bytes
    withheld: tuple[str, ...] = ()
    windows_scripts: tuple[str, ...] = ()


def pack(folder: str, extra: t.Mapping[str, str] | None = None) -> Archive:
    """Pack a folder.

    Args:
        folder: the project's folder.
        extra: further files, name to text; each replaces a file of that name in the folder, and is built whatever its .dockerignore says.

    Raises:
        SourceError: the folder is not there, a link leads out of it, something in it cannot be packed, or it is far too large.
    """
    if not os.path.isdir(folder):
        raise SourceError(folder, "it is not a folder", "Set source_dir to the Django project's folder.")
    _text(folder, "Dockerfile")
    added = {name: text.encode() for name, text in (extra or {}).items()}
    kept = [name for name in added if name != "Dockerfile"]
    if kept and (own := _text(folder, ".dockerignore")):
        # Of the builder, too, which reads it again.
        exceptions = "".join(f"!{name}\n" for name in kept)
        added[".dockerignore"] = f"{own.rstrip()}\n{exceptions}".encode()
    names = set(added)
    size = 0
    ignored = _Ignored(folder)
    for name in _names(folder, ignored):
        size += _size(folder, name)
        names.add(name)
        if len(names) > MAX_FILES or size > MAX_BYTES:
            raise SourceError(
                folder,
                f"it holds more than {MAX_FILES} files or {MAX_BYTES // 1024**2} MiB (reached at {name!r})",
                "List what does not belong in the image in .dockerignore.",
            )
    archive = _archive(folder, sorted(names), added)
    keys = names.difference(archive.files)
    return dataclasses.replace(archive, withheld=tuple(sorted({*ignored.withheld, *keys})))


def _names(root: str, ignored: _Ignored) -> t.Iterator[str]:
    """The relative names of all files and links below `root` that are not ignored. Links are not followed."""

    def refuse(error: OSError) -> t.NoReturn:
        name = os.path.relpath(error.filename or root, root)
        raise SourceError(root, f"cannot read the folder {name!r}: {error.strerror}", _IGNORE_OR_PERMIT)

    for folder, folders, files in os.walk(root, onerror=refuse):
        here = os.path.relpath(folder, root)
        prefix = "" if here == "." else f"{here}/"
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = sorted(
            name for name in folders if name not in links and not ignored.prunes(prefix + name)
        )
        for name in sorted(files + links):
            if not ignored.matches(prefix + name):
                yield prefix + name


_IGNORE_OR_PERMIT = "Make it readable, or list it in .dockerignore."


def _size(root: str, name: str) -> int:
    """The size of a file in bytes, 0 for a link; refuses what an archive cannot or must not hold."""
    _refuse_unsafe(root, "file name", name)
    path = os.path.join(root, name)
    try:
        found = os.lstat(path)
    except OSError as error:
        raise SourceError(root, f"cannot read {name}: {error.strerror}", _IGNORE_OR_PERMIT) from error
    if stat.S_ISLNK(found.st_mode):
        target = os.readlink(path)
        _refuse_unsafe(root, "target of a link", target)
        # Neither on this machine nor, by its text alone, where the archive is unpacked.
        textual = os.path.normpath(os.path.join(os.path.dirname(name), target))
        real_root = os.path.realpath(root)
        inside = os.path.commonpath([os.path.realpath(path), real_root]) == real_root
        if os.path.isabs(target) or textual.split("/")[0] == ".." or not inside:
            raise SourceError(
                root,
                f"the link {name} leads out of it, to {target}",
                "Replace it by a copy or remove it.",
            )
        return 0
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(
            root, f"{name} is neither a file nor a link", "Remove it or list it in .dockerignore."
        )
    if found.st_size > MAX_BYTES:
        raise SourceError(
            root, f"{name} alone has more than {MAX_BYTES // 1024**2} MiB", "List it in .dockerignore."
        )
    return found.st_size


def _refuse_unsafe(root: str, what: str, name: str) -> None:
    if _UNSAFE.search(name):
        shown = repr(os.fsencode(name))[1:]
        raise SourceError(
            root, f"the {what} {shown} is not UTF-8 or holds a control character", "Rename or remove it."
        )


class _Hashed:
    """A file whose SHA-256 is made while it is read."""

    def __init__(self, file: t.BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _open(root: str, name: str) -> t.BinaryIO:
    """A file that `_size` accepted. Whatever it has become since: neither a link is followed nor a pipe waited for."""
    return os.fdopen(os.open(os.path.join(root, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _is_key(name: str, size: int, file: t.BinaryIO) -> bool:
    """Whether a file is a key of a service account, or a person's refresh token, whatever its name is."""
    if not name.endswith(".json") or size > _MAX_KEY_BYTES:
        return False
    try:
        found = json.loads(file.read(_MAX_KEY_BYTES))
    except (ValueError, RecursionError):
        return False
    finally:
        file.seek(0)
    return isinstance(found, dict) and found.get("type") in ("service_account", "authorized_user")


def _archive(root: str, names: t.Iterable[str], added: t.Mapping[str, bytes]) -> Archive:
    digest = hashlib.sha256()
    packed = io.BytesIO()
    kept = []
    scripts: list[str] = []
    # The header of gzip holds a time, too.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name in names:
            try:
                line = _add(tar, root, name, added.get(name), scripts)
            except OSError as error:
                reason = error.strerror or "it changed meanwhile"
                raise SourceError(root, f"cannot read {name}: {reason}", _IGNORE_OR_PERMIT) from error
            if line:
                digest.update(line.encode())
                kept.append(name)
    return Archive(digest.hexdigest(), tuple(kept), packed.getvalue(), windows_scripts=tuple(scripts))


def _add(tar: tarfile.TarFile, root: str, name: str, content: bytes | None, scripts: list[str]) -> str:
    """Add a file, with *content* if given, to an archive; returns its line of the digest, "" if it must not go in. A script
    whose first line ends as on Windows is added to *scripts*.
    """
    info = tarfile.TarInfo(name)
    if content is None and os.path.islink(os.path.join(root, name)):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(os.path.join(root, name))
        content = b""
    with io.BytesIO(content) if content is not None else _open(root, name) as file:
        if content is not None:
            info.size = len(content)
        else:
            found = os.fstat(file.fileno())
            info.size, info.mode = found.st_size, 0o755 if found.st_mode & stat.S_IXUSR else 0o644
            if _is_key(name, info.size, file):
                return ""
        if _WINDOWS_SCRIPT.match(file.read(_MAX_SHEBANG_BYTES)):
            scripts.append(name)
        file.seek(0)
        hashed = _Hashed(file)
        tar.addfile(info, hashed)
    return f"{name}\0{info.mode:o}\0{info.linkname}\0{hashed.hexdigest()}\n"


class _Rules:
    """The patterns of a file: the last one that matches decides, ``!`` takes a name back in."""

    def __init__(
        self, root: str, file: str, lines: t.Iterable[str], anchor: t.Callable[[str], str] = str
    ) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in lines:
            try:
                regex = re.compile(_regex(anchor(line.removeprefix("!"))), re.DOTALL)
            except re.error as error:
                raise SourceError(
                    root, f"the pattern {line!r} of {file} is wrong ({error.msg})", "Fix or remove it."
                ) from error
            self._rules.append((not line.startswith("!"), regex))
        self.has_exceptions = any(not ignores for ignores, regex in self._rules)

    def match(self, name: str) -> bool:
        """Whether a name, or a folder above it, is ignored."""
        verdict = False
        for ignores, regex in self._rules:
            if verdict != ignores and regex.match(name):
                verdict = ignores
        return verdict


class _Ignored:
    """What stays out: what always does, and what the project's own files say.

    Sources: docs.docker.com, "Build context", ".dockerignore files"; cloud.google.com/sdk/gcloud/reference/topic/gcloudignore,
    whose patterns are those of a .gitignore.
    """

    def __init__(self, root: str) -> None:
        #: What stays out only because it may hold secrets.
        self.withheld: set[str] = set()
        self._docker = _Rules(root, ".dockerignore", _patterns(root, ".dockerignore"))
        self._gcloud = _Rules(root, ".gcloudignore", _patterns(root, ".gcloudignore"), _anchored)

    def matches(self, name: str) -> bool:
        """Whether a file stays out. The Dockerfile and the .dockerignore always go in: the build reads them."""
        if _ALWAYS.match(name):
            self._note(name)
            return True
        return name not in ("Dockerfile", ".dockerignore") and (
            self._docker.match(name) or self._gcloud.match(name)
        )

    def _note(self, name: str) -> None:
        if not (_LEFTOVERS.match(name) or self._docker.match(name) or self._gcloud.match(name)):
            self.withheld.add(name)

    def prunes(self, folder: str) -> bool:
        """Whether nothing below a folder can go in."""
        if _ALWAYS.match(folder):
            self._note(folder)
            return True
        if self._gcloud.match(folder):
            return True
        return not self._docker.has_exceptions and self._docker.match(folder)


def _patterns(root: str, name: str) -> list[str]:
    """The patterns in a file; none if it is not there. Those of a .gcloudignore may be in another file beside it."""
    lines: list[str] = []
    for line in _text(root, name).splitlines():
        included = line.strip().removeprefix("#!include:")
        is_include = name == ".gcloudignore" and included != line.strip()
        lines += _text(root, os.path.basename(included)).splitlines() if is_include else [line]
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def _text(root: str, name: str) -> str:
    """The text of a file, "" if it is not there. Refuses one that is not UTF-8."""
    path = os.path.join(root, name)
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_TEXT_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(root, f"{name} is not UTF-8 ({error.reason})", "Save it as UTF-8.") from error
    except OSError as error:
        raise SourceError(root, f"cannot read {name}: {error.strerror}", "Make it readable.") from error


def _anchored(pattern: str) -> str:
    """A pattern of a .gitignore as one of a .dockerignore: without a slash in it, it matches in every folder."""
    return pattern if "/" in pattern.rstrip("/") else f"**/{pattern}"


def _regex(pattern: str) -> str:
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
            inner = part[1:-1].replace("\\", "\\\\").replace("[", "\\[")
            translated += "[" + ("^" + inner[1:] if inner.startswith("!") else inner) + "]"
        else:
            translated += re.escape(part)
    return rf"{translated}(?:/.*)?\Z"


_LEFTOVERS = re.compile("|".join(_regex(pattern) for pattern in LEFTOVERS), re.DOTALL)
_ALWAYS = re.compile("|".join(_regex(pattern) for pattern in (*LEFTOVERS, *SECRETS)), re.DOTALL)
