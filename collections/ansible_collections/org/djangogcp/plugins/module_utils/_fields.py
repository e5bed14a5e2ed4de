# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Field tables: how an option of a module and a field of an API are the same thing. Pure, no network.

A table of `Field` rows leads from Google's JSON to the options' names and back (`_shapes`), says what "different" means
(`_differences`), and what may be asked (`_table_problems`).
"""

from __future__ import annotations

import dataclasses
import enum
import fnmatch
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._rules import LABELS, Rule


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

    def removes(self, value: t.Any) -> bool:
        """Whether a value asks that a dictionary is not there."""
        return value == {} and bool(self.fields) and not self.one_of

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


def camel_case(name: str) -> str:
    """``min_instance_count`` -> ``minInstanceCount``."""
    return re.sub(r"_([a-z0-9])", lambda match: match.group(1).upper(), name)


def rivals(asked: t.Mapping[str, t.Any], fields: tuple[Field, ...]) -> list[Field]:
    """The alternatives to what is asked, which have to go."""
    chosen = [field for field in fields if field.one_of and field.is_chosen(asked.get(field.name))]
    return [row for row in fields if row not in chosen and any(row.name in field.one_of for field in chosen)]
