"""The playbook that reads a project: what it writes, what it leaves alone, what it refuses. No account and no emulator is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import sites

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/adopt.yml"


def adopt(folder: Path, source: Path | str, *options: str) -> tuple[int, str]:
    """Exit status and output of the playbook, run in a folder where no rehearsal leads to anything."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GCP_"))
    }
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            str(ROOT / PLAYBOOK),
            "-e",
            f"source_dir={source}",
            *options,
        ],
        cwd=folder,
        env={
            **inherited,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "HOME": str(folder),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "4000",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout
    return done.returncode, done.stdout


def startproject(folder: Path) -> None:
    """What Django's own command makes, and the file without which nothing is installed."""
    folder.mkdir()
    subprocess.run(
        [str(Path(sys.executable).parent / "django-admin"), "startproject", "mysite", str(folder)], check=True
    )
    (folder / "requirements.txt").write_text("django\n", "utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    startproject(tmp_path / "shop")
    return tmp_path / "shop"


def files(folder: Path) -> set[str]:
    """What is below a folder, as paths; what Ansible itself leaves there aside."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and ".ansible" not in path.parts and "__pycache__" not in path.parts
    }


def test_an_inventory_is_written_once(shop: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    status, output = adopt(tmp_path, "shop", "--check", "-e", "patch=true")
    assert (status, files(tmp_path)) == (0, before), output
    assert "Would write: inventories/shop/hosts.yml" in output
    assert "djangogcp_source_dir" in output
    assert "+    DATABASES" in output

    status, output = adopt(tmp_path, "shop", "--diff")
    assert status == 0, output
    assert "Wrote: inventories/shop/hosts.yml" in output
    assert "+sites:" in output
    assert "A month, in US dollars" in output
    assert files(tmp_path) == {*before, "inventories/shop/hosts.yml"}
    [site] = sites.read(tmp_path / "inventories" / "shop")
    assert (site.name, site.project, site.admin_path) == ("shop", sites.PROJECT, "/admin/")

    status, output = adopt(tmp_path, "shop", "-i", "localhost,")
    assert status == 0, output
    assert "Is there already: inventories/shop/hosts.yml" in output
    assert "changed=0" in output

    status, output = adopt(tmp_path, "shop", "-e", "project_id=my-project")
    assert status != 0
    assert "is there already and says something else: it is not overwritten" in output
    assert "my-project" not in (tmp_path / "inventories/shop/hosts.yml").read_text("utf-8")


def test_a_patch_lies_beside_the_inventory(shop: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    options = (
        "-e",
        f"inventory_dir={mine}",
        "-e",
        "patch=true",
        "-e",
        "region=europe-west1",
        "-i",
        "localhost,",
    )
    status, output = adopt(tmp_path, shop, *options, "-e", "project_id=my-project")
    assert status == 0, output
    assert files(mine) == {"hosts.yml"}
    subprocess.run(["git", "-C", str(shop), "apply", "-p1", str(tmp_path / "mine.patch")], check=True)
    [site] = sites.read(mine)
    assert (site.project, site.region) == ("my-project", "europe-west1")
    assert "djangogcp_startup_path: ''" in (mine / "hosts.yml").read_text("utf-8")


@pytest.mark.parametrize(
    ("source", "options", "complaint"),
    [
        ("absent", (), "there is no folder"),
        (".", ("-e", "inventory_dir=inventories"), "holds several projects, in other, shop"),
        ("shop", ("-e", "project_id=My_Project"), "project_id is My_Project: expected"),
        ("shop", ("-e", "region=europe-west99"), "expected a region of Google Cloud"),
        ("shop", ("-e", "min_instances=many"), "min_instances"),
        ("shop", ("-e", "inventory_dir=own"), "own holds hosts already"),
    ],
)
def test_wrong_input_is_one_sentence_and_nothing_is_written(
    shop: Path, tmp_path: Path, source: str, options: tuple[str, ...], complaint: str
) -> None:
    startproject(tmp_path / "other")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "hosts").write_text("[sites]\npolls\n", "utf-8")
    before = files(tmp_path)
    status, output = adopt(tmp_path, source, *options)
    assert status != 0
    assert complaint in output
    assert output.count("FAILED!") == 1
    assert files(tmp_path) == before


def test_a_project_of_mysql_gets_mysql_and_is_told_what_its_version_needs(shop: Path, tmp_path: Path) -> None:
    settings = shop / "mysite/settings.py"
    text = settings.read_text("utf-8")
    settings.write_text(text.replace("django.db.backends.sqlite3", "django.db.backends.mysql"), "utf-8")
    (shop / "requirements.txt").write_text("django<6.1\nmysqlclient\n", "utf-8")
    status, output = adopt(tmp_path, "shop", "-e", f"inventory_dir={tmp_path / 'old'}")
    assert status == 0, output
    assert "djangogcp_database_version: MYSQL_8_0\n" in (tmp_path / "old/hosts.yml").read_text("utf-8")
    assert "To be mended first" not in output
    # mysqlclient is its driver, so none is installed beside it.
    assert "PyMySQL==" not in output
    assert "psycopg2" not in output

    (shop / "requirements.txt").write_text("django\n", "utf-8")
    status, output = adopt(tmp_path, "shop", "-e", f"inventory_dir={tmp_path / 'new'}", "-e", "site=mysql")
    assert status == 0, output
    assert "djangogcp_database_version: MYSQL_8_4\n" in (tmp_path / "new/hosts.yml").read_text("utf-8")
    refused = output.partition("To be mended first: a deploy refuses")[2].partition("A month")[0]
    assert "djangogcp_network is not set" in refused
    assert "djangogcp_database_name is 'mysql': expected for MYSQL_8_4 at most 23" in refused
    assert "PyMySQL==" in output


#: What Google Cloud gives to a site, with a database that can be had here, and a page that needs all of it.
ENVIRONMENT = {
    "SECRET_KEY": "only-for-tests-" * 4,
    "ALLOWED_HOSTS": "shop.example",
    "CSRF_TRUSTED_ORIGINS": "https://shop.example",
    "GS_MEDIA_BUCKET_NAME": "shop-media",
}
PAGE = """
import django, json
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.test import Client
call_command("check", deploy=True, fail_level="ERROR", verbosity=0)
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
page = Client(headers={"Host": "shop.example"}).get("/admin/login/", secure=True)
print(json.dumps({
    "page": page.status_code,
    "hashed": "/admin/css/base." in page.text and "/admin/css/base.css" not in page.text,
    "uploads": settings.STORAGES["default"]["BACKEND"],
    "other": settings.STORAGES.get("other"),
    "debug": settings.DEBUG,
    "database": settings.DATABASES["default"]["NAME"],
    "databases": sorted(settings.DATABASES),
}))
"""


def with_parts(folder: Path) -> None:
    """What the tutorial's reader has two years later: settings in parts, below a folder, written by an editor of Windows, with more of everything."""
    startproject(folder)
    project = folder / "backend"
    project.mkdir()
    for name in ("manage.py", "mysite"):
        (folder / name).rename(project / name)
    parts = project / "mysite" / "settings"
    parts.mkdir()
    text = (
        (project / "mysite/settings.py").read_text("utf-8").replace("parent.parent", "parent.parent.parent")
    )
    text += (
        'STATIC_ROOT = BASE_DIR / "collected"\n'
        'STORAGES = {name: {"BACKEND": "django.core.files.storage.InMemoryStorage"} for name in ("default", "staticfiles", "other")}\n'
        'DATABASES["default"]["ATOMIC_REQUESTS"] = True\n'
    )
    (project / "mysite/settings.py").unlink()
    (parts / "__init__.py").touch()
    (parts / "base.py").write_bytes(text.replace("\n", "\r\n").encode())
    (parts / "production.py").write_bytes(
        b'from mysite.settings.base import *\r\n\r\nDATABASES = {**DATABASES, "archive": {"ENGINE": "django.db.backends.sqlite3"}}\r\nDEBUG = True'
    )
    for name in ("manage.py", "mysite/wsgi.py", "mysite/asgi.py"):
        file = project / name
        file.write_text(
            file.read_text("utf-8").replace("mysite.settings", "mysite.settings.production"), "utf-8"
        )
    (folder / "requirements.txt").write_bytes(b"django>=4.2")


@pytest.mark.parametrize(
    "applies", [("git", "apply", "-p1"), ("patch", "-p1", "--binary", "-i")], ids=lambda words: words[0]
)
@pytest.mark.parametrize(
    ("begin", "module", "databases", "other"),
    [
        (startproject, "mysite.settings", ["default"], None),
        (
            with_parts,
            "mysite.settings.production",
            ["archive", "default"],
            {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        ),
    ],
    ids=["startproject", "with parts"],
)
def test_a_patched_project_serves_and_is_offered_no_further_patch(
    tmp_path: Path,
    applies: tuple[str, ...],
    begin: Callable[[Path], None],
    module: str,
    databases: list[str],
    other: dict[str, str] | None,
) -> None:
    if shutil.which(applies[0]) is None:
        pytest.skip(f"the program {applies[0]} is not here")
    shop = tmp_path / "shop"
    begin(shop)
    options = ("-e", "patch=true", "-e", "project_id=my-project")
    status, output = adopt(tmp_path, "shop", *options)
    assert status == 0, output
    patch = tmp_path / "inventories/shop.patch"
    subprocess.run([*applies, str(patch)], cwd=shop, check=True)

    (manage,) = shop.rglob("manage.py")
    database = tmp_path / "rows.sqlite3"
    done = subprocess.run(
        [sys.executable, "-c", PAGE],
        cwd=manage.parent,
        env={
            **os.environ,
            **ENVIRONMENT,
            "DJANGO_SETTINGS_MODULE": module,
            "DATABASE_URL": f"sqlite:///{database}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "page": 200,
        "hashed": True,
        "uploads": "storages.backends.gcloud.GoogleCloudStorage",
        "other": other,
        "debug": False,
        "database": str(database),
        "databases": databases,
    }
    # On a developer's machine nothing of it applies.
    plain = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    subprocess.run([sys.executable, "manage.py", "check"], cwd=manage.parent, env=plain, check=True)

    again = tmp_path / "again"
    again.mkdir()
    status, output = adopt(
        again, shop, *options, "-e", f"inventory_dir={tmp_path / 'inventories/again'}", "-e", "site=shop"
    )
    assert status == 0, output
    assert f"no patch: {module} reads DATABASE_URL already" in output
    assert not (tmp_path / "inventories/again.patch").exists()
    first, second = (tmp_path / f"inventories/{name}/hosts.yml" for name in ("shop", "again"))
    assert first.read_text("utf-8") == second.read_text("utf-8")
