"""Objects through the JSON API: uploads, downloads, conditions, versions, listing, copies."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import google_crc32c
import pytest
import requests
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.identity import Identity
from gcp_emulator.services.storage.api import Storage

from emulator.tests.running import PROJECT, RunningEmulator

HOST = "https://storage.googleapis.com"
API = f"{HOST}/storage/v1/b/things"
UPLOAD = f"{HOST}/upload/storage/v1/b/things/o"
BUCKET = "projects/_/buckets/things"
WRITER = "user:writer@example.com"
NOT_MET = (412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    """The owner's session; the bucket ``things`` is there."""
    session = emulator.session()
    body = {"name": "things", "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}
    assert session.post(f"{HOST}/storage/v1/b?project={PROJECT}", json=body).status_code == 200
    return session


def _put(session: requests.Session, name: str, data: bytes = b"data", **params: Any) -> dict[str, Any]:
    query = {"uploadType": "media", "name": name, **params}
    answer = session.post(UPLOAD, params=query, data=data, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _url(name: str) -> str:
    return f"{API}/o/{quote(name, safe='')}"


def _media(session: requests.Session, name: str, **options: Any) -> requests.Response:
    return session.get(f"{HOST}/download/storage/v1/b/things/o/{quote(name, safe='')}?alt=media", **options)


def _error(answer: requests.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["errors"][0]["reason"], error["message"]


def _multipart(metadata: Any, media: bytes, content_type: str = "image/png") -> dict[str, Any]:
    head = b"--sep\r\nContent-Type: application/json\r\n\r\n" + json.dumps(metadata).encode()
    body = (
        head
        + b"\r\n--sep\r\nContent-Type: "
        + content_type.encode()
        + b"\r\n\r\n"
        + media
        + b"\r\n--sep--\r\n"
    )
    return {"data": body, "headers": {"Content-Type": 'multipart/related; boundary="sep"'}}


def _files(emulator: RunningEmulator) -> list[str]:
    folder = emulator.emulator.settings.state / "storage"
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_an_uploaded_object_shows_its_digests(session: requests.Session) -> None:
    data = b"hello world"
    shown = _put(session, "a/b c?.txt", data)
    assert shown["name"] == "a/b c?.txt"
    assert shown["id"] == f"things/a/b c?.txt/{shown['generation']}"
    assert (shown["size"], shown["contentType"], shown["metageneration"]) == ("11", "text/plain", "1")
    assert shown["md5Hash"] == base64.b64encode(hashlib.md5(data).digest()).decode()
    assert shown["crc32c"] == base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
    assert shown == session.get(_url("a/b c?.txt")).json()
    assert session.get(shown["mediaLink"]).content == data
    assert session.get(_url("a/b c?.txt") + "?alt=media").content == data


def test_a_multipart_upload_stores_metadata_and_any_bytes(session: requests.Session) -> None:
    media = b"\r\n--se\r\n" + bytes(range(256)) * 2000 + b"\r\n--"
    metadata = {"name": "pic", "cacheControl": "no-store", "metadata": {"who": "me"}}
    answer = session.post(f"{UPLOAD}?uploadType=multipart", **_multipart(metadata, media))
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["contentType"], shown["cacheControl"]) == ("image/png", "no-store")
    assert shown["metadata"] == {"who": "me"}
    got = _media(session, "pic")
    assert got.content == media
    assert got.headers["x-goog-meta-who"] == "me"
    assert got.headers["Cache-Control"] == "no-store"


def test_a_multipart_body_as_gcloud_writes_it_is_understood(session: requests.Session) -> None:
    body = b'--sep\nContent-Type: application/json\nMIME-Version: 1.0\n\n{"name": "x"}\n--sep\nContent-Type: text/x\n\none\r\n--sep--'
    headers = {"Content-Type": "multipart/related; boundary='sep'"}
    answer = session.post(f"{UPLOAD}?uploadType=multipart", data=body, headers=headers)
    assert (answer.status_code, answer.json()["contentType"]) == (200, "text/x")
    assert _media(session, "x").content == b"one\r"


def test_a_wrong_digest_stores_nothing(emulator: RunningEmulator, session: requests.Session) -> None:
    for field, label, actual in (
        ("md5Hash", "MD5 hash", base64.b64encode(hashlib.md5(b"real").digest()).decode()),
        ("crc32c", "CRC32C", base64.b64encode(google_crc32c.Checksum(b"real").digest()).decode()),
    ):
        answer = session.post(
            f"{UPLOAD}?uploadType=multipart", **_multipart({"name": "x", field: "AAAA"}, b"real")
        )
        text = f'Provided {label} "AAAA" doesn\'t match calculated {label} "{actual}".'
        assert _error(answer) == (400, "invalid", text)
    assert session.get(_url("x")).status_code == 404
    assert _files(emulator) == []


def test_malformed_uploads_are_refused(session: requests.Session) -> None:
    truncated = _multipart({"name": "x"}, b"data")
    truncated["data"] = truncated["data"][:-20]
    assert (
        _error(session.post(f"{UPLOAD}?uploadType=multipart", **truncated))[2] == "Malformed multipart body."
    )
    assert _error(session.post(f"{UPLOAD}?uploadType=media", data=b"x")) == (400, "required", "Required")
    assert _error(session.post(f"{API}/o?name=x", json={}))[1] == "wrongUrlForUpload"
    long = session.post(f"{UPLOAD}?uploadType=media&name={'n' * 1025}", data=b"x")
    assert _error(long) == (400, "invalid", f"Invalid object name: '{'n' * 100}'")
    broken = session.post(f"{UPLOAD}?uploadType=multipart", **_multipart({"name": "a\ud800"}, b"x"))
    assert _error(broken)[:2] == (400, "parseError")
    assert "surrogates" in _error(broken)[2]


def _begin(session: requests.Session, name: str = "big", **headers: str) -> str:
    answer = session.post(f"{UPLOAD}?uploadType=resumable&name={name}", json={}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["Location"]


def test_a_resumable_upload_in_chunks_can_be_asked_and_resumed(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    data = bytes(range(256)) * 4096  # 1 MiB
    address = _begin(session, **{"X-Upload-Content-Type": "video/mp4"})
    anonymous = emulator.session(None)
    chunk = 256 * 1024
    first = anonymous.put(address, data=data[:chunk], headers={"Content-Range": f"bytes 0-{chunk - 1}/*"})
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{chunk - 1}")
    odd = chunk + 1000
    second = anonymous.put(
        address,
        data=data[chunk : chunk + odd],
        headers={"Content-Range": f"bytes {chunk}-{chunk + odd - 1}/*"},
    )
    assert second.headers["Range"] == f"bytes=0-{2 * chunk - 1}"
    asked = anonymous.put(address, headers={"Content-Range": "bytes */*"})
    assert (asked.status_code, asked.headers["Range"]) == (308, f"bytes=0-{2 * chunk - 1}")
    ahead = anonymous.put(address, data=b"x", headers={"Content-Range": "bytes 900000-900000/1048576"})
    assert _error(ahead)[2] == (
        "Invalid request. According to the Content-Range header, the upload offset is 900000 byte(s), "
        "which exceeds already uploaded size of 524288 byte(s)."
    )
    # An overlap with what is there is skipped.
    last = anonymous.put(
        address, data=data[chunk:], headers={"Content-Range": f"bytes {chunk}-{len(data) - 1}/{len(data)}"}
    )
    assert (last.status_code, last.json()["size"]) == (200, str(len(data)))
    assert last.json()["contentType"] == "video/mp4"
    assert anonymous.put(address, headers={"Content-Range": "bytes */*"}).json() == last.json()
    assert _media(session, "big").content == data


def test_a_resumable_upload_survives_a_restart(emulator: RunningEmulator, session: requests.Session) -> None:
    data = b"z" * (512 * 1024)
    address = _begin(session)
    half = len(data) // 2
    session.put(address, data=data[:half], headers={"Content-Range": f"bytes 0-{half - 1}/{len(data)}"})
    _put(session, "kept", b"bytes")
    emulator.stop()
    again = RunningEmulator(emulator.emulator.settings.state)
    try:
        after = again.session()
        status = after.put(address, headers={"Content-Range": f"bytes */{len(data)}"})
        assert status.headers["Range"] == f"bytes=0-{half - 1}"
        done = after.put(
            address, data=data[half:], headers={"Content-Range": f"bytes {half}-{len(data) - 1}/{len(data)}"}
        )
        assert done.json()["size"] == str(len(data))
        assert _media(after, "kept").content == b"bytes"
    finally:
        again.stop()


def test_a_start_frees_what_a_killed_emulator_left(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    _put(session, "kept")
    (kept,) = _files(emulator)
    emulator.stop()
    folder = emulator.emulator.settings.state / "storage"
    for name in ("contents/stray", "uploads/stray"):
        (folder / name).write_bytes(b"x")
    again = RunningEmulator(emulator.emulator.settings.state)
    again.stop()
    assert _files(emulator) == [kept]


def test_a_cancelled_upload_is_gone(emulator: RunningEmulator, session: requests.Session) -> None:
    address = _begin(session)
    session.put(address, data=b"x" * 262144, headers={"Content-Range": "bytes 0-262143/*"})
    assert session.delete(address).status_code == 499
    assert session.put(address, headers={"Content-Range": "bytes */*"}).status_code == 404
    assert _files(emulator) == []


def test_an_empty_object_can_be_uploaded_either_way(session: requests.Session) -> None:
    assert _put(session, "empty", b"")["size"] == "0"
    done = session.put(_begin(session, "none"), headers={"Content-Range": "bytes */0"})
    assert done.json()["size"] == "0"
    assert _media(session, "none").content == b""


RANGES = {
    "bytes=0-3": (206, b"0123", "bytes 0-3/10"),
    "bytes=7-": (206, b"789", "bytes 7-9/10"),
    "bytes=-2": (206, b"89", "bytes 8-9/10"),
    "bytes=5-99": (206, b"56789", "bytes 5-9/10"),
    "bytes=0-": (206, b"0123456789", "bytes 0-9/10"),
    "bytes=0-1,4-5": (200, b"0123456789", None),
    "lines=1-2": (200, b"0123456789", None),
}


def test_ranges(session: requests.Session) -> None:
    _put(session, "digits", b"0123456789")
    answers = {asked: _media(session, "digits", headers={"Range": asked}) for asked in RANGES}
    assert {
        k: (a.status_code, a.content, a.headers.get("Content-Range")) for k, a in answers.items()
    } == RANGES


def test_a_range_beyond_the_end_is_416(session: requests.Session) -> None:
    _put(session, "digits", b"0123456789")
    got = _media(session, "digits", headers={"Range": "bytes=10-"})
    assert _error(got) == (416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
    assert got.headers["Content-Range"] == "bytes */10"


def test_downloads_are_conditional(session: requests.Session) -> None:
    _put(session, "x")
    etag = _media(session, "x").headers["ETag"]
    modified = _media(session, "x").headers["Last-Modified"]
    assert _media(session, "x", headers={"If-None-Match": etag}).status_code == 304
    assert _media(session, "x", headers={"If-Modified-Since": modified}).status_code == 304
    assert _error(_media(session, "x", headers={"If-Match": '"other"'})) == NOT_MET
    assert _media(session, "x", headers={"If-Match": etag}).status_code == 200


def test_a_compressed_object_is_decompressed_for_who_cannot(session: requests.Session) -> None:
    _put(session, "page", gzip.compress(b"plain" * 1000), contentEncoding="gzip")
    raw = _media(session, "page", headers={"Accept-Encoding": "gzip"}, stream=True)
    assert raw.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(raw.raw.read(decode_content=False)) == b"plain" * 1000
    plain = _media(session, "page", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.content == b"plain" * 1000


def test_generation_zero_means_only_if_it_is_not_there(session: requests.Session) -> None:
    first = _put(session, "lock", b"me", ifGenerationMatch=0)
    taken = session.post(f"{UPLOAD}?uploadType=media&name=lock&ifGenerationMatch=0", data=b"you")
    assert _error(taken) == NOT_MET
    assert _media(session, "lock").content == b"me"
    _put(session, "lock", b"again", ifGenerationMatch=first["generation"])
    assert _error(session.delete(_url("lock") + f"?ifGenerationMatch={first['generation']}")) == NOT_MET
    assert _error(session.get(_url("lock") + "?ifGenerationMatch=soon"))[:2] == (400, "invalid")


def test_concurrent_creators_have_one_winner(emulator: RunningEmulator, session: requests.Session) -> None:
    sessions = [emulator.session() for _ in range(8)]

    def create(index: int) -> int:
        url = f"{UPLOAD}?uploadType=media&name=lock&ifGenerationMatch=0"
        return sessions[index].post(url, data=b"%d" % index * 100_000).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(create, range(8)))
    assert codes == [200] + [412] * 7
    assert len(_files(emulator)) == 1


def test_metadata_is_patched_and_replaced(session: requests.Session) -> None:
    _put(session, "x")
    patched = session.patch(_url("x"), json={"cacheControl": "no-cache", "metadata": {"a": "1"}}).json()
    assert (patched["metageneration"], patched["cacheControl"]) == ("2", "no-cache")
    assert patched["contentType"] == "text/plain"
    replaced = session.put(_url("x"), json={"contentType": "text/css"}).json()
    assert (replaced["contentType"], replaced["metageneration"]) == ("text/css", "3")
    assert "cacheControl" not in replaced
    assert "metadata" not in replaced


@pytest.fixture
def tree(session: requests.Session) -> requests.Session:
    for name in ("a.txt", "dir/", "dir/b.txt", "dir/sub/c.txt", "other/d.txt", "z.txt"):
        _put(session, name)
    return session


def _names(page: dict[str, Any]) -> tuple[list[str], list[str]]:
    return [item["name"] for item in page.get("items", [])], page.get("prefixes", [])


LISTINGS = {
    "delimiter=/": (["a.txt", "z.txt"], ["dir/", "other/"]),
    "delimiter=/&prefix=dir/": (["dir/", "dir/b.txt"], ["dir/sub/"]),
    "delimiter=/&includeTrailingDelimiter=true": (["a.txt", "dir/", "z.txt"], ["dir/", "other/"]),
    "prefix=dir/sub": (["dir/sub/c.txt"], []),
    "startOffset=dir/c&endOffset=z": (["dir/sub/c.txt", "other/d.txt"], []),
    "prefix=none": ([], []),
}


def _pages(session: requests.Session, query: str) -> Iterator[tuple[list[str], list[str]]]:
    token = ""
    while True:
        page = session.get(f"{API}/o?{query}&maxResults=1&pageToken={token}").json()
        yield _names(page)
        token = page.get("nextPageToken")
        if not token:
            return


def test_listings_whole_and_in_pages_of_one(tree: requests.Session) -> None:
    for query, whole in LISTINGS.items():
        assert _names(tree.get(f"{API}/o?{query}").json()) == whole, query
        pages = list(_pages(tree, query))
        assert [len(items) + len(prefixes) for items, prefixes in pages if whole != ([], [])] == (
            [1] * (len(whole[0]) + len(whole[1]))
        ), query
        assert [name for items, _ in pages for name in items] == whole[0]
        assert [prefix for _, prefixes in pages for prefix in prefixes] == whole[1]
    assert _error(tree.get(f"{API}/o?pageToken=nonsense")) == (400, "invalid", "Invalid pageToken.")


def test_overwritten_and_deleted_bytes_are_freed(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    _put(session, "x", b"one")
    _put(session, "x", b"two")
    assert len(_files(emulator)) == 1
    assert session.delete(_url("x")).status_code == 204
    assert _files(emulator) == []
    assert _error(session.delete(_url("x"))) == (404, "notFound", "No such object: things/x")


def test_a_versioned_bucket_keeps_what_was(emulator: RunningEmulator, session: requests.Session) -> None:
    session.patch(API, json={"versioning": {"enabled": True}})
    old, new = _put(session, "x", b"old"), _put(session, "x", b"new")
    assert session.get(f"{_url('x')}?alt=media&generation={old['generation']}").content == b"old"
    assert session.delete(_url("x")).status_code == 204
    assert session.get(_url("x")).status_code == 404
    versions = session.get(f"{API}/o?versions=true").json()["items"]
    assert [v["generation"] for v in versions] == [old["generation"], new["generation"]]
    assert all("timeDeleted" in v for v in versions)
    assert "items" not in session.get(f"{API}/o").json()
    assert session.delete(API).status_code == 409
    for version in versions:
        assert session.delete(f"{_url('x')}?generation={version['generation']}").status_code == 204
    assert _files(emulator) == []
    assert session.delete(API).status_code == 204


def test_copies_keep_metadata_unless_told(session: requests.Session) -> None:
    _put(session, "x", b"bytes")
    session.patch(_url("x"), json={"metadata": {"a": "1"}, "cacheControl": "no-cache"})
    copied = session.post(f"{_url('x')}/copyTo/b/things/o/y", json={}).json()
    assert (copied["metadata"], copied["cacheControl"], copied["size"]) == ({"a": "1"}, "no-cache", "5")
    rewritten = session.post(f"{_url('x')}/rewriteTo/b/things/o/z", json={"metadata": {"b": "2"}}).json()
    assert (rewritten["done"], rewritten["totalBytesRewritten"]) == (True, "5")
    assert rewritten["resource"]["metadata"] == {"b": "2"}
    assert "cacheControl" not in rewritten["resource"]
    session.delete(_url("x"))
    assert [_media(session, name).content for name in "yz"] == [b"bytes", b"bytes"]


def test_compose_concatenates(session: requests.Session) -> None:
    for name in "abc":
        _put(session, name, name.encode() * 3)
    body = {"sourceObjects": [{"name": n} for n in "cab"], "destination": {"contentType": "text/x"}}
    made = session.post(f"{_url('all')}/compose", json=body).json()
    assert (made["componentCount"], made["size"], made["contentType"]) == (3, "9", "text/x")
    assert "md5Hash" not in made
    assert _media(session, "all").content == b"cccaaabbb"
    none = session.post(f"{_url('all')}/compose", json={"sourceObjects": []})
    assert _error(none)[2] == "The number of source components provided (0) must be between 1 and 32"


def test_creators_cannot_overwrite_read_or_list(emulator: RunningEmulator, session: requests.Session) -> None:
    emulator.grant(BUCKET, "roles/storage.objectCreator", WRITER)
    writer = emulator.session(WRITER)
    _put(writer, "x", b"one")
    again = writer.post(f"{UPLOAD}?uploadType=media&name=x", data=b"two")
    assert _error(again) == (
        403,
        "forbidden",
        "writer@example.com does not have storage.objects.delete access to the Google Cloud Storage object. "
        "Permission 'storage.objects.delete' denied on resource (or it may not exist).",
    )
    assert writer.get(_url("x")).status_code == 403
    assert writer.get(f"{API}/o").status_code == 403
    assert _media(session, "x").content == b"one"


def test_who_may_not_list_does_not_learn_what_is_missing(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    emulator.grant(BUCKET, "roles/storage.legacyObjectReader", WRITER)
    answer = emulator.session(WRITER).get(_url("missing"))
    assert _error(answer)[0] == 403
    assert "storage.objects.list access to the Google Cloud Storage bucket" in _error(answer)[2]


def test_retention_and_holds_keep_objects(session: requests.Session) -> None:
    held = session.post(
        f"{UPLOAD}?uploadType=multipart", **_multipart({"name": "h", "temporaryHold": True}, b"x")
    )
    assert held.status_code == 200
    assert _error(session.delete(_url("h")))[2] == (
        "Object 'things/h' is under active Temporary hold and cannot be deleted, overwritten or archived until hold is removed."
    )
    session.patch(API, json={"retentionPolicy": {"retentionPeriod": "3600"}})
    _put(session, "r")
    refused = session.delete(_url("r"))
    assert _error(refused)[:2] == (403, "retentionPolicyNotMet")


def test_customer_keys_are_refused_rather_than_ignored(session: requests.Session) -> None:
    headers = {"x-goog-encryption-algorithm": "AES256"}
    answer = session.post(f"{UPLOAD}?uploadType=media&name=x", data=b"x", headers=headers)
    assert _error(answer)[2] == (
        "gcp-emulator does not emulate encryption keys of the customer (x-goog-encryption-algorithm); nothing was done."
    )


def test_other_services_read_and_write_as_an_identity(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    storage = emulator.emulator.service(Storage)
    writer = Identity(WRITER)
    with pytest.raises(ApiError, match=r"does not have storage\.objects\.create access"):
        emulator.run(storage.write_object("things", "log", b"lines", identity=writer))
    emulator.grant(BUCKET, "roles/storage.objectCreator", WRITER)
    made = emulator.run(
        storage.write_object("things", "log", b"lines", identity=writer, content_type="text/plain")
    )
    assert made["contentType"] == "text/plain"
    assert _media(session, "log").content == b"lines"
    with pytest.raises(ApiError, match=r"does not have storage\.objects\.get access"):
        emulator.call(storage.read_object, "things", "log", identity=writer)
    emulator.grant(BUCKET, "roles/storage.objectViewer", WRITER)
    assert emulator.call(storage.read_object, "things", "log", identity=writer).path.read_bytes() == b"lines"
