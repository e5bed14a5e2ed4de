"""Writes the README's table of variables from the argument specification that checks them.

Usage: variables.py [--check]   (--check: only say whether the table is up to date)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
SPECIFICATION = ROOT / "collections/ansible_collections/org/djangogcp/roles/preflight/meta/argument_specs.yml"
_TABLE = re.compile(r"(<!-- variables: begin -->\n).*?(<!-- variables: end -->)", re.DOTALL)


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


def main(arguments: list[str]) -> int:
    """Writes or checks the table; returns the exit status."""
    old = README.read_text("utf-8")
    new = _TABLE.sub(lambda found: found[1] + table() + found[2], old)
    if "--check" in arguments:
        if new != old:
            print("README.md: the table of variables is out of date; run tools/variables.py", file=sys.stderr)
        return int(new != old)
    README.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
