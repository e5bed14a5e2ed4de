"""What Google takes as labels, and what several of its APIs say to those that they do not take.

Texts: https://github.com/terraform-linters/tflint-ruleset-google/issues/413 (a key, of a topic) and
https://github.com/kyma-project/test-infra/pull/13818 (a value, of a secret). That the first character of a key which cannot be one is told
before all others, and the words for what is too long or empty, are assumed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

_KEY = r"[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}"
_VALUE = r"[\p{Ll}\p{Lo}\p{N}_-]{0,63}"
_LONGEST = 63
_LETTER = "a non-uppercased letter (Unicode character class Ll or Lo)"


def label_problem(labels: Mapping[str, str]) -> str | None:
    """The sentence for the first label that Google would refuse, None when it takes them all."""
    for key, value in labels.items():
        if problem := _key_problem(key):
            return f'Invalid field "labels"; key "{key}" does not conform to regular expression "{_KEY}"; {problem}'
        if problem := _problem(value):
            return (
                f'Invalid field "labels.{key}"; value "{value}" does not conform to regular expression "{_VALUE}"; '
                f"{problem}"
            )
    return None


def is_key(text: str) -> bool:
    """Whether a label may have this key."""
    return _key_problem(text) is None


def is_value(text: str) -> bool:
    """Whether a label may have this value."""
    return _problem(text) is None


def _key_problem(key: str) -> str | None:
    if not key:
        return "it is empty"
    if not _is_letter(key[0]):
        return f'first character "{key[0]}" is not {_LETTER}'
    return _problem(key)


def _problem(text: str) -> str | None:
    for position, character in enumerate(text):
        if not (_is_letter(character) or unicodedata.category(character)[0] == "N" or character in "_-"):
            return f'character "{character}" at position {position} is not {_LETTER}, digit, hyphen, or underscore'
    if len(text) > _LONGEST:
        return f"it is longer than {_LONGEST} characters"
    return None


def _is_letter(character: str) -> bool:
    return unicodedata.category(character) in ("Ll", "Lo")
