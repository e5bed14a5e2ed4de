"""Cloud Storage through the clients that Django sites use, unmodified: google-cloud-storage and django-storages."""

from __future__ import annotations

import datetime
import os

import pytest
import requests
from django.conf import settings
from django.core.files.base import ContentFile
from google.api_core.exceptions import Conflict, Forbidden, NotFound, PreconditionFailed
from google.cloud import storage
from google.oauth2.credentials import Credentials
from storages.backends.gcloud import GoogleCloudStorage

from emulator.tests.running import OWNER, PROJECT, RunningEmulator

MIB = 1024 * 1024


@pytest.fixture
def client(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> storage.Client:
    """The owner's client; the environment sends every client of this process to the emulator."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return storage.Client(PROJECT, Credentials(emulator.token(OWNER)))


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    """A bucket with uniform access."""
    made = client.bucket("site-media")
    made.iam_configuration.uniform_bucket_level_access_enabled = True
    return client.create_bucket(made, location="europe-west1")


def test_a_bucket_s_life(client: storage.Client, bucket: storage.Bucket) -> None:
    assert bucket.location == "EUROPE-WEST1"
    assert bucket.iam_configuration.uniform_bucket_level_access_enabled is True
    bucket.labels = {"site": "web"}
    bucket.versioning_enabled = True
    bucket.add_lifecycle_delete_rule(age=30, is_live=False)
    bucket.patch()
    again = client.get_bucket("site-media")
    assert (again.labels, again.versioning_enabled) == ({"site": "web"}, True)
    assert [dict(rule) for rule in again.lifecycle_rules] == [
        {"action": {"type": "Delete"}, "condition": {"age": 30, "isLive": False}}
    ]
    assert again.iam_configuration.uniform_bucket_level_access_enabled is True
    assert [b.name for b in client.list_buckets()] == ["site-media"]
    with pytest.raises(Conflict, match="you already own it"):
        client.create_bucket("site-media")
    again.delete()
    assert client.lookup_bucket("site-media") is None


def test_a_label_is_removed(client: storage.Client, bucket: storage.Bucket) -> None:
    bucket.labels = {"a": "1", "b": "2"}
    bucket.patch()
    labels = bucket.labels
    del labels["a"]
    bucket.labels = labels
    bucket.patch()
    assert client.get_bucket("site-media").labels == {"b": "2"}


def test_nine_mebibytes_in_chunks_of_one(bucket: storage.Bucket) -> None:
    data = os.urandom(9 * MIB)
    blob = bucket.blob("big", chunk_size=MIB)
    blob.upload_from_string(data)
    blob.reload()
    assert blob.size == len(data)
    assert bucket.blob("big", chunk_size=2 * MIB).download_as_bytes() == data
    assert bucket.blob("big").download_as_bytes(start=5, end=9) == data[5:10]


def test_small_objects_conditions_and_listing(client: storage.Client, bucket: storage.Bucket) -> None:
    blob = bucket.blob("dir/a.txt")
    blob.metadata = {"who": "me"}
    blob.cache_control = "no-store"
    blob.upload_from_string("text", content_type="text/css", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("dir/a.txt").upload_from_string("other", if_generation_match=0)
    found = bucket.get_blob("dir/a.txt")
    assert (found.metadata, found.cache_control, found.content_type) == (
        {"who": "me"},
        "no-store",
        "text/css",
    )
    assert found.download_as_text() == "text"
    found.metadata = {"who": "you"}
    found.patch()
    bucket.blob("top.txt").upload_from_string("x")
    listing = client.list_blobs(bucket, delimiter="/")
    assert ([b.name for b in listing], listing.prefixes) == (["top.txt"], {"dir/"})
    copy = bucket.copy_blob(found, bucket, "copy.css")
    assert (copy.metadata, copy.content_type) == ({"who": "you"}, "text/css")
    joined = bucket.blob("joined")
    joined.compose([found, bucket.blob("top.txt")])
    assert joined.download_as_bytes() == b"textx"
    bucket.rename_blob(joined, "renamed")
    assert bucket.get_blob("joined") is None
    with pytest.raises(NotFound, match="No such object: site-media/joined"):
        bucket.blob("joined").download_as_bytes()


def test_a_bucket_policy_is_read_changed_and_obeyed(
    emulator: RunningEmulator, bucket: storage.Bucket
) -> None:
    bucket.blob("x").upload_from_string("x")
    reader = storage.Client(PROJECT, Credentials(emulator.token("user:reader@example.com")))
    with pytest.raises(Forbidden, match=r"does not have storage\.objects\.get access"):
        reader.bucket("site-media").blob("x").download_as_bytes()
    policy = bucket.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"user:reader@example.com"}})
    bucket.set_iam_policy(policy)
    assert reader.bucket("site-media").blob("x").download_as_bytes() == b"x"
    assert reader.bucket("site-media").test_iam_permissions(
        ["storage.objects.get", "storage.objects.delete"]
    ) == ["storage.objects.get"]


def test_a_public_object_needs_no_client_credentials(
    emulator: RunningEmulator, bucket: storage.Bucket
) -> None:
    bucket.blob("logo").upload_from_string("svg")
    emulator.grant("projects/_/buckets/site-media", "roles/storage.objectViewer", "allUsers")
    assert (
        storage.Client.create_anonymous_client().bucket("site-media").blob("logo").download_as_bytes()
        == b"svg"
    )
    assert requests.get(bucket.blob("logo").public_url, timeout=10).content == b"svg"


def test_a_signed_url_without_a_key_is_signed_by_the_api(
    emulator: RunningEmulator, bucket: storage.Bucket
) -> None:
    bucket.blob("private").upload_from_string("secret")
    account = emulator.session().post(
        f"https://iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts", json={"accountId": "site-web"}
    )
    assert account.status_code == 200, account.text
    email, member = account.json()["email"], "serviceAccount:" + account.json()["email"]
    emulator.grant("projects/_/buckets/site-media", "roles/storage.objectUser", member)
    emulator.grant(account.json()["name"], "roles/iam.serviceAccountTokenCreator", member)
    url = bucket.blob("private").generate_signed_url(
        version="v4",
        expiration=datetime.timedelta(minutes=5),
        service_account_email=email,
        access_token=emulator.token(member),
    )
    assert requests.get(url, timeout=10).content == b"secret"


@pytest.fixture
def site(emulator: RunningEmulator, bucket: storage.Bucket) -> GoogleCloudStorage:
    """Django's storage on the bucket, signing nothing."""
    if not settings.configured:
        settings.configure()
    return GoogleCloudStorage(
        bucket_name=bucket.name,
        project_id=PROJECT,
        credentials=Credentials(emulator.token(OWNER)),
        file_overwrite=False,
        querystring_auth=False,
        blob_chunk_size=MIB,
        gzip=True,
    )


def test_django_s_storage_saves_opens_lists_and_deletes(site: GoogleCloudStorage) -> None:
    name = site.save("photos/cat.jpg", ContentFile(b"jpeg"))
    assert name == "photos/cat.jpg"
    other = site.save("photos/cat.jpg", ContentFile(b"another"))
    assert other != name
    assert site.exists(name)
    assert site.size(name) == 4
    assert site.listdir("photos") == (
        [],
        sorted([name.removeprefix("photos/"), other.removeprefix("photos/")]),
    )
    with site.open(name) as file:
        assert file.read() == b"jpeg"
    assert site.get_modified_time(name).date() == datetime.datetime.now(datetime.UTC).date()
    site.delete(name)
    assert not site.exists(name)


def test_django_s_compressed_static_files_reach_every_browser(
    emulator: RunningEmulator, site: GoogleCloudStorage
) -> None:
    text = b"body { color: red }\n" * 100
    name = site.save("css/site.css", ContentFile(text))
    emulator.grant("projects/_/buckets/site-media", "roles/storage.objectViewer", "allUsers")
    for accepted in ("gzip", "identity"):
        answer = requests.get(site.url(name), headers={"Accept-Encoding": accepted}, timeout=10)
        assert (answer.status_code, answer.content) == (200, text)
        assert answer.headers["Content-Type"] == "text/css"
