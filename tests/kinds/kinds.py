"""The kinds of projects that are tried: how a person begins one, and what its owner would look at."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.kinds import tools
from tests.kinds.tools import CHANNELS, DJANGO


@dataclass(frozen=True)
class Kind:
    """A kind of project.

    Attributes:
        title: what it is called in the table of docs/kinds.md.
        begun: what a person types to begin one, as the table has it.
        make: writes one into an empty folder, with its tools, and no line that the tools' own pages do not ask for.
        page: the page that a visitor sees first, and a text on it.
        change: a file, what is replaced in it, and by what; its first page, or the log-in of its admin, then says "Changed".
        variables: what its inventory has beside the four variables that every site has. Each is a line of the table.
        lock: its lock file, "" if it has none.
        remark: what its owner should know, for the table.
        python: the version of Python that it needs at least.
    """

    title: str
    begun: str
    make: Callable[[Path], None]
    page: tuple[str, str]
    change: tuple[str, str, str]
    variables: Mapping[str, object] = field(default_factory=dict)
    lock: str = ""
    remark: str = ""
    python: tuple[int, int] = (3, 11)


@dataclass(frozen=True)
class Untried:
    """A kind of project that no test deploys, and why."""

    title: str
    begun: str
    why: str


def _plain(folder: Path) -> None:
    tools.startproject(folder)
    (folder / "requirements.txt").write_text(f"{DJANGO}\n", "utf-8")


def _uv(folder: Path) -> None:
    tools.run("uv", "uv", "init", "--vcs", "none", ".", folder=folder)
    tools.run("uv", "uv", "add", DJANGO, folder=folder)
    tools.startproject(folder)


def _poetry(folder: Path) -> None:
    tools.run("poetry", "poetry", "new", "--no-interaction", ".", folder=folder)
    tools.run("poetry", "poetry", "add", "--no-interaction", "--lock", DJANGO, folder=folder)
    tools.startproject(folder)


def _hatch(folder: Path) -> None:
    tools.run("hatch", "hatch", "new", "My Shop", ".", folder=folder)
    # Hatch has no command that adds a dependency: a person writes it.
    manifest = folder / "pyproject.toml"
    written = manifest.read_text("utf-8")
    empty = "\ndependencies = []\n"
    assert empty in written, written
    manifest.write_text(written.replace(empty, f'\ndependencies = ["{DJANGO}"]\n'), "utf-8")
    tools.startproject(folder)


def _pdm(folder: Path) -> None:
    tools.run("pdm", "pdm", "init", "--non-interactive", "--python", sys.executable, folder=folder)
    tools.run("pdm", "pdm", "add", "--no-sync", DJANGO, folder=folder)
    tools.startproject(folder)


def _pipenv(folder: Path) -> None:
    tools.run("pipenv", "pipenv", "--python", sys.executable, "upgrade", DJANGO, folder=folder)
    tools.startproject(folder)


def _wagtail(folder: Path) -> None:
    tools.run("wagtail", "wagtail", "start", "mysite", ".", folder=folder)


def _djangocms(folder: Path) -> None:
    tools.startproject(folder)
    # Its rules as the package has them, for the ones that it would fetch lie on a host of Git.
    tools.run("djangocms", "djangocms", ".", "--noinput", "--use-bundled-install-rules", folder=folder)
    (folder / "requirements.txt").write_text(tools.installed("djangocms"), "utf-8")


def _channels(folder: Path) -> None:
    tools.startproject(folder)
    (folder / "requirements.txt").write_text("\n".join((DJANGO, *CHANNELS, "")), "utf-8")
    shutil.copytree(CHAT, folder / "chat", ignore=shutil.ignore_patterns("asgi.py", "__pycache__"))
    shutil.copy(CHAT / "asgi.py", folder / "mysite" / "asgi.py")
    settings = folder / "mysite" / "settings.py"
    apps = "INSTALLED_APPS = [\n"
    written = settings.read_text("utf-8")
    assert apps in written
    settings.write_text(
        written.replace(apps, f'{apps}    "daphne",\n    "chat",\n') + _CHANNELS_SETTINGS, "utf-8"
    )
    urls = folder / "mysite" / "urls.py"
    view = 'from chat.views import index\n\nurlpatterns += [path("chat/", index)]\n'
    urls.write_text(urls.read_text("utf-8") + view, "utf-8")


#: As the tutorial of Channels has them, with Redis on the developer's machine.
_CHANNELS_SETTINGS = """
ASGI_APPLICATION = "mysite.asgi.application"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [("127.0.0.1", 6379)]},
    },
}
"""
#: The application of the kind channels, shaped like that of its tutorial.
CHAT = Path(__file__).with_name("chat")
#: A stock project has one page, the admin's log-in.
_STOCK_PAGE = ("/admin/login/", "Django administration")
_STOCK_CHANGE = ("mysite/urls.py", "\n]\n", '\n]\nadmin.site.site_header = "Changed"\n')
KINDS = {
    "plain": Kind(
        "Django",
        "`django-admin startproject`, and a `requirements.txt` that says `django`",
        _plain,
        _STOCK_PAGE,
        _STOCK_CHANGE,
    ),
    "uv": Kind(
        "uv",
        "`uv init`, `uv add django`, `django-admin startproject`",
        _uv,
        _STOCK_PAGE,
        _STOCK_CHANGE,
        lock="uv.lock",
    ),
    "poetry": Kind(
        "Poetry",
        "`poetry new`, `poetry add django`, `django-admin startproject`",
        _poetry,
        _STOCK_PAGE,
        _STOCK_CHANGE,
        lock="poetry.lock",
    ),
    "hatch": Kind(
        "Hatch",
        "`hatch new`, `django` among the dependencies, `django-admin startproject`",
        _hatch,
        _STOCK_PAGE,
        _STOCK_CHANGE,
        remark="Hatch locks nothing: pip chooses the versions in each build",
    ),
    "pdm": Kind(
        "PDM",
        "`pdm init`, `pdm add django`, `django-admin startproject`",
        _pdm,
        _STOCK_PAGE,
        _STOCK_CHANGE,
        lock="pdm.lock",
    ),
    "pipenv": Kind(
        "Pipenv",
        "`pipenv upgrade django`, `django-admin startproject`",
        _pipenv,
        _STOCK_PAGE,
        _STOCK_CHANGE,
        lock="Pipfile.lock",
    ),
    "wagtail": Kind(
        "Wagtail",
        "`wagtail start`",
        _wagtail,
        ("/", "Welcome to your new Wagtail site!"),
        (
            "home/templates/home/welcome_page.html",
            "Welcome to your new Wagtail site!",
            "Welcome to your new Wagtail site! Changed",
        ),
        variables={"djangogcp_admin_path": "/django-admin/"},
        remark="its `Dockerfile`, whose database is a file in the image, is not used: one is made. Uploaded images are in the private bucket",
        python=(3, 12),
    ),
    "djangocms": Kind(
        "django CMS",
        "`django-admin startproject`, `djangocms .`, `pip freeze`",
        _djangocms,
        # As long as there is no page, it asks who is going to write the first.
        ("/", "Django administration"),
        _STOCK_CHANGE,
        remark="what is uploaded to django-filer is in the private bucket",
    ),
    "channels": Kind(
        "Channels",
        "`django-admin startproject`, and a chat over WebSockets like that of the tutorial",
        _channels,
        ("/chat/", "Chat rooms"),
        ("chat/views.py", "Chat rooms", "Changed"),
        remark="uvicorn serves `asgi.py`. The tutorial's channel layer, Redis at `127.0.0.1`, becomes the process's memory: groups that span instances"
        " need a Redis of your own, or `djangogcp_max_instances: 1`. A page that is served by HTTPS has to open `wss://`, where the tutorial says `ws://`",
    ),
}
UNTRIED = (
    Untried(
        "cookiecutter-django",
        "`cookiecutter gh:cookiecutter/cookiecutter-django`",
        "the template is on a host of Git only (what a package index has under this name holds no template), and tests fetch from package"
        " indexes only",
    ),
    Untried(
        "django CMS, a new project",
        "`djangocms mysite`",
        "the template is on a host of Git only, as above; `djangocms .` takes rules that are in the package",
    ),
    Untried(
        "PDM's template of Django",
        "`pdm init django`",
        "the template is on a host of Git only, as above",
    ),
)
