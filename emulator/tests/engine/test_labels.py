"""Which labels Google takes, and what it says to the others."""

from __future__ import annotations

import pytest
from gcp_emulator.engine.labels import label_problem

KEY = r"[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}"
VALUE = r"[\p{Ll}\p{Lo}\p{N}_-]{0,63}"


@pytest.mark.parametrize(
    "labels",
    [{}, {"team": "web"}, {"größe": "", "管理": "東京-1"}, {"a" * 63: "0" * 63}, {"a_b-1": "_-"}],
)
def test_labels_that_are_taken(labels: dict[str, str]) -> None:
    assert label_problem(labels) is None


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (
            {"Owner": "web"},
            f'Invalid field "labels"; key "Owner" does not conform to regular expression "{KEY}"; first character "O" is not a '
            "non-uppercased letter (Unicode character class Ll or Lo)",
        ),
        (
            {"cost.center": "1"},
            f'Invalid field "labels"; key "cost.center" does not conform to regular expression "{KEY}"; character "." at '
            "position 4 is not a non-uppercased letter (Unicode character class Ll or Lo), digit, hyphen, or underscore",
        ),
        (
            {"fine": "yes", "mail": "web@example.com"},
            f'Invalid field "labels.mail"; value "web@example.com" does not conform to regular expression "{VALUE}"; character "@" at '
            "position 3 is not a non-uppercased letter (Unicode character class Ll or Lo), digit, hyphen, or underscore",
        ),
        (
            {"": "x"},
            f'Invalid field "labels"; key "" does not conform to regular expression "{KEY}"; it is empty',
        ),
        (
            {"long": "a" * 64},
            f'Invalid field "labels.long"; value "{"a" * 64}" does not conform to regular expression "{VALUE}"; it is longer than '
            "63 characters",
        ),
    ],
)
def test_labels_that_are_refused(labels: dict[str, str], problem: str) -> None:
    assert label_problem(labels) == problem
