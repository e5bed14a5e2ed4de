# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a generated Dockerfile installs and starts."""

from __future__ import annotations

import json
import re
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
    "procfile_web": "",
    "wsgi_module": "shop.wsgi:application",
    "asgi": False,
}
ASGI = {"wsgi_module": "shop.asgi:application", "asgi": True}
GUNICORN = "exec gunicorn --bind :$PORT --worker-tmp-dir /dev/shm shop.wsgi:application"
UVICORN = "exec uvicorn --host 0.0.0.0 --port $PORT --no-access-log shop.asgi:application"


def dockerfile(static: str = "bucket", settings_module: str = "", **source: object) -> str:
    # As Ansible's lookup template does.
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["to_json"] = json.dumps
    role = yaml.safe_load((ROLE / "vars/main.yml").read_text("utf-8"))
    values = {
        "djangogcp_static": static,
        "djangogcp_settings_module": settings_module,
        "__image_source": SOURCE | source,
        "__image_uvicorn": role["__image_uvicorn"],
        "__image_python_version": (SOURCE | source)["python_version"],
    }
    needed = environment.from_string(role["__image_needs_uvicorn"]).render(values)
    template = (ROLE / "templates/Dockerfile.j2").read_text("utf-8")
    collecting = environment.from_string(role["__image_collecting"]).render(values)
    return environment.from_string(template).render(
        values, __image_needs_uvicorn=needed == "True", __image_collecting=collecting
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
    ("source", "command", "installed"),
    [
        ({}, GUNICORN, False),
        (ASGI, UVICORN, True),
        (ASGI | {"requirements": ["django", "uvicorn"]}, UVICORN, False),
        (ASGI | {"procfile_web": "daphne shop.asgi"}, "exec daphne shop.asgi", False),
    ],
)
def test_an_application_is_served_as_what_it_is(
    source: dict[str, object], command: str, installed: bool
) -> None:
    text = dockerfile(**source)
    assert text.splitlines()[-1] == f'CMD ["/bin/sh", "-c", {json.dumps(command)}]'
    assert ("RUN pip install uvicorn==" in text) is installed


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
