# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The two shapes of a resource, and the way from one to the other. Pure functions.

The *wire* shape is Google's JSON, the *Ansible* shape has the options' names. The rows of a table (`_fields`) lead from one to the other.
"""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._fields import PLAIN, Change, Field, Kind, rivals

Json = dict[str, t.Any]


MASKED = "********"


def asked_of(params: t.Mapping[str, t.Any], fields: t.Iterable[Field]) -> Json:
    """What the options of a module ask of a resource: those that are rows of its table and are set."""
    return {
        field.name: params[field.name]
        for field in fields
        if field.is_option and params.get(field.name) is not None
    }


def decode(resource: t.Mapping[str, t.Any], fields: t.Iterable[Field]) -> Json:
    """A resource in Ansible shape: every row of the table but secrets, with None, [] or {} for what is not there."""
    return {
        field.name: _decode_field(get_path(resource, field.path), field)
        for field in fields
        if field.kind is not Kind.SECRET
    }


def lay_over(current: t.Mapping[str, t.Any], asked: t.Mapping[str, t.Any], fields: t.Iterable[Field]) -> Json:
    """A resource in wire shape with what is asked laid over it. What is not asked stays as it is.

    Args:
        current: the wire shape of the resource; {} for one that is to be made.
        asked: the Ansible shape; None means not asked, {} of a dictionary with rows that it is to be removed.
        fields: the table.
    """
    fields = tuple(fields)
    result = copy.deepcopy(dict(current))
    for field in fields:
        value = asked.get(field.name)
        if field.change is Change.ONE_TIME or (field.is_option and field.removes(value)):
            remove_path(result, field.path)
        elif field.is_option and field.is_asked(value):
            set_path(result, field.path, _encode_field(value, get_path(current, field.path), field))
    for rival in rivals(asked, fields):
        remove_path(result, rival.path)
    return result


def chosen(asked: t.Mapping[str, t.Any], names: t.Iterable[str]) -> Json:
    """The part of what is asked that some options are, dotted for nested ones."""
    result: Json = {}
    for name in names:
        value = get_path(dict(asked), name)
        if value is not None:
            set_path(result, name, value)
    return result


def beside(asked: t.Mapping[str, t.Any], actual: t.Mapping[str, t.Any], fields: t.Iterable[Field]) -> Json:
    """What is asked, with what is there beside it kept: keys of maps, named items of lists.

    For a resource that somebody else made: a map or a list is otherwise exactly what is asked.

    Args:
        asked: the Ansible shape.
        actual: the Ansible shape of what is there.
        fields: the table.
    """
    rows = {field.name: field for field in fields}
    return {
        name: _beside(value, actual.get(name), rows[name]) for name, value in asked.items() if name in rows
    }


def _beside(wanted: t.Any, have: t.Any, field: Field) -> t.Any:
    if field.kind is Kind.MAP and wanted is not None:
        return {**(have or {}), **wanted}
    if not wanted or not have or not field.fields:
        return wanted
    if field.kind is Kind.VALUE:
        return wanted if field.replace else beside(wanted, have, field.fields)
    if field.key:
        names = {item.get(field.key) for item in wanted}
        kept = [filled(item) for item in have if item.get(field.key) not in names]
        return [*wanted, *kept]
    if field.replace:
        return wanted
    return [
        *(beside(one, other, field.fields) for one, other in zip(wanted, have, strict=False)),
        *wanted[len(have) :],
    ]


def filled(shape: t.Any) -> t.Any:
    """An Ansible shape without what is not there."""
    if isinstance(shape, dict):
        return {name: filled(value) for name, value in shape.items() if value not in (None, [], {})}
    return [filled(item) for item in shape] if isinstance(shape, list) else shape


def asked_only(shape: t.Mapping[str, t.Any], asked: t.Mapping[str, t.Any], fields: t.Iterable[Field]) -> Json:
    """The part of a resource in Ansible shape that was asked for, with secrets masked: one side of a diff."""
    fields = tuple(fields)
    others = rivals(asked, fields)
    result: Json = {}
    for field in fields:
        wanted = asked.get(field.name)
        value = shape.get(field.name)
        if not field.is_option or not (field.is_asked(wanted) or (field in others and value)):
            continue
        if field.kind is Kind.SECRET:
            result[field.name] = MASKED
        elif (
            wanted
            and field.fields
            and isinstance(wanted, dict)
            and isinstance(value, dict)
            and not field.replace
        ):
            result[field.name] = asked_only(value, wanted, field.fields)
        else:
            result[field.name] = _without_secrets(value, field)
    return result


def get_path(value: t.Any, path: str) -> t.Any:
    """The value at a dotted path, None when there is none."""
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def set_path(target: Json, path: str, value: t.Any) -> None:
    """Set the value at a dotted path, making dictionaries on the way."""
    *parents, last = path.split(".")
    for part in parents:
        if not isinstance(target.get(part), dict):
            target[part] = {}
        target = target[part]
    target[last] = value


def remove_path(target: Json, path: str) -> None:
    """Remove what is at a dotted path, if anything is."""
    *parents, last = path.split(".")
    holder = get_path(target, ".".join(parents)) if parents else target
    if isinstance(holder, dict):
        holder.pop(last, None)


def _decode_field(raw: t.Any, field: Field) -> t.Any:
    if raw is None and field.codec is PLAIN and field.is_list:
        return []
    if raw is None and field.codec is PLAIN and field.kind is Kind.MAP:
        return {}
    if raw is None:
        return field.default
    if not field.fields:
        return field.codec.decode(raw)
    if field.kind is Kind.VALUE:
        return decode(raw, field.fields)
    return [decode(item, field.fields) for item in raw]


def _encode_field(value: t.Any, current: t.Any, field: Field) -> t.Any:
    if field.suffices and current is not None and field.suffices(field.codec.decode(current), value):
        return current
    if not field.fields:
        if field.keeps:
            value = {**{key: one for key, one in (current or {}).items() if field.keeps_key(key)}, **value}
        return field.codec.encode(value)
    if field.kind is Kind.VALUE:
        return lay_over({} if field.replace else current or {}, value, field.fields)
    return [
        lay_over(
            {} if field.replace else _counterpart(item, position, current or [], field), item, field.fields
        )
        for position, item in enumerate(value)
    ]


def _counterpart(item: Json, position: int, current: list[Json], field: Field) -> Json:
    """The server's item that an asked item of a list of dictionaries stands for, {} for a new one."""
    if not field.key:
        return current[position] if position < len(current) else {}
    return next(
        (one for one in current if decode(one, field.fields).get(field.key) == item.get(field.key)), {}
    )


def _without_secrets(value: t.Any, field: Field) -> t.Any:
    if isinstance(value, dict) and field.fields:
        return {
            row.name: MASKED if row.kind is Kind.SECRET else _without_secrets(value[row.name], row)
            for row in field.fields
            if value.get(row.name) not in (None, [], {})
        }
    if isinstance(value, list):
        return [_without_secrets(item, field) for item in value]
    return value
