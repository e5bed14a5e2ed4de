"""What a site may do in its database while it serves: told at the deploy, and allowed by a variable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import Rehearsal, Run

MIGRATION = """
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(name="Visit", fields=[("id", models.BigAutoField(primary_key=True)), ("page", models.TextField())]),
        migrations.RunSQL("CREATE MATERIALIZED VIEW totals AS SELECT page, count(*) FROM visits_visit GROUP BY page"),
        migrations.RunSQL("CREATE SCHEMA archive; CREATE TABLE archive.old (n int)"),
    ]
"""
#: What a visitor makes the site do, each with what it answers: "" or the name of the error.
PAGE = """
from django.db import DatabaseError, connection
from django.http import JsonResponse

STATEMENTS = {
    "insert": "INSERT INTO visits_visit (page) VALUES ('a')",
    "refresh": "REFRESH MATERIALIZED VIEW totals",
    "archive": "INSERT INTO archive.old VALUES (1)",
    "truncate": "TRUNCATE visits_visit",
    "create": "CREATE TABLE IF NOT EXISTS made_by_a_visitor (n int)",
}

def run(statement):
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError as error:
        return type(error.__cause__).__name__
    return ""

def visit(request):
    return JsonResponse({name: run(statement) for name, statement in STATEMENTS.items()})

urlpatterns.append(path("visit/", visit))
"""
REFUSED = "InsufficientPrivilege"


class Site:
    """A small site that changes more than rows, in an empty project."""

    def __init__(self, home: Path) -> None:
        self.rehearsal = Rehearsal(home / "home", REHEARSAL_SCALE="0.01")
        self._home = home
        self._source = projects.plain_project(home / "project")
        migrations = self._source / "visits" / "migrations"
        migrations.mkdir(parents=True)
        for folder in (migrations.parent, migrations):
            (folder / "__init__.py").touch()
        (migrations / "0001_initial.py").write_text(MIGRATION, "utf-8")
        for name, text in (("settings", 'INSTALLED_APPS.append("visits")\n'), ("urls", PAGE)):
            with (self._source / "mysite" / f"{name}.py").open("a", encoding="utf-8") as file:
                file.write(text)

    def deploy(self, **variables: Any) -> Run:
        """A deploy that succeeds."""
        site = {**projects.small_site(self._source), **variables}
        inventory = projects.inventory(self._home / "hosts.yml", {"visits": site})
        run = self.rehearsal.playbook("deploy.yml", inventory=inventory)
        assert run.status == 0, run.output
        return run

    def visit(self) -> Any:
        """What a visitor's statements end in."""
        return self.rehearsal.get("visits", "/visit/").json()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("visits"))
    found.rehearsal.start()
    yield found
    found.rehearsal.make("rehearse-clean")


def test_a_site_that_may_only_change_rows_is_told_so_before_a_visitor_is(site: Site) -> None:
    output = " ".join(site.deploy().output.split())
    assert (
        "mysite/urls.py: REFRESH MATERIALIZED VIEW, mysite/urls.py: TRUNCATE, mysite/urls.py: CREATE TABLE"
        in output
    )
    assert "It may not refresh its materialized views, and not use the schemas beside public." in output
    assert output.count("djangogcp_database_rights") == 2
    assert site.visit() == dict.fromkeys(("refresh", "archive", "truncate", "create"), REFUSED) | {
        "insert": ""
    }


def test_the_right_to_the_schema_is_given_and_taken_back(site: Site) -> None:
    run = site.deploy(djangogcp_database_rights="schema")
    assert "djangogcp_database_rights" not in run.output
    assert set(site.visit().values()) == {""}
    migrator = {"user": "visits_migrator", "password": site.rehearsal.secret("visits-migrator-db-password")}
    owners = site.rehearsal.sql(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", database="visits", **migrator
    )
    assert owners == [("visits_migrator",)]
    assert site.deploy(djangogcp_database_rights="schema").counts("visits")["changed"] == 0

    site.deploy()
    assert site.visit()["truncate"] == REFUSED
    held = "SELECT pg_has_role('visits_web', 'visits_migrator', 'MEMBER')"
    assert site.rehearsal.sql(held, database="visits", **migrator) == [(False,)]
    assert site.deploy().counts("visits")["changed"] == 0
