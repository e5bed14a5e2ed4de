# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.org.djangogcp.plugins.plugin_utils import _compose

COMPOSE = """
x-shared: &shared
  environment: {DEBUG: "1"}
volumes: {rows: {}, files: {}, spool: {}}
services:
  db:
    image: docker.io/library/postgres:17-alpine
    volumes: ["rows:/var/lib/postgresql/data"]
  cache: {image: "valkey/valkey:8"}
  old: {image: "mariadb@sha256:aaaa"}
  web:
    <<: *shared
    build: .
    command: gunicorn shop.wsgi
    ports: !reset []
    volumes:
      - .:/app
      - files:/app/media
      - {type: volume, source: spool, target: /app/spool}
      - ./static:/app/static
  jobs: {build: ., command: [celery, -A, shop, worker]}
  ticks: {build: ., command: celery -A shop beat}
  proxy: {image: "nginx:1.29"}
  inbox: {image: axllent/mailpit}
  finder: {image: "getmeili/meilisearch:v1.20"}
  blobs: {image: minio/minio}
  eyes: {image: "acme/surveillance"}
"""


def found(tmp_path: Path, text: str, name: str = "compose.yaml") -> _compose.Compose:
    (tmp_path / name).write_text(text, "utf-8")
    return _compose.find(tmp_path)


def test_each_service_is_told_with_what_becomes_of_it(tmp_path: Path) -> None:
    compose = found(tmp_path, COMPOSE)
    becomes = {part.name: part.becomes for part in compose.services}
    assert {
        name: next(kind for kind, text in _compose.BECOMES.items() if text == said)
        for name, said in becomes.items()
    } == {
        "db": "postgresql",
        "cache": "redis",
        "old": "mysql",
        "web": "web",
        "jobs": "worker",
        "ticks": "schedule",
        "proxy": "front",
        "inbox": "mail",
        "finder": "search",
        "blobs": "object storage",
        "eyes": "other",
    }


def test_each_volume_is_told_with_where_it_is_kept(tmp_path: Path) -> None:
    volumes = {part.name: part.becomes for part in found(tmp_path, COMPOSE).volumes}
    assert set(volumes) == {"rows", "files", "spool", "./static"}
    assert "Cloud SQL" in volumes["rows"]
    assert "private bucket" in volumes["files"]
    assert "gone with the instance" in volumes["spool"]
    assert "the image, or the bucket" in volumes["./static"]


@pytest.mark.parametrize(
    ("services", "kind"),
    [
        # As templates have it, which build even their database.
        (
            "postgres: {build: {context: ., dockerfile: ./compose/postgres/Dockerfile}, image: shop_production_postgres}",
            "postgresql",
        ),
        ("celeryworker: {build: ., command: /start-celeryworker}", "worker"),
        ("celerybeat: {build: ., command: /start-celerybeat}", "schedule"),
        ("flower: {build: ., command: /start-flower}", "tool"),
        ("django: {build: ., image: shop_production_django, command: /start}", "web"),
        ("db: {image: postgis/postgis}", "postgresql"),
        ("app: {image: 'acme/shop', command: gunicorn shop.wsgi --workers 3}", "web"),
        ("migrate: {build: ., command: python manage.py migrate}", "release"),
        ("css: {image: 'node:24', command: npm run watch}", "assets"),
    ],
)
def test_kinds_as_projects_write_them(tmp_path: Path, services: str, kind: str) -> None:
    [part] = found(tmp_path, f"services:\n  {services}\n").services
    assert part.becomes == _compose.BECOMES[kind]


def test_composes_own_name_comes_before_a_templates(tmp_path: Path) -> None:
    (tmp_path / "production.yml").write_text("services: {db: {image: mysql}}\n")
    assert (
        found(tmp_path, "services: {db: {image: postgres}}\n", "docker-compose.yml").file
        == "docker-compose.yml"
    )


@pytest.mark.parametrize("text", ["", "[]", "services: [db]", "DEBUG: false", "services: {db: }"])
def test_what_is_no_compose_file_says_nothing(tmp_path: Path, text: str) -> None:
    compose = found(tmp_path, text)
    assert (compose.problem, compose.volumes) == ("", [])
    assert found(tmp_path, "DEBUG: false", "production.yml").problem == ""


@pytest.mark.parametrize("text", ["services: {", "a: *b", "\0"])
def test_a_file_that_is_no_yaml_is_told(tmp_path: Path, text: str) -> None:
    assert "compose.yaml cannot be read" in found(tmp_path, text).problem
