# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a project's settings read of the environment, as far as their text tells. Nothing of them is run."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
import typing as t
from pathlib import Path

from ansible_collections.org.djangogcp.plugins.plugin_utils._text import text, unreadable

#: How many modules of settings are read.
_MAX_MODULES = 200
#: Packages that make settings out of what a module holds, and the distributions that they are in.
_MAKERS = {"configurations": "django-configurations", "dynaconf": "dynaconf"}
#: How projects call what a deploy gives. The names are those of templates and guides for platforms that people come from.
_CALLED: tuple[tuple[str, str], ...] = (
    (r"(?:DJANGO|APP|SITE)_SECRET_KEY|DJANGO_SECRET|SECRET_KEY_DJANGO", "SECRET_KEY"),
    (r"(?:DJANGO|APP|SITE)_ALLOWED_HOSTS|ALLOWED_HOST", "ALLOWED_HOSTS"),
    (r"(?:DJANGO|APP|SITE)_CSRF_TRUSTED_ORIGINS|(?:DJANGO_)?CSRF_ORIGINS|TRUSTED_ORIGINS", "CSRF_TRUSTED_ORIGINS"),
    (r"(?:DJANGO_|DEFAULT_)?(?:DATABASE|DB|POSTGRES(?:QL)?)_(?:URL|URI|DSN)", "DATABASE_URL"),
    (r"DJANGO_GCP_STORAGE_BUCKET_NAME|GS_BUCKET_NAME|GS_BUCKET|GCS_BUCKET(?:_NAME)?|GS_MEDIA_BUCKET", "GS_MEDIA_BUCKET_NAME"),
    (r"GCP_PROJECT(?:_ID)?|GOOGLE_PROJECT_ID|PROJECT_ID", "GOOGLE_CLOUD_PROJECT"),
    (r"(?:INSTANCE|CLOUD_?SQL|CLOUD_?SQL_INSTANCE)_CONNECTION_NAME", "DATABASE_INSTANCE"),
    (r"INSTANCE_UNIX_SOCKET|DB_SOCKET|DB_UNIX_SOCKET", "DATABASE_HOST"),
)  # fmt: skip
#: The parts of a database's address, each in a variable of its own.
_DATABASE = re.compile(
    r"(?:DJANGO_)?(?:DB|DATABASE|SQL|PG|POSTGRES(?:QL)?|MYSQL|MARIADB|RDS)(?:_DB)?_?"
    r"(?:(?P<NAME>NAME|DB|DATABASE|DBNAME|DB_NAME)|(?P<USER>USER|USERNAME)|(?P<PASSWORD>PASSWORD|PASS|PWD|PASSWD)"
    r"|(?P<HOST>HOST|HOSTNAME|SERVER)|(?P<PORT>PORT)|(?P<ENGINE>ENGINE))"
)
#: Backends of databases: Django's, and those that wrap them.
_ENGINE = re.compile(
    r"[A-Za-z_][\w.]*\.(?:sqlite3|spatialite|postgresql(?:_psycopg2)?|postgis|psycopg2?|mysql|oracle|mssql|cockroachdb)"
    r"|psqlextra\.backend|django_tenants\.postgresql_backend|mssql|django_cockroachdb(?:_gis)?"
)
#: Addresses of databases, by the schemes that django-environ and dj-database-url have for the two servers that a deploy can make.
_ADDRESS = re.compile(
    r"(?P<scheme>postgres(?:ql)?|psql|pgsql|postgis|mysql(?:2|gis|-connector)?)(?:\+\w+)?://"
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What was read.

    Attributes:
        found: whether the module is there.
        reads_database_url: whether they read ``DATABASE_URL`` themselves.
        names: what they read under a name of their own, by that name: a variable of the deploy.
        made_by: the distribution that makes the settings out of classes or files, "" if a module assigns them.
        engines: the backends of databases that they name.
        default_engines: those of the default database, and what addresses of databases begin with, as far as they are written down.
        databases: the names of the databases, as far as they are written down.
        assigned: the names that they assign.
        texts: all texts in them.
        problem: why they cannot be read, "" if they can, or are not there.
    """

    found: bool
    reads_database_url: bool
    names: dict[str, str]
    made_by: str
    engines: list[str]
    default_engines: list[str]
    databases: list[str]
    assigned: frozenset[str]
    texts: frozenset[str]
    problem: str


def read(base: Path, module: str) -> Settings:
    """Read a settings module with all that it imports of the project.

    Args:
        base: the folder of manage.py.
        module: its name, "" if it is not known.
    """
    trees = _trees(base, module)
    nodes = [node for tree in trees for node in ast.walk(tree)]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    imported = {name.partition(".")[0] for node in nodes for name in _imported(node)}
    if "configurations" in imported:
        texts.update(name for node in nodes for name in _read_by_value(node))
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    assignments = [(target, getattr(node, "value", None)) for node in nodes for target in _targets(node)]
    return Settings(
        found=bool(trees),
        reads_database_url="DATABASE_URL" in texts or any(_is_default(call, imported) for call in calls),
        names={name: variable for name in sorted(texts) if (variable := _variable(name))},
        made_by=next((_MAKERS[name] for name in sorted(imported & _MAKERS.keys())), ""),
        engines=sorted(name for name in texts if _ENGINE.fullmatch(name)),
        default_engines=sorted({*_default_engines(nodes), *_schemes(texts)}),
        databases=[
            key.value
            for target, value in assignments
            if target == "DATABASES" and isinstance(value, ast.Dict)
            for key in value.keys
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        ],
        assigned=frozenset(target for target, _value in assignments),
        texts=frozenset(texts),
        problem=_problem(base, module),
    )


def _default_engines(nodes: list[ast.AST]) -> t.Iterator[str]:
    """The backends that are named in an entry ``default``: of ``DATABASES = {...}``, or ``DATABASES["default"] = ...``."""
    for node in nodes:
        entries: list[ast.AST] = []
        if isinstance(node, ast.Dict):
            entries = [
                value for key, value in zip(node.keys, node.values, strict=True) if _is_default_key(key)
            ]
        elif isinstance(node, ast.Assign):
            is_entry = any(
                isinstance(target, ast.Subscript) and _is_default_key(target.slice) for target in node.targets
            )
            entries = [node.value] if is_entry else []
        for entry in entries:
            for one in ast.walk(entry):
                if (
                    isinstance(one, ast.Constant)
                    and isinstance(one.value, str)
                    and _ENGINE.fullmatch(one.value)
                ):
                    yield one.value


def _is_default_key(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == "default"


def _schemes(texts: set[str]) -> t.Iterator[str]:
    return (f"{found['scheme']}://" for one in texts if (found := _ADDRESS.match(one)))


def file_of(base: Path, module: str) -> Path | None:
    """The file of a settings module, relative to the folder of manage.py; None if it is not the project's."""
    return next(iter(_files(base, module)), None) if module else None


def _problem(base: Path, module: str) -> str:
    """Why a settings module cannot be read, "" if it can, or is not there."""
    path = file_of(base, module)
    if path is None:
        return ""
    if problems := unreadable(base, [str(path)]):
        return problems[0]
    try:
        ast.parse(text(base / path))
    except SyntaxError as error:
        return f"{path} is not Python (line {error.lineno}: {error.msg})"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{path} is not Python ({error})"
    return ""


def _targets(node: ast.AST) -> t.Iterator[str]:
    """The plain names that a statement assigns."""
    if isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _variable(name: str) -> str:
    """What a deploy gives under another name than *name*, "" for what it does not give, or under that very name."""
    for pattern, variable in _CALLED:
        if re.fullmatch(pattern, name):
            return variable if name != variable else ""
    found = _DATABASE.fullmatch(name)
    return f"DATABASE_{found.lastgroup}" if found else ""


def _imported(node: ast.AST) -> t.Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


def _read_by_value(node: ast.AST) -> t.Iterator[str]:
    """What a setting reads that is a value of django-configurations: https://django-configurations.readthedocs.io/en/stable/values/."""
    for target in _targets(node):
        call = getattr(node, "value", None)
        if not isinstance(call, ast.Call):
            continue
        function = call.func
        kind = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if not kind.endswith("Value"):
            continue
        said = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
        address = {
            "DatabaseURLValue": "DATABASE_URL",
            "CacheURLValue": "CACHE_URL",
            "EmailURLValue": "EMAIL_URL",
        }.get(kind)
        prefix = said.get("environ_prefix", None if address else "DJANGO")
        name = said.get("environ_name") or address or target
        if said.get("environ") is not False:
            yield f"{prefix.rstrip('_')}_{name}" if isinstance(prefix, str) and prefix else str(name)


def _is_default(call: ast.Call, imported: set[str]) -> bool:
    """Whether a call reads ``DATABASE_URL`` because it names no other: ``env.db()``, ``dj_database_url.config()``."""
    function = call.func
    if not isinstance(function, ast.Attribute) or call.args:
        return False
    keywords = {keyword.arg for keyword in call.keywords}
    if function.attr in ("db", "db_url"):
        return "environ" in imported and "var" not in keywords
    named = isinstance(function.value, ast.Name) and function.value.id == "dj_database_url"
    return named and function.attr == "config" and "env" not in keywords


def _trees(base: Path, module: str) -> list[ast.Module]:
    """The modules of settings, each as its tree; what is no Python is left out."""
    waiting = _files(base, module) if module else []
    seen: dict[Path, ast.Module] = {}
    looked_at: set[Path] = set()
    while waiting and len(looked_at) < _MAX_MODULES:
        path = waiting.pop(0)
        if path in looked_at:
            continue
        looked_at.add(path)
        try:
            tree = ast.parse(text(base / path))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        seen[path] = tree
        for node in ast.walk(tree):
            waiting += _named(base, path, node)
    return list(seen.values())


def _named(base: Path, path: Path, node: ast.AST) -> list[Path]:
    """The files of the project that a statement of the file *path* imports, or includes by their names."""
    if isinstance(node, ast.Import):
        return [file for alias in node.names for file in _files(base, alias.name)]
    if isinstance(node, ast.ImportFrom):
        package = path.parts[: -node.level] if node.level else ()
        name = ".".join([*package, *([node.module] if node.module else [])])
        names = [name, *(f"{name}.{alias.name}" if name else alias.name for alias in node.names)]
        return [file for one in names for file in _files(base, one)]
    # As django-split-settings does: include("components/*.py").
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[\w./*-]+\.py", node.value)
    ):
        pattern = os.path.normpath(path.parent / node.value)
        if not pattern.startswith(("..", os.sep)):
            return [found.relative_to(base) for found in sorted(base.glob(pattern)) if not found.is_symlink()]
    return []


def _files(base: Path, module: str) -> list[Path]:
    """The file of a module, relative to the folder; none if it is not the project's."""
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return []
    relative = Path(*parts)
    return [
        one for one in (relative.with_suffix(".py"), relative / "__init__.py") if os.path.isfile(base / one)
    ][:1]
