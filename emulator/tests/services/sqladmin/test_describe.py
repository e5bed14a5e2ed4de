"""Which PostgreSQL runs an instance, as the state page says it."""

from __future__ import annotations

import pytest
from gcp_emulator.engine.describe import Panel, Quiet
from gcp_emulator.services.sqladmin.describe import Shown, describe


@pytest.mark.parametrize(
    ("asked", "installed", "served", "said"),
    [
        ("POSTGRES_17", "POSTGRES_17_10", True, " (runs POSTGRES_17_10)"),
        (
            "POSTGRES_17",
            "POSTGRES_15_18",
            True,
            " (POSTGRES_15_18 runs in its place, for no PostgreSQL 17 is installed)",
        ),
        ("MYSQL_8_4", "MYSQL_8_4_6", False, " (no server runs here)"),
    ],
)
def test_the_page_tells_when_another_major_version_runs(
    asked: str, installed: str, served: bool, said: str
) -> None:
    record = {
        "name": "main",
        "region": "europe-west1",
        "state": "RUNNABLE",
        "databaseVersion": asked,
        "databaseInstalledVersion": installed,
        "settings": {"tier": "db-f1-micro"},
    }
    panel = describe([(record, Shown(served=served))]).groups[0].content[0]
    assert isinstance(panel, Panel)
    assert panel.facts["Version"] == (asked, Quiet(said))
