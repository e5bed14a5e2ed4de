# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Which migrations of a project's own are newer than those that its database has, as far as their files tell. Nothing of them is run.

What really happens is read in the job that migrates, on the database as it is (roles/app/files/migrate.py).
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import typing as t
from pathlib import Path

from ansible_collections.org.djangogcp.plugins.plugin_utils._inventory import python_files
from ansible_collections.org.djangogcp.plugins.plugin_utils._text import text

#: Operations of Django's that drop, rename, write anew or tighten what is there, or may do so.
_DESTRUCTIVE = {
    "AlterField",
    "AlterModelTable",
    "AlterUniqueTogether",
    "AddConstraint",
    "DeleteModel",
    "RemoveField",
    "RenameField",
    "RenameModel",
}
#: Code that only running tells.
_UNKNOWN = {"RunPython", "RunSQL", "SeparateDatabaseAndState"}


@dataclasses.dataclass(frozen=True)
class Migration:
    """A migration, by its file.

    Attributes:
        app: the label of its app.
        name: its name in that app.
        dependencies: those of the same app that come before it.
        replaces: those of the same app that it stands for (squashed).
        operations: the classes of its operations, in their order, each once.
    """

    app: str
    name: str
    dependencies: frozenset[str]
    replaces: frozenset[str]
    operations: tuple[str, ...]


def migrations(folder: Path) -> list[Migration]:
    """All migrations below a folder, of packages that are installed none."""
    paths = [
        path
        for path in python_files(folder)
        if path.parent.name == "migrations" and path.name != "__init__.py"
    ]
    labels = {path.parent: _label(path.parent.parent) for path in paths}
    return [migration for path in paths for migration in _migration(labels[path.parent], path)]


def newer(
    found: t.Iterable[Migration], heads: t.Mapping[str, str], applied: t.Collection[str] = ()
) -> list[Migration]:
    """Those that a database does not have.

    Args:
        found: those of the source.
        heads: the newest one that the database has, by app.
        applied: those that it has as ``app.name``, as far as it is known. Of an app whose newest one is not among the files (it was made by other
            source) only these tell, and none is new where there are none.
    """
    new = []
    for app, group in itertools.groupby(
        sorted(found, key=lambda one: (one.app, one.name)), key=lambda one: one.app
    ):
        by_name = {one.name: one for one in group}
        head = heads.get(app)
        if head is None:
            new += [one for one in by_name.values() if not one.replaces & by_name.keys()]
            continue
        had = _with_ancestors(head, by_name) if head in by_name else set()
        had |= {name.removeprefix(f"{app}.") for name in applied if name.startswith(f"{app}.")}
        if had:
            new += [
                one
                for name, one in by_name.items()
                if name not in had and not (one.replaces and one.replaces <= had)
            ]
    return new


def _with_ancestors(head: str, by_name: t.Mapping[str, Migration]) -> set[str]:
    found: set[str] = set()
    waiting = [head]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name in by_name:
                waiting += by_name[name].dependencies | by_name[name].replaces
    return found


def told(migration: Migration) -> str:
    """A migration in words."""
    hurts = [name for name in migration.operations if name in _DESTRUCTIVE]
    runs = [name for name in migration.operations if name in _UNKNOWN]
    said = []
    if hurts:
        said.append(f"may be destructive: {', '.join(hurts)}")
    if runs:
        said.append(f"unknown: {', '.join(runs)}")
    if not said:
        said.append("additive")
    return f"{migration.app}.{migration.name} ({'; '.join(said)})"


def _migration(app: str, path: Path) -> t.Iterator[Migration]:
    try:
        module = ast.parse(text(path))
    except (SyntaxError, ValueError):
        return
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name == "Migration":
            values = {
                target.id: statement.value
                for statement in node.body
                if isinstance(statement, ast.Assign)
                for target in statement.targets
                if isinstance(target, ast.Name)
            }
            yield Migration(
                app,
                path.stem,
                frozenset(_of_app(app, values.get("dependencies"))),
                frozenset(_of_app(app, values.get("replaces"))),
                tuple(dict.fromkeys(_operations(values.get("operations")))),
            )


def _of_app(app: str, node: ast.expr | None) -> t.Iterator[str]:
    for element in getattr(node, "elts", []):
        parts = [part.value for part in getattr(element, "elts", []) if isinstance(part, ast.Constant)]
        if len(parts) == 2 and parts[0] == app:
            yield str(parts[1])


def _operations(node: ast.expr | None) -> t.Iterator[str]:
    for element in getattr(node, "elts", []):
        called = element.func if isinstance(element, ast.Call) else element
        yield called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "an operation")


def _label(folder: Path) -> str:
    """The label of an app: what its configuration says, or the name of its folder."""
    try:
        module = ast.parse(text(folder / "apps.py"))
    except (SyntaxError, ValueError):
        return folder.name
    labels = [
        statement.value.value
        for node in module.body
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Constant)
        and any(isinstance(target, ast.Name) and target.id == "label" for target in statement.targets)
    ]
    return str(labels[0]) if len(labels) == 1 else folder.name
