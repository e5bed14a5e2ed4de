from __future__ import annotations

import json
from io import StringIO

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import TestCase


class DescriptionTests(TestCase):
    def test_the_description_holds_no_secret(self) -> None:
        output = StringIO()
        call_command("describe_site", stdout=output)
        site = json.loads(output.getvalue().removeprefix("site: "))
        self.assertEqual(site["settings"]["SECRET_KEY"], "********************")
        self.assertNotIn(settings.SECRET_KEY, output.getvalue())
        self.assertEqual(site["storages"]["default"], "django.core.files.storage.InMemoryStorage")
        self.assertRegex(site["database"], rf"^{connection.vendor} \d+$")


class MigrationTests(TestCase):
    def test_no_migration_is_missing(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)
