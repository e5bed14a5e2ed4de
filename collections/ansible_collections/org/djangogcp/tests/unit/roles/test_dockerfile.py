# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a generated Dockerfile installs and starts."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import jinja2
import pytest
import yaml

ROLE = Path(__file__).parents[3] / "roles/image"
SOURCE = {
    "python_version": "3.13",
    "requirements_file": "requirements.txt",
    "requirements_files": ["requirements.txt"],
    "requirements": ["django", "gunicorn"],
    "installs": ["pip install -r requirements.txt"],
    "installs_beside": [],
    "system_packages": [],
    "build_packages": [],
    "library_packages": [],
    "manage_dir": "",
    "procfile_web": "",
    "start_command": "",
    "wsgi_module": "shop.wsgi:application",
    "asgi": False,
    "overlay": False,
    "configuration": "",
    "project_settings_module": "shop.settings",
}
ASGI = {"wsgi_module": "shop.asgi:application", "asgi": True}
GUNICORN = "exec gunicorn --bind :$PORT --worker-tmp-dir /dev/shm shop.wsgi:application"
UVICORN = "exec uvicorn --host 0.0.0.0 --port $PORT --no-access-log shop.asgi:application"


def dockerfile(
    static: str = "bucket",
    settings_module: str = "",
    names: dict[str, str] | None = None,
    packages: tuple[str, ...] = (),
    **source: object,
) -> str:
    # As Ansible's lookup template does.
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["to_json"] = json.dumps
    # As ansible.builtin.union does.
    environment.filters["union"] = lambda one, other: list(dict.fromkeys([*one, *other]))
    role = yaml.safe_load((ROLE / "vars/main.yml").read_text("utf-8"))
    values = {
        "djangogcp_static": static,
        "djangogcp_settings_module": settings_module,
        "__image_source": SOURCE | source,
        "djangogcp_python_version": (SOURCE | source)["python_version"],
    }
    template = (ROLE / "templates/Dockerfile.j2").read_text("utf-8")
    environment.filters["quote"] = shlex.quote
    values["__image_renamed"] = list((names or {}).items())
    values["djangogcp_out_variables"] = {"environment": {}}
    for name in ("__image_configuration", "__image_overlay_settings", "__image_names"):
        values[name] = environment.from_string(role[name]).render(values)
    collecting = environment.from_string(role["__image_collecting"]).render(values)
    variables = {"system_packages": list(packages)}
    chosen = environment.compile_expression(role["__image_system_packages"].strip("{} "))
    installed = chosen({**values, "djangogcp_out_variables": variables})
    return environment.from_string(template).render(
        values, __image_collecting=collecting, __image_system_packages=installed
    )


@pytest.mark.parametrize(
    ("version", "made"),
    [
        # Old packages import pkg_resources, which is of the setuptools that a virtual environment had until then.
        ("3.9", "python -m venv /venv"),
        ("3.11", "python -m venv /venv"),
        ("3.12", "python -m venv --without-pip /venv"),
        ("3.13.2", "python -m venv --without-pip /venv"),
    ],
)
def test_the_image_has_no_pip_unless_old_packages_need_what_comes_with_it(version: str, made: str) -> None:
    lines = dockerfile(python_version=version).splitlines()
    assert f"RUN {made}" in lines
    assert f"FROM python:{version}-slim AS dependencies" in lines


@pytest.mark.parametrize(
    ("source", "command"),
    [
        ({}, GUNICORN),
        (ASGI, UVICORN),
        (ASGI | {"procfile_web": "a && b", "start_command": "a && exec b"}, "a && exec b"),
    ],
)
def test_an_application_is_served_as_what_it_is(source: dict[str, object], command: str) -> None:
    assert dockerfile(**source).splitlines()[-1] == f'CMD ["/bin/sh", "-c", {json.dumps(command)}]'


def test_what_the_platform_needs_is_installed_after_what_the_project_lists() -> None:
    lines = dockerfile(
        installs=["x", "cd back && pip install -r live.txt"], installs_beside=["gunicorn==1", "b==2"]
    ).splitlines()
    place = lines.index("RUN x")
    assert lines[place + 1 : place + 3] == [
        "RUN cd back && pip install -r live.txt",
        "RUN pip install gunicorn==1 b==2",
    ]


def test_a_project_in_a_folder_is_run_in_that_folder() -> None:
    lines = dockerfile("image", manage_dir="back/end").splitlines()
    assert lines.count("WORKDIR /app/back/end") == 2
    collecting = next(place for place, line in enumerate(lines) if "collectstatic" in line)
    assert lines[collecting - 1] == "WORKDIR /app/back/end"
    assert "WORKDIR /app/" not in dockerfile("image")


def test_what_is_installed_does_not_depend_on_the_code() -> None:
    stages = [stage.splitlines() for stage in re.split(r"^FROM ", dockerfile(), flags=re.MULTILINE)[1:]]
    dependencies, code, image = stages
    assert dependencies[0] == code[0].replace("code", "dependencies") == image[0] + " AS dependencies"
    assert [line for line in dependencies if line.startswith("COPY")] == [
        "COPY requirements.txt requirements.txt"
    ]
    assert "RUN pip install -r requirements.txt" in dependencies
    copied = [line for line in image if line.startswith("COPY")]
    assert copied == ["COPY --from=dependencies /venv /venv", "COPY --from=code /app /app"]


def test_static_files_are_collected_into_the_image_that_serves_them() -> None:
    assert "collectstatic" not in dockerfile()
    stages = re.split(r"^FROM ", dockerfile("image", "shop.production"), flags=re.MULTILINE)[1:]
    code, image = (stage.splitlines() for stage in stages[1:])
    (collecting,) = [line for line in code if "collectstatic" in line]
    assert collecting.endswith(
        " GS_MEDIA_BUCKET_NAME=unused-here DJANGO_SETTINGS_MODULE=shop.production"
        " /venv/bin/python manage.py collectstatic --noinput"
    )
    assert (
        code.index("COPY . .") < code.index("COPY --from=dependencies /venv /venv") < code.index(collecting)
    )
    assert "COPY --from=code /app /app" in image
    assert "DJANGO_SETTINGS_MODULE" not in dockerfile("image")


def test_the_overlay_lies_beside_what_is_installed_and_collects() -> None:
    text = dockerfile("image", overlay=True, names={"KEY": "SECRET_KEY", "DB_HOST": "DATABASE_HOST"})
    dependencies, code, _image = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert "\nCOPY .overlay .overlay\n" in dependencies
    (collect,) = [line for line in code.splitlines() if "collectstatic" in line]
    assert (
        " DJANGO_SETTINGS_MODULE=django_on_google_cloud.settings DJANGO_OVERLAY_SETTINGS_MODULE=django_on_google_cloud.settings"
        " DJANGO_PROJECT_SETTINGS_MODULE=shop.settings DJANGO_ENVIRONMENT_NAMES='KEY=SECRET_KEY DB_HOST=DATABASE_HOST' "
        in collect
    )
    assert ".overlay" not in dockerfile("image")


def test_what_settings_call_otherwise_is_there_while_files_are_collected() -> None:
    text = dockerfile("image", names={"DJANGO_SECRET_KEY": "SECRET_KEY", "HOSTS": "ALLOWED_HOSTS"})
    (collect,) = [line for line in text.splitlines() if "collectstatic" in line]
    assert " DJANGO_SECRET_KEY=unused-here HOSTS= /venv/bin/python" in collect


def test_packages_of_debian_are_in_every_stage() -> None:
    assert "apt-get" not in dockerfile()
    lines = dockerfile(system_packages=["libpq5", "g++"]).splitlines()
    assert [line for line in lines if line.startswith("FROM ")] == [
        "FROM python:3.13-slim AS system",
        "FROM system AS dependencies",
        "FROM system AS code",
        "FROM system",
    ]
    place = lines.index("RUN apt-get update \\")
    assert lines[place + 1 : place + 3] == [
        " && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libpq5 g++ \\",
        " && rm -rf /var/lib/apt/lists/*",
    ]
    named = dockerfile(packages=("gdal-bin",), system_packages=["libpq5"])
    assert " --no-install-recommends gdal-bin \\\n" in named


def test_what_compiles_is_not_in_the_image() -> None:
    text = dockerfile(
        packages=("gettext", "libmariadb3"),
        build_packages=["build-essential", "pkg-config"],
        library_packages=["libmariadb3"],
    )
    system, dependencies, code, image = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    installing = "RUN apt-get update \\\n && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends"
    assert f"\n{installing} gettext libmariadb3 \\\n" in system
    place = dependencies.index(f"\n{installing} build-essential pkg-config \\\n")
    assert place < dependencies.index("\nRUN pip install")
    assert "apt-get" not in code + image
    assert [stage.partition("\n")[0] for stage in (dependencies, code, image)] == [
        "system AS dependencies",
        "system AS code",
        "system",
    ]
