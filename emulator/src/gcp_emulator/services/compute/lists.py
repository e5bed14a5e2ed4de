"""Which resources a list of Compute Engine shows, and in which order.

Source: the parameters ``filter`` and ``orderBy`` in the discovery document. The texts of refusals are assumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gcp_emulator.engine import filters
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.engine.filters import Filter, FilterError
from gcp_emulator.engine.service import Call

#: One comparison with a regular expression. Several are in parentheses; one alone may be without, and goes on to the end.
_EXPRESSION = re.compile(r"\s*([\w.]+)\s+(eq|ne)\s+(.+?)\s*", re.DOTALL)


def selected(call: Call, found: Iterable[Json]) -> list[Json]:
    """Those that the call wants, in its order. ApiError INVALID_ARGUMENT."""
    text = str(call.params.get("filter") or "")
    wanted = _filter(text)
    chosen = [one for one in found if wanted(one)]
    order = str(call.params.get("orderBy") or "name")
    if order == "creationTimestamp desc":
        return sorted(chosen, key=_created, reverse=True)
    if order != "name":
        raise invalid_argument(
            f"Invalid value for field 'orderBy': '{order}'. Only 'name' and 'creationTimestamp desc' are supported.",
            reason="invalid",
        )
    return sorted(chosen, key=lambda one: str(one.get("name", "")))


def _created(resource: Json) -> str:
    return str(resource.get("creationTimestamp") or resource.get("insertTime") or "")


def _filter(text: str) -> Filter:
    try:
        if re.match(r"\s*\(?\s*[\w.]+\s+(eq|ne)\s", text):
            return _regular(text)
        return filters.parse(text)
    except FilterError as error:
        raise _invalid(text, f"Invalid list filter expression: {error}.") from None
    except re.error:
        raise _invalid(text, "Invalid regular expression.") from None


def _regular(text: str) -> Filter:
    inner = text.strip()
    parts = re.split(r"\)\s*\(", inner[1:-1]) if inner.startswith("(") and inner.endswith(")") else [inner]
    terms = []
    for part in parts:
        found = _EXPRESSION.fullmatch(part)
        if found is None:
            raise FilterError(f"unexpected {part!r}")
        literal = found[3]
        if len(literal) > 1 and literal[0] == literal[-1] and literal[0] in "\"'":
            literal = literal[1:-1]
        terms.append((found[1], found[2] == "eq", re.compile(literal)))

    def fits(resource: Json) -> bool:
        return all(
            any(pattern.fullmatch(filters.text_of(one)) for one in filters.values(resource, path)) is wanted
            for path, wanted, pattern in terms
        )

    return fits


def _invalid(text: str, why: str) -> ApiError:
    return invalid_argument(f"Invalid value for field 'filter': '{text}'. {why}", reason="invalid")
