# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What jobs run in a project's own process: questions about pages that fail without a word in the log, and the first superuser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

SCRIPT = Path(__file__).parents[3] / "roles/release/files/ask_django.py"
PROJECT = """
import django
from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path

def broken(request):
    raise LookupError("no table of that name")

settings.configure(ALLOWED_HOSTS=["shop.run.app"], ROOT_URLCONF=__name__, SECRET_KEY="x", SECURE_SSL_REDIRECT=True,
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"])
urlpatterns = [
    path("broken/", broken),
    path("", lambda request: HttpResponseRedirect("/there/")),
    path("there/", lambda request: HttpResponse("ok")),
]
django.setup()
"""


def said(host: str, *paths: str) -> list[str]:
    code = f"{PROJECT}\n{SCRIPT.read_text('utf-8')}\nask({list(paths)!r}, {host!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_exception_of_a_page_is_printed_and_the_next_one_is_asked() -> None:
    lines = said("shop.run.app", "/broken/", "/")
    assert lines[0] == "ask_django: /broken/ fails:"
    assert lines[-2:] == ["ask_django: LookupError: no table of that name", "ask_django: / answers 200 here."]


def test_a_host_that_is_not_allowed_is_seen() -> None:
    assert said("other.run.app", "/there/") == ["ask_django: /there/ answers 400 here."]


def test_what_the_question_prints_is_told_from_the_rest_by_its_mark() -> None:
    """Django 5.2 says that it has imported models, and Cloud Run that the container ended."""
    mark = yaml.safe_load((SCRIPT.parents[1] / "vars/main.yml").read_text("utf-8"))["__release_mark"]
    lines = said("shop.run.app", "/broken/", "/there/")
    assert len(lines) > 2
    assert all(line.startswith(mark) for line in lines)


def test_a_project_without_users_gets_no_superuser() -> None:
    script = (SCRIPT.parents[2] / "app/files/ensure_superuser.py").read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROJECT + script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "The project has no users: django.contrib.auth is not installed.\n"


USERS = """
import os, sys, types
import django
from django.conf import settings

settings.configure(SECRET_KEY="x", AUTH_USER_MODEL="auth.User", DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
call_command("migrate", verbosity=0)
get_user_model().REQUIRED_FIELDS = ["email", "first_name"]
"""


def superuser(**environment: str) -> subprocess.CompletedProcess[str]:
    script = (SCRIPT.parents[2] / "app/files/ensure_superuser.py").read_text("utf-8")
    tell = "\nprint(*get_user_model().objects.values_list('username', 'email', 'first_name', 'is_superuser'))"
    given = {"DJANGO_SUPERUSER_PASSWORD": "x", "DJANGO_SUPERUSER_EMAIL": "a@example.com", **environment}
    return subprocess.run(
        [sys.executable, "-c", USERS + script + script + tell],
        capture_output=True,
        text=True,
        env=given,
        check=False,
    )


def test_a_superuser_gets_the_fields_that_its_model_requires() -> None:
    done = superuser(DJANGO_SUPERUSER_USERNAME="admin", DJANGO_SUPERUSER_FIRST_NAME="Zoë d'Or")
    assert done.stdout.splitlines()[1:] == [
        "The superuser admin is there.",
        """('admin', 'a@example.com', "Zoë d'Or", True)""",
    ]


def test_a_field_that_nobody_gives_is_named_with_the_variable_to_set() -> None:
    done = superuser()
    assert done.returncode == 1
    assert done.stderr == (
        "The superuser of auth.User needs DJANGO_SUPERUSER_USERNAME, DJANGO_SUPERUSER_FIRST_NAME: set them in djangogcp_environment.\n"
    )
