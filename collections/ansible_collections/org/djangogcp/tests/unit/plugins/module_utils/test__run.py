# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import requests
from ansible_collections.org.djangogcp.plugins.module_utils._fields import decode, differences, lay_over
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    RETRY_ANNOTATION,
    Executions,
    Overrides,
    candidate,
    with_another_try,
    with_candidate,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import SERVICE

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


def test_the_first_revision_of_a_new_service_serves_at_once():
    assert with_candidate(None, asked("app@sha256:1"), "candidate") == asked("app@sha256:1")


def test_with_nothing_to_try_out_the_newest_revision_has_all_traffic():
    result = with_candidate(service(), asked("app@sha256:1"), "candidate")
    assert result == {**asked("app@sha256:1"), "traffic": [{"type": LATEST, "percent": 100}]}


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


def test_a_template_whose_revision_did_not_start_is_tried_again_as_a_new_one():
    failed = service(created="polls-2", ready="polls-1")
    failed["template"]["annotations"] = {"team": "web"}
    result = with_another_try(failed, asked("app@sha256:1"))
    assert result["template"]["annotations"] == {"team": "web", RETRY_ANNOTATION: "polls-2"}


def retried():
    """A service whose second revision started, after one that did not."""
    found = service(created="polls-3", ready="polls-3")
    found["template"]["annotations"] = {"team": "web", RETRY_ANNOTATION: "polls-2"}
    return found


@pytest.mark.parametrize("annotations", [{"team": "web"}, None])
def test_the_annotation_of_a_retry_makes_no_further_revision(annotations):
    wanted = {"template": {**asked("app@sha256:1")["template"], "annotations": annotations}}
    assert differences(wanted, decode(retried(), SERVICE.fields), SERVICE.fields) == []


def test_a_retry_drops_annotations_that_are_asked_no_more_at_once():
    failed = service(created="polls-2", ready="polls-1")
    failed["template"]["annotations"] = {"team": "web", "old": "x"}
    wanted = {"template": {**asked("app@sha256:1")["template"], "annotations": {"team": "web"}}}
    result = with_another_try(failed, wanted)
    assert result["template"]["annotations"] == {"team": "web", RETRY_ANNOTATION: "polls-2"}


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
        (FILLED, {"startup_probe": {"http_get": {"path": "/"}}}, "startupProbe", {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "httpGet": {"path": "/"}}),
        (HTTP, {"startup_probe": {"grpc": {}}}, "startupProbe", {"periodSeconds": 1, "grpc": {}}),
        ({"livenessProbe": {"tcpSocket": {}}}, {"liveness_probe": {}}, "livenessProbe", None),
        ({"env": [{"name": "A", "valueSource": {"secretKeyRef": {"secret": "s"}}}]}, {"env": [{"name": "A", "value": ""}]}, "env", [{"name": "A", "value": ""}]),
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
    assert with_another_try(service(), asked("app@sha256:1")) == asked("app@sha256:1")
    assert with_another_try(None, asked("app@sha256:1")) == asked("app@sha256:1")
    assert with_another_try(service(created="polls-2"), {"traffic": []}) == {"traffic": []}


def test_the_candidate_is_what_carries_the_tag_without_traffic():
    tried = service(created="polls-2")
    tried["trafficStatuses"].append({"type": LATEST, "tag": "candidate", "uri": "https://candidate---polls"})
    assert candidate(tried, "candidate") == {"revision": "polls-2", "uri": "https://candidate---polls"}
    assert candidate(service(), "candidate") is None


JOB_URL = "https://run.googleapis.com/v2/projects/p/locations/l/jobs/migrate"
LOST = requests.exceptions.ConnectionError("Connection aborted.", ConnectionResetError(104, "reset by peer"))


def job(newest):
    containers = [{"image": "app@sha256:1", "args": ["migrate"]}]
    return {
        "template": {"template": {"containers": containers}},
        "latestCreatedExecution": {"name": newest},
    }


def test_an_execution_whose_answer_was_lost_is_found_again(google, client):
    google.answer("GET", JOB_URL, job("migrate-1"), job("migrate-2"))
    google.answer("POST", f"{JOB_URL}:run", LOST)
    containers = [{"image": "app@sha256:1", "args": ["migrate"]}]
    google.answer(
        "GET",
        f"{JOB_URL}/executions/migrate-2",
        {"name": "migrate-2", "template": {"containers": containers}},
    )
    assert Executions(client, "p", "l", "migrate").start(Overrides())["name"] == "migrate-2"
    assert len(google.bodies("POST")) == 1


@pytest.mark.parametrize(("newest", "args"), [("migrate-1", ["migrate"]), ("migrate-2", ["another"])])
def test_an_execution_that_was_not_started_is_started_once_more(google, client, newest, args):
    google.answer("GET", JOB_URL, job("migrate-1"), job(newest))
    google.answer("POST", f"{JOB_URL}:run", (503, ""), {"metadata": {"name": "migrate-3"}})
    containers = [{"image": "app@sha256:1", "args": args}]
    google.answer(
        "GET",
        f"{JOB_URL}/executions/migrate-2",
        {"name": "migrate-2", "template": {"containers": containers}},
    )
    assert Executions(client, "p", "l", "migrate").start(Overrides())["name"] == "migrate-3"


COMPLETED = {"type": "Completed", "state": "CONDITION_SUCCEEDED"}
SUCCEEDED = {"completionTime": "2026-01-01T00:00:00Z", "conditions": [COMPLETED]}
FAILED = {
    "completionTime": "2026-01-01T00:00:00Z",
    "conditions": [{"type": "Completed", "state": "CONDITION_FAILED"}],
}


@pytest.mark.parametrize(
    ("state", "args", "counts"),
    [
        (SUCCEEDED, ["migrate"], True),
        ({}, ["migrate"], True),
        (FAILED, ["migrate"], False),
        (SUCCEEDED, ["another"], False),
        ({}, ["another"], False),
    ],
)
def test_the_newest_execution_counts_when_it_runs_or_ran_what_the_job_says(
    google, client, state, args, counts
):
    google.answer("GET", JOB_URL, job("migrate-1"))
    template = {"containers": [{"image": "app@sha256:1", "args": args}]}
    newest = {"name": "migrate-1", "template": template, **state}
    google.answer("GET", f"{JOB_URL}/executions/migrate-1", newest)
    assert Executions(client, "p", "l", "migrate").newest_as_is() == (newest if counts else None)


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
