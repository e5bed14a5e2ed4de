"""Sinks, metrics, exclusions, buckets and views: stored as Cloud Logging stores them."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

BASE = f"https://logging.googleapis.com/v2/projects/{PROJECT}"
GLOBAL = f"{BASE}/locations/global"
TOPIC = f"pubsub.googleapis.com/projects/{PROJECT}/topics/t"


@pytest.fixture
def session(emulator: RunningEmulator) -> requests.Session:
    return emulator.session()


def ok(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def message(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


def test_the_life_of_a_sink(emulator: RunningEmulator, session: requests.Session) -> None:
    made = ok(
        session.post(f"{BASE}/sinks?uniqueWriterIdentity=true", json={"name": "errors", "destination": TOPIC})
    )
    assert made["name"] == "errors"
    assert made["resourceName"] == f"projects/{PROJECT}/sinks/errors"
    agent = f"serviceAccount:service-{emulator.number}@gcp-sa-logging.iam.gserviceaccount.com"
    assert made["writerIdentity"] == agent
    assert made["createTime"] == made["updateTime"]
    changed = ok(
        session.patch(
            f"{BASE}/sinks/errors?updateMask=filter", json={"filter": "severity>=ERROR", "description": "x"}
        )
    )
    assert (changed["filter"], "description" in changed) == ("severity>=ERROR", False)
    assert changed["writerIdentity"] == agent
    assert changed["createTime"] == made["createTime"] != changed["updateTime"]
    ok(session.patch(f"{BASE}/sinks/errors?updateMask=description", json={"description": "kept"}))
    put = ok(session.put(f"{BASE}/sinks/errors", json={"destination": TOPIC, "description": "not said"}))
    assert ("filter" in put, put["description"]) == (False, "kept")
    assert ok(session.get(f"{BASE}/sinks/errors")) == put
    names = [one["name"] for one in ok(session.get(f"{BASE}/sinks"))["sinks"]]
    assert names == ["_Default", "_Required", "errors"]
    assert ok(session.delete(f"{BASE}/sinks/errors")) == {}
    assert message(session.get(f"{BASE}/sinks/errors"), 404) == "Sink errors does not exist"


def test_sinks_that_cannot_be_are_refused(session: requests.Session) -> None:
    sink = {"name": "one", "destination": TOPIC}
    ok(session.post(f"{BASE}/sinks", json=sink))
    assert message(session.post(f"{BASE}/sinks", json=sink), 409) == "Sink one already exists"
    assert session.post(f"{BASE}/sinks", json={**sink, "name": "-one"}).status_code == 400
    missing = session.post(f"{BASE}/sinks", json={"name": "two"})
    assert message(missing, 400) == "Required field 'destination' is missing or empty."
    cleared = session.patch(f"{BASE}/sinks/one?updateMask=destination", json={})
    assert message(cleared, 400) == "Required field 'destination' is missing or empty."
    read_only = session.patch(f"{BASE}/sinks/one?updateMask=writerIdentity", json={"writerIdentity": "me"})
    assert "writerIdentity' is not found or cannot be updated" in message(read_only, 400)
    required = session.patch(f"{BASE}/sinks/_Required?updateMask=disabled", json={"disabled": True})
    assert message(required, 400) == "The _Required sink cannot be modified."


def test_a_sink_that_everybody_has_can_be_changed(session: requests.Session) -> None:
    changed = ok(session.patch(f"{BASE}/sinks/_Default?updateMask=disabled", json={"disabled": True}))
    assert (changed["disabled"], changed["destination"]) == (
        True,
        f"logging.googleapis.com/projects/{PROJECT}/locations/global/buckets/_Default",
    )
    assert ok(session.get(f"{BASE}/sinks/_Default"))["disabled"] is True
    assert len(ok(session.get(f"{BASE}/sinks"))["sinks"]) == 2


def test_a_metric_is_made_by_put_and_its_name_may_hold_a_slash(session: requests.Session) -> None:
    address = f"{BASE}/metrics/nginx%2Frequests"
    made = ok(session.put(address, json={"name": "nginx/requests", "filter": "severity>=ERROR"}))
    assert made["name"] == "nginx/requests"
    assert made["metricDescriptor"] == {
        "name": f"projects/{PROJECT}/metricDescriptors/logging.googleapis.com/user/nginx/requests",
        "type": "logging.googleapis.com/user/nginx/requests",
        "metricKind": "DELTA",
        "valueType": "INT64",
        "unit": "1",
    }
    assert ok(session.get(address)) == made
    other = {"name": "nginx/errors", "filter": "severity>=ERROR"}
    assert ok(session.post(f"{BASE}/metrics", json=other))["resourceName"].endswith("/metrics/nginx/errors")
    ok(session.delete(f"{BASE}/metrics/nginx%2Ferrors"))
    assert [one["name"] for one in ok(session.get(f"{BASE}/metrics"))["metrics"]] == ["nginx/requests"]
    ok(session.delete(address))
    assert session.get(address).status_code == 404


def test_the_descriptor_of_a_metric_has_the_description_of_the_metric(session: requests.Session) -> None:
    metric = {
        "name": "slow",
        "filter": "severity>=ERROR",
        "description": "Slow requests",
        "metricDescriptor": {"valueType": "DISTRIBUTION", "description": "not this one"},
    }
    described = ok(session.post(f"{BASE}/metrics", json=metric))["metricDescriptor"]
    assert (described["description"], described["valueType"]) == ("Slow requests", "DISTRIBUTION")
    del metric["description"]
    assert "description" not in ok(session.put(f"{BASE}/metrics/slow", json=metric))["metricDescriptor"]


def test_each_label_of_a_metric_is_extracted(session: requests.Session) -> None:
    labels = [{"key": "code"}, {"key": "path"}]
    metric = {
        "name": "requests",
        "filter": "severity>=ERROR",
        "metricDescriptor": {"labels": labels},
        "labelExtractors": {"code": "EXTRACT(httpRequest.status)"},
    }
    refused = session.post(f"{BASE}/metrics", json=metric)
    assert message(refused, 400) == "Number of label descriptors must match number of label extractors"
    metric["labelExtractors"] = {
        "code": "EXTRACT(httpRequest.status)",
        "path": "EXTRACT(httpRequest.requestUrl)",
    }
    assert ok(session.post(f"{BASE}/metrics", json=metric))["metricDescriptor"]["labels"] == labels


def test_an_exclusion_is_stored(session: requests.Session) -> None:
    made = ok(session.post(f"{BASE}/exclusions", json={"name": "noise", "filter": "severity<INFO"}))
    changed = ok(session.patch(f"{BASE}/exclusions/noise?updateMask=disabled", json={"disabled": True}))
    assert changed == made | {"disabled": True, "updateTime": changed["updateTime"]}
    ok(session.delete(f"{BASE}/exclusions/noise"))
    gone = session.get(f"{BASE}/exclusions/noise")
    assert message(gone, 404) == f"Exclusion projects/{PROJECT}/exclusions/noise does not exist"
    assert ok(session.get(f"{BASE}/exclusions")) == {}


def test_a_deleted_bucket_can_be_brought_back(session: requests.Session) -> None:
    made = ok(session.post(f"{GLOBAL}/buckets?bucketId=long", json={"retentionDays": 90}))
    assert made["name"] == f"projects/{PROJECT}/locations/global/buckets/long"
    assert (made["retentionDays"], made["lifecycleState"]) == (90, "ACTIVE")
    ok(session.post(f"{BASE}/locations/us-central1/buckets?bucketId=near", json={}))
    taken = session.post(f"{GLOBAL}/buckets?bucketId=long", json={})
    assert message(taken, 409) == "Bucket long already exists"
    found = ok(session.get(f"{BASE}/locations/-/buckets"))["buckets"]
    assert [one["name"].split("/")[3::2] for one in found] == [
        ["global", "_Default"],
        ["global", "_Required"],
        ["global", "long"],
        ["us-central1", "near"],
    ]
    assert ok(session.delete(f"{GLOBAL}/buckets/long")) == {}
    assert ok(session.get(f"{GLOBAL}/buckets/long"))["lifecycleState"] == "DELETE_REQUESTED"
    ok(session.post(f"{GLOBAL}/buckets/long:undelete", json={}))
    assert ok(session.get(f"{GLOBAL}/buckets/long"))["lifecycleState"] == "ACTIVE"
    again = session.post(f"{GLOBAL}/buckets/long:undelete", json={})
    assert "is not to be deleted" in message(again, 400)
    assert (
        message(session.delete(f"{GLOBAL}/buckets/_Default"), 400) == "The _Default bucket cannot be deleted."
    )


def test_a_locked_bucket_keeps_its_retention(session: requests.Session) -> None:
    ok(session.post(f"{GLOBAL}/buckets?bucketId=safe", json={"locked": True}))
    changed = session.patch(f"{GLOBAL}/buckets/safe?updateMask=retentionDays", json={"retentionDays": 1})
    assert message(changed, 400) == "The retention period of a locked bucket cannot be changed."


def test_views_are_in_buckets_that_are_there(session: requests.Session) -> None:
    body = {"filter": 'SOURCE("projects/p")'}
    missing = session.post(f"{GLOBAL}/buckets/none/views?viewId=v", json=body)
    assert message(missing, 404) == "Bucket `none` in location `global` does not exist"
    views = f"{GLOBAL}/buckets/_Default/views"
    ok(session.post(f"{views}?viewId=mine", json=body))
    names = [one["name"].rpartition("/")[2] for one in ok(session.get(views))["views"]]
    assert names == ["_AllLogs", "_Default", "mine"]


def test_a_viewer_reads_and_changes_nothing(emulator: RunningEmulator) -> None:
    emulator.grant(f"projects/{PROJECT}", "roles/logging.viewer", "user:reader@example.com")
    reader = emulator.session("user:reader@example.com")
    assert reader.get(f"{GLOBAL}/buckets").status_code == 200
    refused = reader.post(f"{BASE}/sinks", json={"name": "one", "destination": TOPIC})
    assert "Permission 'logging.sinks.create' denied" in message(refused, 403)


def test_a_restricted_or_indexed_bucket(session: requests.Session) -> None:
    index = {"fieldPath": "jsonPayload.user", "type": "INDEX_TYPE_STRING"}
    body = {"restrictedFields": ["jsonPayload.secret"], "indexConfigs": [index]}
    made = ok(session.post(f"{GLOBAL}/buckets?bucketId=indexed", json=body))
    assert made["restrictedFields"] == ["jsonPayload.secret"]
    assert made["indexConfigs"] == [index | {"createTime": made["indexConfigs"][0]["createTime"]}]
    twice = session.patch(
        f"{GLOBAL}/buckets/indexed?updateMask=indexConfigs", json={"indexConfigs": [index, index]}
    )
    assert twice.status_code == 400
    too_long = session.patch(
        f"{GLOBAL}/buckets/indexed?updateMask=retentionDays", json={"retentionDays": 3651}
    )
    assert message(too_long, 400) == "The retention period must be between 1 and 3650 days."


def finished(session: requests.Session, operation: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while not operation.get("done"):
        assert time.monotonic() < deadline
        operation = ok(session.get(f"https://logging.googleapis.com/v2/{operation['name']}"))
    return operation


def test_the_life_of_a_link(emulator: RunningEmulator, session: requests.Session) -> None:
    bucket = f"{GLOBAL}/buckets/_Default"
    refused = session.post(f"{bucket}/links?linkId=mine", json={})
    assert "Log Analytics" in message(refused, 400)
    upgraded = ok(
        session.post(f"{bucket}:updateAsync?updateMask=analyticsEnabled", json={"analyticsEnabled": True})
    )
    assert upgraded["metadata"]["@type"] == "type.googleapis.com/google.logging.v2.BucketMetadata"
    assert upgraded["metadata"]["updateBucketRequest"]["updateMask"] == "analyticsEnabled"
    assert finished(session, upgraded)["response"]["analyticsEnabled"] is True
    back = session.patch(f"{bucket}?updateMask=analyticsEnabled", json={"analyticsEnabled": False})
    assert message(back, 400) == "Log Analytics cannot be disabled once it is enabled on a bucket."

    name = f"projects/{PROJECT}/locations/global/buckets/_Default/links/mine"
    assert message(session.get(f"{bucket}/links/mine"), 404) == f"{name} does not exist"
    begun = ok(
        session.post(f"{bucket}/links?linkId=mine&$alt=json;enum-encoding=int", json={"description": "d"})
    )
    assert begun["name"].startswith(f"projects/{emulator.number}/locations/global/operations/")
    assert (begun["metadata"]["state"], begun["metadata"]["createLinkRequest"]) == (
        1,
        {"parent": name.removesuffix("/links/mine"), "linkId": "mine"},
    )
    ended = finished(session, begun)
    assert (ended["metadata"]["state"], "endTime" in ended["metadata"]) == ("OPERATION_STATE_SUCCEEDED", True)
    link = ok(session.get(f"{bucket}/links/mine"))
    assert ended["response"] == {"@type": "type.googleapis.com/google.logging.v2.Link", **link}
    assert link == {
        "name": name,
        "description": "d",
        "lifecycleState": "ACTIVE",
        "createTime": link["createTime"],
        "bigqueryDataset": {"datasetId": f"bigquery.googleapis.com/projects/{PROJECT}/datasets/mine"},
    }
    gone = finished(session, ok(session.delete(f"{bucket}/links/mine")))
    assert gone["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert ok(session.get(f"{bucket}/links")) == {}
    assert len(ok(session.get(f"{GLOBAL}/operations"))["operations"]) == 3


@pytest.mark.parametrize(
    ("parent", "writer"),
    [
        ("organizations/12", "service-org-12"),
        ("folders/34", "service-folder-34"),
        ("billingAccounts/012345-6789AB-CDEF01", "service-billing-012345-6789AB-CDEF01"),
    ],
)
def test_others_than_projects_have_sinks_exclusions_and_buckets(
    session: requests.Session, parent: str, writer: str
) -> None:
    base = f"https://logging.googleapis.com/v2/{parent}"
    made = ok(session.post(f"{base}/sinks", json={"name": "all", "destination": TOPIC}))
    assert made["writerIdentity"] == f"serviceAccount:{writer}@gcp-sa-logging.iam.gserviceaccount.com"
    assert (
        ok(session.put(f"{base}/sinks/all?updateMask=filter", json={"filter": "a", "name": "all"}))["filter"]
        == "a"
    )
    children = session.patch(f"{base}/sinks/all?updateMask=includeChildren", json={"includeChildren": True})
    assert (children.status_code == 200) is (not parent.startswith("billing"))
    exclusion = ok(session.post(f"{base}/exclusions", json={"name": "noise", "filter": "severity<INFO"}))
    assert exclusion["name"] == f"{parent}/exclusions/noise"
    assert message(session.get(f"{base}/exclusions/none"), 404) == (
        f"Exclusion {parent}/exclusions/none does not exist"
    )
    buckets = ok(session.get(f"{base}/locations/global/buckets"))["buckets"]
    assert [one["description"] for one in buckets] == ["Default bucket", "Audit bucket"]


def test_partitioned_tables_are_partitioned_by_the_time_of_entries(session: requests.Session) -> None:
    sink = {"name": "tables", "destination": f"bigquery.googleapis.com/projects/{PROJECT}/datasets/d"}
    assert "bigqueryOptions" not in ok(session.post(f"{BASE}/sinks", json=sink))
    options = {"bigqueryOptions": {"usePartitionedTables": True}}
    changed = ok(session.patch(f"{BASE}/sinks/tables?updateMask=bigqueryOptions", json=options))
    assert changed["bigqueryOptions"] == {
        "usePartitionedTables": True,
        "usesTimestampColumnPartitioning": True,
    }


def test_a_project_has_no_children_to_include(session: requests.Session) -> None:
    sink = {"name": "all", "destination": TOPIC, "includeChildren": True}
    assert "organizations and folders only" in message(session.post(f"{BASE}/sinks", json=sink), 400)


@pytest.mark.parametrize("kind", ["linearBuckets", "exponentialBuckets", "explicitBuckets"])
def test_the_buckets_of_a_distribution_are_kept(session: requests.Session, kind: str) -> None:
    options = {
        "linearBuckets": {"numFiniteBuckets": 5, "width": 2.5, "offset": 1.0},
        "exponentialBuckets": {"numFiniteBuckets": 4, "growthFactor": 2.5, "scale": 0.5},
        "explicitBuckets": {"bounds": [1.5, 4.5]},
    }
    metric = {
        "name": "latency",
        "filter": "severity>=ERROR",
        "valueExtractor": "EXTRACT(jsonPayload.ms)",
        "labelExtractors": {"path": "EXTRACT(jsonPayload.path)"},
        "bucketOptions": {kind: options[kind]},
        "metricDescriptor": {
            "valueType": "DISTRIBUTION",
            "labels": [{"key": "path", "valueType": "STRING"}],
            "launchStage": "GA",
            "metadata": {"ingestDelay": "1s"},
        },
    }
    made = ok(session.post(f"{BASE}/metrics", json=metric))
    assert made["bucketOptions"] == {kind: options[kind]}
    assert made["metricDescriptor"]["labels"] == [{"key": "path"}]
    assert {"launchStage", "metadata"}.isdisjoint(made["metricDescriptor"])
