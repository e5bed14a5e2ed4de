"""The module artifactregistry_repository."""

from __future__ import annotations

from typing import Any

from tests.integration.cloud import PROJECT, REGION, Cloud

URL = f"artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/repositories"


def repository(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "location": REGION, **options}


def test_the_life_of_a_repository(cloud: Cloud) -> None:
    before = cloud.resources()
    asked = repository("life", description="Images", labels={"site": "polls"}, immutable_tags=True)
    planned = cloud.ok("artifactregistry_repository", check=True, **asked)
    assert planned["actions"] == ["create repository life"]
    assert cloud.resources() == before

    assert cloud.ok("artifactregistry_repository", **asked)["changed"] is True
    made = cloud.api(f"{URL}/life")
    assert (made["format"], made["labels"]) == ("DOCKER", {"site": "polls"})
    assert made["dockerConfig"] == {"immutableTags": True}
    unchanged = cloud.ok("artifactregistry_repository", **asked)
    assert unchanged["changed"] is False
    for names in ({"names": ["life", "none"]}, {}):
        told = cloud.ok("artifactregistry_repository_info", location=REGION, **names)["repositories"]
        assert [one for one in told if one["name"] == "life"] == [unchanged["repository"]]

    update = repository("life", labels={}, immutable_tags=False)
    planned = cloud.ok("artifactregistry_repository", check=True, **update)
    assert planned["diff"] == {
        "before": {"format": "DOCKER", "labels": {"site": "polls"}, "immutable_tags": True},
        "after": {"format": "DOCKER", "labels": {}, "immutable_tags": False},
        "before_header": "repository life (before)",
        "after_header": "repository life (after)",
    }
    assert cloud.api(f"{URL}/life") == made
    assert cloud.ok("artifactregistry_repository", **update)["actions"] == ["update repository life"]
    changed = cloud.api(f"{URL}/life")
    assert changed.get("labels", {}) == {}
    assert not changed.get("dockerConfig", {}).get("immutableTags")
    assert changed["description"] == "Images", "not asked, so left alone"
    assert cloud.ok("artifactregistry_repository", **update)["changed"] is False

    absent = repository("life", state="absent")
    assert cloud.ok("artifactregistry_repository", **absent)["actions"] == ["delete repository life"]
    assert cloud.absent(f"{URL}/life")
    assert cloud.ok("artifactregistry_repository", **absent)["changed"] is False


def test_the_format_of_a_repository_cannot_change(cloud: Cloud) -> None:
    cloud.ok("artifactregistry_repository", **repository("typed"))
    assert cloud.error("artifactregistry_repository", **repository("typed", format="PYTHON")) == (
        "Failed to update repository typed: Google Cloud cannot change format from 'DOCKER' to 'PYTHON'. Ask for what "
        "is there, or delete the repository and run again to make it anew."
    )


def test_cleanup_policies_are_what_is_asked(cloud: Cloud) -> None:
    keep = {"keep": {"id": "keep", "action": "KEEP", "mostRecentVersions": {"keepCount": 5}}}
    asked = repository("cleaned", cleanup_policies=keep, cleanup_policy_dry_run=True)
    cloud.ok("artifactregistry_repository", **asked)
    assert cloud.api(f"{URL}/cleaned")["cleanupPolicies"] == keep
    assert cloud.ok("artifactregistry_repository", **asked)["changed"] is False


def test_a_cleanup_policy_needs_no_id(cloud: Cloud) -> None:
    old = {
        "action": "DELETE",
        "condition": {"olderThan": "2592000.0s", "tagState": "UNTAGGED", "tagPrefixes": []},
    }
    asked = repository("swept", cleanup_policies={"old": old})
    assert cloud.ok("artifactregistry_repository", **asked)["changed"] is True
    assert cloud.ok("artifactregistry_repository", **asked)["changed"] is False
