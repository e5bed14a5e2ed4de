"""What the site runs on and with, for comparing two of them."""

from __future__ import annotations

import json
import os
import platform
from typing import Any

import django
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connection
from django.views.debug import SafeExceptionReporterFilter


class Command(BaseCommand):
    """Print versions, names of environment variables, settings without secrets and storage back ends.

    On one line, `site: ` and JSON: a line of nothing but JSON would be taken apart by Cloud Logging.
    """

    help = "Describe the site in one line, without secrets."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        connection.ensure_connection()
        site = {
            "python": platform.python_version(),
            "django": django.get_version(),
            "database": self.database(),
            "environment": sorted(os.environ),
            "storages": {alias: entry["BACKEND"] for alias, entry in sorted(settings.STORAGES.items())},
            # Django's own: what it may show on an error page.
            "settings": SafeExceptionReporterFilter().get_safe_settings(),
        }
        self.stdout.write(f"site: {json.dumps(site, default=str, sort_keys=True)}")

    def database(self) -> str:
        """Vendor and major version: `postgresql 17`."""
        version = connection.get_database_version()
        return f"{connection.vendor} {version[0]}"
