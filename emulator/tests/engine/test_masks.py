"""updateMask and fields."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.masks import apply_mask, parse_mask, select_fields

MUTABLE = frozenset({"labels", "displayName", "template"})


@pytest.mark.parametrize(
    ("text", "body", "paths"),
    [
        (None, {"labels": {}, "displayName": "x"}, ["labels", "displayName"]),
        ("", {"labels": {}}, ["labels"]),
        ("*", {}, ["displayName", "labels", "template"]),
        ("display_name, template.max_retries", {}, ["displayName", "template.maxRetries"]),
    ],
)
def test_the_paths_of_a_mask(text: str | None, body: dict[str, Any], paths: list[str]) -> None:
    assert parse_mask(text, body=body, mutable=MUTABLE) == paths


@pytest.mark.parametrize("text", ["name", "labels,,template", "labels,uid"])
def test_a_mask_of_what_cannot_change_is_refused(text: str) -> None:
    with pytest.raises(
        ApiError, match=r"Invalid field mask: the field '\w*' is not found or cannot be updated."
    ):
        parse_mask(text, body={}, mutable=MUTABLE)


def test_masked_fields_are_replaced_and_absent_ones_cleared() -> None:
    current = {"labels": {"a": "1"}, "template": {"x": 1, "y": [1]}, "displayName": "old"}
    changes = {"labels": {"b": "2"}, "template": {"y": [2]}}
    assert apply_mask(current, changes, ["labels", "template.y", "displayName"]) == {
        "labels": {"b": "2"},
        "template": {"x": 1, "y": [2]},
    }
    assert apply_mask(current, {}, ["template.x"])["template"] == {"y": [1]}
    assert apply_mask({}, {"a": {"b": 1}}, ["a.b"]) == {"a": {"b": 1}}


def test_the_current_value_stays_as_it_was() -> None:
    current = {"template": {"y": [1]}}
    changed = apply_mask(current, {"template": {"y": [2]}}, ["template.y"])
    changed["template"]["y"].append(3)
    assert current == {"template": {"y": [1]}}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("next", {"next": "t"}),
        (
            "items(name,size),next",
            {"items": [{"name": "a", "size": 1}, {"name": "b", "size": 2}], "next": "t"},
        ),
        ("items/name", {"items": [{"name": "a"}, {"name": "b"}]}),
        ("items/owner(id)", {"items": [{"owner": {"id": 1}}, {}]}),
        ("absent", {}),
        ("*", "ALL"),
    ],
)
def test_partial_responses(expression: str, expected: Any) -> None:
    value = {
        "items": [{"name": "a", "size": 1, "owner": {"id": 1, "x": 2}}, {"name": "b", "size": 2}],
        "next": "t",
    }
    assert select_fields(value, expression) == (value if expected == "ALL" else expected)


def test_a_field_selection_that_does_not_close_is_refused() -> None:
    with pytest.raises(ApiError, match=r"Invalid field selection a\)b"):
        select_fields({}, "a)b")
