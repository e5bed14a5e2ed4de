"""The static files of a site in their bucket: how many requests a collectstatic takes, and what a browser and others get."""

from __future__ import annotations

import collections
import gzip
import json
import re
from typing import Any

import pytest
import requests

from tests.e2e.rehearsal import PROJECT, Rehearsal

BUCKET = f"{PROJECT}-polls-static"
OBJECTS = f"storage.googleapis.com/storage/v1/b/{BUCKET}/o"
COLLECT = json.dumps({"manage_command": ["collectstatic", "--noinput"]})


def objects(cloud: Rehearsal) -> dict[str, Any]:
    return {one["name"]: one for one in cloud.api(OBJECTS).get("items", [])}


def collected(cloud: Rehearsal) -> dict[str, int]:
    """How many requests of each kind a collectstatic takes."""
    before = max((one["number"] for one in cloud.requests()), default=0)
    run = cloud.playbook("playbooks/manage.yml", "-e", COLLECT)
    assert run.status == 0, run.output
    methods = [one["method"] for one in cloud.requests(before)]
    return dict(collections.Counter(method for method in methods if method.startswith("storage.objects.")))


def stored(cloud: Rehearsal, name: str, encoding: str) -> requests.Response:
    """What a visitor gets, as it comes over the wire."""
    url = f"https://storage.googleapis.com/{BUCKET}/{name}"
    answer = cloud.session().get(url, headers={"Accept-Encoding": encoding}, stream=True, timeout=60)
    assert answer.status_code == 200
    return answer


def test_an_unchanged_collectstatic_takes_one_listing(deployed: Rehearsal) -> None:
    before = objects(deployed)
    assert len(before) > 130
    assert collected(deployed) == {"storage.objects.list": 1}
    assert objects(deployed) == before


def test_a_changed_one_uploads_what_changed_and_an_empty_bucket_each_file_once(deployed: Rehearsal) -> None:
    before = objects(deployed)
    for name in list(before)[:2]:
        deployed.api(f"{OBJECTS}/{name.replace('/', '%2F')}", method="DELETE", status=204)
    assert collected(deployed) == {"storage.objects.list": 1, "storage.objects.insert": 2}
    for name in objects(deployed):
        deployed.api(f"{OBJECTS}/{name.replace('/', '%2F')}", method="DELETE", status=204)
    assert collected(deployed) == {"storage.objects.list": 1, "storage.objects.insert": len(before)}
    after = objects(deployed)
    assert {name: one["md5Hash"] for name, one in after.items()} == {
        name: one["md5Hash"] for name, one in before.items()
    }, "the same bytes each time"


def test_a_release_has_left_the_list_of_its_files(deployed: Rehearsal) -> None:
    image = deployed.service("polls")["template"]["containers"][0]["image"]
    name = f".collected/{image.rpartition('@sha256:')[2]}.json"
    listed = deployed.api(f"{OBJECTS}/{name.replace('/', '%2F')}?alt=media")["files"]
    assert sorted(listed) == sorted(one for one in objects(deployed) if not one.startswith(".collected/"))


@pytest.mark.parametrize("name", ["admin/css/base.css", "admin/js/core.js"])
def test_a_browser_gets_it_compressed_and_others_as_it_was(deployed: Rehearsal, name: str) -> None:
    path = re.compile(re.escape(name).replace(r"\.", r"\.[0-9a-f]{12}\."))
    (hashed,) = [one for one in objects(deployed) if path.fullmatch(one)]
    assert objects(deployed)[hashed]["contentEncoding"] == "gzip"
    packed = stored(deployed, hashed, "gzip")
    plain = stored(deployed, hashed, "identity")
    content = packed.raw.read(decode_content=False)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(content) == plain.raw.read(decode_content=False)
    for answer in (packed, plain):
        assert answer.headers["Content-Type"].startswith("text/")
        assert answer.headers["x-goog-stored-content-encoding"] == "gzip"


def test_what_is_stored_is_a_third_of_the_text(deployed: Rehearsal) -> None:
    texts = [one for one in objects(deployed).values() if one.get("contentEncoding") == "gzip"]
    assert len(texts) > 100
    small = sum(int(one["size"]) for one in texts)
    large = sum(
        len(stored(deployed, one["name"], "identity").content)
        for one in texts
        if not one["name"].startswith(".collected/")
    )
    assert small < large / 2, f"{small} of {large} bytes"
