"""The metadata server as an instance sees it: over plain HTTP, by google-auth's own functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import google.oauth2.id_token
import pytest
import requests
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.front.server import http_handler
from gcp_emulator.front.tasks import Connections
from gcp_emulator.services.iam.api import IamApi
from gcp_emulator.services.metadata.api import Metadata
from google.auth.compute_engine import _metadata
from google.auth.transport.requests import Request

from emulator.tests.running import RunningEmulator

EMAIL = "shop-web@test-project.iam.gserviceaccount.com"
Fetch = Callable[..., requests.Response]


@pytest.fixture
def address(emulator: RunningEmulator) -> Iterator[str]:
    """Where a metadata server of an instance of shop-web listens."""
    emulator.call(emulator.emulator.service(IamApi).accounts.create, emulator.project, "shop-web")
    servers = emulator.emulator.service(Metadata)
    answer = servers.server(identity_of(EMAIL), emulator.project, "europe-west1", instance_id="00ab")

    connections = Connections(http_handler(answer))
    server = emulator.run(asyncio.start_server(connections.accept, "127.0.0.1", 0))
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}"
    emulator.call(server.close)
    emulator.run(connections.stop())


@pytest.fixture
def fetch(address: str) -> Iterator[Fetch]:
    with requests.Session() as session:
        session.trust_env = False

        def get(path: str, **headers: str) -> requests.Response:
            sent = headers or {"Metadata-Flavor": "Google"}
            return session.get(f"{address}/computeMetadata/v1/{path}", headers=sent, allow_redirects=False)

        yield get


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("project/project-id", "test-project"),
        ("project/numeric-project-id", "NUMBER"),
        ("instance/region", "projects/NUMBER/regions/europe-west1"),
        ("instance/zone", "projects/NUMBER/zones/europe-west1-1"),
        ("instance/id", "00ab"),
        ("instance/service-accounts/", f"default/\n{EMAIL}/\n"),
        ("instance/service-accounts/default/email", EMAIL),
        ("instance/service-accounts/default/scopes", "https://www.googleapis.com/auth/cloud-platform\n"),
        ("instance/", "id\nregion\nservice-accounts/\nzone\n"),
    ],
)
def test_an_instance_is_told_about_itself(
    emulator: RunningEmulator, fetch: Fetch, path: str, expected: str
) -> None:
    answer = fetch(path)
    assert (answer.status_code, answer.text) == (200, expected.replace("NUMBER", emulator.number))
    assert answer.headers["Metadata-Flavor"] == "Google"


def test_the_header_is_asked_for(fetch: Fetch) -> None:
    assert fetch("project/project-id", Accept="*/*").status_code == 403
    smuggled = {"Metadata-Flavor": "Google", "X-Forwarded-For": "10.0.0.1"}
    assert fetch("project/project-id", **smuggled).status_code == 403


def test_folders_and_unknown_paths(fetch: Fetch) -> None:
    folder = fetch("instance/service-accounts")
    assert (folder.status_code, folder.headers["Location"]) == (
        301,
        "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/",
    )
    assert fetch("instance/nothing").status_code == 404
    assert fetch("instance/service-accounts/other@example.com/token").status_code == 404
    assert fetch("instance/service-accounts/default/identity").status_code == 400


def test_google_auth_reads_the_account_and_gets_tokens(
    emulator: RunningEmulator, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", address.removeprefix("http://"))
    monkeypatch.setenv("GCE_METADATA_IP", address.removeprefix("http://"))
    session = requests.Session()
    session.trust_env = False
    transport = Request(session=session)
    assert _metadata.ping(transport)
    assert _metadata.get_project_id(transport) == "test-project"
    info = _metadata.get_service_account_info(transport)
    assert (info["email"], info["aliases"]) == (EMAIL, ["default"])
    token, _ = _metadata.get_service_account_token(transport)
    again, _ = _metadata.get_service_account_token(transport)
    assert token == again
    found = emulator.call(emulator.context.tokens.resolve, token)
    assert found is not None
    assert found[0].member == f"serviceAccount:{EMAIL}"
    session.close()


def test_an_instance_gets_id_tokens_for_an_audience(emulator: RunningEmulator, fetch: Fetch) -> None:
    token = fetch("instance/service-accounts/default/identity?audience=https://site.example").text
    claims = google.oauth2.id_token.verify_oauth2_token(
        token, Request(session=emulator.session(None)), "https://site.example"
    )
    assert claims["email"] == EMAIL


def test_a_disabled_account_gets_no_token(emulator: RunningEmulator, fetch: Fetch) -> None:
    assert fetch("instance/service-accounts/default/token").status_code == 200
    accounts = emulator.emulator.service(IamApi).accounts
    emulator.call(accounts.set_disabled, accounts.find(EMAIL), disabled=True)
    refused = fetch("instance/service-accounts/default/token")
    assert (refused.status_code, refused.text) == (400, f"Service account {EMAIL} is disabled.\n")
    assert fetch("instance/service-accounts/default/identity?audience=x").status_code == 400


def test_there_is_no_metadata_server_for_the_operator(emulator: RunningEmulator) -> None:
    answer = emulator.session(None).get(
        "http://metadata.google.internal/computeMetadata/v1/", headers={"Metadata-Flavor": "Google"}
    )
    assert (answer.status_code, "Metadata-Flavor" in answer.headers) == (404, False)
