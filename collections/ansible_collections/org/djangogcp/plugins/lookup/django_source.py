# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: django_source
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Read what a deploy must know about the folder of a Django project
description:
  - Reads files only. Nothing of the project is imported or run.
options:
  _terms:
    description: The folder that holds C(manage.py), on the control node.
    type: list
    elements: str
    required: true
  wsgi_module:
    description:
      - The WSGI or ASGI application as C(package.module:attribute).
      - If empty, C(wsgi.py) beside the settings that C(manage.py) names is looked for, and C(asgi.py) where there is no C(wsgi.py).
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Show what serves the project
  ansible.builtin.debug:
    msg: "{{ lookup('org.djangogcp.django_source', '/srv/shop').wsgi_module }}"
"""

RETURN = r"""
_list:
  description: One dictionary for each folder.
  type: list
  elements: dict
  contains:
    path:
      description: The folder, absolute.
      type: str
    exists:
      description: Whether it is a folder.
      type: bool
    manage_py:
      description: Whether it holds C(manage.py).
      type: bool
    settings_module:
      description: The settings module that C(manage.py) falls back to, empty if it names none.
      type: str
    wsgi_module:
      description: The application as C(package.module:attribute), empty if none was found.
      type: str
    asgi:
      description:
        - Whether O(ignore:wsgi_module) is an ASGI application.
        - It is when C(get_asgi_application) or Channels' C(ProtocolTypeRouter) makes it, or when it is itself an asynchronous callable of three
          arguments. Where the file does not tell, an application in C(asgi.py) is.
      type: bool
    wsgi_modules:
      description: Every C(wsgi.py), or if there is none C(asgi.py), in the folder that has an C(application), in the same form.
      type: list
      elements: str
    wsgi_problem:
      description: Why O(wsgi_module) cannot be the application, empty if it can.
      type: str
    requirements_file:
      description: V(requirements.txt), V(pyproject.toml) or empty.
      type: str
    requirements_files:
      description: The file C(requirements_file) and the files that it includes, relative to the folder.
      type: list
      elements: str
    requirements:
      description: The normalized names of the required distributions.
      type: list
      elements: str
    dockerfile:
      description: Whether the project brings its own C(Dockerfile).
      type: bool
    procfile_web:
      description: The command of the C(web) process in C(Procfile), empty if there is none.
      type: str
    python_version:
      description: The minor version that C(.python-version) asks for, such as V(3.13), empty if it does not.
      type: str
    static_server:
      description:
        - The distribution by which the project serves its static files itself, such as V(whitenoise), empty if it does not.
        - It does when its code names one that its requirements, or its own C(Dockerfile), bring, and nowhere the bucket of static files
          (C(GS_STATIC_BUCKET_NAME)).
      type: str
    schema_changes:
      description:
        - What the project says in SQL that only an owner of tables may do, each with the file that says it, and the distributions that do.
        - Migrations, management commands and tests are left out, for they are run as the owner.
      type: list
      elements: str
      sample: ["reports/views.py: REFRESH MATERIALIZED VIEW"]
    unreadable_files:
      description: The files that decide how the project is deployed and cannot be read as UTF-8, each with the reason.
      type: list
      elements: str
"""

import ast
import itertools
import os
import re
import tomllib
import typing as t
from pathlib import Path

from ansible.plugins.lookup import LookupBase

SKIPPED_FOLDERS = {"node_modules", "site-packages", "tests", "venv"}
#: Files whose text decides how the project is deployed.
TEXT_FILES = (
    "manage.py",
    "Dockerfile",
    "Procfile",
    "pyproject.toml",
    ".python-version",
    ".dockerignore",
    ".gcloudignore",
)
#: What makes an application of either kind: of Django, of Channels, of asgiref, and of what wraps one as the other.
ASGI_MAKERS = {"get_asgi_application", "ASGIHandler", "ProtocolTypeRouter", "WsgiToAsgi"}
WSGI_MAKERS = {"get_wsgi_application", "WSGIHandler"}
#: What PostgreSQL lets a role do that only reads and writes rows is not among these, and neither is what needs no database (SAVEPOINT).
SCHEMA_CHANGE = re.compile(
    r"\b(TRUNCATE"
    r"|REFRESH\s+MATERIALIZED\s+VIEW"
    r"|(?:CREATE|ALTER|DROP)\s+(?:(?:OR\s+REPLACE|GLOBAL|LOCAL|TEMP|TEMPORARY|UNLOGGED|UNIQUE|MATERIALIZED)\s+)*"
    r"(?:AGGREGATE|DOMAIN|EXTENSION|FUNCTION|INDEX|POLICY|PROCEDURE|RULE|SCHEMA|SEQUENCE|TABLE|TRIGGER|TYPE|VIEW)"
    r"|(?:GRANT|REVOKE)\s+\w+(?:\s*,\s*\w+)*\s+ON"
    r"|REINDEX\s+\w+|VACUUM|CLUSTER\s+\w+"
    r"|(?i:setval)(?=\s*\())"
)
#: Run as the owner of the tables, or not at all.
OWNERS_FOLDERS = {"management", "migrations", "tests"}
#: Distributions that make schemas while the site serves.
SCHEMA_CHANGERS = {"django-tenants", "django-tenant-schemas", "django-pgschemas"}
#: Distributions that serve static files from the image.
STATIC_SERVERS = ("whitenoise", "servestatic")
#: The variable that names the bucket of static files.
STATIC_BUCKET = "GS_STATIC_BUCKET_NAME"
#: The modules of which the text is kept while a folder is described.
SAYS_SOMETHING = re.compile("|".join((*STATIC_SERVERS, STATIC_BUCKET, SCHEMA_CHANGE.pattern)))
#: Longer ones are no source code.
MAX_TEXT_BYTES = 1024 * 1024
#: How many folders, and how far down, are looked at for a wsgi.py or an asgi.py.
MAX_FOLDERS = 2000
MAX_DEPTH = 3


def describe(folder: str, wsgi_module: str = "") -> dict[str, t.Any]:
    """What a deploy must know about the Django project in *folder*.

    *wsgi_module* is ``package.module:attribute``; if empty it is looked for. Broken files count as empty; those that cannot be
    read are listed. Nothing outside the folder is read, and of a file no more than `MAX_TEXT_BYTES`.
    """
    # No name holds a NUL, and functions of os stumble over one.
    root = Path(os.path.abspath(os.path.expanduser(folder.replace("\0", "\ufffd"))))
    settings_module = _settings_module(root / "manage.py")
    kind = "wsgi"
    found = _applications(root, kind)
    if not found:
        kind = "asgi"
        found = _applications(root, kind)
    preferred = f"{settings_module.split('.')[0]}.{kind}:application"
    chosen = wsgi_module or (preferred if preferred in found else (found[0] if len(found) == 1 else ""))
    requirements_file = next(
        (name for name in ("requirements.txt", "pyproject.toml") if os.path.isfile(root / name)), ""
    )
    requirements_files = _requirements_files(root, requirements_file) if requirements_file else []
    requirements = _requirements(root, requirements_files)
    serving_code = [(path, text) for path, text in _serving_code(root) if SAYS_SOMETHING.search(text)]
    return {
        "path": str(root),
        "exists": os.path.isdir(root),
        "manage_py": os.path.isfile(root / "manage.py"),
        "settings_module": settings_module,
        "wsgi_module": chosen,
        "asgi": _is_asgi(root, chosen),
        "wsgi_modules": found,
        "wsgi_problem": _wsgi_problem(root, wsgi_module) if wsgi_module else "",
        "requirements_file": requirements_file,
        "requirements_files": requirements_files,
        "requirements": requirements,
        "dockerfile": os.path.isfile(root / "Dockerfile"),
        "procfile_web": _procfile_web(root / "Procfile"),
        "python_version": _python_version(root / ".python-version"),
        "static_server": _static_server(root, requirements, serving_code),
        "schema_changes": _schema_changes(requirements, serving_code),
        "unreadable_files": _unreadable_files(root, dict.fromkeys((*TEXT_FILES, *requirements_files))),
    }


def _read(path: Path) -> str:
    """The beginning of a file, "" if there is none; OSError or UnicodeDecodeError if it is no text that can be read."""
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        data = file.read(MAX_TEXT_BYTES)
    # A character may stand on the end, and a byte order mark at the beginning.
    return data.decode("utf-8-sig", "strict" if len(data) < MAX_TEXT_BYTES else "ignore")


def _text(path: Path) -> str:
    try:
        return _read(path)
    except (OSError, UnicodeDecodeError):
        return ""


def _unreadable_files(root: Path, names: t.Iterable[str]) -> list[str]:
    """Each of some files that cannot be read as text, with the reason."""
    found = []
    for name in names:
        try:
            _read(root / name)
        except UnicodeDecodeError as error:
            found.append(f"{name} is not UTF-8 ({error.reason} at byte {error.start})")
        except OSError as error:
            found.append(f"{name} cannot be read ({error.strerror})")
    return found


def _settings_module(manage_py: Path) -> str:
    """The value of ``os.environ.setdefault("DJANGO_SETTINGS_MODULE", ...)``, as startproject writes it."""
    found = re.search(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""", _text(manage_py))
    return found.group(1) if found else ""


def _top_level(source: str) -> list[ast.stmt]:
    """The statements of a module; none if it is not Python."""
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _top_level_names(source: str) -> set[str]:
    """The names that a module defines or imports at its top level; empty if it is not Python."""
    names: set[str] = set()
    for node in _top_level(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        else:
            names.update(
                part.id
                for part in ast.walk(node)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            )
    return names


def _applications(root: Path, kind: str) -> list[str]:
    """Every ``wsgi.py`` or ``asgi.py`` of at most three folders down that has an ``application``, the uppermost first."""
    name = f"{kind}.py"
    found = []
    level: list[tuple[str, ...]] = [()]
    looked_at = 0
    for _depth in range(MAX_DEPTH + 1):
        below: list[tuple[str, ...]] = []
        for parts in level[: max(0, MAX_FOLDERS - looked_at)]:
            _folder, folders, files = next(os.walk(root.joinpath(*parts)), ("", [], []))
            if name in files and "application" in _top_level_names(_text(root.joinpath(*parts, name))):
                found.append(".".join((*parts, f"{kind}:application")))
            below += [
                (*parts, folder)
                for folder in sorted(folders)
                if _may_be_package(root.joinpath(*parts, folder))
            ]
        looked_at += len(level)
        level = below
    return found


def _may_be_package(folder: Path) -> bool:
    return folder.name.isidentifier() and folder.name not in SKIPPED_FOLDERS and not folder.is_symlink()


def _static_server(root: Path, requirements: list[str], code: list[tuple[Path, str]]) -> str:
    """By what the code that serves says that it serves static files itself, "" when it does not, or may use the bucket."""
    if any(STATIC_BUCKET in text for _path, text in code):
        return ""
    brought = [one for one in STATIC_SERVERS if one in requirements or os.path.isfile(root / "Dockerfile")]
    return next((one for one in brought if any(one in text for _path, text in code)), "")


def _serving_code(root: Path) -> t.Iterator[tuple[Path, str]]:
    """Path, relative to the folder, and text of each module that may run while the project serves."""
    for folder, below, files in itertools.islice(os.walk(root), MAX_FOLDERS):
        below[:] = sorted(
            name for name in below if _may_be_package(Path(folder, name)) and name not in OWNERS_FOLDERS
        )
        for name in sorted(files):
            path = Path(folder, name)
            if name.endswith(".py") and not name.startswith("test") and not path.is_symlink():
                yield path.relative_to(root), _text(path)


def _schema_changes(requirements: list[str], code: list[tuple[Path, str]]) -> list[str]:
    """What the code that serves says in SQL that only an owner may do; of each file each thing once."""
    found = [f"{name} (in the requirements)" for name in requirements if name in SCHEMA_CHANGERS]
    for path, text in code:
        said = dict.fromkeys(
            " ".join(match.group(1).split())
            for literal in (_literals(text) if SCHEMA_CHANGE.search(text) else ())
            for match in SCHEMA_CHANGE.finditer(literal)
        )
        found += [f"{path}: {one}" for one in said]
    return found


def _literals(source: str) -> list[str]:
    """The texts of a module but its docstrings, in their order; none if it is not Python."""
    module = ast.Module(_top_level(source), [])
    docstrings = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    texts = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    return [node.value for node in sorted(texts, key=lambda node: (node.lineno, node.col_offset))]


def _wsgi_problem(root: Path, wsgi_module: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", wsgi_module):
        return "it is not of the form package.module:attribute"
    module, attribute = wsgi_module.split(":")
    path = _file_of(root, module)
    if path is None:
        return f"there is no file {Path(*module.split('.')).with_suffix('.py')}"
    if attribute not in _top_level_names(_text(root / path)):
        return f"{path} has no {attribute}"
    return ""


def _file_of(root: Path, module: str) -> Path | None:
    """The file of a module, relative to the folder; None if there is none."""
    relative = Path(*module.split("."))
    candidates = (relative.with_suffix(".py"), relative / "__init__.py")
    return next((path for path in candidates if os.path.isfile(root / path)), None)


def _is_asgi(root: Path, application: str) -> bool:
    """Whether the application ``package.module:attribute`` is an ASGI one, as far as its file tells."""
    module, _colon, attribute = application.partition(":")
    path = _file_of(root, module) if attribute else None
    if path is None:
        return False
    made_of: dict[str, set[str]] = {}
    for node in _top_level(_text(root / path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == attribute:
            return _is_asgi_callable(node)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            used = {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
            used |= {part.attr for part in ast.walk(node.value) if isinstance(part, ast.Attribute)}
            for target in targets:
                if isinstance(target, ast.Name):
                    made_of[target.id] = made_of.get(target.id, set()) | used
    names: set[str] = set()
    waiting = [attribute]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += made_of.get(name, ())
    if names & ASGI_MAKERS:
        return True
    return not names & WSGI_MAKERS and path.name == "asgi.py"


def _is_asgi_callable(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a function takes scope, receive and send asynchronously, or the instances of a class do."""
    if isinstance(node, ast.ClassDef):
        calls = [one for one in node.body if isinstance(one, ast.AsyncFunctionDef) and one.name == "__call__"]
        return bool(calls) and len(calls[0].args.args) == 4
    return isinstance(node, ast.AsyncFunctionDef) and len(node.args.args) == 3


def _requirements_files(root: Path, name: str) -> list[str]:
    """*name* and what it includes by ``-r`` or ``-c``, relative to *root*, each once. What is outside of *root* is not read."""
    files: list[str] = []
    waiting = [name]
    while waiting:
        path = os.path.normpath(waiting.pop(0))
        if path not in files and not path.startswith(("/", "..")) and os.path.isfile(root / path):
            files.append(path)
            if not path.endswith(".toml"):
                included = re.findall(
                    r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", _text(root / path), re.MULTILINE
                )
                waiting += [os.path.join(os.path.dirname(path), child) for child in included]
    return files


def _requirements(root: Path, files: list[str]) -> list[str]:
    """The normalized names (PEP 503) of the distributions that requirements files or pyproject.toml ask for."""
    lines: list[str] = []
    for name in files:
        text = _text(root / name)
        lines += _dependencies(text) if name == "pyproject.toml" else text.splitlines()
    names = [
        found.group(1)
        for line in lines
        if (found := re.match(r"\s*([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)", line))
    ]
    return sorted({re.sub(r"[-_.]+", "-", name).lower() for name in names})


def _dependencies(text: str) -> list[str]:
    """``project.dependencies`` of a pyproject.toml; none if it is broken."""
    try:
        project = tomllib.loads(text).get("project")
    except (tomllib.TOMLDecodeError, RecursionError):
        return []
    dependencies = project.get("dependencies") if isinstance(project, dict) else None
    return [str(one) for one in dependencies] if isinstance(dependencies, list) else []


def _procfile_web(path: Path) -> str:
    found = re.search(r"^web:\s*(.+?)\s*$", _text(path), re.MULTILINE)
    return found.group(1) if found else ""


def _python_version(path: Path) -> str:
    found = re.match(r"\s*(?:python-?)?(3\.\d+)", _text(path))
    return found.group(1) if found else ""


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: t.Any = None, **kwargs: t.Any) -> list[dict[str, t.Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        return [describe(term, self.get_option("wsgi_module")) for term in terms]
