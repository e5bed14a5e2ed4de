"""The module storage_static_retention: what no kept release refers to goes, and only what a list names."""

from __future__ import annotations

from typing import Any

from tests.integration.cloud import PROJECT, REGION, Cloud

BUCKET = f"{PROJECT}-old-static"
OBJECTS = f"storage.googleapis.com/storage/v1/b/{BUCKET}/o"
MARK = {"site": "polls", "region": REGION}
IMAGE = f"{REGION}-docker.pkg.dev/{PROJECT}/polls/polls@sha256:"
OLD, NEW, LOST = ("a" * 64, "b" * 64, "c" * 64)


def put(cloud: Cloud, name: str, content: Any = "x") -> None:
    url = f"storage.googleapis.com/upload/storage/v1/b/{BUCKET}/o"
    cloud.api(f"{url}?uploadType=media&name={name.replace('/', '%2F')}", method="POST", body=content)


def names(cloud: Cloud) -> set[str]:
    return {one["name"] for one in cloud.api(OBJECTS).get("items", [])}


def filled(cloud: Cloud) -> None:
    """Files of two releases, of which one is of both, and one that somebody else put there."""
    cloud.ok(
        "storage_buckets",
        buckets=[{"name": BUCKET, "location": REGION, "purpose": "static"}],
        mark=MARK,
    )
    for name in ("site.1.css", "site.2.css", "logo.png", "by-hand.txt"):
        put(cloud, name)
    put(cloud, f".collected/{OLD}.json", {"files": ["site.1.css", "logo.png", "absent.css"]})
    put(cloud, f".collected/{NEW}.json", {"files": ["site.2.css", "logo.png"]})


def test_only_what_a_list_names_and_no_kept_one_goes(cloud: Cloud) -> None:
    filled(cloud)
    before = names(cloud)
    asked = {"bucket": BUCKET, "kept": [IMAGE + NEW], "older_than_days": 0, "mark": MARK}
    assert cloud.ok("storage_static_retention", **{**asked, "older_than_days": 1})["changed"] is False

    planned = cloud.ok("storage_static_retention", check=True, **asked)
    assert planned["files"] == ["site.1.css"]
    assert planned["actions"] == [
        f"delete 1 static files of gs://{BUCKET} ({planned['bytes']} bytes)",
        f"delete the list of static files gs://{BUCKET}/.collected/{OLD}.json",
    ]
    assert f"gs://{BUCKET}/site.1.css ({planned['bytes']} bytes)\n" in planned["diff"]["before"]
    assert names(cloud) == before

    assert cloud.ok("storage_static_retention", **asked)["files"] == planned["files"]
    assert before - names(cloud) == {"site.1.css", f".collected/{OLD}.json"}
    assert cloud.ok("storage_static_retention", **asked)["changed"] is False


def test_nothing_goes_when_a_kept_release_has_no_list(cloud: Cloud) -> None:
    filled(cloud)
    before = names(cloud)
    asked = {"bucket": BUCKET, "kept": [IMAGE + NEW, IMAGE + LOST], "older_than_days": 0, "mark": MARK}
    done = cloud.ok("storage_static_retention", **asked)
    assert done["changed"] is False
    assert done["reason"].startswith(f"no list tells which files of gs://{BUCKET} {IMAGE}{LOST} needs")
    assert names(cloud) == before


def test_nothing_goes_from_a_bucket_that_is_not_the_sites_or_not_there(cloud: Cloud) -> None:
    filled(cloud)
    before = names(cloud)
    asked = {"kept": [], "older_than_days": 0, "mark": {"site": "other", "region": REGION}}
    done = cloud.ok("storage_static_retention", bucket=BUCKET, **asked)
    assert (done["changed"], done["reason"]) == (False, f"gs://{BUCKET} is somebody else's.")
    assert names(cloud) == before
    absent = cloud.ok("storage_static_retention", bucket=f"{PROJECT}-no-static", **asked)
    assert (absent["changed"], absent["reason"]) == (False, "")
