"""Answers on their way to the client: without what is zero, with numbers for those who ask for them."""

from __future__ import annotations

from typing import Any

from gcp_emulator.engine import discovery
from gcp_emulator.engine.answers import Answers, wants_numbers
from gcp_emulator.engine.enums import numbers
from gcp_emulator.engine.facts import read_yaml

from emulator.tests.running import PROJECT, RunningEmulator

RUN = Answers(discovery.load("run", "v2").schemas, None)
LOGGING = Answers(discovery.load("logging", "v2").schemas, {"LogEntry": ["textPayload"]})


def _enums(node: Any) -> set[tuple[str, ...]]:
    found = {tuple(node["enum"])} if isinstance(node, dict) and isinstance(node.get("enum"), list) else set()
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return found.union(*(_enums(one) for one in inner))


def test_every_enum_that_is_listed_is_one_of_a_document() -> None:
    documents = [discovery.load(*one) for one in discovery.vendored()]
    queried = {
        tuple(parameter.enum)
        for document in documents
        for method in document.methods.values()
        for parameter in method.parameters.values()
        if parameter.enum
    }
    known = queried.union(*(_enums(document.schemas) for document in documents))
    listed = [tuple(enum) for enum in read_yaml("engine/enums.yaml")["enums"]]
    assert set(listed) - known == set()
    assert len(listed) == len(set(listed))


def test_the_same_names_in_another_order_have_other_numbers() -> None:
    properties = discovery.load("pubsub", "v1").schemas["BigQueryConfig"]["properties"]
    assert numbers(properties["state"]["enum"])["SCHEMA_MISMATCH"] == 4
    properties = discovery.load("pubsub", "v1").schemas["BigtableConfig"]["properties"]
    assert numbers(properties["state"]["enum"])["SCHEMA_MISMATCH"] == 5


def test_numbers_are_known_of_every_api_that_has_a_published_client() -> None:
    examples = {
        ("cloudresourcemanager", "v3"): ("Project", "state", "DELETE_REQUESTED", 2),
        ("cloudresourcemanager", "v1"): ("Project", "lifecycleState", "ACTIVE", 1),
        ("serviceusage", "v1"): ("Field", "kind", "TYPE_STRING", 9),
        ("orgpolicy", "v2"): ("GoogleCloudOrgpolicyV2CustomConstraint", "actionType", "DENY", 2),
        ("pubsub", "v1"): ("CloudStorage", "state", "CONFLICTING_REGION_CONSTRAINTS", 8),
        ("run", "v2"): ("GoogleCloudRunV2Condition", "executionReason", "NON_ZERO_EXIT_CODE", 2),
    }
    for api, (schema, field, name, number) in examples.items():
        spec = discovery.load(*api).schemas[schema]["properties"][field]
        assert numbers(spec["enum"])[name] == number, (api, schema, field)


def test_a_name_whose_number_is_not_known_stays() -> None:
    formats = discovery.load("artifactregistry", "v1").schemas["Repository"]["properties"]["format"]["enum"]
    unknown = set(formats) - set(numbers(formats))
    assert numbers(formats)["DOCKER"] == 1
    assert unknown
    repositories = Answers(discovery.load("artifactregistry", "v1").schemas, None)
    for name in unknown:
        assert repositories.message("Repository", {"format": name}, numbered=True) == {"format": name}


def test_names_in_lists_messages_and_typed_values_become_numbers() -> None:
    service = {
        "name": "s",
        "launchStage": "GA",
        "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
    }
    numbered = {"name": "s", "launchStage": 4, "traffic": [{"type": 1, "percent": 100}]}
    assert RUN.message("GoogleCloudRunV2Service", service, numbered=True) == numbered
    assert RUN.message("GoogleCloudRunV2Service", service, numbered=False) == service
    typed = {"@type": "type.googleapis.com/google.cloud.run.v2.Service"}
    operation = {"name": "o", "done": True, "response": {**typed, **service}}
    answer = RUN.message("GoogleLongrunningOperation", operation, numbered=True)
    assert answer["response"] == {**typed, **numbered}


def test_what_is_no_known_enum_stays_as_it_is() -> None:
    job = {"labels": {"launchStage": "GA"}, "executionCount": 1, "annotations": {}, "launchStage": "LATER"}
    assert RUN.message("GoogleCloudRunV2Job", job, numbered=True) == job
    assert RUN.message(None, {"launchStage": "GA"}, numbered=True) == {"launchStage": "GA"}


def test_what_is_zero_is_left_out_and_messages_are_not() -> None:
    metric = {
        "name": "0",
        "description": "",
        "disabled": False,
        "labelExtractors": {},
        "bucketOptions": {},
        "metricDescriptor": {
            "metricKind": "DELTA",
            "launchStage": "LAUNCH_STAGE_UNSPECIFIED",
            "labels": [{"key": "path", "valueType": "STRING"}, {"key": "slow", "valueType": "BOOL"}],
            "metadata": {"samplePeriod": "0s"},
        },
    }
    assert LOGGING.message("LogMetric", metric, numbered=False) == {
        "name": "0",
        "bucketOptions": {},
        "metricDescriptor": {
            "metricKind": "DELTA",
            "labels": [{"key": "path"}, {"key": "slow", "valueType": "BOOL"}],
            "metadata": {"samplePeriod": "0s"},
        },
    }


def test_what_the_facts_name_is_told_when_it_is_zero_and_free_text_is_never_touched() -> None:
    payload = {"jsonPayload": {"n": 0, "text": "", "inner": {}}}
    assert LOGGING.message("LogEntry", payload, numbered=False) == payload
    entry = {"textPayload": "", "trace": "", "jsonPayload": {}}
    assert LOGGING.message("LogEntry", entry, numbered=False) == {"textPayload": "", "jsonPayload": {}}


def test_numbers_are_for_those_who_ask(emulator: RunningEmulator) -> None:
    assert wants_numbers([("$alt", "json;enum-encoding=int")])
    assert not wants_numbers([("alt", "json"), ("filter", "enum-encoding=int")])
    url = f"https://logging.googleapis.com/v2/projects/{PROJECT}/locations/global/buckets/_Default"
    session = emulator.session()
    assert session.get(url).json()["lifecycleState"] == "ACTIVE"
    asked = {"$alt": "json;enum-encoding=int"}
    assert session.get(url, params=asked).json()["lifecycleState"] == 1
    assert session.get(url, params={**asked, "fields": "lifecycleState"}).json() == {"lifecycleState": 1}
