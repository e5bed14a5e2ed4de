# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The project's settings, with what Google Cloud needs laid over them."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import django
import django.conf
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


class _Configured:
    """What django-configurations looks for in the settings module, and sets up: here all is set already."""

    pre_setup = setup = post_setup = classmethod(lambda cls: None)


def _import(name: str) -> ModuleType:
    """The project's settings, imported under the name by which they are known while they are."""
    # Some settings look how they are called, and django-configurations in the variable that Django looks in.
    variables = {_VARIABLE, django.conf.ENVIRONMENT_VARIABLE}
    said = {variable: os.environ[variable] for variable in variables if variable in os.environ}
    os.environ.update(dict.fromkeys(variables, name))
    try:
        return importlib.import_module(name)
    finally:
        os.environ.update(said)


def _laid_over() -> dict[str, Any]:
    name = _project_module()
    os.environ.update(overlay.environment(os.environ))
    module = _import(name)
    project = {setting: getattr(module, setting) for setting in dir(module) if setting.isupper()}
    base = (
        Path(str(module.__file__))
        .resolve()
        .parents[name.count(".") + (module.__name__ == module.__package__)]
    )
    is_asgi = not _ASGI_SERVERS.isdisjoint(sys.modules)
    settings = overlay.laid_over(project, os.environ, base, django.VERSION, is_asgi=is_asgi)
    database.take_pymysql(settings)
    # What dynaconf leaves in the module, and puts in the place of Django's settings, which let addresses begin without a slash.
    if "dynaconf" in sys.modules and hasattr(module, "DYNACONF"):
        module.DYNACONF.update(overlay.with_absolute_addresses(settings))
    if "configurations" in sys.modules:
        settings[os.environ["DJANGO_CONFIGURATION"]] = _Configured
    return settings


globals().update(_laid_over())
