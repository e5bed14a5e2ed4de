# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a project runs beside its pages, and what becomes of it on Google Cloud: the services of a compose.yaml, the processes of a Procfile.

The form is https://github.com/compose-spec/compose-spec/blob/main/spec.md. Nothing of it is run, and no other file is included.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import typing as t

import yaml
from ansible_collections.org.djangogcp.plugins.plugin_utils import _text

if t.TYPE_CHECKING:
    from pathlib import Path

#: In the order in which Compose takes one. Templates name theirs for production, and then there is none of Compose's own.
FILES = (
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "compose.production.yaml",
    "compose.production.yml",
    "compose.prod.yml",
    "docker-compose.production.yml",
    "docker-compose.prod.yml",
    "production.yml",
)
#: By the last part of an image's name.
_IMAGES = (
    (r"postgres(?:ql)?|postgis|pgvector|timescaledb(?:-ha)?|supabase-postgres", "postgresql"),
    (r"mysql(?:-server)?|mariadb|percona(?:-server)?", "mysql"),
    (r"mongo(?:db)?|mssql.*|oracle.*", "other database"),
    (r"redis(?:-stack.*)?|valkey|keydb|dragonfly", "redis"),
    (r"memcached", "memcached"),
    (r"rabbitmq|kafka|nats", "broker"),
    (r"nginx.*|traefik|caddy|haproxy|httpd|swag|certbot", "front"),
    (r"mailhog|mailpit|maildev|mailcatcher|smtp4dev", "mail"),
    (r"minio|localstack|azurite|fake-gcs-server", "object storage"),
    (r"elasticsearch|opensearch|solr|meilisearch|typesense", "search"),
    (r"adminer|pgadmin4?|flower|portainer|phpmyadmin|redis-?commander|prometheus|grafana|awscli", "tool"),
    (r"node|bun", "assets"),
)
#: By what is run.
_COMMANDS = (
    # What serves has workers, too.
    (
        r"\bgunicorn\b|\buvicorn\b|\bdaphne\b|\bhypercorn\b|\bgranian\b|\buwsgi\b|waitress|runserver",
        "web",
    ),
    (
        r"beat\b|\bcrond?\b|\bcrontab\b|\bclock\b|scheduler\b|ofelia",
        "schedule",
    ),
    (r"\bflower\b", "tool"),
    (
        r"workers?\b|\bcelery\b|qcluster|run_huey|dramatiq\b|process_tasks|procrastinate",
        "worker",
    ),
    (r"\b(?:npm|pnpm|yarn|vite|webpack|tailwind)\b", "assets"),
    (r"\bmigrate\b", "release"),
)
BECOMES = {
    "postgresql": "Cloud SQL for PostgreSQL: an instance, and in it a database and users of the site's own",
    "mysql": "Cloud SQL for PostgreSQL, unless djangogcp_database_version says MYSQL_8_0 or MYSQL_8_4; rows are not moved (dumpdata and loaddata)",
    "mysql as asked": "Cloud SQL for MySQL: an instance, and in it a database and users of the site's own; rows are not moved (dumpdata and loaddata)",
    "other database": "nothing: a deploy makes no such database",
    "redis": "not yet Memorystore: a cache on this machine becomes the process's memory. Name one of your own by its address in djangogcp_environment",
    "memcached": "not yet Memorystore: a cache on this machine becomes the process's memory",
    "broker": "nothing: a deploy makes no broker. Name one of your own by its address in djangogcp_environment",
    "front": "nothing: Google's front end ends HTTPS and passes requests on",
    "mail": "nothing: e-mail is sent by the server that EMAIL_HOST names",
    "object storage": "buckets of Cloud Storage: one for uploads, and one for static files where the image does not serve them",
    "search": "nothing: a deploy makes no search engine. Name one of your own by its address in djangogcp_environment",
    "tool": "nothing: it is for people and not for the site",
    "assets": "nothing: what it builds has to be in the folder when it is deployed, or be built by a Dockerfile of yours",
    "worker": "a worker pool on Cloud Run, which runs it all the time (djangogcp_background_workers)",
    "schedule": "a worker pool on Cloud Run with one instance (djangogcp_background_workers)",
    "web": "the service on Cloud Run",
    "release": "a job on Cloud Run, run before a new revision gets traffic",
    "other": "nothing: no deploy runs it",
}


@dataclasses.dataclass(frozen=True)
class Part:
    """Something that runs or keeps data beside the pages.

    Attributes:
        name: what the project calls it.
        said: the image, command or folder that tells what it is.
        becomes: what it is on Google Cloud.
    """

    name: str
    said: str
    becomes: str


@dataclasses.dataclass
class Compose:
    """What a compose file says.

    Attributes:
        file: its name; "" if there is none.
        services: its services.
        volumes: what they keep.
        kinds: of what kinds the services are.
        workers: the command lines of those that work in the background, by their names, as far as the file says them.
        problem: why it cannot be read.
    """

    file: str = ""
    services: list[Part] = dataclasses.field(default_factory=list)
    volumes: list[Part] = dataclasses.field(default_factory=list)
    kinds: set[str] = dataclasses.field(default_factory=set)
    workers: dict[str, str] = dataclasses.field(default_factory=dict)
    problem: str = ""


class _Loader(yaml.SafeLoader):
    """Compose has tags of its own (!reset, !override), which say nothing here."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def kind_of_command(command: str) -> str:
    """What a command line starts: ``web``, ``worker``, ``schedule``, ``release``, or ``other``."""
    return next((kind for pattern, kind in _COMMANDS if re.search(pattern, command)), "other")


def find(root: Path) -> Compose:
    """The compose file of a project's folder."""
    for name in FILES:
        if os.path.isfile(root / name):
            found = _of(root, name)
            # Other things are called production.yml as well.
            if found.services or found.problem or not name.startswith("production"):
                return found
    return Compose()


def _of(root: Path, name: str) -> Compose:
    found = Compose(name)
    try:
        data = yaml.load(_text.read(root / name), Loader=_Loader)  # noqa: S506 - a kind of SafeLoader
        services = _table(_table(data).get("services"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        said = (
            f"line {mark.line + 1}"
            if (mark := getattr(error, "problem_mark", None))
            else type(error).__name__
        )
        found.problem = f"{name} cannot be read ({said})"
        return found
    for service, described in services.items():
        described = _table(described)
        kind, said = _kind(str(service), described)
        found.kinds.add(kind)
        found.services.append(Part(str(service), said, BECOMES[kind]))
        if kind in ("worker", "schedule") and (command := _shell_line(described)):
            found.workers[str(service)] = command
        found.volumes += _volumes(described, kind)
    found.volumes = list({part.name: part for part in found.volumes}.values())
    return found


def _table(value: t.Any) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}


def _kind(name: str, service: dict[str, t.Any]) -> tuple[str, str]:
    """The kind of a service, and what tells it."""
    image = str(service.get("image") or "")
    command = _line(service.get("entrypoint")) + " " + _line(service.get("command"))
    last = re.sub(r"[:@].*", "", image.rpartition("/")[2])
    if "build" not in service:
        for pattern, kind in _IMAGES:
            if re.fullmatch(pattern, last, re.IGNORECASE):
                return kind, image
    if (kind := kind_of_command(command)) != "other":
        return kind, command.strip()
    # Templates build even their database's image, and then only the names tell.
    for pattern, kind in _IMAGES:
        if re.fullmatch(pattern, name, re.IGNORECASE) or (
            "build" in service and re.search(rf"[_-](?:{pattern})$", last)
        ):
            return kind, image or "its own image"
    named = re.sub(r"[_-]", " ", name)
    if (kind := kind_of_command(named)) in ("worker", "schedule", "tool"):
        return kind, command.strip() or "its own image"
    if "build" in service:
        return "web", command.strip() or "its own image"
    return "other", image or command.strip()


def _line(value: t.Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _shell_line(service: dict[str, t.Any]) -> str:
    """What a service starts, as a shell takes it. Compose has two dollars for one that is no variable of its own."""
    given = [service.get(key) for key in ("entrypoint", "command")]
    lines = [shlex.join(map(str, one)) if isinstance(one, list) else str(one or "") for one in given]
    return " ".join(" ".join(lines).replace("$$", "$").split())


def _volumes(service: dict[str, t.Any], kind: str) -> t.Iterator[Part]:
    """What a service keeps, and where that is kept on Google Cloud."""
    given = service.get("volumes")
    for volume in given if isinstance(given, list) else []:
        if isinstance(volume, dict):
            source, target = str(volume.get("source") or ""), str(volume.get("target") or "")
        else:
            source, _colon, rest = str(volume).partition(":")
            target = rest.partition(":")[0] or source
        if not source or source == target:
            continue
        is_named = not source.startswith((".", "/", "~", "$"))
        if kind in ("postgresql", "mysql", "other database"):
            if is_named:
                yield Part(
                    source, target, "the storage of the Cloud SQL instance; what is in it now is not moved"
                )
        elif re.search(r"media|upload", f"{source} {target}"):
            yield Part(source, target, "the private bucket for uploads; what is in it now is not moved")
        elif re.search(r"static|assets", f"{source} {target}"):
            yield Part(source, target, "the image, or the bucket for static files: each deploy makes it anew")
        elif is_named and kind in ("web", "worker", "schedule", "other"):
            yield Part(source, target, "nothing: what Cloud Run writes to a disk is gone with the instance")
