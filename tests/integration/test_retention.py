"""The modules that delete what is old: revisions, images, records and backups. What is in use stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

from tests.integration.cloud import PROJECT, REGION, Cloud

try:
    check_available()
except SandboxUnavailable as why:
    pytest.skip(str(why), allow_module_level=True)

LOCATION = f"projects/{PROJECT}/locations/{REGION}"
RUN = f"run.googleapis.com/v2/{LOCATION}"
VERSIONS = (
    f"artifactregistry.googleapis.com/v1/{LOCATION}/repositories/djangogcp/packages/old-images/versions"
)


def deploy(cloud: Cloud, image: str, greeting: str, **options: Any) -> str:
    """Deploy the service, and return the short name of its newest revision."""
    container = {"image": image, "env": [{"name": "GREETING", "value": greeting}]}
    asked = {"name": "old-revisions", "location": REGION, "template": {"containers": [container]}, **options}
    made = cloud.ok("run_service", mark={"site": "old-revisions", "region": REGION}, **asked)
    return str(made["service"]["latest_created_revision"])


def left(cloud: Cloud) -> set[str]:
    found = cloud.api(f"{RUN}/services/old-revisions/revisions")["revisions"]
    return {one["name"].rpartition("/")[2] for one in found}


def test_old_revisions_go_and_what_has_traffic_or_a_tag_or_is_kept_stays(cloud: Cloud, image: str) -> None:
    first, second, third = (deploy(cloud, image, text) for text in ("one", "two", "three"))
    fourth = deploy(cloud, image, "four", candidate_tag="candidate")
    assert left(cloud) == {first, second, third, fourth}
    asked = {
        "location": REGION,
        "services": ["old-revisions", "absent"],
        "kept": [second],
        "older_than_days": 0,
        "mark": {"site": "old-revisions", "region": REGION},
    }
    assert cloud.ok("run_revision_retention", **{**asked, "older_than_days": 1})["changed"] is False

    planned = cloud.ok("run_revision_retention", check=True, **asked)
    assert planned["changed"] is True
    assert planned["actions"][0].startswith(f"delete revision {first} of 20")
    assert f"revision {first} of " in planned["diff"]["before"]
    assert left(cloud) == {first, second, third, fourth}

    done = cloud.ok("run_revision_retention", **asked)
    assert [one["name"] for one in done["revisions"]] == [first]
    assert image in done["images"]
    assert left(cloud) == {second, third, fourth}, "the third serves, the fourth has a tag"
    assert cloud.ok("run_revision_retention", **asked)["changed"] is False


def test_what_other_services_have_stays_and_is_told(
    cloud: Cloud, image: str, build_options: dict[str, str]
) -> None:
    tagged = cloud.ok("cloudbuild_build", **build_options)["image"]
    other = {"name": "old-neighbour", "location": REGION}
    for text in ("one", "two"):
        env = [{"name": "GREETING", "value": text}]
        container = {"image": f"{tagged['name']}:{tagged['tag']}", "env": env}
        cloud.ok("run_service", template={"containers": [container]}, **other)
    found = cloud.ok("run_revision_retention", location=REGION, services=["absent"], older_than_days=0)
    assert found["changed"] is False
    assert tagged["uri"] in found["images"], "a revision has the digest that its tag had"
    assert len(cloud.api(f"{RUN}/services/old-neighbour/revisions")["revisions"]) == 2


def test_revisions_of_somebody_elses_service_are_refused(cloud: Cloud, image: str) -> None:
    deploy(cloud, image, "one")
    message = cloud.error(
        "run_revision_retention",
        location=REGION,
        services=["old-revisions"],
        older_than_days=0,
        mark={"site": "other", "region": REGION},
    )
    assert message.startswith("Failed to use service old-revisions: it belongs to the site old-revisions in ")


def test_old_images_go_and_what_is_used_or_tagged_by_a_person_stays(
    cloud: Cloud, build_options: dict[str, str], image: str, tmp_path: Path
) -> None:
    name = image.partition("@")[0].rpartition("/")[0] + "/old-images"
    digests = []
    for number in range(4):
        source = tmp_path / str(number)
        source.mkdir()
        (source / "Dockerfile").write_text(
            f'FROM python:3.12-slim\nCOPY file.txt /\nCMD ["python"]\n# {number}\n', "utf-8"
        )
        (source / "file.txt").write_text(str(number), "utf-8")
        built = cloud.ok("cloudbuild_build", **{**build_options, "image": name, "source_dir": str(source)})
        digests.append(built["image"]["digest"])
    package = VERSIONS.partition("/v1/")[2].removesuffix("/versions")
    cloud.api(
        f"{VERSIONS.removesuffix('/versions')}/tags?tagId=v1",
        method="POST",
        body={"name": f"{package}/tags/v1", "version": f"{package}/versions/{digests[1]}"},
    )
    asked = {"image": name, "used": [f"{name}@{digests[2]}"], "older_than_days": 0}
    assert cloud.ok("artifactregistry_image_retention", **{**asked, "older_than_days": 1})["changed"] is False

    planned = cloud.ok("artifactregistry_image_retention", check=True, **asked)
    assert [one["uri"] for one in planned["images"]] == [f"{name}@{digests[0]}"]
    assert planned["bytes"] > 0
    assert len(cloud.api(VERSIONS)["versions"]) == 4

    done = cloud.ok("artifactregistry_image_retention", **asked)
    assert done["actions"] == planned["actions"]
    assert {one["name"].rpartition("/")[2] for one in cloud.api(VERSIONS)["versions"]} == set(digests[1:])
    assert cloud.ok("artifactregistry_image_retention", **asked)["changed"] is False
