# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which database server a version is."""

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import engine_of, told_of


@pytest.mark.parametrize(
    ("version", "name", "has_socket"),
    [
        ("POSTGRES_14", "PostgreSQL", True),
        ("POSTGRES_20", "PostgreSQL", True),
        ("MYSQL_8_0", "MySQL", True),
        ("MYSQL_8_0_41", "MySQL", True),
        ("MYSQL_8_4", "MySQL", False),
        # Preflight refuses them; until then something has to be said.
        ("MYSQL_5_7", "PostgreSQL", True),
        (None, "PostgreSQL", True),
    ],
)
def test_the_version_decides(version: object, name: str, has_socket: bool) -> None:
    engine = engine_of(version)
    assert (engine.name, engine.has_socket) == (name, has_socket)


def test_templates_are_told_the_same() -> None:
    told = told_of("MYSQL_8_4")
    assert (told["scheme"], told["port"], told["iam_flag"]) == ("mysql", 3306, "cloudsql_iam_authentication")
