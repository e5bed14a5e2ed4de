# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import threading

import pytest
import requests
from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._auth import AuthOptions, Token, TokenSource
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, new_session
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    ApiError,
    ConnectionLostError,
    DjangoGcpError,
)

URL = "https://toys.googleapis.com/v1/toys"
CALL = Call("list toys", "toys.toys.list")
RESET = requests.exceptions.ConnectionError("Connection aborted.", ConnectionResetError(104, "reset by peer"))
NO_CONNECTION = requests.exceptions.ConnectTimeout("no connection")


@pytest.mark.parametrize("fault", [429, 500, 502, 503, 504])
def test_a_read_is_repeated_after_a_passing_fault(google, client, fault):
    google.answer("GET", URL, (fault, ""), (fault, ""), {"ok": True})
    assert client.get(URL, CALL) == {"ok": True}


@pytest.mark.parametrize("status", [400, 403, 404, 409, 412])
def test_a_refusal_is_not_repeated(google, client, refuse, status):
    google.answer("GET", URL, refuse(status, "REFUSED", "no"))
    with pytest.raises(ApiError):
        client.get(URL, CALL)
    assert len(google.sent) == 1


# What urllib3 makes of a connection through a proxy that breaks after the request was sent.
THROUGH_A_PROXY = requests.exceptions.ProxyError(
    "Max retries exceeded (Caused by ProxyError('Unable to connect to proxy', RemoteDisconnected('closed')))"
)
IN_TLS = requests.exceptions.SSLError(
    "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol"
)
NO_TUNNEL = requests.exceptions.ProxyError(
    "(Caused by ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 503 Unavailable')))"
)


@pytest.mark.parametrize("fault", [RESET, THROUGH_A_PROXY, IN_TLS])
def test_a_read_is_repeated_however_the_connection_broke(google, client, fault):
    google.answer("GET", URL, fault, {"ok": True})
    assert client.get(URL, CALL) == {"ok": True}


@pytest.mark.parametrize(
    "fault", [RESET, THROUGH_A_PROXY, IN_TLS, (500, ""), (502, ""), (503, ""), (504, "")]
)
def test_a_post_whose_fate_is_unknown_is_not_repeated(google, client, fault):
    google.answer("POST", URL, fault)
    with pytest.raises(ConnectionLostError, match=r"It is unknown whether it was done; run again\.$"):
        client.request("POST", URL, CALL, body={})
    assert len(google.sent) == 1


@pytest.mark.parametrize("fault", [(429, ""), NO_CONNECTION, NO_TUNNEL])
def test_a_post_that_was_certainly_not_done_is_repeated(google, client, fault):
    google.answer("POST", URL, fault, {"ok": True})
    assert client.request("POST", URL, CALL, body={}) == {"ok": True}


def test_a_post_that_does_no_harm_twice_is_repeated(google, client):
    google.answer("POST", URL, RESET, (503, ""), {"ok": True})
    assert client.request("POST", URL, CALL, body={}, repeatable=True) == {"ok": True}


def test_retry_after_is_honoured(google, client, fake_clock, make_response):
    google.answer("GET", URL, make_response((429, ""), headers={"Retry-After": "17"}), {})
    client.get(URL, CALL)
    assert fake_clock.slept == [17]


def used_up(**metadata):
    text = (
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service "
        "'toys.googleapis.com' for consumer 'project_number:1'."
    )
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "metadata": {"quota_limit_value": "180", "quota_unit": "1/min/{project}/{user}", **metadata},
    }
    return 429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": text, "details": [info]}}


# As Compute Engine says it.
FORBIDDEN_FOR_NOW = 403, {"error": {"code": 403, "errors": [{"reason": "rateLimitExceeded"}]}}


@pytest.mark.parametrize("answer", [used_up(), FORBIDDEN_FOR_NOW, (429, "<html>sorry</html>")])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_quota_that_others_use_up_for_minutes_is_waited_for(google, client, fake_clock, method, answer):
    google.answer(method, URL, *[answer] * 30, {"ok": True})
    assert client.request(method, URL, CALL) == {"ok": True}
    assert 240 < sum(fake_clock.slept) < 600


def test_a_fault_after_a_quota_has_its_own_time(google, client):
    google.answer("GET", URL, *[used_up()] * 30, (503, ""), {"ok": True})
    assert client.get(URL, CALL) == {"ok": True}


def test_that_a_quota_is_waited_for_is_told_once(google, client, monkeypatch):
    lines = []
    monkeypatch.setattr(_progress, "tell", lines.append)
    google.answer("GET", URL, used_up(), used_up(), {"ok": True}, used_up(), {"ok": True})
    client.get(URL, CALL)
    client.get(URL, CALL)
    assert lines == [
        "Wait for the quota of toys.googleapis.com (up to 10 min 0 s): Quota exceeded for quota metric 'Queries' and limit "
        "'Queries per minute per user' of service 'toys.googleapis.com' for consumer 'project_number:1'"
    ]


def test_the_time_that_google_says_is_waited(google, client, fake_clock):
    status, answer = used_up()
    answer["error"]["details"].append(
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "41.5s"}
    )
    google.answer("GET", URL, (status, answer), {"ok": True})
    assert client.get(URL, CALL) == {"ok": True}
    assert fake_clock.slept == [41.5]


def test_a_quota_that_stays_used_up_is_told(google, client, fake_clock):
    google.answer("GET", URL, used_up())
    with pytest.raises(ApiError, match="Queries per minute per user"):
        client.get(URL, CALL)
    assert sum(fake_clock.slept) == pytest.approx(600)


@pytest.mark.parametrize("metadata", [{"quota_limit_value": "0"}, {"quota_unit": "1/d/{project}"}])
def test_a_quota_that_does_not_come_back_is_not_waited_for(google, client, fake_clock, metadata):
    google.answer("GET", URL, used_up(**metadata))
    with pytest.raises(ApiError, match="higher quota"):
        client.get(URL, CALL)
    assert fake_clock.slept == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_instance_with_too_much_to_do_is_asked_again_at_growing_intervals(
    google, client, fake_clock, method
):
    text = "Invalid request: Too many operations are being executed on the instance. Please try again later.."
    crowded = (400, {"error": {"code": 400, "message": text, "errors": [{"reason": "invalid"}]}})
    google.answer(method, URL, crowded, crowded, crowded, {"items": []})
    assert client.request(method, URL, CALL, body={} if method == "POST" else None) == {"items": []}
    first, second, third = fake_clock.slept
    assert 0.25 <= first <= 0.5 <= second <= 1 <= third <= 2


def test_an_instance_that_stays_busy_is_told(google, client, fake_clock):
    text = "Invalid request: Too many operations are being executed on the instance. Please try again later.."
    google.answer("GET", URL, (400, {"error": {"code": 400, "message": text}}))
    with pytest.raises(ApiError, match="Too many operations"):
        client.get(URL, CALL)
    assert sum(fake_clock.slept) == pytest.approx(180)


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(google, client, fake_clock, make_response):
    google.answer("GET", URL, make_response((503, ""), headers={"Retry-After": "3600"}))
    with pytest.raises(ApiError, match=r"HTTP 503"):
        client.get(URL, CALL)
    assert fake_clock.slept == []


def test_a_fault_that_stays_ends_within_the_deadline(google, client, fake_clock):
    google.answer("GET", URL, (503, "<html>sorry</html>"))
    with pytest.raises(ApiError) as caught:
        client.get(URL, CALL)
    assert caught.value.message == (
        "Failed to list toys: Service Unavailable (HTTP 503 Service Unavailable). "
        "Google Cloud failed to answer; run again later."
    )
    assert sum(fake_clock.slept) == pytest.approx(180)


def test_an_unreachable_server_says_what_to_check(google, client):
    google.answer("GET", URL, requests.exceptions.SSLError("certificate verify failed"))
    with pytest.raises(DjangoGcpError) as caught:
        client.get(URL, CALL)
    assert caught.value.message == (
        "Failed to list toys: cannot reach toys.googleapis.com (certificate verify failed). "
        "Check the network, HTTPS_PROXY and the CA variables (REQUESTS_CA_BUNDLE)."
    )


def test_an_answer_that_is_no_json_is_an_error(google, client):
    google.answer("GET", URL, (200, "<html>login</html>"))
    with pytest.raises(DjangoGcpError, match=r"answered something that is not JSON"):
        client.get(URL, CALL)


def test_an_empty_answer_is_an_empty_object(google, client):
    google.answer("DELETE", URL, (204, ""))
    assert client.request("DELETE", URL, CALL) == {}


def test_only_404_is_absent(google, client, refuse):
    google.answer("GET", URL, refuse(404, "NOT_FOUND", "no"), refuse(403, "PERMISSION_DENIED", "no"))
    assert client.find(URL, CALL) is None
    with pytest.raises(ApiError, match=r"HTTP 403"):
        client.find(URL, CALL)


def test_all_pages_are_read(google, client):
    google.answer("GET", URL, {"toys": [1, 2], "nextPageToken": "t"}, {"toys": [3]}, {"toys": ["never"]})
    assert list(client.list(URL, CALL, items="toys", params={"pageSize": 2})) == [1, 2, 3]
    assert [one.params for one in google.sent] == [{"pageSize": 2}, {"pageSize": 2, "pageToken": "t"}]


def test_an_api_that_was_just_enabled_is_waited_for(google, client, refuse):
    disabled = refuse(
        403, "PERMISSION_DENIED", "disabled", reason="SERVICE_DISABLED",
        metadata={"service": "toys.googleapis.com", "consumer": "projects/1"},
    )  # fmt: skip
    google.answer("GET", URL, disabled, disabled, {"ok": True})
    google.answer(
        "GET",
        "https://serviceusage.googleapis.com/v1/projects/1/services/toys.googleapis.com",
        {"state": "ENABLED"},
    )
    assert client.get(URL, CALL) == {"ok": True}


def test_an_api_that_is_not_enabled_is_an_error_at_once(google, client, refuse, fake_clock):
    metadata = {"service": "toys.googleapis.com", "consumer": "projects/1"}
    google.answer(
        "GET",
        URL,
        refuse(403, "PERMISSION_DENIED", "disabled.", reason="SERVICE_DISABLED", metadata=metadata),
    )
    google.answer(
        "GET",
        "https://serviceusage.googleapis.com/v1/projects/1/services/toys.googleapis.com",
        {"state": "DISABLED"},
    )
    with pytest.raises(ApiError) as caught:
        client.get(URL, CALL)
    assert caught.value.message == (
        "Failed to list toys: disabled (HTTP 403 PERMISSION_DENIED). Enable the API toys.googleapis.com in the project "
        "(gcloud services enable toys.googleapis.com), and wait a minute before the next run."
    )
    assert fake_clock.slept == []


class TokensInTurn(TokenSource):
    """Gives another token each time that one is rejected."""

    def token(self, *, rejected=None):
        return Token("old" if rejected is None else "new", quota_project="bill-me")


def test_a_rejected_token_is_replaced_once(google, fake_clock, refuse):
    client = Client(TokensInTurn(AuthOptions(), google, None), google, fake_clock.clock)
    google.answer("GET", URL, refuse(401, "UNAUTHENTICATED", "expired"), {})
    client.get(URL, CALL)
    assert [one.headers["Authorization"] for one in google.sent] == ["Bearer old", "Bearer new"]
    assert google.sent[0].headers["x-goog-user-project"] == "bill-me"
    google.answer("GET", URL, refuse(401, "UNAUTHENTICATED", "expired"))
    with pytest.raises(ApiError, match=r"Log in again \(gcloud auth application-default login\)"):
        client.get(URL, CALL)


def test_one_connection_serves_many_requests():
    """Against a real server: keep-alive is a property of the session, not of our words about it."""
    connections = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            connections.add(self.client_address)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        session = new_session()
        session.trust_env = False
        tokens = TokenSource(AuthOptions(auth_kind="accesstoken", access_token="t"), session, None)
        for _attempt in range(3):
            Client(tokens, session).get(f"http://127.0.0.1:{server.server_port}/x", CALL)
        session.close()
        server.shutdown()
        thread.join()
    assert len(connections) == 1
