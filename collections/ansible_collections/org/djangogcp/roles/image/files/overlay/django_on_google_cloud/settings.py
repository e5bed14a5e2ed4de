# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The project's settings, with what Google Cloud needs laid over them."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured

from django_on_google_cloud import database, overlay

_VARIABLE = "DJANGO_SETTINGS_MODULE"
#: What serves ASGI applications, and is imported before they are.
_ASGI_SERVERS = {"uvicorn", "daphne", "hypercorn", "granian"}


def _project_module() -> str:
    """The project's settings: what it has assigned itself, or what ``DJANGO_PROJECT_SETTINGS_MODULE`` says.

    Raises:
        ImproperlyConfigured: neither says it.
    """
    assigned = os.environ.get(_VARIABLE, __name__)
    name = os.environ.get("DJANGO_PROJECT_SETTINGS_MODULE", "") if assigned == __name__ else assigned
    if not name or name == __name__:
        raise ImproperlyConfigured(
            "Set DJANGO_PROJECT_SETTINGS_MODULE to the settings module of the project."
        )
    return name


def _laid_over() -> dict[str, Any]:
    name = _project_module()
    os.environ.update(overlay.environment(os.environ))
    said = os.environ.get(_VARIABLE)
    # Some settings look how they are called.
    os.environ[_VARIABLE] = name
    try:
        module = importlib.import_module(name)
    finally:
        if said is not None:
            os.environ[_VARIABLE] = said
    project = {setting: getattr(module, setting) for setting in dir(module) if setting.isupper()}
    base = (
        Path(str(module.__file__))
        .resolve()
        .parents[name.count(".") + (module.__name__ == module.__package__)]
    )
    is_asgi = not _ASGI_SERVERS.isdisjoint(sys.modules)
    settings = overlay.laid_over(project, os.environ, base, django.VERSION, is_asgi=is_asgi)
    database.take_pymysql(settings)
    return settings


globals().update(_laid_over())
