# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: django_source
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Read what a deploy must know about the folder of a Django project
description:
  - Reads files only. Nothing of the project is imported or run.
options:
  _terms:
    description: The folder that is built, on the control node. It holds C(manage.py), or a folder of it does.
    type: list
    elements: str
    required: true
  wsgi_module:
    description:
      - The WSGI or ASGI application as C(package.module:attribute).
      - If empty, C(wsgi.py) beside the settings that C(manage.py) names is looked for, and C(asgi.py) where there is no C(wsgi.py), or where it routes
        further protocols than HTTP (C(ProtocolTypeRouter) of Channels).
    type: str
    default: ''
  manage_dir:
    description:
      - The folder of C(manage.py), relative to the one that is built.
      - If empty, C(manage.py) is looked for, at most three folders down.
    type: str
    default: ''
  requirements:
    description:
      - The requirements file, lock file or C(pyproject.toml) that says what is installed, relative to the folder that is built.
      - If empty, it is looked for beside C(manage.py) and in the folders above it.
    type: str
    default: ''
  settings_module:
    description:
      - The settings module of what serves and of commands.
      - If empty, the one that O(ignore:wsgi_module) or C(manage.py) names.
    type: str
    default: ''
  settings_overlay:
    description:
      - Whether the image has the settings overlay, V(true), V(false) or V(auto), which is where the settings do not read C(DATABASE_URL) themselves.
      - A C(Dockerfile) decides by itself, it copies C(.overlay) or not.
    type: str
    default: auto
  database_version:
    description:
      - The database server and its version, as Cloud SQL calls it. It decides which driver is installed where a project lists none.
    type: str
    default: POSTGRES_17
"""

EXAMPLES = r"""
- name: Show what serves the project
  ansible.builtin.debug:
    msg: "{{ lookup('org.djangogcp.django_source', '/srv/shop').wsgi_module }}"
"""

RETURN = r"""
_list:
  description: One dictionary for each folder.
  type: list
  elements: dict
  contains:
    path:
      description:
        - The folder, absolute.
        - Where a folder of it holds both C(manage.py) and a C(Dockerfile), it is that one.
      type: str
    manage_dir:
      description: The folder of C(manage.py), relative to it, empty if it is the same.
      type: str
    manage_dirs:
      description: The folders that could be it, where there are several.
      type: list
      elements: str
    manage_problem:
      description: Why O(manage_dir) cannot be it, empty if it can.
      type: str
    manage_command:
      description: What runs C(manage.py) in an image of the project, before its arguments.
      type: list
      elements: str
    exists:
      description: Whether it is a folder.
      type: bool
    manage_py:
      description: Whether it holds C(manage.py).
      type: bool
    settings_module:
      description: The settings module that C(manage.py) falls back to, empty if it names none.
      type: str
    serving_settings_module:
      description:
        - The settings module that both the application and C(manage.py) have to be told, because they do not name the same, else empty.
        - It is the application's, and where that is one for development and there is one for production beside it, that one.
      type: str
    project_settings_module:
      description: The settings module of what serves, empty if none is known.
      type: str
    configuration:
      description: The class of the settings that what serves takes, where django-configurations makes them, else empty.
      type: str
    overlay:
      description: Whether the image has the settings overlay, C(django_on_google_cloud).
      type: bool
    overlay_problem:
      description: Why it cannot have it, empty if it can.
      type: str
    environment_names:
      description: What the settings read under names of their own, by such a name the variable of the deploy that holds it.
      type: dict
      sample: {DJANGO_SECRET_KEY: SECRET_KEY, POSTGRES_HOST: DATABASE_HOST}
    wsgi_module:
      description: The application as C(package.module:attribute), empty if none was found.
      type: str
    asgi:
      description:
        - Whether O(ignore:wsgi_module) is an ASGI application.
        - It is when C(get_asgi_application) or Channels' C(ProtocolTypeRouter) makes it, or when it is itself an asynchronous callable of three
          arguments. Where the file does not tell, an application in C(asgi.py) is.
      type: bool
    wsgi_modules:
      description: Every C(wsgi.py), or if those are what can serve C(asgi.py), in the folder that has an C(application), in the same form.
      type: list
      elements: str
    wsgi_problem:
      description: Why O(wsgi_module) cannot be the application, empty if it can.
      type: str
    requirements_file:
      description: The file that says what is installed, such as V(requirements.txt) or V(uv.lock), empty if there is none.
      type: str
    requirements_problem:
      description: Why it cannot be told what is installed, empty if it can.
      type: str
    requirements_files:
      description: The files and folders of the project by which it is installed, relative to the folder.
      type: list
      elements: str
    requirements:
      description: The normalized names of the required distributions.
      type: list
      elements: str
    requirements_known:
      description: Whether these are all. What a C(setup.py) requires is known once it has run, in the build.
      type: bool
    installs:
      description: The commands that install them in an image.
      type: list
      elements: str
    installs_beside:
      description: What is installed as well, because the platform needs it and the project does not list it.
      type: list
      elements: str
    installs_for_gunicorn:
      description: What is installed as well where gunicorn serves an ASGI application, as on a machine. Nothing if O(ignore:wsgi_module) is none.
      type: list
      elements: str
    python_needs:
      description: The versions of Python that the project can have, as PEP 440 has it, each with the reason.
      type: dict
    dockerfile:
      description:
        - Whether the project brings its own C(Dockerfile).
        - One that takes nothing that would be laid over the settings, of a project whose settings name no other database than one in a file, does not
          count; its image could only be tried.
      type: bool
    procfile_web:
      description: The command of the C(web) process in C(Procfile), empty if there is none.
      type: str
    start_command:
      description: The same as the image runs it, so that what it ends with gets the signals.
      type: str
    release_command:
      description: The command of the C(release) process in C(Procfile), as the image runs it, empty if it does no more than a deploy does by itself.
      type: str
    background_workers:
      description: The commands of the other processes in C(Procfile) that work in the background, by name, as a shell in the image takes them.
      type: dict
      sample: {worker: celery -A shop worker, beat: celery -A shop beat}
    shell:
      description: What runs a shell's command line in an image of the project, before the line.
      type: list
      elements: str
    release_migrates:
      description: Whether it, or a script of the project that it runs, says that it migrates.
      type: bool
    python_version:
      description: The minor version that the project asks for, such as V(3.13), empty if it does not.
      type: str
    port:
      description:
        - The port that what serves listens on, by its C(Dockerfile) or C(Procfile), V(0) if it takes that of the variable C(PORT).
      type: int
    system_packages:
      description: The packages of Debian that C(Aptfile) or C(apt.txt) lists.
      type: list
      elements: str
    system_packages_file:
      description: The file that lists them, empty if there is none.
      type: str
    system_packages_problem:
      description: Why they cannot be installed, empty if they can.
      type: str
    notes:
      description: What was found otherwise than beside C(manage.py), and what is done about it. For a person.
      type: list
      elements: str
    build_packages:
      description: The packages of Debian that compile what the project has installed and what has no wheel, empty with its own C(Dockerfile).
      type: list
      elements: str
      sample: [build-essential, default-libmysqlclient-dev, pkg-config]
    library_packages:
      description: The packages of Debian that this is linked with.
      type: list
      elements: str
      sample: [libmariadb3]
    static_server:
      description:
        - The distribution by which the project serves its static files itself, such as V(whitenoise), empty if it does not.
        - It does when its code names one that its requirements, or its own C(Dockerfile), bring, and nowhere the bucket of static files
          (C(GS_STATIC_BUCKET_NAME)).
      type: str
    email_login:
      description: Whether a user model of the project logs in with the e-mail address. One that a library brings is not looked into.
      type: bool
    schema_changes:
      description:
        - What the project says in SQL that only an owner of tables may do, each with the file that says it, and the distributions that do.
        - Migrations, management commands and tests are left out, for they are run as the owner.
      type: list
      elements: str
      sample: ["reports/views.py: REFRESH MATERIALIZED VIEW"]
    driver_problem:
      description: Why the project would have no driver for its database, empty if it would have one.
      type: str
    unreadable_files:
      description: The files that decide how the project is deployed and cannot be read as UTF-8, each with the reason.
      type: list
      elements: str
"""

import ast
import contextlib
import itertools
import os
import re
import typing as t
from pathlib import Path

from ansible.plugins.lookup import LookupBase
from ansible_collections.org.djangogcp.plugins.module_utils import _system_packages
from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import Engine, engine_of
from ansible_collections.org.djangogcp.plugins.plugin_utils import (
    _aptfile,
    _dependencies,
    _settings,
    _start,
    _workers,
)
from ansible_collections.org.djangogcp.plugins.plugin_utils._text import text as _text
from ansible_collections.org.djangogcp.plugins.plugin_utils._text import unreadable

# ansible-core requires it; only what ansible-test imports plugins with has none.
with contextlib.suppress(ImportError):
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

SKIPPED_FOLDERS = {"node_modules", "site-packages", "tests", "venv"}
#: Files whose text decides how the project is deployed.
TEXT_FILES = (
    "manage.py",
    "Dockerfile",
    "Procfile",
    "pyproject.toml",
    ".python-version",
    "runtime.txt",
    *_aptfile.FILES,
    ".dockerignore",
    ".gcloudignore",
)
#: What makes an application of either kind: of Django, of Channels, of asgiref, and of what wraps one as the other.
ROUTER = "ProtocolTypeRouter"
ASGI_MAKERS = {"get_asgi_application", "ASGIHandler", ROUTER, "WsgiToAsgi"}
WSGI_MAKERS = {"get_wsgi_application", "WSGIHandler"}
#: How a user model says that users log in with their addresses.
EMAIL_LOGIN = re.compile(r"""\bUSERNAME_FIELD\s*=\s*["']email["']""")
#: What PostgreSQL lets a role do that only reads and writes rows is not among these, and neither is what needs no database (SAVEPOINT).
SCHEMA_CHANGE = re.compile(
    r"\b(TRUNCATE"
    r"|REFRESH\s+MATERIALIZED\s+VIEW"
    r"|(?:CREATE|ALTER|DROP)\s+(?:(?:OR\s+REPLACE|GLOBAL|LOCAL|TEMP|TEMPORARY|UNLOGGED|UNIQUE|MATERIALIZED)\s+)*"
    r"(?:AGGREGATE|DOMAIN|EXTENSION|FUNCTION|INDEX|POLICY|PROCEDURE|RULE|SCHEMA|SEQUENCE|TABLE|TRIGGER|TYPE|VIEW)"
    r"|(?:GRANT|REVOKE)\s+\w+(?:\s*,\s*\w+)*\s+ON"
    r"|REINDEX\s+\w+|VACUUM|CLUSTER\s+\w+"
    r"|(?i:setval)(?=\s*\())"
)
#: Run as the owner of the tables, or not at all.
OWNERS_FOLDERS = {"management", "migrations", "tests"}
#: Distributions that make schemas while the site serves.
SCHEMA_CHANGERS = {"django-tenants", "django-tenant-schemas", "django-pgschemas"}
#: Distributions that serve static files from the image.
STATIC_SERVERS = ("whitenoise", "servestatic")
#: How the backends end whose database is a file; that file's own name may look like one of them.
FILE_DATABASES = (".sqlite3", ".spatialite")
#: The variable that names the bucket of static files.
STATIC_BUCKET = "GS_STATIC_BUCKET_NAME"
#: The options of the lookup.
OPTIONS = (
    "wsgi_module",
    "manage_dir",
    "requirements",
    "settings_module",
    "settings_overlay",
    "database_version",
)
#: The modules of which the text is kept while a folder is described.
SAYS_SOMETHING = re.compile(
    "|".join((*STATIC_SERVERS, STATIC_BUCKET, EMAIL_LOGIN.pattern, SCHEMA_CHANGE.pattern))
)
#: What the platform needs, each with the distributions of which one will do, and what is installed where there is none.
SERVERS = {
    "gunicorn": ("gunicorn==27.0.1",),
    # With WebSockets, which Channels needs.
    "uvicorn": ("uvicorn==0.54.0", "websockets==17.4"),
}
#: By which gunicorn serves an ASGI application as uvicorn does (https://www.uvicorn.org/deployment/#gunicorn).
GUNICORN_WORKERS = {"uvicorn-worker": ("uvicorn-worker==0.4.0",)}
#: What a release does by itself.
OWN_STEP = re.compile(r"\s*(?:python3?\s+)?(?:\./)?manage\.py\s+(?:migrate|collectstatic)(?:\s+-[\w=-]+)*\s*")
#: How settings are called that are for a developer's machine, and for what serves.
DEVELOPMENT = {"dev", "develop", "development", "local", "test", "testing"}
PRODUCTION = ("production", "prod", "live")
#: Of a distribution the first version that runs on a Python, why older ones do not (a module of the standard library is gone, or there is
#: no wheel, and the image has no compiler), and the distribution that brings it back. Read from the wheels of each version.
SINCE = (
    # django/utils/version.py up to 3.2.8; https://docs.python.org/3/whatsnew/3.12.html
    ("django", "3.2.9", "3.12", "imports distutils, which Python 3.12 does not have", "setuptools"),
    # django/http/request.py up to 4.0; https://docs.python.org/3/whatsnew/3.13.html
    ("django", "4.1", "3.13", "imports cgi, which Python 3.13 does not have", "legacy-cgi"),
    ("psycopg2-binary", "2.9.1", "3.10", "has no wheel for Python 3.10", ""),
    ("psycopg2-binary", "2.9.5", "3.11", "has no wheel for Python 3.11", ""),
    ("psycopg2-binary", "2.9.9", "3.12", "has no wheel for Python 3.12", ""),
    ("psycopg2-binary", "2.9.10", "3.13", "has no wheel for Python 3.13", ""),
    ("psycopg2-binary", "2.9.11", "3.14", "has no wheel for Python 3.14", ""),
)
#: In the order in which they are taken where a project can have several.
PYTHONS = ("3.13", "3.12", "3.11", "3.10", "3.14")
#: How many folders, and how far down, are looked at for a wsgi.py or an asgi.py.
MAX_FOLDERS = 2000
MAX_DEPTH = 3


def describe(
    folder: str,
    wsgi_module: str = "",
    manage_dir: str = "",
    requirements: str = "",
    settings_module: str = "",
    settings_overlay: str = "auto",
    database_version: str = "POSTGRES_17",
) -> dict[str, t.Any]:
    """What a deploy must know about the Django project in *folder*. The other arguments are the options of the lookup.

    Broken files count as empty; those that cannot be read are listed. Nothing outside the folder is read, and of a file no more than
    its beginning.
    """
    # No name holds a NUL, and functions of os stumble over one.
    root = Path(os.path.abspath(os.path.expanduser(folder.replace("\0", "\ufffd"))))
    notes: list[str] = []
    manage_dirs = [os.path.normpath(manage_dir.replace("\0", "\ufffd"))] if manage_dir else _manage_dirs(root)
    manage_problem = (
        f"there is no manage.py in {manage_dir}"
        if manage_dir and not _is_inside(root, manage_dirs[0])
        else ""
    )
    below = manage_dirs[0] if len(manage_dirs) == 1 and manage_dirs[0] != "." and not manage_problem else ""
    if below and os.path.isfile(root / below / "Dockerfile") and not os.path.isfile(root / "Dockerfile"):
        notes.append(f"{below}, which holds manage.py and a Dockerfile, is what is built")
        root, below = root / below, ""
    if below and not manage_dir:
        notes.append(f"manage.py is in {below} (djangogcp_manage_dir)")
    base = root / below
    default_settings = _settings_module(base / "manage.py")
    dockerfile = _text(root / "Dockerfile")
    processes_dir = below if os.path.isfile(base / "Procfile") else ""
    processes = _start.procfile(root / processes_dir / "Procfile")
    web = processes.get("web", "")
    # A Procfile says itself what is started.
    routers = [] if web else _routers(base)
    found = routers or _applications(base, "wsgi") or _applications(base, "asgi")
    chosen = wsgi_module or _preferred(found, default_settings)
    is_asgi = _is_asgi(base, chosen)
    dependencies = _dependencies.find(root, below, requirements)
    serving_settings = _serving_settings(base, default_settings, chosen, web, dockerfile)
    copies_overlay = _start.copies_overlay(dockerfile)
    said_settings = _start.variables(_start.instructions(dockerfile)).get(
        "DJANGO_PROJECT_SETTINGS_MODULE", ""
    )
    project_settings = settings_module or said_settings or serving_settings or default_settings
    settings = _settings.read(base, project_settings)
    configuration = _configuration(base, chosen)
    has_dockerfile = os.path.isfile(root / "Dockerfile")
    if (
        has_dockerfile
        and dependencies.file
        and settings_overlay != "false"
        and _is_for_trial(dockerfile, settings)
    ):
        has_dockerfile, dockerfile = False, ""
        notes.append(
            f"the Dockerfile is not used, and one is made, because {project_settings} knows no other database than a file in the image"
            " (djangogcp_settings_overlay)"
        )
    release = "" if has_dockerfile else _release(processes)
    workers, other_processes = _workers.of_procfile(processes)
    release_migrates = "migrat" in release + _start.scripts(root / processes_dir, release.split())
    overlay_problem = _overlay_problem(settings, project_settings, has_dockerfile and not copies_overlay)
    overlay = copies_overlay or _has_overlay(settings_overlay, settings, overlay_problem)
    system = _aptfile.find(root, below)
    compiled = {
        name: _system_packages.NEEDS[name]
        for name in dependencies.names
        if name in _system_packages.NEEDS and not has_dockerfile
    }
    engine = engine_of(database_version)
    lacking = (
        []
        if has_dockerfile or not dependencies.file
        else _lacking(dependencies.names, web, is_asgi, overlay, engine)
    )
    beside = [one for _any_of, brought in lacking for one in brought]
    notes += [f"the process {name} of the Procfile is not run" for name in other_processes]
    if not has_dockerfile:
        notes += _notes_of_image(dependencies, release, release_migrates)
        if chosen in routers and not wsgi_module:
            notes.append(
                f"{chosen} is what serves, because it routes further protocols than HTTP (djangogcp_wsgi_module)"
            )
    notes += [_note_of_compiled(name, needs) for name, needs in compiled.items()]
    port = _start.port(root, dockerfile, web)
    if port not in (0, 8080):
        notes.append(f"the image listens on the port {port}, and is asked there (djangogcp_port)")
    if beside:
        why = (
            f"because {dependencies.file} lists nothing of the kind"
            if dependencies.are_known
            else f"unless {dependencies.file} brings something of the kind"
        )
        notes.append(f"installed as well, {why}: {', '.join(beside)}")
    installs = list(dependencies.commands)
    if not dependencies.are_known:
        installs += [
            f"pip show --quiet {any_of} || pip install {' '.join(brought)}" for any_of, brought in lacking
        ]
        beside = []
    notes += _notes_of_settings(project_settings, settings, overlay, overlay_problem)
    if serving_settings not in ("", default_settings):
        notes.append(
            f"what serves and commands take the settings {serving_settings} (djangogcp_settings_module); manage.py alone would take"
            f" {default_settings or 'none'}"
        )
    if configuration:
        notes.append(
            f"what serves and commands take the configuration {configuration} (DJANGO_CONFIGURATION of djangogcp_environment)"
        )
    serving_code = [(path, text) for path, text in _serving_code(base) if SAYS_SOMETHING.search(text)]
    return {
        "path": str(root),
        "exists": os.path.isdir(root),
        "manage_py": os.path.isfile(base / "manage.py"),
        "manage_dir": below,
        "manage_dirs": manage_dirs if len(manage_dirs) > 1 else [],
        "manage_problem": manage_problem,
        "manage_command": _start.manage_command(root, dockerfile, below),
        "settings_module": default_settings,
        "serving_settings_module": serving_settings,
        "project_settings_module": project_settings,
        "configuration": configuration,
        "overlay": overlay,
        "overlay_problem": overlay_problem,
        "environment_names": settings.names,
        "wsgi_module": chosen,
        "asgi": is_asgi,
        "wsgi_modules": found,
        "wsgi_problem": _wsgi_problem(base, wsgi_module) if wsgi_module else "",
        "requirements_file": dependencies.file,
        "requirements_problem": dependencies.problem,
        "requirements_files": dependencies.copies or dependencies.files,
        "requirements": dependencies.names,
        "requirements_known": dependencies.are_known,
        "installs": installs,
        "installs_beside": beside,
        "installs_for_gunicorn": _for_gunicorn([*dependencies.names, *beside]) if is_asgi else [],
        "dockerfile": has_dockerfile,
        "procfile_web": web,
        "start_command": _started(web, below, processes_dir),
        "release_command": _started(release, below, processes_dir),
        "release_migrates": release_migrates,
        "background_workers": {
            name: command if has_dockerfile else _in_folder(command, below, processes_dir)
            for name, command in workers.items()
        },
        "shell": _start.shell(root, dockerfile),
        "python_version": _python_version(root, below) or _python_for(dependencies.python),
        "python_needs": _python_needs(dependencies),
        "port": port,
        "system_packages": system.names,
        "system_packages_file": system.file,
        "system_packages_problem": system.problem,
        "build_packages": _each_once(needs.build for needs in compiled.values()),
        "library_packages": _each_once(needs.run for needs in compiled.values()),
        "static_server": _static_server(dependencies, has_dockerfile, serving_code, overlay),
        "email_login": any(EMAIL_LOGIN.search(text) for _path, text in serving_code),
        "schema_changes": _schema_changes(dependencies.names, serving_code),
        "driver_problem": _driver_problem(dependencies, has_dockerfile, overlay, engine),
        "notes": notes,
        "unreadable_files": _unreadable_files(root, below, dependencies.files),
    }


def _unreadable_files(root: Path, below: str, files: list[str]) -> list[str]:
    """The files that decide how a project is deployed and cannot be read, each with the reason."""
    names = dict.fromkeys(os.path.join(folder, name) for folder in ("", below) for name in TEXT_FILES)
    listed = [name for name in files if name not in names]
    return unreadable(root, names) + unreadable(root, listed, utf_16=True)


def _is_inside(root: Path, manage_dir: str) -> bool:
    return not manage_dir.startswith(("..", os.sep)) and os.path.isfile(root / manage_dir / "manage.py")


def _manage_dirs(root: Path) -> list[str]:
    """The folders with a manage.py that are nearest to the root, which is "." itself; at most three down."""
    level = ["."]
    looked_at = 0
    for _depth in range(MAX_DEPTH + 1):
        found = [folder for folder in level if os.path.isfile(root / folder / "manage.py")]
        if found:
            return found
        below: list[str] = []
        for folder in level[: max(0, MAX_FOLDERS - looked_at)]:
            _folder, folders, _files = next(os.walk(root / folder), ("", [], []))
            below += [
                os.path.normpath(os.path.join(folder, name))
                for name in sorted(folders)
                if _may_hold_a_project(root / folder / name)
            ]
        looked_at += len(level)
        level = below
    return ["."]


def _may_hold_a_project(folder: Path) -> bool:
    return not folder.name.startswith(".") and folder.name not in SKIPPED_FOLDERS and not folder.is_symlink()


def _release(processes: dict[str, str]) -> str:
    """What a Procfile runs for each release, "" if that is only what a deploy does by itself."""
    command = processes.get("release", "")
    return "" if all(OWN_STEP.fullmatch(step) for step in re.split(r"&&|;", command)) else command


def _overlay_problem(settings: _settings.Settings, module: str, lacks_it: bool) -> str:
    """Why nothing can be laid over settings, "" if it can."""
    if not settings.found:
        return (
            f"there is no settings module {module}"
            if module
            else "it is not known which module its settings are"
        )
    return "its own Dockerfile does not copy what would be laid over them (.overlay)" if lacks_it else ""


def _notes_of_image(
    dependencies: _dependencies.Dependencies, release: str, release_migrates: bool
) -> list[str]:
    """What a person should know of an image that is made for a project."""
    if not release:
        return dependencies.notes
    when = "before" if release_migrates else "after"
    return [*dependencies.notes, f"the process release of the Procfile is run {when} the migrations"]


def _notes_of_settings(
    module: str, settings: _settings.Settings, overlay: bool, overlay_problem: str
) -> list[str]:
    """Whether anything is laid over the settings, and why not; and what else decides about them."""
    notes = (
        ["dynaconf takes its environment development unless DJANGO_ENV of djangogcp_environment says another"]
        if settings.made_by == "dynaconf"
        else []
    )
    if overlay:
        return [
            *notes,
            f"{module} {'reads' if settings.reads_database_url else 'does not read'} DATABASE_URL: the database, storages, hosts, logs and"
            " what else Google Cloud needs are laid over it (djangogcp_settings_overlay)",
        ]
    if not settings.found or settings.reads_database_url:
        return notes
    reason = f", because {overlay_problem}" if overlay_problem else ""
    return [
        *notes,
        f"{module} does not read DATABASE_URL, and nothing is laid over it (djangogcp_settings_overlay){reason}: the site will not"
        " find its database",
    ]


def _is_for_trial(dockerfile: str, settings: _settings.Settings) -> bool:
    """Whether a project's own Dockerfile makes an image that can only be tried: its database is a file in it, it takes nothing that would be laid
    over the settings, and it does nothing that a generated one would not."""
    reads = {name for name in settings.names.values() if name.startswith("DATABASE_")}
    return (
        bool(settings.engines)
        and not settings.reads_database_url
        and not reads
        and all(engine.endswith(FILE_DATABASES) for engine in settings.engines)
        and not _start.copies_overlay(dockerfile)
        and _start.is_of_python_alone(dockerfile)
        and "DJANGO_SETTINGS_MODULE" not in _start.variables(_start.instructions(dockerfile))
    )


def _has_overlay(asked: str, settings: _settings.Settings, problem: str) -> bool:
    if asked == "auto":
        return not problem and not settings.reads_database_url
    return asked == "true" and not problem


def _note_of_compiled(name: str, needs: _system_packages.Needs) -> str:
    """What is installed of Debian for a distribution without a wheel."""
    in_the_image = f", and {', '.join(needs.run)} in the image" if needs.run else ""
    return (
        f"{name} has to be compiled: {', '.join(needs.build)} of Debian {'are' if len(needs.build) > 1 else 'is'} installed where that is done{in_the_image}"
        + (f" ({needs.instead} needs nothing of it)" if needs.instead else "")
    )


def _each_once(groups: t.Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(itertools.chain.from_iterable(groups)))


def _driver_problem(
    dependencies: _dependencies.Dependencies, has_dockerfile: bool, overlay: bool, engine: Engine
) -> str:
    """Why what is installed beside a project is no driver for it, "" if it is, or if the project brings one."""
    is_lacking = dependencies.are_known and not set(engine.drivers) & set(dependencies.names)
    if has_dockerfile or overlay or not engine.needs_overlay or not is_lacking:
        return ""
    return (
        f"{dependencies.file} lists no driver for {engine.name} ({', '.join(engine.drivers)}), and the one that is installed beside it"
        f" ({', '.join(engine.driver)}) is only found by settings with the overlay"
    )


def _lacking(
    names: list[str], web: str, is_asgi: bool, overlay: bool, engine: Engine
) -> list[tuple[str, tuple[str, ...]]]:
    """What has to be installed beside what a project lists, each after the distributions of which one will do."""
    default = "uvicorn" if is_asgi else "gunicorn"
    servers = [name for name in SERVERS if re.search(rf"\b{name}\b", web)] if web else [default]
    missing = [(name, SERVERS[name]) for name in servers if name not in names]
    has_driver = bool(set(engine.drivers) & set(names))
    missing += [] if has_driver else [(" ".join(sorted(engine.drivers)), engine.driver)]
    return missing + [
        (name, (one,)) for name, one in _dependencies.OVERLAY_NEEDS.items() if overlay and name not in names
    ]


def _for_gunicorn(installed: list[str]) -> list[str]:
    """What gunicorn needs to serve an ASGI application, beside what is installed in any case."""
    names = {one.partition("==")[0] for one in installed}
    needs = {**SERVERS, **GUNICORN_WORKERS}
    return [one for name, brought in needs.items() if name not in names for one in brought]


def _started(web: str, below: str, processes_dir: str) -> str:
    """What a shell in the folder of manage.py starts, in the folder of the Procfile."""
    return _in_folder(_start.executed(web), below, processes_dir) if web else ""


def _in_folder(command: str, below: str, processes_dir: str) -> str:
    """A command line of the Procfile for a shell in the folder of manage.py of a generated image."""
    return f"cd /app && {command}" if below != processes_dir else command


def _serving_settings(base: Path, settings_module: str, application: str, web: str, dockerfile: str) -> str:
    """The settings module to set for what serves and for commands, "" if both name the same, or if an image says it to both."""
    if "DJANGO_SETTINGS_MODULE" in _start.variables(_start.instructions(dockerfile)):
        return ""
    path = _file_of(base, application.partition(":")[0]) if application else None
    named = _settings_module(base / path) if path else settings_module
    said = re.search(r"\bDJANGO_SETTINGS_MODULE=[\"']?([\w.]+)", web)
    serving = said[1] if said else named or settings_module
    package, _dot, last = serving.rpartition(".")
    if not said and package and last in DEVELOPMENT:
        serving = next(
            (f"{package}.{one}" for one in PRODUCTION if _file_of(base, f"{package}.{one}")), serving
        )
    if serving == named and serving in _settings_choices(base / "manage.py"):
        return ""
    return serving if {named, serving} != {settings_module} else ""


def _settings_module(path: Path) -> str:
    return _assigned("DJANGO_SETTINGS_MODULE", path)


def _assigned(variable: str, path: Path) -> str:
    """The value of ``os.environ.setdefault("DJANGO_SETTINGS_MODULE", ...)``, as startproject writes it, or of an assignment."""
    found = re.search(rf"""{variable}["']\s*(?:,|\]\s*=)\s*["']([\w.]+)["']""", _text(path))
    return found.group(1) if found else ""


def _configuration(base: Path, application: str) -> str:
    """The class that django-configurations is told: by the application, or else by manage.py."""
    path = _file_of(base, application.partition(":")[0]) if application else None
    return (_assigned("DJANGO_CONFIGURATION", base / path) if path else "") or _assigned(
        "DJANGO_CONFIGURATION", base / "manage.py"
    )


def _settings_choices(path: Path) -> list[str]:
    """What a statement that names the settings may choose from, as of `"tests" if testing else "live"`."""
    lines = re.findall(r"DJANGO_SETTINGS_MODULE[^)#]*", _text(path))
    return [name for line in lines for name in re.findall(r"[\"']([\w.]+)[\"']", line)]


def _top_level(source: str) -> list[ast.stmt]:
    """The statements of a module; none if it is not Python."""
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _top_level_names(source: str) -> set[str]:
    """The names that a module defines or imports at its top level; empty if it is not Python."""
    names: set[str] = set()
    for node in _top_level(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        else:
            names.update(
                part.id
                for part in ast.walk(node)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            )
    return names


def _preferred(applications: list[str], settings_module: str) -> str:
    """Of several applications the one in the package of the settings, "" if none is."""
    package = settings_module.split(".")[0]
    beside = [one for one in applications if re.fullmatch(rf"{re.escape(package)}\.[aw]sgi:application", one)]
    return (beside or (applications if len(applications) == 1 else [""]))[0]


def _applications(root: Path, kind: str) -> list[str]:
    """Every ``wsgi.py`` or ``asgi.py`` of at most three folders down that has an ``application``, the uppermost first."""
    name = f"{kind}.py"
    found = []
    level: list[tuple[str, ...]] = [()]
    looked_at = 0
    for _depth in range(MAX_DEPTH + 1):
        below: list[tuple[str, ...]] = []
        for parts in level[: max(0, MAX_FOLDERS - looked_at)]:
            _folder, folders, files = next(os.walk(root.joinpath(*parts)), ("", [], []))
            if name in files and "application" in _top_level_names(_text(root.joinpath(*parts, name))):
                found.append(".".join((*parts, f"{kind}:application")))
            below += [
                (*parts, folder)
                for folder in sorted(folders)
                if _may_be_package(root.joinpath(*parts, folder))
            ]
        looked_at += len(level)
        level = below
    return found


def _may_be_package(folder: Path) -> bool:
    return folder.name.isidentifier() and folder.name not in SKIPPED_FOLDERS and not folder.is_symlink()


def _static_server(
    dependencies: _dependencies.Dependencies,
    has_dockerfile: bool,
    code: list[tuple[Path, str]],
    overlay: bool,
) -> str:
    """By what the code that serves says that it serves static files itself, "" when it does not, or may use the bucket.

    With the overlay any site serves them so, at the address that its pages name, if they are in its image: what an own Dockerfile collects is
    not known.
    """
    if any(STATIC_BUCKET in text for _path, text in code):
        return ""
    if overlay and not has_dockerfile:
        return STATIC_SERVERS[0]
    may_bring_any = has_dockerfile or not dependencies.are_known
    brought = [one for one in STATIC_SERVERS if may_bring_any or one in dependencies.names]
    return next((one for one in brought if any(one in text for _path, text in code)), "")


def _serving_code(root: Path) -> t.Iterator[tuple[Path, str]]:
    """Path, relative to the folder, and text of each module that may run while the project serves."""
    for folder, below, files in itertools.islice(os.walk(root), MAX_FOLDERS):
        below[:] = sorted(
            name for name in below if _may_be_package(Path(folder, name)) and name not in OWNERS_FOLDERS
        )
        for name in sorted(files):
            path = Path(folder, name)
            if name.endswith(".py") and not name.startswith("test") and not path.is_symlink():
                yield path.relative_to(root), _text(path)


def _schema_changes(requirements: list[str], code: list[tuple[Path, str]]) -> list[str]:
    """What the code that serves says in SQL that only an owner may do; of each file each thing once."""
    found = [f"{name} (in the requirements)" for name in requirements if name in SCHEMA_CHANGERS]
    for path, text in code:
        said = dict.fromkeys(
            " ".join(match.group(1).split())
            for literal in (_literals(text) if SCHEMA_CHANGE.search(text) else ())
            for match in SCHEMA_CHANGE.finditer(literal)
        )
        found += [f"{path}: {one}" for one in said]
    return found


def _literals(source: str) -> list[str]:
    """The texts of a module but its docstrings, in their order; none if it is not Python."""
    module = ast.Module(_top_level(source), [])
    docstrings = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    texts = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    return [node.value for node in sorted(texts, key=lambda node: (node.lineno, node.col_offset))]


def _wsgi_problem(root: Path, wsgi_module: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", wsgi_module):
        return "it is not of the form package.module:attribute"
    module, attribute = wsgi_module.split(":")
    path = _file_of(root, module)
    if path is None:
        return f"there is no file {Path(*module.split('.')).with_suffix('.py')}"
    if attribute not in _top_level_names(_text(root / path)):
        return f"{path} has no {attribute}"
    return ""


def _file_of(root: Path, module: str) -> Path | None:
    """The file of a module, relative to the folder; None if there is none."""
    relative = Path(*module.split("."))
    candidates = (relative.with_suffix(".py"), relative / "__init__.py")
    return next((path for path in candidates if os.path.isfile(root / path)), None)


def _is_asgi(root: Path, application: str) -> bool:
    """Whether the application ``package.module:attribute`` is an ASGI one, as far as its file tells."""
    module, _colon, attribute = application.partition(":")
    path = _file_of(root, module) if attribute else None
    if path is None:
        return False
    for node in _top_level(_text(root / path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == attribute:
            return _is_asgi_callable(node)
    names = _made_of(root, application)
    if names & ASGI_MAKERS:
        return True
    return not names & WSGI_MAKERS and path.name == "asgi.py"


def _routers(root: Path) -> list[str]:
    """The ASGI applications that route further protocols than HTTP, which no WSGI application serves."""
    return [one for one in _applications(root, "asgi") if ROUTER in _made_of(root, one)]


def _made_of(root: Path, application: str) -> set[str]:
    """The names by which the file of an application ``package.module:attribute`` makes it, its own among them."""
    module, _colon, attribute = application.partition(":")
    path = _file_of(root, module)
    made_of: dict[str, set[str]] = {}
    for node in _top_level(_text(root / path)) if path else ():
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            used = {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
            used |= {part.attr for part in ast.walk(node.value) if isinstance(part, ast.Attribute)}
            for target in targets:
                if isinstance(target, ast.Name):
                    made_of[target.id] = made_of.get(target.id, set()) | used
    names: set[str] = set()
    waiting = [attribute]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += made_of.get(name, ())
    return names


def _is_asgi_callable(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a function takes scope, receive and send asynchronously, or the instances of a class do."""
    if isinstance(node, ast.ClassDef):
        calls = [one for one in node.body if isinstance(one, ast.AsyncFunctionDef) and one.name == "__call__"]
        return bool(calls) and len(calls[0].args.args) == 4
    return isinstance(node, ast.AsyncFunctionDef) and len(node.args.args) == 3


def _python_version(root: Path, below: str) -> str:
    """The minor version that a file for it asks for, the one beside manage.py first."""
    for folder in dict.fromkeys((below, "")):
        for name in (".python-version", "runtime.txt"):
            if found := re.match(r"\s*(?:c?python-?)?(3\.\d+)", _text(root / folder / name)):
                return found.group(1)
    return ""


def _python_for(said: str) -> str:
    """The version of Python that is taken for a specifier, "" if any will do."""
    if not said or _allows(said, PYTHONS[0]):
        return ""
    return next((one for one in PYTHONS if _allows(said, one)), "")


def _is_older(version: str, since: str) -> bool:
    try:
        return Version(version) < Version(since)
    except InvalidVersion:
        return False


def _is_specifier(said: str) -> bool:
    try:
        SpecifierSet(said)
    except InvalidSpecifier:
        return False
    return True


def _allows(said: str, version: str) -> bool:
    """Whether a specifier allows a minor version in any of its releases."""
    return not _is_specifier(said) or any(
        SpecifierSet(said).contains(f"{version}.{patch}") for patch in (0, 99)
    )


def _python_needs(dependencies: _dependencies.Dependencies) -> dict[str, str]:
    """Which versions of Python the project can have, each with the reason."""
    said = dependencies.python
    needs = {said: f"{dependencies.file} asks for Python {said}"} if said and _is_specifier(said) else {}
    for name, since, python, reason, cure in SINCE:
        pinned = dependencies.pins.get(name, "") if name in dependencies.names else ""
        if pinned and _is_older(pinned, since) and cure not in dependencies.names:
            needs.setdefault(f"<{python}", f"{name} {pinned} of {dependencies.file} {reason}")
    return needs


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: t.Any = None, **kwargs: t.Any) -> list[dict[str, t.Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        options = {name: self.get_option(name) for name in OPTIONS}
        return [describe(term, **options) for term in terms]
