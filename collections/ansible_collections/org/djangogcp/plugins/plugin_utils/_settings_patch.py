# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The lines by which a project's own settings read the environment of a site, as a patch that git apply takes.

For who prefers lines in the settings to the overlay. Nothing is edited here.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.org.djangogcp.plugins.plugin_utils import _dependencies, _settings

if t.TYPE_CHECKING:
    from pathlib import Path

_WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"
#: Django 4.2 and 5.0 refuse STORAGES beside these, and older ones do not know it.
_FORMER_STORAGES = frozenset({"DEFAULT_FILE_STORAGE", "STATICFILES_STORAGE"})
#: What the lines import, by the name of the distribution, as requirements have it.
NEEDS = {"django-environ": "django-environ==0.14.0", **_dependencies.OVERLAY_NEEDS}
_CONTEXT = 3


@dataclasses.dataclass
class Patch:
    """A patch to review.

    Attributes:
        text: a unified diff of paths relative to the project's folder; "" if there is nothing to patch.
        notes: what a person has to do beside applying it.
        problem: why there is none.
    """

    text: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)
    problem: str = ""


def lines(settings: _settings.Settings, has_storages: bool) -> list[str]:
    """The lines at the end of a settings module.

    Args:
        settings: what it says already.
        has_storages: whether Django knows ``STORAGES``.
    """
    needs_root = "STATIC_ROOT" not in settings.assigned
    found = [
        "",
        "# What Google Cloud gives a site. Without DATABASE_URL, as on a developer's machine, nothing of this applies.",
        "import os",
        "",
        'if os.environ.get("DATABASE_URL"):',
        *(["    from pathlib import Path", ""] if needs_root else []),
        "    import environ",
        "",
        "    _env = environ.Env()",
        '    DEBUG = _env.bool("DEBUG", default=False)',
        '    SECRET_KEY = _env("SECRET_KEY")',
        '    ALLOWED_HOSTS = _env.list("ALLOWED_HOSTS")',
        '    CSRF_TRUSTED_ORIGINS = _env.list("CSRF_TRUSTED_ORIGINS")',
        "    # Cloud Run's front end ends HTTPS.",
        '    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")',
        "    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True",
    ]
    others = "**DATABASES, " if len(set(settings.databases)) > 1 else ""
    found.append(
        f'    DATABASES = {{{others}"default": {{**_env.db(), "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}}}}'
    )
    found.append("    # Uploads are private, and shown at addresses that are signed without a key.")
    if has_storages and not settings.assigned & _FORMER_STORAGES:
        found += [
            "    STORAGES = {",
            *(["        **STORAGES,"] if "STORAGES" in settings.assigned else []),
            '        "default": {',
            '            "BACKEND": "storages.backends.gcloud.GoogleCloudStorage",',
            '            "OPTIONS": {',
            '                "bucket_name": _env("GS_MEDIA_BUCKET_NAME"),',
            '                "file_overwrite": False,',
            '                "iam_sign_blob": True,',
            "            },",
            "        },",
            '        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},',
            "    }",
        ]
    else:
        found += [
            '    DEFAULT_FILE_STORAGE = "storages.backends.gcloud.GoogleCloudStorage"',
            '    GS_BUCKET_NAME = _env("GS_MEDIA_BUCKET_NAME")',
            "    GS_FILE_OVERWRITE = False",
            "    GS_IAM_SIGN_BLOB = True",
            '    STATICFILES_STORAGE = "whitenoise.storage.CompressedManifestStaticFilesStorage"',
        ]
    if needs_root:
        found.append('    STATIC_ROOT = Path(__file__).resolve().parent / "staticfiles"')
    if _WHITENOISE not in settings.texts:
        found.append(f'    MIDDLEWARE = [*MIDDLEWARE[:1], "{_WHITENOISE}", *MIDDLEWARE[1:]]')
    return found


def patch(
    root: Path,
    manage_dir: str,
    module: str,
    settings: _settings.Settings,
    requirements_file: str,
    names: t.Collection[str],
    *,
    has_storages: bool,
) -> Patch:
    """The patch of a project.

    Args:
        root: its folder.
        manage_dir: the folder of manage.py, relative to it.
        module: its settings module.
        settings: what that says already.
        requirements_file: the file that says what is installed, relative to the folder.
        names: the distributions that are asked for.
        has_storages: whether its Django knows ``STORAGES``.

    Raises:
        OSError: a file cannot be read.
        UnicodeDecodeError: it is no text.
    """
    if settings.reads_database_url:
        return Patch(problem=f"{module} reads DATABASE_URL already")
    if settings.made_by:
        return Patch(
            problem=f"{settings.made_by} makes the settings, and lines at the end of a module would change nothing of them: read DATABASE_URL there"
        )
    file = _settings.file_of(root / manage_dir, module)
    if file is None:
        return Patch(problem=f"there is no settings module {module}")
    found = Patch(_appended(root, os.path.join(manage_dir, file), lines(settings, has_storages)))
    missing = [requirement for name, requirement in NEEDS.items() if name not in names]
    if missing:
        _require(found, root, requirements_file, missing)
    return found


def _require(found: Patch, root: Path, file: str, missing: list[str]) -> None:
    """Adds what is missing to a file of pip's requirements, or says what adds it to another one."""
    said = " ".join(f"'{one}'" for one in missing)
    name = os.path.basename(file)
    adds = {
        "uv.lock": "uv add",
        "poetry.lock": "poetry add",
        "pdm.lock": "pdm add",
        "Pipfile.lock": "pipenv install",
        "Pipfile": "pipenv install",
    }
    if not name.endswith((".txt", ".in")):
        if name in adds:
            found.notes.append(
                f"after the patch, in {os.path.dirname(file) or 'the folder'}: {adds[name]} {said}"
            )
        else:
            found.notes.append(f"after the patch, list in {file or 'the requirements'}: {', '.join(missing)}")
        return
    try:
        text = (root / file).read_bytes().decode()
    except UnicodeDecodeError:
        found.notes.append(f"after the patch, list in {file}, which is not UTF-8: {', '.join(missing)}")
        return
    if "--hash" in text:
        found.notes.append(f"after the patch, list in what {file} is compiled from: {', '.join(missing)}")
        return
    found.text += _appended(root, file, missing)


def _appended(root: Path, file: str, added: list[str]) -> str:
    """A unified diff that adds lines at the end of a file, with the ends of lines that it has."""
    text = (root / file).read_bytes().decode()
    end = "\r\n" if "\r\n" in text else "\n"
    # Only this ends a line of a patch; splitlines() knows others.
    old = text.split("\n")
    is_whole = old[-1] == ""
    if is_whole:
        old.pop()
    context = old[-_CONTEXT:]
    start = len(old) - len(context) + 1 if old else 0
    body = [f" {line}\n" for line in context]
    if context and not is_whole:
        last = body.pop()[1:]
        body += [f"-{last}\\ No newline at end of file\n", f"+{last.rstrip(chr(10))}{end}"]
    body += [f"+{line}{end}" for line in added]
    path = file.replace(os.sep, "/")
    return (
        f"--- a/{path}\n+++ b/{path}\n"
        f"@@ -{start},{len(context)} +{start or 1},{len(context) + len(added)} @@\n{''.join(body)}"
    )
