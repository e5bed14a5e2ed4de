"""Values that are wrong, by the type that an argument specification asks for."""

from __future__ import annotations

import re
from typing import Any

#: Wrong for every name, address, path or number: empty, half, enormous, of another alphabet, and what a shell, Jinja, SQL,
#: HTTP or a terminal would take for something else.
NASTY = (
    " ",
    "\n",
    "a\nb",
    "x" * 10_000,
    "näme",
    "名前",
    "٣",
    "💩",
    "a\x00b",
    "\x1b[31mred",
    "a\u202eb",
    "$(touch /tmp/owned)",
    "`id`",
    "a; rm -rf /",
    "a && b",
    "{{ 1234 * 7 }}",
    "{% for a in b %}",
    "{{ lookup('pipe', 'id') }}",
    "'; DROP TABLE users; --",
    "../../etc/passwd",
    "a b",
    "<script>alert(1)</script>",
    "%00",
)
#: Of these, what is wrong for a name that PostgreSQL keeps, in which any letter may stand.
UNPRINTABLE = tuple(text for text in NASTY if not text.isprintable() or len(text) > 1000 or not text.strip())
#: By the type of an option.
WRONG_TYPES: dict[str, tuple[Any, ...]] = {
    "str": ([1], {"a": 1}, ["{{ 1234 * 7 }}"]),
    "path": ([1], {"a": 1}),
    "int": ("many", "", "1.5", 1.5, [1], {"a": 1}, "0x10", *NASTY),
    "bool": ("perhaps", "", 7, [True], {"a": 1}, *NASTY),
    "list": ({"a": 1},),
    "dict": ([1], 7, "no dictionary", *(text for text in NASTY if "=" not in text)),
}
#: By the type of a row: some of them, where there are very many rows.
WRONG_IN_TABLES: dict[str, tuple[Any, ...]] = {
    "int": ("many", "1.5", "٣"),
    "float": ("many", "", "٣"),
    "bool": ("perhaps", 7),
}
#: What every message is: the name, what is wrong with it, what was expected, and perhaps a better spelling.
FORM = re.compile(
    r"[^\n]+ (is unknown|is not set|has a wrong value|is [^\n]*): expected [^\n]+\.( Did you mean [^\n]+\?)?"
)
MOST_CHARACTERS = 1500


def check_message(message: str, name: str, value: Any) -> None:
    """Assert that a message has the agreed form, is about the one option, and shows no more of the value than it should."""
    assert "\n" not in message, message
    assert FORM.fullmatch(message), message
    assert message.startswith(name), message
    assert len(message) < MOST_CHARACTERS, message
    assert message.isprintable(), message
    # Nothing was calculated from the value.
    assert "8638" not in message
