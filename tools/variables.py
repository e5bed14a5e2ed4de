"""Writes the lists of the READMEs, the project's and the collection's: variables, playbooks, roles and modules, from what they are of.

Usage: variables.py [--check]   (--check: only say whether the lists are up to date)
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
COLLECTION = ROOT / "collections/ansible_collections/org/djangogcp"
READMES = (ROOT / "README.md", COLLECTION / "README.md")
SPECIFICATION = COLLECTION / "roles/preflight/meta/argument_specs.yml"
_LIST = re.compile(r"(<!-- (\w+): begin -->\n).*?(<!-- \2: end -->)", re.DOTALL)


def filled_in(text: str) -> str:
    """A README with its lists as they have to be."""
    return _LIST.sub(
        lambda found: found[1] + LISTS[found[2]]() + found[3] if found[2] in LISTS else found[0], text
    )


def playbooks() -> str:
    """The playbooks with what their first comment says."""
    rows = []
    for path in sorted((COLLECTION / "playbooks").glob("*.yml")):
        comment = re.search(r"^# (.*)$", path.read_text("utf-8"), re.MULTILINE)
        assert comment is not None, path
        rows.append((f"`org.djangogcp.{path.stem}`", comment[1]))
    return _rows("playbook", rows)


def roles() -> str:
    """The roles with their descriptions."""
    rows = []
    for path in sorted((COLLECTION / "roles").glob("*/meta/main.yml")):
        name = path.parents[1].name
        description = yaml.safe_load(path.read_text("utf-8"))["galaxy_info"]["description"]
        rows.append((f"[`{name}`](roles/{name}/README.md)", f"{description}."))
    return _rows("role", rows)


def modules() -> str:
    """The modules with their short descriptions."""
    rows = []
    for path in sorted((COLLECTION / "plugins/modules").glob("*.py")):
        documentation = next(
            ast.literal_eval(node.value)
            for node in ast.parse(path.read_text("utf-8")).body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION"
        )
        rows.append((f"`{path.stem}`", f"{yaml.safe_load(documentation)['short_description']}."))
    return _rows("module", rows)


def _rows(kind: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {kind} | what it does |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows)]
    return "\n".join(lines) + "\n"


def table() -> str:
    """The table in Markdown: required variables first, then in the specification's order."""
    specification = yaml.safe_load(SPECIFICATION.read_text("utf-8"))["argument_specs"]["site"]["options"]
    rows = sorted(specification.items(), key=lambda item: not item[1].get("required"))
    lines = ["| variable | default | what it is |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {_default(option)} | {_text(option)} |" for name, option in rows]
    return "\n".join(lines) + "\n"


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "**required**"
    value = option.get("default")
    if value is None:
        return "from other names"
    if value in ("", [], {}):
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _text(option: dict[str, Any]) -> str:
    description = option["description"]
    text = " ".join(description) if isinstance(description, list) else str(description)
    return re.sub(r"[A-Z]\(([^)]*)\)", r"`\1`", text).replace("|", "\\|")


#: By the name in the comments around it.
LISTS: dict[str, Callable[[], str]] = {
    "variables": table,
    "playbooks": playbooks,
    "roles": roles,
    "modules": modules,
}


def main(arguments: list[str]) -> int:
    """Writes or checks the lists; returns the exit status."""
    status = 0
    for readme in READMES:
        old = readme.read_text("utf-8")
        new = filled_in(old)
        if "--check" not in arguments:
            readme.write_text(new, "utf-8")
        elif new != old:
            name = readme.relative_to(ROOT)
            print(f"{name}: a list is out of date; run tools/variables.py", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
