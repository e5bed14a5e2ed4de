# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._marks import (
    DescriptionPlace,
    ForeignError,
    LabelsPlace,
    Mark,
    Ownership,
    bucket_owner,
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


PRIVATE = {"public_access_prevention": "enforced", "versioning": True}
OPEN = {"public_access_prevention": "inherited", "versioning": False}


def refused(asked, label, settings, **mark):
    """Why a bucket is not used, and what to do; None when it is the site's own."""
    labels = {
        "managed-by": "djangogcp",
        "site": "polls",
        "region": "r",
        **mark,
        **({"purpose": label} if label else {}),
    }
    owner = bucket_owner({"labels": labels, **settings})
    ownership = Ownership(Mark("polls", "r", asked), adopt=("bucket b",))
    if ownership.is_own(owner):
        return None
    assert not ownership.adopts("bucket b", owner)
    return ForeignError("bucket b", owner, ownership, []).as_dict()


@pytest.mark.parametrize(
    ("asked", "label", "settings", "back"),
    [
        ("media", "media", PRIVATE, None),
        ("media", "media", OPEN, None),
        ("static", "static", OPEN, None),
        ("static", "static", {**PRIVATE, "versioning": False}, None),
        ("static", "static", {**OPEN, "versioning": True}, None),
        ("archive", "archive", PRIVATE, None),
        ("source", "source", PRIVATE, None),
        # The label was changed by hand.
        ("media", "static", PRIVATE, "media"),
        ("static", "static", PRIVATE, "media"),
        ("media", "", PRIVATE, "media"),
        ("static", "", PRIVATE, "media"),
        ("static", "media", OPEN, "static"),
        ("static", "", OPEN, "static"),
        ("media", "static", OPEN, "media"),
        ("source", "media", OPEN, "source"),
        # It is right, and the site asks for something else.
        ("static", "media", PRIVATE, ""),
        ("static", "media", {**PRIVATE, "versioning": False}, ""),
        ("static", "media", {**OPEN, "versioning": True}, ""),
    ],
)
def test_a_label_alone_does_not_say_what_a_bucket_holds(asked, label, settings, back):
    why = refused(asked, label, settings)
    assert (why is None) == (back is None)
    if back:
        command = f"gcloud storage buckets update gs://b --update-labels=purpose={back}."
        assert why["cure"].startswith(f"If somebody changed the label, set it back: {command}")
        assert ("it has lost its label" in why["reason"]) == (label == "")
    elif back == "":
        assert why["cure"] == "Choose another name."
        assert why["reason"] == f"it holds the {label} of the site polls in r, and that never changes."


def test_the_label_of_another_sites_bucket_is_not_set():
    assert refused("media", "static", PRIVATE, site="shop")["cure"] == "Choose another name."
    assert refused("media", "static", PRIVATE, region="elsewhere")["cure"] == "Choose another name."


def test_what_sites_share_is_used_by_all_and_changed_by_those_that_describe_it():
    maker = Mark("polls", "r")
    ownership = Ownership(Mark("shop", "r"), sharing_sites=("shop",))
    assert ownership.may_use(maker)
    assert not ownership.may_change(maker)
    together = Ownership(Mark("shop", "r"), sharing_sites=("shop", "polls"))
    assert together.may_change(maker)
    assert together.mark_for(maker) == maker
    assert not Ownership(Mark("shop", "r")).may_use(maker)
