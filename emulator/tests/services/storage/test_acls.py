"""Access control lists: what is there without anybody asking, what they allow, and how they are changed."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

API = "https://storage.googleapis.com/storage/v1"
BUCKET = f"{API}/b/listed-bucket"
UPLOAD = "https://storage.googleapis.com/upload/storage/v1/b/listed-bucket/o?uploadType=media"
FRIEND = "user:friend@example.com"


@pytest.fixture
def owner(emulator: RunningEmulator) -> requests.Session:
    """The owner of a bucket without uniform access."""
    session = emulator.session()
    made = session.post(f"{API}/b?project={PROJECT}", json={"name": "listed-bucket"})
    assert made.status_code == 200, made.text
    return session


def upload(session: requests.Session, name: str, **query: str) -> dict[str, Any]:
    answer = session.post(UPLOAD, params={"name": name, **query}, data=b"hello")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def short(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["entity"], entry["role"]) for entry in entries]


def teams(number: str) -> list[tuple[str, str]]:
    return [
        (f"project-owners-{number}", "OWNER"),
        (f"project-editors-{number}", "OWNER"),
        (f"project-viewers-{number}", "READER"),
    ]


def test_the_lists_that_a_bucket_begins_with(emulator: RunningEmulator, owner: requests.Session) -> None:
    full = owner.get(BUCKET, params={"projection": "full"}).json()
    number = emulator.number
    assert short(full["acl"]) == teams(number)
    first = full["acl"][0]
    assert first.pop("etag")
    assert first == {
        "kind": "storage#bucketAccessControl",
        "id": f"listed-bucket/project-owners-{number}",
        "selfLink": f"https://www.googleapis.com/storage/v1/b/listed-bucket/acl/project-owners-{number}",
        "bucket": "listed-bucket",
        "entity": f"project-owners-{number}",
        "role": "OWNER",
        "projectTeam": {"projectNumber": number, "team": "owners"},
    }
    assert short(full["defaultObjectAcl"]) == teams(number)
    assert full["defaultObjectAcl"][2]["kind"] == "storage#objectAccessControl"
    assert not {"id", "selfLink", "bucket"} & set(full["defaultObjectAcl"][2])
    assert full["owner"] == {"entity": f"project-owners-{number}"}
    # get leaves them out unless it is asked for them, patch tells them (recorded).
    assert not {"acl", "defaultObjectAcl", "owner"} & set(owner.get(BUCKET).json())
    assert (
        owner.patch(BUCKET, json={"labels": {"a": "b"}}).json()["acl"]
        == owner.get(f"{BUCKET}/acl").json()["items"]
    )
    kept = owner.patch(BUCKET, params={"projection": "noAcl"}, json={"labels": {"a": "c"}}).json()
    assert "acl" not in kept


def test_uniform_access_hides_them(owner: requests.Session) -> None:
    uniform = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}
    assert not {"acl", "defaultObjectAcl", "owner"} & set(owner.patch(BUCKET, json=uniform).json())
    assert owner.get(f"{BUCKET}/defaultObjectAcl").status_code == 400


def test_the_list_of_a_bucket_is_its_policy(emulator: RunningEmulator, owner: requests.Session) -> None:
    friend = emulator.session(FRIEND)
    assert friend.get(f"{BUCKET}/o").status_code == 403
    entry = {"entity": "user-friend@example.com", "role": "READER"}
    made = owner.post(f"{BUCKET}/acl", json=entry).json()
    assert (made["email"], made["role"]) == ("friend@example.com", "READER")
    assert friend.get(f"{BUCKET}/o").status_code == 200
    bindings = owner.get(f"{BUCKET}/iam").json()["bindings"]
    assert {
        "role": "roles/storage.legacyBucketReader",
        "members": [f"projectViewer:{PROJECT}", FRIEND],
    } in bindings
    one = f"{BUCKET}/acl/user-friend@example.com"
    assert owner.patch(one, json={"role": "WRITER"}).json()["role"] == "WRITER"
    assert upload(friend, "theirs")["name"] == "theirs"
    assert owner.delete(one).status_code == 204
    assert owner.get(one).status_code == 404
    assert friend.get(f"{BUCKET}/o").status_code == 403


def test_the_list_of_an_object_opens_it(emulator: RunningEmulator, owner: requests.Session) -> None:
    upload(owner, "page.html")
    url = f"{BUCKET}/o/page.html"
    full = owner.get(url, params={"projection": "full"}).json()
    mine = ("user-owner@example.com", "OWNER")
    assert short(full["acl"]) == [*teams(emulator.number), mine]
    assert full["owner"] == {"entity": "user-owner@example.com"}
    assert full["acl"][3]["id"] == f"listed-bucket/page.html/{full['generation']}/user-owner@example.com"
    anybody = emulator.session(None)
    public = "https://storage.googleapis.com/listed-bucket/page.html"
    assert anybody.get(public).status_code == 403
    made = owner.post(f"{url}/acl", json={"entity": "allUsers", "role": "READER"}).json()
    assert (made["entity"], made["object"], made["generation"]) == (
        "allUsers",
        "page.html",
        full["generation"],
    )
    assert anybody.get(public).content == b"hello"
    assert anybody.delete(public).status_code == 403
    assert owner.delete(f"{url}/acl/allUsers").status_code == 204
    assert anybody.get(public).status_code == 403
    # An owner cannot be taken out.
    changed = owner.patch(url, json={"acl": [{"entity": "allAuthenticatedUsers", "role": "READER"}]}).json()
    assert short(changed["acl"]) == [("allAuthenticatedUsers", "READER"), mine]


def test_an_upload_tells_lists_where_it_is_asked_to(
    emulator: RunningEmulator, owner: requests.Session
) -> None:
    assert "acl" not in upload(owner, "one")
    told = upload(owner, "two", projection="full")
    assert short(told["acl"])[-1] == ("user-owner@example.com", "OWNER")
    session = owner.post(
        "https://storage.googleapis.com/upload/storage/v1/b/listed-bucket/o?uploadType=resumable",
        json={"name": "three", "acl": [{"entity": "allUsers", "role": "READER"}]},
    )
    finished = owner.put(session.headers["location"], data=b"hello").json()
    assert short(finished["acl"]) == [("allUsers", "READER"), ("user-owner@example.com", "OWNER")]


def test_predefined_lists(emulator: RunningEmulator, owner: requests.Session) -> None:
    upload(owner, "open", predefinedAcl="publicRead")
    upload(owner, "shut", predefinedAcl="private")
    anybody = emulator.session(None)
    base = "https://storage.googleapis.com/listed-bucket"
    assert [anybody.get(f"{base}/{name}").status_code for name in ("open", "shut")] == [200, 403]
    assert owner.put(f"{base}/xml", data=b"x", headers={"x-goog-acl": "public-read"}).status_code == 200
    assert anybody.get(f"{base}/xml").content == b"x"
    changed = owner.patch(BUCKET, params={"predefinedDefaultObjectAcl": "publicRead"}, json={}).json()
    assert short(changed["defaultObjectAcl"]) == [("allUsers", "READER")]
    upload(owner, "later")
    assert anybody.get(f"{base}/later").status_code == 200


def test_public_access_prevention_rules_over_lists(
    emulator: RunningEmulator, owner: requests.Session
) -> None:
    upload(owner, "open", predefinedAcl="publicRead")
    owner.patch(BUCKET, json={"iamConfiguration": {"publicAccessPrevention": "enforced"}})
    public = "https://storage.googleapis.com/listed-bucket/open"
    assert emulator.session(None).get(public).status_code in (401, 403)
    for kind in ("acl", "defaultObjectAcl", "o/open/acl"):
        refused = owner.post(f"{BUCKET}/{kind}", json={"entity": "allUsers", "role": "READER"})
        assert refused.status_code == 412, kind


@pytest.mark.parametrize(
    "entry",
    [
        {"entity": "somebody", "role": "READER"},
        {"entity": "allUsers", "role": "WRITER"},
        {"entity": "project-owners-no-such-project", "role": "READER"},
    ],
)
def test_entries_that_cannot_be(owner: requests.Session, entry: dict[str, str]) -> None:
    assert owner.post(f"{BUCKET}/defaultObjectAcl", json=entry).status_code == 400


def test_a_stranger_reads_no_lists(emulator: RunningEmulator, owner: requests.Session) -> None:
    upload(owner, "page.html", predefinedAcl="publicRead")
    stranger = emulator.session("user:stranger@example.com")
    for kind in ("acl", "defaultObjectAcl", "o/page.html/acl"):
        assert stranger.get(f"{BUCKET}/{kind}").status_code == 403, kind
