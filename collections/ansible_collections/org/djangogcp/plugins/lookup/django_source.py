# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: django_source
author: The djangogcp contributors (@djangogcp)
version_added: 1.0.0
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
      - The WSGI application as C(package.module:attribute).
      - If empty, C(wsgi.py) beside the settings that C(manage.py) names is looked for.
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
      description: The WSGI application as C(package.module:attribute), empty if none was found.
      type: str
    wsgi_modules:
      description: Every C(wsgi.py) in the folder that has an C(application), in the same form.
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
"""

import ast
import re
import tomllib
import typing as t
from pathlib import Path

from ansible.plugins.lookup import LookupBase

SKIPPED_FOLDERS = {"node_modules", "site-packages", "tests"}


def describe(folder: str, wsgi_module: str = "") -> dict[str, t.Any]:
    """What a deploy must know about the Django project in *folder*.

    *wsgi_module* is ``package.module:attribute``; if empty it is looked for. Unreadable or broken files count as absent.
    """
    root = Path(folder).expanduser().absolute()
    settings_module = _settings_module(root / "manage.py")
    found = _wsgi_modules(root)
    preferred = f"{settings_module.split('.')[0]}.wsgi:application"
    chosen = wsgi_module or (preferred if preferred in found else (found[0] if len(found) == 1 else ""))
    requirements_file = next(
        (name for name in ("requirements.txt", "pyproject.toml") if (root / name).is_file()), ""
    )
    requirements_files = _requirements_files(root, requirements_file) if requirements_file else []
    return {
        "path": str(root),
        "exists": root.is_dir(),
        "manage_py": (root / "manage.py").is_file(),
        "settings_module": settings_module,
        "wsgi_module": chosen,
        "wsgi_modules": found,
        "wsgi_problem": _wsgi_problem(root, wsgi_module) if wsgi_module else "",
        "requirements_file": requirements_file,
        "requirements_files": requirements_files,
        "requirements": _requirements(root, requirements_files),
        "dockerfile": (root / "Dockerfile").is_file(),
        "procfile_web": _procfile_web(root / "Procfile"),
        "python_version": _python_version(root / ".python-version"),
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _settings_module(manage_py: Path) -> str:
    """The value of ``os.environ.setdefault("DJANGO_SETTINGS_MODULE", ...)``, as startproject writes it."""
    found = re.search(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""", _text(manage_py))
    return found.group(1) if found else ""


def _top_level_names(source: str) -> set[str]:
    """The names that a module defines or imports at its top level; empty if it is not Python."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in body:
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


def _wsgi_modules(root: Path) -> list[str]:
    """Every ``wsgi.py`` of at most three folders down that has an ``application``."""
    found = []
    for pattern in ("wsgi.py", "*/wsgi.py", "*/*/wsgi.py", "*/*/*/wsgi.py"):
        for path in sorted(root.glob(pattern)):
            parts = path.relative_to(root).with_suffix("").parts
            hidden = any(
                part.startswith(".") or part in SKIPPED_FOLDERS or not part.isidentifier() for part in parts
            )
            if not hidden and "application" in _top_level_names(_text(path)):
                found.append(".".join(parts) + ":application")
    return found


def _wsgi_problem(root: Path, wsgi_module: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", wsgi_module):
        return "it is not of the form package.module:attribute"
    module, attribute = wsgi_module.split(":")
    relative = Path(*module.split("."))
    path = next(
        (p for p in (relative.with_suffix(".py"), relative / "__init__.py") if (root / p).is_file()), None
    )
    if path is None:
        return f"there is no file {relative.with_suffix('.py')}"
    if attribute not in _top_level_names(_text(root / path)):
        return f"{path} has no {attribute}"
    return ""


def _requirements_files(root: Path, name: str) -> list[str]:
    """*name* and what it includes by ``-r`` or ``-c``, relative to *root*, each once."""
    files, waiting = [], [Path(name)]
    while waiting:
        path = waiting.pop(0)
        if str(path) not in files and (root / path).is_file():
            files.append(str(path))
            if path.suffix != ".toml":
                included = re.findall(
                    r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", _text(root / path), re.MULTILINE
                )
                waiting += [path.parent / child for child in included]
    return files


def _requirements(root: Path, files: list[str]) -> list[str]:
    """The normalized names (PEP 503) of the distributions that requirements files or pyproject.toml ask for."""
    lines: list[str] = []
    for name in files:
        if name == "pyproject.toml":
            try:
                lines += tomllib.loads(_text(root / name)).get("project", {}).get("dependencies", [])
            except tomllib.TOMLDecodeError:
                continue
        else:
            lines += _text(root / name).splitlines()
    names = [
        found.group(1)
        for line in lines
        if (found := re.match(r"\s*([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)", line))
    ]
    return sorted({re.sub(r"[-_.]+", "-", name).lower() for name in names})


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
