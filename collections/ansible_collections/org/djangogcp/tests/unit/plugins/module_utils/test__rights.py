# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _rights_in_force
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Change, account_made
from ansible_collections.org.djangogcp.plugins.module_utils._rights import (
    STILL_REFUSED,
    python_code,
    right_of,
)

ACCOUNT = "web@p.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{ACCOUNT}"


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        (
            Change("bucket", "static", "roles/storage.objectViewer", MEMBER),
            "https://storage.googleapis.com/storage/v1/b/static/iam/testPermissions?permissions=storage.objects.get",
        ),
        (
            Change("project", "example.com:p", "roles/cloudsql.client", MEMBER),
            "https://sqladmin.googleapis.com/v1/projects/example.com:p/instances/main/connectSettings",
        ),
        (
            Change("service_account", ACCOUNT, "roles/iam.serviceAccountTokenCreator", MEMBER),
            f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:signBlob",
        ),
    ],
)
def test_what_was_granted_is_tried_without_doing_anything(change, asked):
    assert right_of(change, ["example.com:p:us-central1:main"])["url"] == asked


@pytest.mark.parametrize(
    "change",
    [
        account_made(ACCOUNT),
        Change("project", "p", "roles/logging.logWriter", MEMBER),
        Change("bucket", "static", "roles/storage.legacyBucketReader", MEMBER),
        Change("secret", "key", "roles/secretmanager.secretAccessor", MEMBER),
    ],
)
def test_what_cannot_be_tried_is_not(change):
    assert right_of(change, ["p:us-central1:main"]) is None


def test_a_database_that_the_code_does_not_use_is_not_tried():
    assert right_of(Change("project", "p", "roles/cloudsql.client", MEMBER), []) is None


class Google(http.server.BaseHTTPRequestHandler):
    """Answers each address with what it is told, in turn; the last answer stays."""

    answers: dict
    asked: list

    def do_GET(self):
        self.asked.append((self.path, self.headers["Authorization"]))
        answers = self.answers[self.path]
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_POST = do_GET  # noqa: N815 - as http.server calls it

    def log_message(self, *arguments):
        """Nobody reads it."""


@pytest.fixture
def google():
    handler = type("Handler", (Google,), {"answers": {"/token": [(200, {"access_token": "t"})]}, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def run_in_container(google, rights, seconds):
    """Runs the code as the job does, in a Python of its own."""
    code = python_code(rights, seconds).replace(_rights_in_force.METADATA, f"{google.url}/token")
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={}, check=False
    )


def test_it_waits_until_the_last_right_has_taken_effect(google):
    google.answers["/bucket"] = [(200, {}), (200, {"permissions": ["storage.objects.get"]})]
    google.answers["/sql"] = [(403, {}), (200, {"region": "us-central1"})]
    rights = [
        {"name": "bucket", "url": f"{google.url}/bucket", "permission": "storage.objects.get"},
        {"name": "sql", "url": f"{google.url}/sql"},
        {"name": "sign", "url": f"{google.url}/sign", "body": {"payload": "eA=="}},
    ]
    google.answers["/sign"] = [(200, {})]
    assert run_in_container(google, rights, 30).returncode == 0
    assert ("/sql", "Bearer t") in google.asked
    assert len(google.answers["/sql"]) == 1


def test_it_ends_with_the_name_of_what_is_still_refused(google):
    google.answers["/sql"] = [(403, {})]
    ended = run_in_container(google, [{"name": "sql was granted", "url": f"{google.url}/sql"}], 0)
    assert (ended.returncode, ended.stdout) == (STILL_REFUSED, "still refused: sql was granted\n")


@pytest.mark.parametrize("answer", [(404, {}), (500, {}), (200, ["not", "an", "object"])])
def test_what_is_no_refusal_is_not_waited_for(google, answer):
    google.answers["/sql"] = [answer]
    assert run_in_container(google, [{"name": "sql", "url": f"{google.url}/sql"}], 0).returncode == 0


def test_without_an_account_nothing_is_refused(google):
    google.answers["/token"] = [(404, {})]
    assert run_in_container(google, [{"name": "sql", "url": f"{google.url}/sql"}], 0).returncode == 0
