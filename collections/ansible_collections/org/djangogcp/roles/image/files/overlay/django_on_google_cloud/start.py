# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps the overlay where a project assigns ``DJANGO_SETTINGS_MODULE`` outright, as some manage.py and wsgi.py do.

Imported by a ``.pth`` file when Python starts. Without ``DJANGO_SETTINGS_MODULE=django_on_google_cloud.settings`` in the environment it does
nothing. With it, Django looks for the name of its settings in a variable that no project assigns, and what the project assigns is
what the overlay lies over (`django_on_google_cloud.settings`), as are the settings of ``manage.py --settings``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, MutableMapping

SETTINGS = "django_on_google_cloud.settings"
VARIABLE = "DJANGO_OVERLAY_SETTINGS_MODULE"


class _Finder:
    """Lets ``django.conf`` read `VARIABLE`. It is not imported before somebody needs it: gevent wants to be the first."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The specification of ``django.conf``, None of any other module."""
        if name != "django.conf":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        loader: Any = spec.loader if spec else None
        if loader is None:
            return spec
        load = loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            # LazySettings._setup reads it, in every Django from 3.2 to 6.0 (django/conf/__init__.py).
            module.ENVIRONMENT_VARIABLE = VARIABLE

        loader.exec_module = exec_module
        return spec


def install(environ: MutableMapping[str, str]) -> None:
    """Begin, if this environment has the overlay. A process that inherits it has, too, whatever its parent assigned."""
    if SETTINGS in (environ.get("DJANGO_SETTINGS_MODULE"), environ.get(VARIABLE)):
        environ[VARIABLE] = SETTINGS
        sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]


install(os.environ)
