"""Buckets over HTTP, as any client meets them."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.tests.running import OWNER, PROJECT, RunningEmulator

API = "https://storage.googleapis.com/storage/v1"
READER = "user:reader@example.com"
OTHER_PROJECT = "other-project"


def _create(emulator: RunningEmulator, name: str = "first-bucket", **body: Any) -> dict[str, Any]:
    answer = emulator.session().post(f"{API}/b?project={PROJECT}", json={"name": name, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _error(answer: Any) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["errors"][0]["reason"], error["message"]


UNIFORM: dict[str, Any] = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}
PREVENTED: dict[str, Any] = {
    "iamConfiguration": {
        "uniformBucketLevelAccess": {"enabled": True},
        "publicAccessPrevention": "enforced",
    }
}


def test_a_new_bucket_shows_what_was_asked_and_google_s_defaults(emulator: RunningEmulator) -> None:
    bucket = _create(emulator, location="europe-west1", labels={"a": "b"}, **UNIFORM)
    assert bucket == emulator.session().get(f"{API}/b/first-bucket").json()
    assert bucket["kind"] == "storage#bucket"
    assert bucket["projectNumber"] == emulator.number
    assert (bucket["location"], bucket["locationType"]) == ("EUROPE-WEST1", "region")
    assert (bucket["storageClass"], bucket["metageneration"]) == ("STANDARD", "1")
    assert bucket["labels"] == {"a": "b"}
    assert bucket["softDeletePolicy"]["retentionDurationSeconds"] == "604800"
    configuration = bucket["iamConfiguration"]
    assert configuration["publicAccessPrevention"] == "inherited"
    assert configuration["uniformBucketLevelAccess"] == configuration["bucketPolicyOnly"]
    assert set(configuration["uniformBucketLevelAccess"]) == {"enabled", "lockedTime"}


def test_a_bucket_without_a_location_is_in_the_us(emulator: RunningEmulator) -> None:
    bucket = _create(emulator)
    assert (bucket["location"], bucket["locationType"]) == ("US", "multi-region")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "Upper"}, "Invalid bucket name: 'Upper'"),
    ({"name": "ab"}, "Invalid bucket name: 'ab'"),
    ({"name": "my-google-bucket"}, "Invalid bucket name: 'my-google-bucket'"),
    ({"name": "192.168.5.4"}, "Invalid bucket name: '192.168.5.4'"),
    ({"name": "fine", "location": "MARS1"}, "The specified location constraint is not valid."),
    ({"name": "fine", "storageClass": "HOT"}, "Invalid storage class: HOT"),
    (
        {"name": "fine", "lifecycle": {"rule": [{"action": {"type": "Delete"}}]}},
        "A lifecycle management rule must contain at least one condition.",
    ),
    (
        {"name": "fine", "softDeletePolicy": {"retentionDurationSeconds": "60"}},
        "Soft delete policy retention duration must be 0 or between 7 and 90 days.",
    ),
]


def test_a_bad_bucket_is_refused(emulator: RunningEmulator) -> None:
    session = emulator.session()
    for body, message in REFUSED:
        answer = session.post(f"{API}/b?project={PROJECT}", json=body)
        assert _error(answer) == (400, "invalid", message)
    assert "items" not in session.get(f"{API}/b?project={PROJECT}").json()


def test_a_name_is_taken_for_everybody(emulator: RunningEmulator) -> None:
    _create(emulator)
    again = emulator.session().post(f"{API}/b?project={PROJECT}", json={"name": "first-bucket"})
    assert _error(again) == (
        409,
        "conflict",
        "Your previous request to create the named bucket succeeded and you already own it.",
    )
    emulator.call(emulator.context.projects.create, OTHER_PROJECT, created="2026-01-01T00:00:00Z")
    emulator.grant(f"projects/{OTHER_PROJECT}", "roles/owner", READER)
    session = emulator.session(READER)
    taken = session.post(f"{API}/b?project={OTHER_PROJECT}", json={"name": "first-bucket"})
    assert _error(taken) == (
        409,
        "conflict",
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
    )
    assert _error(session.get(f"{API}/b/first-bucket")) == (
        403,
        "forbidden",
        "reader@example.com does not have storage.buckets.get access to the Google Cloud Storage bucket. "
        "Permission 'storage.buckets.get' denied on resource (or it may not exist).",
    )


def test_a_missing_bucket_is_404_and_a_missing_project_400(emulator: RunningEmulator) -> None:
    session = emulator.session()
    missing = session.get(f"{API}/b/nobodys-bucket")
    assert _error(missing) == (404, "notFound", "The specified bucket does not exist.")
    unknown = session.post(f"{API}/b?project=no-project", json={"name": "fine"})
    assert _error(unknown) == (400, "invalid", "Unknown project id: no-project")


@pytest.mark.parametrize("labels", [{"Site": "web"}, {"site": "web.example.com"}, {"1st": ""}])
def test_labels_that_google_does_not_take_are_refused(
    emulator: RunningEmulator, labels: dict[str, str]
) -> None:
    url = f"{API}/b?project={PROJECT}"
    refused = emulator.session().post(url, json={"name": "labelled", "labels": labels})
    assert _error(refused) == (400, "invalid", "Invalid argument.")


def test_creating_needs_the_permission_on_the_project(emulator: RunningEmulator) -> None:
    answer = emulator.session(READER).post(f"{API}/b?project={PROJECT}", json={"name": "fine"})
    assert _error(answer) == (
        403,
        "forbidden",
        "reader@example.com does not have storage.buckets.create access to the Google Cloud project. "
        "Permission 'storage.buckets.create' denied on resource (or it may not exist).",
    )


def test_buckets_are_listed_by_project_and_prefix_in_pages(emulator: RunningEmulator) -> None:
    for name in ("web-media", "web-static", "zebra"):
        _create(emulator, name)
    session = emulator.session()
    first = session.get(f"{API}/b?project={PROJECT}&maxResults=2").json()
    assert [b["name"] for b in first["items"]] == ["web-media", "web-static"]
    rest = session.get(f"{API}/b?project={emulator.number}&maxResults=2&pageToken={first['nextPageToken']}")
    assert [b["name"] for b in rest.json()["items"]] == ["zebra"]
    named = session.get(f"{API}/b?project={PROJECT}&prefix=web-&fields=items(name)").json()
    assert named == {"items": [{"name": "web-media"}, {"name": "web-static"}]}


def test_patch_merges_and_null_clears(emulator: RunningEmulator) -> None:
    _create(
        emulator, labels={"keep": "1", "drop": "2"}, versioning={"enabled": True}, cors=[{"origin": ["*"]}]
    )
    patched = emulator.session().patch(
        f"{API}/b/first-bucket", json={"labels": {"drop": None, "new": "3"}, "cors": None}
    )
    assert patched.status_code == 200, patched.text
    assert patched.json()["labels"] == {"keep": "1", "new": "3"}
    assert patched.json()["versioning"] == {"enabled": True}
    assert "cors" not in patched.json()
    assert patched.json()["metageneration"] == "2"


def test_put_takes_back_what_it_does_not_name(emulator: RunningEmulator) -> None:
    created = _create(emulator, location="EU", labels={"a": "b"}, versioning={"enabled": True}, **UNIFORM)
    body = {"name": "first-bucket", "location": "eu", "labels": {"c": "d"}}
    replaced = emulator.session().put(f"{API}/b/first-bucket", json=body).json()
    assert replaced["labels"] == {"c": "d"}
    assert "versioning" not in replaced
    assert replaced["iamConfiguration"]["uniformBucketLevelAccess"] == {"enabled": False}
    assert replaced["timeCreated"] == created["timeCreated"]


def test_a_location_cannot_change(emulator: RunningEmulator) -> None:
    _create(emulator)
    answer = emulator.session().patch(f"{API}/b/first-bucket", json={"location": "EU"})
    assert _error(answer)[0] == 400
    assert emulator.session().get(f"{API}/b/first-bucket").json()["location"] == "US"


def test_a_stale_metageneration_does_not_write(emulator: RunningEmulator) -> None:
    _create(emulator)
    url = f"{API}/b/first-bucket"
    assert (
        emulator.session().patch(f"{url}?ifMetagenerationMatch=1", json={"labels": {"a": "b"}}).status_code
        == 200
    )
    stale = emulator.session().patch(f"{url}?ifMetagenerationMatch=1", json={"labels": {"a": "c"}})
    assert _error(stale) == (
        412,
        "conditionNotMet",
        "At least one of the pre-conditions you specified did not hold.",
    )
    assert emulator.session().get(url).json()["labels"] == {"a": "b"}
    assert emulator.session().get(f"{url}?ifMetagenerationNotMatch=2").status_code == 304


def test_a_new_bucket_s_policy_names_the_project_s_basic_roles(emulator: RunningEmulator) -> None:
    _create(emulator, **UNIFORM)
    policy = emulator.session().get(f"{API}/b/first-bucket/iam").json()
    assert (policy["kind"], policy["resourceId"]) == ("storage#policy", "projects/_/buckets/first-bucket")
    everyone = ["projectEditor:test-project", "projectOwner:test-project"]
    viewers = ["projectViewer:test-project"]
    assert {b["role"]: b["members"] for b in policy["bindings"]} == {
        "roles/storage.legacyBucketOwner": everyone,
        "roles/storage.legacyBucketReader": viewers,
        "roles/storage.legacyObjectOwner": everyone,
        "roles/storage.legacyObjectReader": viewers,
    }


def test_a_stale_policy_is_not_written(emulator: RunningEmulator) -> None:
    _create(emulator, **UNIFORM)
    session, url = emulator.session(), f"{API}/b/first-bucket/iam"
    policy = session.get(url).json()
    policy["bindings"].append({"role": "roles/storage.objectViewer", "members": [READER]})
    assert session.put(url, json=policy).status_code == 200
    assert _error(session.put(url, json=policy))[:2] == (412, "conditionNotMet")


def test_public_access_prevention_refuses_the_public(emulator: RunningEmulator) -> None:
    _create(emulator, **PREVENTED)
    session, url = emulator.session(), f"{API}/b/first-bucket/iam"
    policy = session.get(url).json()
    policy["bindings"].append({"role": "roles/storage.objectViewer", "members": ["allUsers"]})
    assert _error(session.put(url, json=policy)) == (
        412,
        "conditionNotMet",
        "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced.",
    )


def test_permissions_are_told_to_whoever_asks(emulator: RunningEmulator) -> None:
    _create(emulator)
    emulator.grant("projects/_/buckets/first-bucket", "roles/storage.objectViewer", READER)
    url = f"{API}/b/first-bucket/iam/testPermissions?permissions=storage.objects.get&permissions=storage.objects.delete"
    assert emulator.session(READER).get(url).json()["permissions"] == ["storage.objects.get"]
    assert emulator.session(OWNER).get(url).json()["permissions"] == [
        "storage.objects.get",
        "storage.objects.delete",
    ]


def test_only_an_empty_bucket_is_deleted_and_its_policy_goes_with_it(emulator: RunningEmulator) -> None:
    _create(emulator)
    emulator.grant("projects/_/buckets/first-bucket", "roles/storage.admin", READER)
    session = emulator.session()
    upload = "https://storage.googleapis.com/upload/storage/v1/b/first-bucket/o?uploadType=media&name=x"
    assert session.post(upload, data=b"x").status_code == 200
    assert _error(session.delete(f"{API}/b/first-bucket")) == (
        409,
        "conflict",
        "The bucket you tried to delete is not empty.",
    )
    assert session.delete(f"{API}/b/first-bucket/o/x").status_code == 204
    assert session.delete(f"{API}/b/first-bucket").status_code == 204
    assert session.get(f"{API}/b/first-bucket").status_code == 404
    _create(emulator)
    assert emulator.session(READER).get(f"{API}/b/first-bucket").status_code == 403


def test_acls_are_refused_in_google_s_words(emulator: RunningEmulator) -> None:
    _create(emulator, **UNIFORM)
    session = emulator.session()
    upload = "https://storage.googleapis.com/upload/storage/v1/b/first-bucket/o?uploadType=media&name=x&predefinedAcl=publicRead"
    assert _error(session.post(upload, data=b"x")) == (
        400,
        "invalid",
        "Cannot insert legacy ACL for an object when uniform bucket-level access is enabled. "
        "Read more at https://cloud.google.com/storage/docs/uniform-bucket-level-access",
    )
    listed = session.get(f"{API}/b/first-bucket/acl")
    assert _error(listed)[2].startswith("Cannot get legacy ACL for a bucket when uniform")


def test_what_is_not_emulated_is_refused_and_reported(emulator: RunningEmulator) -> None:
    _create(emulator)
    session = emulator.session()
    policy = session.get(f"{API}/b/first-bucket/managedFolders/x/iam")
    assert policy.status_code == 400
    held = session.post(f"{API}/b?project={PROJECT}&enableObjectRetention=true", json={"name": "held-bucket"})
    assert _error(held)[2] == "gcp-emulator does not emulate object retention; nothing was done."
    assert session.get("https://storage.googleapis.com/first-bucket").status_code == 400
    emulator.expect_unhandled(
        "storage.managedFolders.getIamPolicy", "GET https://storage.googleapis.com/first-bucket"
    )


def test_the_service_agent_is_named_by_the_project_s_number(emulator: RunningEmulator) -> None:
    answer = emulator.session().get(f"{API}/projects/{PROJECT}/serviceAccount")
    assert answer.json()["email_address"] == (
        f"service-{emulator.number}@gs-project-accounts.iam.gserviceaccount.com"
    )


def test_a_disabled_api_creates_nothing(emulator: RunningEmulator) -> None:
    emulator.disable("storage.googleapis.com")
    answer = emulator.session().post(f"{API}/b?project={PROJECT}", json={"name": "fine"})
    assert _error(answer)[:2] == (403, "accessNotConfigured")


@pytest.mark.parametrize(
    ("location", "kind", "filled"),
    [
        ("us", "multi-region", {"rpo": "DEFAULT"}),
        ("nam4", "dual-region", {"rpo": "DEFAULT"}),
        ("europe-west3", "region", {"satisfiesPZI": True}),
    ],
)
def test_what_follows_from_the_location(
    emulator: RunningEmulator, location: str, kind: str, filled: dict[str, Any]
) -> None:
    bucket = _create(emulator, location=location, lifecycle={"rule": []})
    assert (bucket["location"], bucket["locationType"]) == (location.upper(), kind)
    assert {name: bucket[name] for name in ("rpo", "satisfiesPZI") if name in bucket} == filled
    assert bucket["generation"].isdigit()
    assert not {"lifecycle", "acl", "defaultObjectAcl", "owner"} & set(bucket)


def test_two_regions_make_a_dual_region(emulator: RunningEmulator) -> None:
    placed = {"dataLocations": ["us-east1", "us-west1"]}
    bucket = _create(emulator, customPlacementConfig=placed, rpo="ASYNC_TURBO")
    assert (bucket["locationType"], bucket["rpo"]) == ("dual-region", "ASYNC_TURBO")
    assert bucket["customPlacementConfig"] == {"dataLocations": ["US-EAST1", "US-WEST1"]}
    session = emulator.session()
    for body in ({"location": "us-east1", "rpo": "DEFAULT"}, {"rpo": "ASYNC_TURBO"}):
        refused = session.post(f"{API}/b?project={PROJECT}", json={"name": "second-bucket", **body})
        assert _error(refused)[:2] == (400, "invalid")


def test_autoclass_tells_when_it_was_changed(emulator: RunningEmulator) -> None:
    made = _create(emulator, autoclass={"enabled": True})["autoclass"]
    assert (made["enabled"], made["terminalStorageClass"]) == (True, "NEARLINE")
    assert made["toggleTime"] == made["terminalStorageClassUpdateTime"]
    url, session = f"{API}/b/first-bucket", emulator.session()
    archive = {"autoclass": {"terminalStorageClass": "ARCHIVE"}}
    changed = session.patch(url, json=archive).json()["autoclass"]
    assert (changed["terminalStorageClass"], changed["toggleTime"]) == ("ARCHIVE", made["toggleTime"])
    assert session.patch(url, json={"autoclass": {"enabled": False}}).json()["autoclass"] == {
        "enabled": False
    }


def test_an_ip_filter_is_kept(emulator: RunningEmulator) -> None:
    wanted = {"mode": "Enabled", "publicNetworkSource": {"allowedIpCidrRanges": ["192.0.2.0/24"]}}
    assert _create(emulator, ipFilter=wanted)["ipFilter"] == wanted
    url, session = f"{API}/b/first-bucket", emulator.session()
    wrong = {"ipFilter": {"mode": "Enabled", "publicNetworkSource": {"allowedIpCidrRanges": ["here"]}}}
    assert _error(session.patch(url, json=wrong)) == (400, "invalid", "Invalid IP CIDR range: here")
    assert (
        session.patch(url, json={"ipFilter": {"mode": "Disabled"}}).json()["ipFilter"]["mode"] == "Disabled"
    )


def test_without_soft_delete_no_time_is_told(emulator: RunningEmulator) -> None:
    bucket = _create(emulator, softDeletePolicy={"retentionDurationSeconds": "0"})
    assert bucket["softDeletePolicy"] == {"retentionDurationSeconds": "0"}


def test_a_hierarchical_namespace_needs_uniform_access(emulator: RunningEmulator) -> None:
    wanted = {"hierarchicalNamespace": {"enabled": True}}
    refused = emulator.session().post(f"{API}/b?project={PROJECT}", json={"name": "deep-bucket", **wanted})
    assert refused.status_code == 400
    assert _create(emulator, **UNIFORM, **wanted)["hierarchicalNamespace"] == {"enabled": True}
