# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a Django project wants installed, and the commands of a build that install it.

A lock file is turned into requirements by the tool that wrote it, in the build; requirements files are pip's; what a pyproject.toml lists
is given to pip. Nothing of a project is run here.
"""

from __future__ import annotations

import configparser
import contextlib
import dataclasses
import json
import os
import re
import shlex
import tomllib
import typing as t
from pathlib import Path

from ansible_collections.org.djangogcp.plugins.plugin_utils._text import text

# ansible-core requires it; only what ansible-test imports plugins with has none.
with contextlib.suppress(ImportError):
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.utils import canonicalize_name

Table = dict[str, t.Any]

#: What the settings overlay imports, each with what is installed where it is not listed.
OVERLAY_NEEDS = {"django-storages": "django-storages[google]==1.14.6", "whitenoise": "whitenoise==6.12.0"}
#: How files, extras and groups are called that hold what serves needs beside the rest, and what only developers need.
PRODUCTION = re.compile(r"(?:.*[-_./])?(?:prod|production|live|deploy|deployment)(?:[-_.].*)?", re.IGNORECASE)
_DEVELOPMENT = re.compile(
    r"(?:.*[-_./])?(?:dev|devel|develop|development|local|tests?|testing|ci|docs?|lint)(?:[-_.].*)?",
    re.IGNORECASE,
)
#: What requirements are evaluated for where they carry markers.
_IMAGE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
    "extra": "",
}
_OPTION = re.compile(
    r"(?P<name>-r|-c|-e|-f|--requirement|--constraint|--editable|--find-links)(?:\s*=\s*|\s*)(?P<value>.+)"
)
_REMOTE = re.compile(r"[A-Za-z][\w.+-]*://|[A-Za-z]+\+")
_EGG = re.compile(r"#(?:.*&)?egg=([A-Za-z0-9][\w.-]*)")
#: Where a build puts what a tool exports.
_EXPORTED = "/tmp/requirements.txt"  # noqa: S108 - of the image that is built


@dataclasses.dataclass(frozen=True)
class Lock:
    """A lock file's tool.

    Attributes:
        manifest: the file that it locks.
        tools: the distributions that export it.
        export: the command, to which options are added.
        group: the option of a group or an extra.
        unhashed: the option without which hashes are written.
        no_groups: the option that leaves out all groups, where none is chosen.
    """

    manifest: str
    tools: str
    export: str
    group: str
    extra: str
    unhashed: str
    no_groups: str = ""


LOCKS = {
    "uv.lock": Lock(
        "pyproject.toml",
        "uv==0.13.9",
        f"/tools/bin/uv export --quiet --frozen --no-dev --no-emit-project --output-file {_EXPORTED}",
        "--group",
        "--extra",
        "--no-hashes",
    ),
    "poetry.lock": Lock(
        "pyproject.toml",
        "poetry==2.5.1 poetry-plugin-export==1.10.1",
        f"/tools/bin/poetry export --output {_EXPORTED}",
        "--with",
        "--extras",
        "--without-hashes",
    ),
    "pdm.lock": Lock(
        "pyproject.toml",
        # hishel 2 has no SyncSqliteStorage, which pdm takes, and pdm does not say that it needs an older one.
        "pdm==2.29.4 hishel==1.4.0",
        f"/tools/bin/pdm export --format requirements --output {_EXPORTED}",
        "--group",
        "--group",
        "--without-hashes",
        # With a dependency group it refuses that option, and leaves out the other ones by itself.
        "--prod",
    ),
    "Pipfile.lock": Lock(
        "Pipfile", "pipenv==2026.10.3", f"/tools/bin/pipenv requirements > {_EXPORTED}", "", "", ""
    ),
}


@dataclasses.dataclass
class Dependencies:
    """What is installed.

    Attributes:
        file: the file that says it, relative to the root; "" if there is none.
        files: every file that says something of it.
        copies: what the commands need of the project.
        commands: what a build runs, in a shell.
        names: the normalized names (PEP 503) of the distributions that it asks for itself, sorted.
        are_known: whether these are all; what a setup.py asks for is known once that has run.
        pins: by such a name its exact version.
        limits: by such a name which versions are asked for, as PEP 440 has it.
        python: which versions of Python it says that it can have, as PEP 440 has it.
        notes: what a person should know of the choice.
        problem: why there is no choice, or why it cannot be installed.
    """

    file: str = ""
    files: list[str] = dataclasses.field(default_factory=list)
    copies: list[str] = dataclasses.field(default_factory=list)
    commands: list[str] = dataclasses.field(default_factory=list)
    names: list[str] = dataclasses.field(default_factory=list)
    are_known: bool = True
    pins: dict[str, str] = dataclasses.field(default_factory=dict)
    limits: dict[str, str] = dataclasses.field(default_factory=dict)
    python: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)
    problem: str = ""

    def ask_for(self, requirement: Requirement) -> None:
        """Add a distribution, if an image has it."""
        if _is_for_an_image(requirement):
            self.names = sorted({*self.names, canonicalize_name(requirement.name)})
            self.limit(requirement)

    def limit(self, requirement: Requirement) -> None:
        """Note which versions are asked for."""
        name = canonicalize_name(requirement.name)
        said = [self.limits.get(name, ""), str(requirement.specifier)]
        self.limits[name] = ",".join(filter(None, said))
        exact = [one.version for one in requirement.specifier if one.operator in ("==", "===")]
        if exact and "*" not in exact[0]:
            self.pins[name] = exact[0]

    def may_be(self, name: str, releases: t.Iterable[str]) -> bool:
        """Whether one of these releases of a distribution may be installed: by its pin, else by what is asked for.

        Where nothing is said of its version, pip takes the newest.
        """
        said = f"=={self.pins[name]}" if name in self.pins else self.limits.get(name, "")
        try:
            return any(SpecifierSet(said).filter(releases))
        except InvalidSpecifier:
            # A lock file says something else than a version.
            return True


def _is_for_an_image(requirement: Requirement) -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate(dict(_IMAGE))
    except ValueError:
        # It compares what cannot be compared: pip says so.
        return True


def _requirement(said: str) -> Requirement | None:
    """A requirement; None if it is none."""
    try:
        return Requirement(said)
    except (InvalidRequirement, RecursionError):
        return None


def find(root: Path, manage_dir: str, named: str = "") -> Dependencies:
    """What says what a project wants, looked for beside manage.py and in each folder above it up to the root.

    Args:
        root: the folder that is built.
        manage_dir: the folder of manage.py below it, "" if it is the root itself.
        named: the file, relative to the root, if a person has named it.
    """
    if named:
        return _of_named(root, manage_dir, os.path.normpath(named))
    folder = manage_dir
    while True:
        found = _in_folder(root, folder, manage_dir)
        if found.file or found.problem or not folder:
            return found
        folder = os.path.dirname(folder)


def _of_named(root: Path, manage_dir: str, name: str) -> Dependencies:
    folder, base = os.path.split(name)
    if name.startswith((os.sep, "..")) or not os.path.isfile(root / name):
        return Dependencies(problem=f"there is no {name} in it (djangogcp_requirements)")
    if base in LOCKS:
        return _of_lock(root, folder, base)
    if base == "pyproject.toml":
        found = _of_pyproject(root, folder, manage_dir)
        return found if found.file or found.problem else _of_backend(root, folder) or found
    if base in ("setup.py", "setup.cfg"):
        return _of_backend(root, folder) or Dependencies(
            problem=f"{name} asks for nothing (djangogcp_requirements)"
        )
    return _of_pip(root, name, manage_dir)


def _in_folder(root: Path, folder: str, manage_dir: str) -> Dependencies:
    stale: list[str] = []
    if os.path.isfile(root / folder / "requirements.txt"):
        return _of_pip(root, os.path.join(folder, "requirements.txt"), manage_dir)
    for name, lock in LOCKS.items():
        if os.path.isfile(root / folder / name) and os.path.isfile(root / folder / lock.manifest):
            if not _locks_nothing(root / folder, name):
                return _of_lock(root, folder, name)
            stale.append(
                f"{os.path.join(folder, name)} does not hold the project, so what {lock.manifest} lists is installed, in versions that pip"
                " chooses (uv lock writes it anew)"
            )
    found = _of_pyproject(root, folder, manage_dir)
    if found.file or found.problem:
        found.notes += stale
        return found
    if os.path.isfile(root / folder / "Pipfile"):
        return _of_lock(root, folder, "Pipfile.lock")
    found = _of_many(root, folder, manage_dir)
    return found if found.file else _of_backend(root, folder) or found


# ------------------------------------------------------------------ requirements files


def _of_many(root: Path, folder: str, manage_dir: str) -> Dependencies:
    """The one of several requirements files that is for production."""
    if not os.path.isdir(root / folder):
        return Dependencies()
    found = sorted(
        os.path.join(folder, str(path.relative_to(root / folder)))
        for pattern in ("requirements*.txt", "requirements/*.txt", "requirements/*.pip", "reqs/*.txt")
        for path in (root / folder).glob(pattern)
        if path.is_file()
    )
    short = {
        name: os.path.relpath(name, folder or ".").removesuffix(".txt").removesuffix(".pip") for name in found
    }
    chosen = [name for name in found if PRODUCTION.fullmatch(short[name])]
    if not chosen:
        rest = [name for name in found if not _DEVELOPMENT.fullmatch(short[name])]
        included = {one for name in rest for one in _included(root, name)[1:]}
        chosen = [name for name in rest if name not in included]
    if len(chosen) != 1:
        listed = ", ".join(chosen or found)
        return Dependencies(
            problem=f"several files could be it: set djangogcp_requirements to one of {listed}"
            if found
            else ""
        )
    result = _of_pip(root, chosen[0], manage_dir)
    result.notes.append(f"what {chosen[0]} lists is installed (djangogcp_requirements)")
    return result


def _included(root: Path, name: str) -> list[str]:
    """A requirements file and those that it includes, relative to the root, each once. What is outside of the root is not read."""
    files: list[str] = []
    waiting = [name]
    while waiting:
        path = os.path.normpath(waiting.pop(0))
        if path not in files and not path.startswith((os.sep, "..")) and os.path.isfile(root / path):
            files.append(path)
            waiting += [
                os.path.join(os.path.dirname(path), child) for child, _is_constraint in _includes(root / path)
            ]
    return files


def _includes(path: Path) -> list[tuple[str, bool]]:
    """What a requirements file includes, and whether as constraints."""
    options = [found for line in _lines(path) if (found := _OPTION.fullmatch(line))]
    return [
        (found["value"].strip("'\""), "c" in found["name"])
        for found in options
        if found["name"] in ("-r", "-c", "--requirement", "--constraint")
        and not _REMOTE.match(found["value"])
    ]


def _lines(path: Path) -> list[str]:
    """The logical lines of a requirements file: joined, without comments, as pip reads them (pip's documentation, "Requirements File Format")."""
    joined = re.sub(r"\\\r?\n", "", text(path, utf_16=True))
    lines = (re.sub(r"(?:^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _of_pip(root: Path, name: str, manage_dir: str) -> Dependencies:
    """What a requirements file asks for, with those that it includes."""
    found = Dependencies(file=name, files=_included(root, name))
    constraints = {
        os.path.normpath(os.path.join(os.path.dirname(file), child))
        for file in found.files
        for child, is_constraint in _includes(root / file)
        if is_constraint
    }
    paths: list[str] = []
    for file in found.files:
        for child, _is_constraint in _includes(root / file):
            path = os.path.normpath(os.path.join(os.path.dirname(file), child))
            if path not in found.files:
                found.problem = _absent(file, child, path)
        for line in _lines(root / file):
            _take(found, line, file in constraints, paths)
    # pip takes a path from where it is run.
    folders = dict.fromkeys((manage_dir, os.path.dirname(name), os.path.dirname(os.path.dirname(name)), ""))
    folder = next((one for one in folders if all(os.path.exists(root / one / path) for path in paths)), "")
    local = [os.path.normpath(os.path.join(folder, path)) for path in paths]
    for path, inside in zip(paths, local, strict=True):
        if inside.startswith(("..", os.sep)) or not os.path.exists(root / inside):
            found.problem = _absent(name, path, inside)
    for inside in local:
        for requirement in _listed(_toml(root / inside / "pyproject.toml"), [], []):
            found.ask_for(requirement)
    found.copies = list(dict.fromkeys([*found.files, *local]))
    found.commands = [_in(folder, f"pip install -r {shlex.quote(os.path.relpath(name, folder or '.'))}")]
    return found


def _absent(file: str, said: str, path: str) -> str:
    if path.startswith((os.sep, "..")):
        return f"{file} includes {said[:80]!r}, which is outside of it: set djangogcp_source_dir to the folder that holds both"
    return f"{file} includes {said[:80]!r}, which is not there"


def _take(found: Dependencies, line: str, is_constraint: bool, paths: list[str]) -> None:
    """What one line of a requirements file asks for; a file or a folder of the project is added to *paths*."""
    option = _OPTION.fullmatch(line)
    if option and option["name"] not in ("-e", "--editable"):
        if option["name"] in ("-f", "--find-links") and not _REMOTE.match(option["value"]):
            paths.append(option["value"].strip("'\""))
        return
    if line.startswith("-") and not option:
        return
    wanted = (option["value"].strip("'\"") if option else line).split(" --")[0].strip()
    if egg := _EGG.search(wanted):
        found.names = sorted({*found.names, canonicalize_name(egg[1])})
        return
    is_file = wanted.endswith((".whl", ".tar.gz", ".zip")) and not _REMOTE.search(wanted)
    requirement = None if is_file else _requirement(wanted)
    if requirement is None:
        path = re.sub(r"\[[\w\s,.-]*\]$", "", wanted.split(";")[0].strip().removeprefix("file:"))
        if not _REMOTE.match(wanted) and (option or is_file or path.startswith(".") or "/" in path):
            paths.append(path)
    elif option:
        # A folder whose name could be a distribution's.
        paths.append(re.sub(r"\[.*", "", wanted))
    elif is_constraint:
        found.limit(requirement)
    else:
        found.ask_for(requirement)


def _in(folder: str, command: str) -> str:
    return f"cd {shlex.quote(folder)} && {command}" if folder else command


# ------------------------------------------------------------------ pyproject.toml, Pipfile and lock files


def _toml(path: Path) -> Table:
    """A file of TOML; empty if there is none or it is broken."""
    try:
        return tomllib.loads(text(path))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _table(data: t.Any, *keys: str) -> Table:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _strings(value: t.Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _of_pyproject(root: Path, folder: str, manage_dir: str) -> Dependencies:
    """What a pyproject.toml lists, nothing if it is for tools only."""
    name = os.path.join(folder, "pyproject.toml")
    data = _toml(root / name)
    project = _table(data, "project")
    if not project and _table(data, "tool", "poetry", "dependencies"):
        return _of_lock(root, folder, "poetry.lock")
    extras, groups = _chosen(data)
    wanted = _strings(project.get("dependencies"))
    wanted += [one for extra in extras for one in _strings(project["optional-dependencies"][extra])]
    wanted += [one for group in groups for one in _group(data["dependency-groups"], group)]
    dynamic = _table(data, "tool", "setuptools", "dynamic", "dependencies").get("file")
    files = _strings(dynamic if isinstance(dynamic, list) else [dynamic])
    if "dependencies" in _strings(project.get("dynamic")) and files:
        return _of_pip(root, os.path.normpath(os.path.join(folder, files[0])), manage_dir)
    if not wanted:
        return Dependencies()
    found = Dependencies(file=name, files=[name], python=_python_of(data), notes=_said(name, extras + groups))
    requirements: list[str] = []
    for one in wanted:
        requirement = _requirement(one)
        if requirement is None:
            return Dependencies(problem=f"{name} lists {one[:80]!r}, which is no requirement")
        found.ask_for(requirement)
        requirements.append(shlex.quote(str(requirement)))
    found.commands = ["pip install " + " ".join(requirements)]
    return found


def _said(name: str, groups: list[str]) -> list[str]:
    return [f"of {name} what {', '.join(groups)} lists is installed, too"] if groups else []


def _chosen(data: Table) -> tuple[list[str], list[str]]:
    """The extras and the groups of a pyproject.toml that are for production."""
    extras = _table(data, "project", "optional-dependencies")
    groups = _table(data, "dependency-groups")
    return [one for one in extras if PRODUCTION.fullmatch(one)], [
        one for one in groups if PRODUCTION.fullmatch(one)
    ]


def _group(groups: Table, name: str, seen: tuple[str, ...] = ()) -> list[str]:
    """The requirements of a group with those that it includes (PEP 735)."""
    entries = groups.get(name)
    found = _strings(entries)
    for one in entries if isinstance(entries, list) else []:
        other = one.get("include-group") if isinstance(one, dict) else None
        if isinstance(other, str) and other not in (*seen, name):
            found += _group(groups, other, (*seen, name))
    return found


def _python_of(data: Table) -> str:
    """``requires-python`` of a pyproject.toml, or what Poetry says instead."""
    said = _table(data, "project").get("requires-python") or _table(
        data, "tool", "poetry", "dependencies"
    ).get("python")
    if not isinstance(said, str):
        return ""
    # Poetry's: ^3.11 is >=3.11,<4 and ~3.11 is >=3.11,<3.12 (Poetry's documentation, "Dependency specification").
    said = re.sub(r"\^\s*(\d+(?:\.\d+)*)", r">=\1,<4", said)
    return re.sub(
        r"~\s*(\d+)\.(\d+)(?![\d.]*\s*=)",
        lambda found: f">={found[0][1:].strip()},<{found[1]}.{int(found[2]) + 1}",
        said,
    )


def _of_backend(root: Path, folder: str) -> Dependencies | None:
    """What a project brings when it is installed itself, which only its build backend can tell: by a setup.py, a setup.cfg, or a pyproject.toml
    that leaves its dependencies to the backend. None if there is none of them.
    """
    declared = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error):
        declared.read_string(text(root / folder / "setup.cfg"))
    project = _table(_toml(root / folder / "pyproject.toml"), "project")
    names = {
        "setup.py": os.path.isfile(root / folder / "setup.py"),
        "setup.cfg": declared.has_option("options", "install_requires"),
        "pyproject.toml": "dependencies" in _strings(project.get("dynamic")),
    }
    name = next((one for one, is_it in names.items() if is_it), "")
    if not name:
        return None
    file = os.path.join(folder, name)
    return Dependencies(
        file=file,
        files=[file],
        copies=[folder or "."],
        # Not editable, so that it does not matter where the stage has it. Versions that tags of Git tell are not in what is built
        # (setuptools-scm's documentation, "Environment variables").
        commands=[_in(folder, "SETUPTOOLS_SCM_PRETEND_VERSION=0 pip install .")],
        are_known=False,
        notes=[f"the project is installed, with what {file} asks for"],
    )


def _locks_nothing(folder: Path, name: str) -> bool:
    """Whether a lock file of uv does not hold the project that it should lock."""
    project = _table(_toml(folder / "pyproject.toml"), "project").get("name")
    if name != "uv.lock" or not isinstance(project, str):
        return False
    packages = _packages(folder, name)
    return canonicalize_name(project) not in {canonicalize_name(str(one.get("name"))) for one in packages}


def _packages(folder: Path, name: str) -> list[Table]:
    if name == "Pipfile.lock":
        try:
            data = json.loads(text(folder / name) or "{}")
        except (ValueError, RecursionError):
            return []
        return [one for one in _table(data, "default").values() if isinstance(one, dict)]
    packages = _toml(folder / name).get("package")
    return [one for one in packages if isinstance(one, dict)] if isinstance(packages, list) else []


def _of_lock(root: Path, folder: str, name: str) -> Dependencies:
    """What a lock file holds, or if it is not there yet what its tool would lock."""
    lock = LOCKS[name]
    manifest = os.path.join(folder, lock.manifest)
    file = os.path.join(folder, name)
    is_there = os.path.isfile(root / file)
    data = _toml(root / manifest)
    found = Dependencies(file=file if is_there else manifest, python=_python_of(data))
    found.files = [manifest, file] if is_there else [manifest]
    extras, groups = _chosen(data)
    groups += [one for one in _table(data, "tool", "poetry", "group") if PRODUCTION.fullmatch(one)]
    for requirement in _listed(data, extras, groups):
        found.ask_for(requirement)
    packages = _packages(root / folder, name)
    for one in packages:
        version = one.get("version")
        if isinstance(one.get("name"), str) and isinstance(version, str):
            found.pins[canonicalize_name(one["name"])] = version.removeprefix("==")
    sources = [_source(one) for one in packages]
    local = sorted(
        {
            os.path.normpath(os.path.join(folder, path))
            for kind, path in sources
            if kind == "path" and path != "."
        }
    )
    found.copies = [*found.files, *local]
    export = lock.export
    if lock.group:
        export += "".join(f" {lock.extra} {shlex.quote(one)}" for one in extras)
        export += "".join(f" {lock.group} {shlex.quote(one)}" for one in groups)
    if lock.no_groups and not groups:
        export += f" {lock.no_groups}"
    if local or any(kind == "git" for kind, _path in sources):
        # pip has no hash for what it does not download as a file, and wants one for all or for none.
        export += f" {lock.unhashed}"
    if not is_there:
        export = f"/tools/bin/{lock.tools.partition('=')[0]} lock && {export}"
        found.notes.append(f"there is no {file}: versions are chosen anew in each build")
    found.commands = [
        f"python -m venv --without-pip /tools && pip --python /tools/bin/python install {lock.tools}",
        _in(folder, export.strip()),
        _in(folder, f"pip install -r {_EXPORTED}"),
    ]
    found.notes += _said(manifest, extras + groups)
    return found


def _source(package: Table) -> tuple[str, str]:
    """Where a locked distribution comes from: "path" or "git", and the path; "" for a registry."""
    source = package.get("source")
    source = source if isinstance(source, dict) else {}
    path = next(
        (
            source[key]
            for key in ("editable", "directory", "virtual", "path")
            if isinstance(source.get(key), str)
        ),
        None,
    )
    if path is None and source.get("type") in ("directory", "file"):
        path = source.get("url")
    path = path or package.get("path")
    if isinstance(path, str):
        return "path", path
    return ("git", "") if "git" in (*source, *package, source.get("type")) else ("", "")


def _listed(data: Table, extras: list[str], groups: list[str]) -> list[Requirement]:
    """What a manifest lists for production, as far as it can be read without its tool."""
    project = _table(data, "project")
    listed = _strings(project.get("dependencies"))
    listed += [
        one for extra in extras for one in _strings(_table(project, "optional-dependencies").get(extra))
    ]
    listed += [one for group in groups for one in _group(_table(data, "dependency-groups"), group)]
    poetry = _table(data, "tool", "poetry")
    tables = [
        _table(poetry, "dependencies"),
        *(_table(poetry, "group", one, "dependencies") for one in groups),
    ]
    listed += [name for table in (*tables, _table(data, "packages")) for name in table if name != "python"]
    return [requirement for one in listed if (requirement := _requirement(one))]
