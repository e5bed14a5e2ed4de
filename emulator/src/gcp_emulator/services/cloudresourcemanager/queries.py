"""The queries of lists and searches: ``key:value`` or ``key=value``, joined by AND; ``*`` matches any text, letter case does not matter.

Source: https://cloud.google.com/resource-manager/reference/rest/v3/projects/search and v3/folders/search.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Any

from gcp_emulator.engine.errors import invalid_argument

_TERM = re.compile(r"""(?P<key>[A-Za-z.]+)\s*[:=]\s*(?P<value>"[^"]*"|[^\s"]+)""")


def matches(resource: Mapping[str, Any], query: str | None, keys: Mapping[str, str]) -> bool:
    """Whether the resource fits every term; ``keys`` are the fields by what a query calls them. ApiError INVALID_ARGUMENT."""
    if not query:
        return True
    terms = list(_TERM.finditer(query))
    rest = re.sub(r"\bAND\b", "", _TERM.sub("", query)).strip()
    if rest or not terms:
        raise invalid_argument(f"Request contains an invalid argument: filter {query!r} at {rest!r}.")
    for term in terms:
        key = keys.get(term["key"].lower())
        if key is None:
            raise invalid_argument(f"The emulator does not filter by {term['key']}.")
        if not fnmatch.fnmatchcase(str(resource.get(key, "")).lower(), term["value"].strip('"').lower()):
            return False
    return True
