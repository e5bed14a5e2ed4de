"""Artifact Registry over HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.services.artifactregistry.api import ArtifactRegistry, PushRefusedError, parse_reference
from gcp_emulator.workloads.images import Image, ImageConfig

from emulator.tests.running import RunningEmulator

BASE = "https://artifactregistry.googleapis.com/v1"
PARENT = "projects/test-project/locations/us-central1"
REPOSITORY = f"{PARENT}/repositories/web"
IMAGE = "us-central1-docker.pkg.dev/test-project/web/site"
OWNER = "owner@example.com"


def wait(emulator: RunningEmulator, operation: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 5
    while not operation.get("done"):
        assert time.monotonic() < deadline, operation
        operation = emulator.session().get(f"{BASE}/{operation['name']}").json()
    return operation


def create(emulator: RunningEmulator, repository_id: str = "web", **body: Any) -> dict[str, Any]:
    answer = emulator.session().post(
        f"{BASE}/{PARENT}/repositories?repositoryId={repository_id}", json={"format": "DOCKER", **body}
    )
    assert answer.status_code == 200, answer.text
    return wait(emulator, answer.json())


def registry(emulator: RunningEmulator) -> ArtifactRegistry:
    return emulator.emulator.service(ArtifactRegistry)


def image(emulator: RunningEmulator, folder: Path, content: str = "x") -> Image:
    folder.mkdir()
    (folder / "file").write_text(content)
    return registry(emulator).images.put(folder, ImageConfig(), None)


def push(emulator: RunningEmulator, reference: str, built: Image, email: str = OWNER) -> str:
    return emulator.call(registry(emulator).push, identity_of(email), reference, built)


def get(emulator: RunningEmulator, path: str) -> Any:
    answer = emulator.session().get(f"{BASE}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_repository_is_created_by_an_operation_and_read_back(emulator: RunningEmulator) -> None:
    done = create(emulator, labels={"a": "b"}, description="d", mode="MODE_UNSPECIFIED")

    assert done["response"]["@type"] == "type.googleapis.com/google.devtools.artifactregistry.v1.Repository"
    found = get(emulator, REPOSITORY)
    assert {key: found[key] for key in found if not key.endswith("Time")} == {
        "name": REPOSITORY,
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
        "description": "d",
        "labels": {"a": "b"},
        "registryUri": "us-central1-docker.pkg.dev/test-project/web",
        "satisfiesPzi": True,
        "vulnerabilityScanningConfig": {
            "enablementState": "SCANNING_DISABLED",
            "enablementStateReason": "API containerscanning.googleapis.com is not enabled.",
            "lastEnableTime": found["createTime"],
        },
    }
    assert get(emulator, f"{PARENT}/repositories")["repositories"] == [found]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (
            f"{PARENT}/repositories?repositoryId=web",
            {"format": "DOCKER"},
            409,
            "the repository already exists",
        ),
        (
            f"{PARENT}/repositories?repositoryId=Web",
            {"format": "DOCKER"},
            400,
            "Request contains an invalid argument.",
        ),
        (f"{PARENT}/repositories", {"format": "DOCKER"}, 400, "Request contains an invalid argument."),
        (
            "projects/test-project/locations/eu-west3/repositories?repositoryId=a",
            {"format": "DOCKER"},
            400,
            "Request contains an invalid argument.",
        ),
        (f"{PARENT}/repositories?repositoryId=a", {}, 400, "Required field 'format' is missing or empty."),
    ],
)
def test_a_repository_that_cannot_be_made_is_refused(
    emulator: RunningEmulator, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    create(emulator)

    answer = emulator.session().post(f"{BASE}/{path}", json=body)

    assert (answer.status_code, answer.json()["error"]["message"]) == (status, message)


def test_labels_that_google_does_not_take_are_refused(emulator: RunningEmulator) -> None:
    create(emulator)
    session = emulator.session()
    body = {"format": "DOCKER", "labels": {"Site": "web"}}
    made = session.post(f"{BASE}/{PARENT}/repositories?repositoryId=labelled", json=body)
    changed = session.patch(
        f"{BASE}/{PARENT}/repositories/web?updateMask=labels", json={"labels": {"site": "W"}}
    )
    assert (made.status_code, changed.status_code) == (400, 400)
    assert made.json()["error"]["message"].startswith(
        'Invalid field "labels"; key "Site" does not conform to'
    )
    assert changed.json()["error"]["message"].startswith(
        'Invalid field "labels.site"; value "W" does not conform to'
    )


def test_a_repository_is_changed_by_its_mask_and_keeps_its_format(emulator: RunningEmulator) -> None:
    create(emulator, labels={"a": "b"}, description="d")
    policy = {"old": {"id": "old", "action": "DELETE", "condition": {"olderThan": "2592000s"}}}

    changed = emulator.session().patch(
        f"{BASE}/{REPOSITORY}?updateMask=labels,cleanupPolicies", json={"cleanupPolicies": policy}
    )
    refused = emulator.session().patch(f"{BASE}/{REPOSITORY}", json={"format": "PYTHON"})

    assert changed.status_code == 200, changed.text
    assert "labels" not in changed.json()
    assert (changed.json()["description"], changed.json()["cleanupPolicies"]) == ("d", policy)
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "The field 'format' of a repository cannot be changed.",
    )


def test_a_pushed_image_has_a_package_a_version_and_a_tag(emulator: RunningEmulator, tmp_path: Path) -> None:
    create(emulator)
    built = image(emulator, tmp_path / "i")
    push(emulator, f"{IMAGE}:v1", built)
    push(emulator, IMAGE, built)

    version = f"{REPOSITORY}/packages/site/versions/{built.digest}"
    assert get(emulator, f"{REPOSITORY}/packages/site/tags/v1") == {
        "name": f"{REPOSITORY}/packages/site/tags/v1",
        "version": version,
    }
    assert [package["name"] for package in get(emulator, f"{REPOSITORY}/packages")["packages"]] == [
        f"{REPOSITORY}/packages/site"
    ]
    assert set(get(emulator, version)) == {"name", "createTime", "updateTime"}
    full = get(emulator, f"{version}?view=FULL")
    assert [tag["name"].rpartition("/")[2] for tag in full["relatedTags"]] == ["latest", "v1"]
    [docker] = get(emulator, f"{REPOSITORY}/dockerImages")["dockerImages"]
    assert docker["uri"] == f"{IMAGE}@{built.digest}"
    assert docker["tags"] == ["latest", "v1"]
    assert get(emulator, docker["name"]) == docker
    assert get(emulator, REPOSITORY)["sizeBytes"] == "1"
    for reference in (IMAGE, f"{IMAGE}:v1", f"{IMAGE}@{built.digest}", f"{IMAGE}:other@{built.digest}"):
        assert emulator.call(registry(emulator).image, reference) == built
    for reference in (f"{IMAGE}:v2", f"{IMAGE}@sha256:{'0' * 64}", "nginx:1"):
        assert emulator.call(registry(emulator).image, reference) is None


def test_an_image_name_may_hold_slashes(emulator: RunningEmulator, tmp_path: Path) -> None:
    create(emulator)
    built = image(emulator, tmp_path / "i")
    push(emulator, f"{IMAGE}/web:v1", built)

    tag = get(emulator, f"{REPOSITORY}/packages/site%2Fweb/tags/v1")

    assert tag["version"] == f"{REPOSITORY}/packages/site%2Fweb/versions/{built.digest}"
    assert emulator.call(registry(emulator).image, f"{IMAGE}/web:v1") == built


def test_a_tag_moves_to_what_was_pushed_last_unless_tags_are_immutable(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    create(emulator)
    create(emulator, "fixed", dockerConfig={"immutableTags": True})
    one, two = image(emulator, tmp_path / "1", "1"), image(emulator, tmp_path / "2", "2")
    push(emulator, IMAGE, one)
    push(emulator, IMAGE, two)
    fixed = IMAGE.replace("/web/", "/fixed/")
    push(emulator, fixed, one)
    push(emulator, fixed, one)

    assert emulator.call(registry(emulator).digest, IMAGE) == two.digest
    with pytest.raises(PushRefusedError) as caught:
        push(emulator, fixed, two)
    assert str(caught.value) == (
        "manifest invalid: cannot update tag latest. The repository has enabled tag immutability"
    )


@pytest.mark.parametrize(
    ("reference", "email", "message"),
    [
        (
            IMAGE,
            "nobody@example.com",
            'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource'
            + f' "{REPOSITORY}" (or it may not exist)',
        ),
        (IMAGE.replace("/web/", "/none/"), OWNER, 'name unknown: Repository "none" not found'),
        (IMAGE.replace("/web/", "/py/"), OWNER, 'name unknown: Repository "py" is not a DOCKER repository'),
        (
            "gcr.io/p/i",
            OWNER,
            "gcr.io/p/i: the emulator has no other registry than LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE",
        ),
    ],
)
def test_a_push_that_is_not_allowed_is_refused(
    emulator: RunningEmulator, tmp_path: Path, reference: str, email: str, message: str
) -> None:
    create(emulator)
    create(emulator, "py", format="PYTHON")
    built = image(emulator, tmp_path / "i")

    with pytest.raises(PushRefusedError) as caught:
        push(emulator, reference, built, email)

    assert str(caught.value) == message


def test_the_writer_role_on_the_repository_is_enough_to_push(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    create(emulator)
    emulator.grant(REPOSITORY, "roles/artifactregistry.writer", "user:dev@example.com")

    assert push(emulator, IMAGE, image(emulator, tmp_path / "i"), "dev@example.com").startswith("sha256:")


def test_the_files_go_with_the_last_name(emulator: RunningEmulator, tmp_path: Path) -> None:
    create(emulator)
    built = image(emulator, tmp_path / "i")
    push(emulator, f"{IMAGE}:v1", built)
    push(emulator, f"{IMAGE}2:v1", built)
    version = f"{REPOSITORY}/packages/site/versions/{built.digest}"

    refused = emulator.session().delete(f"{BASE}/{version}")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        f"Cannot delete version {built.digest}: it is tagged (v1); delete with force.",
    )
    wait(emulator, emulator.session().delete(f"{BASE}/{version}?force=true").json())
    assert emulator.session().get(f"{BASE}/{REPOSITORY}/packages/site/tags/v1").status_code == 404
    assert built.root.exists()
    wait(emulator, emulator.session().delete(f"{BASE}/{REPOSITORY}").json())
    assert not built.root.exists()


def test_a_held_image_outlives_its_names(emulator: RunningEmulator, tmp_path: Path) -> None:
    create(emulator)
    built = image(emulator, tmp_path / "i")
    push(emulator, IMAGE, built)
    emulator.call(registry(emulator).hold, built.digest, "revision-1")
    emulator.call(registry(emulator).hold, built.digest, "revision-2")

    wait(emulator, emulator.session().delete(f"{BASE}/{REPOSITORY}/packages/site").json())
    emulator.call(registry(emulator).release, built.digest, "revision-1")
    assert built.root.exists()
    emulator.call(registry(emulator).release_all, "revision-2")
    assert not built.root.exists()


def test_tags_can_be_made_moved_and_removed(emulator: RunningEmulator, tmp_path: Path) -> None:
    create(emulator)
    one, two = image(emulator, tmp_path / "1", "1"), image(emulator, tmp_path / "2", "2")
    push(emulator, IMAGE, one)
    push(emulator, IMAGE, two)
    package = f"{REPOSITORY}/packages/site"
    session = emulator.session()

    made = session.post(
        f"{BASE}/{package}/tags?tagId=live", json={"version": f"{package}/versions/{one.digest}"}
    )
    assert made.status_code == 200, made.text
    moved = session.patch(
        f"{BASE}/{package}/tags/live?updateMask=version", json={"version": f"{package}/versions/{two.digest}"}
    )
    assert moved.json()["version"].endswith(two.digest)
    assert session.delete(f"{BASE}/{package}/tags/live").json() == {}
    assert (
        session.get(f"{BASE}/{package}/tags/live").json()["error"]["message"]
        == "Requested entity was not found."
    )
    missing = session.post(
        f"{BASE}/{package}/tags?tagId=x", json={"version": f"{package}/versions/sha256:{'0' * 64}"}
    )
    assert missing.status_code == 404


def test_a_repository_s_policy_is_kept_and_goes_with_it(emulator: RunningEmulator) -> None:
    create(emulator)
    policy = {"bindings": [{"role": "roles/artifactregistry.reader", "members": ["user:a@example.com"]}]}
    session = emulator.session()

    session.post(f"{BASE}/{REPOSITORY}:setIamPolicy", json={"policy": policy})
    assert session.get(f"{BASE}/{REPOSITORY}:getIamPolicy").json()["bindings"] == policy["bindings"]
    assert emulator.session("user:a@example.com").get(f"{BASE}/{REPOSITORY}").status_code == 200
    assert emulator.session("user:b@example.com").get(f"{BASE}/{REPOSITORY}").status_code == 403
    wait(emulator, session.delete(f"{BASE}/{REPOSITORY}").json())
    create(emulator)
    assert "bindings" not in session.get(f"{BASE}/{REPOSITORY}:getIamPolicy").json()


def test_references_are_taken_apart() -> None:
    parsed = parse_reference("europe-west1-docker.pkg.dev/p-1/r/a/b:t")

    assert parsed is not None
    assert parsed.package == "projects/p-1/locations/europe-west1/repositories/r/packages/a%2Fb"
    assert (parsed.tag, parsed.digest) == ("t", None)
    assert parse_reference("europe-west1-docker.pkg.dev/p-1/r/A") is None


@pytest.mark.parametrize(
    ("body", "state", "reason"),
    [
        (
            {"mode": "VIRTUAL_REPOSITORY"},
            "UNSUPPORTED",
            "Repository mode VIRTUAL_REPOSITORY is not supported.",
        ),
        ({"mode": "REMOTE_REPOSITORY"}, "ACTIVE", None),
        ({"format": "APT"}, "UNSUPPORTED", "Repository format APT is not supported."),
        ({}, "ACTIVE", None),
        (
            {"vulnerabilityScanningConfig": {"enablementConfig": "DISABLED"}},
            "DISABLED",
            "Scanning is disabled for this repository.",
        ),
    ],
)
def test_what_is_scanned_for_vulnerabilities_is_told(
    emulator: RunningEmulator, body: dict[str, Any], state: str, reason: str | None
) -> None:
    emulator.call(
        emulator.context.projects.set_enabled,
        "test-project",
        "containerscanning.googleapis.com",
        enabled=True,
    )
    create(emulator, **body)
    told = get(emulator, REPOSITORY)["vulnerabilityScanningConfig"]
    assert (told["enablementState"], told.get("enablementStateReason")) == (f"SCANNING_{state}", reason)


def test_the_upstreams_of_a_virtual_repository_can_be_changed(emulator: RunningEmulator) -> None:
    create(emulator, "packages", format="PYTHON")
    policy = {"id": "own", "priority": 1, "repository": f"{PARENT}/repositories/packages"}
    create(
        emulator,
        format="PYTHON",
        mode="VIRTUAL_REPOSITORY",
        virtualRepositoryConfig={"upstreamPolicies": [policy]},
    )
    assert get(emulator, REPOSITORY)["registryUri"] == "us-central1-python.pkg.dev/test-project/web"
    changed = {"virtualRepositoryConfig": {"upstreamPolicies": [policy | {"priority": 20}]}}
    answer = emulator.session().patch(
        f"{BASE}/{REPOSITORY}?updateMask=virtualRepositoryConfig.upstreamPolicies", json=changed
    )
    assert answer.json()["virtualRepositoryConfig"] == changed["virtualRepositoryConfig"]


def test_a_remote_repository_tells_where_it_gets_packages_from(emulator: RunningEmulator) -> None:
    source = {"pythonRepository": {"publicRepository": "PYPI"}, "description": "PyPI"}
    create(
        emulator,
        format="PYTHON",
        mode="REMOTE_REPOSITORY",
        remoteRepositoryConfig={**source, "disableUpstreamValidation": True},
    )
    assert get(emulator, REPOSITORY)["remoteRepositoryConfig"] == source


def test_cleanup_policies_are_kept(emulator: RunningEmulator) -> None:
    policies = {
        "old": {
            "id": "old",
            "action": "DELETE",
            "condition": {"tagState": "UNTAGGED", "olderThan": "2592000s"},
        },
        "few": {"id": "few", "action": "KEEP", "mostRecentVersions": {"keepCount": 5}},
    }
    create(emulator, cleanupPolicies=policies, cleanupPolicyDryRun=True)
    found = get(emulator, REPOSITORY)
    assert (found["cleanupPolicies"], found["cleanupPolicyDryRun"]) == (policies, True)


def test_a_cleanup_policy_is_told_with_its_name(emulator: RunningEmulator) -> None:
    latest = {"action": "KEEP", "mostRecentVersions": {"keepCount": 3}}
    create(emulator, cleanupPolicies={"latest": latest})
    assert get(emulator, REPOSITORY)["cleanupPolicies"] == {"latest": {**latest, "id": "latest"}}
