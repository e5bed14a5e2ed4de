# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.filter.preview import preview
from ansible_collections.org.djangogcp.plugins.filter.site_problems import RULES, SITE_LENGTH

SITE = {
    "djangogcp_project": "my-project",
    "djangogcp_site": "polls",
    "djangogcp_database_version": "POSTGRES_17",
    "djangogcp_preview_database": "empty",
    "djangogcp_preview_variables": {},
}


def test_it_has_names_of_its_own_whatever_the_site_says() -> None:
    described = {
        "djangogcp_media_bucket": "polls-uploads",
        "djangogcp_database_name": "live",
        "djangogcp_memory": "1Gi",
    }
    found = preview(SITE, "pr-7", described)
    assert found["problem"] == ""
    variables = found["variables"]
    assert variables["djangogcp_site"] == "polls-pr-7"
    assert variables["djangogcp_media_bucket"] == "my-project-polls-pr-7-media"
    assert variables["djangogcp_static_bucket"] == "my-project-polls-pr-7-static"
    assert variables["djangogcp_releases_bucket"] == "my-project-polls-pr-7-releases"
    assert variables["djangogcp_source_bucket"] == "my-project-polls-pr-7-source"
    assert variables["djangogcp_repository"] == "polls-pr-7"
    assert variables["djangogcp_database_name"] == "polls_pr_7"
    assert variables["djangogcp_memory"] == "1Gi"


def test_it_has_neither_domains_nor_workers_unless_that_is_asked_for() -> None:
    described = {"djangogcp_domains": ["polls.example.com"], "djangogcp_background_workers": {"mail": "mail"}}
    variables = preview(SITE, "pr1", described)["variables"]
    assert (variables["djangogcp_domains"], variables["djangogcp_background_workers"]) == ([], {})
    asked = {**SITE, "djangogcp_preview_variables": '{"djangogcp_domains": ["next.example.com"]}'}
    assert preview(asked, "pr1", described)["variables"]["djangogcp_domains"] == ["next.example.com"]


@pytest.mark.parametrize("name", ["a", "pr1", "x" * 12])
@pytest.mark.parametrize("site", ["ab", "x" * SITE_LENGTH, "cookiecutter-django"])
def test_its_name_is_one_that_a_site_may_have(site: str, name: str) -> None:
    called = preview({**SITE, "djangogcp_site": site}, name)["variables"]["djangogcp_site"]
    assert RULES["djangogcp_site"].test(called)
    assert called.endswith(f"-{name}")
    assert called != site


def test_sites_that_begin_alike_have_previews_of_their_own() -> None:
    names = {
        preview({**SITE, "djangogcp_site": site}, "feature-12")["variables"]["djangogcp_site"]
        for site in ("the-long-name-of-one", "the-long-name-of-two")
    }
    assert len(names) == 2


@pytest.mark.parametrize("name", ["", "Feature/12", "-a", "a-", "ä", "x" * (12 + 1), True, ["a"]])
def test_a_name_that_cannot_be_is_refused(name: object) -> None:
    found = preview(SITE, name)
    assert found["variables"] == {}
    assert "expected 1 to 12 lower case letters, digits and hyphens" in found["problem"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"djangogcp_site": "x"}, "djangogcp_preview_variables has djangogcp_site: a preview has its own."),
        (
            {"djangogcp_media_bucket": "x"},
            "djangogcp_preview_variables has djangogcp_media_bucket: a preview has its own.",
        ),
        (
            {"memory": "1Gi"},
            "djangogcp_preview_variables has a wrong value: expected variables of a site by their names, djangogcp_....",
        ),
        (
            ["memory"],
            "djangogcp_preview_variables has a wrong value: expected variables of a site by their names, djangogcp_....",
        ),
    ],
)
def test_what_cannot_be_otherwise_is_refused(asked: object, words: str) -> None:
    assert preview({**SITE, "djangogcp_preview_variables": asked}, "pr1")["problem"] == words


def test_a_database_of_mysql_is_not_copied() -> None:
    copied = {**SITE, "djangogcp_preview_database": "copy"}
    assert preview(copied, "pr1")["problem"] == ""
    assert preview({**copied, "djangogcp_database_version": "MYSQL_8_4"}, "pr1")["problem"].startswith(
        "djangogcp_preview_database is 'copy': expected empty, because a dump of MySQL"
    )
