"""Cloud Build over HTTP: real sources, real builds, real pushes."""

from __future__ import annotations

import gzip
import io
import shutil
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.services.artifactregistry.api import ArtifactRegistry
from gcp_emulator.services.cloudbuild.ports import BuildLocations
from gcp_emulator.services.cloudbuild.request import substitute

from emulator.tests.running import RunningEmulator

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap (bwrap) is not installed")

PROJECT = "test-project"
BASE = "https://cloudbuild.googleapis.com/v1"
REGISTRY = "https://artifactregistry.googleapis.com/v1"
STORAGE = "https://storage.googleapis.com"
REPOSITORY = f"projects/{PROJECT}/locations/us-central1/repositories/web"
IMAGE = "us-central1-docker.pkg.dev/test-project/web/site:v1"
BUILDER = f"site-build@{PROJECT}.iam.gserviceaccount.com"
BUCKET = "test-source"
SCRATCH = "FROM scratch\nCOPY main.py /app/\n"


def tarball(**files: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("_py", ".py"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return gzip.compress(raw.getvalue())


class Site:
    """What a deploy makes before it builds: account, bucket, repository, grants; and the build itself."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self.emulator = emulator
        self.session = emulator.session()

    def prepare(self) -> Site:
        self._post(
            f"https://iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "site-build"}
        )
        self._post(f"{STORAGE}/storage/v1/b?project={PROJECT}", {"name": BUCKET})
        self._post(
            f"{REGISTRY}/projects/{PROJECT}/locations/us-central1/repositories?repositoryId=web",
            {"format": "DOCKER"},
        )
        member = f"serviceAccount:{BUILDER}"
        self.emulator.grant(f"projects/_/buckets/{BUCKET}", "roles/storage.objectViewer", member)
        self.emulator.grant(REPOSITORY, "roles/artifactregistry.writer", member)
        self.emulator.grant(f"projects/{PROJECT}", "roles/logging.logWriter", member)
        return self

    def _post(self, url: str, body: dict[str, Any]) -> Any:
        answer = self.session.post(url, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def upload(self, **files: str) -> None:
        answer = self.session.post(
            f"{STORAGE}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=source.tgz",
            data=tarball(**files),
        )
        assert answer.status_code == 200, answer.text

    def request(self, *args: str, **fields: Any) -> dict[str, Any]:
        return {
            "source": {"storageSource": {"bucket": BUCKET, "object": "source.tgz"}},
            "steps": [
                {"name": "gcr.io/cloud-builders/docker", "args": list(args) or ["build", "-t", IMAGE, "."]}
            ],
            "images": [IMAGE],
            "serviceAccount": f"projects/{PROJECT}/serviceAccounts/{BUILDER}",
            "options": {"logging": "CLOUD_LOGGING_ONLY"},
        } | fields

    def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        return dict(self._post(f"{BASE}/projects/{PROJECT}/locations/us-central1/builds", request))

    def refuse(self, request: dict[str, Any], member: str | None = None) -> tuple[int, str]:
        session = self.emulator.session(member) if member else self.session
        answer = session.post(f"{BASE}/projects/{PROJECT}/locations/us-central1/builds", json=request)
        return answer.status_code, answer.json()["error"]["message"]

    def wait(
        self, operation: dict[str, Any], until: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        until = until or (lambda current: bool(current.get("done")))
        while not until(operation):
            assert time.monotonic() < deadline, operation
            time.sleep(0.02)
            operation = self.session.get(f"{BASE}/{operation['name']}").json()
        return operation

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        return dict(self.wait(self.submit(request))["metadata"]["build"])

    def logs(self, build_id: str) -> list[str]:
        entries = self.emulator.call(lambda: list(self.emulator.context.logs.entries(PROJECT)))
        return [e["textPayload"] for _, e in entries if e["resource"]["labels"].get("build_id") == build_id]


@pytest.fixture
def site(emulator: RunningEmulator) -> Site:
    return Site(emulator).prepare()


def test_a_source_becomes_a_pushed_image(site: Site, emulator: RunningEmulator) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="print('hello')\n")

    operation = site.wait(site.submit(site.request()))

    build = operation["response"]
    assert build.pop("@type") == "type.googleapis.com/google.devtools.cloudbuild.v1.Build"
    assert operation["metadata"] == {
        "@type": "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata",
        "build": build,
    }
    assert build["status"] == "SUCCESS"
    assert build["name"] == f"projects/{emulator.number}/locations/us-central1/builds/{build['id']}"
    assert build["timeout"] == "3600s"
    assert set(build["timing"]) == {"FETCHSOURCE", "BUILD", "PUSH"}
    assert [step["status"] for step in build["steps"]] == ["SUCCESS"]
    [pushed] = build["results"]["images"]
    tag = site.session.get(f"{REGISTRY}/{REPOSITORY}/packages/site/tags/v1").json()
    assert tag["version"].endswith("/versions/" + pushed["digest"])
    image = emulator.call(emulator.emulator.service(ArtifactRegistry).image, IMAGE)
    assert image is not None
    assert (image.root / "app/main.py").read_text() == "print('hello')\n"
    source = site.session.get(f"{STORAGE}/storage/v1/b/{BUCKET}/o/source.tgz").json()
    assert build["sourceProvenance"]["resolvedStorageSource"] == {
        "bucket": BUCKET,
        "object": "source.tgz",
        "generation": source["generation"],
    }
    assert site.logs(build["id"]) == [
        f'starting build "{build["id"]}"',
        "",
        "FETCHSOURCE",
        f"Fetching storage object: gs://{BUCKET}/source.tgz#{source['generation']}",
        "BUILD",
        "Already have image (with digest): gcr.io/cloud-builders/docker",
        "Step 1/2 : FROM scratch",
        "Step 2/2 : COPY main.py /app/",
        f"Successfully built {pushed['digest'][7:19]}",
        f"Successfully tagged {IMAGE}",
        "PUSH",
        f"Pushing {IMAGE}",
        f"The push refers to repository [{IMAGE.removesuffix(':v1')}]",
        f"v1: digest: {pushed['digest']} size: 15",
        "DONE",
    ]
    for url in (f"projects/{PROJECT}/builds/{build['id']}", build["name"]):
        assert site.session.get(f"{BASE}/{url}").json() == build


def test_an_image_based_on_python_runs_its_commands(site: Site, emulator: RunningEmulator) -> None:
    site.upload(
        Dockerfile="FROM python:3-slim\nCOPY main.py /\nRUN python /main.py > /out\n", main_py="print(6*7)\n"
    )

    build = site.build(site.request())

    assert build["status"] == "SUCCESS", site.logs(build["id"])
    image = emulator.call(emulator.emulator.service(ArtifactRegistry).image, IMAGE)
    assert image is not None
    assert (image.root / "out").read_text() == "42\n"


def test_a_build_has_the_cache_that_an_image_brings_and_goes_on_without(site: Site) -> None:
    python = f"python:{sys.version_info[0]}.{sys.version_info[1]}-slim"
    site.upload(Dockerfile=f"FROM {python}\nRUN sleep 2.1; date +%s%N > /made\n")
    gone = f"--cache-from={IMAGE}-gone"
    inline = "--build-arg=BUILDKIT_INLINE_CACHE=1"
    step = {"name": "gcr.io/cloud-builders/docker", "env": ["DOCKER_BUILDKIT=1"]}

    def built(*options: str) -> tuple[str, list[str]]:
        request = site.request(steps=[{**step, "args": ["build", *options, "-t", IMAGE, "."]}])
        build = site.build(request)
        assert build["status"] == "SUCCESS"
        return build["results"]["images"][0]["digest"], site.logs(build["id"])

    first, log = built(inline, gone)
    assert f"ERROR: {IMAGE}-gone: not found" in log
    same, log = built(f"--cache-from={IMAGE.removesuffix(':v1')}@{first}")
    assert " ---> Using cache" in log
    assert same == first
    other, log = built()
    assert " ---> Using cache" not in log
    assert other != first


def test_a_failing_dockerfile_fails_the_build_and_pushes_nothing(
    site: Site, emulator: RunningEmulator
) -> None:
    site.upload(Dockerfile="FROM scratch\nCOPY nothing /\n", main_py="")

    operation = site.wait(site.submit(site.request()))

    build = operation["metadata"]["build"]
    assert operation["error"] == {"code": 2, "message": "Build failed; check build logs for details"}
    assert build["status"] == "FAILURE"
    assert build["failureInfo"] == {
        "type": "USER_BUILD_STEP",
        "detail": 'Build step failure: build step 0 "gcr.io/cloud-builders/docker" failed: step exited with non-zero status: 1',
    }
    assert (build["steps"][0]["status"], build["steps"][0]["exitCode"]) == ("FAILURE", 1)
    assert build["results"] == {}
    assert site.logs(build["id"])[-3:] == [
        (
            "COPY failed: file not found in build context or excluded by .dockerignore: stat nothing: file does not"
            " exist"
        ),
        "ERROR",
        'ERROR: build step 0 "gcr.io/cloud-builders/docker" failed: step exited with non-zero status: 1',
    ]
    assert emulator.emulator.service(ArtifactRegistry).images.list() == ()


@pytest.mark.parametrize(
    ("kind", "status", "line"),
    [
        ("build_out_of_memory", 137, "Killed"),
        ("build_disk_full", 1, "write /var/lib/docker/tmp/layer: no space left on device"),
    ],
)
def test_a_fault_ends_the_step_of_one_build(
    site: Site, emulator: RunningEmulator, kind: str, status: int, line: str
) -> None:
    emulator.plan({"method": "cloudbuild.projects.locations.builds.create", "kind": kind})
    site.upload(Dockerfile="FROM scratch\nCOPY main.py /\n", main_py="")
    build = site.wait(site.submit(site.request()))["metadata"]["build"]
    assert (build["status"], build["steps"][0]["exitCode"]) == ("FAILURE", status)
    assert any(text.endswith(line) for text in site.logs(build["id"]))
    assert site.wait(site.submit(site.request()))["metadata"]["build"]["status"] == "SUCCESS"


def test_steps_substitutions_files_and_tags_work_together(site: Site) -> None:
    site.upload(docker__web="FROM scratch\nARG WHO\nENV WHO=$WHO\nCOPY main.py /\n", main_py="")
    docker = "gcr.io/cloud-builders/docker"
    steps = [
        {
            "name": docker,
            "id": "build",
            "args": [
                "build",
                "-f",
                "docker/web",
                "--build-arg",
                "WHO=$_WHO-$PROJECT_ID",
                "-t",
                "local",
                "--no-cache",
                ".",
            ],
        },
        {"name": docker, "args": ["tag", "local", IMAGE]},
        {"name": docker, "args": ["push", IMAGE]},
    ]

    build = site.build(site.request(steps=steps, images=[], substitutions={"_WHO": "me"}))

    lines = site.logs(build["id"])
    assert build["status"] == "SUCCESS", lines
    assert 'Starting Step #0 - "build"' in lines
    assert 'Step #0 - "build": Note: the emulator\'s builder ignores --no-cache' in lines
    assert 'Step #0 - "build": Successfully tagged local:latest' in lines
    image = site.emulator.call(site.emulator.emulator.service(ArtifactRegistry).image, IMAGE)
    assert image is not None
    assert "WHO=me-test-project" in image.config.env


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (
            {"name": "gcr.io/cloud-builders/gcloud", "args": ["run", "deploy"]},
            "The emulator runs the builder gcr.io/cloud-builders/docker only, and this step asks for"
            + ' "gcr.io/cloud-builders/gcloud".',
        ),
        (
            {"name": "gcr.io/cloud-builders/docker", "entrypoint": "bash", "args": ["-c", "true"]},
            'The emulator does not run the entrypoint "bash" in gcr.io/cloud-builders/docker, only docker itself.',
        ),
        (
            {"name": "gcr.io/cloud-builders/docker", "args": ["run", "x"]},
            "docker: 'run' is not emulated; the emulator's docker knows build, tag and push.",
        ),
        (
            {"name": "gcr.io/cloud-builders/docker", "args": ["build", "--squash", "."]},
            "docker: unrecognized arguments: --squash.",
        ),
        (
            {"name": "gcr.io/cloud-builders/docker", "args": ["build", "../.."]},
            "docker: the context must be a folder of the workspace, not ../...",
        ),
        (
            {"name": "gcr.io/cloud-builders/docker", "args": ["push", "nothing"]},
            "An image does not exist locally with the tag: nothing",
        ),
    ],
)
def test_what_the_builder_does_not_do_fails_and_says_so(site: Site, step: dict[str, Any], line: str) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")

    build = site.build(site.request(steps=[step]))

    assert build["status"] == "FAILURE"
    assert line in site.logs(build["id"])


def test_without_the_writer_role_the_push_is_not_authorised(site: Site, emulator: RunningEmulator) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    emulator.call(emulator.context.iam.forget, REPOSITORY)

    build = site.build(site.request())

    assert build["failureInfo"] == {
        "type": "PUSH_NOT_AUTHORIZED",
        "detail": f"failed to push {IMAGE}: denied: Permission"
        f' "artifactregistry.repositories.uploadArtifacts" denied on resource "{REPOSITORY}" (or it may not exist)',
    }


def test_an_image_that_no_step_built_cannot_be_pushed(site: Site) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")

    build = site.build(site.request("build", "-t", "other", "."))

    assert build["failureInfo"]["type"] == "PUSH_IMAGE_NOT_FOUND"


def test_a_source_that_is_no_archive_fails_to_be_fetched(site: Site) -> None:
    site.session.post(
        f"{STORAGE}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=source.tgz", data=b"hello"
    )

    build = site.build(site.request())

    assert build["failureInfo"]["type"] == "FETCH_SOURCE_FAILED"
    assert "not a readable tar archive" in build["failureInfo"]["detail"]


def test_without_permission_to_log_the_build_warns_and_goes_on(site: Site, emulator: RunningEmulator) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    policy = emulator.call(emulator.context.iam.get_policy, f"projects/{PROJECT}")
    policy["bindings"] = [b for b in policy["bindings"] if b["role"] != "roles/logging.logWriter"]
    emulator.call(emulator.context.iam.set_policy, f"projects/{PROJECT}", policy)

    build = site.build(site.request())

    assert build["status"] == "SUCCESS"
    assert build["warnings"] == [
        {
            "text": f"The service account running this build projects/{PROJECT}/serviceAccounts/{BUILDER} does not have"
            " permission to write logs to Cloud Logging. To fix this, grant the Logs Writer (roles/logging.logWriter) role"
            " to the service account.",
            "priority": "ALERT",
        }
    ]
    assert site.logs(build["id"]) == []


def test_the_log_goes_to_the_bucket_that_the_build_names(site: Site, emulator: RunningEmulator) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    emulator.grant(f"projects/_/buckets/{BUCKET}", "roles/storage.objectCreator", f"serviceAccount:{BUILDER}")

    build = site.build(site.request(logsBucket=f"gs://{BUCKET}/logs", options={"logging": "GCS_ONLY"}))

    log = site.session.get(f"{STORAGE}/storage/v1/b/{BUCKET}/o/logs%2Flog-{build['id']}.txt?alt=media").text
    assert log.startswith(f'starting build "{build["id"]}"\n')
    assert log.endswith("DONE\n")
    assert site.logs(build["id"]) == []


def test_the_log_of_a_build_that_names_no_bucket_can_be_followed_in_googles(
    site: Site, emulator: RunningEmulator
) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    default = f"serviceAccount:{emulator.number}-compute@developer.gserviceaccount.com"
    emulator.grant(f"projects/{PROJECT}", "roles/cloudbuild.builds.builder", default)
    request = {
        key: value for key, value in site.request().items() if key not in ("serviceAccount", "options")
    }

    build = site.build(request)

    assert build["status"] == "SUCCESS"
    assert build["logsBucket"] == f"gs://{emulator.number}.cloudbuild-logs.googleusercontent.com"
    url = f"{STORAGE}/{emulator.number}.cloudbuild-logs.googleusercontent.com/log-{build['id']}.txt"
    whole = site.session.get(url)
    assert whole.text.startswith(f'starting build "{build["id"]}"\n')
    rest = site.session.get(url, headers={"Range": "bytes=10-"})
    assert (rest.status_code, rest.text) == (206, whole.text[10:])
    assert site.session.get(url, headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416
    assert site.session.get(url.replace(build["id"], "0" * 36)).status_code == 404
    assert emulator.session("user:stranger@example.com").get(url).status_code == 403
    assert emulator.session(None).get(url).status_code == 401


def test_the_source_is_read_as_the_build_s_account(site: Site, emulator: RunningEmulator) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    emulator.call(emulator.context.iam.forget, f"projects/_/buckets/{BUCKET}")

    status, message = site.refuse(site.request())

    assert status == 400
    assert message.startswith(
        f"could not resolve source: googleapi: Error 403: {BUILDER} does not have storage.objects.get"
    )
    assert message.endswith(", forbidden")


def test_a_missing_source_is_refused_at_once(site: Site) -> None:
    assert site.refuse(site.request()) == (
        400,
        f"could not resolve source: googleapi: Error 404: No such object: {BUCKET}/source.tgz, notFound",
    )


def test_the_caller_must_be_allowed_to_act_as_the_build_s_account(
    site: Site, emulator: RunningEmulator
) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    deployer = "user:deployer@example.com"
    emulator.grant(f"projects/{PROJECT}", "roles/cloudbuild.builds.editor", deployer)
    account = f"projects/{PROJECT}/serviceAccounts/{BUILDER}"

    number = emulator.session().get(f"https://iam.googleapis.com/v1/{account}").json()["uniqueId"]
    told = f"projects/{PROJECT}/serviceAccounts/{number}"
    refused = (403, f"caller does not have permission to act as service account {told}")
    assert site.refuse(site.request(), deployer) == refused
    emulator.grant(account, "roles/iam.serviceAccountUser", deployer)
    answer = emulator.session(deployer).post(f"{BASE}/projects/{PROJECT}/builds", json=site.request())
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"].startswith(f"operations/build/{PROJECT}/")
    site.wait(answer.json())


def test_an_account_that_does_not_exist_is_refused(site: Site) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    account = f"projects/{PROJECT}/serviceAccounts/none@{PROJECT}.iam.gserviceaccount.com"

    assert site.refuse(site.request(serviceAccount=account)) == (
        403,
        f"caller does not have permission to act as service account {account}",
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": []}, "Required field 'steps' is missing or empty."),
        ({"steps": [{"args": ["x"]}]}, "invalid build: build step 0 must specify name"),
        (
            {"options": {}},
            "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', (b) use the"
            + " REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or (c) use either"
            + " CLOUD_LOGGING_ONLY / NONE logging options",
        ),
        ({"timeout": "86401s"}, "invalid build: timeout 86401s must be positive and at most 86400s"),
        (
            {"substitutions": {"_A": "1"}},
            "invalid value for 'build.substitutions': key \"_A\" in the substitution data is not matched in the template",
        ),
        (
            {"images": ["$_NONE"]},
            "invalid value for 'build.substitutions': key \"_NONE\" in the template is not matched in the substitution data;"
            + " substitutions = {}",
        ),
        (
            {"images": ["$NONE"]},
            "invalid value for 'build.substitutions': key in the template \"NONE\" is not a valid built-in substitution",
        ),
        (
            {"source": {"repoSource": {"repoName": "r"}}},
            "The emulator builds from storageSource only, not from repoSource.",
        ),
        (
            {"steps": [{"name": "gcr.io/cloud-builders/docker", "script": "x"}]},
            "The emulator does not do what 'steps[0].script' asks for, and refuses it rather than ignore it.",
        ),
        (
            {"serviceAccount": "someone"},
            "invalid value for 'build.service_account': 'someone': expected projects/PROJECT/serviceAccounts/ACCOUNT",
        ),
    ],
)
def test_a_request_that_cannot_be_a_build_is_refused(
    site: Site, fields: dict[str, Any], message: str
) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")

    assert site.refuse(site.request(**fields)) == (400, message)


SLEEP = "FROM python:3-slim\nRUN echo waiting && sleep 4242\n"


def waiting(site: Site, operation: dict[str, Any]) -> bool:
    return "waiting" in site.logs(operation["metadata"]["build"]["id"])


def test_a_running_build_can_be_cancelled(site: Site) -> None:
    site.upload(Dockerfile=SLEEP)
    operation = site.wait(site.submit(site.request()), lambda current: waiting(site, current))
    build = operation["metadata"]["build"]
    assert build["status"] == "WORKING"

    cancelled = site.session.post(f"{BASE}/projects/{PROJECT}/builds/{build['id']}:cancel", json={}).json()
    again = site.session.post(f"{BASE}/{build['name']}:cancel", json={})

    assert (cancelled["status"], cancelled["steps"][0]["status"]) == ("CANCELLED", "CANCELLED")
    assert again.json()["error"]["message"] == f"Cannot cancel build {build['id']}: its status is CANCELLED."
    assert site.wait(operation)["error"] == {"code": 1, "message": "Build cancelled"}
    assert not (site.emulator.emulator.settings.state / "cloudbuild/workspaces" / build["id"]).exists()


def test_a_build_that_takes_too_long_times_out(site: Site) -> None:
    site.upload(Dockerfile=SCRATCH + "COPY missing /\n", main_py="")
    site.build(site.request())  # the interpreters of this machine are found by now
    site.upload(Dockerfile=SLEEP)

    operation = site.wait(site.submit(site.request(timeout="1s")))

    assert operation["metadata"]["build"]["status"] == "TIMEOUT"
    assert operation["error"] == {"code": 4, "message": "Build timed out"}


def test_a_stopped_emulator_ends_its_builds_and_remembers_the_others(tmp_path: Path) -> None:
    first = RunningEmulator(tmp_path / "state")
    site = Site(first).prepare()
    site.upload(Dockerfile=SCRATCH, main_py="")
    done = site.build(site.request())
    site.upload(Dockerfile=SLEEP)
    running = site.wait(site.submit(site.request()), lambda current: waiting(site, current))
    first.stop()

    second = RunningEmulator(tmp_path / "state")
    try:
        later = Site(second)
        assert later.session.get(f"{BASE}/{done['name']}").json() == done
        operation = later.session.get(f"{BASE}/{running['name']}").json()
        assert operation["metadata"]["build"]["status"] == "INTERNAL_ERROR"
        assert (
            operation["metadata"]["build"]["statusDetail"] == "The emulator was stopped while the build ran."
        )
        image = second.call(second.emulator.service(ArtifactRegistry).image, IMAGE)
        assert image is not None
        assert (image.root / "app/main.py").exists()
    finally:
        second.stop()


def test_builds_are_listed_newest_first_and_filtered(site: Site) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    one = site.build(site.request(tags=["a"]))
    two = site.build(site.request("build", "-t", "x", "."))
    url = f"{BASE}/projects/{PROJECT}/locations/us-central1/builds"

    def listed(filter_text: str) -> list[str]:
        answer = site.session.get(url, params={"filter": filter_text})
        assert answer.status_code == 200, answer.text
        return [build["id"] for build in answer.json().get("builds", [])]

    assert listed("") == [two["id"], one["id"]]
    assert listed('status="SUCCESS"') == [one["id"]]
    assert listed(f'status="FAILURE" AND build_id="{two["id"]}"') == [two["id"]]
    assert listed('tags="a"') == [one["id"]]
    refused = site.session.get(url, params={"filter": "create_time > 1"})
    assert refused.json()["error"]["message"] == (
        "The emulator's filter knows status, tags, build_id and images with = and AND, not: create_time > 1"
    )


def test_an_operation_is_for_those_who_may_see_builds(site: Site, emulator: RunningEmulator) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    operation = site.wait(site.submit(site.request()))

    answer = emulator.session("user:stranger@example.com").get(f"{BASE}/{operation['name']}")

    assert answer.status_code == 403
    assert site.session.get(f"{BASE}/operations/build/{PROJECT}/nonsense").status_code == 404


def test_variables_are_replaced_and_a_double_dollar_is_one() -> None:
    build = {
        "steps": [{"name": "n", "args": ["$PROJECT_ID/${_A}", "$$HOME", "$SHORT_SHA."]}],
        "substitutions": {"_A": "a"},
    }

    assert substitute(build, {"PROJECT_ID": "p"})["steps"][0]["args"] == ["p/a", "$HOME", "."]


def test_loose_substitution_forgives_both_ways() -> None:
    build = {
        "steps": [{"name": "n", "args": ["$_B"]}],
        "substitutions": {"_A": "a"},
        "options": {"substitutionOption": "ALLOW_LOOSE"},
    }

    assert substitute(build, {})["steps"][0]["args"] == [""]


def refused_in(site: Site, location: str) -> tuple[int, str]:
    url = f"{BASE}/projects/{PROJECT}/locations/{location}/builds"
    answer = site.session.post(url, json=site.request())
    return answer.status_code, answer.json().get("error", {}).get("message", "")


def test_a_project_may_be_kept_from_most_regions(site: Site) -> None:
    site.upload(Dockerfile=SCRATCH, main_py="")
    assert refused_in(site, "europe-west3") == (200, "")
    site.emulator.call(site.emulator.context.ports.find(BuildLocations).restrict, PROJECT)
    assert refused_in(site, "europe-west3") == (
        400,
        "failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support",
    )
    assert refused_in(site, "europe-west1") == refused_in(site, "global") == (200, "")


def test_nothing_is_built_where_cloud_build_is_not(site: Site) -> None:
    assert refused_in(site, "mars-west1")[0] == 403
    assert site.session.get(f"{BASE}/projects/{PROJECT}/locations/mars-west1/builds").status_code == 403
    assert site.session.get(f"{BASE}/projects/{PROJECT}/locations/-/builds").json() == {}
