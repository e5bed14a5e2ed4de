# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a virtual machine does not take of the variables of a site."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.org.djangogcp.plugins.filter.compute_engine_problems import compute_engine_problems

SITE = {"djangogcp_region": "us-central1", "djangogcp_domains": [], "djangogcp_python_version": "3.13"}
MACHINE = {
    "zone": "us-central1-b",
    "image": "projects/debian-cloud/global/images/family/debian-13",
    "acme": False,
    "certificate": True,
    "certificate_key": True,
}
SOURCE = {"wsgi_module": "shop.wsgi:application", "dockerfile": False, "procfile_web": "", "asgi": False}


def problems(
    site: t.Mapping[str, t.Any] | None = None,
    machine: t.Mapping[str, t.Any] | None = None,
    source: t.Mapping[str, t.Any] | None = None,
) -> list[str]:
    return compute_engine_problems(
        {**SITE, **(site or {})}, {**MACHINE, **(machine or {})}, {**SOURCE, **(source or {})}
    )


def test_a_site_as_it_should_be() -> None:
    assert problems() == []
    with_names = {"djangogcp_domains": ["shop.example.com"]}
    assert problems(with_names, {"acme": True, "certificate": False, "certificate_key": False}) == []
    # As variables, and as files.
    secrets = {
        "A": "a",
        "B": {"name": "b", "path": "/run/secrets/b"},
        "C": {"name": "b", "path": "/run/secrets/b"},
    }
    assert problems({"djangogcp_site": "shop", "djangogcp_secrets": secrets}) == []
    # What is not known is not judged.
    assert problems(machine={"image": "projects/own/global/images/family/web"}) == []


@pytest.mark.parametrize(
    ("site", "begins"),
    [
        ({"djangogcp_strategy": "canary"}, "djangogcp_strategy is 'canary': expected direct"),
        ({"djangogcp_public": False}, "djangogcp_public is false: expected true. Who may reach a machine"),
        ({"djangogcp_network": "sites"}, "djangogcp_network is 'sites': expected none"),
        (
            {"djangogcp_secrets": {"TOKEN": {"name": "token", "path": "/home/shop/token"}}},
            "djangogcp_secrets.TOKEN.path is '/home/shop/token': expected a file in another folder, such as /run/secrets/token/value, because /home has",
        ),
        (
            {"djangogcp_site": "shop", "djangogcp_secrets": {"TOKEN": {"name": "token", "path": "/srv/shop/run/token"}}},
            "djangogcp_secrets.TOKEN.path is '/srv/shop/run/token': expected a file in another folder, such as /run/secrets/token/value, because /srv/shop has",
        ),
        (
            {"djangogcp_secrets": {
                "TOKEN": {"name": "token", "path": "/run/secrets/a"}, "KEY": {"name": "key", "path": "/run/secrets/a/key"}
            }},
            "djangogcp_secrets.KEY.path is '/run/secrets/a/key': expected a file in another folder, such as /run/secrets/key/value, because"
            " /run/secrets/a is another secret.",
        ),
        ({"djangogcp_python_version": "3.12"}, "djangogcp_python_version is '3.12': expected 3.13, which debian-13 has."),
        ({"djangogcp_region": "europe-west1"}, "compute_engine_zone is 'us-central1-b': expected a zone of europe-west1"),
    ],
)  # fmt: skip
def test_what_a_machine_does_not_take(site: dict[str, t.Any], begins: str) -> None:
    [problem] = problems(site)
    assert problem.startswith(begins)


def test_another_debian_has_another_python() -> None:
    [problem] = problems({"djangogcp_python_version": "3.11"})
    assert problem.endswith(
        " Set compute_engine_image to projects/debian-cloud/global/images/family/debian-12."
    )


@pytest.mark.parametrize(
    ("machine", "begins"),
    [
        ({"certificate_key": False}, "compute_engine_certificate_key is not set: expected a file"),
        ({"acme": True}, "compute_engine_acme is true: expected false"),
        ({"acme": True, "certificate": False, "certificate_key": False}, "djangogcp_domains is empty: expected"),
        ({"certificate": False, "certificate_key": False}, "compute_engine_certificate is not set: expected a certificate"),
    ],
)  # fmt: skip
def test_a_machine_that_cannot_be(machine: dict[str, t.Any], begins: str) -> None:
    [problem] = problems(machine=machine)
    assert problem.startswith(begins)


@pytest.mark.parametrize(
    "web",
    [
        "gunicorn shop.wsgi",
        "gunicorn shop.wsgi:application",
        "exec gunicorn --bind 0.0.0.0:$PORT --workers=3 --threads 2 --log-file - shop.wsgi",
        "python -m gunicorn -b :8000 -k gthread shop.wsgi",
        "uv run gunicorn shop.wsgi --timeout 60 --access-logfile -",
        "",
    ],
)
def test_a_project_that_a_machine_serves_as_its_procfile_does(web: str) -> None:
    assert problems(source={"procfile_web": web, "wsgi_module": "shop.wsgi:application"}) == []


@pytest.mark.parametrize(
    "web",
    [
        "honcho start",
        "gunicorn",
        "gunicorn other.wsgi",
        "gunicorn shop.wsgi:other",
        "gunicorn shop.wsgi other.wsgi",
        "gunicorn shop.wsgi=other",
        "gunicorn shop.wsgi -c gunicorn.py",
        "gunicorn shop.wsgi --preload",
        "gunicorn shop.wsgi -k gevent",
        "gunicorn shop.wsgi --workers",
        "gunicorn shop.wsgi --log-file '",
        "python manage.py migrate && gunicorn shop.wsgi",
        "gunicorn shop.wsgi && true",
        "gunicorn-django shop.wsgi",
    ],
)
def test_a_project_that_a_machine_would_serve_in_another_way(web: str) -> None:
    [problem] = problems(source={"procfile_web": web, "wsgi_module": "shop.wsgi:application"})
    assert problem.startswith("The project's Procfile starts ")
    assert "expected gunicorn shop.wsgi:application and no options but" in problem


def test_what_is_of_a_wrong_type_is_left_to_others() -> None:
    assert problems({"djangogcp_secrets": "token", "djangogcp_region": 7}) == []
