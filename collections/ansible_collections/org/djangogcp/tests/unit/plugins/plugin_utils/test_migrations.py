# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.org.djangogcp.plugins.plugin_utils._migrations import migrations, newer, told

FILE = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [{dependencies}]
    operations = [{operations}]
"""


def write(folder: Path, app: str, name: str, after: str = "", operations: str = "") -> None:
    path = folder / app / "migrations" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "__init__.py").touch()
    dependencies = "('auth', '0001_initial'), " + (f"('{app}', '{after}')" if after else "")
    path.write_text(FILE.format(dependencies=dependencies, operations=operations), "utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, "polls", "0001_initial", operations="migrations.CreateModel(name='Poll', fields=[])")
    write(
        tmp_path,
        "polls",
        "0002_colour",
        "0001_initial",
        "migrations.AddField('poll', 'colour', models.TextField())",
    )
    write(
        tmp_path,
        "polls",
        "0003_votes",
        "0002_colour",
        "migrations.RemoveField('poll', 'votes'), migrations.RunPython(print)",
    )
    return tmp_path


def lines(folder: Path, heads: dict[str, str]) -> list[str]:
    return [told(one) for one in newer(migrations(folder), heads)]


def test_what_comes_after_the_newest_one_is_told(project: Path) -> None:
    assert lines(project, {"polls": "0001_initial"}) == [
        "polls.0002_colour (additive)",
        "polls.0003_votes (may be destructive: RemoveField; unknown: RunPython)",
    ]
    assert lines(project, {"polls": "0003_votes"}) == []


def test_of_an_app_that_the_database_does_not_know_all_are_new(project: Path) -> None:
    write(project, "shop", "0001_initial", operations="migrations.CreateModel(name='Item', fields=[])")
    assert lines(project, {"polls": "0003_votes"}) == ["shop.0001_initial (additive)"]


def test_a_branch_beside_the_newest_one_is_new(project: Path) -> None:
    write(project, "polls", "0003_other", "0002_colour", "migrations.RenameField('poll', 'a', 'b')")
    assert lines(project, {"polls": "0003_votes"}) == ["polls.0003_other (may be destructive: RenameField)"]


def test_of_a_database_that_has_what_the_source_has_not_the_records_tell(project: Path) -> None:
    assert lines(project, {"polls": "0009_later"}) == []
    applied = ["polls.0001_initial", "polls.0002_colour", "polls.0009_later", "shop.0003_votes"]
    new = newer(migrations(project), {"polls": "0009_later"}, applied)
    assert [one.name for one in new] == ["0003_votes"]


def test_an_app_has_the_label_that_it_says(project: Path) -> None:
    (project / "polls" / "apps.py").write_text(
        "class C(AppConfig):\n    name = 'polls'\n    label = 'questions'\n", "utf-8"
    )
    for path in (project / "polls" / "migrations").glob("0*.py"):
        path.write_text(path.read_text("utf-8").replace("'polls'", "'questions'"), "utf-8")
    assert lines(project, {"questions": "0003_votes"}) == []


def test_what_is_no_migration_and_what_is_not_the_projects_is_left_out(project: Path) -> None:
    write(project / "venv/lib", "other", "0001_initial")
    write(project / ".cache", "other", "0001_initial")
    (project / "polls/migrations/broken.py").write_text("class Migration(:\n", "utf-8")
    (project / "polls/migrations/bytes.py").write_bytes(b"\xff\x00")
    (project / "polls/migrations/helper.py").write_text("X = 1\n", "utf-8")
    assert lines(project, {"polls": "0003_votes"}) == []


def test_one_that_stands_for_others_is_had_with_them(project: Path) -> None:
    squashed = project / "polls/migrations/0001_squashed_0003_votes.py"
    names = ("0001_initial", "0002_colour", "0003_votes")
    text = FILE.format(dependencies="", operations="migrations.CreateModel(name='Poll', fields=[])")
    squashed.write_text(text + f"    replaces = {[('polls', name) for name in names]}\n", "utf-8")
    write(project, "polls", "0004_next", "0001_squashed_0003_votes")
    assert lines(project, {"polls": "0003_votes"}) == ["polls.0004_next (additive)"]
    assert [line.split()[0] for line in lines(project, {})] == [
        f"polls.{name}" for name in (*names, "0004_next")
    ]
    for name in names:
        (squashed.parent / f"{name}.py").unlink()
    assert lines(project, {"polls": "0001_squashed_0003_votes"}) == ["polls.0004_next (additive)"]
