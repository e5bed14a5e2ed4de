"""Static files that the site serves itself, from what was collected into the image."""

from __future__ import annotations

import tempfile

from django.conf import settings
from django.core.management import call_command
from django.templatetags.static import static
from django.test import Client, SimpleTestCase, modify_settings, override_settings

STORAGES = settings.STORAGES | {
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
}


@override_settings(STORAGES=STORAGES)
@modify_settings(MIDDLEWARE={"prepend": "whitenoise.middleware.WhiteNoiseMiddleware"})
class ServedByTheSiteTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.enterClassContext(override_settings(STATIC_ROOT=folder))
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=["admin"])

    def get(self, address: str, **headers: str) -> object:
        response = Client().get(address, headers=headers)
        response.body = b"".join(response.streaming_content) if response.streaming else response.content
        return response

    def test_a_file_with_a_hash_in_its_name_is_compressed_and_kept_for_ever(self) -> None:
        address = static("site/site.css")
        self.assertRegex(address, r"^/static/site/site\.[0-9a-f]{12}\.css$")
        whole, packed = self.get(address), self.get(address, **{"Accept-Encoding": "gzip"})
        self.assertEqual(whole.headers["Content-Type"], 'text/css; charset="utf-8"')
        self.assertIn("immutable", whole.headers["Cache-Control"])
        self.assertEqual(packed.headers["Content-Encoding"], "gzip")
        self.assertLess(len(packed.body), len(whole.body) / 2)

    def test_the_same_file_without_the_hash_is_asked_for_again(self) -> None:
        self.assertNotIn("immutable", self.get("/static/site/site.css").headers["Cache-Control"])

    def test_nothing_else_is_served(self) -> None:
        for address in ("/static/../manage.py", "/static/nowhere.css"):
            self.assertEqual(self.get(address).status_code, 404)
