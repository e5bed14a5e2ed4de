"""Callers without credentials: they may do what is granted to allUsers, by every way in, and nothing else."""

from __future__ import annotations

import re

import pytest
import requests
from gcp_emulator.engine import discovery
from gcp_emulator.engine.facts import load_facts
from google.auth.exceptions import InvalidOperation
from google.cloud import storage

from emulator.tests.running import OWNER, PROJECT, RunningEmulator

HOST = "https://storage.googleapis.com"
BUCKET = f"{HOST}/storage/v1/b/site-static"
OBJECT = f"{BUCKET}/o/css%2Fsite.css"
RESOURCE = "projects/_/buckets/site-static"


@pytest.fixture
def anybody(emulator: RunningEmulator) -> requests.Session:
    """Somebody without credentials; beside them is a bucket as a site's static files have it, not public yet."""
    owner = emulator.session(OWNER)
    uniform = {"uniformBucketLevelAccess": {"enabled": True}}
    body = {"name": "site-static", "iamConfiguration": uniform}
    assert owner.post(f"{HOST}/storage/v1/b?project={PROJECT}", json=body).status_code == 200
    upload = f"{HOST}/upload/storage/v1/b/site-static/o?uploadType=media&name=css/site.css"
    assert owner.post(upload, data=b"body {}", headers={"Content-Type": "text/css"}).status_code == 200
    return emulator.session(None)


@pytest.fixture
def public(emulator: RunningEmulator, anybody: requests.Session) -> requests.Session:
    """As ``anybody``, where everybody may read the objects and not list them."""
    emulator.grant(RESOURCE, "roles/storage.legacyObjectReader", "allUsers")
    return anybody


READS = (
    OBJECT,
    f"{OBJECT}?alt=media",
    f"{HOST}/download/storage/v1/b/site-static/o/css%2Fsite.css?alt=media",
    f"{HOST}/site-static/css/site.css",
    "https://site-static.storage.googleapis.com/css/site.css",
    "https://www.googleapis.com/storage/v1/b/site-static/o/css%2Fsite.css?alt=media",
)


@pytest.mark.parametrize("url", READS)
def test_a_public_object_is_read_by_every_way_in(public: requests.Session, url: str) -> None:
    answer = public.get(url)
    assert answer.status_code == 200
    assert answer.text == "body {}" or answer.json()["name"] == "css/site.css"


@pytest.mark.parametrize("url", READS)
def test_an_object_that_is_not_public_is_refused_by_every_way_in(anybody: requests.Session, url: str) -> None:
    answer = anybody.get(url)
    told = (
        "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object. "
        "Permission 'storage.objects.get' denied on resource (or it may not exist)."
    )
    if "/storage/v1/" not in url:
        assert answer.status_code == 403
        assert f"<Code>AccessDenied</Code><Message>Access denied.</Message><Details>{told}</Details>" in (
            answer.text
        )
        return
    legacy = {"domain": "global", "reason": "required", "locationType": "header", "location": "Authorization"}
    assert (answer.status_code, answer.json()["error"]) == (
        401,
        {"code": 401, "message": told, "errors": [legacy | {"message": told}]},
    )


CALLS = {
    "storage.objects.list": ("GET", f"{BUCKET}/o"),
    "storage.buckets.get": ("GET", BUCKET),
    "storage.buckets.list": ("GET", f"{HOST}/storage/v1/b?project={PROJECT}"),
    "storage.buckets.create": ("POST", f"{HOST}/storage/v1/b?project={PROJECT}"),
    "storage.buckets.update": ("PATCH", BUCKET),
    "storage.buckets.delete": ("DELETE", BUCKET),
    "storage.buckets.getIamPolicy": ("GET", f"{BUCKET}/iam"),
    "storage.buckets.setIamPolicy": ("PUT", f"{BUCKET}/iam"),
    "storage.objects.update": ("PATCH", OBJECT),
    "storage.objects.delete": ("DELETE", OBJECT),
    "storage.objects.create": ("POST", f"{OBJECT}/copyTo/b/site-static/o/mine"),
}


@pytest.mark.parametrize("permission", CALLS)
def test_nothing_else_is_allowed(public: requests.Session, permission: str) -> None:
    method, url = CALLS[permission]
    answer = public.request(
        method, url, json={"name": "mine"} if method in ("POST", "PUT", "PATCH") else None
    )
    assert answer.status_code == 401, answer.text
    assert answer.json()["error"]["message"].startswith(
        f"Anonymous caller does not have {permission} access to the Google Cloud"
    )


#: What stands in the paths of methods: an object that is public, and its bucket.
PLACES = {
    "bucket": "site-static",
    "destinationBucket": "site-static",
    "destinationObject": "mine",
    "entity": "allUsers",
    "object": "css%2Fsite.css",
    "project": PROJECT,
    "projectId": PROJECT,
    "sourceBucket": "site-static",
    "sourceObject": "css%2Fsite.css",
}


def test_of_all_methods_one_answers_anybody(public: requests.Session, emulator: RunningEmulator) -> None:
    answered = set()
    emulated = [
        one
        for one in discovery.load("storage", "v1").methods.values()
        if one.id in load_facts("storage").methods
    ]
    assert len(emulated) > 40
    for method in emulated:
        path = re.sub(r"\{\+?(\w+)\}", lambda found: PLACES.get(found[1], "1"), method.path)
        query = (
            {"project": PROJECT} if "project" in method.parameters and "{project" not in method.path else {}
        )
        url = f"{HOST}/{path if path.startswith('storage/') else f'storage/v1/{path}'}"
        answer = public.request(method.http, url, params=query, json={} if method.request else None)
        assert answer.status_code < 500, (method.id, answer.text)
        if answer.ok:
            answered.add(method.id)
    # What is tested for has a test of its own.
    assert answered == {"storage.objects.get"}


def test_a_permission_that_is_asked_for_before_the_method_is_refused_too(public: requests.Session) -> None:
    answer = public.get(f"{HOST}/storage/v1/projects/{PROJECT}/serviceAccount")
    assert answer.status_code == 401
    assert answer.json()["error"]["message"].startswith(
        "Request is missing required authentication credential."
    )


def test_what_is_tested_for_is_what_is_public(public: requests.Session) -> None:
    wanted = ["storage.objects.get", "storage.objects.list"]
    answer = public.get(f"{BUCKET}/iam/testPermissions", params={"permissions": wanted})
    assert answer.json()["permissions"] == ["storage.objects.get"]


def test_a_wrong_token_is_not_anonymous(public: requests.Session) -> None:
    answer = public.get(OBJECT, headers={"Authorization": "Bearer ya29.wrong"})
    assert answer.status_code == 401
    assert answer.json()["error"]["message"].startswith("Request had invalid authentication credentials.")


def test_what_is_public_to_list_is_listed(emulator: RunningEmulator, anybody: requests.Session) -> None:
    emulator.grant(RESOURCE, "roles/storage.objectViewer", "allUsers")
    assert [item["name"] for item in anybody.get(f"{BUCKET}/o").json()["items"]] == ["css/site.css"]


def test_prevention_of_public_access_wins(emulator: RunningEmulator, public: requests.Session) -> None:
    prevented = {"iamConfiguration": {"publicAccessPrevention": "enforced"}}
    assert emulator.session(OWNER).patch(BUCKET, json=prevented).status_code == 200
    assert public.get(OBJECT).status_code == 401


def test_google_s_client_reads_and_cannot_list(emulator: RunningEmulator, public: requests.Session) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment.items():
            patch.setenv(name, value)
        bucket = storage.Client.create_anonymous_client().bucket("site-static")
        blob = bucket.get_blob("css/site.css")
        assert blob is not None
        assert (blob.content_type, blob.download_as_bytes()) == ("text/css", b"body {}")
        # After a 401 it tries for another token, and has none (https://github.com/operatorai/modelstore/issues/173).
        with pytest.raises(InvalidOperation, match="Anonymous credentials cannot be refreshed"):
            list(bucket.list_blobs())


def test_other_services_want_credentials_whatever_is_granted(emulator: RunningEmulator) -> None:
    secrets = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
    owner = emulator.session(OWNER)
    made = owner.post(f"{secrets}?secretId=open", json={"replication": {"automatic": {}}})
    assert made.status_code == 200, made.text
    emulator.grant(f"projects/{PROJECT}", "roles/secretmanager.viewer", "allUsers")
    answer = emulator.session(None).get(f"{secrets}/open")
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
