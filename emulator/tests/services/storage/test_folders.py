"""Folders of a hierarchical namespace, and managed folders."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

API = "https://storage.googleapis.com/storage/v1"
BUCKET = f"{API}/b/deep-bucket"


@pytest.fixture
def owner(emulator: RunningEmulator) -> requests.Session:
    """The owner of a bucket with a hierarchical namespace."""
    session = emulator.session()
    body = {
        "name": "deep-bucket",
        "hierarchicalNamespace": {"enabled": True},
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
    }
    assert session.post(f"{API}/b?project={PROJECT}", json=body).status_code == 200
    return session


def ok(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_life_of_a_folder(owner: requests.Session) -> None:
    made = ok(owner.post(f"{BUCKET}/folders", json={"name": "media"}))
    times = {made.pop("createTime"), made.pop("updateTime")}
    assert len(times) == 1
    assert made == {
        "kind": "storage#folder",
        "id": "deep-bucket/media/",
        "selfLink": "https://www.googleapis.com/storage/v1/b/deep-bucket/folders/media",
        "bucket": "deep-bucket",
        "name": "media/",
        "metageneration": "1",
    }
    assert owner.post(f"{BUCKET}/folders", json={"name": "media/"}).status_code == 409
    assert owner.post(f"{BUCKET}/folders", json={"name": "a/b/c"}).status_code == 409
    ok(owner.post(f"{BUCKET}/folders", params={"recursive": "true"}, json={"name": "a/b/c"}))
    names = [one["name"] for one in ok(owner.get(f"{BUCKET}/folders"))["items"]]
    assert names == ["a/", "a/b/", "a/b/c/", "media/"]
    assert [
        one["name"] for one in ok(owner.get(f"{BUCKET}/folders", params={"prefix": "a/b"}))["items"]
    ] == names[1:3]
    assert owner.delete(f"{BUCKET}/folders/a%2F").status_code == 409
    assert owner.delete(BUCKET).status_code == 409
    for name in ("a%2Fb%2Fc%2F", "a%2Fb", "a", "media"):
        assert owner.delete(f"{BUCKET}/folders/{name}").status_code == 204
    assert owner.get(f"{BUCKET}/folders/media").status_code == 404
    assert owner.delete(BUCKET).status_code == 204


def test_a_managed_folder_may_go_with_objects_in_it(owner: requests.Session) -> None:
    ok(owner.post(f"{BUCKET}/managedFolders", json={"name": "kept/"}))
    upload = "https://storage.googleapis.com/upload/storage/v1/b/deep-bucket/o?uploadType=media&name=kept/a"
    ok(owner.post(upload, data=b"x"))
    url = f"{BUCKET}/managedFolders/kept%2F"
    assert ok(owner.get(url))["kind"] == "storage#managedFolder"
    assert owner.delete(url).status_code == 409
    assert (
        owner.delete(url, params={"ifMetagenerationMatch": "7", "allowNonEmpty": "true"}).status_code == 412
    )
    assert owner.delete(url, params={"allowNonEmpty": "true"}).status_code == 204
    assert ok(owner.get(f"{BUCKET}/managedFolders")) == {"kind": "storage#managedFolders"}
    assert ok(owner.get(f"{BUCKET}/o/kept%2Fa"))["name"] == "kept/a"


def test_which_buckets_have_them(emulator: RunningEmulator) -> None:
    owner = emulator.session()
    ok(owner.post(f"{API}/b?project={PROJECT}", json={"name": "flat-bucket"}))
    for kind in ("folders", "managedFolders"):
        assert owner.post(f"{API}/b/flat-bucket/{kind}", json={"name": "x/"}).status_code == 400


@pytest.mark.parametrize("name", ["", "/", "/a", "a//b", "x" * 600])
def test_names_that_cannot_be(owner: requests.Session, name: str) -> None:
    assert owner.post(f"{BUCKET}/managedFolders", json={"name": name}).status_code == 400


def test_a_stranger_sees_none(emulator: RunningEmulator, owner: requests.Session) -> None:
    stranger = emulator.session("user:stranger@example.com")
    assert stranger.get(f"{BUCKET}/folders").status_code == 403
    assert stranger.post(f"{BUCKET}/managedFolders", json={"name": "x/"}).status_code == 403
