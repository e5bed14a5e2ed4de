# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._marks import (
    DescriptionPlace,
    LabelsPlace,
    Mark,
    Ownership,
)

POLLS = Mark("polls", "europe-west1")
MEDIA = Mark("polls", "europe-west1", "media")


@pytest.mark.parametrize("place", [LabelsPlace(), LabelsPlace("user_labels"), DescriptionPlace()])
@pytest.mark.parametrize("mark", [POLLS, MEDIA, Mark(), Mark(purpose="source")])
@pytest.mark.parametrize("text", [None, "Images of Django sites"])
def test_a_mark_that_was_written_is_read(place, mark, text):
    asked = {"description": text} if isinstance(place, DescriptionPlace) else {}
    written = place.write(asked, mark, {})
    assert place.read(written) == mark
    assert not text or "description" not in written or written["description"].startswith(text)


@pytest.mark.parametrize(
    "labels",
    [{}, {"site": "polls"}, {"managed-by": "terraform", "site": "polls"}, {"managed-by": "djangogcp2"}],
)
def test_what_looks_like_a_mark_is_none(labels):
    assert Mark.from_labels(labels) is None
    words = " ".join(f"{key}={value}" for key, value in labels.items())
    assert DescriptionPlace().read({"description": words}) is None


def test_labels_that_are_asked_get_the_mark():
    written = LabelsPlace().write({"labels": {"team": "web"}}, POLLS, {"labels": {"old": "one"}})
    assert written["labels"] == {"team": "web", **POLLS.labels}


def test_what_is_there_stays_when_nothing_else_is_asked():
    there = {"labels": {"team": "web", **Mark("votes", "europe-west1", "media").labels}}
    assert LabelsPlace().write({"labels": None}, POLLS, there)["labels"] == {"team": "web", **POLLS.labels}
    described = {"description": f"Images ({DescriptionPlace().write({}, POLLS, {})['description']})"}
    assert DescriptionPlace().write({}, POLLS, described) == {}


def test_a_site_owns_what_carries_its_name_region_and_purpose():
    ownership = Ownership(MEDIA, former_sites=("votes",))
    assert ownership.is_own(MEDIA)
    assert ownership.is_own(Mark("votes", "europe-west1", "media"))
    for other in (None, POLLS, Mark("polls", "us-central1", "media"), Mark("shop", "europe-west1", "media")):
        assert not ownership.is_own(other)


def test_what_holds_something_else_is_never_adopted():
    ownership = Ownership(Mark("polls", "r", "static"), adopt=("bucket b",))
    assert ownership.adopts("bucket b", None)
    assert not ownership.adopts("bucket b", Mark("polls", "r", "media"))
    assert not ownership.adopts("bucket c", None)


def test_what_sites_share_is_used_by_all_and_changed_by_those_that_describe_it():
    maker = Mark("polls", "r")
    ownership = Ownership(Mark("shop", "r"), sharing_sites=("shop",))
    assert ownership.may_use(maker)
    assert not ownership.may_change(maker)
    together = Ownership(Mark("shop", "r"), sharing_sites=("shop", "polls"))
    assert together.may_change(maker)
    assert together.mark_for(maker) == maker
    assert not Ownership(Mark("shop", "r")).may_use(maker)
