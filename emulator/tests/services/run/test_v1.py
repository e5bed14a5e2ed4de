"""Cloud Run's API v1: its spelling of what v2 stores, and its calls on a running emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from gcp_emulator.engine import discovery
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.engine.validate import BodyValidator
from gcp_emulator.services.artifactregistry.api import ArtifactRegistry
from gcp_emulator.services.run import v1_spec, v1_view
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.tests.running import PROJECT, RunningEmulator, until
from emulator.tests.workloads.apps import SERVE, SERVER, image_of

REGION = "us-central1"
HOST = f"https://{REGION}-run.googleapis.com"
SERVING = f"/apis/serving.knative.dev/v1/namespaces/{PROJECT}"
JOBS = f"/apis/run.googleapis.com/v1/namespaces/{PROJECT}"
REPOSITORY = f"{REGION}-docker.pkg.dev/{PROJECT}/djangogcp"

# ------------------------------------------------------------------ round trips

_WORD = st.from_regex(r"[a-z][a-z0-9-]{0,6}[a-z0-9]", fullmatch=True)
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
_COUNT = st.integers(1, 1000)
_LABELS = st.dictionaries(_WORD, _WORD, min_size=1, max_size=2)


def message(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required or {}, optional=optional)


def annotations(**values: Any) -> st.SearchStrategy[Any]:
    """Annotations by their last parts, below ``run.googleapis.com`` unless a group is given as GROUP__NAME."""

    def named(found: dict[str, str]) -> dict[str, str]:
        groups = {"autoscaling": "autoscaling.knative.dev"}
        result = {"example.com/note": "kept"}
        for key, value in found.items():
            group, _, name = key.rpartition("__")
            result[f"{groups.get(group, 'run.googleapis.com')}/{name.replace('_', '-')}"] = value
        return result

    return st.fixed_dictionaries({}, optional=values).map(named)


_NUMBER = st.integers(1, 100).map(str)
_TRUE, _FALSE = st.just("true"), st.just("false")
_CLIENT = {"client_name": _WORD, "client_version": _WORD}
_SQL = {"cloudsql_instances": st.sampled_from(["p:us-central1:a", "p:us-central1:a,p:us-central1:b"])}
_PROBE = message(
    initialDelaySeconds=_COUNT,
    timeoutSeconds=_COUNT,
    periodSeconds=_COUNT,
    failureThreshold=_COUNT,
    httpGet=message({"path": _WORD}, port=_COUNT),
)
_ENV = st.one_of(
    message({"name": _WORD}, value=_TEXT),
    message(
        {"name": _WORD, "valueFrom": message({"secretKeyRef": message({"name": _WORD, "key": _NUMBER})})}
    ),
)
_CONTAINER = message(
    {"image": _WORD},
    name=_WORD,
    command=st.lists(_TEXT, max_size=2),
    args=st.lists(_TEXT, max_size=2),
    workingDir=_TEXT,
    env=st.lists(_ENV, max_size=3),
    ports=st.lists(message({"containerPort": _COUNT}, name=_WORD), max_size=1),
    resources=message({"limits": st.dictionaries(st.sampled_from(["cpu", "memory"]), _WORD, min_size=1)}),
    volumeMounts=st.lists(message({"name": _WORD, "mountPath": _WORD}), min_size=1, max_size=2),
    startupProbe=_PROBE,
    livenessProbe=_PROBE,
)
_VOLUME = st.one_of(
    message({"name": _WORD, "emptyDir": message(medium=st.just("Memory"), sizeLimit=_WORD)}),
    message(
        {
            "name": _WORD,
            "secret": message(
                {"secretName": _WORD},
                defaultMode=_COUNT,
                items=st.lists(message({"key": _NUMBER, "path": _WORD}, mode=_COUNT), max_size=2),
            ),
        }
    ),
)
_VOLUMES = st.lists(_VOLUME, min_size=1, max_size=2)
_TARGET = st.one_of(
    message({"latestRevision": st.just(True)}, percent=_COUNT, tag=_WORD),
    message({"revisionName": _WORD}, percent=_COUNT, tag=_WORD),
)
SERVICES = message(
    {
        "metadata": message(
            {
                "annotations": annotations(
                    **_CLIENT,
                    description=_WORD,
                    launch_stage=st.sampled_from(["BETA", "ALPHA"]),
                    ingress=st.sampled_from(["all", "internal", "internal-and-cloud-load-balancing"]),
                    invoker_iam_disabled=_TRUE,
                    default_url_disabled=_TRUE,
                    custom_audiences=st.just('["https://a.example", "b"]'),
                    minScale=_NUMBER,
                    maxScale=_NUMBER,
                    manualInstanceCount=_NUMBER,
                    scalingMode=st.sampled_from(["automatic", "manual"]),
                )
            },
            labels=_LABELS,
        ),
        "spec": message(
            {
                "template": message(
                    {
                        "metadata": message(
                            {
                                "annotations": annotations(
                                    **_CLIENT,
                                    **_SQL,
                                    autoscaling__minScale=_NUMBER,
                                    autoscaling__maxScale=_NUMBER,
                                    execution_environment=st.sampled_from(["gen1", "gen2"]),
                                    health_check_disabled=_TRUE,
                                    cpu_throttling=_FALSE,
                                    startup_cpu_boost=_TRUE,
                                )
                            },
                            labels=_LABELS,
                            name=_WORD,
                        ),
                        "spec": message(
                            {"containers": st.lists(_CONTAINER, min_size=1, max_size=1)},
                            volumes=_VOLUMES,
                            containerConcurrency=_COUNT,
                            timeoutSeconds=_COUNT,
                            serviceAccountName=_WORD,
                        ),
                    }
                )
            },
            traffic=st.lists(_TARGET, min_size=1, max_size=3),
        ),
    }
)
JOB_BODIES = message(
    {
        "metadata": message(
            {"annotations": annotations(**_CLIENT, launch_stage=st.just("BETA"))}, labels=_LABELS
        ),
        "spec": message(
            {
                "template": message(
                    {
                        "metadata": message(
                            {
                                "annotations": annotations(
                                    **_CLIENT, **_SQL, execution_environment=st.sampled_from(["gen1", "gen2"])
                                )
                            },
                            labels=_LABELS,
                        ),
                        "spec": message(
                            {
                                "template": message(
                                    {
                                        "spec": message(
                                            {"containers": st.lists(_CONTAINER, min_size=1, max_size=1)},
                                            volumes=_VOLUMES,
                                            maxRetries=_COUNT,
                                            timeoutSeconds=_NUMBER,
                                            serviceAccountName=_WORD,
                                        )
                                    }
                                )
                            },
                            taskCount=_COUNT,
                            parallelism=_COUNT,
                        ),
                    }
                )
            }
        ),
    }
)
_V2 = BodyValidator(discovery.load("run", "v2").schemas, {})
_V1 = BodyValidator(discovery.load("run", "v1").schemas, {})


@settings(deadline=None)  # the machine may be busy
@given(SERVICES)
def test_a_service_comes_back_from_v2_as_it_was_and_both_are_valid(service: Any) -> None:
    assert _V1.validate("Service", service) == service
    stored = v1_spec.service_to_v2(service)
    assert _V2.validate("GoogleCloudRunV2Service", stored) == stored
    assert v1_spec.service_to_v1(stored) == service


@settings(deadline=None)  # the machine may be busy
@given(JOB_BODIES)
def test_a_job_comes_back_from_v2_as_it_was_and_both_are_valid(job: Any) -> None:
    assert _V1.validate("Job", job) == job
    stored = v1_spec.job_to_v2(job)
    assert _V2.validate("GoogleCloudRunV2Job", stored) == stored
    assert v1_spec.job_to_v1(stored) == job


def template(**metadata: Any) -> Any:
    return {"metadata": metadata, "spec": {"containers": [{"image": "a/b"}]}}


def test_a_secret_of_another_project_has_an_alias_that_an_annotation_explains() -> None:
    secret = "projects/other/secrets/token"
    reference = {"name": "TOKEN", "valueSource": {"secretKeyRef": {"secret": secret, "version": "3"}}}
    stored = {"containers": [{"image": "a/b", "env": [reference], "resources": {"cpuIdle": True}}]}
    shown = v1_spec.revision_to_v1(stored)
    alias = shown["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"]
    assert shown["metadata"]["annotations"] == {"run.googleapis.com/secrets": f"{alias}:{secret}"}
    assert v1_spec.revision_to_v2(shown) == stored


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"annotations": {"run.googleapis.com/mesh": "m"}},
            "gcp-emulator does not emulate the annotation run.googleapis.com/mesh (spec.template.metadata) of Cloud Run; "
            "nothing was done.",
        ),
        (
            {"annotations": {"autoscaling.knative.dev/maxScale": "many"}},
            "spec.template.metadata.annotations[autoscaling.knative.dev/maxScale]: Invalid value: 'many'.",
        ),
    ],
)
def test_an_annotation_that_cannot_be_done_is_refused(change: Any, text: str) -> None:
    with pytest.raises(ApiError) as refused:
        v1_spec.revision_to_v2(template(**change))
    assert refused.value.message == text


def test_labels_select_by_equality_and_by_sets() -> None:
    items = [{"metadata": {"labels": {"app": name}}} for name in ("a", "b", "c")]

    def names(selector: str) -> list[str]:
        return [item["metadata"]["labels"]["app"] for item in v1_view.selected(items, selector)]

    assert names("app = a") == ["a"]
    assert names("app != a,app!=b") == ["c"]
    assert names("app in (a, c)") == ["a", "c"]
    assert names("app notin (a,c)") == ["b"]
    assert names("") == ["a", "b", "c"]
    with pytest.raises(ApiError, match=r"^labelSelector: cannot be read: 'app ~ a'.$"):
        names("app ~ a")


# ------------------------------------------------------------------ calls


class Client:
    """Calls of v1 at the regional host, and of v2 to see what came of them."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self.emulator = emulator
        self.session = emulator.session()

    def call(
        self, method: str, path: str, body: Any = None, *, host: str = HOST, **params: Any
    ) -> requests.Response:
        return self.session.request(method, host + path, json=body, params=params)

    def ok(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        answer = self.call(method, path, body, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def v2(self, path: str) -> Any:
        return self.ok(
            "GET", f"/v2/projects/{PROJECT}/locations/{REGION}/{path}", host="https://run.googleapis.com"
        )

    def ready(self, path: str) -> Any:
        """The resource when its first condition is decided for its newest generation."""
        found: Any = {}

        def decided() -> bool:
            found.update(self.ok("GET", path))
            status = found["status"]
            fresh = status.get("observedGeneration") == found["metadata"]["generation"]
            return fresh and status["conditions"][0]["status"] != "Unknown"

        until(decided)
        return found


@pytest.fixture
def client(emulator: RunningEmulator) -> Client:
    """A client of an emulator whose registry holds a server and a job."""
    try:
        check_available()
    except SandboxUnavailable as why:
        pytest.skip(str(why))
    client = Client(emulator)
    repositories = (
        f"https://artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/repositories"
    )
    client.session.post(repositories, params={"repositoryId": "djangogcp"}, json={"format": "DOCKER"})
    until(lambda: client.session.get(f"{repositories}/djangogcp").status_code == 200)
    registry = emulator.emulator.service(ArtifactRegistry)
    for name, sources in {"web": (SERVER, SERVE), "job": ("print('done')",)}.items():
        built = image_of(Path(emulator.emulator.settings.state) / "built" / name, *sources)
        image = registry.images.put(built.root, built.config, built.python)
        emulator.call(registry.push, identity_of("owner@example.com"), f"{REPOSITORY}/{name}", image)
    return client


def service(**template_metadata: Any) -> Any:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": "web",
            "namespace": PROJECT,
            "annotations": {"run.googleapis.com/invoker-iam-disabled": "true"},
        },
        "spec": {
            "template": {
                "metadata": template_metadata,
                "spec": {"containers": [{"image": f"{REPOSITORY}/web"}]},
            }
        },
    }


def job() -> Any:
    container = {"image": f"{REPOSITORY}/job"}
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", "namespace": PROJECT},
        "spec": {"template": {"spec": {"template": {"spec": {"containers": [container], "maxRetries": 0}}}}},
    }


def test_a_service_made_through_v1_is_the_one_that_v2_has(client: Client) -> None:
    made = client.ok("POST", f"{SERVING}/services", service())
    operation = made["metadata"]["annotations"]["run.googleapis.com/operation-id"]
    path = f"/v1/projects/{PROJECT}/locations/{REGION}/operations/{operation}"
    waited = client.ok("POST", f"{path}:wait", {"timeout": "20s"})
    shown = client.ready(f"{SERVING}/services/web")
    assert waited["response"]["metadata"]["uid"] == shown["metadata"]["uid"]
    stored = client.v2("services/web")
    assert stored["invokerIamDisabled"] is True
    assert shown["metadata"]["namespace"] == client.emulator.number
    assert shown["status"]["url"] == stored["uri"]
    revision = stored["latestReadyRevision"].rpartition("/")[2]
    assert shown["status"]["traffic"] == [{"latestRevision": True, "percent": 100, "revisionName": revision}]
    assert [one["status"] for one in shown["status"]["conditions"]] == ["True", "True", "True"]
    [listed] = client.ok(
        "GET", f"/v1/projects/{PROJECT}/locations/-/services", host="https://run.googleapis.com"
    )["items"]
    assert listed == shown


def test_what_was_read_can_be_sent_back_and_makes_no_revision_but_a_nonce_does(client: Client) -> None:
    client.ok("POST", f"{SERVING}/services", service())
    shown = client.ready(f"{SERVING}/services/web")
    client.ok("PUT", f"{SERVING}/services/web", shown)
    same = client.ready(f"{SERVING}/services/web")
    assert same["status"]["latestCreatedRevisionName"] == shown["status"]["latestCreatedRevisionName"]
    stale = client.call("PUT", f"{SERVING}/services/web", shown)
    assert (stale.status_code, stale.json()["error"]["status"]) == (409, "ABORTED")
    same["spec"]["template"]["metadata"]["labels"] = {"client.knative.dev/nonce": "abc"}
    client.ok("PUT", f"{SERVING}/services/web", same)
    client.ready(f"{SERVING}/services/web")
    listed = client.ok("GET", f"{SERVING}/revisions", labelSelector="serving.knative.dev/service = web")[
        "items"
    ]
    active = {one["metadata"]["name"]: one["status"]["conditions"][1]["status"] for one in listed}
    assert sorted(active.values()) == ["False", "True"]
    assert active[shown["status"]["latestCreatedRevisionName"]] == "False"


def test_a_job_runs_and_its_execution_and_tasks_can_be_found(client: Client) -> None:
    client.ok("POST", f"{JOBS}/jobs", job())
    client.ready(f"{JOBS}/jobs/migrate")
    begun = client.ok("POST", f"{JOBS}/jobs/migrate:run", {})
    name = begun["metadata"]["name"]
    until(lambda: "completionTime" in client.ok("GET", f"{JOBS}/executions/{name}")["status"])
    assert client.v2(f"jobs/migrate/executions/{name}")["succeededCount"] == 1
    [execution] = client.ok("GET", f"{JOBS}/executions", labelSelector="run.googleapis.com/job=migrate")[
        "items"
    ]
    assert execution["status"]["succeededCount"] == 1
    [task] = client.ok("GET", f"{JOBS}/tasks", labelSelector=f"run.googleapis.com/execution={name}")["items"]
    assert task["metadata"]["labels"]["run.googleapis.com/runningState"] == "Succeeded"
    assert client.ok("DELETE", f"{JOBS}/jobs/migrate")["status"] == "Success"
    until(lambda: client.call("GET", f"{JOBS}/jobs/migrate").status_code == 404)
    assert "items" not in client.ok("GET", f"{JOBS}/executions")


def test_bodies_of_another_kind_or_name_and_hosts_without_a_region_are_refused(client: Client) -> None:
    def refusal(method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
        answer = client.call(method, path, body, **options)
        return answer.status_code, answer.json()["error"]["message"]

    assert refusal("POST", f"{SERVING}/services", {**service(), "kind": "Job"}) == (
        400,
        "kind: must be 'Service'; got 'Job'.",
    )
    assert refusal("PUT", f"{SERVING}/services/other", service()) == (
        400,
        "metadata.name: must be the name of the resource; got 'web'.",
    )
    assert refusal("GET", f"{SERVING}/services/web", host="https://run.googleapis.com") == (
        400,
        "The host run.googleapis.com does not say a region; use REGION-run.googleapis.com.",
    )
    assert refusal("POST", f"{SERVING}/services", service(), dryRun="some") == (
        400,
        "dryRun: must be 'all' or empty; got 'some'.",
    )


def test_v1_asks_for_the_permissions_of_v2(client: Client) -> None:
    stranger = client.emulator.session("user:stranger@example.com")
    for method, path, body, permission in (
        ("GET", f"{SERVING}/services", None, "run.services.list"),
        ("GET", f"{SERVING}/services/web", None, "run.services.get"),
        ("POST", f"{SERVING}/services", service(), "run.services.create"),
        ("DELETE", f"{SERVING}/services/web", None, "run.services.delete"),
        ("POST", f"{JOBS}/jobs/migrate:run", {}, "run.jobs.run"),
    ):
        answer = stranger.request(method, HOST + path, json=body)
        assert answer.status_code == 403
        assert answer.json()["error"]["message"].startswith(f"Permission '{permission}' denied on resource '")


def test_dry_run_checks_and_makes_nothing(client: Client) -> None:
    shown = client.ok("POST", f"{SERVING}/services", service(), dryRun="all")
    assert "run.googleapis.com/operation-id" not in shown["metadata"]["annotations"]
    assert "items" not in client.ok("GET", f"{SERVING}/services")
