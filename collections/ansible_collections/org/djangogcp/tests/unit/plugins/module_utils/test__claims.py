# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._claims import Claims
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Mark, Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import DATABASE

SECRETS = "https://secretmanager.googleapis.com/v1/projects/p/secrets"
OWN = f"{SECRETS}/polls-claims"
OLD = f"{SECRETS}/votes-claims"
IDS = {"project": "p", "instance": "db", "name": "polls"}
POLLS = Mark("polls", "r")


def secret(name, site, **annotations):
    labels = {"managed-by": "djangogcp", "site": site, "region": "r"}
    return {
        "name": f"projects/1/secrets/{name}",
        "labels": labels,
        "annotations": annotations,
        "etag": '"1"',
    }


@pytest.fixture
def claim(google, client):
    """The annotation that a claim is: what is written when nobody has claimed it."""
    google.answer("GET", OWN, secret("polls-claims", "polls"))
    google.answer("GET", SECRETS, {"secrets": []})
    google.answer("PATCH", OWN, {})
    claims(client).make(DATABASE, IDS, None)
    written = google.bodies("PATCH")[0]["annotations"]
    google.sent.clear()
    return written


def claims(client, **options):
    return Claims(client, "p", "polls-claims", Ownership(POLLS, **options))


def test_a_claim_is_the_sites_own(google, client, claim):
    assert list(claim.values()) == ["SQL database polls of p/db"]
    google.answer("GET", OWN, secret("polls-claims", "polls", **claim))
    assert claims(client).owner(DATABASE, IDS) == POLLS
    claims(client).make(DATABASE, IDS, {"name": "polls"})
    assert google.bodies("PATCH") == []


def test_a_claim_of_another_site_is_told_and_stays(google, client, claim):
    google.answer("GET", SECRETS, {"secrets": [secret("shop-claims", "shop", **claim)]})
    assert claims(client).owner(DATABASE, IDS) == Mark("shop", "r")
    claims(client).make(DATABASE, IDS, {"name": "polls"})
    assert google.bodies("PATCH") == []


def test_a_claim_in_a_secret_that_nobody_marked_is_none(google, client, claim):
    google.answer("GET", SECRETS, {"secrets": [{**secret("x", "shop", **claim), "labels": {"site": "shop"}}]})
    assert claims(client).owner(DATABASE, IDS) is None


@pytest.mark.parametrize("region", ["elsewhere", ""])
def test_a_claim_in_a_secret_of_another_site_of_this_name_is_not_the_sites_own(google, client, claim, region):
    theirs = secret("polls-claims", "polls", **claim)
    theirs["labels"]["region"] = region
    google.answer("GET", OWN, theirs)
    google.answer("GET", SECRETS, {"secrets": [theirs]})
    assert claims(client).owner(DATABASE, IDS) == Mark("polls", region)
    claims(client).drop(DATABASE, IDS)
    assert google.bodies("PATCH") == []


def test_a_former_name_hands_its_claim_over(google, client, claim):
    google.answer("GET", SECRETS, {"secrets": [secret("votes-claims", "votes", **claim)]})
    google.answer("GET", OLD, secret("votes-claims", "votes", **claim))
    google.answer("PATCH", OLD, {})
    claims(client, former_sites=("votes",)).make(DATABASE, IDS, {"name": "polls"})
    assert [(one.url, one.body["annotations"]) for one in google.sent if one.method == "PATCH"] == [
        (OWN, claim),
        (OLD, {}),
    ]


def test_a_claim_that_another_run_of_the_site_has_just_made_stays(google, client, claim):
    """It is not among what was read, but in the list: of the same secret."""
    mine = secret("polls-claims", "polls", **claim)
    google.answer("GET", OWN, secret("polls-claims", "polls"), mine)
    google.answer("GET", SECRETS, {"secrets": [mine]})
    claims(client).make(DATABASE, IDS, {"name": "polls"})
    assert google.bodies("PATCH") == []


def test_a_claim_needs_its_secret(google, client):
    google.answer("GET", OWN, (404, {"error": {"status": "NOT_FOUND", "message": "no"}}))
    google.answer("GET", SECRETS, {"secrets": []})
    with pytest.raises(DjangoGcpError, match="the secret polls-claims in project p does not exist"):
        claims(client).make(DATABASE, IDS, None)
