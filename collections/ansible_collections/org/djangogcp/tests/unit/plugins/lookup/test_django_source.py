# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a Django project's folder."""

from __future__ import annotations

import re
import subprocess
import sys
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


def test_users_log_in_with_what_their_model_says(project: Path) -> None:
    assert describe(str(project))["email_login"] is False
    write(project, **{"shop/models.py": "class User(AbstractUser):\n    USERNAME_FIELD = 'email'\n"})
    assert describe(str(project))["email_login"] is True


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


def test_an_application_that_routes_further_protocols_is_taken_before_wsgi(project: Path) -> None:
    write(project, **{"shop/asgi.py": CHANNELS, "requirements.txt": "channels[daphne]\n"})
    found = describe(str(project))
    assert (found["wsgi_module"], found["asgi"]) == ("shop.asgi:application", True)
    assert (
        "shop.asgi:application is what serves, because it routes further protocols than HTTP"
        " (djangogcp_wsgi_module)"
    ) in found["notes"]
    assert any(one.startswith("uvicorn==") for one in found["installs_beside"])
    assert any(one.startswith("websockets==") for one in found["installs_beside"])
    assert [one.partition("==")[0] for one in found["installs_for_gunicorn"]] == [
        "gunicorn",
        "uvicorn-worker",
    ]
    assert describe(str(project), "shop.wsgi:application")["asgi"] is False
    write(project, Procfile="web: gunicorn shop.wsgi\n")
    assert describe(str(project))["wsgi_module"] == "shop.wsgi:application"


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
    assert found["requirements"] == ["django", "psycopg2-binary"]


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


def test_settings_that_only_manage_py_names_are_those_of_what_serves(project: Path) -> None:
    found = describe(str(project))
    assert (found["serving_settings_module"], found["notes"]) == ("shop.settings", [])


def test_settings_that_manage_py_chooses_for_tests_are_not_those_of_commands(project: Path) -> None:
    chosen = '("DJANGO_SETTINGS_MODULE", "shop.settings_test" if testing else "shop.settings")\n'
    write(project, **{"manage.py": f"os.environ.setdefault{chosen}", "shop/wsgi.py": MANAGE_PY + WSGI_PY})
    found = describe(str(project))
    assert (found["serving_settings_module"], found["notes"]) == ("", [])


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
    assert describe(str(project), settings_overlay="false")["static_server"] == server


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


def test_a_project_in_a_folder_is_found_with_what_is_above_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "back/end/manage.py": MANAGE_PY,
            "back/end/shop/wsgi.py": WSGI_PY,
            "back/requirements.txt": "-r ../common/base.txt\ngunicorn\npsycopg\n",
            "common/base.txt": "Django\n",
            "node_modules/x/manage.py": "",
        },
    )
    found = describe(str(tmp_path))
    assert (found["path"], found["manage_dir"], found["manage_py"]) == (str(tmp_path), "back/end", True)
    assert (found["settings_module"], found["wsgi_module"]) == ("shop.settings", "shop.wsgi:application")
    assert found["requirements_files"] == ["back/requirements.txt", "common/base.txt"]
    assert found["requirements"] == ["django", "gunicorn", "psycopg"]
    assert found["notes"] == ["manage.py is in back/end (djangogcp_manage_dir)"]


def test_one_of_several_projects_has_to_be_named(tmp_path: Path) -> None:
    write(tmp_path, **{"api/manage.py": MANAGE_PY, "web/manage.py": MANAGE_PY, "web/shop/wsgi.py": WSGI_PY})
    assert describe(str(tmp_path))["manage_dirs"] == ["api", "web"]
    found = describe(str(tmp_path), manage_dir="web/")
    assert (found["manage_dir"], found["manage_dirs"], found["wsgi_module"]) == (
        "web",
        [],
        "shop.wsgi:application",
    )
    for wrong in ("../web", "/web", "wep"):
        assert (
            describe(str(tmp_path), manage_dir=wrong)["manage_problem"] == f"there is no manage.py in {wrong}"
        )


def test_a_dockerfile_beside_manage_py_makes_that_folder_the_one_that_is_built(tmp_path: Path) -> None:
    write(tmp_path, **{"src/manage.py": MANAGE_PY, "src/Dockerfile": "FROM python:3.13\n"})
    found = describe(str(tmp_path))
    assert (found["path"], found["manage_dir"], found["dockerfile"]) == (str(tmp_path / "src"), "", True)
    write(tmp_path, Dockerfile="FROM python:3.13\n")
    assert describe(str(tmp_path))["path"] == str(tmp_path)


REQUIREMENTS = "Django\ngunicorn\npsycopg\n"


@pytest.mark.parametrize(
    ("files", "file", "installs"),
    [
        (
            {
                "requirements/base.txt": "Django\n",
                "requirements/prod.txt": "-r base.txt\n",
                "requirements/local.txt": "-r base.txt",
            },
            "requirements/prod.txt",
            "pip install -r requirements/prod.txt",
        ),
        (
            {"requirements-live.txt": "", "requirements-dev.txt": ""},
            "requirements-live.txt",
            "pip install -r requirements-live.txt",
        ),
        (
            {"requirements/base.txt": "", "requirements/test.txt": ""},
            "requirements/base.txt",
            "pip install -r requirements/base.txt",
        ),
        (
            {
                "requirements.txt": "",
                "requirements/production.txt": "",
                "pyproject.toml": "[project]\ndependencies = ['x']\n",
            },
            "requirements.txt",
            "pip install -r requirements.txt",
        ),
        (
            {"pyproject.toml": "[tool.black]\nline-length = 9\n", "requirements/requirements.txt": ""},
            "requirements/requirements.txt",
            "pip install -r requirements/requirements.txt",
        ),
    ],
)
def test_the_requirements_for_production_are_chosen(
    project: Path, files: dict[str, str], file: str, installs: str
) -> None:
    found = describe(str(write(project, **files)))
    assert (found["requirements_file"], found["installs"]) == (file, [installs])
    assert found["requirements_problem"] == ""


def test_requirements_files_that_nobody_can_choose_from_are_named(project: Path) -> None:
    write(project, **{"requirements/a.txt": "", "requirements/b.txt": ""})
    problem = "several files could be it: set djangogcp_requirements to one of requirements/a.txt, requirements/b.txt"
    assert describe(str(project))["requirements_problem"] == problem
    assert (
        describe(str(project), requirements="requirements/b.txt")["requirements_file"] == "requirements/b.txt"
    )
    named = describe(str(project), requirements="requirements/c.txt")
    assert named["requirements_problem"] == "there is no requirements/c.txt in it (djangogcp_requirements)"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "-r ../base.txt",
            "requirements.txt includes '../base.txt', which is outside of it: set djangogcp_source_dir to the folder that holds both",
        ),
        (
            "-e ../common",
            "requirements.txt includes '../common', which is outside of it: set djangogcp_source_dir to the folder that holds both",
        ),
        ("-r bsae.txt", "requirements.txt includes 'bsae.txt', which is not there"),
        ("-e ./libs/shared", "requirements.txt includes './libs/shared', which is not there"),
    ],
)
def test_what_requirements_include_and_nobody_has_is_named(project: Path, line: str, problem: str) -> None:
    write(project, **{"requirements.txt": f"{line}\n"})
    assert describe(str(project))["requirements_problem"] == problem


@pytest.mark.parametrize(
    ("line", "copied"),
    [
        ("-e ./libs/shared", "libs/shared"),
        ("-e libs/shared[extra]", "libs/shared"),
        ("--editable=libs/shared", "libs/shared"),
        ("./libs/shared", "libs/shared"),
        ("-e .", "."),
        ("wheels/shared-1-py3-none-any.whl", "wheels/shared-1-py3-none-any.whl"),
        ("--find-links wheels", "wheels"),
    ],
)
def test_what_is_installed_from_the_project_is_there_when_it_is(
    project: Path, line: str, copied: str
) -> None:
    write(
        project,
        **{
            "requirements.txt": f"Django\n{line}\n",
            "libs/shared/pyproject.toml": "[project]\nname = 'shared'\ndependencies = ['gunicorn']\n",
            "wheels/shared-1-py3-none-any.whl": "",
        },
    )
    found = describe(str(project))
    assert found["requirements_files"] == ["requirements.txt", copied]
    assert ("gunicorn" in found["requirements"]) is (copied == "libs/shared")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("git+https://example.com/x.git#egg=Django_Foo\n", ["django-foo"]),
        ("-e git+ssh://git@example.com/x.git@main#subdirectory=a&egg=foo\n", ["foo"]),
        ("foo @ https://example.com/foo.zip\n", ["foo"]),
        ("foo==1 \\\n  --hash=sha256:ab \\\n  --hash=sha256:cd\nbar==2\n", ["bar", "foo"]),
        ("pywin32; sys_platform == 'win32'\nfoo; python_version >= '3.8'\n", ["foo"]),
        ("--index-url https://example.com/simple\n--no-binary :all:\nfoo  # bar\n", ["foo"]),
    ],
)
def test_requirements_are_read_as_pip_reads_them(project: Path, text: str, names: list[str]) -> None:
    (project / "requirements.txt").write_text(text, "utf-8")
    assert describe(str(project))["requirements"] == names


def test_requirements_that_windows_writes_are_read(project: Path) -> None:
    (project / "requirements.txt").write_text("Django==5.2\r\ngunicorn\r\n", "utf-16")
    found = describe(str(project))
    assert (found["requirements"], found["unreadable_files"]) == (["django", "gunicorn"], [])


PYPROJECT = """
[project]
name = "shop"
requires-python = ">=3.11,<3.13"
dependencies = ["Django>=5.2", "colorama; sys_platform == 'win32'"]
[project.optional-dependencies]
production = ["psycopg[binary]"]
docs = ["sphinx"]
[dependency-groups]
dev = ["pytest"]
servers = ["gunicorn==23.0.0"]
prod = [{include-group = "servers"}]
"""


def test_of_a_pyproject_what_is_for_production_is_installed(project: Path) -> None:
    found = describe(str(write(project, **{"pyproject.toml": PYPROJECT})))
    assert found["installs"] == [
        """pip install 'Django>=5.2' 'colorama; sys_platform == "win32"' 'psycopg[binary]' gunicorn==23.0.0"""
    ]
    assert (found["requirements"], found["installs_beside"]) == (["django", "gunicorn", "psycopg"], [])
    assert (found["python_version"], list(found["python_needs"])) == ("3.12", [">=3.11,<3.13"])


UV_LOCK = """
version = 1
[[package]]
name = "shop"
source = { virtual = "." }
[[package]]
name = "django"
version = "5.2.1"
source = { registry = "https://example.com/simple" }
"""


def test_a_lock_file_is_exported_by_the_tool_that_wrote_it(project: Path) -> None:
    found = describe(str(write(project, **{"pyproject.toml": PYPROJECT, "uv.lock": UV_LOCK})))
    assert found["requirements_file"] == "uv.lock"
    assert found["requirements_files"] == ["pyproject.toml", "uv.lock"]
    tool, export, install = found["installs"]
    assert re.fullmatch(
        r"python -m venv --without-pip /tools && pip --python /tools/bin/python install uv==[\d.]+", tool
    )
    assert export.startswith("/tools/bin/uv export ")
    assert export.endswith(
        " --frozen --no-dev --no-emit-project --output-file /tmp/requirements.txt --extra production --group prod"
    )
    assert install == "pip install -r /tmp/requirements.txt"


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ("", " --prod"),
        ('[dependency-groups]\ndev = ["pytest"]\n', " --prod"),
        # PDM refuses --prod together with a dependency group, but not with an extra.
        ('[dependency-groups]\nproduction = ["gunicorn"]\ndev = ["pytest"]\n', " --group production"),
        ('[project.optional-dependencies]\nproduction = ["gunicorn"]\n', " --group production --prod"),
    ],
)
def test_of_a_lock_file_of_pdm_only_what_is_for_production_is_exported(
    project: Path, more: str, options: str
) -> None:
    toml = f'[project]\nname = "shop"\ndependencies = ["Django"]\n{more}'
    found = describe(str(write(project, **{"pyproject.toml": toml, "pdm.lock": ""})))
    assert found["installs"][1] == (
        f"/tools/bin/pdm export --format requirements --output /tmp/requirements.txt{options}"
    )


def test_what_a_lock_file_takes_from_the_project_or_from_git_has_no_hash(project: Path) -> None:
    local = '[[package]]\nname = "shared"\nsource = { editable = "libs/shared" }\n'
    found = describe(str(write(project, **{"pyproject.toml": PYPROJECT, "uv.lock": UV_LOCK + local})))
    assert found["requirements_files"] == ["pyproject.toml", "uv.lock", "libs/shared"]
    assert found["installs"][1].endswith(" --no-hashes")
    git = '[[package]]\nname = "x"\nsource = { git = "https://example.com/x" }\n'
    found = describe(str(write(project, **{"uv.lock": UV_LOCK + git})))
    assert found["installs"][1].endswith(" --no-hashes")


def test_a_lock_file_without_the_project_is_not_taken(project: Path) -> None:
    found = describe(str(write(project, **{"pyproject.toml": PYPROJECT, "uv.lock": "version = 1\n"})))
    assert found["requirements_file"] == "pyproject.toml"
    assert any(note.startswith("uv.lock does not hold the project") for note in found["notes"])


POETRY = """
[tool.poetry.dependencies]
python = "^3.11"
Django = "^5.2"
psycopg2-binary = { version = "*", optional = true }
[tool.poetry.group.prod.dependencies]
gunicorn = "*"
[tool.poetry.group.dev.dependencies]
pytest = "*"
"""


def test_poetry_and_pipenv_are_read(project: Path) -> None:
    found = describe(str(write(project, **{"pyproject.toml": POETRY})))
    assert (found["requirements_file"], list(found["python_needs"])) == ("pyproject.toml", [">=3.11,<4"])
    assert found["requirements"] == ["django", "gunicorn", "psycopg2-binary"]
    assert found["installs"][1].startswith("/tools/bin/poetry lock && /tools/bin/poetry export ")
    found = describe(
        str(write(project, **{"poetry.lock": '[[package]]\nname = "django"\nversion = "5.2.1"\n'}))
    )
    assert (
        found["requirements_file"],
        found["installs"][1].endswith("/tmp/requirements.txt --with prod"),
    ) == ("poetry.lock", True)
    (project / "pyproject.toml").unlink()
    write(
        project,
        Pipfile='[packages]\nDjango = "*"\ngunicorn = "*"\n',
        **{"Pipfile.lock": '{"default": {"django": {"version": "==5.2"}}}'},
    )
    found = describe(str(project))
    assert (found["requirements_file"], found["requirements"]) == ("Pipfile.lock", ["django", "gunicorn"])
    assert found["installs"][1] == "/tools/bin/pipenv requirements > /tmp/requirements.txt"


@pytest.mark.parametrize(
    ("files", "beside"),
    [
        ({"requirements.txt": REQUIREMENTS}, []),
        ({"requirements.txt": "Django\npsycopg2\n"}, ["gunicorn"]),
        ({"requirements.txt": "Django\ngunicorn\n"}, ["psycopg2-binary"]),
        (
            {"requirements.txt": "Django\n-c limits.txt\n", "limits.txt": "gunicorn<99\n"},
            ["gunicorn", "psycopg2-binary"],
        ),
        ({"requirements.txt": "Django\npsycopg\n", "Procfile": "web: daphne shop.asgi\n"}, []),
        (
            {"requirements.txt": REQUIREMENTS, "Procfile": "web: gunicorn -k uvicorn.workers.X a\n"},
            ["uvicorn", "websockets"],
        ),
        ({"requirements.txt": "Django\n", "Dockerfile": "FROM python\n"}, []),
    ],
)
def test_what_the_platform_needs_is_installed_beside(
    project: Path, files: dict[str, str], beside: list[str]
) -> None:
    found = describe(str(write(project, **files)))
    assert [one.partition("==")[0] for one in found["installs_beside"]] == beside
    assert any(note.startswith("installed as well") for note in found["notes"]) is bool(beside)


@pytest.mark.parametrize(
    ("pins", "needs"),
    [
        ("Django==3.2.8\npsycopg2-binary==2.9.12\n", ["<3.12", "<3.13"]),
        ("Django==3.2.9\npsycopg2-binary==2.9.5\n", ["<3.12", "<3.13", "<3.14"]),
        ("Django==3.2.8\nsetuptools\nlegacy-cgi\n", []),
        ("Django==4.1\n", []),
        ("Django==4.0.1\npsycopg2-binary==2.8.6\n", ["<3.13", "<3.10", "<3.11", "<3.12", "<3.14"]),
        ("Django==5.2.1\npsycopg2-binary==2.9.11\n", []),
        ("Django>=3.2\npsycopg2-binary\n", []),
        ("Django==3.*\n", []),
    ],
)
def test_pins_say_which_python_they_run_on(project: Path, pins: str, needs: list[str]) -> None:
    assert sorted(describe(str(write(project, **{"requirements.txt": pins})))["python_needs"]) == sorted(
        needs
    )


def test_a_runtime_txt_says_the_version_of_python(project: Path) -> None:
    assert describe(str(write(project, **{"runtime.txt": "python-3.11.9\n"})))["python_version"] == "3.11"


SETTINGS = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings.{}")\n'


@pytest.mark.parametrize(
    ("manage", "wsgi", "more", "serving"),
    [
        ("local", "production", {}, "shop.settings.production"),
        ("production", "production", {}, ""),
        ("local", "local", {}, ""),
        ("dev", "dev", {"shop/settings/prod.py": ""}, "shop.settings.prod"),
        ("base", "base", {"shop/settings/prod.py": ""}, ""),
        (
            "local",
            "production",
            {"Dockerfile": "FROM x\nENV DJANGO_SETTINGS_MODULE=shop.settings.cloud\n"},
            "",
        ),
        (
            "local",
            "local",
            {"Procfile": "web: DJANGO_SETTINGS_MODULE=shop.settings.heroku gunicorn x\n"},
            "shop.settings.heroku",
        ),
    ],
)
def test_commands_take_the_settings_of_what_serves(
    project: Path, manage: str, wsgi: str, more: dict[str, str], serving: str
) -> None:
    write(
        project,
        **{"manage.py": SETTINGS.format(manage), "shop/wsgi.py": SETTINGS.format(wsgi) + WSGI_PY, **more},
    )
    found = describe(str(project))
    assert (found["settings_module"], found["serving_settings_module"]) == (
        f"shop.settings.{manage}",
        serving,
    )
    assert any("djangogcp_settings_module" in note for note in found["notes"]) is bool(serving)


@pytest.mark.parametrize(
    ("web", "started"),
    [
        ("gunicorn shop.wsgi", "exec gunicorn shop.wsgi"),
        (
            "python manage.py migrate && gunicorn shop.wsgi",
            "python manage.py migrate && exec gunicorn shop.wsgi",
        ),
        ("A=1 B='x; y' gunicorn shop.wsgi", "exec env A=1 B='x; y' gunicorn shop.wsgi"),
        ("cd src; exec gunicorn x", "cd src; exec gunicorn x"),
        ("gunicorn x & celery y", "gunicorn x & celery y"),
        ("gunicorn x | tee log", "gunicorn x | tee log"),
        ('if [ -n "$X" ]; then a; else b; fi', 'if [ -n "$X" ]; then a; else b; fi'),
        ("sh -c 'a && b'", "exec sh -c 'a && b'"),
        ('gunicorn --bind :${PORT:-8000} "a && b"', 'exec gunicorn --bind :${PORT:-8000} "a && b"'),
    ],
)
def test_what_a_procfile_starts_gets_the_signals(project: Path, web: str, started: str) -> None:
    assert describe(str(write(project, Procfile=f"web: {web}\n")))["start_command"] == started


def test_a_procfile_above_manage_py_is_run_where_it_is(tmp_path: Path) -> None:
    write(tmp_path, **{"src/manage.py": MANAGE_PY, "Procfile": "web: cd src && gunicorn a\nworker: celery\n"})
    found = describe(str(tmp_path))
    assert found["start_command"] == "cd /app && cd src && exec gunicorn a"
    assert found["background_workers"] == {"worker": "cd /app && celery"}


def test_what_a_procfile_runs_in_the_background_is_told_by_names_that_it_can_have(project: Path) -> None:
    lines = (
        "web: gunicorn a",
        "release: python manage.py migrate",
        "Celery_Worker: celery -A shop worker",
        "beat: celery -A shop beat",
        "mails: python manage.py mails",
        "css: npm run watch",
        "ws: daphne shop.asgi",
    )
    write(project, Procfile="\n".join(lines))
    found = describe(str(project))
    assert found["background_workers"] == {
        "celery-worker": "celery -A shop worker",
        "beat": "celery -A shop beat",
        "mails": "python manage.py mails",
    }
    assert [note for note in found["notes"] if "is not run" in note] == [
        "the process css of the Procfile is not run",
        "the process ws of the Procfile is not run",
    ]
    assert found["shell"] == ["/bin/sh", "-c"]


@pytest.mark.parametrize(
    ("dockerfile", "shell"),
    [
        ('CMD ["gunicorn", "shop.wsgi"]', ["/bin/sh", "-c"]),
        ("CMD uv run gunicorn shop.wsgi", ["uv", "run", "/bin/sh", "-c"]),
        (
            "CMD /opt/venv/bin/gunicorn shop.wsgi",
            ["/bin/sh", "-c", 'PATH="/opt/venv/bin:$PATH" exec /bin/sh -c "$0"'],
        ),
        (
            "CMD venv/bin/gunicorn shop.wsgi",
            ["/bin/sh", "-c", 'PATH="$PWD/venv/bin:$PATH" exec /bin/sh -c "$0"'],
        ),
    ],
)
def test_a_worker_finds_the_programs_that_what_serves_finds(
    project: Path, dockerfile: str, shell: list[str]
) -> None:
    write(project, Dockerfile=f"FROM python:3.13\n{dockerfile}\n", Procfile="worker: celery -A shop worker\n")
    found = describe(str(project))
    assert found["shell"] == shell
    assert found["background_workers"] == {"worker": "celery -A shop worker"}


@pytest.mark.parametrize(
    ("release", "when"),
    [
        ("python manage.py migrate --noinput", ""),
        ("python3 manage.py collectstatic --no-input && ./manage.py migrate", ""),
        ("python manage.py migrate && python manage.py loaddata shop", "before"),
        ("sh ./release.sh", "before"),
        ("python manage.py loaddata shop", "after"),
    ],
)
def test_what_a_release_process_does_besides_is_run(project: Path, release: str, when: str) -> None:
    write(project, **{"release.sh": "python manage.py migrate_schemas --shared\n"})
    found = describe(str(write(project, Procfile=f"release: {release}\nweb: gunicorn x\n")))
    assert found["notes"] == (
        [f"the process release of the Procfile is run {when} the migrations"] if when else []
    )
    assert found["release_migrates"] is (when == "before")
    assert bool(found["release_command"]) is bool(when)
    write(project, Dockerfile="FROM python:3.13-slim\n")
    assert describe(str(project))["release_command"] == ""


def test_a_release_process_is_run_where_its_procfile_is(tmp_path: Path) -> None:
    write(tmp_path, **{"src/manage.py": MANAGE_PY, "Procfile": "release: cd src && python manage.py seed\n"})
    assert describe(str(tmp_path))["release_command"] == "cd /app && cd src && exec python manage.py seed"


@pytest.mark.parametrize(
    ("dockerfile", "python"),
    [
        ('CMD ["gunicorn", "shop.wsgi"]', "python"),
        ("CMD exec /app/.venv/bin/gunicorn --bind :$PORT shop.wsgi", "/app/.venv/bin/python"),
        (
            'ENV VENV=/opt/venv\nENTRYPOINT ["sh", "-c", "$VENV/bin/python -m gunicorn"]',
            "/opt/venv/bin/python",
        ),
        ("CMD . /venv/bin/activate && gunicorn x", "/venv/bin/python"),
        ('CMD ["uv", "run", "--no-sync", "gunicorn", "x"]', "uv run python"),
        ('WORKDIR /srv\nCMD ["/srv/docker/start.sh"]', "/v/bin/python"),
        ("CMD /usr/local/bin/gunicorn x", "python"),
        ("RUN /build/bin/python x\nFROM ubuntu:24.04\nCMD python3 -m gunicorn x", "python3"),
    ],
)
def test_commands_are_run_by_the_python_that_serves(project: Path, dockerfile: str, python: str) -> None:
    write(
        project,
        Dockerfile=f"FROM python:3.13-slim\n{dockerfile}\n",
        **{"docker/start.sh": "exec /v/bin/uvicorn x\n"},
    )
    assert describe(str(project))["manage_command"] == [*python.split(), "manage.py"]


def test_manage_py_is_looked_for_where_an_image_has_it(tmp_path: Path) -> None:
    write(tmp_path, **{"src/manage.py": MANAGE_PY, "Dockerfile": "FROM python\nCOPY . /app\n"})
    shell, option, script, name = describe(str(tmp_path))["manage_command"]
    assert (shell, option, name) == ("/bin/sh", "-c", "manage.py")
    write(tmp_path, **{"src/manage.py": "import sys; print(sys.argv)\n"})
    for folder in (tmp_path, tmp_path / "src"):
        run = subprocess.run(
            [shell, option, script.replace("python", sys.executable, 1), name, "a b", "$c"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout == "['manage.py', 'a b', '$c']\n"


STOCK = "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}\n"


@pytest.mark.parametrize(
    ("settings", "overlay"),
    [
        (STOCK, True),
        ("import os\nDATABASES = f(os.environ['DATABASE_URL'])\n", False),
        ("import environ\nenv = environ.Env()\nDATABASES = {'default': env.db()}\n", False),
        ("import environ\nDATABASES = {'default': environ.Env().db(default='sqlite:///x')}\n", False),
        ("import environ\nenv = environ.Env()\nDATABASES = {'default': env.db('OTHER')}\n", True),
        (
            "import dj_database_url\nDATABASES = {'default': dj_database_url.config(conn_max_age=600)}\n",
            False,
        ),
        ("import dj_database_url\nDATABASES = {'default': dj_database_url.config(env='OTHER')}\n", True),
        # Neither what is only written about it nor what has another db().
        ("# DATABASE_URL\n'''Set DATABASE_URL.'''\n" + STOCK, True),
        ("import mongo\nX = mongo.client.db()\n" + STOCK, True),
        # Read where it is: beside, in a package, below another name.
        ("from .database import DATABASES\n", False),
        ("from shop import database\n", False),
        ("import shop.database as d\n", False),
        ("from split_settings.tools import include\ninclude('data*.py')\n", False),
        ("from .elsewhere import *\n" + STOCK, True),
    ],
)
def test_settings_that_do_not_read_the_database_have_the_overlay(
    project: Path, settings: str, overlay: bool
) -> None:
    files = {
        "requirements.txt": "Django\n",
        "shop/settings.py": settings,
        "shop/database.py": "import dj_database_url\nDATABASES = {'default': dj_database_url.config()}\n",
        # Read by nobody's settings.
        "shop/management/commands/copy.py": "import os\nos.environ['DATABASE_URL']\n",
    }
    found = describe(str(write(project, **files)))
    assert (found["overlay"], found["project_settings_module"]) == (overlay, "shop.settings")
    needs = [one.partition("==")[0] for one in found["installs_beside"]]
    assert ("django-storages[google]" in needs, "whitenoise" in needs) == (overlay, overlay)
    assert found["static_server"] == ("whitenoise" if overlay else "")
    assert any("are laid over it (djangogcp_settings_overlay)" in note for note in found["notes"]) is overlay


def test_the_overlay_is_asked_for_or_left_out(project: Path) -> None:
    folder = str(write(project, **{"requirements.txt": "Django\n", "shop/settings.py": STOCK}))
    found = describe(folder, settings_overlay="false")
    assert (found["overlay"], found["static_server"]) == (False, "")
    assert any("nothing is laid over it (djangogcp_settings_overlay)" in note for note in found["notes"])
    write(project, **{"shop/settings.py": "import environ\nDATABASES = {'default': environ.Env().db()}\n"})
    assert describe(folder)["overlay"] is False
    assert describe(folder, settings_overlay="true")["overlay"] is True


def test_where_nothing_can_be_laid_over_settings_it_is_said(project: Path) -> None:
    files = {"shop/settings.py": STOCK, "Dockerfile": "FROM python\n"}
    found = describe(str(write(project, **files)), settings_overlay="true")
    assert found["overlay"] is False
    assert found["overlay_problem"].startswith("its own Dockerfile does not copy")
    assert any(found["overlay_problem"] in note for note in found["notes"])


@pytest.mark.parametrize(
    ("dockerfile", "overlay"),
    [
        ("FROM python:3.13\ncopy --chown=1 .overlay /overlay\n", True),
        ("FROM python:3.13 AS overlay\nCOPY .overlay /\nFROM python:3.13\nCOPY --from=overlay / /\n", True),
        ("FROM python:3.13\nCOPY . .\n# COPY .overlay /\n", False),
        ("FROM python:3.13\nCOPY my.overlay /\n", False),
    ],
)
@pytest.mark.parametrize("asked", ["auto", "false", "true"])
def test_a_dockerfile_decides_whether_it_has_the_overlay(
    project: Path, dockerfile: str, overlay: bool, asked: str
) -> None:
    """Also over settings that read the environment, and its static files are where it puts them."""
    files = {"shop/settings.py": "import environ\nDATABASES = {'default': environ.Env().db()}\n"}
    folder = str(write(project, Dockerfile=dockerfile, **files))
    found = describe(folder, settings_overlay=asked)
    assert (found["overlay"], found["project_settings_module"]) == (overlay, "shop.settings")
    assert found["static_server"] == ""


def test_a_dockerfile_names_the_settings_that_the_overlay_lies_over(project: Path) -> None:
    lines = (
        "FROM python:3.13",
        "COPY .overlay /overlay",
        "ENV DJANGO_SETTINGS_MODULE=django_on_google_cloud.settings DJANGO_PROJECT_SETTINGS_MODULE=shop.live",
    )
    files = {"Dockerfile": "\n".join(lines), "shop/settings.py": STOCK, "shop/live.py": STOCK}
    found = describe(str(write(project, **files)))
    assert (found["overlay"], found["project_settings_module"]) == (True, "shop.live")
    assert (
        describe(str(project), settings_module="shop.settings")["project_settings_module"] == "shop.settings"
    )


@pytest.mark.parametrize("text", [None, "not python at all"])
def test_settings_that_are_not_there_have_no_overlay_and_no_word(project: Path, text: str | None) -> None:
    found = describe(str(write(project, **({"shop/settings.py": text} if text else {}))))
    assert (found["overlay"], found["overlay_problem"]) == (
        False,
        "there is no settings module shop.settings",
    )
    assert found["notes"] == []


def test_a_project_that_reads_the_bucket_of_static_files_keeps_it(project: Path) -> None:
    text = "import os\nSTATIC_URL = os.environ['GS_STATIC_BUCKET_NAME']\n"
    found = describe(str(write(project, **{"shop/settings.py": text})))
    assert (found["overlay"], found["static_server"]) == (True, "")


def test_what_settings_call_otherwise_is_found(project: Path) -> None:
    text = """
import os
SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = os.getenv("DJANGO_ALLOWED_HOSTS", "").split(",")
DATABASES = {"default": {
    "ENGINE": os.environ.get("SQL_ENGINE"), "NAME": os.environ["POSTGRES_DB"], "USER": os.environ["DB_USER"],
    "PASSWORD": os.environ["PGPASSWORD"], "HOST": os.environ["DATABASE_HOST"], "PORT": os.environ["DJANGO_DB_PORT"]}}
CONNECTION = os.environ["CLOUD_SQL_CONNECTION_NAME"]
BUCKET = os.environ["GS_BUCKET_NAME"]
X = os.environ["DB_POOL"], os.environ["MY_SECRET"], os.environ["SECRET_KEY"]
"""
    assert describe(str(write(project, **{"shop/settings.py": text})))["environment_names"] == {
        "CLOUD_SQL_CONNECTION_NAME": "DATABASE_INSTANCE",
        "DATABASE_HOST": "DATABASE_HOST",
        "DB_USER": "DATABASE_USER",
        "DJANGO_ALLOWED_HOSTS": "ALLOWED_HOSTS",
        "DJANGO_DB_PORT": "DATABASE_PORT",
        "DJANGO_SECRET_KEY": "SECRET_KEY",
        "GS_BUCKET_NAME": "GS_MEDIA_BUCKET_NAME",
        "PGPASSWORD": "DATABASE_PASSWORD",
        "POSTGRES_DB": "DATABASE_NAME",
        "SQL_ENGINE": "DATABASE_ENGINE",
    }


CLASSES = """
from configurations import Configuration, values
class Shop(Configuration):
    SECRET_KEY = values.SecretValue()
    ALLOWED_HOSTS = values.ListValue([], environ_prefix=None)
    HOST = values.Value("x", environ_prefix="DB_")
    DB_PORT = values.IntegerValue(1, environ=False, environ_prefix=None)
    NAME = values.Value("x", environ_name="DB_NAME", environ_prefix=None)
"""


def test_of_dynaconf_it_is_said_which_environment_it_takes(project: Path) -> None:
    text = f"{STOCK}import dynaconf\nsettings = dynaconf.DjangoDynaconf(__name__)\n"
    found = describe(str(write(project, **{"shop/settings.py": text})))
    assert found["overlay"] is True
    assert any("DJANGO_ENV of djangogcp_environment" in note for note in found["notes"])


def test_classes_of_settings_tell_what_their_values_read(project: Path) -> None:
    files = {
        "requirements.txt": "Django\n",
        "shop/settings.py": CLASSES,
        "manage.py": "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
        "os.environ.setdefault('DJANGO_CONFIGURATION', 'Local')\n",
    }
    folder = str(write(project, **files))
    found = describe(folder)
    assert found["environment_names"] == {
        "DB_HOST": "DATABASE_HOST",
        "DB_NAME": "DATABASE_NAME",
        "DJANGO_SECRET_KEY": "SECRET_KEY",
    }
    assert (found["overlay"], found["configuration"]) == (True, "Local")
    write(project, **{"shop/wsgi.py": "os.environ['DJANGO_CONFIGURATION'] = 'Live'\napplication = 1\n"})
    found = describe(folder)
    assert found["configuration"] == "Live"
    assert any("take the configuration Live (DJANGO_CONFIGURATION" in note for note in found["notes"])
    write(project, **{"shop/settings.py": f"{CLASSES}    DATABASES = values.DatabaseURLValue()\n"})
    assert describe(folder)["overlay"] is False


def test_settings_that_somebody_names_are_read(project: Path) -> None:
    write(project, **{"shop/settings.py": STOCK, "shop/live.py": "import os\nos.environ['DATABASE_URL']\n"})
    found = describe(str(project), settings_module="shop.live")
    assert (found["project_settings_module"], found["overlay"]) == ("shop.live", False)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("# of the maps\r\ngdal-bin\r\n\r\nlibpq5  # and the database\r\n", ["gdal-bin", "libpq5"]),
        ("libpq5 g++\nlibpq5\n", ["libpq5", "g++"]),
        ("ffmpeg=7:5.1.6-0+deb12u1\n", ["ffmpeg=7:5.1.6-0+deb12u1"]),
        ("\n# nothing\n", []),
    ],
)
def test_packages_of_debian_are_read_as_herokus_buildpack_reads_them(
    project: Path, text: str, names: list[str]
) -> None:
    write(project, Aptfile=text)
    found = describe(str(project))
    assert (found["system_packages"], found["system_packages_file"], found["system_packages_problem"]) == (
        names,
        "Aptfile",
        "",
    )


def test_packages_of_debian_may_be_listed_above_manage_py(tmp_path: Path) -> None:
    write(tmp_path, **{"back/manage.py": MANAGE_PY, "apt.txt": "libmagic1\n"})
    assert describe(str(tmp_path))["system_packages"] == ["libmagic1"]
    write(tmp_path, **{"back/Aptfile": "libpq5\n"})
    found = describe(str(tmp_path))
    assert (found["system_packages"], found["system_packages_file"]) == (["libpq5"], "back/Aptfile")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "https://example.com/wkhtmltox.deb",
            "'https://example.com/wkhtmltox.deb', and only packages of Debian itself are installed: name one, or write a Dockerfile",
        ),
        (
            ":repo:deb https://example.com/apt stable main",
            "':repo:deb https://example.com/apt stable main', and only packages of Debian itself are installed: name one, or write a Dockerfile",
        ),
        (
            "libpq5;true",
            "'libpq5;true': expected the name of a package of Debian such as libpq5, or NAME=VERSION",
        ),
        ("--yes", "'--yes': expected the name of a package of Debian such as libpq5, or NAME=VERSION"),
    ],
)
def test_what_is_no_package_of_debian_is_not_installed(project: Path, line: str, problem: str) -> None:
    write(project, Aptfile=f"libpq5\n{line}\n")
    assert describe(str(project))["system_packages_problem"] == f"Aptfile lists {problem}"


@pytest.mark.parametrize(
    ("requirements", "build", "libraries", "note"),
    [
        (
            "mysqlclient",
            ["build-essential", "default-libmysqlclient-dev", "pkg-config"],
            ["libmariadb3"],
            "mysqlclient has to be compiled: build-essential, default-libmysqlclient-dev, pkg-config of Debian are installed where that is done, and"
            " libmariadb3 in the image (PyMySQL needs nothing of it)",
        ),
        (
            "uWSGI==2.0.31",
            ["build-essential"],
            [],
            "uwsgi has to be compiled: build-essential of Debian is installed where that is done",
        ),
        (
            "mysqlclient\npsycopg2\nuwsgi",
            ["build-essential", "default-libmysqlclient-dev", "pkg-config", "libpq-dev"],
            ["libmariadb3", "libpq5"],
            "psycopg2 has to be compiled: build-essential, libpq-dev of Debian are installed where that is done, and libpq5 in the image"
            " (psycopg2-binary needs nothing of it)",
        ),
    ],
)
def test_what_has_no_wheel_gets_what_compiles_it(
    project: Path, requirements: str, build: list[str], libraries: list[str], note: str
) -> None:
    write(project, **{"requirements.txt": f"django\n{requirements}\n"})
    found = describe(str(project))
    assert (found["build_packages"], found["library_packages"]) == (build, libraries)
    assert note in found["notes"]


def test_a_dockerfile_compiles_itself(project: Path) -> None:
    write(project, **{"requirements.txt": "mysqlclient\n", "Dockerfile": "FROM python:3.13\n"})
    found = describe(str(project))
    assert (found["build_packages"], found["library_packages"]) == ([], [])
    assert not [note for note in found["notes"] if "compiled" in note]


SETUP_PY = (
    'from setuptools import setup\nsetup(name="shop", install_requires=open("live.in").read().split())\n'
)
SETUP_CFG = "[options]\ninstall_requires =\n    Django\n"


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"setup.py": SETUP_PY}, "setup.py"),
        ({"setup.py": SETUP_PY, "setup.cfg": SETUP_CFG, "pyproject.toml": "[tool.black]\n"}, "setup.py"),
        ({"setup.cfg": SETUP_CFG, "pyproject.toml": "[build-system]\n"}, "setup.cfg"),
        ({"pyproject.toml": '[project]\nname = "shop"\ndynamic = ["version", "dependencies"]\n'}, "pyproject.toml"),
    ],
)  # fmt: skip
def test_what_only_a_build_backend_knows_is_installed_by_it(
    project: Path, files: dict[str, str], named: str
) -> None:
    found = describe(str(write(project, **files)))
    assert (found["requirements_file"], found["requirements_files"]) == (named, ["."])
    assert (found["requirements"], found["requirements_known"], found["installs_beside"]) == ([], False, [])
    assert found["installs"] == [
        "SETUPTOOLS_SCM_PRETEND_VERSION=0 pip install .",
        "pip show --quiet gunicorn || pip install gunicorn==27.0.1",
        "pip show --quiet psycopg psycopg-binary psycopg2 psycopg2-binary || pip install psycopg2-binary==2.9.13",
    ]
    assert found["notes"] == [
        f"the project is installed, with what {named} asks for",
        f"installed as well, unless {named} brings something of the kind: gunicorn==27.0.1, psycopg2-binary==2.9.13",
    ]
    write(project, **{"requirements.txt": REQUIREMENTS})
    assert describe(str(project))["requirements_known"] is True
    assert describe(str(project), requirements=named)["requirements_file"] == named


def test_a_setup_cfg_for_tools_asks_for_nothing(project: Path) -> None:
    found = describe(str(write(project, **{"setup.cfg": "[flake8]\nmax-line-length = 99\n"})))
    assert found["requirements_file"] == ""
    assert describe(str(project), requirements="setup.cfg")["requirements_problem"] == (
        "setup.cfg asks for nothing (djangogcp_requirements)"
    )


def test_a_setup_py_in_a_folder_is_installed_there(tmp_path: Path) -> None:
    write(tmp_path, **{"back/manage.py": MANAGE_PY, "back/setup.py": SETUP_PY})
    found = describe(str(tmp_path))
    assert found["requirements_files"] == ["back"]
    assert found["installs"][0] == "cd back && SETUPTOOLS_SCM_PRETEND_VERSION=0 pip install ."


def test_a_pipfile_without_its_lock_is_locked_in_the_build(project: Path) -> None:
    found = describe(str(write(project, Pipfile='[packages]\nDjango = "*"\n')))
    assert (found["requirements_file"], found["requirements"]) == ("Pipfile", ["django"])
    assert (
        found["installs"][1]
        == "/tools/bin/pipenv lock && /tools/bin/pipenv requirements > /tmp/requirements.txt"
    )


@pytest.mark.parametrize(
    ("dockerfile", "port"),
    [
        ("CMD gunicorn --bind 0.0.0.0:8000 shop.wsgi", 8000),
        ('CMD ["gunicorn", "-b", ":5000", "shop.wsgi"]', 5000),
        ('CMD ["gunicorn", "--bind=[::]:8001", "shop.wsgi"]', 8001),
        ('CMD ["uvicorn", "shop.asgi:application", "--host", "0.0.0.0", "--port", "8002"]', 8002),
        ("CMD daphne -b 0.0.0.0 -p 9000 shop.asgi:application", 9000),
        ("CMD python manage.py runserver 0.0.0.0:8000", 8000),
        ("CMD uwsgi --http-socket :8003 --module shop.wsgi", 8003),
        ("ENV LISTEN=7000\nCMD gunicorn --bind :$LISTEN shop.wsgi", 7000),
        ("CMD gunicorn --bind :${LISTEN:-7001} shop.wsgi", 7001),
        ('EXPOSE 80\nENTRYPOINT ["/app/start.sh"]', 8010),
        ('CMD ["gunicorn", "-c", "conf/live.py", "shop.wsgi"]', 8020),
        ('CMD ["uwsgi", "--ini", "uwsgi.ini"]', 8030),
        # What follows PORT is told it.
        ("EXPOSE 8000\nCMD exec gunicorn --bind :$PORT shop.wsgi", 0),
        ("ENV PORT=8000\nCMD exec gunicorn --bind 0.0.0.0:${PORT:-8000} shop.wsgi", 0),
        ("CMD gunicorn shop.wsgi", 0),
        # Whoever asks nothing but EXPOSE is right about it.
        ("EXPOSE 8000\nCMD gunicorn shop.wsgi", 8000),
        ("EXPOSE 8000/tcp 9000/udp\nCMD /srv/serve", 8000),
        ("ARG P=3000\nEXPOSE $P\nCMD /srv/serve", 3000),
        ("EXPOSE 8000 9000\nCMD /srv/serve", 0),
        ("EXPOSE 8000-8010\nCMD /srv/serve", 0),
        # A server that only others in the container reach, and the port of somebody else.
        ("EXPOSE 8080\nCMD gunicorn --bind 127.0.0.1:8000 shop.wsgi & nginx", 8080),
        ("CMD pg_isready -h db -p 5432 && exec serve", 0),
        ("EXPOSE 1\nFROM python:3.13-slim\nCMD serve", 0),
    ],
)  # fmt: skip
def test_a_port_that_is_fixed_in_an_image_is_seen(project: Path, dockerfile: str, port: int) -> None:
    write(
        project,
        Dockerfile=f"FROM python:3.13-slim\n{dockerfile}\n",
        **{
            "start.sh": "pg_isready -p 5432\nexec gunicorn \\\n  --bind 0.0.0.0:8010 shop.wsgi\n",
            "conf/live.py": 'workers = 2\nbind = "0.0.0.0:8020"\n',
            "uwsgi.ini": "[uwsgi]\nhttp = 0.0.0.0:8030\n",
        },
    )
    found = describe(str(project))
    assert found["port"] == port
    told = [f"the image listens on the port {port}, and is asked there (djangogcp_port)"]
    assert found["notes"] == (told if port not in (0, 8080) else [])


def test_a_port_that_is_fixed_elsewhere_is_seen(project: Path) -> None:
    write(
        project,
        **{"Dockerfile": "FROM python\nCMD gunicorn shop.wsgi\n", "gunicorn.conf.py": "bind = ':8040'\n"},
    )
    assert describe(str(project))["port"] == 8040
    (project / "Dockerfile").unlink()
    write(
        project, **{"requirements.txt": REQUIREMENTS, "Procfile": "web: gunicorn -b 0.0.0.0:8050 shop.wsgi\n"}
    )
    assert describe(str(project))["port"] == 8050


#: As `wagtail start` writes one.
TRIAL = """
FROM python:3.14-slim-bookworm AS builder
RUN apt-get update && apt-get install --yes libpq-dev
FROM python:3.14-slim-bookworm
RUN apt-get update && apt-get install --yes libpq5
COPY --from=builder /venv /venv
ENV PORT=8000
EXPOSE 8000
COPY . .
USER wagtail
CMD python manage.py migrate --noinput; gunicorn shop.wsgi:application
"""
FILE_DATABASE = 'DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}\n'


def test_a_dockerfile_whose_database_is_a_file_in_the_image_is_not_used(project: Path) -> None:
    write(
        project,
        Dockerfile=TRIAL,
        **{"shop/settings.py": FILE_DATABASE, "requirements.txt": "django\n"},
    )
    found = describe(str(project))
    assert (found["dockerfile"], found["overlay"], found["port"]) == (False, True, 0)
    assert found["manage_command"] == ["python", "manage.py"]
    assert (
        "the Dockerfile is not used, and one is made, because shop.settings knows no other database than a file in the image"
        " (djangogcp_settings_overlay)"
    ) in found["notes"]


@pytest.mark.parametrize(
    "other",
    [
        {"shop/settings.py": 'import environ\nDATABASES = {"default": environ.Env().db()}\n'},
        {"shop/settings.py": FILE_DATABASE + 'import os\nHOST = os.environ.get("POSTGRES_HOST")\n'},
        {"shop/settings.py": FILE_DATABASE + 'REAL = {"ENGINE": "django.db.backends.postgresql"}\n'},
        {"shop/settings.py": "DATABASES = elsewhere()\n"},
        {"Dockerfile": TRIAL + "COPY .overlay /tmp/overlay\n"},
        {"Dockerfile": TRIAL + "ENV DJANGO_SETTINGS_MODULE=shop.live\n"},
        # What a front end's tools make would be missing.
        {"Dockerfile": TRIAL + "RUN npm ci && npm run build\n"},
        {"Dockerfile": f"FROM node:22 AS assets\nRUN npm ci\n{TRIAL}COPY --from=assets /out static\n"},
        {"Dockerfile": TRIAL.replace("FROM python:3.14-slim-bookworm\n", "FROM registry.example.com/base\n")},
        # Only it knows what is installed.
        {"requirements.txt": None},
    ],
)
def test_any_other_dockerfile_is_used(project: Path, other: dict[str, str | None]) -> None:
    files = {
        "Dockerfile": TRIAL,
        "shop/settings.py": FILE_DATABASE,
        "requirements.txt": "django\n",
        **other,
    }
    (project / "requirements.txt").unlink(missing_ok=True)
    write(project, **{name: text for name, text in files.items() if text is not None})
    assert describe(str(project))["dockerfile"] is True


def test_a_dockerfile_is_used_where_nothing_is_to_be_laid_over_settings(project: Path) -> None:
    write(
        project,
        Dockerfile=TRIAL,
        **{"shop/settings.py": FILE_DATABASE, "requirements.txt": "django\n"},
    )
    assert describe(str(project), settings_overlay="false")["dockerfile"] is True
