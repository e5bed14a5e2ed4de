# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the options that come from the tables into the DOCUMENTATION of the modules, which Ansible reads as a literal.

A module says where they belong by two comments of YAML, between which nothing is written by hand:

    # From the table BUCKET of _services/storage.py: written by tests/module_docs.py.
    # End of the table.

Usage: module_docs.py
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

COLLECTION = Path(__file__).resolve().parents[1]
MODULES = COLLECTION / "plugins/modules"
_UTILS = "ansible_collections.org.djangogcp.plugins.module_utils"
_TABLE = re.compile(
    r"^(?P<indent> *)# From the table (?P<table>\w+) of _services/(?P<service>\w+)\.py: written by tests/module_docs\.py\.\n"
    r".*?^(?P=indent)# End of the table\.\n",
    re.DOTALL | re.MULTILINE,
)
#: After how many characters of a line, from the margin on, the next word begins another one.
_WIDTH = 120


class _Dumper(yaml.SafeDumper):
    """Indents lists, as the documentation of Ansible's modules does."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


class Writer:
    """Writes the tables of one module. What a module needs twice, it has once: YAML refers to it.

    Args:
        source: the module.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._tables = [(found["service"], found["table"]) for found in _TABLE.finditer(source)]
        self._written: set[str] = set()

    def written(self) -> str:
        """The source with its tables as they are now."""
        return _TABLE.sub(self._table, self._source)

    def _table(self, found: re.Match[str]) -> str:
        spec = getattr(importlib.import_module(f"{_UTILS}._services.{found['service']}"), found["table"])
        begin, end = found[0].splitlines()[0], found[0].splitlines()[-1]
        is_repeated = self._tables.count((found["service"], found["table"])) > 1
        lines = self._options(spec.fields, found["indent"], found["table"].lower() if is_repeated else "")
        return "\n".join([begin, *lines, end]) + "\n"

    def _options(self, fields: Iterable[Any], indent: str, anchor: str = "") -> list[str]:
        fields = tuple(fields)
        specification = importlib.import_module(f"{_UTILS}._argspec").table_options(fields)
        lines = []
        for field in fields:
            if field.name not in specification:
                continue
            name = f"{anchor}_{field.name}"
            if name in self._written:
                lines.append(f"{indent}{field.name}: *{name}")
                continue
            is_named = bool(anchor and field.fields)
            lines.append(f"{indent}{field.name}:{f' &{name}' if is_named else ''}")
            lines += self._option(field, specification[field.name], f"{indent}  ")
            if is_named:
                self._written.add(name)
        return lines

    def _option(self, field: Any, option: dict[str, Any], indent: str) -> list[str]:
        given = paragraphs(field)
        description = {"description": given if len(given) > 1 else given[0]}
        text = yaml.dump(description, Dumper=_Dumper, width=_WIDTH - len(indent))
        lines = [f"{indent}{line}" for line in text.splitlines()]
        for key in ("type", "elements", "choices", "required", "default"):
            if key in option:
                value = yaml.safe_dump(option[key], default_flow_style=True, width=1000)
                lines.append(f"{indent}{key}: {value.removesuffix('...' + chr(10)).strip()}")
        if field.fields:
            lines += [f"{indent}suboptions:", *self._options(field.fields, f"{indent}  ")]
        return lines


def paragraphs(field: Any) -> list[str]:
    """What the documentation says of an option.

    Raises:
        ValueError: the row has no description.
    """
    if not field.description:
        raise ValueError(f"the row {field.name} has no description")
    given = [field.description] if isinstance(field.description, str) else list(field.description)
    others = [f"C({name})" for name in field.one_of if name != field.name]
    return [*given, f"Excludes {_listed(others)}."] if others else given


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def main() -> None:
    sys.path.insert(0, str(COLLECTION.parents[2]))
    for path in sorted(MODULES.glob("*.py")):
        path.write_text(Writer(path.read_text("utf-8")).written(), "utf-8")


if __name__ == "__main__":
    main()
