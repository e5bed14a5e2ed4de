"""What recorded conversations told of Cloud Run: what is filled in, told and left out, what errors say, what operations carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.run.support import REPOSITORY, Client, add_image, add_repository
from emulator.tests.workloads.apps import SERVE, SERVER

PARENT = f"projects/{PROJECT}/locations/us-central1"
SAMPLE = "us-docker.pkg.dev/cloudrun/container/hello"
NUMBERS = {"$alt": "json;enum-encoding=int"}


@pytest.fixture
def api(emulator: RunningEmulator) -> Client:
    return Client(emulator)


def declared(kind: str, container: dict[str, Any], **template: Any) -> dict[str, Any]:
    inner = {"containers": [{"image": SAMPLE, **container}], **template}
    return {"template": {"template": inner} if kind == "jobs" else inner}


def of(kind: str, resource: Any) -> Any:
    return resource["template"]["template"] if kind == "jobs" else resource["template"]


@pytest.mark.parametrize(
    ("kind", "noun"), [("services", "service"), ("jobs", "job"), ("workerPools", "workerPool")]
)
def test_what_is_not_there(api: Client, kind: str, noun: str) -> None:
    for call in (
        lambda: api.call("GET", f"{PARENT}/{kind}/none"),
        lambda: api.call("DELETE", f"{PARENT}/{kind}/none"),
        lambda: api.call("GET", f"{PARENT}/{kind}/none:getIamPolicy"),
    ):
        answer = call()
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == f'{noun} "{PARENT}/{kind}/none" not found'


@pytest.mark.parametrize("kind", ["services", "jobs", "workerPools"])
def test_an_operation_shows_the_resource_as_it_is_to_be_and_then_as_it_is(api: Client, kind: str) -> None:
    identifier = {"services": "serviceId", "jobs": "jobId", "workerPools": "workerPoolId"}[kind]
    answer = api.call("POST", f"{PARENT}/{kind}", declared(kind, {}), **{identifier: "one"}).json()
    assert "done" not in answer
    assert answer["metadata"]["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    operation = api.finished(answer)
    assert operation["done"] is True
    assert operation["metadata"] == operation["response"]
    assert operation["response"]["creator"] == operation["response"]["lastModifier"] == "owner@example.com"
    template = of(kind, operation["response"])
    assert template["containers"][0]["resources"]["limits"] == {"cpu": "1000m", "memory": "512Mi"}
    assert template["serviceAccount"] == f"{api.emulator.number}-compute@developer.gserviceaccount.com"
    assert operation["response"]["launchStage"] == "GA"
    deleted = api.done(api.call("DELETE", f"{PARENT}/{kind}/one"))
    assert deleted["metadata"]["@type"] == deleted["response"]["@type"]
    assert deleted["response"]["uid"] == operation["response"]["uid"]


def test_an_operation_that_fails_shows_the_resource_that_failed(api: Client) -> None:
    image = f"us-central1-docker.pkg.dev/{PROJECT}/none/none"
    operation = api.done(
        api.call(
            "POST",
            f"{PARENT}/jobs",
            {"template": {"template": {"containers": [{"image": image}]}}},
            jobId="one",
        )
    )
    assert operation["error"]["message"] == f"Image '{image}' not found."
    assert operation["metadata"]["terminalCondition"]["state"] == "CONDITION_FAILED"


def test_enums_are_sent_and_told_as_numbers(api: Client) -> None:
    body = {**declared("jobs", {}), "launchStage": 4}
    answer = api.call("POST", f"{PARENT}/jobs", body, jobId="one", **NUMBERS).json()
    metadata = answer["metadata"]
    assert metadata["launchStage"] == metadata["terminalCondition"]["state"] == 4
    assert metadata["template"]["template"]["executionEnvironment"] == 2
    operation = api.finished(answer)
    assert operation["response"]["launchStage"] == "GA"
    assert api.call("GET", f"{PARENT}/jobs/one", **NUMBERS).json()["terminalCondition"]["state"] == 4


def test_a_job_tells_its_defaults(api: Client) -> None:
    job = api.create_job(declared("jobs", {}), "one")["response"]
    task = job["template"]["template"]
    assert job["latestCreatedExecution"] == {}
    assert job["template"]["taskCount"] == 1
    assert {name: task[name] for name in ("maxRetries", "timeout", "executionEnvironment")} == {
        "maxRetries": 3,
        "timeout": "600s",
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
    }
    assert "executionCount" not in job
    never = api.create_job(declared("jobs", {}, maxRetries=0), "two")["response"]
    assert never["template"]["template"]["maxRetries"] == 0


@pytest.mark.parametrize("kind", ["services", "jobs", "workerPools"])
def test_what_is_only_stored_is_told_as_it_was_asked(api: Client, kind: str) -> None:
    asked = declared(kind, {}, vpcAccess={"connector": f"{PARENT}/connectors/c", "egress": "ALL_TRAFFIC"})
    asked["binaryAuthorization"] = {"useDefault": False}
    create = {"services": api.create, "jobs": api.create_job}.get(kind)
    if create:
        made = create(asked, "one")["response"]
    else:
        made = api.done(api.call("POST", f"{PARENT}/workerPools", asked, workerPoolId="one"))["response"]
    assert made["binaryAuthorization"] == {"useDefault": False}
    assert of(kind, made)["vpcAccess"] == of(kind, asked)["vpcAccess"]


VOLUMES: list[dict[str, Any]] = [
    {"gcs": {"bucket": "b", "mountOptions": ["implicit-dirs"], "readOnly": True}},
    {"nfs": {"server": "10.0.0.1", "path": "/exports", "readOnly": True}},
]


@pytest.mark.parametrize("volume", VOLUMES, ids=["gcs", "nfs"])
def test_a_volume_that_nothing_here_mounts_is_stored_and_the_log_says_that_it_is_empty(
    api: Client, volume: dict[str, Any]
) -> None:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/mnt/v"}]}
    job = declared("jobs", mount, volumes=[{"name": "v", **volume}])
    job["template"]["template"]["containers"][0]["image"] = SAMPLE.replace("hello", "job")
    made = api.create_job(job, "one")["response"]
    assert made["template"]["template"]["volumes"] == [{"name": "v", **volume}]
    api.run(name="one")
    service = api.create(declared("services", mount, volumes=[{"name": "v", **volume}]))["response"]
    assert service["template"]["volumes"] == [{"name": "v", **volume}]
    entries = api.emulator.call(lambda: [one for _, one in api.emulator.context.logs.entries(PROJECT)])
    told = [one for one in entries if "gcp-emulator does not mount" in one.get("textPayload", "")]
    assert {one["resource"]["type"] for one in told} == {"cloud_run_job", "cloud_run_revision"}
    assert {one["severity"] for one in told} == {"WARNING"}


def test_two_ways_of_binary_authorization_are_refused(api: Client) -> None:
    asked = {
        **declared("jobs", {}),
        "binaryAuthorization": {"useDefault": True, "policy": "projects/p/platforms/cloudRun/x"},
    }
    assert api.call("POST", f"{PARENT}/jobs", asked, jobId="one").status_code == 400


def test_the_sample_serves_works_and_ends_well(api: Client) -> None:
    service = api.create({**declared("services", {}), "invokerIamDisabled": True})["response"]
    assert "It's running!" in api.anonymous.get(service["uri"]).text
    job = declared("jobs", {})
    job["template"]["template"]["containers"][0]["image"] = "us-docker.pkg.dev/cloudrun/container/job"
    api.create_job(job, "one")
    assert api.run(name="one")["response"]["succeededCount"] == 1


def test_a_probe_is_told_with_what_google_fills_in(api: Client) -> None:
    probes = {
        "livenessProbe": {"httpGet": {}},
        "startupProbe": {"tcpSocket": {}, "failureThreshold": 2, "initialDelaySeconds": 1},
    }
    container = api.create(declared("services", probes))["response"]["template"]["containers"][0]
    filled = {"timeoutSeconds": 1, "periodSeconds": 10}
    assert container["livenessProbe"] == {
        **filled,
        "failureThreshold": 3,
        "httpGet": {"path": "/", "port": 8080},
    }
    assert container["startupProbe"] == {
        **filled,
        "failureThreshold": 2,
        "initialDelaySeconds": 1,
        "tcpSocket": {"port": 8080},
    }


def test_a_service_has_sidecars_that_its_container_reaches_on_localhost(api: Client) -> None:
    reached = """
        import urllib.request
        class Handler(Handler):
            def answer(self):
                return {"beside": urllib.request.urlopen("http://127.0.0.1:9000/", timeout=5).read().decode()}
    """
    add_repository(api)
    add_image(api, "web:front", SERVER, reached, SERVE)
    asked = {
        "invokerIamDisabled": True,
        "template": {
            "containers": [
                {
                    "name": "web",
                    "image": f"{REPOSITORY}/web:front",
                    "ports": [{"containerPort": 8080}],
                    "dependsOn": ["beside"],
                },
                {
                    "name": "beside",
                    "image": SAMPLE,
                    "env": [{"name": "PORT", "value": "9000"}],
                    "startupProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 10, "timeoutSeconds": 10},
                },
            ]
        },
    }
    service = api.create(asked)["response"]
    assert len(service["template"]["containers"]) == 2
    assert "It's running!" in api.open().json()["beside"]
    revision = api.get(service["latestReadyRevision"])
    assert [one["name"] for one in revision["containerStatuses"]] == ["web", "beside"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (
            lambda one, two: two.update(ports=[{"containerPort": 9000}]),
            "exactly one container must have ports",
        ),
        (lambda one, two: one.update(dependsOn=["nobody"]), "depends_on"),
        (lambda one, two: (one.update(dependsOn=["b"]), two.update(dependsOn=["a"])), "depends_on"),
        (lambda one, two: two.update(name="a"), "must be unique"),
    ],
)
def test_containers_that_do_not_fit_together_are_refused(
    api: Client, change: Callable[[Any, Any], Any], part: str
) -> None:
    one: dict[str, Any] = {"name": "a", "image": SAMPLE, "ports": [{"containerPort": 8080}]}
    two: dict[str, Any] = {"name": "b", "image": SAMPLE}
    change(one, two)
    answer = api.call("POST", f"{PARENT}/services", {"template": {"containers": [one, two]}}, serviceId="web")
    assert answer.status_code == 400
    assert part in answer.json()["error"]["message"]
