"""Filters of lists."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.engine import filters

RESOURCE: dict[str, Any] = {
    "name": "web-1",
    "sizeGb": "20",
    "count": 3,
    "enabled": True,
    "labels": {"owner": "ann", "app.of": "shop"},
    "settings": {"tier": "small", "flags": [{"name": "a"}, {"name": "b"}]},
    "tags": ["blue", "green"],
}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("name = web-1", True),
        ('name = "web-1"', True),
        ("name='web-2'", False),
        ("name != web-2", True),
        ("nothing != web-2", True),
        ("name:web-*", True),
        ('name = "*-2"', False),
        ("count > 2", True),
        ("count>10", False),
        ("sizeGb >= 20", True),
        ("sizeGb < 3", False),
        ("nothing < 3", False),
        ("enabled = true", True),
        ("labels.owner:*", True),
        ("labels.team:*", False),
        ("labels:owner", True),
        ("labels.app.of = shop", True),
        ("settings.flags.name = b", True),
        ("settings.tier:small tags:green", True),
        ("tags:red", False),
        ("NOT tags:red", True),
        ("-tags:blue", False),
        ("(name = web-1) (count = 4)", False),
        ("(name = web-1) AND (count = 3)", True),
        ("count = 4 OR name = web-1", True),
        # OR first: (count = 4 OR count = 3) AND name = web-2.
        ("count = 4 OR count = 3 AND name = web-2", False),
        ("name = web-2 AND (count = 4 OR count = 3)", False),
        ("NOT (name = web-2 AND count = 3)", True),
        (r'name = "web\-1"', True),
    ],
)
def test_what_fits(text: str, fits: bool) -> None:
    assert filters.parse(text)(RESOURCE) is fits


@pytest.mark.parametrize(
    "text", ["name", "name =", "= x", "(name = x", "name = x)", "name = x AND", "a OR b", "name ~ x", '"']
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(filters.FilterError):
        filters.parse(text)
