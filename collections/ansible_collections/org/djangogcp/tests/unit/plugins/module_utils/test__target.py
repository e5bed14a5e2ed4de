# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socket
import time

import google.auth.exceptions
import pytest
import requests
from ansible_collections.org.djangogcp.plugins.module_utils._auth import AuthOptions, Token, TokenSource
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, new_session
from ansible_collections.org.djangogcp.plugins.module_utils._errors import AuthError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._target import innermost

URL = "https://toys.googleapis.com/v1/toys"
CALL = Call("list toys", "toys.toys.list")


@pytest.fixture
def nothing(monkeypatch):
    """The address of a proxy that is named everywhere and does not listen."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://{address}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "")
        monkeypatch.delenv("GCP_EMULATOR_ADDRESS", raising=False)
        yield address


class Known:
    identity = "known"

    def token(self, *, rejected=None):
        return Token("known")


def test_a_rehearsal_that_is_stopped_is_told_at_once(nothing, monkeypatch):
    monkeypatch.setenv("GCP_EMULATOR_ADDRESS", nothing)
    begun = time.monotonic()
    with pytest.raises(DjangoGcpError) as caught:
        Client(Known(), new_session()).get(URL, CALL)
    assert time.monotonic() - begun < 1
    assert str(caught.value) == (
        f"Failed to list toys: This shell leads to the rehearsal at {nothing}, and it is stopped: make rehearse "
        "(or leave it: rehearsal_off)."
    )


def test_any_proxy_of_this_machine_where_nothing_listens_is_told_at_once(nothing):
    with pytest.raises(DjangoGcpError) as caught:
        Client(Known(), new_session()).request("POST", URL, CALL)
    assert f"Nothing listens at {nothing}, where HTTPS_PROXY leads." in str(caught.value)
    assert "it is stopped: make rehearse" in str(caught.value)


def test_no_token_comes_through_a_proxy_that_is_stopped(nothing, monkeypatch, tmp_path):
    file = tmp_path / "credentials.json"
    login = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    file.write_text(json.dumps(login), "utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with pytest.raises(AuthError, match=f"Failed to get an access token: Nothing listens at {nothing}"):
        TokenSource(AuthOptions(), new_session(), None).token()


def test_another_emulator_where_the_rehearsal_was_is_told_at_once(nothing, monkeypatch):
    monkeypatch.setenv("GCP_EMULATOR_ADDRESS", nothing)
    foreign = requests.exceptions.SSLError(
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)"
    )

    class Session:
        def request(self, method, url, **options):
            raise foreign

    with pytest.raises(DjangoGcpError) as caught:
        Client(Known(), Session()).get(URL, CALL)
    assert str(caught.value) == (
        f"Failed to list toys: This shell leads to the rehearsal at {nothing}, where another emulator answers now: its certificate is "
        'not the rehearsal\'s. Lead the shell to it again: eval "$(make -s env)" (or leave it: rehearsal_off).'
    )
    monkeypatch.delenv("GCP_EMULATOR_ADDRESS")
    with pytest.raises(DjangoGcpError, match="Check the network, HTTPS_PROXY and the CA variables"):
        Client(Known(), Session()).get(URL, CALL)


def test_another_machines_proxy_that_refuses_may_be_starting(nothing, monkeypatch, fake_clock):
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    refused = requests.exceptions.ProxyError(
        "Unable to connect to proxy", ConnectionRefusedError(111, "Connection refused")
    )
    sent = []

    class Session:
        def request(self, method, url, **options):
            sent.append(url)
            raise refused

    with pytest.raises(DjangoGcpError, match="cannot reach toys"):
        Client(Known(), Session(), fake_clock.clock).get(URL, CALL)
    assert len(sent) > 1


def test_the_answer_tells_an_emulator_from_google(google, client, make_response):
    google.answer(
        "GET",
        URL,
        make_response({}, headers={"Server": "gcp-emulator"}),
        make_response({}, headers={"Server": "ESF"}),
    )
    client.get(URL, CALL)
    assert client.is_emulator
    client.get(URL, CALL)
    assert not client.is_emulator


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            google.auth.exceptions.RefreshError("invalid_grant: Bad Request", {"error": "invalid_grant"}),
            "invalid_grant: Bad Request",
        ),
        (
            requests.exceptions.ConnectionError("Aborted.", ConnectionResetError(104, "reset by peer")),
            "reset by peer",
        ),
        (OSError("<urllib3.X object at 0x7f>: Failed to establish"), "Failed to establish"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_cause_is_words_and_no_tuple(error, words):
    assert innermost(error) == words
