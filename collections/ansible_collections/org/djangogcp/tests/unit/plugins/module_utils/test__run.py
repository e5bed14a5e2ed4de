# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import re

import pytest
import requests
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import retried
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    ASKED_LABEL,
    START_VARIABLE,
    Executions,
    Overrides,
    candidate,
    has_started,
    is_placeholder,
    is_serving,
    labelled,
    log_of_failed_start,
    moved_traffic,
    with_candidate,
    with_deployed,
    with_placeholder,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import (
    DEPLOYED_ANNOTATION,
    JOB,
    PLACEHOLDER_ANNOTATION,
    RETRY_ANNOTATION,
    SERVICE,
    WORKER_POOL,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import decode, lay_over
from ansible_collections.org.djangogcp.plugins.module_utils._traffic import newest_revision

TEMPLATE = next(field for field in SERVICE.fields if field.name == "template")
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


def service(image="app@sha256:1", created="polls-1", ready="polls-1", percent=100):
    """A service as Cloud Run answers it."""
    prefix = "projects/p/locations/l/services/polls/revisions/"
    return {
        "template": {"containers": [{"image": image}]},
        "latestCreatedRevision": prefix + created,
        "latestReadyRevision": prefix + ready,
        "trafficStatuses": [{"type": LATEST, "percent": percent}],
    }


def asked(image):
    return {"template": {"containers": [{"image": image}]}}


@pytest.mark.parametrize(
    "nothing", [{}, {"template": None, "latestCreatedRevision": None, "trafficStatuses": None}]
)
def test_a_service_may_be_told_without_anything(nothing):
    assert not is_placeholder(nothing)
    assert not is_serving(nothing)
    assert newest_revision(nothing) == ""
    assert moved_traffic(nothing) is None
    assert retried(SERVICE, {"template": {"timeout": "9s"}}, nothing) == {"template": {"timeout": "9s"}}


def test_what_serves_may_be_told_without_its_name_and_tag():
    told = {
        "annotations": {"djangogcp/deployed-revision": "web-00002"},
        "trafficStatuses": [{"percent": 100, "tag": None}],
    }
    assert moved_traffic(told) == {"deployed": "web-00002", "serving": ""}


def test_the_first_revision_of_a_new_service_serves_at_once():
    assert with_candidate(None, asked("app@sha256:1"), "candidate") == asked("app@sha256:1")


def test_with_nothing_to_try_out_the_newest_revision_has_all_traffic():
    result = with_candidate(service(), asked("app@sha256:1"), "candidate")
    assert result == {
        **asked("app@sha256:1"),
        "annotations": {DEPLOYED_ANNOTATION: "polls-1"},
        "traffic": [{"type": LATEST, "percent": 100}],
    }


def test_who_was_given_the_tag_with_the_traffic_keeps_it():
    current = service()
    current["trafficStatuses"] = [{"type": LATEST, "revision": "polls-1", "percent": 100, "tag": "candidate"}]
    result = with_candidate(current, asked("app@sha256:1"), "candidate")
    assert result["traffic"] == [{"type": LATEST, "percent": 100, "tag": "candidate"}]
    assert "tag" not in with_candidate(current, asked("app@sha256:1"), "another")["traffic"][0]


def moved(deployed, *shares, created="polls-2", **fields):
    """A service whose traffic is shared after the one revision was deployed."""
    return {
        **service(created=created, ready=created),
        "annotations": {DEPLOYED_ANNOTATION: deployed, "team": "web"},
        "trafficStatuses": [
            {"type": REVISION, "revision": name, "percent": percent} for name, percent in shares
        ],
        **fields,
    }


@pytest.mark.parametrize(
    ("current", "found"),
    [
        (None, None),
        (service(), None),
        (moved("polls-2", ("polls-2", 100)), None),
        (moved("polls-2", ("polls-2", 60), ("polls-2", 40)), None),
        # Cloud Run is still at it, or nothing serves.
        (moved("polls-2", ("polls-1", 100), reconciling=True), None),
        (moved("polls-2"), None),
        (moved("polls-2", ("polls-1", 100)), {"deployed": "polls-2", "serving": "polls-1"}),
        (moved("polls-2", ("polls-2", 90), ("polls-1", 10)), {"deployed": "polls-2", "serving": "polls-2"}),
        (moved("polls-1", ("polls-2", 100)), {"deployed": "polls-1", "serving": "polls-2"}),
    ],
)
def test_what_serves_is_compared_with_what_was_deployed(current, found):
    assert moved_traffic(current) == found


def test_what_was_deployed_and_moved_from_is_no_candidate_again():
    current = moved("polls-2", ("polls-1", 100))
    with pytest.raises(DjangoGcpError) as caught:
        with_candidate(current, asked("app@sha256:1"), "candidate")
    assert caught.value.message == (
        "Failed to deploy polls-2 again: nothing has changed since it was deployed, and somebody has given its traffic to polls-1"
        " since. Deploy a change, or give it the traffic back with gcloud run services update-traffic."
    )
    # A change is, and so is a revision that no deploy has given the traffic.
    for image, deployed in (("app@sha256:2", "polls-2"), ("app@sha256:1", "polls-0")):
        result = with_candidate(moved(deployed, ("polls-1", 100)), asked(image), "candidate")
        assert [one["type"] for one in result["traffic"]] == [REVISION, LATEST]
        assert "annotations" not in result


def test_what_is_deployed_is_noted_beside_other_annotations():
    current = moved("polls-1", ("polls-1", 100))
    assert with_deployed(current, {}, "polls-2") == {
        "annotations": {"team": "web", DEPLOYED_ANNOTATION: "polls-2"}
    }
    assert with_deployed(current, {"annotations": {}}, "polls-2") == {
        "annotations": {DEPLOYED_ANNOTATION: "polls-2"}
    }
    # It is never drift.
    (annotations,) = [field for field in SERVICE.fields if field.name == "annotations"]
    asked_for = {"annotations": {"team": "web"}}
    assert differences(asked_for, decode(current, SERVICE.fields), (annotations,)) == []


def test_what_a_rollback_takes_out_is_remembered_until_the_next_one_gets_the_traffic():
    first = with_deployed({"annotations": {}}, {}, "polls-3", ["aa", "bb"])["annotations"]
    assert first == {"djangogcp/deployed-revision": "polls-3", "djangogcp/taken-out": "aa,bb"}
    current = {"annotations": first}
    # A run that only sees that all is as it was.
    assert with_deployed(current, {}, "polls-3")["annotations"] == first
    next_one = with_deployed(current, {}, "polls-4", [])["annotations"]
    assert next_one == {"djangogcp/deployed-revision": "polls-4", "djangogcp/taken-out": ""}
    # Who never rolled back has no such annotation.
    assert with_deployed({}, {}, "polls-1", [])["annotations"] == {"djangogcp/deployed-revision": "polls-1"}


def test_a_changed_template_gets_a_tag_and_no_traffic_while_the_old_revision_is_pinned():
    result = with_candidate(service(), asked("app@sha256:2"), "candidate")
    assert result["traffic"] == [
        {"type": REVISION, "revision": "polls-1", "percent": 100},
        {"type": LATEST, "percent": 0, "tag": "candidate"},
    ]


def test_a_revision_that_an_interrupted_run_left_behind_is_tried_out():
    interrupted = service(image="app@sha256:2", created="polls-2", ready="polls-2")
    interrupted["trafficStatuses"] = [{"type": REVISION, "revision": "polls-1", "percent": 100}]
    result = with_candidate(interrupted, asked("app@sha256:2"), "candidate")
    assert result["traffic"][-1] == {"type": LATEST, "percent": 0, "tag": "candidate"}


def test_as_long_as_nothing_serves_the_next_revision_does():
    failed = service(ready="")
    failed["trafficStatuses"] = []
    assert with_candidate(failed, asked("app@sha256:2"), "candidate") == asked("app@sha256:2")


def test_a_placeholder_needs_nothing_of_the_release_but_what_may_run() -> None:
    container = {
        "image": "app@sha256:1",
        "env": [{"name": "KEY", "value_source": {"secret_key_ref": {"secret": "key", "version": "1"}}}],
        "volume_mounts": [{"name": "cloudsql", "mount_path": "/cloudsql"}],
        "startup_probe": {"http_get": {"path": "/live"}},
    }
    release = {
        "service_account": "web@p",
        "scaling": {"min_instance_count": 3, "max_instance_count": 9},
        "containers": [container],
        "volumes": [{"name": "cloudsql"}],
    }
    placeholder = {"command": ["python", "-c"], "args": ["serve()"]}
    result = with_placeholder({"labels": {"site": "polls"}, "template": release}, placeholder)
    assert result == {
        "labels": {"site": "polls"},
        "template": {
            "service_account": "web@p",
            "annotations": {PLACEHOLDER_ANNOTATION: "true"},
            "scaling": {"min_instance_count": 0, "max_instance_count": 1},
            "containers": [{"image": "app@sha256:1", "command": ["python", "-c"], "args": ["serve()"]}],
        },
        "traffic": [{"type": LATEST, "percent": 100}],
    }


def test_beside_a_placeholder_even_the_same_template_is_a_candidate() -> None:
    placed = service()
    placed["template"]["annotations"] = {PLACEHOLDER_ANNOTATION: "true"}
    assert is_placeholder(placed)
    assert not is_placeholder(service())
    assert not is_placeholder(None)
    result = with_candidate(placed, asked("app@sha256:1"), "candidate")
    assert result["traffic"] == [
        {"type": REVISION, "revision": "polls-1", "percent": 100},
        {"type": LATEST, "percent": 0, "tag": "candidate"},
    ]


def test_a_template_whose_revision_did_not_start_is_tried_again_as_a_new_one():
    failed = service(created="polls-2", ready="polls-1")
    failed["template"]["annotations"] = {"team": "web"}
    result = retried(SERVICE, asked("app@sha256:1"), failed)
    assert result["template"]["annotations"] == {"team": "web", RETRY_ANNOTATION: "polls-2"}


def after_a_retry():
    """A service whose second revision started, after one that did not."""
    found = service(created="polls-3", ready="polls-3")
    found["template"]["annotations"] = {"team": "web", RETRY_ANNOTATION: "polls-2"}
    return found


@pytest.mark.parametrize("annotations", [{"team": "web"}, None])
def test_the_annotation_of_a_retry_makes_no_further_revision(annotations):
    wanted = {"template": {**asked("app@sha256:1")["template"], "annotations": annotations}}
    assert differences(wanted, decode(after_a_retry(), SERVICE.fields), SERVICE.fields) == []


def test_a_template_that_changes_anyway_needs_no_retry():
    failed = service(created="polls-2", ready="polls-1")
    failed["template"]["annotations"] = {"team": "web", "old": "x"}
    wanted = {"template": {**asked("app@sha256:1")["template"], "annotations": {"team": "web"}}}
    assert retried(SERVICE, wanted, failed) == wanted


def test_a_worker_pool_is_tried_again_in_the_same_way():
    failed = service(created="polls-2", ready="polls-1")
    again = retried(WORKER_POOL, asked("app@sha256:1"), failed)
    assert again["template"] == {
        "containers": [{"image": "app@sha256:1"}],
        "annotations": {RETRY_ANNOTATION: "polls-2"},
    }
    assert retried(WORKER_POOL, asked("app@sha256:1"), {**failed, "reconciling": True}) == asked(
        "app@sha256:1"
    )


def test_a_job_that_was_not_ready_is_looked_at_again_when_its_template_is_asked_for():
    failed = {
        "template": {"template": {"maxRetries": 3}},
        "generation": "2",
        "terminalCondition": {"state": "CONDITION_FAILED"},
    }
    wanted = {"template": {"template": {"max_retries": 3}}}
    assert retried(JOB, wanted, failed)["annotations"] == {RETRY_ANNOTATION: "2"}
    assert retried(JOB, {"labels": {}}, failed) == {"labels": {}}


def test_the_name_that_somebody_gave_a_revision_is_not_sent_again():
    by_hand = service()
    by_hand["template"]["revision"] = "polls-by-hand"
    assert "revision" not in lay_over(by_hand, asked("app@sha256:2"), SERVICE.fields)["template"]


def container(server, **options):
    """The names of what differs in a container."""
    found = {"template": {"containers": [{"image": "app@sha256:1", **server}]}}
    wanted = {"template": {"containers": [{"image": "app@sha256:1", **options}]}}
    merged = lay_over(found, wanted, SERVICE.fields)
    assert differences(wanted, decode(merged, SERVICE.fields), SERVICE.fields) == []
    if differences(wanted, decode(found, SERVICE.fields), SERVICE.fields):
        return merged["template"]["containers"][0]
    return None


# Answers of the shape of recorded ones, with all that Google fills in (runjob-minimal, runjob-gcsvolume, runserviceprobes).
ACCOUNT = "123-compute@developer.gserviceaccount.com"
LIMITED = {"limits": {"cpu": "1000m", "memory": "512Mi"}}
STATUS = {
    "createTime": "2026-01-01T00:00:00Z", "creator": "a@example.com", "etag": "x", "generation": "1", "launchStage": "GA",
    "lastModifier": "a@example.com", "uid": "1", "updateTime": "2026-01-01T00:00:00Z", "satisfiesPzs": True,
    "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
}  # fmt: skip
JOB_ANSWER = {
    **STATUS,
    "annotations": {"run.googleapis.com/client-name": "x"},
    "binaryAuthorization": {"useDefault": False},
    "latestCreatedExecution": {},
    "template": {
        "taskCount": 1,
        "template": {
            "containers": [
                {
                    "name": "app-1",
                    "image": "app",
                    "resources": LIMITED,
                    "volumeMounts": [{"mountPath": "/mnt", "name": "v"}],
                }
            ],
            "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
            "maxRetries": 3,
            "serviceAccount": ACCOUNT,
            "timeout": "600s",
            "volumes": [
                {
                    "name": "v",
                    "gcs": {
                        "bucket": "projects/p/buckets/b",
                        "mountOptions": ["implicit-dirs", "o=ro"],
                        "readOnly": True,
                    },
                }
            ],
        },
    },
}
PROBE = {"failureThreshold": 3, "periodSeconds": 10, "timeoutSeconds": 1}
SERVICE_ANSWER = {
    **STATUS,
    "ingress": "INGRESS_TRAFFIC_ALL",
    "scaling": {"minInstanceCount": 0},
    "template": {
        "containers": [
            {
                "name": "hello-1",
                "image": "app",
                "livenessProbe": {**PROBE, "httpGet": {"path": "/", "port": 8080}},
                "startupProbe": {**PROBE, "tcpSocket": {"port": 8080}},
                "ports": [{"name": "http1", "containerPort": 8080}],
                "resources": {**LIMITED, "cpuIdle": True, "startupCpuBoost": True},
            }
        ],
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "maxInstanceRequestConcurrency": 80,
        "scaling": {"maxInstanceCount": 100},
        "serviceAccount": ACCOUNT,
        "timeout": "300s",
    },
    "traffic": [{"type": LATEST, "percent": 100}],
}
POOL_ANSWER = {
    **STATUS,
    "scaling": {"manualInstanceCount": 1},
    "template": {
        "containers": [{"name": "app-1", "image": "app", "resources": LIMITED}],
        "serviceAccount": ACCOUNT,
    },
    "instanceSplits": [{"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST", "percent": 100}],
}
VOLUME = {"name": "v", "gcs": {"bucket": "b", "mount_options": ["o=ro", "implicit-dirs"], "read_only": True}}


def task_of(container, **task):
    return {"template": {"template": {"containers": [{"image": "app", **container}], **task}}}


def revision_of(container, **template):
    return {"template": {"containers": [{"image": "app", **container}], **template}}


@pytest.mark.parametrize(
    ("spec", "answer", "wanted"),
    [
        (JOB, JOB_ANSWER, task_of({})),
        (JOB, JOB_ANSWER, task_of({"resources": {"limits": {"cpu": "1"}}})),
        (JOB, JOB_ANSWER, task_of({"resources": {"limits": {"cpu": 1, "memory": "0.5Gi"}}})),
        (
            JOB,
            JOB_ANSWER,
            task_of({"volume_mounts": [{"name": "v", "mount_path": "/mnt"}]}, volumes=[VOLUME]),
        ),
        (JOB, JOB_ANSWER, {**task_of({}, max_retries=3, timeout="600s"), "launch_stage": "GA"}),
        (JOB, JOB_ANSWER, {"binary_authorization": {"use_default": False}}),
        (SERVICE, SERVICE_ANSWER, revision_of({})),
        (SERVICE, SERVICE_ANSWER, revision_of({"liveness_probe": {"http_get": {"path": "/"}}})),
        (SERVICE, SERVICE_ANSWER, revision_of({"startup_probe": {"tcp_socket": {}}})),
        (SERVICE, SERVICE_ANSWER, revision_of({"resources": {"limits": {"memory": "512Mi"}}})),
        (SERVICE, SERVICE_ANSWER, revision_of({"ports": [{"container_port": 8080}]}, timeout="300s")),
        (
            SERVICE,
            SERVICE_ANSWER,
            revision_of({}, scaling={"min_instance_count": 0}) | {"scaling": {"min_instance_count": 0}},
        ),
        (SERVICE, SERVICE_ANSWER, {"traffic": [{"type": LATEST, "percent": "100"}], "iap_enabled": False}),
        (WORKER_POOL, POOL_ANSWER, revision_of({}) | {"scaling": {"manual_instance_count": 1}}),
        (WORKER_POOL, POOL_ANSWER, revision_of({"resources": {"limits": {"cpu": "1", "memory": "512Mi"}}})),
    ],
)
def test_what_google_fills_in_is_no_difference(spec, answer, wanted):
    assert differences(wanted, decode(answer, spec.fields), spec.fields) == []


@pytest.mark.parametrize(
    ("spec", "answer", "wanted", "name"),
    [
        (JOB, JOB_ANSWER, task_of({"resources": {"limits": {"cpu": "2"}}}), "template"),
        (JOB, JOB_ANSWER, task_of({}, max_retries=0), "template"),
        (JOB, JOB_ANSWER, {"binary_authorization": {"use_default": True}}, "binary_authorization"),
        (SERVICE, SERVICE_ANSWER, revision_of({"liveness_probe": {"period_seconds": 5}}), "template"),
        (WORKER_POOL, POOL_ANSWER, {"scaling": {"manual_instance_count": 0}}, "scaling"),
    ],
)
def test_what_is_asked_otherwise_is_a_difference(spec, answer, wanted, name):
    (change,) = differences(wanted, decode(answer, spec.fields), spec.fields)
    assert change.name.partition(".")[0] == name


# What Cloud Run fills in where nothing was asked for.
FILLED = {
    "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}, "cpuIdle": True},
    "ports": [{"name": "http1", "containerPort": 8080}],
    "startupProbe": {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": 8080}},
}  # fmt: skip
HTTP = {"startupProbe": {"httpGet": {"path": "/-/live", "port": 8080}, "periodSeconds": 1}}


@pytest.mark.parametrize(
    "options",
    [
        {"resources": {"limits": {"cpu": "1"}}},
        {"resources": {"limits": {"cpu": 1, "memory": "0.5Gi"}}},
        {"resources": {"limits": {"memory": str(512 * 2**20)}}},
        {"resources": {"limits": {}}},
        {"ports": [{"container_port": "8080"}]},
        {"startup_probe": {}},
        {"startup_probe": {"period_seconds": "240", "tcp_socket": {"port": "8080"}}},
        {"liveness_probe": {}},
        {"liveness_probe": {"http_get": None, "period_seconds": None}},
    ],
)
def test_what_cloud_run_writes_in_another_way_or_fills_in_is_no_difference(options):
    assert container(FILLED, **options) is None


@pytest.mark.parametrize(
    ("server", "options", "key", "sent"),
    [
        (FILLED, {"resources": {"limits": {"cpu": 2}}}, "resources", {"limits": {"cpu": "2", "memory": "512Mi"}, "cpuIdle": True}),
        (FILLED, {"resources": {"limits": {"memory": "513Mi"}}}, "resources", {"limits": {"cpu": "1000m", "memory": "513Mi"}, "cpuIdle": True}),
        (HTTP, {"startup_probe": {}}, "startupProbe", None),
        (HTTP, {"startup_probe": {"tcp_socket": {"port": "8080"}}}, "startupProbe", {"periodSeconds": 1, "tcpSocket": {"port": 8080}}),
        (FILLED, {"startup_probe": {"http_get": {"path": "/"}}}, "startupProbe",
         {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "httpGet": {"path": "/"}}),
        (HTTP, {"startup_probe": {"grpc": {}}}, "startupProbe", {"periodSeconds": 1, "grpc": {}}),
        ({"livenessProbe": {"tcpSocket": {}}}, {"liveness_probe": {}}, "livenessProbe", None),
        ({"env": [{"name": "A", "valueSource": {"secretKeyRef": {"secret": "s"}}}]},
         {"env": [{"name": "A", "value": ""}]}, "env", [{"name": "A", "value": ""}]),
    ],
)  # fmt: skip
def test_what_differs_is_sent_without_what_it_replaces(server, options, key, sent):
    assert container(server, **options).get(key) == sent


@pytest.mark.parametrize(
    ("server", "wanted", "sent"),
    [
        ({"secret": {"secret": "projects/p/secrets/s"}}, {"gcs": {"bucket": "b-1"}}, {"gcs": {"bucket": "b-1"}}),
        ({"gcs": {"bucket": "b-1"}}, {"empty_dir": {}}, {"emptyDir": {}}),
        ({"emptyDir": {}}, {"cloud_sql_instance": {"instances": ["p:r-1:i"]}}, {"cloudSqlInstance": {"instances": ["p:r-1:i"]}}),
        ({"emptyDir": {}}, {"nfs": {"server": "10.0.0.1", "path": "/share"}}, {"nfs": {"server": "10.0.0.1", "path": "/share"}}),
        ({"gcs": {"bucket": "projects/p/buckets/b-1"}}, {"gcs": {"bucket": "b-1"}}, None),
        ({"emptyDir": {"medium": "MEMORY", "sizeLimit": "1024Mi"}}, {"empty_dir": {"size_limit": "1Gi"}}, None),
    ],
)  # fmt: skip
def test_a_volume_of_another_kind_replaces_the_one_that_is_there(server, wanted, sent):
    found = {"template": {"volumes": [{"name": "data", **server}]}}
    change = {"template": {"volumes": [{"name": "data", **wanted}]}}
    assert bool(differences(change, decode(found, SERVICE.fields), SERVICE.fields)) == (sent is not None)
    if sent is not None:
        merged = lay_over(found, change, SERVICE.fields)
        assert merged["template"]["volumes"] == [{"name": "data", **sent}]


@pytest.mark.parametrize(
    ("server", "wanted", "sent"),
    [
        ({"connector": "c", "egress": "ALL_TRAFFIC"}, {}, None),
        ({"connector": "c"}, {"network_interfaces": [{"network": "n"}]}, {"networkInterfaces": [{"network": "n"}]}),
        ({"networkInterfaces": [{"network": "n"}]}, {"connector": "c"}, {"connector": "c"}),
    ],
)  # fmt: skip
def test_the_way_into_a_network_is_replaced_and_removed(server, wanted, sent):
    found = {"template": {"vpcAccess": server}}
    merged = lay_over(found, {"template": {"vpc_access": wanted}}, SERVICE.fields)
    assert merged["template"].get("vpcAccess") == sent
    for shape, differs in ((found, True), (merged, False)):
        change = {"template": {"vpc_access": wanted}}
        assert bool(differences(change, decode(shape, SERVICE.fields), SERVICE.fields)) == differs


def test_scaling_goes_and_the_servers_own_maximum_is_no_difference():
    found = {"scaling": {"minInstanceCount": 1}, "template": {"scaling": {"maxInstanceCount": 100}}}
    wanted = {"scaling": {}, "template": {"scaling": {}}}
    differing = differences(wanted, decode(found, SERVICE.fields), SERVICE.fields)
    assert [change.name for change in differing] == ["scaling"]
    assert lay_over(found, wanted, SERVICE.fields) == {"template": {}}


def test_a_template_whose_revision_is_ready_is_left_alone():
    assert retried(SERVICE, asked("app@sha256:1"), service()) == asked("app@sha256:1")
    assert retried(SERVICE, asked("app@sha256:1"), None) == asked("app@sha256:1")
    assert retried(SERVICE, {"traffic": []}, service(created="polls-2")) == {"traffic": []}


def test_the_candidate_is_what_carries_the_tag_without_traffic():
    tried = service(created="polls-2")
    tried["trafficStatuses"].append({"type": LATEST, "tag": "candidate", "uri": "https://candidate---polls"})
    assert candidate(tried, "candidate") == {"revision": "polls-2", "uri": "https://candidate---polls"}
    assert candidate(service(), "candidate") is None


JOB_URL = "https://run.googleapis.com/v2/projects/p/locations/l/jobs/migrate"
EXECUTIONS = f"{JOB_URL}/executions"
LOST = requests.exceptions.ConnectionError("Connection aborted.", ConnectionResetError(104, "reset by peer"))
COMPLETED = {"type": "Completed", "state": "CONDITION_SUCCEEDED"}
SUCCEEDED = {"completionTime": "2026-01-01T00:00:00Z", "conditions": [COMPLETED]}
FAILED = {
    "completionTime": "2026-01-01T00:00:00Z",
    "conditions": [{"type": "Completed", "state": "CONDITION_FAILED"}],
}
#: What Cloud Run fills in, which is in no job that was asked for.
DEFAULTS = {"timeout": "600s", "maxRetries": 3, "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2"}


def job(label="h1"):
    """A job as Cloud Run answers it; without its label for ""."""
    containers = [{"image": "app@sha256:1", "args": ["migrate"], "env": [{"name": "A", "value": "1"}]}]
    labels = {"labels": {ASKED_LABEL: label}} if label else {}
    return {"template": {**labels, "template": {"containers": containers}}}


def execution(name, label="h1", args=("migrate",), env=(), **state):
    """An execution as Cloud Run answers it, which fills in much."""
    variables = [{"name": "A", "value": "1"}, *({"name": key, "value": value} for key, value in env)]
    limits = {"limits": {"cpu": "1000m", "memory": "512Mi"}}
    container = {
        "name": "app-1",
        "image": "app@sha256:1",
        "args": list(args),
        "env": variables,
        "resources": limits,
    }
    labels = {ASKED_LABEL: label} if label else {}
    return {"name": name, "labels": labels, "template": {"containers": [container], **DEFAULTS}, **state}


def of_job(client):
    return Executions(client, "p", "l", "migrate")


def started_as(google):
    """The variable of the start that was sent."""
    (body,) = google.bodies("POST")
    (variable,) = body["overrides"]["containerOverrides"][0]["env"]
    assert variable["name"] == START_VARIABLE
    return variable["value"]


class FoundLate:
    """Answers of executions.list: so many without the one that was started, then with it."""

    def __init__(self, google, looks):
        self.google, self.looks = google, looks

    def json(self):
        self.looks -= 1
        another = execution("other", env=[(START_VARIABLE, "of-another-start")])
        ours = execution("ours", args=["check"], env=[(START_VARIABLE, started_as(self.google))])
        return {"executions": [another, ours] if self.looks < 0 else [another]}


def listed_late(google, looks, make_response):
    late = FoundLate(google, looks)
    answer = make_response({"unused": True})
    answer.json = late.json
    return answer


@pytest.mark.parametrize("lost", [LOST, (503, "")])
@pytest.mark.parametrize("looks", [0, 4])
def test_a_start_whose_answer_was_lost_is_found_by_its_variable(google, client, make_response, lost, looks):
    google.answer("POST", f"{JOB_URL}:run", lost)
    google.answer("GET", EXECUTIONS, listed_late(google, looks, make_response))
    assert of_job(client).start(Overrides(["check"]))["name"] == "ours"
    assert len(google.bodies("POST")) == 1


def test_every_start_has_a_variable_of_its_own(google, client):
    google.answer("POST", f"{JOB_URL}:run", {"metadata": {"name": "x"}})
    for _time in range(2):
        of_job(client).start(Overrides())
    first, second = (
        body["overrides"]["containerOverrides"][0]["env"][0]["value"] for body in google.bodies("POST")
    )
    assert first != second
    assert google.calls == ["POST migrate:run"] * 2


def test_once_is_started_without_overrides_which_need_another_permission(google, client):
    google.answer("GET", JOB_URL, job())
    google.answer("GET", EXECUTIONS, {})
    google.answer("POST", f"{JOB_URL}:run", {"metadata": {"name": "x"}})
    of_job(client).start(Overrides(), once=True)
    assert google.bodies("POST") == [{}]


def test_once_is_found_by_its_label_among_what_was_not_there_before(google, client):
    old, new = execution("old", **FAILED), execution("new")
    by_hand = execution("by-hand", args=["showmigrations"])
    other = execution("other", label="h2")
    google.answer("GET", JOB_URL, job())
    google.answer(
        "GET",
        EXECUTIONS,
        {"executions": [old]},
        {"executions": [old]},
        {"executions": [other, by_hand, old]},
        {"executions": [other, by_hand, new, old]},
    )
    google.answer("POST", f"{JOB_URL}:run", LOST)
    assert of_job(client).start(Overrides(), once=True) == new
    assert len(google.bodies("POST")) == 1


def test_what_was_looked_at_before_a_start_is_not_looked_at_again(google, client):
    old, unlisted = execution("m-1", label="h0", **SUCCEEDED), execution("m-2", **FAILED)
    google.answer("GET", JOB_URL, {**job(), "latestCreatedExecution": {"name": "m-2"}})
    new = execution("m-3")
    google.answer("GET", EXECUTIONS, {"executions": [old]}, {"executions": [new, unlisted, old]})
    google.answer("GET", f"{EXECUTIONS}/m-2", unlisted)
    google.answer("POST", f"{JOB_URL}:run", LOST)
    executions = of_job(client)
    assert executions.newest_as_is() is None
    looked = len(google.calls)
    assert executions.start(Overrides(), once=True) == new
    assert google.calls[looked:] == ["POST migrate:run", "GET executions"]


@pytest.mark.parametrize(("once", "end"), [(True, "not run again."), (False, "did not run, run again.")])
def test_a_start_that_is_not_found_is_not_repeated(google, client, fake_clock, once, end):
    google.answer("GET", JOB_URL, job())
    google.answer("GET", EXECUTIONS, {"executions": [execution("old")]})
    google.answer("POST", f"{JOB_URL}:run", LOST)
    with pytest.raises(DjangoGcpError) as caught:
        of_job(client).start(Overrides(), once=once)
    message = caught.value.message
    assert message.startswith("Failed to run job migrate: the connection to run.googleapis.com broke before ")
    assert "It is not known whether the job runs, and it is not started a second time. " in message
    assert "gcloud run jobs executions list --job migrate --region l --project p" in message
    assert message.endswith(end)
    assert len(google.bodies("POST")) == 1
    assert sum(fake_clock.slept) == pytest.approx(15)


def test_a_start_that_cannot_be_looked_for_says_so(google, client, refuse):
    google.answer("GET", EXECUTIONS, refuse(403, "PERMISSION_DENIED", "no"))
    google.answer("POST", f"{JOB_URL}:run", LOST)
    with pytest.raises(DjangoGcpError, match=r"It is not known whether .* Failed to list the executions of"):
        of_job(client).start(Overrides())
    assert len(google.bodies("POST")) == 1


@pytest.mark.parametrize(
    ("newest", "counts"),
    [
        (execution("m-1", **SUCCEEDED), True),
        (execution("m-1"), True),
        (execution("m-1", env=[(START_VARIABLE, "x")], **SUCCEEDED), True),
        (execution("m-1", **FAILED), False),
        (execution("m-1", label="h2", **SUCCEEDED), False),
        (execution("m-1", label="", **SUCCEEDED), False),
        (execution("m-1", args=["help"], **SUCCEEDED), False),
        (execution("m-1", env=[("A", "2")], **SUCCEEDED), False),
        (execution("m-1", env=[("B", "1")], **SUCCEEDED), False),
    ],
)
def test_the_newest_execution_counts_when_its_label_is_the_jobs(google, client, newest, counts):
    google.answer("GET", JOB_URL, job())
    google.answer("GET", EXECUTIONS, {"executions": [newest]})
    assert of_job(client).newest_as_is() == (newest if counts else None)


def test_what_was_started_by_hand_with_other_arguments_is_passed_over(google, client):
    by_hand, ran = execution("m-2", args=["help"]), execution("m-1", **SUCCEEDED)
    google.answer("GET", JOB_URL, job())
    google.answer("GET", EXECUTIONS, {"executions": [by_hand], "nextPageToken": "2"}, {"executions": [ran]})
    assert of_job(client).newest_as_is() == ran


def test_an_execution_that_is_not_listed_yet_counts(google, client):
    google.answer("GET", JOB_URL, {**job(), "latestCreatedExecution": {"name": "m-2"}})
    google.answer("GET", EXECUTIONS, {"executions": [execution("m-1", label="h0", **SUCCEEDED)]})
    google.answer("GET", f"{EXECUTIONS}/m-2", execution("m-2"))
    assert of_job(client).newest_as_is() == execution("m-2")
    google.answer("GET", f"{EXECUTIONS}/m-2", (404, ""))
    assert of_job(client).newest_as_is() is None


def test_going_back_to_an_older_version_runs_it_again(google, client):
    google.answer("GET", JOB_URL, job("h1"))
    newer, older = execution("m-2", label="h2", **SUCCEEDED), execution("m-1", **SUCCEEDED)
    google.answer("GET", EXECUTIONS, {"executions": [newer, older]})
    assert of_job(client).newest_as_is() is None


def test_a_job_without_the_label_has_not_run_as_it_is(google, client):
    google.answer("GET", JOB_URL, job(""))
    assert of_job(client).newest_as_is() is None


ASKED = {
    "template": {"template": {"max_retries": 0, "containers": [{"image": "app", "args": ["migrate"]}]}},
    "labels": None,
}


def made(asked):
    """A job as Cloud Run answers it after it was made, with what it fills in."""
    wire = lay_over({}, asked, JOB.fields)
    task = {
        "timeout": "600s",
        "serviceAccount": "web@p.iam.gserviceaccount.com",
        **wire["template"]["template"],
    }
    return {**wire, "template": {"taskCount": 1, **wire["template"], "template": task}}


def label_of(asked):
    return asked["template"]["labels"][ASKED_LABEL]


def test_the_label_is_a_hash_of_what_is_asked_and_stays():
    first = labelled(ASKED, None)
    assert re.fullmatch("[0-9a-f]{32}", label_of(first))
    again = labelled(ASKED, made(first))
    assert again == first
    assert differences(again, decode(made(first), JOB.fields), JOB.fields) == []


def test_numbers_that_came_as_strings_have_the_same_label():
    text = copy.deepcopy(ASKED)
    text["template"]["template"]["max_retries"] = "0"
    assert label_of(labelled(text, None)) == label_of(labelled(ASKED, None))


def test_another_image_has_another_label_and_the_old_one_its_own_again():
    first, other = labelled(ASKED, None), copy.deepcopy(ASKED)
    other["template"]["template"]["containers"][0]["image"] = "app2"
    second = labelled(other, made(first))
    assert label_of(second) != label_of(first)
    assert label_of(labelled(ASKED, made(second))) == label_of(first)


def test_a_job_that_is_asked_for_in_parts_keeps_its_label():
    first = labelled(ASKED, None)
    part = {"template": {"template": {"max_retries": 0}}}
    again = labelled(part, made(first))
    assert label_of(again) == label_of(first)
    assert labelled({"labels": {"a": "b"}}, made(first)) == {"labels": {"a": "b"}}


def test_labels_of_others_are_kept_unless_others_are_asked():
    first = labelled(ASKED, None)
    found = made(first)
    found["template"]["labels"]["team"] = "web"
    assert labelled(ASKED, found)["template"]["labels"] == {"team": "web", ASKED_LABEL: label_of(first)}
    asked = {"template": {**ASKED["template"], "labels": {"team": "db"}}}
    assert labelled(asked, found)["template"]["labels"] == {"team": "db", ASKED_LABEL: label_of(first)}


@pytest.mark.parametrize(
    ("state", "started"),
    [
        ({}, False),
        ({"runningCount": 0, "failedCount": 0}, False),
        ({"startTime": "2026-01-01T00:00:00Z"}, True),
        ({"runningCount": 1}, True),
        ({"failedCount": 1}, True),
        ({"succeededCount": 1}, True),
    ],
)
def test_an_execution_has_started_when_a_task_has(state, started):
    assert has_started(state) is started


def test_an_execution_without_overrides_sends_none():
    assert Overrides().body() == {}


def test_overrides_are_sent_as_the_api_has_them():
    assert Overrides(["check"], {"B": "2", "A": "1"}, 60).body() == {
        "overrides": {
            "containerOverrides": [
                {"args": ["check"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
            ],
            "timeout": "60s",
        }
    }


def test_an_empty_list_of_arguments_is_an_override():
    assert Overrides([]).body() == {"overrides": {"containerOverrides": [{"args": []}]}}


def test_a_number_that_came_as_text_is_no_difference():
    found = {"template": {"maxInstanceRequestConcurrency": 8, "scaling": {"maxInstanceCount": 4}}}
    scaling = {"min_instance_count": "0", "max_instance_count": "4"}
    wanted = {"template": {"max_instance_request_concurrency": "8", "scaling": scaling}}
    assert differences(wanted, decode(found, SERVICE.fields), SERVICE.fields) == []
    scaling["max_instance_count"] = "5"
    assert [one.name for one in differences(wanted, decode(found, SERVICE.fields), SERVICE.fields)] == [
        "template.scaling.max_instance_count"
    ]


ENTRIES = "https://logging.googleapis.com/v2/entries:list"
TRACEBACK = ["Operations to perform:", "Traceback (most recent call last):", "OperationalError: no such host"]


class Log:
    """Cloud Logging, in which each entry arrives so many seconds after the first look."""

    def __init__(self, fake_clock, *entries):
        self.fake_clock, self.began = fake_clock, fake_clock.time
        self.entries = [entry(number, *one) for number, one in enumerate(entries)]

    def json(self):
        passed = self.fake_clock.time - self.began
        arrived = [one for seconds, one in self.entries if seconds <= passed]
        return {"entries": arrived[::-1]} if arrived else {}


def entry(number, seconds, text, log="stdout"):
    """When it arrives, and the entry."""
    printed = f"2026-01-01T00:00:00.{number:06}"
    return seconds, {
        "logName": f"projects/p/logs/run.googleapis.com%2F{log}",
        "textPayload": text,
        "timestamp": f"{printed}123Z",
        "receiveTimestamp": f"2026-01-01T00:00:{int(seconds):02}.{number:06}Z",
    }


def ended(*, succeeded):
    state = "CONDITION_SUCCEEDED" if succeeded else "CONDITION_FAILED"
    return {
        "name": "projects/p/locations/l/jobs/migrate/executions/migrate-1",
        "createTime": "2026-01-01T00:00:00.000001Z",
        "completionTime": "2026-01-01T00:00:09Z",
        "conditions": [{"type": "Completed", "state": state}],
    }


def logged(google, make_response, log):
    answer = make_response({"unused": True})
    answer.json = log.json
    google.answer("POST", ENTRIES, answer)


def test_a_traceback_is_read_to_its_last_line_which_comes_last(google, client, fake_clock, make_response):
    first, second, last = TRACEBACK
    end = (0.1, "Container called exit(1).", "varlog%2Fsystem")
    logged(google, make_response, Log(fake_clock, (0, first), (3, second), (7.5, last), end))
    printed = of_job(client).output(ended(succeeded=False))
    assert printed.lines == [*TRACEBACK, "Container called exit(1)."]
    assert sum(fake_clock.slept) < 20
    (body,) = {str(sorted(sent.items())) for sent in google.bodies("POST")}
    assert 'timestamp>="2026-01-01T00:00:00.000001Z"' in body


def test_what_is_there_at_once_is_not_waited_for(google, client, fake_clock, make_response):
    log = Log(fake_clock, (0, "done"), (0, "Container called exit(0).", "varlog%2Fsystem"))
    logged(google, make_response, log)
    assert of_job(client).output(ended(succeeded=True), whole=False).lines[0] == "done"
    assert fake_clock.slept == []
    assert of_job(client).output(ended(succeeded=True)).lines[0] == "done"
    assert sum(fake_clock.slept) < 3.1


def test_the_line_that_reports_is_waited_for_and_nothing_after_it(google, client, fake_clock, make_response):
    end = (0, "Container called exit(0).", "varlog%2Fsystem")
    logged(google, make_response, Log(fake_clock, end, (6, "report: {}"), (60, "late")))
    found = of_job(client).output(ended(succeeded=True), whole=False, report_line="^report: ")
    assert "report: {}" in found.lines
    assert "late" not in found.lines
    assert 6 <= sum(fake_clock.slept) < 8


def test_a_log_without_the_end_of_the_execution_says_that_more_may_come(
    google, client, fake_clock, make_response
):
    logged(google, make_response, Log(fake_clock, (0, "Operations to perform:")))
    printed = of_job(client).output(ended(succeeded=False))
    assert printed.lines == [
        "Operations to perform:",
        "(more may come: after 30 seconds the log does not hold the end of the execution)",
    ]


def test_the_end_that_an_application_prints_is_none(google, client, fake_clock, make_response):
    logged(google, make_response, Log(fake_clock, (0, "Container called exit(1).")))
    assert of_job(client).output(ended(succeeded=False)).lines[-1].startswith("(more may come")


def test_each_attempt_has_an_end(google, client, fake_clock, make_response):
    end = "Container called exit(1).", "varlog%2Fsystem"
    logged(google, make_response, Log(fake_clock, (0, "first"), (0, *end), (12, "second"), (12, *end)))
    printed = of_job(client).output({**ended(succeeded=False), "retriedCount": 1})
    assert "second" in printed.lines


def not_ready(reason="HEALTH_CHECK_CONTAINER_ERROR"):
    return {"terminalCondition": {"type": "Ready", "state": "CONDITION_FAILED", "revisionReason": reason}}


@pytest.mark.parametrize(
    "said",
    [
        "Container called exit(1).",
        'Default STARTUP TCP probe failed 1 time consecutively for container "web" on port 8080. The instance was not started.',
        'terminated: Application failed to start: "gunicorn" not found',
    ],
)
def test_why_a_revision_did_not_start_is_read_to_its_last_line(
    google, client, fake_clock, make_response, said
):
    first, second, last = TRACEBACK
    end = (0.1, said, "varlog%2Fsystem")
    logged(google, make_response, Log(fake_clock, (0, first), (3, second), (7.5, last), end))
    assert log_of_failed_start(client, "p", not_ready(), "web-1") == [*TRACEBACK, said]
    assert sum(fake_clock.slept) < 20


def test_a_log_without_the_end_of_a_revision_says_that_more_may_come(
    google, client, fake_clock, make_response
):
    logged(google, make_response, Log(fake_clock, (0, "starting")))
    assert log_of_failed_start(client, "p", {}, "web-1") == [
        "starting",
        "(more may come: after 30 seconds the log does not hold the end of revision web-1)",
    ]


def test_a_log_that_holds_all_that_is_read_is_looked_at_for_newer_lines(
    google, client, fake_clock, make_response
):
    end = (0.1, "Container called exit(1).", "varlog%2Fsystem")
    many = [(0, str(number)) for number in range(40)]
    log = Log(fake_clock, *many, end, (4, "the last line"))
    answer = make_response({"unused": True})
    answer.json = lambda: {"entries": log.json()["entries"][:30]}
    google.answer("POST", ENTRIES, answer)
    printed = log_of_failed_start(client, "p", not_ready(), "web-1")
    assert (len(printed), printed[-1]) == (30, "the last line")


def test_where_no_container_ran_no_log_is_waited_for(google, client, fake_clock, make_response):
    logged(google, make_response, Log(fake_clock))
    assert log_of_failed_start(client, "p", not_ready("CONTAINER_MISSING"), "web-1") == []
    assert fake_clock.slept == []


def test_an_empty_page_with_a_token_is_not_the_last(google, client):
    end = entry(1, 0, "Container called exit(0).", "varlog%2Fsystem")[1]
    google.answer("POST", ENTRIES, {"nextPageToken": "a"}, {"nextPageToken": "b"}, {"entries": [end]})
    assert of_job(client).output(ended(succeeded=True), whole=False).lines == ["Container called exit(0)."]
    assert [body.get("pageToken") for body in google.bodies("POST")] == [None, "a", "b"]


def test_what_cloud_run_itself_says_is_the_cause(google, client, fake_clock, make_response):
    said = "Cloud SQL connection failed. Please see the page."
    system = "varlog%2Fsystem"
    logged(
        google,
        make_response,
        Log(
            fake_clock,
            (0, "Cloud SQL connection failed, the application thinks."),
            (0, said, system),
            (0, "Container called exit(1).", system),
        ),
    )
    assert of_job(client).output(ended(succeeded=False)).cause == said


def test_a_log_that_cannot_be_read_is_told(google, client, refuse):
    google.answer("POST", ENTRIES, refuse(403, "PERMISSION_DENIED", "no"))
    (line,) = of_job(client).output(ended(succeeded=False)).lines
    assert line.startswith("(the log cannot be shown: Failed to read the log")


def test_a_job_that_was_never_run_is_told_without_a_count():
    assert decode(JOB_ANSWER, JOB.fields)["execution_count"] == 0
