"""Field masks: ``updateMask`` on PATCH and ``fields`` (partial responses).

Sources: https://google.aip.dev/161 and https://cloud.google.com/storage/docs/json_api#partial-response.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.engine.validate import camel

#: More slashes and brackets than any resource has levels.
_MAX_FIELDS_DEPTH = 100


def parse_mask(text: str | None, *, body: Json, mutable: frozenset[str] | None = None) -> list[str]:
    """The paths of an updateMask in camelCase; without a mask every field that ``body`` holds.

    ``mutable`` limits the top-level names; anything else is INVALID_ARGUMENT.
    """
    if text is None or text == "":
        paths = list(body)
    elif text == "*":
        paths = sorted(mutable) if mutable is not None else list(body)
    else:
        paths = [".".join(camel(part) for part in path.strip().split(".")) for path in text.split(",")]
    for path in paths:
        if not path or (mutable is not None and path.split(".")[0] not in mutable):
            raise invalid_argument(
                f"Invalid field mask: the field '{path}' is not found or cannot be updated.",
                field="updateMask",
            )
    return paths


def apply_mask(current: Json, changes: Json, paths: list[str]) -> Json:
    """A copy of ``current`` with each path taken from ``changes``; a path absent there is removed (cleared)."""
    result = copy.deepcopy(current)
    for path in paths:
        *parents, leaf = path.split(".")
        target, source = result, changes
        for part in parents:
            child = target.get(part)
            if not isinstance(child, dict):
                child = target[part] = {}
            target = child
            following = source.get(part)
            source = following if isinstance(following, dict) else {}
        if leaf in source:
            target[leaf] = copy.deepcopy(source[leaf])
        else:
            target.pop(leaf, None)
    return result


def select_fields(value: Any, expression: str) -> Any:
    """The part of ``value`` that a ``fields`` expression names, e.g. ``items(name,size),nextPageToken``."""
    if len(re.findall(r"[(/]", expression)) > _MAX_FIELDS_DEPTH:
        raise invalid_argument("The field selection is nested too deep.", reason="invalidParameter")
    tree, rest = _parse_fields(expression)
    if rest:
        raise invalid_argument(f"Invalid field selection {expression}", reason="invalidParameter")
    return _select(value, tree)


def _parse_fields(text: str) -> tuple[Json, str]:
    tree: Json = {}
    while text and text[0] != ")":
        end = next((i for i, char in enumerate(text) if char in ",()/"), len(text))
        name, text = text[:end].strip(), text[end:]
        child: Json = {}
        if text.startswith("/"):
            child, text = _parse_path(text[1:])
        elif text.startswith("("):
            child, text = _parse_fields(text[1:])
            text = text.removeprefix(")")
        tree.setdefault(name, {}).update(child)
        text = text.removeprefix(",")
    return tree, text


def _parse_path(text: str) -> tuple[Json, str]:
    end = next((i for i, char in enumerate(text) if char in ",()/"), len(text))
    name, text = text[:end].strip(), text[end:]
    if text.startswith("/"):
        child, text = _parse_path(text[1:])
        return {name: child}, text
    if text.startswith("("):
        child, text = _parse_fields(text[1:])
        return {name: child}, text.removeprefix(")")
    return {name: {}}, text


def _select(value: Any, tree: Json) -> Any:
    if not tree or "*" in tree:
        return value
    if isinstance(value, list):
        return [_select(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _select(value[key], child) for key, child in tree.items() if key in value}
