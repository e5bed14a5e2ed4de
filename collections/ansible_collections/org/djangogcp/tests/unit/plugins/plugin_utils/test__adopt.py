# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.filter.site_problems import RULES, source_problems
from ansible_collections.org.djangogcp.plugins.lookup.django_source import describe
from ansible_collections.org.djangogcp.plugins.plugin_utils import _adopt, _inventory

COLLECTION = Path(__file__).parents[4]
DEFAULTS = yaml.safe_load((COLLECTION / "roles/preflight/defaults/main.yml").read_text("utf-8"))
MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
WSGI = MANAGE + "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
SETTINGS = """from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
STATIC_URL = "static/"
"""
URLS = """from django.contrib import admin
from django.urls import path
urlpatterns = [path("admin/", admin.site.urls)]
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    write(
        folder,
        {
            "manage.py": MANAGE,
            "shop/wsgi.py": WSGI,
            "shop/settings.py": SETTINGS,
            "shop/urls.py": URLS,
            "requirements.txt": "django==5.2.8\npillow\n",
        },
    )
    return folder


def read(folder: Path, name: str = "") -> _adopt.Project:
    source = describe(str(folder))
    problems = source_problems(source, python="3.13") if source["manage_py"] else []
    return _adopt.look(source, problems, name)


def site(region: str = "us-central1", project_id: str = "", **sizes: object) -> _adopt.Site:
    return _adopt.Site(project_id, region, "you@example.com", {**DEFAULTS, **sizes}, tuple(sizes))


def told(folder: Path, **chosen: str) -> str:
    return "\n".join(_adopt.report(read(folder), site(**chosen)))


# ------------------------------------------------------------------ what is told


def test_a_new_project_is_told_with_what_becomes_of_it(shop: Path) -> None:
    report = told(shop)
    assert f"shop: {shop}" in report
    for line in (
        "settings        shop.settings",
        "requirements.txt: 2 asked for, 1 pinned: the others are the newest of the day of the build, Django 5.2.8",
        "started by      gunicorn, in an image that is made",
        "database        SQLite",
        "whitenoise serves them from the image",
        "service shop, 0 to 4 instances",
        "in it the database shop",
        "shop.settings, with what Google Cloud needs laid over them",
        "the site begins with an empty PostgreSQL",
    ):
        assert line in report, line
    assert "a deploy refuses" not in report


def test_what_a_deploy_would_refuse_is_told_with_the_cure(shop: Path) -> None:
    (shop / "requirements.txt").unlink()
    assert "To be mended first: a deploy refuses" in told(shop)
    assert "a requirements.txt, a lock file" in told(shop)


def test_a_lock_file_is_told_as_one(shop: Path) -> None:
    (shop / "requirements.txt").unlink()
    (shop / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "1"\ndependencies = ["django"]\n'
    )
    (shop / "uv.lock").write_text(
        'version = 1\n[[package]]\nname = "django"\nversion = "5.2.8"\nsource = { registry = "https://example.com" }\n'
        '[[package]]\nname = "shop"\nversion = "1"\nsource = { virtual = "." }\ndependencies = [{ name = "django" }]\n'
    )
    assert "uv.lock: 1 asked for, locked, Django 5.2.8" in told(shop)


def test_processes_of_a_procfile_are_told_with_what_becomes_of_each(shop: Path) -> None:
    write(
        shop,
        {
            "Procfile": "web: gunicorn shop.wsgi\nworker: celery -A shop worker\nclock: celery -A shop beat\n"
            "reports: python manage.py reports\ncss: npm run watch\n",
            "requirements.txt": "django\ncelery\ndjango-celery-beat\n",
        },
    )
    report = told(shop)
    assert "started by      Procfile: gunicorn shop.wsgi" in report
    assert "background      worker, clock, reports\n" in report
    assert "worker of the Procfile becomes a worker pool on Cloud Run, which runs it all the time" in report
    assert "clock of the Procfile becomes a worker pool on Cloud Run with one instance" in report
    assert "reports of the Procfile becomes a worker pool on Cloud Run" in report
    assert "css of the Procfile becomes nothing" in report
    # They work, and are paid for.
    assert "nothing works for celery" not in report
    assert "schedules (" not in report
    assert "Cloud Run, 3 background workers, always on" in report
    # The deploy finds them itself.
    assert "djangogcp_background_workers" not in _adopt.inventory(read(shop), site(), shop)


def test_a_queue_without_a_process_is_told(shop: Path) -> None:
    write(shop, {"requirements.txt": "django\ndjango-rq\n"})
    assert "nothing works for django-rq: name what does in djangogcp_background_workers" in told(shop)


def test_workers_of_a_compose_file_are_written_into_the_inventory(shop: Path) -> None:
    services = (
        "services:\n"
        "  web: {build: ., command: gunicorn shop.wsgi}\n"
        "  celery_worker: {build: ., command: [celery, -A, shop, worker, -n, 'a b']}\n"
        "  beat: {build: ., entrypoint: celery -A shop, command: beat -l $$LEVEL}\n"
        # In an image of the file's own, and nowhere.
        "  mails: {build: compose, command: /start-celeryworker}\n"
        "  worker: {build: .}\n"
    )
    write(shop, {"compose.yaml": services, "requirements.txt": "django\ncelery\n"})
    inventory = yaml.safe_load(_adopt.inventory(read(shop), site(), shop))
    assert inventory["sites"]["vars"]["djangogcp_background_workers"] == {
        "celery-worker": "celery -A shop worker -n 'a b'",
        "beat": "celery -A shop beat -l $LEVEL",
    }
    report = told(shop)
    assert "celery_worker of compose.yaml becomes a worker pool on Cloud Run" in report
    assert "mails of compose.yaml becomes nothing yet" in report
    assert "worker of compose.yaml becomes nothing yet" in report
    assert "2 background workers" in report
    # A Dockerfile is only built of settings that know another database than a file.
    settings = SETTINGS + "import environ\nDATABASES = {'default': environ.Env().db('DATABASE_URL')}\n"
    write(shop, {"Dockerfile": "FROM python:3.13-slim\n", "shop/settings.py": settings})
    inventory = yaml.safe_load(_adopt.inventory(read(shop), site(), shop))
    assert inventory["sites"]["vars"]["djangogcp_background_workers"]["mails"] == "/start-celeryworker"
    # What the Procfile says is found by the deploy.
    write(shop, {"Procfile": "worker: celery -A shop worker\n"})
    assert "djangogcp_background_workers" not in _adopt.inventory(read(shop), site(), shop)


# ------------------------------------------------------------------ MySQL

MYSQL = SETTINGS.replace("django.db.backends.sqlite3", "django.db.backends.mysql")
SERVICE = "services: {db: {image: 'mariadb:11'}}\n"


def chosen(folder: Path) -> str:
    """The version that the inventory has; "" if it has none."""
    variables = yaml.safe_load(_adopt.inventory(read(folder), site(), folder))["sites"]["vars"]
    return str(variables.get("djangogcp_database_version", ""))


@pytest.mark.parametrize(
    "files",
    [
        {"shop/settings.py": MYSQL},
        {"shop/settings.py": MYSQL.replace("db.backends", "contrib.gis.db.backends")},
        {"shop/settings.py": SETTINGS + 'DATABASES["default"] = {"ENGINE": "django.db.backends.mysql"}\n'},
        {
            "shop/settings.py": f'{SETTINGS}import environ\nDATABASES = {{"default": environ.Env().db(default="mysql://app@db/app")}}\n'
        },
        {
            "shop/settings.py": 'import os\nDATABASES = {"default": {"ENGINE": os.getenv("DB_ENGINE", "django.db.backends.mysql")}}\n'
        },
        {"docker-compose.yml": SERVICE, "requirements.txt": "Django==5.2.8\nmysqlclient\n"},
        {"docker-compose.yml": SERVICE, "requirements.txt": "Django==5.2.8\nPyMySQL[rsa]>=1\n"},
    ],
)
def test_a_project_of_mysql_gets_mysql(shop: Path, files: dict[str, str]) -> None:
    write(shop, files)
    assert chosen(shop) == "MYSQL_8_0"
    report = told(shop)
    (line,) = [line for line in report.splitlines() if "the database is MySQL" in line]
    assert "MYSQL_8_4 needs djangogcp_network" in line
    assert "instance djangogcp (MYSQL_8_0, " in report
    assert "Cloud SQL for PostgreSQL" not in report
    assert "empty PostgreSQL" not in report
    # Both are what Google says of this version.
    assert "?  Cloud SQL extended support of MYSQL_8_0, charged since 2026-07-01" in report
    assert "together and what has no price in this list" in report


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"requirements.txt": "django==5.2.8\nmysqlclient\npsycopg[binary]\n"},
            "PostgreSQL is found as well as MySQL",
        ),
        (
            {"compose.yaml": "services: {db: {image: 'postgres:17'}, old: {image: mysql}}\n"},
            "PostgreSQL is found as well as MySQL",
        ),
        (
            {
                "shop/settings.py": MYSQL
                + 'import dj_database_url as d\nD = d.parse("postgresql://app@db/app")\n'
            },
            "PostgreSQL is found as well",
        ),
        # A second database is no reason.
        (
            {
                "shop/settings.py": SETTINGS.replace(
                    'db.sqlite3"}', 'db.sqlite3"}, "legacy": {"ENGINE": "django.db.backends.mysql"}'
                )
            },
            "MySQL: Cloud SQL for PostgreSQL, unless djangogcp_database_version says MYSQL_8_0 or MYSQL_8_4",
        ),
        # A service without a driver, and a driver without a service.
        (
            {"shop/settings.py": SETTINGS, "compose.yaml": SERVICE},
            "db of compose.yaml becomes Cloud SQL for PostgreSQL, unless",
        ),
        (
            {"shop/settings.py": SETTINGS, "requirements.txt": "django\nmysqlclient\n"},
            "the site begins with an empty PostgreSQL",
        ),
        (
            {
                "shop/settings.py": SETTINGS,
                "compose.yaml": "services: [mysql]\n",
                "requirements.txt": "mysqlclient\n",
            },
            "an empty PostgreSQL",
        ),
    ],
)
def test_postgresql_stays_where_it_is_found_or_nothing_else_is_sure(
    shop: Path, files: dict[str, str], said: str
) -> None:
    write(shop, {"shop/settings.py": MYSQL, **files})
    assert chosen(shop) == ""
    report = told(shop)
    assert report.count(said) == 1, report
    assert "extended support" not in report


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("django==5.2.8", "MYSQL_8_0"),
        ("django<6.1", "MYSQL_8_0"),
        ("django~=5.2", "MYSQL_8_0"),
        ("Django>=4.2,<6", "MYSQL_8_0"),
        ("django==6.0.*", "MYSQL_8_0"),
        ("django===5.2", "MYSQL_8_0"),
        ("django", "MYSQL_8_4"),
        ("django>=5.2", "MYSQL_8_4"),
        ("django~=6.0", "MYSQL_8_4"),
        ("django~=6.1.2", "MYSQL_8_4"),
        ("django==6.1", "MYSQL_8_4"),
        ("django>=5.2,<7", "MYSQL_8_4"),
        ("wagtail", "MYSQL_8_4"),
        ("django @ https://example.com/django.tar.gz", "MYSQL_8_4"),
    ],
)
def test_the_version_is_one_that_its_django_takes(shop: Path, asked: str, version: str) -> None:
    write(shop, {"shop/settings.py": MYSQL, "requirements.txt": f"{asked}\nmysqlclient\n"})
    assert chosen(shop) == version
    assert ("Django 6.1 and later takes none before it" in told(shop)) == (version == "MYSQL_8_4")


def test_a_python_that_has_no_newer_django_and_constraints_are_looked_at(shop: Path) -> None:
    write(
        shop,
        {"shop/settings.py": MYSQL, "requirements.txt": "django\nmysqlclient\n", ".python-version": "3.11\n"},
    )
    assert chosen(shop) == "MYSQL_8_0"
    write(shop, {".python-version": "3.13\n"})
    assert chosen(shop) == "MYSQL_8_4"
    write(
        shop,
        {"requirements.txt": "-c constraints.txt\ndjango\nmysqlclient\n", "constraints.txt": "django<6.1\n"},
    )
    assert chosen(shop) == "MYSQL_8_0"


def test_what_a_driver_is_compiled_with_is_left_to_the_build(shop: Path) -> None:
    write(shop, {"shop/settings.py": MYSQL, "requirements.txt": "django<6.1\nmysqlclient\n"})
    variables = yaml.safe_load(_adopt.inventory(read(shop), site(), shop))["sites"]["vars"]
    assert "djangogcp_system_packages" not in variables
    assert "mysqlclient has to be compiled" in told(shop)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"README.md": ""}, "holds no manage.py, and no folder up to three below it does"),
        ({"api/manage.py": MANAGE, "web/manage.py": MANAGE}, "holds several projects, in api, web"),
        ({"manage.py": MANAGE}, "there is no module shop.settings beside manage.py"),
        ({"manage.py": ""}, "neither manage.py nor the WSGI module names them"),
        (
            {"manage.py": MANAGE, "shop/settings.py": "DEBUG = (\n"},
            r"shop/settings.py is not Python \(line 1: '\(' was never closed\)",
        ),
    ],
)
def test_what_is_no_project_is_one_sentence(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    write(tmp_path / "shop", files)
    with pytest.raises(_adopt.AdoptError, match=complaint):
        read(tmp_path / "shop")


def test_settings_that_are_no_text_are_told(shop: Path) -> None:
    (shop / "shop/settings.py").write_bytes(b"NAME = '\xff'\n")
    with pytest.raises(_adopt.AdoptError, match=r"shop/settings\.py is not UTF-8"):
        read(shop)


def test_a_folder_that_is_not_there_and_a_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(_adopt.AdoptError, match=r"there is no folder .*/absent"):
        read(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(_adopt.AdoptError, match="/file is no folder"):
        read(tmp_path / "file")


# ------------------------------------------------------------------ the inventory


def test_an_inventory_has_few_lines_and_its_folder_may_be_moved(shop: Path, tmp_path: Path) -> None:
    text = _adopt.inventory(read(shop), site(project_id="my-project"), tmp_path / "inventories" / "shop")
    assert yaml.safe_load(text) == {
        "sites": {
            "hosts": {"shop": None},
            "vars": {
                "djangogcp_project": "my-project",
                "djangogcp_region": "us-central1",
                "djangogcp_source_dir": "{{ inventory_dir }}/../../shop",
                "djangogcp_superuser_email": "you@example.com",
            },
        }
    }
    assert len(text.splitlines()) <= 10


def test_what_was_chosen_and_what_the_project_does_not_have_is_in_the_inventory(
    shop: Path, tmp_path: Path
) -> None:
    write(
        shop,
        {
            "shop/settings.py": f'{SETTINGS}import environ\nDATABASES = {{"default": environ.Env().db()}}\n',
            "shop/urls.py": URLS.replace('"admin/"', '"back-office/"'),
        },
    )
    text = _adopt.inventory(read(shop), site(djangogcp_database_tier="db-f1-micro"), tmp_path / "x")
    variables = yaml.safe_load(text)["sites"]["vars"]
    assert variables["djangogcp_database_tier"] == "db-f1-micro"
    assert variables["djangogcp_startup_path"] == variables["djangogcp_liveness_path"] == ""
    assert variables["djangogcp_admin_path"] == "/back-office/"
    assert variables["djangogcp_project"] == _inventory.REHEARSAL_PROJECT
    assert "put yours there before you deploy" in text


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Shop_2", "my-shop-2"),
        ("shop/src", "shop"),
        ("2048", "site-2048"),
        ("a", "site-a"),
        ("a-very-long-name-of-a-project", "a-very-long-name-of"),
        ("Übung", "bung"),
        ("店", "site"),
    ],
)
def test_every_name_of_a_folder_becomes_one_of_a_site(folder: str, name: str) -> None:
    assert _inventory.site_name(Path("/srv", folder)) == name
    assert RULES["djangogcp_site"].test(name)


# ------------------------------------------------------------------ the patch


def applied(folder: Path, text: str) -> None:
    done = subprocess.run(
        ["git", "apply", "-p1", "-"], cwd=folder, input=text.encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("below", ["", "backend"])
@pytest.mark.parametrize("in_git", ["", ".", ".."])
def test_git_applies_the_patch_and_then_the_settings_read_the_environment(
    shop: Path, end: str, is_whole: bool, below: str, in_git: str
) -> None:
    settings = SETTINGS.replace("\n", end)
    write(
        shop,
        {
            "shop/settings.py": settings if is_whole else settings.rstrip(),
            "requirements.txt": f"django==5.2.8{end}pillow{end if is_whole else ''}",
        },
    )
    if below:
        for name in ("manage.py", "shop"):
            (shop / below).mkdir(exist_ok=True)
            (shop / name).rename(shop / below / name)
    if in_git:
        subprocess.run(["git", "init", "-q", str(shop / in_git)], check=True)
    before = read(shop)
    assert before.source["overlay"]
    patch = _adopt.patch(before)
    assert (patch.problem, patch.notes) == ("", [])
    applied(shop, patch.text)
    after = read(shop)
    assert after.settings.reads_database_url
    assert not after.source["overlay"]
    assert {"django-environ", "django-storages", "whitenoise", "pillow"} <= set(after.source["requirements"])
    assert after.source["static_server"] == "whitenoise"
    assert _adopt.with_own_settings(before).paths == after.paths
    text = (shop / below / "shop/settings.py").read_bytes().decode()
    assert text.startswith(settings.rstrip())
    assert text.replace("\r\n", "").count("\n") == (text.count("\n") if end == "\n" else 0)
    assert _adopt.patch(after).problem == "shop.settings reads DATABASE_URL already"


def test_the_lines_are_for_the_django_that_the_project_has(shop: Path) -> None:
    write(shop, {"requirements.txt": "django==3.2.25\n"})
    text = _adopt.patch(read(shop)).text
    assert "+    DEFAULT_FILE_STORAGE" in text
    assert "STORAGES = {" not in text


def test_a_lock_file_is_not_patched_but_its_command_told(shop: Path) -> None:
    test_a_lock_file_is_told_as_one(shop)
    patch = _adopt.patch(read(shop))
    assert [line for line in patch.text.splitlines() if line.startswith("+++")] == ["+++ b/shop/settings.py"]
    assert patch.notes == [
        "after the patch, in the folder: uv add 'django-environ==0.14.0' 'django-storages[google]==1.14.6' 'whitenoise==6.12.0'"
    ]


def test_settings_of_classes_get_no_patch(shop: Path) -> None:
    write(shop, {"shop/settings.py": "from configurations import Configuration\n"})
    assert "django-configurations makes the settings" in _adopt.patch(read(shop)).problem


# ------------------------------------------------------------------ what it costs


def test_a_month_is_the_sum_of_its_lines(shop: Path) -> None:
    report = told(shop).splitlines()
    place = next(i for i, line in enumerate(report) if line.startswith("A month, in US dollars"))
    bill = [float(line.split()[0]) for line in report[place + 1 : place + 7]]
    # (0.0413 + 3.75 * 0.007) * 730 hours
    assert bill[0] == 49.31
    assert abs(sum(bill) - float(report[place + 7].split()[0])) < 0.05
    assert "together with -e database_tier=db-f1-micro" in report[place + 8]


def test_another_region_is_a_range(shop: Path) -> None:
    assert "in the dearest regions (prices depend on the region, here europe-west1)" in told(
        shop, region="europe-west1"
    )
    assert "dearest" not in told(shop)


def test_a_tier_without_a_price_is_not_guessed() -> None:
    bill = "\n".join(_adopt.costs(site(djangogcp_database_tier="db-perf-optimized-N-2")))
    assert "       ?  Cloud SQL db-perf-optimized-N-2" in bill
    assert "together and what has no price in this list" in bill


def test_instances_that_are_kept_cost_and_two_zones_cost_twice() -> None:
    def first(text: str, **sizes: object) -> float:
        lines = _adopt.costs(site(**sizes))
        return float(next(line for line in lines if text in line).split()[0])

    # 730 * 3600 seconds * (1 vCPU + 0.5 GiB) * 0.0000025
    assert first("instances kept, idle", djangogcp_min_instances=2) == round(2 * 2628000 * 1.5 * 0.0000025, 2)
    assert first("always on", djangogcp_database_availability="REGIONAL") == pytest.approx(98.62, abs=0.02)
