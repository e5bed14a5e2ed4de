"""The gate before migrations (roles/app/files/migrate.py), in several versions of Django and without the overlay: any project has it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.overlay.djangos import ROOT, VERSIONS, Django, environment

PROGRAM = (ROOT / "collections/ansible_collections/org/djangogcp/roles/app/files/migrate.py").read_text(
    "utf-8"
)
WITHOUT_OVERLAY = {"DJANGO_SETTINGS_MODULE": "shop.settings", "DJANGO_PROJECT_SETTINGS_MODULE": ""}
INITIAL = """
from django.db import migrations, models
import django.db.models.deletion as deletion

class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel("Maker", [("id", models.AutoField(primary_key=True))]),
        migrations.CreateModel("Thing", [
            ("id", models.AutoField(primary_key=True)),
            ("name", models.CharField(max_length=50)),
            ("note", models.CharField(max_length=50, null=True)),
            ("size", models.IntegerField(null=True)),
            ("price", models.DecimalField(max_digits=6, decimal_places=2)),
            ("shown", models.CharField(max_length=9, db_column="shown_as")),
            ("makers", models.ManyToManyField("things.Maker")),
            ("loose", models.ForeignKey("things.Maker", deletion.CASCADE, null=True, db_constraint=False, related_name="+")),
        ], options={"unique_together": {("name", "size")}}),
        migrations.CreateModel("Elsewhere", [("id", models.AutoField(primary_key=True))], options={"managed": False}),
        migrations.CreateModel("Named", [("id", models.AutoField(primary_key=True))], options={"db_table": "named"}),
    ]
"""
#: What an operation is, the end of what it does to what was there, and what the code that serves can no longer do.
ALL_OF_IT = "nothing reads or writes things.Thing"
NO_ROW = "no row of things.Thing is added"
REFUSED = "rows of things.Thing that do not fulfil it are refused"
CASES: dict[str, tuple[str, str, str]] = {
    'CreateModel("New", [("id", models.AutoField(primary_key=True))])': ("additive", "", ""),
    'AddField("thing", "x", models.IntegerField(null=True))': ("additive", "", ""),
    # Django takes the default away again: what does not name the column is refused.
    'AddField("thing", "x", models.BooleanField(default=False))': ("additive", "", NO_ROW),
    'AddField("thing", "x", models.ManyToManyField("things.Maker", related_name="+"))': ("additive", "", ""),
    'AddField("elsewhere", "x", models.IntegerField(default=1))': ("additive", "", ""),
    'RemoveField("thing", "name")': ("destructive", "it drops the column name of things_thing", ALL_OF_IT),
    'RemoveField("thing", "shown")': (
        "destructive",
        "it drops the column shown_as of things_thing",
        ALL_OF_IT,
    ),
    'RemoveField("thing", "makers")': (
        "destructive",
        "it drops the table things_thing_makers",
        "nothing reads or writes makers of things.Thing",
    ),
    'RenameField("thing", "name", "title")': (
        "destructive",
        "it renames the column name of things_thing to title",
        ALL_OF_IT,
    ),
    'RenameField("thing", "shown", "seen")': ("additive", "", ""),
    'RenameField("thing", "makers", "people")': (
        "destructive",
        "it renames the table things_thing_makers to things_thing_people",
        "nothing reads or writes things.Thing_makers",
    ),
    'DeleteModel("Thing")': ("destructive", "it drops the table things_thing", ALL_OF_IT),
    'DeleteModel("Elsewhere")': ("additive", "", ""),
    'RenameModel("Thing", "Item")': (
        "destructive",
        "it renames the table things_thing to things_item",
        ALL_OF_IT,
    ),
    'RenameModel("Named", "Called")': ("additive", "", ""),
    'AlterModelTable("thing", "other")': (
        "destructive",
        "it renames the table things_thing to other",
        ALL_OF_IT,
    ),
    'AlterField("thing", "name", models.CharField(max_length=50, help_text="x"))': ("additive", "", ""),
    'AlterField("thing", "name", models.CharField(max_length=60))': ("additive", "", ""),
    'AlterField("thing", "name", models.TextField())': ("additive", "", ""),
    'AlterField("thing", "price", models.DecimalField(max_digits=9, decimal_places=2))': ("additive", "", ""),
    'AlterField("thing", "name", models.CharField(max_length=50, null=True))': ("additive", "", ""),
    'AlterField("thing", "name", models.CharField(max_length=40))': (
        "destructive",
        "it makes the column name of things_thing varchar(40), which was varchar(50)",
        "",
    ),
    'AlterField("thing", "size", models.BigIntegerField(null=True))': (
        "destructive",
        "it makes the column size of things_thing bigint, which was integer",
        "",
    ),
    'AlterField("thing", "note", models.CharField(max_length=50, default=""))': (
        "destructive",
        "it allows no NULL in the column note of things_thing",
        REFUSED,
    ),
    'AlterField("thing", "name", models.CharField(max_length=50, unique=True))': (
        "destructive",
        "it allows no value twice in the column name of things_thing",
        REFUSED,
    ),
    'AlterField("thing", "name", models.CharField(max_length=50, db_column="title"))': (
        "destructive",
        "it renames the column name of things_thing to title",
        ALL_OF_IT,
    ),
    'AlterField("thing", "name", models.CharField(max_length=50, db_collation="NOCASE"))': (
        "destructive",
        "it sorts the column name of things_thing otherwise",
        "",
    ),
    'AlterField("thing", "loose", models.ForeignKey("things.Maker", models.CASCADE, null=True, related_name="+"))': (
        "destructive",
        "it demands rows of things_maker for the column loose_id of things_thing",
        REFUSED,
    ),
    'AddIndex("thing", models.Index(fields=["name"], name="by_name"))': ("additive", "", ""),
    'AddConstraint("thing", models.UniqueConstraint(fields=["note"], name="one_note"))': (
        "destructive",
        "it demands one_note of every row of things_thing",
        REFUSED,
    ),
    'AlterUniqueTogether("thing", {("name", "size"), ("name", "note")})': (
        "destructive",
        "it demands name+note of every row of things_thing",
        REFUSED,
    ),
    'AlterUniqueTogether("thing", set())': ("additive", "", ""),
    'AlterOrderWithRespectTo("thing", "loose")': ("additive", "", NO_ROW),
    'AlterModelOptions("thing", {"ordering": ["name"]})': ("additive", "", ""),
    "RunPython(lambda apps, editor: None)": ("unknown", "it runs code of the project", ""),
    "RunPython(migrations.RunPython.noop)": ("additive", "", ""),
    'RunSQL("UPDATE things_thing SET size = 1")': ("unknown", "it runs SQL of the project", ""),
    'RunSQL([("ALTER TABLE things_thing DROP  COLUMN size", None)])': (
        "destructive",
        "its SQL says DROP COLUMN",
        "",
    ),
    "RunSQL(migrations.RunSQL.noop)": ("additive", "", ""),
    # What the database is not told of costs nothing.
    'SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("Thing")])': ("", "", ""),
    'SeparateDatabaseAndState(database_operations=[migrations.RemoveField("thing", "name")])': (
        "destructive",
        "it drops the column name of things_thing",
        ALL_OF_IT,
    ),
}
#: Operations that an older Django does not have.
NEWER: dict[str, dict[str, tuple[str, str, str]]] = {
    "4.2": {
        'RenameIndex("thing", new_name="x", old_fields=("name", "size"))': ("additive", "", ""),
        'AlterModelTableComment("thing", "x")': ("additive", "", ""),
    },
    "5.2": {
        'AddField("thing", "x", models.IntegerField(db_default=1))': ("additive", "", ""),
        'AddField("thing", "x", models.GeneratedField(expression=models.F("size"), output_field=models.IntegerField(), db_persist=True))': (
            "destructive",
            "it writes things_thing anew",
            "",
        ),
        'AlterField("thing", "size", models.IntegerField(null=True, db_default=1))': ("additive", "", ""),
    },
}


@pytest.fixture(params=VERSIONS)
def django(request: pytest.FixtureRequest) -> Django:
    found = environment(request.param)
    if found is None:
        pytest.skip(f"no Python here runs Django {request.param}")
    return found


def project(folder: Path, *migrations: str) -> Path:
    """A project with one app, whose migrations are these."""
    files = {
        "shop/__init__.py": "",
        "shop/settings.py": """
            DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
            INSTALLED_APPS = ["things"]
            SECRET_KEY = "x"
            DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
        """,
        "things/__init__.py": "",
        "things/models.py": "from django.db import models\n",
        "things/migrations/__init__.py": "",
        "manage.py": "from django.core.management import execute_from_command_line as run\nimport sys\nrun(sys.argv)\n",
    }
    for number, text in enumerate(migrations, 1):
        files[f"things/migrations/{number:04}_x.py"] = text
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text), "utf-8")
    return folder


def next_one(number: int, *operations: str, more: str = "") -> str:
    """The text of a migration."""
    return (
        f"from django.db import migrations, models\n{more}\n"
        f"class Migration(migrations.Migration):\n    dependencies = [('things', '{number - 1:04}_x')]\n"
        f"    operations = [{', '.join('migrations.' + one for one in operations)}]\n"
    )


def test_each_operation_is_what_it_does_to_what_was_there(django: Django, tmp_path: Path) -> None:
    """On SQLite, whose types have the names of PostgreSQL's."""
    cases = dict(CASES)
    for version, more in NEWER.items():
        if float(django.version) >= float(version):
            cases |= more
    folder = project(tmp_path, INITIAL)
    django.ok(folder, "manage.py", "migrate", **WITHOUT_OVERLAY)
    judged = (
        "from django.db import connection, migrations, models\n"
        "found = {}\n"
        f"for text in json.loads({json.dumps(json.dumps([*cases]))}):\n"
        "    plan = Plan(connection)\n"
        "    plan._read('things', 'things.0002_x', [eval('migrations.' + text)], plan.loader.project_state())\n"
        "    found[text] = [[step['kind'], step['why'], step['breaks']] for step in plan.steps]\n"
        "print(json.dumps(found))\n"
    )
    printed = django.ok(folder, "manage.py", "shell", "-c", f"{PROGRAM}\n{judged}", **WITHOUT_OVERLAY)
    found = json.loads(printed.splitlines()[-1])
    assert found == {text: [list(expected)] if expected[0] else [] for text, expected in cases.items()}


def migrated(
    django: Django, folder: Path, call: str = "migrate(5, 60)", **given: str
) -> tuple[int, Any, str]:
    """The exit code of a run, what the deploy is told, and all else that it printed."""
    done = django.run(folder, "manage.py", "shell", "-c", f"{PROGRAM}\n{call}", **WITHOUT_OVERLAY, **given)
    lines = done.stdout.splitlines()
    marked = [line for line in lines if line.startswith("djangogcp_migrate: ")]
    told = json.loads(marked[0].partition(" ")[2]) if marked else None
    return done.returncode, told, "\n".join(line for line in lines if line not in marked) + done.stderr


def test_what_hurts_is_not_begun_until_exactly_that_is_allowed(django: Django, tmp_path: Path) -> None:
    harmless = next_one(2, 'AddField("thing", "x", models.IntegerField(null=True))')
    hurts = next_one(3, 'RemoveField("thing", "note")')
    folder = project(tmp_path, INITIAL)
    code, told, printed = migrated(django, folder)
    assert code == 0, printed
    assert "Plan: 1 migration of an empty database." in printed
    assert told["heads"] == {"things": "0001_x"}
    # The models of this project are gone from its code.
    assert told["without_migration"] == ["things"]

    project(folder, INITIAL, harmless, hurts)
    code, refused, printed = migrated(django, folder)
    assert code == 76
    assert refused["refused"]
    assert [one["operation"] for one in refused["destructive"]] == ["Remove field note from thing"]
    assert "Plan: 2 migrations, 1 additive, 1 destructive, 0 unknown." in printed
    assert "Applying" not in printed
    assert "[ ] 0002_x" in django.ok(folder, "manage.py", "showmigrations", **WITHOUT_OVERLAY)

    # Another plan than the one that was allowed.
    assert migrated(django, folder, DJANGOGCP_ALLOWED_PLAN="0" * 64)[0] == 76
    code, told, printed = migrated(django, folder, DJANGOGCP_ALLOWED_PLAN=refused["digest"])
    assert code == 0, printed
    assert "Applying things.0003_x... OK" in printed
    assert told["heads"] == {"things": "0003_x"}

    code, told, printed = migrated(django, folder)
    assert (code, told["migrations"], "Plan" in printed) == (0, [], False)


def test_what_a_plan_itself_makes_is_not_hurt_by_it(django: Django, tmp_path: Path) -> None:
    folder = project(tmp_path, INITIAL)
    assert migrated(django, folder)[0] == 0
    second = next_one(
        2,
        'AddField("thing", "x", models.IntegerField(default=1))',
        'AlterField("thing", "x", models.CharField(max_length=9))',
        'CreateModel("New", [("id", models.AutoField(primary_key=True)), ("a", models.IntegerField())])',
        'RemoveField("new", "a")',
        'RenameModel("New", "Newer")',
        'DeleteModel("Newer")',
        'RemoveField("thing", "x")',
    )
    project(folder, INITIAL, second)
    code, told, printed = migrated(django, folder)
    assert code == 0, printed
    assert told["destructive"] == []


def test_a_release_command_of_the_project_is_asked_before_it_migrates(django: Django, tmp_path: Path) -> None:
    folder = project(tmp_path, INITIAL)
    assert migrated(django, folder, "gate()")[0] == 0
    assert "[ ] 0001_x" in django.ok(folder, "manage.py", "showmigrations", **WITHOUT_OVERLAY)
    assert migrated(django, folder)[0] == 0
    project(folder, INITIAL, next_one(2, 'RemoveField("thing", "note")'))
    assert migrated(django, folder, "gate()")[0] == 76


def test_a_migration_that_fails_says_what_it_said_without_the_gate(django: Django, tmp_path: Path) -> None:
    fails = next_one(
        2, "RunPython(fail)", more="def fail(apps, editor):\n    raise LookupError('no such thing')\n"
    )
    folder = project(tmp_path, INITIAL, fails)
    code, told, printed = migrated(django, folder)
    assert code == 1, printed
    assert told["migrations"] == ["things.0001_x", "things.0002_x"]
    assert "Applying things.0001_x... OK" in printed
    assert "LookupError: no such thing" in printed
    # Django's own checks are made as ever.
    with (folder / "things/models.py").open("a", encoding="utf-8") as models:
        models.write("class Bad(models.Model):\n    name = models.CharField(max_length='x')\n")
    assert "fields.E121" in migrated(django, folder)[2]


@pytest.mark.parametrize(
    ("was", "becomes", "vendor", "expected"),
    [
        ("varchar(50)", "varchar", "postgresql", True),
        ("varchar", "varchar(50)", "postgresql", False),
        ("numeric(6, 2)", "numeric(8, 3)", "postgresql", False),
        ("integer", "bigint", "postgresql", False),
        ("varchar(50)", "varchar(60)", "mysql", True),
        # A second byte of the length is in every row.
        ("varchar(50)", "varchar(64)", "mysql", False),
        ("varchar(64)", "varchar(255)", "mysql", True),
        ("varchar(50)", "longtext", "mysql", False),
        ("double precision", "double precision", "postgresql", False),
    ],
)
def test_wider_is_what_no_row_is_written_for(was: str, becomes: str, vendor: str, expected: bool) -> None:
    given: dict[str, Any] = {}
    exec(PROGRAM, given)
    assert given["is_wider"](was, becomes, vendor) is expected
