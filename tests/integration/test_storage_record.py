"""The modules storage_record and storage_records_info: numbered, written once, and read again."""

from __future__ import annotations

from tests.integration.cloud import PROJECT, REGION, Cloud

BUCKET = f"{PROJECT}-records"
OBJECTS = f"storage.googleapis.com/storage/v1/b/{BUCKET}/o"


def test_records_are_written_with_the_next_number_and_read_newest_first(cloud: Cloud) -> None:
    cloud.ok("storage_buckets", buckets=[{"name": BUCKET, "location": REGION}])
    assert cloud.ok("storage_records_info", bucket=BUCKET)["records"] == []

    planned = cloud.ok("storage_record", check=True, bucket=BUCKET, content={"who": "alice"})
    assert (planned["changed"], planned["number"]) == (True, 0)
    assert "items" not in cloud.api(f"{OBJECTS}?prefix=releases/")

    for number, who in enumerate(("alice", "bob", "carol"), 1):
        written = cloud.ok("storage_record", bucket=BUCKET, content={"who": who, "traffic": {"after": "r"}})
        assert written["number"] == number
    assert written["actions"] == [f"write the record gs://{BUCKET}/releases/000003.json"]
    assert cloud.api(f"{OBJECTS}/releases%2F000002.json?alt=media") == {
        "who": "bob",
        "traffic": {"after": "r"},
    }

    found = cloud.ok("storage_records_info", bucket=BUCKET, limit=2)["records"]
    assert [(one["number"], one["who"]) for one in found] == [(3, "carol"), (2, "bob")]


def test_a_bucket_that_is_not_there_has_no_records(cloud: Cloud) -> None:
    assert cloud.ok("storage_records_info", bucket=f"{PROJECT}-no-records")["records"] == []
    assert "(HTTP 404" in cloud.error(
        "storage_record", bucket=f"{PROJECT}-no-records", content={"who": "alice"}
    )


def test_old_records_are_deleted_and_numbers_go_on(cloud: Cloud) -> None:
    cloud.ok("storage_buckets", buckets=[{"name": BUCKET, "location": REGION}])
    for who in ("alice", "bob", "carol"):
        cloud.ok("storage_record", bucket=BUCKET, folder="old", content={"who": who})
    asked = {"bucket": BUCKET, "folder": "old", "state": "absent", "first": 3}
    planned = cloud.ok("storage_record", check=True, **asked)
    assert planned["actions"] == [
        f"delete the record gs://{BUCKET}/old/000002.json",
        f"delete the record gs://{BUCKET}/old/000001.json",
    ]
    assert len(cloud.api(f"{OBJECTS}?prefix=old/")["items"]) == 3
    assert cloud.ok("storage_record", **asked)["diff"] == planned["diff"]
    assert cloud.ok("storage_record", **asked)["changed"] is False
    assert cloud.ok("storage_record", bucket=BUCKET, folder="old", content={"who": "dave"})["number"] == 4
    for options, problem in (
        ({"state": "absent"}, "state is absent but all of the following are missing: first"),
        ({"content": {}, "first": 1}, "first is set: expected state to be absent beside it."),
    ):
        assert cloud.error("storage_record", bucket=BUCKET, **options) == problem


def test_a_folder_is_counted_for_itself(cloud: Cloud) -> None:
    cloud.ok("storage_buckets", buckets=[{"name": BUCKET, "location": REGION}])
    assert cloud.ok("storage_record", bucket=BUCKET, folder="notes", content={"a": 1})["number"] == 1
