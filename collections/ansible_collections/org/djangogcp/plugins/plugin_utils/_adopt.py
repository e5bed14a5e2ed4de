# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a project's folder holds, what a deploy makes of it, and the inventory for it: facts come in, lines come out. Files are only read."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
from pathlib import Path

from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import engine_of
from ansible_collections.org.djangogcp.plugins.plugin_utils import (
    _compose,
    _dependencies,
    _inventory,
    _prices,
    _settings,
    _settings_patch,
    _start,
    _workers,
)

Values = t.Mapping[str, t.Any]

#: What runs something at certain times, by its distribution.
_SCHEDULERS = (
    "apscheduler",
    "celery-beat",
    "django-apscheduler",
    "django-celery-beat",
    "django-cron",
    "django-crontab",
    "django-kronos",
    "django-rq-scheduler",
    "rq-scheduler",
)
#: What hands work to another process, by its distribution.
_QUEUES = (
    "celery",
    "django-rq",
    "rq",
    "django-q2",
    "django-q",
    "huey",
    "dramatiq",
    "django-dramatiq",
    "procrastinate",
    "django-tasks",
)
_SCHEDULE_FILES = ("crontab", "cron.yaml", "crontab.txt")
#: How the engines of databases are told to a person, the first that is in the name.
_DATABASES = (
    ("postg", "PostgreSQL"),
    ("psql", "PostgreSQL"),
    ("pgsql", "PostgreSQL"),
    ("psycopg", "PostgreSQL"),
    ("sqlite", "SQLite"),
    ("spatialite", "SpatiaLite"),
    ("mysql", "MySQL"),
    ("oracle", "Oracle"),
    ("mssql", "SQL Server"),
    ("cockroach", "CockroachDB"),
)
#: The releases of Django that take no MySQL before 8.4 (its release notes, "6.1"), as far as it matters for what a project asks for.
_DJANGO_OF_MYSQL_8_4 = [
    f"{major}.{minor}.{patch}"
    for major in range(6, 10)
    for minor in range(3)
    for patch in (0, 99)
    if (major, minor) >= (6, 1)
]
_INDENT = 16


class AdoptError(Exception):
    """One sentence for who named the folder."""


@dataclasses.dataclass(frozen=True)
class Database:
    """Which database a project gets.

    Attributes:
        version: as Cloud SQL calls it; "" for that of the collection.
        why: the reason, for a person; "" where there is nothing to tell.
    """

    version: str = ""
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Project:
    """What was found.

    Attributes:
        source: what the lookup django_source tells.
        settings: what the settings say.
        dependencies: what is installed.
        processes: the processes of a Procfile.
        compose: the compose file.
        schedules: what says that something runs at certain times.
        problems: what a deploy would refuse.
        database: which database it gets.
        name: the name of the site.
        paths: the variables of addresses.
        is_patched: whether the lines of the patch are to be in its settings.
    """

    source: Values
    settings: _settings.Settings
    dependencies: _dependencies.Dependencies
    processes: Values
    compose: _compose.Compose
    schedules: list[str]
    problems: list[str]
    database: Database
    name: str
    paths: Values
    is_patched: bool = False

    @property
    def root(self) -> Path:
        """The folder that is built."""
        return Path(self.source["path"])

    def version(self, site: Site) -> str:
        """The version of its database."""
        return self.database.version or str(site.sizes["djangogcp_database_version"])


@dataclasses.dataclass(frozen=True)
class Site:
    """What was chosen for the site.

    Attributes:
        project_id: the project of Google Cloud; "" where that is not known yet.
        region: the region.
        superuser_email: who is the first superuser.
        sizes: the variables of sizes, those that were chosen over the collection's own.
        chosen: the names of those that were chosen.
    """

    project_id: str
    region: str
    superuser_email: str
    sizes: Values
    chosen: tuple[str, ...] = ()


def require_project(source: Values) -> None:
    """Raises AdoptError unless a folder that the lookup django_source describes holds one project, of files that can be read."""
    root = Path(source["path"])
    if not source["exists"]:
        raise AdoptError(
            f"{root} is no folder: source_dir is the folder of a Django project"
            if os.path.exists(root)
            else f"there is no folder {root}"
        )
    if source["manage_dirs"]:
        raise AdoptError(
            f"{root} holds several projects, in {', '.join(source['manage_dirs'])}: source_dir is the folder of one of them"
        )
    if not source["manage_py"]:
        raise AdoptError(
            f"{root} holds no manage.py, and no folder up to three below it does: source_dir is the folder of a Django project"
        )
    if source["unreadable_files"]:
        raise AdoptError(f"{root} cannot be read: {'; '.join(source['unreadable_files'])}")


def look(source: Values, problems: list[str], name: str = "") -> Project:
    """What there is to tell of a project.

    Args:
        source: what the lookup django_source tells of its folder.
        problems: what a deploy would refuse of it.
        name: the name of the site; made of the folder's if empty.

    Raises:
        AdoptError: the folder is none, holds no project or several, or its settings cannot be read.
    """
    require_project(source)
    root = Path(source["path"])
    base = root / source["manage_dir"]
    module = source["project_settings_module"]
    settings = _settings.read(base, module)
    why = settings.problem
    if not why and not settings.found:
        why = (
            f"there is no module {module} beside manage.py"
            if module
            else "neither manage.py nor the WSGI module names them"
        )
    if why:
        raise AdoptError(f"the settings of {root} cannot be read: {why}")
    processes: dict[str, str] = {}
    for place in (root, base):
        processes.update(_start.procfile(place / "Procfile"))
    dependencies, compose = _dependencies.find(root, source["manage_dir"]), _compose.find(root)
    return Project(
        source=source,
        settings=settings,
        dependencies=dependencies,
        processes=processes,
        compose=compose,
        database=_chosen_database(settings, dependencies, compose, source["python_version"]),
        schedules=_schedules(root, base, source["requirements"], settings),
        problems=problems,
        name=name or _inventory.site_name(root),
        paths=_inventory.paths_of(base, source["overlay"]),
    )


def _chosen_database(
    settings: _settings.Settings,
    dependencies: _dependencies.Dependencies,
    compose: _compose.Compose,
    python: str,
) -> Database:
    """MySQL, where that is what a project uses, and only that.

    The version is the one that deploys with nothing else: MYSQL_8_0 goes over the socket, MYSQL_8_4 needs a network that somebody has prepared.
    """
    postgresql, mysql = engine_of("POSTGRES_17"), engine_of("MYSQL_8_0")
    engines = settings.default_engines or settings.engines
    why = next((f"the settings name {one}" for one in engines if _database(one) == mysql.name), "")
    if not why and "mysql" in compose.kinds and set(mysql.drivers) & set(dependencies.names):
        why = f"{compose.file} has a service of it, and the requirements its driver"
    if not why:
        return Database()
    if (
        postgresql.name in map(_database, engines)
        or "postgresql" in compose.kinds
        or set(postgresql.drivers) & set(dependencies.names)
    ):
        return Database(why=f"PostgreSQL is found as well as MySQL ({why}), and stays")
    # Django 6.0 and later takes no Python before 3.12.
    is_old = python in ("3.10", "3.11")
    if is_old or not dependencies.may_be("django", _DJANGO_OF_MYSQL_8_4):
        return Database(
            "MYSQL_8_0",
            f"{why}; 8.0, because it is reached over the socket of Cloud Run (MYSQL_8_4 needs djangogcp_network)",
        )
    return Database(
        "MYSQL_8_4",
        f"{why}; 8.4, because Django 6.1 and later takes none before it (MYSQL_8_0 with django<6.1 in the requirements)",
    )


def _schedules(root: Path, base: Path, requirements: list[str], settings: _settings.Settings) -> list[str]:
    found = [name for name in _SCHEDULERS if name in requirements]
    found += [name for name in _SCHEDULE_FILES if any(os.path.isfile(place / name) for place in (root, base))]
    found += [
        name for name in ("CELERY_BEAT_SCHEDULE", "CRONJOBS", "CRON_CLASSES") if name in settings.assigned
    ]
    return found


def variables(project: Project, site: Site, folder: Path) -> dict[str, t.Any]:
    """The variables of an inventory, the fewest that a deploy needs.

    Args:
        project: what was found.
        site: what was chosen.
        folder: where the inventory will be.
    """
    # Relative, so that both can be moved, or checked out elsewhere, together.
    relative = Path(os.path.relpath(project.root, folder)).as_posix()
    return {
        "djangogcp_project": site.project_id or _inventory.REHEARSAL_PROJECT,
        "djangogcp_region": site.region,
        "djangogcp_source_dir": f"{{{{ inventory_dir }}}}/{relative}",
        "djangogcp_superuser_email": site.superuser_email,
        **({"djangogcp_database_version": project.database.version} if project.database.version else {}),
        **{name: site.sizes[name] for name in site.chosen},
        **project.paths,
        **({"djangogcp_background_workers": found} if (found := _of_compose(project)) else {}),
    }


def _of_compose(project: Project) -> dict[str, str]:
    """What works in the background by the compose file, where the Procfile names nothing that does.

    A program at a path of its own is in an image that the file builds, and not in the one that is made here.
    """
    if project.source["background_workers"]:
        return {}
    return {
        _workers.named(name): command
        for name, command in project.compose.workers.items()
        if _workers.is_name(_workers.named(name))
        and _workers.is_worker(command)
        and (project.source["dockerfile"] or not command.startswith("/"))
    }


def inventory(project: Project, site: Site, folder: Path) -> str:
    """The text of the inventory."""
    heading = [
        f"The site {project.name}. Every variable: ansible-doc -t role org.djangogcp.preflight -e site"
    ]
    if not site.project_id:
        heading.append(
            "djangogcp_project is the rehearsal's, which nobody can own: put yours there before you deploy to Google Cloud."
        )
    if site.superuser_email == _inventory.SUPERUSER_EMAIL:
        heading.append(
            "djangogcp_superuser_email is nobody's: put yours there before you deploy to Google Cloud."
        )
    return _inventory.content(project.name, variables(project, site, folder), "\n".join(heading))


def patch(project: Project) -> _settings_patch.Patch:
    """The patch of the settings. See `_settings_patch.patch`."""
    django = project.dependencies.pins.get("django", "")
    return _settings_patch.patch(
        project.root,
        project.source["manage_dir"],
        project.source["project_settings_module"],
        project.settings,
        project.source["requirements_file"],
        project.source["requirements"],
        has_storages=not re.match(r"[123]\.|4\.[01](?!\d)", django),
    )


def with_own_settings(project: Project) -> Project:
    """The same project once the patch is applied: its settings read the environment, and nothing is laid over them.

    What is written for it is right before that, too.
    """
    paths = _inventory.paths_of(project.root / project.source["manage_dir"], has_overlay=False)
    return dataclasses.replace(project, paths=paths, is_patched=True)


def report(project: Project, site: Site) -> list[str]:
    """What is told of a project: what was found, what a deploy makes, what is missing and what is done about it, what it costs."""
    lines = [f"{project.name}: {project.root}", "", "Found"]
    lines += [_row(what, said) for what, said in _found(project)]
    where = f"project {site.project_id}, {site.region}" if site.project_id else f"your project, {site.region}"
    lines += ["", f"Will be deployed ({where})"]
    lines += [_row(what, said) for what, said in _deployed(project, site)]
    if missing := _missing(project):
        lines += [
            "",
            "Missing, or otherwise there, and what is done about it",
            *(f"  - {one}" for one in missing),
        ]
    if project.problems:
        lines += ["", "To be mended first: a deploy refuses", *(f"  - {one}" for one in project.problems)]
    workers = len({**project.source["background_workers"], **_of_compose(project)})
    return [*lines, "", *costs(site, workers, project.version(site))]


def _row(what: str, said: str) -> str:
    return f"  {what:<{_INDENT}}{said}"


def _found(project: Project) -> t.Iterator[tuple[str, str]]:
    source, dependencies = project.source, project.dependencies
    yield (
        "manage.py",
        os.path.join(source["manage_dir"], "manage.py") if source["manage_dir"] else "in the folder itself",
    )
    yield "settings", source["project_settings_module"]
    yield "dependencies", _locked(source, dependencies)
    yield "Python", _python(project)
    kind = "ASGI" if source["asgi"] else "WSGI"
    application = source["wsgi_module"] or ", ".join(source["wsgi_modules"]) or "none found"
    yield "application", f"{application} ({kind})"
    yield "started by", _started(project)
    named = [*project.settings.engines, *project.settings.default_engines]
    engines = list(dict.fromkeys(map(_database, named)))
    others = [name for name in dict.fromkeys(project.settings.databases) if name != "default"]
    yield (
        "database",
        (
            ", ".join(engines)
            or ("what DATABASE_URL says" if project.settings.reads_database_url else "none named")
        )
        + (f"; beside the default one: {', '.join(others)}" if others else ""),
    )
    yield (
        "static files",
        f"{source['static_server']} serves them from the image"
        if source["static_server"]
        else "a bucket serves them",
    )
    yield "uploads", _uploads(project.settings)
    if source["system_packages"]:
        yield "system packages", f"{source['system_packages_file']}: {' '.join(source['system_packages'])}"
    for name, command in project.processes.items():
        yield f"{name}:", f"Procfile: {command}"
    if queues := [name for name in _QUEUES if name in source["requirements"]]:
        yield "tasks", f"{', '.join(queues)} in the requirements"
    if project.schedules:
        yield "schedules", ", ".join(project.schedules)
    compose = project.compose
    for part in compose.services:
        yield f"{part.name}", f"{compose.file}: {part.said}"
    for part in compose.volumes:
        yield f"{part.name}", f"{compose.file}, volume: {part.said}"


def _locked(source: Values, dependencies: _dependencies.Dependencies) -> str:
    file = source["requirements_file"]
    if not file:
        return "its Dockerfile installs them" if source["dockerfile"] else "no file says what is installed"
    if not source["requirements_known"]:
        return f"{file}; all of them are known in the build"
    pinned = [name for name in source["requirements"] if name in dependencies.pins]
    count = len(source["requirements"])
    how = (
        "locked"
        if os.path.basename(file) in _dependencies.LOCKS
        else "all pinned"
        if count and len(pinned) == count
        else f"{len(pinned)} pinned: the others are the newest of the day of the build"
    )
    django = f", Django {dependencies.pins['django']}" if "django" in dependencies.pins else ""
    return f"{file}: {count} asked for, {how}{django}"


def _python(project: Project) -> str:
    source = project.source
    if source["dockerfile"]:
        return "that of its Dockerfile"
    if not source["python_version"]:
        return (
            "3.13, for the project asks for none"
            if not project.dependencies.python
            else f"3.13 ({project.dependencies.python} is asked for)"
        )
    return str(source["python_version"])


def _started(project: Project) -> str:
    source = project.source
    if source["dockerfile"]:
        return "its own Dockerfile"
    if source["procfile_web"]:
        return f"Procfile: {source['procfile_web']}"
    server = "uvicorn" if source["asgi"] else "gunicorn"
    return f"{server}, in an image that is made"


def _database(engine: str) -> str:
    return next((name for word, name in _DATABASES if word in engine), engine)


def _uploads(settings: _settings.Settings) -> str:
    if any("storages.backends" in text for text in settings.texts):
        return "the storage that the settings name"
    return (
        "a folder of the disk (MEDIA_ROOT)"
        if "MEDIA_ROOT" in settings.assigned
        else "the settings name no place"
    )


def _deployed(project: Project, site: Site) -> t.Iterator[tuple[str, str]]:
    sizes, source, version = site.sizes, project.source, project.version(site)
    yield (
        "Cloud Run",
        f"service {project.name}, {sizes['djangogcp_min_instances']} to {sizes['djangogcp_max_instances']} instances of"
        f" {sizes['djangogcp_cpu']} vCPU and {sizes['djangogcp_memory']}; jobs for migrations and commands",
    )
    if workers := {**source["background_workers"], **_of_compose(project)}:
        yield "background", ", ".join(workers)
    yield (
        "Cloud SQL",
        f"instance {sizes['djangogcp_database_instance']} ({version}, {sizes['djangogcp_database_tier']},"
        f" {sizes['djangogcp_database_availability']}), in it the database {project.name.replace('-', engine_of(version).separator)}",
    )
    static = "" if source["static_server"] else ", a public one for static files"
    yield "Cloud Storage", f"a private bucket for uploads{static}"
    yield "Secret Manager", "secret key, addresses and passwords of the database, the superuser's password"
    yield "Cloud Build", f"an image, in the repository {project.name} of Artifact Registry"
    yield (
        "settings",
        (
            f"{source['project_settings_module']}, as they are once the patch is applied"
            if project.is_patched
            else f"{source['project_settings_module']}, with what Google Cloud needs laid over them; no file is edited"
            if source["overlay"]
            else f"{source['project_settings_module']}, as they are"
        ),
    )


def _missing(project: Project) -> list[str]:
    source, compose = project.source, project.compose
    # Processes are told with what becomes of them.
    found = [note for note in source["notes"] if "of the Procfile is not run" not in note]
    found += _missing_database(project)
    if source["overlay_problem"] and not project.settings.reads_database_url and not project.is_patched:
        found.append("-e patch=true writes the lines that let the settings read DATABASE_URL")
    for name, command in project.processes.items():
        kind = _compose.kind_of_command(command)
        if name in ("web", "release") and not source["dockerfile"]:
            continue
        # A Dockerfile's own command is started, and not the Procfile's.
        becomes = (
            "nothing: its Dockerfile says what is started"
            if name in ("web", "release")
            else _compose.BECOMES["worker" if kind == "other" else kind]
        )
        found.append(f"{name} of the Procfile becomes {becomes}")
    started = {*compose.kinds, *map(_compose.kind_of_command, project.processes.values())}
    if project.schedules and "schedule" not in started:
        found.append(
            f"schedules ({', '.join(project.schedules)}) are nobody's to start: name what does in djangogcp_background_workers, if it runs all the"
            " time, or let something call the playbook manage"
        )
    queues = [name for name in _QUEUES if name in source["requirements"]]
    if queues and "worker" not in started:
        found.append(f"nothing works for {', '.join(queues)}: name what does in djangogcp_background_workers")
    if compose.problem:
        found.append(f"{compose.problem}, and nothing of it is looked at")
    runs = {*source["background_workers"], *_of_compose(project)}
    for part in compose.services:
        becomes = part.becomes
        if becomes == _compose.BECOMES["mysql"] and project.database.version:
            becomes = _compose.BECOMES["mysql as asked"]
        is_worker = becomes in (_compose.BECOMES["worker"], _compose.BECOMES["schedule"])
        if is_worker and _workers.named(part.name) not in runs:
            becomes = "nothing yet: what it starts is not in the file, or not in the image. Name that in djangogcp_background_workers"
        found.append(f"{part.name} of {compose.file} becomes {becomes}")
    found += [f"the volume {part.name} of {compose.file} becomes {part.becomes}" for part in compose.volumes]
    return found


def _missing_database(project: Project) -> t.Iterator[str]:
    chosen, engines = project.database, set(map(_database, project.settings.engines))
    served = engine_of(chosen.version or "POSTGRES_17").name
    if engines & {"SQLite", "SpatiaLite"} and served not in engines:
        yield f"the site begins with an empty {served}: rows of a file of SQLite are not uploaded (dumpdata, and loaddata with manage_command)"
    if chosen.version:
        yield f"the database is {served} ({chosen.version}): {chosen.why}"
    elif chosen.why:
        yield f"{chosen.why}: set djangogcp_database_version to MYSQL_8_0 or MYSQL_8_4 if MySQL is the site's"
    elif "MySQL" in engines:
        yield f"MySQL: {_compose.BECOMES['mysql']}"


def costs(site: Site, workers: int = 0, version: str = "") -> list[str]:
    """What a month costs, line by line, and their sum.

    Args:
        site: what was chosen.
        workers: how many containers work in the background.
        version: the version of the database, as Cloud SQL calls it.
    """
    sizes = site.sizes
    bill = _prices.monthly(
        str(sizes["djangogcp_database_tier"]),
        str(sizes["djangogcp_database_availability"]),
        int(sizes["djangogcp_min_instances"]),
        str(sizes["djangogcp_cpu"]),
        str(sizes["djangogcp_memory"]),
        workers,
        version,
    )
    found = [
        f"A month, in US dollars by Google's list prices as of {_prices.AS_OF} for {_prices.REGION}, without taxes, credits and traffic",
        *(
            f"  {line.usd:>8.2f}  {line.what}" if line.usd is not None else f"         ?  {line.what}"
            for line in bill
        ),
    ]
    known = sum(line.usd for line in bill if line.usd is not None)
    more = " and what has no price in this list" if any(line.usd is None for line in bill) else ""
    total = f"  {known:>8.2f}  together{more}"
    if site.region != _prices.REGION:
        total += f" in {_prices.REGION}; up to {known * _prices.DEAREST:.2f} in the dearest regions (prices depend on the region, here {site.region})"
    found.append(total)
    smallest = _prices.instance_usd("db-f1-micro")
    instance = bill[0].usd
    if smallest is not None and instance is not None and instance > smallest:
        found.append(
            f"  {known - instance + smallest:>8.2f}  together with -e database_tier=db-f1-micro, a shared CPU without a service level, for trying out"
        )
    found.append(
        "  Requests beyond Cloud Run's free ones (2 million a month, 180,000 vCPU seconds), backups and builds come on top; one database"
        " instance serves several sites."
    )
    found.append(f"  Prices: {', '.join(dict.fromkeys(price.page for price in _prices.PRICES.values()))}")
    return found
