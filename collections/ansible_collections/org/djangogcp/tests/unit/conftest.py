# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json
import urllib.parse

import pytest
import requests
from ansible_collections.org.djangogcp.plugins.module_utils._auth import AuthOptions, TokenSource
from ansible_collections.org.djangogcp.plugins.module_utils._client import Client
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Granted
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Clock


@dataclasses.dataclass
class Sent:
    """A request that reached the fake."""

    method: str
    url: str
    params: dict
    body: object
    headers: dict


class FakeGoogle:
    """A session that answers what a test says, in turn; the last answer of an address stays. It fails on anything else."""

    def __init__(self):
        self.sent = []
        self._answers = {}

    def answer(self, method, url, *answers):
        """Each answer is a body (HTTP 200), a (status, body) pair, a requests.Response or an exception to raise."""
        self._answers[method, url] = list(answers)

    def request(self, method, url, *, params=None, json=None, auth=None, headers=None, **options):
        prepared = requests.Request(method, url, headers=headers or {}).prepare()
        self.sent.append(Sent(method, url, params or {}, json, dict(auth(prepared).headers)))
        try:
            answers = self._answers[method, url]
        except KeyError:
            known = "\n".join(f"  {' '.join(key)}" for key in self._answers)
            raise AssertionError(f"nobody expected {method} {url}; answers are there for\n{known}") from None
        given = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, requests.Response) else response(given, url)

    @property
    def calls(self):
        """The requests as "METHOD last-part-of-path"."""
        return [f"{one.method} {urllib.parse.urlparse(one.url).path.rsplit('/', 1)[-1]}" for one in self.sent]

    def bodies(self, method):
        """The bodies of all requests with a method."""
        return [one.body for one in self.sent if one.method == method]


def response(given, url="https://example.googleapis.com/x", headers=None):
    """An HTTP answer of a body or a (status, body) pair; a body that is a string is sent as it is."""
    status, body = given if isinstance(given, tuple) else (200, given)
    answer = requests.Response()
    answer.status_code = status
    answer.reason = {404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}.get(
        status, ""
    )
    answer.url = url
    answer._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    answer.headers.update(headers or {})
    return answer


def refusal(status, code, message, **details):
    """An error answer in the format of google.rpc.Status."""
    error = {"code": status, "status": code, "message": message}
    if details:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", **details}]
    return status, {"error": error}


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.time = 1000.0
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds

    @property
    def clock(self):
        return Clock(now=lambda: self.time, sleep=self.sleep)


@pytest.fixture
def google():
    return FakeGoogle()


@pytest.fixture
def fake_clock():
    return FakeClock()


@pytest.fixture
def granted(tmp_path, fake_clock):
    return Granted(str(tmp_path), lambda: fake_clock.time)


@pytest.fixture
def client(google, fake_clock, granted):
    tokens = TokenSource(AuthOptions(auth_kind="accesstoken", access_token="token-1"), google, None)
    return Client(tokens, google, fake_clock.clock, granted=granted)


@pytest.fixture
def make_response():
    return response


@pytest.fixture
def refuse():
    return refusal
