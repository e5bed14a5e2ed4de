"""Stock projects, made as the handbook tells a reader to, and inventories of such sites."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.e2e.rehearsal import BIN, PROJECT, REGION, ROOT, Rehearsal

EMAIL = "admin@example.com"
_PLAIN = """
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT = "/tmp/static"
STATIC_URL = "/static/"
"""
_SERVED = """
from django.contrib.staticfiles.views import serve
from django.urls import re_path

urlpatterns += [re_path("^static/(?P<path>.*)$", serve, {"insecure": True})]
"""


def recipe(name: str) -> str:
    """A block of code of the handbook, by the name in the comment above it."""
    handbook = (ROOT / "docs" / "handbook.md").read_text("utf-8")
    found = re.search(rf"<!-- recipe: {name} -->\n *```\w+\n(.*?)\n *```", handbook, re.DOTALL)
    assert found is not None, f"docs/handbook.md has no recipe {name}"
    return textwrap.dedent(found[1]) + "\n"


def pinned(*names: str) -> str:
    """Lines of requirements with the versions that the tests themselves use, which pip has at hand."""
    return "".join(f"{name}=={importlib.metadata.version(name.partition('[')[0])}\n" for name in names)


def unedited(folder: Path) -> Path:
    """As Django writes it, with one line of requirements."""
    folder.mkdir(parents=True)
    subprocess.run([BIN / "django-admin", "startproject", "mysite", folder], check=True)
    (folder / "requirements.txt").write_text(pinned("django"), "utf-8")
    return folder


def startproject(folder: Path) -> Path:
    """``django-admin startproject mysite`` with what the handbook adds."""
    unedited(folder)
    _append_settings(folder / "mysite" / "settings.py")
    (folder / "requirements.txt").write_text(pinned("django", *recipe("requirements").splitlines()), "utf-8")
    return folder


def plain_project(folder: Path) -> Path:
    """As :func:`startproject`, without Google's libraries, which are most of what a build installs and a start imports: for tests that are not
    about files."""
    requirements = startproject(folder) / "requirements.txt"
    lines = requirements.read_text("utf-8").splitlines(keepends=True)
    requirements.write_text(
        "".join(line for line in lines if not line.startswith("django-storages")), "utf-8"
    )
    for name, lines in (("settings.py", _PLAIN), ("urls.py", _SERVED)):
        with (folder / "mysite" / name).open("a", encoding="utf-8") as module:
            module.write(lines)
    return folder


def small_site(folder: Path) -> dict[str, Any]:
    """The variables of a site that :func:`startproject` made, small enough for several in the smallest instance."""
    return {
        "djangogcp_source_dir": str(folder),
        "djangogcp_max_instances": 1,
        **yaml.safe_load(recipe("startproject")),
    }


def add_migration(folder: Path, app: str, word: str, *operations: str) -> Path:
    """A further migration of an app of such a project, which is made if it is not there; the operations are expressions of `migrations`."""
    migrations = folder / app / "migrations"
    if not migrations.is_dir():
        migrations.mkdir(parents=True)
        (folder / app / "__init__.py").touch()
        (migrations / "__init__.py").touch()
        with (folder / "mysite" / "settings.py").open("a", encoding="utf-8") as settings:
            settings.write(f"\nINSTALLED_APPS += [{app!r}]\n")
    names = sorted(path.stem for path in migrations.glob("0*.py"))
    path = migrations / f"{len(names) + 1:04}_{word}.py"
    listed = ", ".join(f"migrations.{one}" for one in operations)
    path.write_text(
        "from django.db import migrations, models\n"
        "class Migration(migrations.Migration):\n"
        f"    dependencies = {[(app, name) for name in names[-1:]]}\n"
        f"    operations = [{listed}]\n",
        "utf-8",
    )
    return path


def wagtail_start(folder: Path) -> Path:
    """``wagtail start mysite`` with what the handbook adds and takes away."""
    folder.mkdir(parents=True)
    subprocess.run([BIN / "wagtail", "start", "mysite", folder], check=True, stdout=subprocess.DEVNULL)
    (folder / "Dockerfile").unlink()
    _append_settings(folder / "mysite" / "settings" / "production.py")
    (folder / "requirements.txt").write_text(
        pinned("django", "wagtail", *recipe("requirements").splitlines()), "utf-8"
    )
    return folder


def _append_settings(path: Path) -> None:
    path.write_text(path.read_text("utf-8") + "\n" + recipe("settings"), "utf-8")


def inventory(path: Path, sites: Mapping[str, Mapping[str, Any]]) -> Path:
    """An inventory of sites in the rehearsal's project, with their variables."""
    content = {
        "sites": {
            "hosts": {name: dict(variables) for name, variables in sites.items()},
            "vars": {
                "ansible_connection": "local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                "djangogcp_project": PROJECT,
                "djangogcp_region": REGION,
                "djangogcp_superuser_email": EMAIL,
            },
        }
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return path


def csrf_token(page: requests.Response) -> str:
    """The token of the form on a page."""
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token is not None, page.text
    return token[1]


def logged_in(rehearsal: Rehearsal, site: str, login: str = "/admin/login/") -> requests.Session:
    """A session in which the superuser ``admin`` has logged in with the generated password."""
    session = rehearsal.session()
    address = rehearsal.url(site) + login
    form = {
        "csrfmiddlewaretoken": csrf_token(session.get(address, timeout=60)),
        "username": "admin",
        "password": rehearsal.secret(f"{site}-superuser-password"),
        "next": login.removesuffix("login/"),
    }
    answer = session.post(address, data=form, headers={"Referer": address}, timeout=60)
    assert answer.url == rehearsal.url(site) + form["next"], answer.text
    return session
