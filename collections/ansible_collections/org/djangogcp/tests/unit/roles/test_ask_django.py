# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What jobs run in a project's own process: questions about pages that fail without a word in the log, and the first superuser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
    assert lines[0] == "/broken/ fails:"
    assert lines[-2:] == ["LookupError: no table of that name", "/ answers 200 here."]


def test_a_host_that_is_not_allowed_is_seen() -> None:
    assert said("other.run.app", "/there/") == ["/there/ answers 400 here."]


def test_a_project_without_users_gets_no_superuser() -> None:
    script = (SCRIPT.parents[2] / "app/files/ensure_superuser.py").read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROJECT + script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "The project has no users: django.contrib.auth is not installed.\n"
