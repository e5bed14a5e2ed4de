"""Projects and their policies, v1 and v3."""

from __future__ import annotations

import pytest

from emulator.tests.running import RunningEmulator

V1 = "https://cloudresourcemanager.googleapis.com/v1/projects"
V3 = "https://cloudresourcemanager.googleapis.com/v3/projects"


def test_a_project_in_the_forms_of_both_versions(emulator: RunningEmulator) -> None:
    session = emulator.session()
    old = session.get(f"{V1}/{emulator.project}").json()
    assert (old["projectId"], old["projectNumber"], old["lifecycleState"]) == (
        emulator.project,
        emulator.number,
        "ACTIVE",
    )
    for name in (emulator.project, emulator.number):
        new = session.get(f"{V3}/{name}").json()
        assert (new["name"], new["projectId"], new["state"]) == (
            f"projects/{emulator.number}",
            emulator.project,
            "ACTIVE",
        )


@pytest.mark.parametrize("base", [V1, V3])
def test_an_unknown_project_is_forbidden(emulator: RunningEmulator, base: str) -> None:
    answer = emulator.session().get(f"{base}/no-such-project")
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        403,
        "Permission denied on resource project no-such-project.",
    )
    policy = emulator.session().post(f"{base}/no-such-project:getIamPolicy", json={})
    assert policy.status_code == 403


@pytest.mark.parametrize("base", [V1, V3])
def test_a_policy_is_read_changed_and_written_back(emulator: RunningEmulator, base: str) -> None:
    session = emulator.session()
    url = f"{base}/{emulator.project}"
    policy = session.post(f"{url}:getIamPolicy", json={}).json()
    policy["bindings"].append({"role": "roles/run.viewer", "members": ["user:a@example.com"]})
    written = session.post(f"{url}:setIamPolicy", json={"policy": policy})
    assert written.status_code == 200, written.text
    assert written.json()["etag"] != policy["etag"]
    assert session.post(f"{url}:getIamPolicy", json={}).json() == written.json()
    stale = session.post(f"{url}:setIamPolicy", json={"policy": policy})
    assert (stale.status_code, stale.json()["error"]["status"]) == (409, "ABORTED")


@pytest.mark.parametrize(
    ("path", "permission"),
    [("", "get"), (":getIamPolicy", "getIamPolicy"), (":setIamPolicy", "setIamPolicy")],
)
@pytest.mark.parametrize("base", [V1, V3])
def test_a_stranger_is_told_the_permission_that_is_missing(
    emulator: RunningEmulator, base: str, path: str, permission: str
) -> None:
    session = emulator.session("user:stranger@example.com")
    url = f"{base}/{emulator.project}{path}"
    answer = session.post(url, json={"policy": {}}) if path else session.get(url)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        403,
        f"Permission 'resourcemanager.projects.{permission}' denied on resource "
        f"'projects/{emulator.project}' (or it may not exist).",
    )


@pytest.mark.parametrize("base", [V1, V3])
def test_permissions_are_tested_for_the_caller(emulator: RunningEmulator, base: str) -> None:
    emulator.grant(f"projects/{emulator.project}", "roles/run.developer", "user:dev@example.com")
    asked = ["run.services.create", "run.services.setIamPolicy", "run.jobs.run"]
    url = f"{base}/{emulator.project}:testIamPermissions"
    answer = emulator.session("user:dev@example.com").post(url, json={"permissions": asked})
    assert answer.json() == {"permissions": ["run.services.create", "run.jobs.run"]}
    stranger = emulator.session("user:stranger@example.com").post(url, json={"permissions": asked})
    assert stranger.json() == {}


def test_lists_show_what_the_caller_may_see(emulator: RunningEmulator) -> None:
    session = emulator.session()
    assert [p["projectId"] for p in session.get(V1).json()["projects"]] == [emulator.project]
    assert emulator.session("user:stranger@example.com").get(V1).json() == {}
    for query, expected in (("id:test-*", 1), ("projectId:other", 0), ("state:ACTIVE AND id:test*", 1)):
        found = session.get(f"{V3}:search", params={"query": query}).json().get("projects", [])
        assert len(found) == expected, query
    assert session.get(V1, params={"filter": "labels.a:b"}).status_code == 400
    assert session.get(V1, params={"filter": "nonsense"}).status_code == 400


def test_a_member_that_does_not_exist_is_refused(emulator: RunningEmulator) -> None:
    session = emulator.session()
    url = f"{V1}/{emulator.project}"
    policy = session.post(f"{url}:getIamPolicy", json={}).json()
    email = f"nobody@{emulator.project}.iam.gserviceaccount.com"
    policy["bindings"].append({"role": "roles/run.viewer", "members": [f"serviceAccount:{email}"]})
    answer = session.post(f"{url}:setIamPolicy", json={"policy": policy})
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400,
        f"Service account {email} does not exist.",
    )
