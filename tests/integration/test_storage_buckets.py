"""The module storage_buckets."""

from __future__ import annotations

from tests.integration.cloud import NOBODY, OTHER_PROJECT, PROJECT, REGION, STRANGER, Cloud

URL = "storage.googleapis.com/storage/v1/b"


def bucket(name: str, **options: object) -> dict[str, object]:
    return {"buckets": [{"name": f"{PROJECT}-{name}", "location": REGION, **options}]}


def test_the_life_of_a_bucket(cloud: Cloud) -> None:
    name, before = f"{PROJECT}-life", cloud.resources()
    asked = bucket("life", labels={"site": "polls"}, versioning=True, public_access_prevention="enforced")

    planned = cloud.ok("storage_buckets", check=True, **asked)
    assert planned["actions"] == [f"create bucket {name}"]
    assert cloud.resources() == before

    assert cloud.ok("storage_buckets", **asked)["changed"] is True
    made = cloud.api(f"{URL}/{name}")
    assert (made["location"], made["labels"]) == ("US-CENTRAL1", {"site": "polls"})
    assert made["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert cloud.ok("storage_buckets", **asked)["changed"] is False

    update = bucket("life", labels={"team": "web"}, versioning=False)
    planned = cloud.ok("storage_buckets", check=True, **update)
    assert planned["diff"][0]["before"] == {
        "location": "US-CENTRAL1",
        "labels": {"site": "polls"},
        "versioning": True,
    }
    assert planned["diff"][0]["after"]["labels"] == {"team": "web"}
    assert cloud.api(f"{URL}/{name}") == made
    assert cloud.ok("storage_buckets", **update)["actions"] == [f"update bucket {name}"]
    changed = cloud.api(f"{URL}/{name}")
    assert (changed["labels"], changed["versioning"]) == ({"team": "web"}, {"enabled": False})
    assert changed["iamConfiguration"]["publicAccessPrevention"] == "enforced", "not asked, so left alone"
    assert cloud.ok("storage_buckets", **update)["changed"] is False

    assert cloud.ok("storage_buckets", **bucket("life", state="absent"))["actions"] == [
        f"delete bucket {name}"
    ]
    assert cloud.absent(f"{URL}/{name}")
    assert cloud.ok("storage_buckets", **bucket("life", state="absent"))["changed"] is False


def test_lists_of_rules_are_exactly_what_is_asked(cloud: Cloud) -> None:
    delete = {"action": {"type": "Delete"}, "condition": {"num_newer_versions": 3, "is_live": False}}
    old = {"action": {"type": "Delete"}, "condition": {"age": 0}}
    cors = {"origin": ["https://polls.example.com"], "method": ["GET"], "max_age_seconds": 60}
    both = bucket("rules", lifecycle_rules=[delete, old], cors=[cors], soft_delete_seconds=0)
    cloud.ok("storage_buckets", **both)
    made = cloud.api(f"{URL}/{PROJECT}-rules")
    assert made["lifecycle"]["rule"] == [
        {"action": {"type": "Delete"}, "condition": {"numNewerVersions": 3, "isLive": False}},
        {"action": {"type": "Delete"}, "condition": {"age": 0}},
    ]
    assert made["softDeletePolicy"]["retentionDurationSeconds"] == "0"
    assert cloud.ok("storage_buckets", **bucket("rules", lifecycle_rules=[old, delete]))["changed"] is False
    assert cloud.ok("storage_buckets", **bucket("rules", lifecycle_rules=[old]))["changed"] is True
    assert len(cloud.api(f"{URL}/{PROJECT}-rules")["lifecycle"]["rule"]) == 1
    assert cloud.ok("storage_buckets", **bucket("rules", lifecycle_rules=[], cors=[]))["changed"] is True
    emptied = cloud.api(f"{URL}/{PROJECT}-rules")
    assert (emptied.get("lifecycle", {}).get("rule", []), emptied.get("cors", [])) == ([], [])
    assert cloud.ok("storage_buckets", **bucket("rules", lifecycle_rules=[], cors=[]))["changed"] is False


def test_the_location_of_a_bucket_cannot_change(cloud: Cloud) -> None:
    cloud.ok("storage_buckets", **bucket("placed"))
    assert cloud.error("storage_buckets", **bucket("placed", location="europe-west1")) == (
        f"Failed to update bucket {PROJECT}-placed: Google Cloud cannot change location from 'US-CENTRAL1' to "
        "'europe-west1'. Choose another bucket name, or move the objects away, delete the bucket and run again."
    )


def test_a_bucket_that_holds_objects_is_not_deleted(cloud: Cloud) -> None:
    cloud.ok("storage_buckets", **bucket("full"))
    upload = f"storage.googleapis.com/upload/storage/v1/b/{PROJECT}-full/o?uploadType=media&name=picture"
    cloud.api(upload, method="POST", body={"a": 1})
    assert cloud.error("storage_buckets", **bucket("full", state="absent")) == (
        f"Failed to delete bucket {PROJECT}-full: The bucket you tried to delete is not empty (HTTP 409 conflict). "
        "Delete its objects first, or set a lifecycle rule that does."
    )


def test_a_name_that_another_project_has_is_explained(cloud: Cloud) -> None:
    cloud.running.call(
        cloud.running.context.projects.set_enabled, OTHER_PROJECT, "storage.googleapis.com", enabled=True
    )
    cloud.api(f"{URL}?project={OTHER_PROJECT}", method="POST", body={"name": "taken-bucket"}, user=STRANGER)
    message = cloud.error("storage_buckets", buckets=[{"name": "taken-bucket", "location": REGION}])
    assert message == (
        "Failed to read bucket taken-bucket: owner@example.com does not have storage.buckets.get access to the Google "
        "Cloud Storage bucket. Permission 'storage.buckets.get' denied on resource (or it may not exist) (HTTP 403 "
        "forbidden). All buckets of Google Cloud share one namespace: either this name is taken in another project, so "
        "choose another one, or the caller lacks storage.buckets.get (roles/storage.admin has it)."
    )


def test_a_caller_without_roles_is_told_what_is_missing(cloud: Cloud) -> None:
    cloud.ok("storage_buckets", **bucket("seen"))
    message = cloud.error("storage_buckets", user=NOBODY, **bucket("seen"))
    assert "nobody@example.com does not have storage.buckets.get access" in message
    assert "(roles/storage.admin has it)" in message
