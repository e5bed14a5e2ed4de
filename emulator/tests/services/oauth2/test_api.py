"""Tokens, by unmodified google-auth and by hand."""

from __future__ import annotations

import base64
import datetime
import json
import time
from typing import Any

import google.auth.jwt
import google.oauth2.id_token
import pytest
import requests
from google.auth import crypt
from google.auth.transport.requests import Request
from google.oauth2 import credentials, service_account

from emulator.tests.running import RunningEmulator

TOKEN = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def _transport(emulator: RunningEmulator) -> Request:
    return Request(session=emulator.session(None))


def _account(emulator: RunningEmulator, account_id: str = "tester") -> str:
    answer = emulator.session().post(
        f"https://iam.googleapis.com/v1/projects/{emulator.project}/serviceAccounts",
        json={"accountId": account_id},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["email"])


def _key_file(emulator: RunningEmulator, email: str) -> dict[str, Any]:
    answer = emulator.session().post(
        f"https://iam.googleapis.com/v1/projects/-/serviceAccounts/{email}/keys", json={}
    )
    assert answer.status_code == 200, answer.text
    return dict(json.loads(base64.b64decode(answer.json()["privateKeyData"])))


def _assertion(key: dict[str, Any], **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": key["client_email"], "aud": TOKEN, "iat": now, "exp": now + 3600, "scope": SCOPE}
    signer = crypt.RSASigner.from_service_account_info(key)
    return bytes(google.auth.jwt.encode(signer, claims | changes)).decode()


def _grant(session: requests.Session, assertion: str) -> requests.Response:
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    return session.post(TOKEN, data=form)


def _refresh_token(emulator: RunningEmulator, email: str = "someone@example.com") -> str:
    emulator.call(emulator.context.store.collection("oauth.refreshTokens").put, "1//x", {"email": email})
    return "1//x"


def test_google_auth_refreshes_the_credentials_of_a_user(emulator: RunningEmulator) -> None:
    user = credentials.Credentials(
        None, refresh_token=_refresh_token(emulator), client_id="id", client_secret="s", token_uri=TOKEN
    )
    user.refresh(_transport(emulator))
    found = emulator.call(emulator.context.tokens.resolve, user.token)
    assert found is not None
    assert found[0].member == "user:someone@example.com"
    assert user.expiry > datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def test_google_auth_verifies_an_id_token_with_the_published_certificates(emulator: RunningEmulator) -> None:
    user = credentials.Credentials(
        None, refresh_token=_refresh_token(emulator), client_id="id", client_secret="s", token_uri=TOKEN
    )
    user.refresh(_transport(emulator))
    claims = google.oauth2.id_token.verify_oauth2_token(user.id_token, _transport(emulator), "id")
    assert (claims["email"], claims["email_verified"], claims["iss"]) == (
        "someone@example.com",
        True,
        "https://accounts.google.com",
    )


def test_an_unknown_refresh_token_is_an_invalid_grant(emulator: RunningEmulator) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": "1//none", "client_id": "id"}
    answer = emulator.session(None).post(TOKEN, data=form)
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
    )


@pytest.mark.parametrize(
    ("form", "error", "description"),
    [
        ({}, "invalid_request", "Missing required parameter: grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type", "Invalid grant_type: password"),
        ({"grant_type": "refresh_token"}, "invalid_request", "Missing required parameter: refresh_token"),
    ],
)
def test_a_token_request_that_is_not_one_is_refused(
    emulator: RunningEmulator, form: dict[str, str], error: str, description: str
) -> None:
    answer = emulator.session(None).post(TOKEN, data=form)
    assert (answer.status_code, answer.json()) == (400, {"error": error, "error_description": description})


def test_google_auth_gets_tokens_with_a_service_account_key(emulator: RunningEmulator) -> None:
    key = _key_file(emulator, _account(emulator))
    account = service_account.Credentials.from_service_account_info(key, scopes=[SCOPE])
    account.refresh(_transport(emulator))
    found = emulator.call(emulator.context.tokens.resolve, account.token)
    assert found is not None
    assert found[0].member == f"serviceAccount:{key['client_email']}"


def test_google_auth_gets_an_id_token_with_a_service_account_key(emulator: RunningEmulator) -> None:
    key = _key_file(emulator, _account(emulator))
    account = service_account.IDTokenCredentials.from_service_account_info(
        key, target_audience="https://site.example"
    )
    account.refresh(_transport(emulator))
    claims = google.oauth2.id_token.verify_oauth2_token(
        account.token, _transport(emulator), "https://site.example"
    )
    assert claims["email"] == key["client_email"]
    assert claims["sub"] == key["client_id"]


def test_assertions_are_checked(emulator: RunningEmulator) -> None:
    session = emulator.session(None)
    key = _key_file(emulator, _account(emulator))
    other = _key_file(emulator, _account(emulator, "another"))
    short = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    refused = [
        (_assertion(key | {"private_key": other["private_key"]}), "Invalid JWT Signature."),
        (
            _assertion(key, aud="https://example.com"),
            "Invalid JWT: Failed audience check. The right audience is https://oauth2.googleapis.com/token",
        ),
        (
            _assertion(key, exp=int(time.time()) + 7200),
            short + "Check your iat and exp values in the JWT claim.",
        ),
        (
            _assertion(key, iat=int(time.time()) - 7200, exp=int(time.time()) - 3600),
            short + "Check your iat and exp values in the JWT claim.",
        ),
        (_assertion(key, iss="none@example.com"), "Invalid grant: account not found"),
        ("nonsense", "Invalid JWT: malformed assertion."),
    ]
    for assertion, description in refused:
        answer = _grant(session, assertion)
        assert (answer.status_code, answer.json()) == (
            400,
            {"error": "invalid_grant", "error_description": description},
        )
    assert _grant(session, _assertion(key)).status_code == 200


def test_a_disabled_account_gets_no_token_and_loses_those_it_has(emulator: RunningEmulator) -> None:
    key = _key_file(emulator, _account(emulator))
    session = emulator.session(None)
    token = _grant(session, _assertion(key)).json()["access_token"]
    url = f"https://iam.googleapis.com/v1/projects/-/serviceAccounts/{key['client_email']}"
    assert emulator.session().post(f"{url}:disable", json={}).status_code == 200
    assert _grant(session, _assertion(key)).json()["error_description"] == "Invalid grant: account disabled"
    assert emulator.call(emulator.context.tokens.resolve, token) is None
    assert emulator.session().post(f"{url}:enable", json={}).status_code == 200
    assert _grant(session, _assertion(key)).status_code == 200


def test_a_disabled_key_signs_nothing(emulator: RunningEmulator) -> None:
    key = _key_file(emulator, _account(emulator))
    url = f"https://iam.googleapis.com/v1/projects/-/serviceAccounts/{key['client_email']}/keys/{key['private_key_id']}"
    assert emulator.session().post(f"{url}:disable", json={}).status_code == 200
    answer = _grant(emulator.session(None), _assertion(key))
    assert answer.json()["error_description"] == "Invalid JWT Signature."


def test_tokeninfo_tells_whose_token_it_is(emulator: RunningEmulator) -> None:
    token = emulator.token(emulator.owner)
    session = emulator.session(None)
    for url in (
        "https://oauth2.googleapis.com/tokeninfo",
        "https://www.googleapis.com/oauth2/v3/tokeninfo",
    ):
        said = session.get(url, params={"access_token": token}).json()
        assert (said["email"], said["email_verified"], said["scope"]) == (
            "owner@example.com",
            "true",
            SCOPE,
        )
    unknown = session.get("https://oauth2.googleapis.com/tokeninfo", params={"access_token": "ya29.no"})
    assert (unknown.status_code, unknown.json()) == (
        400,
        {"error": "invalid_token", "error_description": "Invalid Value"},
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://www.googleapis.com/oauth2/v1/userinfo",
        "https://www.googleapis.com/oauth2/v2/userinfo",
        "https://www.googleapis.com/oauth2/v3/userinfo",
        "https://openidconnect.googleapis.com/v1/userinfo",
    ],
)
def test_userinfo_needs_a_token_and_tells_the_address(emulator: RunningEmulator, url: str) -> None:
    assert emulator.session().get(url).json()["email"] == "owner@example.com"
    assert emulator.session(None).get(url).status_code == 401


def test_a_revoked_token_is_of_no_use(emulator: RunningEmulator) -> None:
    token = emulator.token(emulator.owner)
    session = emulator.session(None)
    revoke = "https://oauth2.googleapis.com/revoke"
    assert session.post(revoke, data={"token": token}).status_code == 200
    assert session.post(revoke, data={"token": token}).json() == {
        "error": "invalid_token",
        "error_description": "Token expired or revoked",
    }
    answer = session.get(
        "https://www.googleapis.com/oauth2/v2/userinfo", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401


def test_the_keys_of_google_are_published_as_jwks_too(emulator: RunningEmulator) -> None:
    session = emulator.session(None)
    keys = session.get("https://www.googleapis.com/oauth2/v3/certs").json()["keys"]
    certificates = session.get("https://www.googleapis.com/oauth2/v1/certs").json()
    assert [key["kid"] for key in keys] == list(certificates)
