# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Lists and dictionaries that come as text: a survey of AWX, and ``-e name=value``, know nothing else."""

from __future__ import annotations

import typing as t

import yaml


def from_survey(value: t.Any, empty: t.Any) -> t.Any:
    """A list or a dictionary that is written as text.

    Args:
        value: what the variable holds.
        empty: what an empty text is, which an answer that was left out is sent as. Its type is the one that is expected.

    Returns:
        What the text says in YAML if it is of that type. Anything else is left as it is, for who refuses it.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return empty
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return found if isinstance(found, type(empty)) else value


def survey_answers(
    values: t.Mapping[str, t.Any], options: t.Mapping[str, t.Mapping[str, t.Any]]
) -> dict[str, t.Any]:
    """Variables of which those are read that are lists or dictionaries by an argument specification.

    An entry of a dictionary that is null is not set: so a host takes back what its group sets.
    """
    empty: dict[str, t.Any] = {"list": [], "dict": {}}
    kinds = {name: str(option.get("type")) for name, option in options.items()}
    found = {
        name: from_survey(value, empty[kind]) if (kind := kinds.get(name, "")) in empty else value
        for name, value in values.items()
    }
    return {
        name: {key: item for key, item in value.items() if item is not None}
        if kinds.get(name) == "dict" and isinstance(value, t.Mapping)
        else value
        for name, value in found.items()
    }
