"""Filters of lists, as https://google.aip.dev/160 has them: ``state = "READY" AND (size > 5 OR labels.owner:*) AND NOT name = x*``.

OR binds more tightly than AND, which may be left out. What has no such field is no less than anything, and differs from everything. Not
here: functions, and words without a field.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from gcp_emulator.engine.errors import Json

#: Whether a resource fits.
Filter = Callable[[Json], bool]
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<sign><=|>=|!=|[=<>:()])|(?P<word>[^\s()=<>!:"']+))"""
)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class FilterError(ValueError):
    """A text that is no filter."""


def parse(text: str) -> Filter:
    """The filter of a text; everything fits an empty one. FilterError."""
    tokens = _Tokens(text)
    if tokens.is_at_end:
        return _everything
    found = _conjunction(tokens)
    if not tokens.is_at_end:
        raise FilterError(f"unexpected {tokens.peek()!r}")
    return found


def values(resource: Any, path: str) -> Iterator[Any]:
    """What a resource has at a path of names with dots; of each item where there is a list. A key may have dots of its own."""
    if isinstance(resource, list):
        for one in resource:
            yield from values(one, path)
    elif isinstance(resource, dict):
        if path in resource:
            found = resource[path]
            yield from found if isinstance(found, list) else [found]
            return
        for name, value in resource.items():
            if path.startswith(f"{name}."):
                yield from values(value, path.removeprefix(f"{name}."))


def text_of(value: Any) -> str:
    """A value as filters write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _everything(resource: Json) -> bool:
    return True


class _Tokens:
    """The parts of a filter, from left to right."""

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, bool]] = []
        rest = text.strip()
        while rest:
            found = _TOKEN.match(rest)
            if found is None:
                raise FilterError(f"unexpected {rest[0]!r}")
            string = found["string"]
            part = re.sub(r"\\(.)", r"\1", string[1:-1]) if string else found["sign"] or found["word"]
            self._parts.append((part, string is not None))
            rest = rest[found.end() :].lstrip()

    @property
    def is_at_end(self) -> bool:
        return not self._parts

    def peek(self) -> str:
        return self._parts[0][0] if self._parts else ""

    def takes(self, *parts: str) -> bool:
        """Whether one of these comes next, which is taken then. A string in quotes is none of them."""
        if self._parts and not self._parts[0][1] and self._parts[0][0] in parts:
            del self._parts[0]
            return True
        return False

    def take(self) -> str:
        """The next part. FilterError at the end."""
        if not self._parts:
            raise FilterError("unexpected end")
        return self._parts.pop(0)[0]

    def ends_conjunction(self) -> bool:
        return not self._parts or self._parts[0] == (")", False)


def _conjunction(tokens: _Tokens) -> Filter:
    parts = [_disjunction(tokens)]
    while not tokens.ends_conjunction():
        tokens.takes("AND")
        parts.append(_disjunction(tokens))
    return lambda resource: all(part(resource) for part in parts)


def _disjunction(tokens: _Tokens) -> Filter:
    parts = [_term(tokens)]
    while tokens.takes("OR"):
        parts.append(_term(tokens))
    return lambda resource: any(part(resource) for part in parts)


def _term(tokens: _Tokens) -> Filter:
    if tokens.takes("NOT", "-"):
        inner = _term(tokens)
        return lambda resource: not inner(resource)
    if tokens.takes("("):
        inner = _conjunction(tokens)
        if not tokens.takes(")"):
            raise FilterError("a parenthesis is not closed")
        return inner
    return _comparison(tokens)


def _comparison(tokens: _Tokens) -> Filter:
    path = tokens.take()
    sign = tokens.take()
    if not re.fullmatch(r"[\w.-]+", path) or sign not in ("=", "!=", ":", *_ORDERS):
        raise FilterError(f"{path!r} is not compared with anything")
    wanted = tokens.take()
    if sign == ":" and wanted == "*":
        return lambda resource: any(True for _ in values(resource, path))
    if sign in _ORDERS:
        order = _ORDERS[sign]
        return lambda resource: any(order(*_comparable(one, wanted)) for one in values(resource, path))
    if sign == "!=":
        return lambda resource: not _has(resource, path, wanted)
    return lambda resource: _has(resource, path, wanted)


def _has(resource: Json, path: str, wanted: str) -> bool:
    pattern = re.sub(r"([\[\]?])", r"[\1]", wanted)
    for one in values(resource, path):
        if isinstance(one, dict):
            if wanted in one:
                return True
        elif fnmatch.fnmatchcase(text_of(one), pattern):
            return True
    return False


def _comparable(value: Any, wanted: str) -> tuple[Any, Any]:
    try:
        return float(value), float(wanted)
    except (TypeError, ValueError):
        return text_of(value), wanted
