# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What is wrong with options that a table describes. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._fields import Field, Kind
from ansible_collections.org.djangogcp.plugins.module_utils._rules import problem, unknown


def table_problems(value: t.Any, fields: t.Iterable[Field], name: str) -> list[str]:
    """What is wrong with a dictionary of options, by its table, one message each.

    Args:
        value: the Ansible shape.
        fields: the table.
        name: how messages name the dictionary, "" for the options of a module.
    """
    rows = {field.name: field for field in fields if field.is_option}
    expected = f"one of {', '.join(sorted(rows))}"
    if not isinstance(value, dict):
        return [problem(name, value, f"a dictionary with {expected}")]
    prefix = f"{name}." if name else ""
    found = [unknown(str(key), expected, rows, prefix) for key in value if key not in rows]
    for key, part in value.items():
        if key in rows:
            found += value_problems(rows[key], part, f"{prefix}{key}")
    for alternatives in dict.fromkeys(row.one_of for row in rows.values() if row.one_of):
        chosen = [f"{prefix}{one}" for one in alternatives if rows[one].is_chosen(value.get(one))]
        if len(chosen) > 1:
            found.append(f"{' and '.join(chosen)} exclude one another: expected one of them.")
    return found


def value_problems(field: Field, value: t.Any, name: str) -> list[str]:
    """What is wrong with the value of a row, one message each."""
    if value is None:
        return []
    if field.is_list:
        if not isinstance(value, list):
            return [problem(name, value, "a list")]
        return [
            found
            for number, item in enumerate(value)
            for found in _item_problems(field, item, f"{name}[{number}]")
        ] + _repeated_keys(field, value, name)
    if field.kind is Kind.MAP and not isinstance(value, dict):
        return [problem(name, value, "a dictionary")]
    return _item_problems(field, value, name)


def _repeated_keys(field: Field, items: list[t.Any], name: str) -> list[str]:
    keys = [item.get(field.key) if isinstance(item, dict) else None for item in items] if field.key else []
    return [
        problem(f"{name}[{number}].{field.key}", key, "a name that no other item of the list has")
        for number, key in enumerate(keys)
        if key is not None and key in keys[:number]
    ]


def _item_problems(field: Field, value: t.Any, name: str) -> list[str]:
    if field.fields:
        return table_problems(value, field.fields, name)
    is_secret = field.kind is Kind.SECRET or (field.rule is not None and field.rule.is_secret)
    if field.kind is not Kind.MAP and isinstance(value, dict | list):
        return [problem(name, value, "a single value", is_secret=is_secret)]
    if field.rule and not field.rule.test(value):
        return [problem(name, value, field.rule.expected, is_secret=is_secret)]
    return []
