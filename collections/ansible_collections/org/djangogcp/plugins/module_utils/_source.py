# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""A project's source as one deterministic archive: the same files give the same bytes and the same digest everywhere.

What never belongs in an image is left out whatever the project says: version control, caches, virtual environments, and what holds
secrets or data, by its name or by what is in it. The project's ``.dockerignore`` and ``.gcloudignore`` are honoured on top of that; where it
has neither, its ``.gitignore``, as gcloud does.

A folder is looked through before anything of it is read, and files are read one after the other, so what is far too large costs
neither memory nor time.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import itertools
import os
import re
import stat
import tarfile
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _sensitive
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError

#: Left out always, whatever the letter case; the patterns are those of a .dockerignore. The documentation of the module cloudbuild_build lists them.
LEFTOVERS = (
    "**/.git", "**/.hg", "**/.svn", "**/__pycache__", "**/*.py[cod]", "**/.venv", "**/venv", "**/node_modules",
    "**/.mypy_cache", "**/.pytest_cache", "**/.ruff_cache", "**/.tox", "**/.nox", "**/.terraform", "**/.vagrant", "**/.DS_Store", "**/Thumbs.db",
)  # fmt: skip
SECRETS = (
    "**/.env", "**/.env.*", "**/.env-*", "**/*.env", "**/.envs", "**/.envrc", "**/local_settings.py",
    "**/*.pem", "**/*.key", "**/*.p12", "**/*.pfx", "**/*.p8", "**/*.ppk", "**/*.jks", "**/*.keystore", "**/*.kdbx", "**/id_rsa*",
    "**/id_dsa*", "**/id_ecdsa*", "**/id_ed25519*", "**/.ssh", "**/.gnupg", "**/.aws", "**/.kube", "**/kubeconfig", "**/*.kubeconfig",
    "**/.config/gcloud", "**/.docker/config.json", "**/.dockercfg", "**/.netrc", "**/_netrc", "**/.pgpass", "**/.my.cnf", "**/.pypirc", "**/.boto", "**/.s3cfg",
    "**/.git-credentials", "**/.htpasswd", "**/.vault_pass*", "**/.vault-pass*", "**/vault_pass*", "**/.*_history",
    "**/*credentials*.json", "**/*service-account*.json", "**/*service_account*.json", "**/client_secret*.json",
    "**/*.tfstate", "**/*.tfstate.*", "**/*.tfvars",
    "**/*.sqlite", "**/*.sqlite-*", "**/*.sqlite3", "**/*.sqlite3-*", "**/*.dump", "**/*.pgdump", "**/*.sql.gz", "**/*.sql.bz2", "**/*.sql.xz",
    "**/*.sql.zst", "**/*.sql.zip",
)  # fmt: skip
#: Named as one of those, but they show a person what to write.
TEMPLATES = (
    "**/.env*.example", "**/.env*.sample", "**/.env*.template", "**/.env*.dist", "**/.env[-_]example", "**/.env[-_]sample",
    "**/.env[-_]template", "**/example.env", "**/sample.env", "**/template.env",
)  # fmt: skip
#: The most files and bytes that an archive may hold. A Django project with more has something in it by mistake.
MAX_FILES = 20_000
MAX_BYTES = 512 * 1024 * 1024
#: A folder with one of these is a virtual environment, whatever its name is (PEP 405; conda).
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
#: What is in a folder of uploads is looked at so far.
_MAX_UPLOADS = 2_000
#: A folder named so with one of these in it is a part of the project: of old projects, what is served beside their pages.
_UPLOADS = "media"
_CODE = (".py", ".html", ".css", ".scss", ".less", ".js", ".ts")
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
        withheld: the names of files and folders that are not in it although the project does not say so, because they may hold secrets or
            data; sorted.
        exposed: the names of modules that hold a private key; they are in it because the project would not run without them; sorted.
        public_keys: the names of files that are called like keys, and are in it because they hold public keys or certificates only; sorted.
        unversioned: the names of files and folders that only the .gitignore of a project without other ignore files keeps out; sorted.
        windows_scripts: the names of scripts whose first line ends as on Windows, so that Linux does not find what runs them; sorted.
    """

    digest: str
    files: tuple[str, ...]
    content: bytes
    withheld: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    public_keys: tuple[str, ...] = ()
    unversioned: tuple[str, ...] = ()
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
    found = names.difference(archive.files)
    return dataclasses.replace(
        archive,
        withheld=tuple(sorted({*ignored.withheld, *found})),
        public_keys=tuple(sorted(ignored.public_keys.intersection(archive.files))),
        unversioned=tuple(sorted(ignored.unversioned)),
    )


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


def _archive(root: str, names: t.Iterable[str], added: t.Mapping[str, bytes]) -> Archive:
    digest = hashlib.sha256()
    packed = io.BytesIO()
    kept = []
    scripts: list[str] = []
    exposed: list[str] = []
    # The header of gzip holds a time, too.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name in names:
            try:
                line = _add(tar, root, name, added.get(name), scripts, exposed)
            except OSError as error:
                reason = error.strerror or "it changed meanwhile"
                raise SourceError(root, f"cannot read {name}: {reason}", _IGNORE_OR_PERMIT) from error
            if line:
                digest.update(line.encode())
                kept.append(name)
    return Archive(
        digest.hexdigest(),
        tuple(kept),
        packed.getvalue(),
        exposed=tuple(exposed),
        windows_scripts=tuple(scripts),
    )


def _add(
    tar: tarfile.TarFile, root: str, name: str, content: bytes | None, scripts: list[str], exposed: list[str]
) -> str:
    """Add a file, with *content* if given, to an archive; returns its line of the digest, "" if it must not go in. A script
    whose first line ends as on Windows is added to *scripts*, a module with a private key to *exposed*.
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
            if _sensitive.is_sensitive(name, file):
                # What is imported cannot be left out without a word from the project itself.
                if not name.endswith(".py"):
                    return ""
                exposed.append(name)
        if _WINDOWS_SCRIPT.match(file.read(_MAX_SHEBANG_BYTES)):
            scripts.append(name)
        file.seek(0)
        hashed = _Hashed(file)
        tar.addfile(info, hashed)
    return f"{name}\0{info.mode:o}\0{info.linkname}\0{hashed.hexdigest()}\n"


class _Rules:
    """The patterns of a file: the last one that matches decides, ``!`` takes a name back in.

    Args:
        root: the folder that they are about.
        file: where they are written.
        lines: the patterns.
        like_git: whether they are those of a .gitignore: one without a slash matches in every folder, one that ends with a slash only
            folders.
    """

    def __init__(self, root: str, file: str, lines: t.Iterable[str], *, like_git: bool = False) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in lines:
            pattern = line.removeprefix("!")
            only_folders = like_git and pattern.endswith("/")
            if like_git and "/" not in pattern.rstrip("/"):
                pattern = f"**/{pattern}"
            try:
                regex = re.compile(_regex(pattern, only_folders=only_folders), re.DOTALL)
            except re.error as error:
                raise SourceError(
                    root, f"the pattern {line!r} of {file} is wrong ({error.msg})", "Fix or remove it."
                ) from error
            self._rules.append((not line.startswith("!"), regex))
        self.has_exceptions = any(not ignores for ignores, regex in self._rules)

    def match(self, name: str) -> bool:
        """Whether a name, or a folder above it, is ignored. The name of a folder may end with a slash."""
        verdict = False
        for ignores, regex in self._rules:
            if verdict != ignores and regex.match(name):
                verdict = ignores
        return verdict


class _Ignored:
    """What stays out: what always does, and what the project's own files say.

    Sources: docs.docker.com, "Build context", ".dockerignore files"; cloud.google.com/sdk/gcloud/reference/topic/gcloudignore,
    whose patterns are those of a .gitignore, and where the .gitignore of the folder is what there is without a .gcloudignore.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        #: What stays out only because it may hold secrets or data.
        self.withheld: set[str] = set()
        #: What is called like a key, and holds public ones only.
        self.public_keys: set[str] = set()
        #: What stays out only because it is not to be versioned.
        self.unversioned: set[str] = set()
        has_own = any(os.path.isfile(os.path.join(root, name)) for name in (".dockerignore", ".gcloudignore"))
        self._docker = _Rules(root, ".dockerignore", _patterns(root, ".dockerignore"))
        self._gcloud = _Rules(root, ".gcloudignore", _patterns(root, ".gcloudignore"), like_git=True)
        lines = [] if has_own else _patterns(root, ".gitignore")
        self._git = _Rules(root, ".gitignore", lines, like_git=True)

    def matches(self, name: str) -> bool:
        """Whether a file stays out. The Dockerfile and the .dockerignore always go in: the build reads them."""
        if _LEFTOVERS.match(name):
            return True
        if name in ("Dockerfile", ".dockerignore"):
            return False
        if self._docker.match(name) or self._gcloud.match(name):
            return True
        if self._is_withheld(name):
            return True
        if self._git.match(name):
            self.unversioned.add(name)
            return True
        return False

    def _is_withheld(self, name: str) -> bool:
        if not _SECRETS.match(name) or _TEMPLATES.match(name):
            return False
        if name.lower().endswith(_sensitive.MAY_BE_PUBLIC) and _sensitive.is_public_key_file(
            os.path.join(self._root, name)
        ):
            self.public_keys.add(name)
            return False
        if not self._git.match(name):
            self.withheld.add(name)
        return True

    def prunes(self, folder: str) -> bool:
        """Whether nothing below a folder can go in."""
        path = os.path.join(self._root, folder)
        if _LEFTOVERS.match(folder) or self._gcloud.match(f"{folder}/"):
            return True
        if any(os.path.exists(os.path.join(path, name)) for name in _ENVIRONMENTS):
            return True
        is_listed = self._docker.match(folder)
        if is_listed and not self._docker.has_exceptions:
            return True
        if _SECRETS.match(folder) or _holds_uploads(path, is_top="/" not in folder):
            if not (is_listed or self._git.match(f"{folder}/")):
                self.withheld.add(folder)
            return True
        if self._git.match(f"{folder}/"):
            self.unversioned.add(folder)
            return True
        return False


def _holds_uploads(path: str, is_top: bool) -> bool:
    """Whether a folder is what Django calls MEDIA_ROOT as far as can be told: named so where a project has it, and without anything that
    somebody wrote. What is uploaded is in a bucket when the site is deployed.
    """
    above = os.path.dirname(path)
    named = os.path.basename(path).lower() == _UPLOADS
    if not named or not (
        is_top or any(os.path.isfile(os.path.join(above, one)) for one in ("manage.py", "__init__.py"))
    ):
        return False
    files = (name for _folder, _folders, names in os.walk(path) for name in names)
    found = list(itertools.islice(files, _MAX_UPLOADS))
    return not any(name.lower().endswith(_CODE) for name in found)


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


def _regex(pattern: str, *, only_folders: bool = False) -> str:
    """A pattern as a regular expression that matches a name, unless only folders are meant, or any folder above it."""
    translated = ""
    for part in re.findall(r"\*\*/?|\*|\?|\[[^]]*\]|\\.|[^*?\[\\]+|[\[\\]", pattern.strip("/")):
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
            translated += re.escape(part[1:] if len(part) == 2 and part.startswith("\\") else part)
    return rf"{translated}(?:/.*){'' if only_folders else '?'}\Z"


def _any_of(patterns: t.Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(_regex(pattern) for pattern in patterns), re.DOTALL | re.IGNORECASE)


_LEFTOVERS, _SECRETS, _TEMPLATES = _any_of(LEFTOVERS), _any_of(SECRETS), _any_of(TEMPLATES)
