# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.filter import from_survey, survey_answers

one = from_survey.FilterModule().filters()["from_survey"]
several = survey_answers.FilterModule().filters()["survey_answers"]


@pytest.mark.parametrize(
    ("text", "empty", "expected"),
    [
        ("[www.example.com, example.com]", [], ["www.example.com", "example.com"]),
        ("- pg_trgm\n- unaccent\n", [], ["pg_trgm", "unaccent"]),
        ('{"max_connections": 200}', {}, {"max_connections": 200}),
        ("team: web\ncost-center: null", {}, {"team": "web", "cost-center": None}),
        ("", [], []),
        ("  \n", {}, {}),
        # Whoever refuses a wrong type shows what was given.
        ("www.example.com", [], "www.example.com"),
        ("[a, b]", {}, "[a, b]"),
        ("[a", [], "[a"),
        (["as", "it", "is"], [], ["as", "it", "is"]),
        (None, [], None),
    ],
)
def test_a_text_is_what_it_says_in_yaml(text, empty, expected):
    assert one(text, empty) == expected


def test_only_lists_and_dictionaries_are_read():
    options = {"names": {"type": "list"}, "labels": {"type": "dict"}, "title": {"type": "str"}}
    assert several({"names": "[a]", "labels": "", "title": "[a]", "unknown": "[a]"}, options) == {
        "names": ["a"],
        "labels": {},
        "title": "[a]",
        "unknown": "[a]",
    }


def test_a_host_takes_back_what_its_group_sets():
    options = {"labels": {"type": "dict"}, "names": {"type": "list"}}
    given = {"labels": {"team": None, "stage": "live"}, "names": [None]}
    assert several(given, options) == {"labels": {"stage": "live"}, "names": [None]}
    assert several({"labels": "{team: null}"}, options) == {"labels": {}}
