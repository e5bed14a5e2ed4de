# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Field tables: how an option of a module and a field of an API are the same thing. Pure functions, no network.

Two shapes of a resource meet here: the *wire* shape is Google's JSON, the *Ansible* shape has the options' names. A table
of `Field` rows leads from one to the other; comparing happens in the Ansible shape, so that a diff reads like a task.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import fnmatch
import json
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._rules import LABELS, Rule, problem, unknown

Json = dict[str, t.Any]

MASKED = "********"


class Kind(enum.Enum):
    """How values of a field are compared and shown."""

    VALUE = "value"
    """A scalar, or a dictionary whose `Field.fields` are compared one by one."""
    LIST = "list"
    """A list whose order means something."""
    SET = "set"
    """A list whose order means nothing."""
    MAP = "map"
    """Free keys, such as labels: equal only when all keys and values are."""
    SECRET = "secret"  # noqa: S105
    """Never read, never compared, never shown."""


class Change(enum.Enum):
    """What may happen to a field of a resource that exists."""

    MUTABLE = "mutable"
    IMMUTABLE = "immutable"
    """A difference is an error."""
    CREATE_ONLY = "create_only"
    """Sent when the resource is made, and never looked at again."""
    OUTPUT = "output"
    """Told by Google Cloud; not an option."""
    ONE_TIME = "one_time"
    """Held for the change that it came with; not an option, and not sent back with another change."""


class Codec(t.NamedTuple):
    """How one value is written in Google's JSON, and back."""

    encode: t.Callable[[t.Any], t.Any]
    decode: t.Callable[[t.Any], t.Any]


def _unchanged(value: t.Any) -> t.Any:
    return value


def whole(value: t.Any) -> t.Any:
    """A number that may be written as text. What is no number stays as it is: telling of a resource never fails for one field."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return value


PLAIN = Codec(_unchanged, _unchanged)
# int64 is a string in Google's JSON, which has only doubles.
INT64 = Codec(str, whole)
# A reference of which only the last segment is told.
SHORT_NAME = Codec(_unchanged, lambda value: value.rsplit("/", 1)[-1])
# ansible-core 2.18 makes strings of numbers that a template computes.
NUMBER = Codec(int, whole)
#: Labels that Google's own products add to resources, beside those that a person has set. Source:
#: https://github.com/firebase/firebase-tools (src/gcp/runv2.ts), "goog-managed-by" on a service of Cloud Run.
GOOGLE_LABELS = ("goog-*",)


@dataclasses.dataclass(frozen=True)
class Field:
    """One row of a table.

    Attributes:
        name: the option's name.
        description: what the documentation says of the option, in one paragraph or several.
        type: Ansible's type of the value, or of each item of a list. Not for rows with `fields` and of free keys, which are dictionaries.
        choices: the values that there are, when these are few.
        required: whether a dictionary that has this row must have the option.
        option_default: what is asked when the option is left out; None asks for nothing.
        wire: the path in Google's JSON, with dots; by default the name in camelCase.
        kind: how it is compared and shown.
        change: what may happen to it later.
        fields: the rows of a dictionary, or of each item of a list of dictionaries.
        codec: how a value is written in JSON. Not for rows with `fields`.
        normalize: makes values comparable, item by item for lists (case, short and long forms of a reference).
        default: what the API means when its answer leaves the field out, or fills in when it was asked for nothing.
        zero_counts: whether 0, "" and false mean something else than no value at all.
        key: for lists of dictionaries: the option that tells which item is which; without it the position does.
        replace: the dictionary, or each item of the list, is exactly what is asked: what the server has beside it is a
            difference and is dropped. Without it only what was asked is compared, and the rest is kept.
        one_of: the rows of its dictionary that exclude one another, this one among them. Asking for one removes the others. Of
            these, {} is a value like any other ("an empty_dir without a limit").
        keeps: keys of a MAP that Google Cloud, or this collection, adds to those that were asked, as patterns with ``*``: when they are
            not asked, they are no difference and stay.
        same: whether what is asked (first) and what the server has (second) are one value, written in two ways.
        suffices: whether what the server has (first) does for what is asked (second), for values that only grow.
        mask: the updateMask path to send when the API takes only a coarser one than `wire`.
        rule: what Google accepts as the value; of each item for a list.
    """

    name: str
    description: str | tuple[str, ...] = ""
    type: str = "str"
    choices: tuple[str, ...] = ()
    required: bool = False
    option_default: t.Any = None
    wire: str = ""
    kind: Kind = Kind.VALUE
    change: Change = Change.MUTABLE
    fields: tuple[Field, ...] = ()
    codec: Codec = PLAIN
    normalize: t.Callable[[t.Any], t.Any] = _unchanged
    default: t.Any = None
    zero_counts: bool = False
    key: str = ""
    replace: bool = False
    one_of: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    same: t.Callable[[t.Any, t.Any], bool] | None = None
    suffices: t.Callable[[t.Any, t.Any], bool] | None = None
    mask: str = ""
    rule: Rule | None = None

    @property
    def path(self) -> str:
        """The path in Google's JSON."""
        return self.wire or camel_case(self.name)

    @property
    def is_list(self) -> bool:
        """Whether its value is a list."""
        return self.kind in (Kind.LIST, Kind.SET)

    @property
    def is_option(self) -> bool:
        """Whether a user can ask for it."""
        return self.change not in (Change.OUTPUT, Change.ONE_TIME)

    def is_asked(self, value: t.Any) -> bool:
        """Whether a value asks for something.

        None does not, and neither does a dictionary of nothing but None, which Ansible makes of suboptions that were left out. What
        is empty does: it removes.
        """
        if value and self.fields and isinstance(value, dict):
            return any(row.is_asked(value.get(row.name)) for row in self.fields)
        return value is not None

    def is_chosen(self, value: t.Any) -> bool:
        """Whether a value asks for this alternative of several."""
        return self.is_asked(value) and (
            bool(self.fields and isinstance(value, dict)) or value not in ("", [])
        )

    def keeps_key(self, key: str) -> bool:
        """Whether a key of a MAP stays though it is not asked."""
        return any(fnmatch.fnmatchcase(key, pattern) for pattern in self.keeps)


def number(name: str, description: str = "", **attributes: t.Any) -> Field:
    """The row of a number: as text it is the same number, and it is sent as one."""
    return Field(name, description, **{"type": "int", "codec": NUMBER, "normalize": whole, **attributes})


def reference(name: str, description: str = "", **attributes: t.Any) -> Field:
    """The row of the name of another resource: its last segment, or its full name."""
    return Field(name, description, same=is_same_resource, **attributes)


def labels(name: str = "labels", **attributes: t.Any) -> Field:
    """The row of a resource's labels."""
    return Field(
        name,
        "The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products, C(goog-*).",
        kind=Kind.MAP,
        keeps=GOOGLE_LABELS,
        rule=LABELS,
        **attributes,
    )


def is_same_resource(asked: t.Any, told: t.Any) -> bool:
    """Whether two names are of one resource.

    A name alone is that of whatever has it. Full names are compared from ``projects/`` on, and a project's number may be that of its id;
    a full name is never that of a name alone, which may be that of another project's resource.

    Source: Google's provider for Terraform, which meets the same (tpgresource, CompareSelfLinkOrResourceName).
    """
    have, want = (str(one).rpartition("projects/")[-1].split("/") for one in (told, asked))
    if "/" not in str(asked):
        return have[-1] == want[-1]
    return have[1:] == want[1:] and (have[0] == want[0] or have[0].isdigit() != want[0].isdigit())


def switch(name: str, description: str = "", **attributes: t.Any) -> Field:
    """The row of what is on or off."""
    return Field(name, description, type="bool", **attributes)


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


def camel_case(name: str) -> str:
    """``min_instance_count`` -> ``minInstanceCount``."""
    return re.sub(r"_([a-z0-9])", lambda match: match.group(1).upper(), name)


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
        if field.change is Change.ONE_TIME or (field.is_option and _removes(value, field)):
            remove_path(result, field.path)
        elif field.is_option and field.is_asked(value):
            set_path(result, field.path, _encode_field(value, get_path(current, field.path), field))
    for rival in _rivals(asked, fields):
        remove_path(result, rival.path)
    return result


def differences(
    asked: t.Mapping[str, t.Any], actual: t.Mapping[str, t.Any], fields: t.Iterable[Field]
) -> list[Difference]:
    """What is asked and not so. Fields that are secret, or matter only when the resource is made, are not compared."""
    return _differences(asked, actual, fields, "", "", "")


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
    rivals = _rivals(asked, fields)
    result: Json = {}
    for field in fields:
        wanted = asked.get(field.name)
        value = shape.get(field.name)
        if not field.is_option or not (field.is_asked(wanted) or (field in rivals and value)):
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


def _removes(value: t.Any, field: Field) -> bool:
    """Whether a value asks that a dictionary is not there."""
    return value == {} and bool(field.fields) and not field.one_of


def _rivals(asked: t.Mapping[str, t.Any], fields: tuple[Field, ...]) -> list[Field]:
    """The alternatives to what is asked, which have to go."""
    chosen = [field for field in fields if field.one_of and field.is_chosen(asked.get(field.name))]
    return [row for row in fields if row not in chosen and any(row.name in field.one_of for field in chosen)]


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
    rivals = _rivals(asked, fields)
    for field in fields:
        wanted, have = asked.get(field.name), actual.get(field.name)
        field_name, field_path = f"{name}{field.name}", f"{path}{field.path}"
        field_mask = field.mask or mask
        if field in rivals:
            differs = have not in (None, "", [])
        elif (
            not field.is_option
            or not field.is_asked(wanted)
            or field.kind is Kind.SECRET
            or field.change is Change.CREATE_ONLY
        ):
            differs = False
        elif _removes(wanted, field):
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
