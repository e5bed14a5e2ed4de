# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import requests
from ansible_collections.org.djangogcp.plugins.module_utils._builds import (
    BuildError,
    BuildRequest,
    Builds,
    Image,
    is_finished,
)
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Change, account_made
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait

NAME = "us-central1-docker.pkg.dev/my-project/djangogcp/polls"
DIGEST = "0123456789abcdef" * 4
BUILDS = "https://cloudbuild.googleapis.com/v1/projects/my-project/locations/us-central1/builds"


class FakeClient:
    """Answers GET and POST from a table; None is a 404."""

    clock = None

    def __init__(self, answers):
        self.answers = answers

    def find(self, url, call, *, params=None):
        return self.answers.get(url)

    def get(self, url, call, *, params=None):
        return self.answers[url]

    def list(self, url, call, *, items, params=None):
        return iter(self.answers[url][items])

    def request(self, method, url, call, *, params=None, body=None, repeatable=None):
        return self.answers[url]


def builds(answers):
    return Builds(FakeClient(answers), "my-project", "us-central1")


LOCATIONS = "https://cloudbuild.googleapis.com/v1/projects/my-project/locations"
RESTRICTED = (
    400,
    "FAILED_PRECONDITION",
    "failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support",
)
UNKNOWN = (403, "PERMISSION_DENIED", "Permission denied on 'locations/mars-west1' (or it may not exist).")


def submitted(client, location, fallback):
    """What is built for a request, and what a person is told."""
    found = Builds(client, "my-project", location, fallback)
    request = BuildRequest("b@my-project.iam.gserviceaccount.com", 600)
    build = found.submit(request, Image(NAME, "source-1"), "bucket", "o", "7")
    return found, build


def runs_in(google, location):
    build = {"id": "1", "status": "WORKING", "name": f"projects/7/locations/{location}/builds/1"}
    google.answer("POST", f"{LOCATIONS}/{location}/builds", {"metadata": {"build": build}})
    google.answer("GET", f"{LOCATIONS}/{location}/builds/1", build, {**build, "status": "SUCCESS"})


@pytest.mark.parametrize("refused", [RESTRICTED, UNKNOWN])
def test_where_the_project_may_not_build_it_builds_in_the_fallback_and_says_so(
    google, client, refuse, refused
):
    google.answer("POST", f"{LOCATIONS}/europe-west3/builds", refuse(*refused))
    runs_in(google, "global")
    found, build = submitted(client, "europe-west3", "global")
    assert found.wait(build, Wait())["status"] == "SUCCESS"
    (told,) = found.warnings(build)
    assert told.startswith("The project may not build in europe-west3, so its image was built in global.")


def test_where_it_may_nothing_is_told(google, client):
    runs_in(google, "europe-west1")
    found, build = submitted(client, "europe-west1", "global")
    assert found.warnings(build) == []


@pytest.mark.parametrize("fallback", ["", "us-east1"])
def test_where_it_may_not_anywhere_it_is_said_where_all_may(google, client, refuse, fallback):
    for location in ("europe-west3", "us-east1"):
        google.answer("POST", f"{LOCATIONS}/{location}/builds", refuse(*RESTRICTED))
    with pytest.raises(ApiError, match=r"Set djangogcp_build_location .* to global, or .* europe-west1, "):
        submitted(client, "europe-west3", fallback)


def test_another_refusal_is_no_reason_to_build_elsewhere(google, client, refuse):
    google.answer("POST", f"{LOCATIONS}/europe-west3/builds", refuse(400, "FAILED_PRECONDITION", "no"))
    with pytest.raises(ApiError):
        submitted(client, "europe-west3", "global")
    assert len(google.sent) == 1


def found(answers, image=None):
    """What there is of a source, and what was looked at."""
    return builds(answers).find(image or Image(NAME, "source-1"))


def test_a_build_that_an_interrupted_run_began_elsewhere_is_found_again():
    listed = {"builds": [{"id": "2", "status": "WORKING", "images": [f"{NAME}:source-1"]}]}
    client = FakeClient(
        {f"{LOCATIONS}/europe-west3/builds": {"builds": []}, f"{LOCATIONS}/global/builds": listed}
    )
    running, made = Builds(client, "my-project", "europe-west3", "global").find(Image(NAME, "source-1"))
    assert (running["id"], made) == ("2", None)


def test_a_location_that_is_none_has_no_builds(google, client, refuse):
    google.answer("GET", f"{LOCATIONS}/mars-west1/builds", refuse(*UNKNOWN))
    google.answer("GET", f"{LOCATIONS}/global/builds", {"builds": []})
    assert Builds(client, "my-project", "mars-west1", "global").find(Image(NAME, "source-1")) == (None, None)


def test_a_project_whose_api_is_not_enabled_yet_has_no_builds(google, client, refuse):
    google.answer("GET", BUILDS, refuse(403, "PERMISSION_DENIED", "not enabled", reason="SERVICE_DISABLED"))
    assert Builds(client, "my-project", "us-central1").find(Image(NAME, "source-1")) == (None, None)


def test_the_tag_stands_for_the_source():
    assert Image.of_source(NAME, DIGEST).tag == "source-0123456789abcdef01234567"


def test_a_rebuild_is_an_image_of_its_own():
    assert Image.of_source(NAME, DIGEST, "2026-w48").tag == "source-0123456789abcdef01234567-2026-w48"


def test_the_newest_image_of_the_name_is_the_cache():
    versions = f"https://artifactregistry.googleapis.com/v1/{Image(NAME, 't').package}/versions"
    names = [f"{Image(NAME, 't').package}/versions/sha256:{name}" for name in ("old", "new", "older")]
    listed = [
        {"name": name, "updateTime": time}
        for name, time in zip(
            names, ("2026-01-02T00:00:00Z", "2026-02-01T00:00:00Z", "2025-12-31T00:00:00Z"), strict=True
        )
    ]
    assert builds({versions: {"versions": listed}}).newest(Image(NAME, "source-1")) == f"{NAME}@sha256:new"
    assert builds({versions: {"versions": []}}).newest(Image(NAME, "source-1")) == ""


def test_a_build_takes_its_cache_from_an_image_and_is_one_for_the_next():
    def arguments(cache_from):
        request = BuildRequest("build@p.iam.gserviceaccount.com", 60, cache_from=cache_from)
        return request.body("p", Image(NAME, "source-1"), "bucket", "object", "1", "submission")["steps"][0][
            "args"
        ]

    end = ["-t", f"{NAME}:source-1", "."]
    assert arguments("") == ["build", "--build-arg=BUILDKIT_INLINE_CACHE=1", *end]
    cached = f"--cache-from={NAME}@sha256:new"
    assert arguments(f"{NAME}@sha256:new") == ["build", "--build-arg=BUILDKIT_INLINE_CACHE=1", cached, *end]


def test_an_image_is_deployed_by_digest_once_it_is_known():
    image = Image(NAME, "source-1")
    assert image.uri == f"{NAME}:source-1"
    assert Image(NAME, "source-1", "sha256:aa").uri == f"{NAME}@sha256:aa"


@pytest.mark.parametrize("name", ["polls", "gcr.io/my-project/polls", f"{NAME}:latest", NAME.upper()])
def test_a_name_that_is_not_in_artifact_registry_is_refused(name):
    with pytest.raises(DjangoGcpError) as caught:
        Image.of_source(name, DIGEST)
    assert caught.value.message == (
        f"image is {name!r}: expected LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/NAME in lower case, without tag or digest."
    )


VERSIONS = (
    "https://artifactregistry.googleapis.com/v1/projects/my-project/locations/us-central1/repositories/djangogcp"
    "/packages/polls/versions"
)


def success(number, digest, name=NAME, tag="source-1"):
    """A build that has pushed an image."""
    tagged = f"{name}:{tag}"
    made = {"images": [{"name": f"{name}:other", "digest": "sha256:zz"}, {"name": tagged, "digest": digest}]}
    return {"id": number, "status": "SUCCESS", "images": [tagged], "results": made}


def test_the_image_of_a_source_is_the_one_that_cloud_build_recorded():
    answers = {BUILDS: {"builds": [success("1", "sha256:aa")]}, f"{VERSIONS}/sha256:aa": {"name": "v"}}
    build, image = found(answers)
    assert (build["id"], image) == ("1", Image(NAME, "source-1", "sha256:aa"))


def test_an_image_that_was_deleted_is_none_and_an_older_one_of_the_source_will_do():
    listed = {BUILDS: {"builds": [success("2", "sha256:bb"), success("1", "sha256:aa")]}}
    assert found(listed) == (None, None)
    assert found({**listed, f"{VERSIONS}/sha256:aa": {"name": "v"}})[1].digest == "sha256:aa"


@pytest.mark.parametrize(
    "build",
    [
        {**success("1", "sha256:aa"), "status": "FAILURE"},
        success("1", "sha256:aa", name=f"{NAME}-of-another"),
        success("1", "sha256:aa", tag="source-2"),
        success("1", ""),
        {"id": "1", "status": "SUCCESS", "images": [f"{NAME}:source-1"]},
    ],
)
def test_what_has_not_made_this_image_is_not_taken(build):
    assert found({BUILDS: {"builds": [build]}, f"{VERSIONS}/sha256:aa": {"name": "v"}}) == (None, None)


def test_a_package_with_a_slash_is_one_segment_of_the_resource():
    assert Image(f"{NAME}/web", "t", "sha256:aa").version.endswith("/packages/polls%2Fweb/versions/sha256:aa")


def test_a_running_build_of_the_same_source_is_found_again():
    listed = {
        "builds": [
            {"id": "1", "status": "FAILURE", "images": [f"{NAME}:source-1"]},
            {"id": "2", "status": "WORKING", "images": [f"{NAME}:source-1"]},
        ]
    }
    assert found({BUILDS: listed})[0]["id"] == "2"
    assert found({BUILDS: listed}, Image(NAME, "source-2")) == (None, None)


def test_a_running_build_of_the_same_source_for_another_site_is_not_taken():
    listed = {"builds": [{"id": "1", "status": "WORKING", "images": [f"{NAME}-of-another:source-1"]}]}
    assert found({BUILDS: listed}) == (None, None)


def test_a_build_runs_as_the_named_account_and_logs_to_cloud_logging():
    body = BuildRequest("b@my-project.iam.gserviceaccount.com", 600).body(
        "my-project", Image(NAME, "source-1"), "bucket", "o.tar.gz", "7", "submission-1"
    )
    assert body == {
        "source": {"storageSource": {"bucket": "bucket", "object": "o.tar.gz", "generation": "7"}},
        "steps": [
            {
                "name": "gcr.io/cloud-builders/docker",
                "args": ["build", "--build-arg=BUILDKIT_INLINE_CACHE=1", "-t", f"{NAME}:source-1", "."],
                "env": ["DOCKER_BUILDKIT=1"],
            }
        ],
        "images": [f"{NAME}:source-1"],
        "serviceAccount": "projects/my-project/serviceAccounts/b@my-project.iam.gserviceaccount.com",
        "options": {"logging": "CLOUD_LOGGING_ONLY"},
        "timeout": "600s",
        "tags": ["source-1", "submission-1"],
    }


LOST = requests.exceptions.ConnectionError("Connection aborted.", ConnectionResetError(104, "reset by peer"))


def submit(client):
    request = BuildRequest("b@my-project.iam.gserviceaccount.com", 600)
    return Builds(client, "my-project", "us-central1").submit(
        request, Image(NAME, "source-1"), "b", "o.tar.gz", "7"
    )


def test_a_build_whose_answer_was_lost_is_found_by_the_tag_of_its_request(google, client):
    google.answer("POST", BUILDS, LOST)
    google.answer("GET", BUILDS, {"builds": [{"id": "b1", "status": "WORKING"}]})
    assert submit(client)["id"] == "b1"
    (body,) = google.bodies("POST")
    assert google.sent[-1].params["filter"] == f'tags="{body["tags"][1]}"'


BUILDER = "b@my-project.iam.gserviceaccount.com"
MAY_NOT_READ = (
    400,
    {
        "error": {
            "code": 400,
            "status": "INVALID_ARGUMENT",
            "message": "could not resolve source: googleapi: Error 403: no",
        }
    },
)


MAY_NOT_ACT_AS = (
    403,
    {
        "error": {
            "code": 403,
            "status": "PERMISSION_DENIED",
            "message": "caller does not have permission to act as service account projects/my-project/serviceAccounts/109",
        }
    },
)
READS = Change("bucket", "b", "roles/storage.objectViewer", f"serviceAccount:{BUILDER}")


@pytest.mark.parametrize(
    ("refused", "change"), [(MAY_NOT_READ, READS), (MAY_NOT_ACT_AS, account_made(BUILDER))]
)
def test_what_was_granted_to_the_builds_account_a_moment_ago_is_waited_for(
    google, client, granted, refused, change
):
    granted.note(change)
    google.answer("POST", BUILDS, refused, refused, {"metadata": {"build": {"id": "b1"}}})
    google.answer("GET", f"{BUILDS}/b1", {"id": "b1", "status": "QUEUED"})
    assert submit(client)["id"] == "b1"


@pytest.mark.parametrize(
    ("refused", "change"), [(MAY_NOT_READ, account_made("x@p")), (MAY_NOT_ACT_AS, READS)]
)
def test_what_nobody_granted_to_it_is_an_error_at_once(google, client, granted, fake_clock, refused, change):
    granted.note(change)
    google.answer("POST", BUILDS, refused)
    with pytest.raises(ApiError):
        submit(client)
    assert fake_clock.slept == []


ENDED = {
    "id": "b1",
    "status": "FAILURE",
    "failureInfo": {"type": "PUSH_NOT_AUTHORIZED", "detail": "denied"},
    "serviceAccount": f"projects/my-project/serviceAccounts/{BUILDER}",
    "source": {"storageSource": {"bucket": "b", "object": "o.tar.gz", "generation": "7"}},
    "steps": [{"name": "docker"}],
    "images": [f"{NAME}:source-1"],
    "timeout": "600s",
    "results": {"images": []},
    "tags": ["source-1", "submission-1"],
}
REPOSITORY = NAME.split("/")[2]


def finish(client, image=None):
    image = image or Image(NAME, "source-1")
    return Builds(client, "my-project", "us-central1").finish({"id": "b1"}, image, Wait())


def test_it_is_built_again_until_a_right_to_push_that_was_granted_a_moment_ago_has_taken_effect(
    google, client, granted
):
    granted.note(
        Change(
            "artifact_repository", REPOSITORY, "roles/artifactregistry.writer", f"serviceAccount:{BUILDER}"
        )
    )
    google.answer("GET", f"{BUILDS}/b1", ENDED)
    google.answer("POST", BUILDS, {"metadata": {"build": {"id": "b2"}}})
    made = success("b2", "sha256:2")
    google.answer("GET", f"{BUILDS}/b2", {"id": "b2", "status": "WORKING"}, made)
    google.answer("POST", "https://logging.googleapis.com/v2/entries:list", {})
    build, image = finish(client)
    assert (build["id"], image.digest) == ("b2", "sha256:2")
    (again,) = [body for body in google.bodies("POST") if "steps" in body]
    assert {**again, "tags": again["tags"][:1]} == {
        name: ENDED[name] for name in ("source", "steps", "images", "serviceAccount", "timeout")
    } | {"tags": ["source-1"]}
    assert again["tags"][1] != "submission-1"


@pytest.mark.parametrize(
    "build", [ENDED, {**ENDED, "failureInfo": {"type": "USER_BUILD_STEP", "detail": "denied"}}]
)
def test_a_build_that_fails_for_another_reason_is_not_built_again(google, client, granted, build):
    # To push is what fails, and it was not granted; or it was granted, and something else fails.
    if build is not ENDED:
        granted.note(Change("artifact_repository", REPOSITORY, "r", f"serviceAccount:{BUILDER}"))
    google.answer("GET", f"{BUILDS}/b1", build)
    google.answer("POST", "https://logging.googleapis.com/v2/entries:list", {})
    with pytest.raises(BuildError):
        finish(client)
    assert [body for body in google.bodies("POST") if "steps" in body] == []


def test_a_build_that_was_not_started_is_started_once_more(google, client):
    google.answer("POST", BUILDS, (503, ""), {"metadata": {"build": {"id": "b2"}}})
    google.answer("GET", BUILDS, {})
    google.answer("GET", f"{BUILDS}/b2", {"id": "b2", "status": "QUEUED"})
    assert submit(client)["id"] == "b2"
    assert len(google.bodies("POST")) == 2


def test_a_failed_build_ends_with_its_log():
    answers = {
        "https://logging.googleapis.com/v2/entries:list": {
            "entries": [
                {"textPayload": "ERROR: no matching distribution"},
                {"textPayload": "Step 4/9 : RUN pip install"},
            ]
        }
    }
    build = {
        "id": "1",
        "status": "FAILURE",
        "failureInfo": {"detail": "step 0 failed."},
        "logUrl": "https://logs",
    }
    with pytest.raises(BuildError) as caught:
        builds(answers).built_image(build, Image(NAME, "source-1"))
    assert caught.value.message == (
        f"Failed to build {NAME}: build 1 ended with FAILURE: step 0 failed. The end of its log says why; fix the source and run "
        "again.\nStep 4/9 : RUN pip install\nERROR: no matching distribution"
    )
    assert caught.value.as_fail_json()["log_url"] == "https://logs"


def test_a_build_that_lacks_a_package_of_debian_names_it_however_much_is_printed_after():
    printed = ["Error: pg_config executable not found.", *["note: pip explains"] * 60]
    entries = [{"textPayload": line} for line in reversed(printed)]
    with pytest.raises(BuildError) as caught:
        builds({"https://logging.googleapis.com/v2/entries:list": {"entries": entries}}).built_image(
            {"id": "1", "status": "FAILURE"}, Image(NAME, "source-1")
        )
    assert "djangogcp_system_packages: [build-essential, libpq-dev]" in caught.value.message
    assert caught.value.message.splitlines()[1:] == ["note: pip explains"] * 40


@pytest.mark.parametrize(
    ("build", "cure"),
    [
        ({"failureInfo": {"type": "PUSH_NOT_AUTHORIZED"}}, "roles/artifactregistry.writer"),
        ({"failureInfo": {"type": "FETCH_SOURCE_FAILED"}}, "roles/storage.objectViewer"),
        ({"failureInfo": {"detail": "step exited with non-zero status: 137"}}, "ran out of memory"),
        ({"status": "INTERNAL_ERROR"}, "Run again."),
    ],
)
def test_what_to_do_about_a_failed_build_depends_on_what_failed(build, cure):
    build = {"id": "b1", "status": "FAILURE", "serviceAccount": "projects/p/serviceAccounts/b@x", **build}
    url = "https://logging.googleapis.com/v2/entries:list"
    with pytest.raises(BuildError) as caught:
        builds({url: {}}).built_image(build, Image(NAME, "source-1"))
    assert cure in caught.value.message


def test_a_finished_build_has_the_digest_of_its_image():
    assert builds({}).built_image(success("1", "sha256:aa"), Image(NAME, "source-1")).digest == "sha256:aa"


@pytest.mark.parametrize(
    ("status", "finished"), [("QUEUED", False), ("WORKING", False), ("SUCCESS", True), ("TIMEOUT", True)]
)
def test_only_queued_and_working_builds_go_on(status, finished):
    assert is_finished({"status": status}) is finished
