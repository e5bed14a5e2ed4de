# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What is asked of a resource and not so. Pure functions.

Comparing happens in the Ansible shape, so that a diff reads like a task.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._fields import Change, Field, Kind, rivals
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json


@dataclasses.dataclass(frozen=True)
class Difference:
    """A field that is not as asked.

    Attributes:
        name: the option, with dots for nested ones.
        path: its path in Google's JSON.
        mask: the updateMask path that covers it.
        field: its row.
        before: the server's value in Ansible shape; None when there is none.
        after: the asked value.
    """

    name: str
    path: str
    mask: str
    field: Field
    before: t.Any
    after: t.Any


def differences(
    asked: t.Mapping[str, t.Any], actual: t.Mapping[str, t.Any], fields: t.Iterable[Field]
) -> list[Difference]:
    """What is asked and not so. Fields that are secret, or matter only when the resource is made, are not compared."""
    return _differences(asked, actual, fields, "", "", "")


def _differences(
    asked: t.Mapping[str, t.Any],
    actual: t.Mapping[str, t.Any],
    fields: t.Iterable[Field],
    name: str,
    path: str,
    mask: str,
) -> list[Difference]:
    found: list[Difference] = []
    fields = tuple(fields)
    others = rivals(asked, fields)
    for field in fields:
        wanted, have = asked.get(field.name), actual.get(field.name)
        field_name, field_path = f"{name}{field.name}", f"{path}{field.path}"
        field_mask = field.mask or mask
        if field in others:
            differs = have not in (None, "", [])
        elif (
            not field.is_option
            or not field.is_asked(wanted)
            or field.kind is Kind.SECRET
            or field.change is Change.CREATE_ONLY
        ):
            differs = False
        elif field.removes(wanted):
            differs = not _is_empty(have, field)
        elif field.fields and field.kind is Kind.VALUE and not field.replace and (have or not field.one_of):
            found += _differences(
                wanted or {}, have or {}, field.fields, f"{field_name}.", f"{field_path}.", field_mask
            )
            continue
        else:
            differs = not _equal(wanted, have, field)
        if differs:
            found.append(Difference(field_name, field_path, field_mask or field_path, field, have, wanted))
    return found


def _is_empty(have: t.Any, field: Field) -> bool:
    """Whether the server has nothing of a field but what Google Cloud fills in."""
    if field.fields and field.kind is Kind.VALUE:
        have = None if have is None else field.normalize(have)
        # An alternative is there even when nothing in it is.
        return have is None or (
            not field.one_of
            and all(_is_empty(have.get(row.name), row) for row in field.fields if row.is_option)
        )
    return _equal({} if field.kind is Kind.MAP else None, have, field)


def _equal(wanted: t.Any, have: t.Any, field: Field) -> bool:
    if field.suffices and None not in (have, wanted) and field.suffices(have, wanted):
        return True
    if field.keeps:
        have = {key: item for key, item in (have or {}).items() if key in wanted or not field.keeps_key(key)}
    # Of alternatives {} is a value like any other; [] asks for none.
    if field.one_of and field.fields and not field.is_list and have is None:
        return False
    if not field.fields or field.replace:
        return bool(canonical(wanted, field) == canonical(_as_asked(have, wanted, field), field))
    # A list of dictionaries, of which only what was asked is compared.
    wanted, have = list(wanted or []), list(have or [])
    if len(wanted) != len(have):
        return False
    if field.kind is Kind.SET and field.key:
        have = sorted(have, key=lambda item: str(item.get(field.key)))
        wanted = sorted(wanted, key=lambda item: str(item.get(field.key)))
    return not any(differences(one, other, field.fields) for one, other in zip(wanted, have, strict=True))


def _as_asked(have: t.Any, wanted: t.Any, field: Field) -> t.Any:
    """What the server has, with what is only written in another way as it is asked."""
    if field.same is not None and None not in (have, wanted):
        return wanted if field.same(wanted, have) else have
    if not field.fields or not have or not wanted:
        return have
    if field.kind is Kind.VALUE:
        return {row.name: _as_asked(have.get(row.name), wanted.get(row.name), row) for row in field.fields}
    whole_items = dataclasses.replace(field, kind=Kind.VALUE)
    return [
        _as_asked(item, _asked_item(item, position, wanted, field), whole_items)
        for position, item in enumerate(have)
    ]


def _asked_item(item: Json, position: int, wanted: list[Json], field: Field) -> Json:
    """The asked item of a list of dictionaries that the server's item stands for, {} for one that is not asked."""
    if not field.key:
        return wanted[position] if position < len(wanted) else {}
    return next((one for one in wanted if one.get(field.key) == item.get(field.key)), {})


def canonical(value: t.Any, field: Field) -> t.Any:
    """A value in the one form that equal values share. Google's JSON leaves out 0, "", false, [] and {}, unless the
    API documents another default.

    Args:
        value: the Ansible shape.
        field: its row.
    """
    if value is None or (value == [] and field.default is not None):
        value = field.default
    if value is None:
        return None
    if field.fields:
        items = value if isinstance(value, list) else [value]
        result: t.Any = [
            {
                row.name: part
                for row in field.fields
                if (part := canonical(item.get(row.name), row)) is not None
            }
            for item in items
        ]
        if field.kind is Kind.VALUE:
            return result[0] or None
    elif isinstance(value, list):
        result = [field.normalize(item) for item in value]
    else:
        result = field.normalize(value)
    if field.kind is Kind.SET:
        result = sorted(result, key=lambda item: json.dumps(item, sort_keys=True))
    if field.kind is Kind.MAP:
        result = {key: item if isinstance(item, dict) else str(item) for key, item in result.items()}
    return result if result or field.zero_counts or field.default is not None else None
