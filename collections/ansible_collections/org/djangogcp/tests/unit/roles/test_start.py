# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The question of the job that migrates whether an instance of the new image would start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROGRAM = (Path(__file__).parents[3] / "roles/app/files/start.py").read_text("utf-8")
MARK = yaml.safe_load((Path(__file__).parents[3] / "roles/release/vars/main.yml").read_text("utf-8"))[
    "__release_start_mark"
]
PROJECT = """
import django
from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path

def broken(request):
    raise LookupError("no table of that name")

settings.configure(ALLOWED_HOSTS=["shop.run.app"], ROOT_URLCONF=__name__, SECRET_KEY="x", SECURE_SSL_REDIRECT=True,
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"])
urlpatterns = [path("live/", lambda request: HttpResponse("ok")), path("moved/", lambda request: HttpResponseRedirect("/live/")),
    path("broken/", broken), path("busy/", lambda request: HttpResponse("no", status=503))]
django.setup()
"""


def started(page: str, host: str = "shop.run.app") -> tuple[int, list[str]]:
    code = f"{PROGRAM}\n{PROJECT}\nstart({page!r}, {host!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, [
        line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)
    ]


@pytest.mark.parametrize("page", ["/live/", "/moved/", "/absent/"])
def test_what_a_probe_would_pass_or_django_may_not_answer_stops_nothing(page: str) -> None:
    assert started(page) == (0, [])


def test_an_exception_is_told_with_its_end() -> None:
    status, lines = started("/broken/")
    assert status == 77
    assert lines[0] == "/broken/ fails:"
    assert lines[-1] == "LookupError: no table of that name"


def test_an_answer_is_told_with_what_django_says_of_it() -> None:
    status, lines = started("/live/", "other.run.app")
    assert status == 77
    assert lines[0] == "/live/ answers 400 to the host other.run.app"
    assert lines[1].startswith("Invalid HTTP_HOST header: 'other.run.app")
    assert started("/busy/")[1][0] == "/busy/ answers 503 to the host shop.run.app"
