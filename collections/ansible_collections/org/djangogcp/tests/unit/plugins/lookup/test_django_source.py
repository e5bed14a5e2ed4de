# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a Django project's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.org.djangogcp.plugins.lookup.django_source import describe

MANAGE_PY = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
WSGI_PY = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path, **{"manage.py": MANAGE_PY, "shop/wsgi.py": WSGI_PY})


def test_a_missing_folder_is_described_as_missing(tmp_path: Path) -> None:
    assert describe(str(tmp_path / "nowhere"))["exists"] is False


def test_what_startproject_makes_is_understood(project: Path) -> None:
    found = describe(str(project))
    assert (found["manage_py"], found["settings_module"]) == (True, "shop.settings")
    assert (found["wsgi_module"], found["wsgi_problem"]) == ("shop.wsgi:application", "")
    assert found["requirements_file"] == ""
    assert found["dockerfile"] is False


def test_the_application_beside_the_settings_wins(project: Path) -> None:
    write(project, **{"other/wsgi.py": WSGI_PY})
    found = describe(str(project))
    assert found["wsgi_modules"] == ["other.wsgi:application", "shop.wsgi:application"]
    assert found["wsgi_module"] == "shop.wsgi:application"


def test_two_applications_that_nobody_names_are_not_guessed(tmp_path: Path) -> None:
    write(tmp_path, **{"manage.py": "", "a/wsgi.py": WSGI_PY, "b/wsgi.py": WSGI_PY})
    assert describe(str(tmp_path))["wsgi_module"] == ""


ASGI_PY = "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"


def test_an_asgi_application_is_taken_where_there_is_no_wsgi_one(tmp_path: Path) -> None:
    write(tmp_path, **{"manage.py": MANAGE_PY, "shop/asgi.py": ASGI_PY, "other/asgi.py": ASGI_PY})
    found = describe(str(tmp_path))
    assert found["wsgi_modules"] == ["other.asgi:application", "shop.asgi:application"]
    assert (found["wsgi_module"], found["asgi"]) == ("shop.asgi:application", True)
    write(tmp_path, **{"shop/wsgi.py": WSGI_PY})
    found = describe(str(tmp_path))
    assert (found["wsgi_module"], found["asgi"]) == ("shop.wsgi:application", False)


CHANNELS = """
from channels.routing import ProtocolTypeRouter
import django.core.asgi
django_app = django.core.asgi.get_asgi_application()
application = ProtocolTypeRouter({"http": django_app})
"""
WRAPPED = """
from django.core.asgi import get_asgi_application
inner = get_asgi_application()
application: object = Sentry(inner)
"""
FUNCTION = "async def application(scope, receive, send):\n    pass\n"
CLASS = "class application:\n    async def __call__(self, scope, receive, send):\n        pass\n"
WSGI_FUNCTION = "def application(environ, start_response):\n    return []\n"
WSGI_WRAPPED = (
    "from django.core.wsgi import get_wsgi_application\napplication = WhiteNoise(get_wsgi_application())\n"
)
UNKNOWN = "from elsewhere import application\n"


@pytest.mark.parametrize(
    ("file", "text", "asgi"),
    [
        ("asgi", ASGI_PY, True),
        ("server", ASGI_PY, True),
        ("server", CHANNELS, True),
        ("server", WRAPPED, True),
        ("server", FUNCTION, True),
        ("server", CLASS, True),
        ("asgi", UNKNOWN, True),
        ("wsgi", WSGI_PY, False),
        ("asgi", WSGI_PY, False),
        ("asgi", WSGI_FUNCTION, False),
        ("server", WSGI_WRAPPED, False),
        ("server", UNKNOWN, False),
        ("wsgi", "application =", False),
    ],
)
def test_the_kind_of_an_application_is_told_by_what_makes_it(
    project: Path, file: str, text: str, asgi: bool
) -> None:
    write(project, **{f"shop/{file}.py": text})
    assert describe(str(project), f"shop.{file}:application")["asgi"] is asgi


def test_virtual_environments_and_hidden_folders_are_not_searched(project: Path) -> None:
    write(project, **{".venv/wsgi.py": WSGI_PY, "lib/site-packages/wsgi.py": WSGI_PY})
    assert describe(str(project))["wsgi_modules"] == ["shop.wsgi:application"]


@pytest.mark.parametrize(
    ("wsgi_module", "problem"),
    [
        ("shop.wsgi:application", ""),
        ("shop.wsgi:get_wsgi_application", ""),
        ("shop.wsgi:app", "shop/wsgi.py has no app"),
        ("shop.wsgy:application", "there is no file shop/wsgy.py"),
        ("shop.wsgi", "it is not of the form package.module:attribute"),
    ],
)
def test_a_named_application_is_looked_for(project: Path, wsgi_module: str, problem: str) -> None:
    assert describe(str(project), wsgi_module)["wsgi_problem"] == problem


def test_a_module_that_is_not_python_has_no_application(project: Path) -> None:
    write(project, **{"shop/wsgi.py": "application ="})
    assert (
        describe(str(project), "shop.wsgi:application")["wsgi_problem"] == "shop/wsgi.py has no application"
    )


def test_requirements_are_read_with_what_they_include(project: Path) -> None:
    write(
        project,
        **{
            "requirements.txt": "-r requirements/base.txt\nPsycopg2_Binary>=2.9 ; python_version > '3'\n# gunicorn\n",
            "requirements/base.txt": "Django[argon2]==5.2\n-c ../constraints.txt\n-r base.txt\n",
            "constraints.txt": "sqlparse<1\n",
        },
    )
    found = describe(str(project))
    assert found["requirements_file"] == "requirements.txt"
    assert [Path(name) for name in found["requirements_files"]][:2] == [
        Path("requirements.txt"),
        Path("requirements/base.txt"),
    ]
    assert found["requirements"] == ["django", "psycopg2-binary", "sqlparse"]


def test_dependencies_of_pyproject_are_read(project: Path) -> None:
    write(
        project,
        **{"pyproject.toml": '[project]\nname = "shop"\ndependencies = ["Django>=5.2", "gunicorn"]\n'},
    )
    found = describe(str(project))
    assert (found["requirements_file"], found["requirements"]) == ("pyproject.toml", ["django", "gunicorn"])


def test_a_broken_pyproject_requires_nothing(project: Path) -> None:
    write(project, **{"pyproject.toml": "[project"})
    assert describe(str(project))["requirements"] == []


def test_dockerfile_procfile_and_python_version_are_read(project: Path) -> None:
    write(
        project,
        **{
            "Dockerfile": "FROM python:3.13-slim\n",
            "Procfile": "release: python manage.py migrate\nweb:  gunicorn shop.wsgi --bind :$PORT \n",
            ".python-version": "3.12.4\n",
        },
    )
    found = describe(str(project))
    assert found["dockerfile"] is True
    assert found["procfile_web"] == "gunicorn shop.wsgi --bind :$PORT"
    assert found["python_version"] == "3.12"


WHITENOISE = 'MIDDLEWARE = ["whitenoise.middleware.WhiteNoiseMiddleware"]\n'


@pytest.mark.parametrize(
    ("files", "server"),
    [
        ({"shop/settings.py": WHITENOISE, "requirements.txt": "whitenoise==6\n"}, "whitenoise"),
        (
            {
                "shop/settings/live.py": 'S = "servestatic.storage"\n',
                "requirements.txt": "ServeStatic[brotli]\n",
            },
            "servestatic",
        ),
        ({"shop/settings.py": WHITENOISE, "Dockerfile": "FROM python\n"}, "whitenoise"),
        # It may use the bucket as well, as the handbook's lines do.
        (
            {
                "shop/settings.py": WHITENOISE,
                "shop/files.py": "'GS_STATIC_BUCKET_NAME'",
                "requirements.txt": "whitenoise\n",
            },
            "",
        ),
        ({"shop/settings.py": WHITENOISE, "requirements.txt": "django\n"}, ""),
        ({"shop/settings.py": "DEBUG = False\n", "requirements.txt": "whitenoise\n"}, ""),
        ({"shop/tests/settings.py": WHITENOISE, "requirements.txt": "whitenoise\n"}, ""),
    ],
)
def test_what_serves_static_files_itself_is_told_by_its_code(
    project: Path, files: dict[str, str], server: str
) -> None:
    write(project, **files)
    assert describe(str(project))["static_server"] == server


def test_sql_that_only_an_owner_may_run_is_found_where_the_site_serves(project: Path) -> None:
    write(
        project,
        **{
            "shop/views.py": 'cursor.execute("""\n  refresh things\n  REFRESH  MATERIALIZED\n VIEW totals""")\n'
            'cursor.execute(f"TRUNCATE {table}; TRUNCATE other")\ncursor.execute("SELECT setval(%s, 1)")\n',
            "shop/tenants.py": "SQL = 'CREATE TEMPORARY TABLE x AS SELECT 1', 'CREATE UNIQUE INDEX y', 'ALTER TABLE z'\n",
            "shop/rows.py": "q = 'SELECT * FROM a', 'INSERT INTO b', 'CREATE an account', 'DROP by', 'LOCK TABLE c'\n",
            "shop/prose.py": '"""TRUNCATE is not used here."""\n# CREATE SCHEMA neither\n',
            "shop/broken.py": "'TRUNCATE' =\n",
            "shop/migrations/0001_initial.py": "SQL = 'CREATE SCHEMA reports'\n",
            "shop/management/commands/nightly.py": "SQL = 'VACUUM'\n",
            "shop/tests/test_views.py": "SQL = 'TRUNCATE a'\n",
            "shop/test_more.py": "SQL = 'TRUNCATE a'\n",
            "venv/lib/other.py": "SQL = 'TRUNCATE a'\n",
            "requirements.txt": "Django\ndjango_tenants==3.7\n",
        },
    )
    assert describe(str(project))["schema_changes"] == [
        "django-tenants (in the requirements)",
        "shop/tenants.py: CREATE TEMPORARY TABLE",
        "shop/tenants.py: CREATE UNIQUE INDEX",
        "shop/tenants.py: ALTER TABLE",
        "shop/views.py: REFRESH MATERIALIZED VIEW",
        "shop/views.py: TRUNCATE",
        "shop/views.py: setval",
    ]


def test_a_byte_order_mark_hides_nothing(project: Path) -> None:
    mark = "\ufeff"
    write(
        project,
        **{
            "requirements.txt": f"{mark}gunicorn\nDjango\n",
            "Procfile": f"{mark}web: gunicorn shop.wsgi\n",
            ".python-version": f"{mark}3.12\n",
            "shop/wsgi.py": mark + WSGI_PY,
        },
    )
    found = describe(str(project))
    assert found["requirements"] == ["django", "gunicorn"]
    assert (found["procfile_web"], found["python_version"]) == ("gunicorn shop.wsgi", "3.12")
    assert found["wsgi_module"] == "shop.wsgi:application"
