"""Objects through the XML API: public reads, V4 signed URLs, browsers."""

from __future__ import annotations

import datetime
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from gcp_emulator.services.iam.api import IamApi
from google.cloud import storage
from google.cloud.storage import _signing
from google.oauth2 import service_account

from emulator.tests.running import PROJECT, RunningEmulator

HOST = "https://storage.googleapis.com"
BUCKET = "projects/_/buckets/things"
XML = "<?xml version='1.0' encoding='UTF-8'?>"
ACCOUNT = f"signer@{PROJECT}.iam.gserviceaccount.com"
UNIFORM = {"uniformBucketLevelAccess": {"enabled": True}}


@pytest.fixture
def owner(emulator: RunningEmulator) -> requests.Session:
    """The owner's session; the bucket ``things`` holds ``dir/a b.txt``."""
    session = emulator.session()
    body = {"name": "things", "iamConfiguration": UNIFORM}
    assert session.post(f"{HOST}/storage/v1/b?project={PROJECT}", json=body).status_code == 200
    headers = {"Content-Type": "text/plain", "x-goog-meta-who": "me"}
    assert session.put(f"{HOST}/things/dir/a%20b.txt", data=b"hello", headers=headers).status_code == 200
    return session


def _make_public(emulator: RunningEmulator) -> None:
    emulator.grant(BUCKET, "roles/storage.objectViewer", "allUsers")


def _code(answer: requests.Response) -> tuple[int, str]:
    found = re.search(r"<Code>(\w+)</Code>", answer.text)
    return answer.status_code, found[1] if found else ""


def test_a_private_object_is_not_for_strangers(emulator: RunningEmulator, owner: requests.Session) -> None:
    answer = emulator.session(None).get(f"{HOST}/things/dir/a%20b.txt")
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/xml; charset=UTF-8"
    assert answer.text == (
        f"{XML}<Error><Code>AccessDenied</Code><Message>Access denied.</Message><Details>Anonymous caller does not have "
        "storage.objects.get access to the Google Cloud Storage object. Permission 'storage.objects.get' denied on "
        "resource (or it may not exist).</Details></Error>"
    )


@pytest.mark.parametrize(
    "address", [f"{HOST}/things/dir/a%20b.txt", "https://things.storage.googleapis.com/dir/a%20b.txt"]
)
def test_a_public_object_is_read_by_either_address(
    emulator: RunningEmulator, owner: requests.Session, address: str
) -> None:
    _make_public(emulator)
    answer = emulator.session(None).get(address)
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.headers["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert answer.headers["x-goog-meta-who"] == "me"
    head = emulator.session(None).head(address)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "5", b"")
    part = emulator.session(None).get(address, headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"el")
    assert (
        emulator.session(None).get(address, headers={"If-None-Match": answer.headers["ETag"]}).status_code
        == 304
    )


def test_public_access_prevention_closes_a_public_bucket(
    emulator: RunningEmulator, owner: requests.Session
) -> None:
    _make_public(emulator)
    closed = {"iamConfiguration": {"publicAccessPrevention": "enforced"}}
    assert owner.patch(f"{HOST}/storage/v1/b/things", json=closed).status_code == 200
    assert emulator.session(None).get(f"{HOST}/things/dir/a%20b.txt").status_code == 403


def test_only_who_is_known_chooses_response_headers(
    emulator: RunningEmulator, owner: requests.Session
) -> None:
    _make_public(emulator)
    url = f"{HOST}/things/dir/a%20b.txt?response-content-type=text/html%0D%0AX-Evil:%201"
    assert _code(emulator.session(None).get(url)) == (400, "InvalidArgument")
    known = owner.get(url)
    assert known.headers["Content-Type"] == "text/html X-Evil: 1"
    assert "X-Evil" not in known.headers


def test_any_metadata_can_be_downloaded(emulator: RunningEmulator, owner: requests.Session) -> None:
    strange = {"a key": "1", "ok": " caf\u00e9\n ", "\u00fc": "2"}
    changes = {"metadata": strange, "contentDisposition": "inline;\r\nX-Evil: 1"}
    assert owner.patch(f"{HOST}/storage/v1/b/things/o/dir%2Fa%20b.txt", json=changes).status_code == 200
    got = owner.get(f"{HOST}/things/dir/a%20b.txt")
    assert (got.status_code, got.content) == (200, b"hello")
    assert got.headers["x-goog-meta-ok"].encode("latin-1").decode() == "caf\u00e9"
    assert "X-Evil" not in got.headers


def test_what_is_missing_is_404_with_its_code(emulator: RunningEmulator, owner: requests.Session) -> None:
    _make_public(emulator)
    stranger = emulator.session(None)
    missing = stranger.get(f"{HOST}/things/none")
    assert missing.status_code == 404
    assert missing.text == (
        f"{XML}<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>"
        "<Details>No such object: things/none</Details></Error>"
    )
    assert _code(stranger.get(f"{HOST}/nobodys/none")) == (404, "NoSuchBucket")


def test_put_and_delete_need_permission_and_keep_conditions(
    emulator: RunningEmulator, owner: requests.Session
) -> None:
    _make_public(emulator)
    url = f"{HOST}/things/dir/a%20b.txt"
    assert _code(emulator.session(None).put(url, data=b"x")) == (403, "AccessDenied")
    assert _code(emulator.session(None).delete(url)) == (403, "AccessDenied")
    taken = owner.put(url, data=b"x", headers={"x-goog-if-generation-match": "0"})
    assert _code(taken) == (412, "PreconditionFailed")
    wrong = owner.put(url, data=b"x", headers={"Content-MD5": "AAAA"})
    assert _code(wrong) == (400, "InvalidArgument")
    assert _code(owner.put(url, data=b"x", headers={"x-goog-acl": "public-read"})) == (400, "InvalidArgument")
    assert owner.get(url).content == b"hello"
    assert owner.delete(url).status_code == 204
    assert _code(owner.delete(url)) == (404, "NoSuchKey")


def test_bad_credentials_are_not_taken_for_anonymous(
    emulator: RunningEmulator, owner: requests.Session
) -> None:
    _make_public(emulator)
    answer = emulator.session(None).get(
        f"{HOST}/things/dir/a%20b.txt", headers={"Authorization": "Bearer ya29.wrong"}
    )
    assert _code(answer) == (401, "AuthenticationRequired")


def test_cross_origin_rules_are_applied(emulator: RunningEmulator, owner: requests.Session) -> None:
    _make_public(emulator)
    rule = {
        "origin": ["https://site.example"],
        "method": ["GET"],
        "responseHeader": ["Content-Type"],
        "maxAgeSeconds": 60,
    }
    owner.patch(f"{HOST}/storage/v1/b/things", json={"cors": [rule]})
    url, stranger = f"{HOST}/things/dir/a%20b.txt", emulator.session(None)

    def preflight(origin: str, method: str) -> Any:
        return stranger.options(
            url, headers={"Origin": origin, "Access-Control-Request-Method": method}
        ).headers

    allowed = preflight("https://site.example", "GET")
    assert allowed["Access-Control-Allow-Origin"] == "https://site.example"
    assert allowed["Access-Control-Allow-Methods"] == "GET"
    assert allowed["Access-Control-Max-Age"] == "60"
    assert "Access-Control-Allow-Origin" not in preflight("https://site.example", "PUT")
    assert "Access-Control-Allow-Origin" not in preflight("https://evil.example", "GET")
    got = stranger.get(url, headers={"Origin": "https://site.example"})
    assert got.headers["Access-Control-Allow-Origin"] == "https://site.example"


@pytest.fixture
def signing(
    emulator: RunningEmulator, owner: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> storage.Blob:
    """``dir/a b.txt`` in the hands of a service account that has a key of its own and may read the bucket."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    accounts = emulator.emulator.service(IamApi).accounts
    record = emulator.call(accounts.create, PROJECT, "signer")
    _, _, private = emulator.run(accounts.keys.make_user_key(record["name"]))
    emulator.grant(BUCKET, "roles/storage.objectViewer", f"serviceAccount:{ACCOUNT}")
    info = {
        "client_email": ACCOUNT,
        "private_key": private,
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    client = storage.Client(PROJECT, service_account.Credentials.from_service_account_info(info))
    return client.bucket("things").blob("dir/a b.txt")


def _sign(blob: storage.Blob, seconds: int = 300, **options: Any) -> str:
    return str(
        blob.generate_signed_url(version="v4", expiration=datetime.timedelta(seconds=seconds), **options)
    )


def test_a_signed_url_opens_the_object_to_anybody(emulator: RunningEmulator, signing: storage.Blob) -> None:
    stranger = emulator.session(None)
    url = _sign(signing, response_disposition='attachment; filename="x y.txt"', response_type="text/x")
    answer = stranger.get(url)
    assert (answer.status_code, answer.content) == (200, b"hello"), answer.text
    assert answer.headers["Content-Disposition"] == 'attachment; filename="x y.txt"'
    assert answer.headers["Content-Type"] == "text/x"
    assert answer.headers["Cache-Control"] == "private, max-age=0"
    hosted = _sign(signing, virtual_hosted_style=True)
    assert hosted.startswith("https://things.storage.googleapis.com/")
    assert stranger.get(hosted).content == b"hello"


def test_a_browser_uses_the_same_signature(emulator: RunningEmulator, signing: storage.Blob) -> None:
    port = emulator.emulator.front.port
    target = urlsplit(_sign(signing))
    answer = requests.get(
        f"http://127.0.0.1:{port}{target.path}?{target.query}",
        headers={"Host": f"storage.googleapis.com.localhost:{port}"},
        proxies={"http": "", "https": ""},
        timeout=10,
    )
    assert (answer.status_code, answer.content) == (200, b"hello")


def test_a_tampered_signed_url_is_refused(emulator: RunningEmulator, signing: storage.Blob) -> None:
    url, stranger = _sign(signing), emulator.session(None)
    answer = stranger.get(url.replace("a%20b.txt", "other.txt"))
    assert _code(answer) == (403, "SignatureDoesNotMatch")
    assert (
        "<Message>Access denied.</Message><Details>The request signature we calculated does not match"
        in answer.text
    )
    assert "<CanonicalRequest>GET\n/things/dir/other.txt\n" in answer.text
    assert _code(stranger.get(url + "&response-content-type=text/html")) == (403, "SignatureDoesNotMatch")
    assert _code(stranger.get(url.replace("X-Goog-Expires=300", "X-Goog-Expires=3000"))) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert _code(stranger.get(url[:-2] + "zz")) == (403, "SignatureDoesNotMatch")


def test_a_signed_url_is_for_one_method(emulator: RunningEmulator, signing: storage.Blob) -> None:
    stranger = emulator.session(None)
    assert _code(stranger.delete(_sign(signing))) == (403, "SignatureDoesNotMatch")
    assert _code(stranger.put(_sign(signing), data=b"x")) == (403, "SignatureDoesNotMatch")


def test_a_signed_put_is_authorised_as_its_signer(emulator: RunningEmulator, signing: storage.Blob) -> None:
    stranger = emulator.session(None)
    url = _sign(signing.bucket.blob("new"), method="PUT", content_type="text/plain")
    denied = stranger.put(url, data=b"x", headers={"Content-Type": "text/plain"})
    assert _code(denied) == (403, "AccessDenied")
    assert f"{ACCOUNT} does not have storage.objects.create access" in denied.text
    emulator.grant(BUCKET, "roles/storage.objectCreator", f"serviceAccount:{ACCOUNT}")
    assert stranger.put(url, data=b"x", headers={"Content-Type": "text/plain"}).status_code == 200
    unsigned = stranger.put(url, data=b"x", headers={"Content-Type": "text/html"})
    assert _code(unsigned) == (403, "SignatureDoesNotMatch")


def _sign_at(blob: storage.Blob, moment: datetime.datetime, monkeypatch: pytest.MonkeyPatch) -> str:
    text = moment.strftime("%Y%m%dT%H%M%SZ")
    monkeypatch.setattr(_signing, "get_v4_now_dtstamps", lambda: (text, text[:8]))
    return _sign(blob, 60)


def test_a_signed_url_has_its_time(
    emulator: RunningEmulator, signing: storage.Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, stranger = datetime.datetime.now(datetime.UTC), emulator.session(None)
    past = stranger.get(_sign_at(signing, now - datetime.timedelta(minutes=10), monkeypatch))
    assert _code(past) == (400, "ExpiredToken")
    assert "<Details>Request signature expired at: " in past.text
    future = stranger.get(_sign_at(signing, now + datetime.timedelta(hours=1), monkeypatch))
    assert _code(future) == (403, "RequestTimeTooSkewed")
    skewed = stranger.get(_sign_at(signing, now + datetime.timedelta(minutes=5), monkeypatch))
    assert skewed.status_code == 200
    long = _sign(signing, 300).replace("X-Goog-Expires=300", "X-Goog-Expires=604801")
    assert _code(stranger.get(long)) == (400, "MalformedSecurityHeader")


def test_the_signature_of_a_deleted_account_is_worth_nothing(
    emulator: RunningEmulator, signing: storage.Blob
) -> None:
    url = _sign(signing)
    accounts = emulator.emulator.service(IamApi).accounts
    emulator.call(accounts.delete, emulator.call(accounts.find, ACCOUNT))
    assert _code(emulator.session(None).get(url)) == (403, "SignatureDoesNotMatch")


def test_the_older_signature_is_refused_honestly(emulator: RunningEmulator, signing: storage.Blob) -> None:
    url = signing.generate_signed_url(version="v2", expiration=datetime.timedelta(seconds=60))
    assert _code(emulator.session(None).get(url)) == (400, "NotImplemented")
    emulator.expect_unhandled(f"GET {HOST}/things/dir/a%20b.txt")
