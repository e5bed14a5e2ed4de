"""Which server runs an instance, as the state page says it."""

from __future__ import annotations

import pytest
from gcp_emulator.engine.describe import Panel, Quiet
from gcp_emulator.engine.errors import Json
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
    assert version(record, served=served) == (asked, Quiet(said))


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([], " (MySQL 8.0.41 runs)"),
        (["it is old", "it is slow"], " (MySQL 8.0.41 runs in its place: it is old; it is slow)"),
    ],
)
def test_the_page_tells_where_a_server_of_mysql_differs(differences: list[str], said: str) -> None:
    record = {
        "name": "main",
        "region": "europe-west1",
        "state": "RUNNABLE",
        "databaseVersion": "MYSQL_8_0",
        "databaseInstalledVersion": "MYSQL_8_0_42",
        "settings": {"tier": "db-f1-micro"},
        "runs": "8.0.41",
        "differences": differences,
    }
    assert version(record, served=True) == ("MYSQL_8_0", Quiet(said))


def version(record: Json, *, served: bool) -> object:
    panel = describe([(record, Shown(served=served))]).groups[0].content[0]
    assert isinstance(panel, Panel)
    return panel.facts["Version"]
