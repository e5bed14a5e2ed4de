# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.filter.cloud_run_problems import cloud_run_problems


@pytest.mark.parametrize(
    ("version", "network"),
    [("POSTGRES_17", ""), ("MYSQL_8_0", ""), ("MYSQL_8_4", "sites"), (None, None)],
)
def test_a_database_that_is_reached(version: str | None, network: str | None) -> None:
    assert cloud_run_problems({"djangogcp_database_version": version, "djangogcp_network": network}) == []


def test_a_database_that_is_reached_in_a_network_alone_needs_one() -> None:
    [problem] = cloud_run_problems({"djangogcp_database_version": "MYSQL_8_4", "djangogcp_network": ""})
    assert problem == (
        "djangogcp_network is not set: expected the network that the database is reached in, because users of MYSQL_8_4 log in by"
        " caching_sha2_password, which is not known to work over the socket of Cloud Run. Set it, or take MYSQL_8_0."
    )
