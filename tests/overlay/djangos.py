"""Projects under the overlay, in virtual environments of several versions of Django."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pythons import CACHE, alone, install, pythons, version_of

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = ROOT / "collections/ansible_collections/org/djangogcp/roles/image/files/overlay"
#: The Python that each needs at least, and the versions of what reads DATABASE_URL that it can have.
VERSIONS = {
    "3.2": ((3, 8), "dj-database-url==0.5.0"),
    "4.2": ((3, 8), "dj-database-url==2.3.0"),
    "5.2": ((3, 10), "dj-database-url==3.1.2"),
    "6.0": ((3, 12), "dj-database-url==3.1.2"),
}
_WITH = (
    "django-storages[google]==1.14.6",
    "whitenoise==6.12.0",
    "django-environ==0.14.0",
    "django-configurations==2.5.1",
    "dynaconf==3.2.11",
    "psycopg2-binary==2.9.13",
)
#: What a site finds in its environment; nothing listens there.
GIVEN = {
    "DJANGO_SETTINGS_MODULE": "django_on_google_cloud.settings",
    "DJANGO_PROJECT_SETTINGS_MODULE": "shop.settings",
    "DATABASE_URL": "sqlite://:memory:",
    "SECRET_KEY": "a-key-of-the-site-that-is-long-enough-for-every-check-of-django-1234567890",
    "ALLOWED_HOSTS": "shop.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://shop.example.com",
    "GS_MEDIA_BUCKET_NAME": "p-shop-media",
    "GOOGLE_CLOUD_PROJECT": "p",
}


@dataclass(frozen=True)
class Django:
    """A version of Django, with the overlay as an image has it."""

    version: str
    bin: Path

    def run(self, folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs Python in a project's folder."""
        given = {name: value for name, value in os.environ.items() if name in ("HOME", "PATH", "LANG")}
        return subprocess.run(
            [self.bin / "python", *command],
            cwd=folder,
            env={**given, **GIVEN, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def ok(self, folder: Path, *command: str, **environment: str) -> str:
        """The same, and what it printed; it has to succeed."""
        done = self.run(folder, *command, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def read(self, folder: Path, expression: str, **environment: str) -> Any:
        """The value of an expression over `settings`, as JSON has it."""
        code = f"import json; from django.conf import settings; print(json.dumps({expression}, default=str))"
        return json.loads(self.ok(folder, "-c", code, **environment))

    def ask(
        self, folder: Path, application: str, *paths: str, **environment: str
    ) -> tuple[list[Any], list[str]]:
        """What an application answers to paths (of each its status, headers and text), and the lines that it printed."""
        done = self.run(folder, str(Path(__file__).with_name("ask.py")), application, *paths, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        *logged, answers = done.stdout.splitlines()
        return json.loads(answers), logged


def environment(version: str) -> Django | None:
    """A version of Django; None where no Python can run it."""
    least, reader = VERSIONS[version]
    python = next((found for found in pythons() if version_of(found) >= least), None)
    if python is None:
        return None
    name = ".".join(map(str, version_of(python)))
    folder = CACHE / f"django-{version}-{name}"
    with alone("djangos"):
        install(python, folder, f"django=={version}.*", reader, *_WITH)
        # As an image has it, but from where it is written.
        site = folder / "lib" / f"python{name}" / "site-packages"
        line = (OVERLAY / "django_on_google_cloud.pth").read_text("utf-8")
        (site / "django_on_google_cloud.pth").write_text(f"{OVERLAY}\n{line}", "utf-8")
    return Django(version, folder / "bin")


def startproject(django: Django, folder: Path, *, urls: str = "", settings: str = "") -> Path:
    """A stock project of this version called shop, with views, and lines at the end of its settings."""
    folder.mkdir(parents=True)
    subprocess.run([django.bin / "django-admin", "startproject", "shop", folder], check=True)
    if urls:
        (folder / "shop" / "urls.py").write_text(textwrap.dedent(urls), "utf-8")
    if settings:
        path = folder / "shop" / "settings.py"
        path.write_text(path.read_text("utf-8") + textwrap.dedent(settings), "utf-8")
    return folder
