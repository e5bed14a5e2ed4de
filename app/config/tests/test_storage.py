"""The buckets, without Google: what is asked of its libraries, and how often."""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from django.core.cache import caches
from django.core.management import call_command
from django.test import SimpleTestCase, override_settings
from google.auth.credentials import TokenState

from config.management.commands.collectstatic import _md5
from config.settings import SIGNED_URL_EXPIRATION
from config.storage import SignedMediaStorage


class FakeCredentials(SimpleNamespace):
    """As the metadata server's: who they are for is known only after the first refresh."""

    def refresh(self, request: object) -> None:
        self.token, self.token_state = "token", TokenState.FRESH
        self.service_account_email = "polls-web@my-project.iam.gserviceaccount.com"


class SignedLinkTests(SimpleTestCase):
    def setUp(self) -> None:
        caches["signed_urls"].clear()
        self.addCleanup(caches["signed_urls"].clear)
        self.credentials = FakeCredentials(
            token=None, token_state=TokenState.INVALID, service_account_email="default"
        )
        self.blob = mock.Mock()
        self.blob.generate_signed_url.side_effect = lambda **options: (
            f"https://signed/{self.blob.generate_signed_url.call_count}"
        )
        self.enterContext(
            mock.patch("storages.backends.gcloud.auth.default", return_value=(self.credentials, "my-project"))
        )
        client = self.enterContext(mock.patch("storages.backends.gcloud.Client"))
        client.return_value.bucket.return_value.blob.return_value = self.blob
        self.storage = SignedMediaStorage(
            bucket_name="my-media",
            iam_sign_blob=True,
            querystring_auth=True,
            expiration=SIGNED_URL_EXPIRATION,
        )

    def test_is_signed_by_the_service_account_without_a_key(self) -> None:
        self.storage.url("a.jpg")
        self.assertEqual(
            self.blob.generate_signed_url.call_args.kwargs,
            {
                "version": "v4",
                "expiration": SIGNED_URL_EXPIRATION,
                "access_token": "token",
                "service_account_email": "polls-web@my-project.iam.gserviceaccount.com",
            },
        )

    def test_is_signed_once(self) -> None:
        self.assertEqual(
            [self.storage.url(name) for name in "aab"],
            ["https://signed/1", "https://signed/1", "https://signed/2"],
        )

    def test_is_signed_again_half_way_to_its_end(self) -> None:
        half = SIGNED_URL_EXPIRATION.total_seconds() / 2
        with (
            mock.patch("django.core.cache.backends.base.time.time", return_value=1000.0),
            mock.patch("django.core.cache.backends.locmem.time.time") as now,
        ):
            now.return_value = 1000.0
            self.storage.url("a.jpg")
            now.return_value = 1000.0 + half - 1
            self.assertEqual(self.storage.url("a.jpg"), "https://signed/1")
            now.return_value = 1000.0 + half + 1
            self.assertEqual(self.storage.url("a.jpg"), "https://signed/2")

    def test_threads_that_start_together_share_one_set_of_credentials(self) -> None:
        together = threading.Barrier(2)

        def meet(**options: object) -> tuple[FakeCredentials, str]:
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(timeout=0.2)  # seconds for a second thread to come in
            return self.credentials, "my-project"

        with (
            mock.patch("storages.backends.gcloud.auth.default", side_effect=meet) as default,
            ThreadPoolExecutor(4) as pool,
        ):
            list(pool.map(self.storage.url, "abcd"))
        default.assert_called_once()

    def test_with_parameters_of_its_own_it_is_always_new(self) -> None:
        self.storage.url("a.jpg")
        self.assertEqual(self.storage.url("a.jpg", {"method": "PUT"}), "https://signed/2")
        self.assertEqual(self.storage.url("a.jpg"), "https://signed/1")


class FakeBucket:
    name = "my-static"

    def __init__(self) -> None:
        self.objects: dict[str, SimpleNamespace] = {}
        self.uploads: list[str] = []

    def list_blobs(self, **options: object) -> list[SimpleNamespace]:
        return list(self.objects.values())

    def blob(self, name: str) -> SimpleNamespace:
        made = SimpleNamespace(name=name, cache_control=None, content_type=None, md5_hash=None)

        def upload_from_filename(path: str, content_type: str) -> None:
            made.content_type, made.md5_hash = content_type, _md5(Path(path))
            self.objects[name] = made
            self.uploads.append(name)

        made.upload_from_filename = upload_from_filename
        return made


@override_settings(GS_STATIC_BUCKET_NAME="my-static")
class CollectStaticTests(SimpleTestCase):
    def setUp(self) -> None:
        self.bucket = FakeBucket()
        client = self.enterContext(mock.patch("config.management.commands.collectstatic.storage.Client"))
        client.return_value.bucket.return_value = self.bucket
        source = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.sheet = source / "site.css"
        self.sheet.write_text("body { color: red }")
        self.enterContext(
            override_settings(
                STATICFILES_DIRS=[source],
                STATICFILES_FINDERS=["django.contrib.staticfiles.finders.FileSystemFinder"],
            )
        )

    def collect(self, **options: object) -> str:
        output = StringIO()
        call_command("collectstatic", stdout=output, **options)
        return output.getvalue()

    def test_bucket_gets_the_file_the_hashed_file_and_the_manifest(self) -> None:
        self.assertIn("3 of 3 files uploaded to gs://my-static, the others were there.", self.collect())
        hashed, plain, manifest = sorted(self.bucket.objects)
        self.assertTrue(re.fullmatch(r"site\.[0-9a-f]{12}\.css", hashed), hashed)
        self.assertEqual((plain, manifest), ("site.css", "staticfiles.json"))

    def test_hashed_files_are_kept_by_browsers_for_ever_and_others_shortly(self) -> None:
        self.collect()
        kept = {name: (blob.cache_control, blob.content_type) for name, blob in self.bucket.objects.items()}
        hashed = next(name for name in kept if name.startswith("site.") and name != "site.css")
        self.assertEqual(kept[hashed], ("public, max-age=31536000, immutable", "text/css"))
        self.assertEqual(kept["site.css"], ("public, max-age=300", "text/css"))

    def test_second_run_uploads_nothing(self) -> None:
        self.collect()
        self.assertIn("0 of 3 files uploaded to gs://my-static, the others were there.", self.collect())
        self.assertEqual(len(self.bucket.uploads), 3)

    def test_files_of_older_releases_stay_even_when_told_to_clear(self) -> None:
        self.collect()
        before = set(self.bucket.objects)
        self.sheet.write_text("body { color: blue }")
        self.collect(clear=True, interactive=False)
        self.assertEqual(len(set(self.bucket.objects) - before), 1)
        self.assertLess(before, set(self.bucket.objects))

    def test_dry_run_uploads_nothing(self) -> None:
        self.collect(dry_run=True)
        self.assertEqual(self.bucket.uploads, [])

    def test_failed_upload_fails_the_command(self) -> None:
        with (
            mock.patch.object(FakeBucket, "blob", side_effect=PermissionError("403")),
            self.assertRaisesMessage(PermissionError, "403"),
        ):
            self.collect()
