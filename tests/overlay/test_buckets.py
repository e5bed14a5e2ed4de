"""The buckets, without Google: what is asked of its libraries, and how often."""

from __future__ import annotations

import contextlib
import gzip
import json
import mimetypes
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.core.cache import caches
from django.core.management import call_command
from django.test import override_settings
from google.auth.credentials import TokenState

EXPIRATION = timedelta(hours=6)

pytestmark = pytest.mark.usefixtures("in_process")


class FakeCredentials(SimpleNamespace):
    """As the metadata server's: who they are for is known only after the first refresh."""

    def refresh(self, request: object) -> None:
        self.token, self.token_state = "token", TokenState.FRESH
        self.service_account_email = "polls-web@my-project.iam.gserviceaccount.com"


@pytest.fixture
def blob() -> mock.Mock:
    """An object, whose links are numbered."""
    made = mock.Mock()
    made.generate_signed_url.side_effect = lambda **options: (
        f"https://signed/{made.generate_signed_url.call_count}"
    )
    return made


@pytest.fixture
def credentials() -> FakeCredentials:
    """Of the metadata server, not asked yet."""
    return FakeCredentials(token=None, token_state=TokenState.INVALID, service_account_email="default")


@pytest.fixture
def media(blob: mock.Mock, credentials: FakeCredentials) -> Iterator[Any]:
    """The storage of uploads."""
    from django_on_google_cloud.storage import SignedMediaStorage

    caches["signed_urls"].clear()
    found = (credentials, "my-project")
    with (
        mock.patch("storages.backends.gcloud.auth.default", return_value=found),
        mock.patch("storages.backends.gcloud.Client") as client,
    ):
        client.return_value.bucket.return_value.blob.return_value = blob
        yield SignedMediaStorage(
            bucket_name="my-media", iam_sign_blob=True, querystring_auth=True, expiration=EXPIRATION
        )
    caches["signed_urls"].clear()


def test_a_link_is_signed_by_the_service_account_without_a_key(media: Any, blob: mock.Mock) -> None:
    media.url("a.jpg")
    assert blob.generate_signed_url.call_args.kwargs == {
        "version": "v4",
        "expiration": EXPIRATION,
        "access_token": "token",
        "service_account_email": "polls-web@my-project.iam.gserviceaccount.com",
    }


def test_a_link_is_signed_once(media: Any) -> None:
    links = [media.url(name) for name in "aab"]
    assert links == ["https://signed/1", "https://signed/1", "https://signed/2"]


def test_a_link_is_signed_again_half_way_to_its_end(media: Any) -> None:
    half = EXPIRATION.total_seconds() / 2
    with (
        mock.patch("django.core.cache.backends.base.time.time", return_value=1000.0),
        mock.patch("django.core.cache.backends.locmem.time.time") as now,
    ):
        now.return_value = 1000.0
        media.url("a.jpg")
        now.return_value = 1000.0 + half - 1
        assert media.url("a.jpg") == "https://signed/1"
        now.return_value = 1000.0 + half + 1
        assert media.url("a.jpg") == "https://signed/2"


def test_threads_that_start_together_share_one_set_of_credentials(
    media: Any, credentials: FakeCredentials
) -> None:
    together = threading.Barrier(2)

    def meet(**options: object) -> tuple[FakeCredentials, str]:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(timeout=0.2)  # seconds for a second thread to come in
        return credentials, "my-project"

    with (
        mock.patch("storages.backends.gcloud.auth.default", side_effect=meet) as default,
        ThreadPoolExecutor(4) as pool,
    ):
        list(pool.map(media.url, "abcd"))
    default.assert_called_once()


def test_threads_that_want_the_same_link_have_it_signed_once(media: Any, blob: mock.Mock) -> None:
    together, signed = threading.Barrier(4), blob.generate_signed_url.side_effect

    def slowly(**options: object) -> str:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(timeout=0.2)  # seconds for others to come in
        return str(signed(**options))

    blob.generate_signed_url.side_effect = slowly
    with ThreadPoolExecutor(4) as pool:
        links = list(pool.map(media.url, "aaaa"))
    assert links == ["https://signed/1"] * 4


def test_a_link_with_parameters_of_its_own_is_always_new(media: Any) -> None:
    media.url("a.jpg")
    assert media.url("a.jpg", {"method": "PUT"}) == "https://signed/2"
    assert media.url("a.jpg") == "https://signed/1"


class FakeBucket:
    """A bucket in memory."""

    name = "my-static"

    def __init__(self) -> None:
        self.objects: dict[str, SimpleNamespace] = {}
        self.uploads: list[str] = []

    def list_blobs(self, **options: object) -> list[SimpleNamespace]:
        return list(self.objects.values())

    def blob(self, name: str) -> SimpleNamespace:
        from django_on_google_cloud.management.commands.collectstatic import _md5

        made = SimpleNamespace(name=name, cache_control=None, content_encoding=None)

        def upload_from_string(content: bytes, content_type: str) -> None:
            made.content, made.content_type, made.md5_hash = content, content_type, _md5(content)
            self.objects[name] = made
            self.uploads.append(name)

        made.upload_from_string = upload_from_string
        return made


@pytest.fixture
def bucket() -> Iterator[FakeBucket]:
    """The bucket of static files."""
    made = FakeBucket()
    with mock.patch("django_on_google_cloud.management.commands.collectstatic.storage.Client") as client:
        client.return_value.bucket.return_value = made
        yield made


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A style sheet, which names what is not there."""
    file = tmp_path / "site.css"
    file.write_text("body { background: url(missing.png) }", "utf-8")
    return file


@pytest.fixture
def collect(sheet: Path, bucket: FakeBucket) -> Iterator[Callable[..., str]]:
    """``manage.py collectstatic``, and what it prints."""

    def collected(**options: object) -> str:
        output = StringIO()
        call_command("collectstatic", stdout=output, **options)
        return output.getvalue()

    from django.contrib.staticfiles.finders import get_finder

    get_finder.cache_clear()
    with override_settings(STATICFILES_DIRS=[sheet.parent]):
        yield collected
    get_finder.cache_clear()


def test_the_bucket_gets_the_file_the_hashed_file_and_the_manifest(
    collect: Callable[..., str], bucket: FakeBucket
) -> None:
    assert "3 of 3 files uploaded to gs://my-static, the others were there." in collect()
    hashed, plain, manifest = sorted(bucket.objects)
    assert re.fullmatch(r"site\.[0-9a-f]{12}\.css", hashed)
    assert (plain, manifest) == ("site.css", "staticfiles.json")


def test_hashed_files_are_kept_by_browsers_for_ever_and_others_shortly(
    collect: Callable[..., str], bucket: FakeBucket
) -> None:
    collect()
    kept = {name: (blob.cache_control, blob.content_type) for name, blob in bucket.objects.items()}
    hashed = next(name for name in kept if name.startswith("site.") and name != "site.css")
    assert kept[hashed] == ("public, max-age=31536000, immutable", "text/css")
    assert kept["site.css"] == ("public, max-age=300", "text/css")


def test_a_second_run_uploads_nothing(collect: Callable[..., str], bucket: FakeBucket) -> None:
    collect()
    assert "0 of 3 files uploaded to gs://my-static, the others were there." in collect()
    assert len(bucket.uploads) == 3


def test_what_is_text_is_stored_compressed_and_the_same_each_time(
    collect: Callable[..., str], bucket: FakeBucket, sheet: Path
) -> None:
    long = "body { color: green } " * 100
    sheet.write_text(long, "utf-8")
    (sheet.parent / "photo.webp").write_bytes(b"a" * 1000)
    (sheet.parent / "code.js.map").write_text('{"version": 3}' * 50, "utf-8")
    collect()
    stored = bucket.objects["site.css"]
    assert (stored.content_encoding, stored.content_type) == ("gzip", "text/css")
    assert gzip.decompress(stored.content).decode() == long
    # No time and no name: the same bytes wherever they are made.
    assert stored.content[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    assert bucket.objects["photo.webp"].content_encoding is None
    assert bucket.objects["photo.webp"].content == b"a" * 1000
    assert bucket.objects["code.js.map"].content_encoding == "gzip"
    bucket.uploads.clear()
    collect()
    assert bucket.uploads == []


def test_what_would_become_larger_is_stored_as_it_is(
    collect: Callable[..., str], bucket: FakeBucket, sheet: Path
) -> None:
    sheet.write_text("a{}", "utf-8")
    collect()
    assert bucket.objects["site.css"].content == b"a{}"
    assert bucket.objects["site.css"].content_encoding is None


def test_what_was_stored_as_it_is_before_is_stored_compressed(
    collect: Callable[..., str], bucket: FakeBucket, sheet: Path
) -> None:
    sheet.write_text("body { color: green } " * 100, "utf-8")
    bucket.blob("site.css").upload_from_string(sheet.read_bytes(), "text/css")
    collect()
    assert bucket.objects["site.css"].content_encoding == "gzip"


def test_each_release_leaves_a_list_of_its_files_named_after_its_image(
    collect: Callable[..., str], bucket: FakeBucket, sheet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEASE_IMAGE", f"host/p/r/polls@sha256:{'a' * 64}")
    collect()
    first = f".collected/{'a' * 64}.json"
    assert bucket.uploads[-1] == first, "it lists what is there"
    files = listed(bucket, first)
    assert files == sorted(name for name in bucket.objects if name != first)
    sheet.write_text("body { color: blue }", "utf-8")
    monkeypatch.setenv("RELEASE_IMAGE", f"host/p/r/polls@sha256:{'b' * 64}")
    collect()
    assert listed(bucket, first) == files
    (new,) = set(listed(bucket, f".collected/{'b' * 64}.json")) - set(files)
    assert re.fullmatch(r"site\.[0-9a-f]{12}\.css", new)
    uploads = len(bucket.uploads)
    collect()
    assert len(bucket.uploads) == uploads


def listed(bucket: FakeBucket, name: str) -> list[str]:
    blob = bucket.objects[name]
    content = gzip.decompress(blob.content) if blob.content_encoding == "gzip" else blob.content
    return list(json.loads(content)["files"])


def test_files_of_older_releases_stay_even_when_told_to_clear(
    collect: Callable[..., str], bucket: FakeBucket, sheet: Path
) -> None:
    collect()
    before = set(bucket.objects)
    sheet.write_text("body { color: blue }", "utf-8")
    collect(clear=True, interactive=False)
    assert len(set(bucket.objects) - before) == 1
    assert before < set(bucket.objects)


def test_a_dry_run_uploads_nothing(collect: Callable[..., str], bucket: FakeBucket) -> None:
    collect(dry_run=True)
    assert bucket.uploads == []


def test_a_failed_upload_fails_the_command(collect: Callable[..., str]) -> None:
    with (
        mock.patch.object(FakeBucket, "blob", side_effect=PermissionError("403")),
        pytest.raises(PermissionError, match="403"),
    ):
        collect()


def test_the_names_in_the_image_are_those_in_the_bucket(
    collect: Callable[..., str], bucket: FakeBucket, sheet: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What an image collects for itself, by WhiteNoise, is what its pages name when a bucket serves them."""
    from django.contrib.staticfiles.management.commands.collectstatic import Command
    from django_on_google_cloud.static import BucketStaticFilesStorage, StaticFilesStorage

    collect()
    root = str(tmp_path_factory.mktemp("root"))
    command = Command()
    command.storage = StaticFilesStorage(location=root)
    call_command(command, interactive=False, verbosity=0)
    served = BucketStaticFilesStorage(location=root, base_url="https://storage.googleapis.com/my-static/")
    address = served.url("site.css", force=True)
    assert address.rpartition("/")[2] in bucket.objects
    assert address.rpartition("/")[2] != "site.css"
    assert served.url("absent.css", force=True) == "https://storage.googleapis.com/my-static/absent.css"


def test_a_picture_in_webp_is_one_for_browsers(media: Any) -> None:
    assert mimetypes.guess_type("a.webp")[0] == "image/webp"
