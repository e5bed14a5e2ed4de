"""Acting as a service account: by hand, and with google-auth's own impersonation."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import google.auth.jwt
import google.oauth2.id_token
import pytest
from gcp_emulator.engine.jwt import verifies
from gcp_emulator.services.iam.api import IamApi
from google.auth import iam, impersonated_credentials
from google.auth.transport.requests import Request
from google.oauth2 import credentials

from emulator.tests.running import RunningEmulator

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
CREATOR = "roles/iam.serviceAccountTokenCreator"


def _account(emulator: RunningEmulator, account_id: str = "target") -> str:
    answer = emulator.session().post(
        f"https://iam.googleapis.com/v1/projects/{emulator.project}/serviceAccounts",
        json={"accountId": account_id},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["email"])


def _name(emulator: RunningEmulator, email: str) -> str:
    return f"projects/{emulator.project}/serviceAccounts/{email}"


def _url(email: str, verb: str) -> str:
    return f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:{verb}"


def _impersonated(
    emulator: RunningEmulator, caller: str, email: str, delegates: list[str] | None = None
) -> impersonated_credentials.Credentials:
    source = credentials.Credentials(emulator.token(caller))
    return impersonated_credentials.Credentials(
        source_credentials=source, target_principal=email, target_scopes=[SCOPE], delegates=delegates
    )


def test_google_auth_impersonates_an_account_that_the_caller_was_granted(emulator: RunningEmulator) -> None:
    email = _account(emulator)
    emulator.grant(_name(emulator, email), CREATOR, "user:deployer@example.com")
    acting = _impersonated(emulator, "user:deployer@example.com", email)
    acting.refresh(Request(session=emulator.session(None)))
    found = emulator.call(emulator.context.tokens.resolve, acting.token)
    assert found is not None
    assert found[0].member == f"serviceAccount:{email}"


def test_google_auth_gets_id_tokens_of_an_impersonated_account(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    email = _account(emulator)
    transport = Request(session=emulator.session(None))
    acting = _impersonated(emulator, emulator.owner, email)
    acting.refresh(transport)
    emulator.grant(_name(emulator, email), CREATOR, emulator.owner)
    token = impersonated_credentials.IDTokenCredentials(
        acting, target_audience="https://site.example", include_email=True
    )
    token.refresh(transport)
    claims = google.oauth2.id_token.verify_oauth2_token(token.token, transport, "https://site.example")
    assert claims["email"] == email


def test_an_account_needs_a_grant_on_itself_to_sign(emulator: RunningEmulator) -> None:
    email = _account(emulator)
    session = emulator.session(f"serviceAccount:{email}")
    body = {"payload": base64.b64encode(b"x").decode()}
    refused = session.post(_url(email, "signBlob"), json=body)
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        403,
        f"Permission 'iam.serviceAccounts.signBlob' denied on resource '{_name(emulator, email)}' (or it may not exist).",
    )
    emulator.grant(_name(emulator, email), CREATOR, f"serviceAccount:{email}")
    assert session.post(_url(email, "signBlob"), json=body).status_code == 200


def test_a_signed_blob_verifies_with_the_published_key(emulator: RunningEmulator) -> None:
    email = _account(emulator)
    accounts = emulator.emulator.service(IamApi).accounts
    assert emulator.call(accounts.public_keys_of, email) == []
    source = credentials.Credentials(emulator.token(emulator.owner))
    signer = iam.Signer(Request(session=emulator.session(None)), source, email)
    signature = signer.sign(b"to be signed")
    (key,) = emulator.call(accounts.public_keys_of, email)
    assert verifies(key, signature, b"to be signed")
    assert not verifies(key, signature, b"something else")


def test_a_signed_jwt_verifies_with_the_published_certificate(emulator: RunningEmulator) -> None:
    email = _account(emulator)
    claims = {"sub": email, "aud": "somewhere", "iat": int(time.time()), "exp": int(time.time()) + 60}
    answer = emulator.session().post(_url(email, "signJwt"), json={"payload": json.dumps(claims)}).json()
    certificates = (
        emulator.session(None).get(f"https://www.googleapis.com/robot/v1/metadata/x509/{email}").json()
    )
    assert list(certificates) == [answer["keyId"]]
    assert google.auth.jwt.decode(answer["signedJwt"], certs=certificates, audience="somewhere") == claims
    keys = emulator.session(None).get(f"https://www.googleapis.com/service_accounts/v1/metadata/jwk/{email}")
    assert [key["kid"] for key in keys.json()["keys"]] == [answer["keyId"]]


@pytest.mark.parametrize("payload", ["no json", "[]", '{"exp": 1}', '{"exp": "soon"}'])
def test_claims_that_make_no_sense_are_not_signed(emulator: RunningEmulator, payload: str) -> None:
    answer = emulator.session().post(_url(_account(emulator), "signJwt"), json={"payload": payload})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_every_link_of_a_delegation_must_be_granted(emulator: RunningEmulator) -> None:
    middle, target = _account(emulator, "middle"), _account(emulator, "target")
    caller = "user:deployer@example.com"
    transport = Request(session=emulator.session(None))
    delegates = [f"projects/-/serviceAccounts/{middle}"]
    url, body = _url(target, "generateAccessToken"), {"scope": [SCOPE], "delegates": delegates}
    session = emulator.session(caller)
    missing = []
    for resource, member in (
        (middle, caller),
        (target, f"serviceAccount:{middle}"),
    ):
        missing.append(session.post(url, json=body).json()["error"]["details"][0]["metadata"]["permission"])
        emulator.grant(_name(emulator, resource), CREATOR, member)
    assert missing == ["iam.serviceAccounts.implicitDelegation", "iam.serviceAccounts.getAccessToken"]
    acting = _impersonated(emulator, caller, target, delegates)
    acting.refresh(transport)
    assert acting.token
    assert session.post(url, json={"scope": [SCOPE]}).status_code == 403


def test_the_lifetime_of_a_token_is_honoured_and_limited(emulator: RunningEmulator) -> None:
    email = _account(emulator)
    session, url = emulator.session(), _url(email, "generateAccessToken")
    short = session.post(url, json={"scope": [SCOPE], "lifetime": "60s"}).json()["accessToken"]
    found = emulator.call(emulator.context.tokens.resolve, short)
    assert found is not None
    assert 50 < found[1] <= 60
    long = session.post(url, json={"scope": [SCOPE], "lifetime": "7200s"})
    assert (long.status_code, long.json()["error"]["message"]) == (
        400,
        "The access token lifetime cannot exceed 3600 seconds.",
    )
    assert session.post(url, json={}).status_code == 400


def test_no_account_is_confined_to_regions(emulator: RunningEmulator) -> None:
    email = _account(emulator)
    answer = emulator.session(f"serviceAccount:{email}").get(
        f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}/allowedLocations"
    )
    assert (answer.status_code, answer.json()) == (200, {"locations": [], "encodedLocations": "0x0"})


def test_calls_at_the_same_time_sign_with_one_key(emulator: RunningEmulator) -> None:
    email = _account(emulator)
    session = emulator.session()

    def sign(_: int) -> str:
        return str(session.post(_url(email, "signBlob"), json={"payload": "eA=="}).json()["keyId"])

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(sign, range(4)))) == 1
