"""The model site under the overlay, as its image has it, each time in a new Python: settings are made once per process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.overlay.ask import TRACE
from tests.overlay.djangos import OVERLAY, ROOT

APP = ROOT / "app"
OLD_KEY = "$older-but-as-long-as-the-check-wants-it-9876543210-abcdefghijk"
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "django_on_google_cloud.settings",
    "DJANGO_PROJECT_SETTINGS_MODULE": "config.settings",
    "DATABASE_URL": "postgres://polls_web_1:a%2Fb%23@/polls?host=/cloudsql/my-project:europe-west1:djangogcp",
    "SECRET_KEY": "$tarts-with-a-dollar-and-is-long-enough-to-pass-the-check-0123456789",
    "SECRET_KEY_FALLBACKS": f"{OLD_KEY},oldest-{OLD_KEY}",
    "ALLOWED_HOSTS": "shop.example.com,polls.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://shop.example.com,https://polls.example.org",
    "GS_MEDIA_BUCKET_NAME": "my-media",
    "GS_STATIC_BUCKET_NAME": "my-static",
    "GOOGLE_CLOUD_PROJECT": "my-project",
}
#: As compose.yaml has it, where nothing ends HTTPS.
PLAIN = dict.fromkeys(("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"), "false")


def run(
    *arguments: str, without: str = "", folder: Path = APP, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs Python in the site's folder with the environment of production and nothing else."""
    environment = PRODUCTION | variables | {"PATH": os.environ["PATH"], "PYTHONPATH": str(OVERLAY)}
    environment.pop(without, None)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def read(expression: str, **variables: str) -> Any:
    """The value of an expression over the settings, through JSON."""
    code = f"import json; from django.conf import settings; print(json.dumps({expression}))"
    done = run("-c", code, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_checks_of_a_deployment_have_nothing_to_say() -> None:
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout


@pytest.mark.parametrize(
    "url",
    [
        PRODUCTION["DATABASE_URL"],
        "postgres://polls_web_1:a%2Fb%23@//cloudsql/my-project:europe-west1:djangogcp/polls",
    ],
)
def test_the_database(url: str) -> None:
    assert read("settings.DATABASES['default']", DATABASE_URL=url) == {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "/cloudsql/my-project:europe-west1:djangogcp",
        "PORT": "",
        "NAME": "polls",
        "USER": "polls_web_1",
        "PASSWORD": "a/b#",
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 10},
    }


def test_debug_is_off_unless_asked_for() -> None:
    assert read("settings.DEBUG") is False
    assert read("settings.DEBUG", DEBUG="true") is True


def test_keys_may_start_with_a_dollar() -> None:
    keys = read("[settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]")
    assert keys == [PRODUCTION["SECRET_KEY"], OLD_KEY, f"oldest-{OLD_KEY}"]


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL"])
def test_what_the_site_cannot_do_without_has_no_default(name: str) -> None:
    done = run("manage.py", "check", without=name)
    assert done.returncode != 0
    assert f"Set the {name} environment variable" in done.stderr


def test_secrets_may_be_in_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("$from-a-file\n", "utf-8")
    code = "from django.conf import settings; print(settings.SECRET_KEY)"
    done = run("-c", code, without="SECRET_KEY", SECRET_KEY_FILE=str(tmp_path / "key"))
    assert done.stdout == "$from-a-file\n", done.stderr


def test_hosts_and_origins_are_lists() -> None:
    hosts, origins = read("[settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS]")
    assert hosts == ["shop.example.com", "polls.example.org"]
    assert origins == ["https://shop.example.com", "https://polls.example.org"]


def test_each_kind_of_file_has_its_bucket() -> None:
    expression = "[settings.GS_BUCKET_NAME, settings.STATIC_URL, settings.STORAGES]"
    assert read(expression) == [
        "my-media",
        "https://storage.googleapis.com/my-static/",
        {
            "default": {"BACKEND": "django_on_google_cloud.storage.SignedMediaStorage"},
            "staticfiles": {"BACKEND": "django_on_google_cloud.static.BucketStaticFilesStorage"},
        },
    ]


def test_without_a_static_bucket_the_site_serves_its_static_files_itself() -> None:
    whitenoise = "whitenoise.middleware.WhiteNoiseMiddleware"
    assert whitenoise not in read("settings.MIDDLEWARE")
    middleware = read("settings.MIDDLEWARE", GS_STATIC_BUCKET_NAME="")
    # HTTPS is asked for first, and a file needs neither a session nor a user.
    security = middleware.index("django.middleware.security.SecurityMiddleware")
    assert middleware.index(whitenoise) == security + 1
    assert read("settings.STATIC_URL", GS_STATIC_BUCKET_NAME="") == "/static/"
    assert read("settings.SECURE_CSP['style-src']", GS_STATIC_BUCKET_NAME="") == ["'self'"]


def test_the_policy_names_the_two_buckets_and_not_the_whole_of_cloud_storage() -> None:
    policy = read("settings.SECURE_CSP")
    host = "https://storage.googleapis.com"
    assert policy["img-src"] == ["'self'", "data:", f"{host}/my-static/", f"{host}/my-media/"]
    assert policy["script-src"] == ["'self'", f"{host}/my-static/"]


def test_another_server_of_buckets_is_used_and_allowed() -> None:
    address, allowed = read(
        "[settings.STATIC_URL, settings.SECURE_CSP['img-src']]",
        STORAGE_EMULATOR_HOST="http://gcs.localhost:4443",
    )
    assert address == "http://gcs.localhost:4443/my-static/"
    assert {address, "http://gcs.localhost:4443/my-media/"} <= set(allowed)


def test_the_front_is_the_proxy_that_tells_addresses() -> None:
    names = "[settings.TRUSTED_PROXIES, settings.CLIENT_ADDRESS_HEADER]"
    assert read(names) == [1, "X-Forwarded-For"]
    assert read(names, DEBUG="true") == [0, "X-Forwarded-For"]
    assert read(names, TRUSTED_PROXIES="2") == [2, "X-Forwarded-For"]
    assert read(names, GAE_ENV="standard") == [1, "X-Appengine-User-IP"]


def test_without_https_in_front_nothing_asks_for_it() -> None:
    expression = "[settings.SECURE_SSL_REDIRECT, settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE]"
    assert read(expression) == [True, True, True]
    assert read(expression, **PLAIN) == [False, False, False]


def test_asgi_keeps_no_connections() -> None:
    code = "import config.asgi; from django.conf import settings; print(settings.DATABASES['default']['CONN_MAX_AGE'])"
    assert run("-c", code).stdout == "0\n"


def test_starting_calls_nobody() -> None:
    code = (
        "import socket\n"
        "def refuse(*args): raise SystemExit(f'called {args[1:]}')\n"
        "socket.socket.connect = refuse\n"
        "import config.wsgi\n"
    )
    done = run("-c", code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site's folder, with a database and what app/Dockerfile collects."""
    folder = tmp_path_factory.mktemp("image") / "app"
    ignored = shutil.ignore_patterns("__pycache__", "tests", "media", "staticfiles", "*.sqlite3", ".env")
    shutil.copytree(APP, folder, ignore=ignored)
    for command in (["migrate"], ["collectstatic", "--no-input"]):
        database = f"sqlite:///{folder}/db.sqlite3"
        done = run("manage.py", *command, folder=folder, DATABASE_URL=database, GS_STATIC_BUCKET_NAME="")
        assert done.returncode == 0, done.stderr
    return folder


def ask(image: Path, *paths: str, **variables: str) -> tuple[list[Any], list[dict[str, Any]]]:
    """What the site answers to each path, status, headers and text, and what it logged."""
    program = str(Path(__file__).with_name("ask.py"))
    database = f"sqlite:///{image}/db.sqlite3"
    done = run(program, "config.wsgi", *paths, folder=image, **{"DATABASE_URL": database, **variables})
    assert done.returncode == 0, done.stderr
    *logged, answers = done.stdout.splitlines()
    return json.loads(answers), [json.loads(line) for line in logged]


def test_its_pages_name_their_style_sheet_in_the_bucket_and_have_its_policy(image: Path) -> None:
    [[status, headers, page]], _logged = ask(image, "/")
    assert status == 200
    bucket = "https://storage.googleapis.com/my-static/"
    assert re.search(rf'<link rel="stylesheet" href="{bucket}site/site\.[0-9a-f]{{12}}\.css"', page)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; base-uri 'none'; ")
    assert f"style-src 'self' {bucket}" in policy
    assert headers["Strict-Transport-Security"] == "max-age=31536000"


def test_its_style_sheet_comes_from_the_image_where_there_is_no_bucket(image: Path) -> None:
    [[_status, _headers, page]], _logged = ask(image, "/", GS_STATIC_BUCKET_NAME="")
    sheet = re.search(r'<link rel="stylesheet" href="(/static/site/site\.[0-9a-f]{12}\.css)"', page)
    assert sheet is not None
    asked = (sheet[1], "/static/site/site.css", "/static/../manage.py", "/static/nowhere.css")
    answers, _logged = ask(image, *asked, GS_STATIC_BUCKET_NAME="")
    assert [status for status, _headers, _text in answers] == [200, 200, 404, 404]
    assert ["immutable" in headers["Cache-Control"] for _status, headers, _text in answers[:2]] == [
        True,
        False,
    ]
    assert (image / "staticfiles" / f"{sheet[1].removeprefix('/static/')}.gz").is_file()


def test_its_log_in_has_cookies_that_plain_http_carries_where_it_has_to(image: Path) -> None:
    [[_status, headers, _page]], _logged = ask(image, "/accounts/login/")
    assert "; Secure" in headers["Set-Cookie"]
    [[status, headers, _page]], _logged = ask(image, "http://shop.example.com/accounts/login/", **PLAIN)
    assert status == 200
    assert "; Secure" not in headers["Set-Cookie"]


def test_probes_know_neither_its_name_nor_https_and_a_stranger_gets_no_page(image: Path) -> None:
    asked = ("http://10.0.0.7:8080/-/live", "http://10.0.0.7:8080/-/ready", "https://10.0.0.7/")
    answers, logged = ask(image, *asked)
    assert [status for status, _headers, _text in answers] == [200, 200, 400]
    # Scanners ask for any host, and nothing is wrong with the site.
    assert [line for line in logged if line["severity"] in ("ERROR", "CRITICAL")] == []
    assert json.loads(answers[1][2]) == {"status": "ok", "database": "ok", "migrations": "ok"}


def test_in_maintenance_visitors_are_told_and_probes_and_who_tests_are_answered(image: Path) -> None:
    said = {
        "MAINTENANCE_RETRY_AFTER": "120",
        "MAINTENANCE_MESSAGE": "Back <soon>",
        "MAINTENANCE_EXCEPT_HOSTS": "candidate.example.org,polls.example.org",
        "MAINTENANCE_EXCEPT_PATHS": "/health/",
        "MAINTENANCE_EXCEPT_RELEASE": "v2",
    }
    # Not even the database is asked for it.
    asked = (
        "/polls/",
        "http://10.0.0.7:8080/-/live",
        "https://polls.example.org/accounts/login/",
        "/health/",
        "https://v2@shop.example.com/accounts/login/",
        "https://v1@shop.example.com/accounts/login/",
    )
    answers, logged = ask(image, *asked, **said)
    assert [status for status, _headers, _text in answers] == [503, 200, 200, 404, 200, 503]
    _status, headers, page = answers[0]
    assert (headers["Retry-After"], headers["Cache-Control"]) == ("120", "no-store")
    assert "<p>Back &lt;soon&gt;</p>" in page
    assert [line for line in logged if line["severity"] in ("ERROR", "CRITICAL")] == []


def test_its_errors_are_lines_with_severity_and_trace(image: Path) -> None:
    [[status, headers, page]], logged = ask(image, "/polls/", DATABASE_URL="sqlite://:memory:")
    assert status == 500
    assert "Something went wrong" in page
    assert headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    [line] = [line for line in logged if line["severity"] == "ERROR"]
    assert "no such table: polls_question" in line["stack_trace"]
    assert line["logging.googleapis.com/trace"] == f"projects/my-project/traces/{TRACE}"
