# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of the sites that a run leaves out."""

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.lookup.other_sites import role_defaults, with_defaults

DEFAULTS = role_defaults()
NAMES = [
    "djangogcp_site",
    "djangogcp_database_name",
    "djangogcp_database_instance",
    "djangogcp_media_bucket",
    "djangogcp_repository",
    "djangogcp_source_bucket",
    "database_retained_backups",
]


def test_what_the_inventory_does_not_set_has_the_roles_default() -> None:
    assert with_defaults("my-polls", {"djangogcp_project": "p"}, NAMES, DEFAULTS) == {
        "host": "my-polls",
        "djangogcp_site": "my-polls",
        "djangogcp_database_name": "my_polls",
        "djangogcp_database_instance": "djangogcp",
        "djangogcp_media_bucket": "p-my-polls-media",
        "djangogcp_repository": "my-polls",
        "djangogcp_source_bucket": "p-my-polls-source",
        "database_retained_backups": 7,
    }


def test_a_database_of_mysql_has_no_underscore() -> None:
    known = {"djangogcp_project": "p", "djangogcp_database_version": "MYSQL_8_0"}
    assert with_defaults("my-polls", known, NAMES, DEFAULTS)["djangogcp_database_name"] == "mypolls"


def test_what_the_inventory_sets_is_told_and_goes_into_the_other_defaults() -> None:
    found = with_defaults(
        "eu",
        {"djangogcp_project": "p", "djangogcp_site": "polls", "djangogcp_database_name": "x"},
        NAMES,
        DEFAULTS,
    )
    assert found["djangogcp_media_bucket"] == "p-polls-media"
    assert found["djangogcp_database_name"] == "x"


def test_what_is_made_of_an_unknown_variable_is_unknown() -> None:
    found = with_defaults("eu", {"djangogcp_project": "p", "djangogcp_site": None}, NAMES, DEFAULTS)
    assert found["djangogcp_site"] is None
    assert found["djangogcp_media_bucket"] is None
    assert found["djangogcp_database_instance"] == "djangogcp"


def test_a_value_is_not_looked_at_for_templates() -> None:
    found = with_defaults("eu", {"djangogcp_project": "{{ 7 * 6 }}", "djangogcp_site": "s"}, NAMES, DEFAULTS)
    assert found["djangogcp_media_bucket"] == "{{ 7 * 6 }}-s-media"
