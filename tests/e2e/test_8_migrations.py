"""Migrations that cannot hurt: what is additive passes, what is not is refused or backed up first, and nothing waits behind a lock."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.e2e.rehearsal import PROJECT, ROOT, Rehearsal, Run

BUCKET = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-releases"
BACKUPS = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/djangogcp/backupRuns"
MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("polls", "{before}")]
    operations = [{operations}]
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The model project, to be changed."""
    found = tmp_path / "app"
    shutil.copytree(ROOT / "app", found, ignore=shutil.ignore_patterns("__pycache__", "media", "*.sqlite3"))
    return found


def write(project: Path, word: str, *operations: str) -> str:
    """A further migration of polls, whose name ends with a word that no other test has; its name."""
    folder = project / "polls" / "migrations"
    names = sorted(path.stem for path in folder.glob("0*.py"))
    name = f"{len(names) + 1:04}_{word}"
    listed = ", ".join(f"migrations.{one}" for one in operations)
    (folder / f"{name}.py").write_text(MIGRATION.format(before=names[-1], operations=listed), "utf-8")
    return name


def deploy(cloud: Rehearsal, project: Path, *options: str) -> Run:
    return cloud.playbook("deploy.yml", "-e", f"djangogcp_source_dir={project}", *options)


def words(run: Run) -> str:
    return " ".join(run.output.split())


def serving(cloud: Rehearsal) -> list[Any]:
    return [one for one in cloud.service("polls")["trafficStatuses"] if one.get("percent")]


def records(cloud: Rehearsal) -> list[Any]:
    """All records of releases, the newest last."""
    listed = cloud.api(f"{BUCKET}/o?prefix=releases/").get("items", [])
    addresses = [f"{BUCKET}/o/{one['name'].replace('/', '%2F')}?alt=media" for one in listed]
    return [cloud.api(one) for one in addresses]


def columns(cloud: Rehearsal) -> set[str]:
    """Those of the table of choices."""
    with session(cloud) as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'polls_choice'::regclass AND attnum > 0 AND NOT attisdropped"
        )
        return {name for (name,) in cursor.fetchall()}


@contextmanager
def session(cloud: Rehearsal) -> Iterator[Any]:
    """A cursor in a transaction of the site's own user."""
    url = cloud.secret("polls-web-database-url")
    user, _, password = url.partition("://")[2].partition("@")[0].partition(":")
    port = json.loads(next((cloud.state / "sql").rglob("server.json")).read_text("utf-8"))["port"]
    connection = psycopg2.connect(host="127.0.0.1", port=port, dbname="polls", user=user, password=password)
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def test_what_is_additive_passes_and_is_told_and_recorded(deployed: Rehearsal, copy: Path) -> None:
    name = write(
        copy, "colour", 'AddField("choice", "colour", models.CharField(max_length=9, default="red"))'
    )
    run = deploy(deployed, copy)
    assert run.status == 0, run.output
    assert "Plan: 1 migration, 1 additive, 0 destructive, 0 unknown." in words(run)
    assert (
        f"polls.{name} Add field colour to choice (additive). Until the new code serves, no row of polls.Choice is added."
        in words(run)
    )
    # The model has no such field.
    assert "no migration makes the models of polls as they are in the code." in words(run)
    assert "djangogcp_migrate: " not in run.output
    record = records(deployed)[-1]
    assert record["migrations"] == [f"polls.{name}"]
    assert record["schema"]["heads"]["polls"] == name
    assert "contenttypes" in record["schema"]["heads"]
    assert (record["schema"]["destructive"], record["schema"]["backup"]) == ([], "")
    assert deploy(deployed, copy).counts("polls")["changed"] == 0


def test_what_is_destructive_is_refused_and_with_leave_migrated_after_a_backup(
    deployed: Rehearsal, copy: Path
) -> None:
    before, had = serving(deployed), len(deployed.api(BACKUPS).get("items", []))
    image_before = records(deployed)[-1]["app"]["image"]
    changed = 'models.PositiveIntegerField(default=0, db_column="counted")'
    name = write(copy, "counted", f'AlterField("choice", "votes", {changed})', "RunPython(lambda *_: None)")
    foreseen = deploy(deployed, copy, "--check")
    assert foreseen.status == 0, foreseen.output
    assert f"polls.{name} (may be destructive: AlterField; unknown: RunPython)" in words(foreseen)
    refused = deploy(deployed, copy)
    assert refused.status != 0
    assert (
        "polls: the migrations of this release are destructive, and djangogcp_allow_destructive_migrations is false."
        " Nothing was migrated or released."
    ) in words(refused)
    assert (
        f"- polls.{name}, Alter field votes on choice: it renames the column votes of polls_choice to counted;"
        " until the new code serves, nothing reads or writes polls.Choice"
    ) in words(refused)
    assert "run again with -e djangogcp_allow_destructive_migrations=true" in words(refused)
    assert "has all the traffic and answers 200 at /-/live." in words(refused)
    assert "No migration had begun" not in refused.output
    assert serving(deployed) == before
    assert "votes" in columns(deployed)
    assert not deployed.api(f"{BUCKET}/o?prefix=lock").get("items")
    assert records(deployed)[-1]["step"] == "commands"
    assert len(deployed.api(BACKUPS).get("items", [])) == had

    models = copy / "polls" / "models.py"
    models.write_text(
        models.read_text("utf-8").replace("models.PositiveIntegerField(default=0)", changed), "utf-8"
    )
    allowed = deploy(deployed, copy, "-e", "djangogcp_allow_destructive_migrations=true")
    assert allowed.status == 0, allowed.output
    backups = deployed.api(BACKUPS)["items"]
    assert len(backups) == had + 1
    assert backups[0]["status"] == "SUCCESSFUL"
    assert backups[0]["description"] == f"before polls.{name} of polls"
    assert "counted" in columns(deployed)
    assert deployed.get("polls", "/polls/").status_code == 200
    record = records(deployed)[-1]
    assert record["result"] == "released"
    assert record["schema"]["backup"] == backups[0]["id"]
    assert [one["operation"] for one in record["schema"]["destructive"]] == ["Alter field votes on choice"]
    back = deployed.playbook("playbooks/rollback.yml")
    assert back.status != 0
    assert (
        f"Its code does not know what was done to the schema after it: polls.{name} (it renames the column votes of polls_choice to"
        f" counted; backup {backups[0]['id']}). To go back all the same, run again with -e release_over_destructive=true"
    ) in words(back)
    # What ran with leave has run: nothing is left, with leave or without.
    assert deploy(deployed, copy).counts("polls")["changed"] == 0
    # As the backup would bring it back.
    deployed.sql(
        "ALTER TABLE polls_choice RENAME COLUMN counted TO votes",
        database="polls",
        user="polls_migrator",
        password=deployed.secret("polls-migrator-db-password"),
    )
    gone_back = deployed.playbook("playbooks/rollback.yml", "-e", "release_over_destructive=true")
    assert gone_back.status == 0, gone_back.output
    assert f"polls.{name}" in words(gone_back)
    assert records(deployed)[-1]["app"]["image"] == image_before
    assert deployed.get("polls", "/polls/").status_code == 200


def test_a_statement_that_waits_for_a_table_ends_in_time_and_the_site_serves(
    deployed: Rehearsal, copy: Path
) -> None:
    before = serving(deployed)
    name = write(copy, "note", 'AddField("question", "note", models.CharField(max_length=9, null=True))')
    with session(deployed) as cursor:
        cursor.execute("SELECT count(*) FROM polls_question")
        held = cursor.connection.get_backend_pid()
        run = deploy(deployed, copy, "-e", "djangogcp_migration_lock_timeout_seconds=1")
        assert deployed.get("polls", "/polls/").status_code == 200
    assert run.status != 0
    assert f"It waited 1 seconds for the table polls_question that the session {held} of " in words(run)
    assert "(AccessShareLock) uses, and was given up, so that the site does not wait behind it" in words(run)
    assert f"The migration polls.{name} did not come to its end." in words(run)
    assert serving(deployed) == before
    again = deploy(deployed, copy, "-e", "djangogcp_migration_lock_timeout_seconds=1")
    assert again.status == 0, again.output


def test_a_page_without_which_no_instance_starts_is_asked_before_there_is_one(
    deployed: Rehearsal, copy: Path
) -> None:
    before, newest = serving(deployed), deployed.service("polls")["latestCreatedRevision"]
    with (copy / "config" / "urls.py").open("a", encoding="utf-8") as urls:
        urls.write(
            "\ndef started(request):\n    raise LookupError('no catalogue')\n"
            "urlpatterns.append(path('started/', started))\n"
        )
    # Again, because the page is not mended by asking twice.
    for _ in range(2):
        run = deploy(deployed, copy, "-e", "djangogcp_startup_path=/started/")
        assert run.status != 0
        said = words(run)
        assert (
            "no instance of the new image would start, because the page of djangogcp_startup_path fails."
            in said
        )
        assert "/started/ fails: " in said
        assert "LookupError: no catalogue" in said
        assert serving(deployed) == before
        assert deployed.service("polls")["latestCreatedRevision"] == newest
    assert records(deployed)[-1]["step"] == "commands"
