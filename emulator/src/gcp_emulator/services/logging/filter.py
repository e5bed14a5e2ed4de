"""The Logging query language, as far as people use it: a filter text becomes a predicate over log entries.

Comparisons (``= != > >= < <= : =~ !~``), bare search terms, ``AND OR NOT -``, parentheses also around values, comments and
``log_id()``. Anything else is refused. Note the precedence: NOT, then OR, then AND.
Source: https://cloud.google.com/logging/docs/view/logging-query-language.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.engine.validate import camel, is_number

Predicate = Callable[[Json], bool]

#: Values of https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity.
SEVERITIES = {
    "DEFAULT": 0,
    "DEBUG": 100,
    "INFO": 200,
    "NOTICE": 300,
    "WARNING": 400,
    "ERROR": 500,
    "CRITICAL": 600,
    "ALERT": 700,
    "EMERGENCY": 800,
}
_BLANK = re.compile(r"(?:\s+|--[^\n]*)*")
_WORD = re.compile(r"(AND|OR|NOT)(?![\w.])")
_OPERATOR = re.compile(r"=~|!~|!=|>=|<=|=|>|<|:")
_FIELD = re.compile(r"""[A-Za-z_][\w-]*(?:\.(?:[\w@-][\w@/-]*|"(?:[^"\\]|\\.)*"))*""")
_SEGMENT = re.compile(r'"(?:[^"\\]|\\.)*"|[^.]+')
_QUOTED = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'""")
#: Text with an operator's characters must be quoted.
_BARE = re.compile(r"""[^\s()"'=<>!:~]+""")
_MAX_LENGTH = 20_000
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
}


def parse_filter(text: str, known_fields: frozenset[str]) -> Predicate:
    """The predicate of a filter (empty matches all); INVALID_ARGUMENT for what cannot be understood.

    ``known_fields`` are the names that a log entry may have at its top.
    """
    if len(text) > _MAX_LENGTH:
        raise invalid_argument(f"Filter is longer than {_MAX_LENGTH} characters.", field="filter")
    return _Parser(text, known_fields).parse()


class _Parser:
    def __init__(self, text: str, known_fields: frozenset[str]) -> None:
        self._text = text
        self._known = known_fields
        self._at = 0

    def parse(self) -> Predicate:
        self._blank()
        if self._at == len(self._text):
            return lambda entry: True
        result = self._all()
        if self._at < len(self._text):
            raise self._error()
        return result

    def _all(self) -> Predicate:
        parts = [self._any()]
        while self._at < len(self._text) and not self._peek(")"):
            self._take_word("AND")
            parts.append(self._any())
        return parts[0] if len(parts) == 1 else lambda entry: all(part(entry) for part in parts)

    def _any(self) -> Predicate:
        parts = [self._not()]
        while self._take_word("OR"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda entry: any(part(entry) for part in parts)

    def _not(self) -> Predicate:
        if self._take_word("NOT") or self._take("-"):
            inner = self._not()
            return lambda entry: not inner(entry)
        if self._take("("):
            inner = self._all()
            self._expect(")")
            return inner
        return self._restriction()

    def _restriction(self) -> Predicate:
        start = self._at
        field = _FIELD.match(self._text, start)
        if field and not _WORD.match(self._text, start):
            self._move(field.end())
            if self._peek("("):
                return self._function(field[0])
            if operator := _OPERATOR.match(self._text, self._at):
                self._move(operator.end())
                path = self._path(field[0])
                return self._value(lambda value: _comparison(path, operator[0], value))
            self._at = start
        term, _ = self._literal()
        return lambda entry: any(term.lower() in text.lower() for text in _texts(entry))

    def _function(self, name: str) -> Predicate:
        if name != "log_id":
            raise invalid_argument(f"Unparseable filter: the emulator does not know the function '{name}'.")
        self._expect("(")
        log_id, _ = self._literal()
        self._expect(")")
        return lambda entry: unquote(entry["logName"].partition("/logs/")[2]) == log_id

    def _value(self, compare: Callable[[_Value], Predicate]) -> Predicate:
        """What follows an operator: a literal, or literals combined inside parentheses."""
        if not self._take("("):
            return compare(_Value(*self._literal()))
        parts = [self._alternatives(compare)]
        while not self._peek(")"):
            self._take_word("AND")
            parts.append(self._alternatives(compare))
        self._expect(")")
        return lambda entry: all(part(entry) for part in parts)

    def _alternatives(self, compare: Callable[[_Value], Predicate]) -> Predicate:
        parts = [self._one_value(compare)]
        while self._take_word("OR"):
            parts.append(self._one_value(compare))
        return lambda entry: any(part(entry) for part in parts)

    def _one_value(self, compare: Callable[[_Value], Predicate]) -> Predicate:
        if self._take_word("NOT") or self._take("-"):
            inner = self._one_value(compare)
            return lambda entry: not inner(entry)
        return self._value(compare)

    def _literal(self) -> tuple[str, bool]:
        """The text of a literal and whether it was quoted."""
        if quoted := _QUOTED.match(self._text, self._at):
            self._move(quoted.end())
            return re.sub(r"\\(.)", r"\1", quoted[1] if quoted[1] is not None else quoted[2]), True
        word = _BARE.match(self._text, self._at)
        if word is None or _WORD.fullmatch(word[0]):
            raise self._error()
        self._move(word.end())
        return word[0], False

    def _path(self, field: str) -> list[str]:
        path = [segment.strip('"') for segment in _SEGMENT.findall(field)]
        path[0] = camel(path[0])
        if path[0] not in self._known:
            raise invalid_argument(
                f"Field not found: '{path[0]}'. For help see "
                "https://cloud.google.com/logging/docs/view/logging-query-language."
            )
        return path

    def _blank(self) -> None:
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _move(self, end: int) -> None:
        self._at = end
        self._blank()

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        if not self._peek(text):
            return False
        self._move(self._at + len(text))
        return True

    def _take_word(self, word: str) -> bool:
        found = _WORD.match(self._text, self._at)
        if found is None or found[1] != word:
            return False
        self._move(found.end())
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._error()

    def _error(self) -> ApiError:
        before = self._text[: self._at]
        line, column = before.count("\n") + 1, self._at - (before.rfind("\n") + 1) + 1
        token = (self._text[self._at :].split() or ["end of filter"])[0]
        return invalid_argument(
            f"Unparseable filter: syntax error at line {line}, column {column}, token '{token}'",
            field="filter",
        )


class _Value:
    """A literal of a comparison."""

    def __init__(self, text: str, quoted: bool) -> None:
        self.text = text
        self.quoted = quoted


def _comparison(path: list[str], operator: str, value: _Value) -> Predicate:
    if operator == ":" and value.text == "*" and not value.quoted:
        return lambda entry: any(True for _ in _find(entry, path))
    test = _test(path, operator, value)
    return lambda entry: any(test(found) for found in _find(entry, path))


def _test(path: list[str], operator: str, value: _Value) -> Callable[[Any], bool]:
    """The test of one found value. A missing field passes none, ``!=`` neither."""
    if operator in ("=~", "!~"):
        try:
            pattern = re.compile(value.text)
        except re.error as error:
            raise invalid_argument(f"Unparseable filter: regex '{value.text}': {error}") from None
        return lambda found: (pattern.search(_scalar(found)) is None) == (operator == "!~")
    if path == ["severity"]:
        wanted = _severity(value.text)
        compare = _ORDER["=" if operator == ":" else operator]
        return lambda found: compare(SEVERITIES.get(found, 0), wanted)
    if path in (["timestamp"], ["receiveTimestamp"]):
        moment = _moment(value.text)
        compare = _ORDER["=" if operator == ":" else operator]
        return lambda found: compare(clock.parse_timestamp(found), moment)
    if operator == ":":
        return lambda found: any(value.text.lower() in text.lower() for text in _texts(found))
    compare = _ORDER[operator]

    def ordinary(found: Any) -> bool:
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            try:
                return compare(float(found), float(value.text))
            except ValueError:
                return False
        return compare(_scalar(found).lower(), value.text.lower())

    return ordinary


def _severity(text: str) -> int:
    if is_number(text):
        return int(text)
    try:
        return SEVERITIES[text.upper()]
    except KeyError:
        raise invalid_argument(f"Unparseable filter: unknown severity '{text}'") from None


def _moment(text: str) -> datetime.datetime:
    try:
        moment = clock.parse_timestamp(text)
    except ValueError:
        raise invalid_argument(f"Unparseable filter: invalid timestamp '{text}'") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _find(value: Any, path: list[str]) -> Iterator[Any]:
    """The values at ``path``; the elements of a list count one by one."""
    if isinstance(value, list):
        for item in value:
            yield from _find(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _find(value[path[0]], path[1:])


def _texts(value: Any) -> Iterator[str]:
    """Every scalar inside ``value``, as text."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "NULL_VALUE"
    return str(value).lower() if isinstance(value, bool) else str(value)
