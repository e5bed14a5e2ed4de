"""Bodies and query parameters against the discovery documents, in the transcoder's words."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.engine.discovery import load
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.validate import BodyValidator, query_parameters

RUN = load("run", "v2")
SERVICE = "GoogleCloudRunV2Service"


def _validate(body: Any, schema: str = SERVICE, **options: Any) -> dict[str, Any]:
    return BodyValidator(RUN.schemas, {}, **options).validate(schema, body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"nme": 1}, 'Invalid JSON payload received. Unknown name "nme": Cannot find field.'),
        (
            {"template": {"containers": [{"immage": "x"}]}},
            "Invalid JSON payload received. Unknown name \"immage\" at 'template.containers[0]': Cannot find field.",
        ),
        ({"labels": {"a": 1}}, "Invalid value at 'labels[a]' (TYPE_STRING), 1"),
        ({"ingress": "SOMETIMES"}, "Invalid value at 'ingress' (TYPE_ENUM), \"SOMETIMES\""),
        ({"invokerIamDisabled": "yes"}, "Invalid value at 'invokerIamDisabled' (TYPE_BOOL), \"yes\""),
        ({"template": "x"}, "Invalid value at 'template' (message), \"x\""),
        (
            {"template": {"containers": {}}},
            'Invalid JSON payload received. Unknown name "containers": Proto field is repeated, expected a list.',
        ),
        (
            {"template": {"maxInstanceRequestConcurrency": "many"}},
            "Invalid value at 'template.maxInstanceRequestConcurrency' (TYPE_INT32), \"many\"",
        ),
        (
            {"template": {"maxInstanceRequestConcurrency": 2**31}},
            "Invalid value at 'template.maxInstanceRequestConcurrency' (TYPE_INT32), 2147483648",
        ),
        (
            {"template": {"timeout": "300"}},
            "Invalid value at 'template.timeout' (type.googleapis.com/google.protobuf.Duration), Field "
            "'template.timeout', Illegal duration format; duration must end with 's'",
        ),
        ([], "Invalid JSON payload received. Root element must be a message."),
    ],
)
def test_a_wrong_body_is_refused_naming_the_field(body: Any, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        _validate(body)
    assert (refused.value.code, refused.value.status, refused.value.message) == (
        400,
        "INVALID_ARGUMENT",
        message,
    )


def test_bodies_are_normalised() -> None:
    given = {
        "invoker_iam_disabled": "true",
        "uid": "mine",
        "description": None,
        "template": {"max_instance_request_concurrency": "80", "timeout": "300s"},
    }
    assert _validate(given) == {
        "invokerIamDisabled": True,
        "template": {"maxInstanceRequestConcurrency": 80, "timeout": "300s"},
    }


def test_output_only_fields_of_the_facts_are_dropped() -> None:
    validator = BodyValidator(RUN.schemas, {SERVICE: ["description"]})
    assert validator.validate(SERVICE, {"description": "x", "client": "c"}) == {"client": "c"}


def test_unknown_names_pass_where_the_facts_say_so() -> None:
    assert _validate({"nme": 1, "client": "c"}, lenient=True) == {"client": "c"}
    assert _validate({"nme": 1, "client": "c"}, tolerated=frozenset({"nme"})) == {"client": "c"}
    with pytest.raises(ApiError, match='Unknown name "nmo"'):
        _validate({"nmo": 1}, tolerated=frozenset({"nme"}))


def test_an_enum_s_number_stands_for_its_name_where_it_is_known() -> None:
    validator = BodyValidator(load("run", "v2").schemas, {})
    body = {"launchStage": 4, "ingress": 1}
    named = {"launchStage": "GA", "ingress": "INGRESS_TRAFFIC_ALL"}
    assert validator.validate("GoogleCloudRunV2Service", body) == named
    with pytest.raises(ApiError, match=r"^Invalid value at 'ingress' \(TYPE_ENUM\), 9$"):
        validator.validate("GoogleCloudRunV2Service", {"ingress": 9})


def test_bytes_must_be_base64_of_either_alphabet_and_are_kept_in_the_standard_one() -> None:
    secrets = load("secretmanager", "v1")
    validator = BodyValidator(secrets.schemas, {})
    for good, standard in (("aGk=", "aGk="), ("aGk", "aGk="), ("-_-_", "+/+/")):
        assert validator.validate("SecretPayload", {"data": good}) == {"data": standard}
    with pytest.raises(ApiError, match=r"Invalid value at 'data' \(TYPE_BYTES\), Base64 decoding failed"):
        validator.validate("SecretPayload", {"data": "a"})


def test_query_parameters_are_typed() -> None:
    method = RUN.methods["run.projects.locations.services.patch"]
    pairs = [("updateMask", "template"), ("allowMissing", "true"), ("alt", "json"), ("update_mask", "labels")]
    assert query_parameters(method, pairs, frozenset()) == {"updateMask": "labels", "allowMissing": True}


def test_an_enum_in_the_query_may_be_a_number() -> None:
    method = load("iam", "v1").methods["iam.projects.roles.list"]
    for text in ("FULL", "1"):
        assert query_parameters(method, [("view", text)], frozenset()) == {"view": "FULL"}
    with pytest.raises(ApiError, match=r"^Invalid value at 'view' \(TYPE_ENUM\), 7$"):
        query_parameters(method, [("view", "7")], frozenset())


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            [("force", "1")],
            'Invalid JSON payload received. Unknown name "force": Cannot bind query parameter. '
            "Field 'force' could not be found in request message.",
        ),
        ([("pageSize", "many")], "Invalid value at 'pageSize' (TYPE_INT32), \"many\""),
        ([("showDeleted", "maybe")], "Invalid value at 'showDeleted' (TYPE_BOOL), \"maybe\""),
    ],
)
def test_wrong_query_parameters_are_refused(pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ApiError) as refused:
        query_parameters(RUN.methods["run.projects.locations.services.list"], pairs, frozenset())
    assert refused.value.message == message


def test_tolerated_query_parameters_are_dropped_and_required_ones_asked_for() -> None:
    method = load("storage", "v1").methods["storage.buckets.insert"]
    assert query_parameters(method, [("project", "p"), ("x", "y")], frozenset({"x"})) == {"project": "p"}
    with pytest.raises(ApiError, match=r"^Required parameter: project$"):
        query_parameters(method, [], frozenset())


def test_an_empty_enum_is_one_that_is_not_said_where_the_api_takes_it() -> None:
    assert _validate({"ingress": ""}, empty_enums=True) == {"ingress": ""}
    with pytest.raises(ApiError):
        _validate({"ingress": ""})
