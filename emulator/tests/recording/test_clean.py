"""What is somebody's own does not stay in a recorded conversation."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.recording.clean import Cleaner
from gcp_emulator.recording.form import Exchange

URL = "https://run.googleapis.com/v2/projects/acme-shop/locations/europe-west1/services/web"


def cleaned(response: Any, url: str = URL, request: Any = None) -> Exchange:
    cleaner = Cleaner("acme-shop", [("web", "siteName"), ("web-db", "databaseName")])
    exchange = Exchange("GET", url, 200, request, response)
    cleaner.learn(
        Exchange(
            "GET",
            "https://x.googleapis.com/v1/projects/acme-shop",
            200,
            None,
            {"projectNumber": "4711471147"},
        )
    )
    cleaner.learn(exchange)
    return cleaner.clean(exchange)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("projects/acme-shop/secrets/key", "projects/${projectId}/secrets/key"),
        ("projects/4711471147/secrets/key", "projects/${projectNumber}/secrets/key"),
        ("service-4711471147@serverless-robot-prod.iam.gserviceaccount.com", "service-${projectNumber}@serverless-robot-prod.iam.gserviceaccount.com"),
        ("user:jane.doe@acme.example", "user:user@example.com"),
        ("serviceAccount:web@acme-shop.iam.gserviceaccount.com", "serviceAccount:${siteName}@${projectId}.iam.gserviceaccount.com"),
        ("the database web-db of web", "the database ${databaseName} of ${siteName}"),
        ("webhook of acme-shopping", "webhook of acme-shopping"),
        ("2026-11-28T10:00:00.5Z", "2024-04-01T12:34:56.123456Z"),
        ("34.118.2.7", "10.1.2.3"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("organizations/123456/policies/x", "organizations/${organizationID}/policies/x"),
        ("billingAccounts/01AB-23", "billingAccounts/${billingAccountID}"),
        ("-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
        ("108523847562834756283", "1" * 21),
    ],
)  # fmt: skip
def test_names_people_and_machines_are_replaced(value: str, expected: str) -> None:
    assert cleaned({"x": [value]}).response == {"x": [expected]}


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "rootPassword",
        "accessToken",
        "privateKeyData",
        "sqlStatement",
        "textPayload",
        "jsonPayload",
        "keyString",
        "rows",
    ],
)
@pytest.mark.parametrize("value", ["hunter2", ["hunter2"], {"inner": [{"x": "hunter2"}]}])
def test_what_may_be_secret_is_hidden(key: str, value: Any) -> None:
    exchange = cleaned({"a": {key: value}}, request={key: value})
    assert "hunter2" not in str(exchange)
    assert "hidden" in str(exchange.request)


def test_bytes_stay_bytes() -> None:
    assert cleaned(None, request={"payload": {"data": "aHVudGVyMg=="}}).request == {
        "payload": {"data": "aGlkZGVu"}
    }


def test_the_environment_of_a_container_keeps_its_names_only() -> None:
    container = {
        "env": [
            {"name": "EMAIL_PASSWORD", "value": "hunter2"},
            {"name": "A", "valueSource": {"secretKeyRef": {"secret": "key"}}},
        ]
    }
    assert cleaned(container).response["env"] == [
        {"name": "EMAIL_PASSWORD", "value": "hidden"},
        {"name": "A", "valueSource": {"secretKeyRef": {"secret": "key"}}},
    ]


def test_numbers_of_a_project_that_are_no_texts_are_replaced() -> None:
    assert cleaned({"number": 4711471147, "count": 5}).response == {"number": 0, "count": 5}


def test_keys_in_an_address_are_hidden() -> None:
    url = "https://storage.googleapis.com/storage/v1/b?key=hunter2&project=acme-shop"
    assert (
        cleaned(None, url).url
        == "https://storage.googleapis.com/storage/v1/b?key=hidden&project=${projectId}"
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (URL, True),
        ("https://oauth2.googleapis.com/token", False),
        ("https://sts.googleapis.com/v1/token", False),
        ("https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a:generateAccessToken", False),
        ("https://storage.googleapis.com/upload/storage/v1/b/x/o?uploadType=media", False),
        ("https://storage.googleapis.com/storage/v1/b/x/o/y?alt=media", False),
        ("https://secretmanager.googleapis.com/v1/projects/p/secrets/s/versions/1:access", False),
        ("https://web-abc-uc.a.run.app/", False),
        ("https://europe-west1-docker.pkg.dev/v2/p/r/i/manifests/1", False),
        ("https://example.com/", False),
    ],
)
def test_credentials_and_contents_are_not_recorded_at_all(url: str, expected: bool) -> None:
    assert Cleaner("acme-shop").is_recorded(url) is expected


@pytest.mark.parametrize("field", ["etag", "fingerprint", "labelFingerprint"])
def test_guards_against_lost_updates_are_a_constant_that_a_replay_freshens(field: str) -> None:
    assert cleaned({field: "42WmSpB8rSM="}).response == {field: "abcdef0123A="}
