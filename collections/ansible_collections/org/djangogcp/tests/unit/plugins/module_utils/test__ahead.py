# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _ahead
from ansible_collections.org.djangogcp.plugins.module_utils._ahead import Ahead
from ansible_collections.org.djangogcp.plugins.module_utils._auth import AuthOptions, TokenSource
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError

TOYS = "https://toys.googleapis.com/v1/toys"
BALL, POLICY = f"{TOYS}/ball", f"{TOYS}/ball:getIamPolicy"
ELSEWHERE = "https://games.googleapis.com/v1/games/chess"
READ = Call("read toy ball", "toys.toys.get")


@pytest.fixture
def run(tmp_path, monkeypatch, google, fake_clock):
    """Makes the clients of one run: what one of them reads ahead, the others have."""
    monkeypatch.setattr(_ahead, "run", "4711")

    def client(*, fills=False, identity="operator"):
        tokens = TokenSource(AuthOptions(auth_kind="accesstoken", access_token="token-1"), google, None)
        return Client(tokens, google, fake_clock.clock, ahead=Ahead(str(tmp_path), identity, fills=fills))

    google.answer("GET", BALL, {"colour": "red"}, {"colour": "blue"})
    google.answer("GET", ELSEWHERE, {"pieces": 32}, {"pieces": 31})
    google.answer("POST", POLICY, {"etag": "1"}, {"etag": "2"})
    google.answer("PATCH", BALL, {})
    return client


def test_what_was_read_ahead_is_not_asked_for_again(run, google):
    first = run(fills=True)
    first.find(BALL, READ, ahead=True)
    first.request("POST", POLICY, READ, repeatable=True, ahead=True)
    assert run().find(BALL, READ, ahead=True) == {"colour": "red"}
    assert run().get(BALL, READ, ahead=True) == {"colour": "red"}
    assert run().request("POST", POLICY, READ, repeatable=True, ahead=True) == {"etag": "1"}
    assert len(google.sent) == 2


def test_only_a_look_that_says_so_takes_it(run):
    run(fills=True).find(BALL, READ, ahead=True)
    assert run().find(BALL, READ) == {"colour": "blue"}


def test_only_who_reads_ahead_keeps_what_is_read(run):
    run().find(BALL, READ, ahead=True)
    assert run().find(BALL, READ, ahead=True) == {"colour": "blue"}


def test_who_reads_ahead_asks(run):
    run(fills=True).find(BALL, READ, ahead=True)
    assert run(fills=True).find(BALL, READ, ahead=True) == {"colour": "blue"}


def test_what_is_absent_is_known_to_be_absent(run, google, refuse):
    google.answer("GET", BALL, refuse(404, "NOT_FOUND", "no such toy"))
    run(fills=True).find(BALL, READ, ahead=True)
    assert run().find(BALL, READ, ahead=True) is None
    assert len(google.sent) == 1
    # Who cannot do with its absence is told by Google.
    with pytest.raises(ApiError):
        run().get(BALL, READ, ahead=True)


def test_a_refusal_is_not_kept(run, google, refuse):
    google.answer("GET", BALL, refuse(403, "PERMISSION_DENIED", "no"), {"colour": "red"})
    with pytest.raises(ApiError):
        run(fills=True).find(BALL, READ, ahead=True)
    assert run().find(BALL, READ, ahead=True) == {"colour": "red"}


def test_a_write_empties_everything_of_its_api_and_nothing_else(run, google):
    first = run(fills=True)
    first.find(BALL, READ, ahead=True)
    first.request("POST", POLICY, READ, repeatable=True, ahead=True)
    first.find(ELSEWHERE, READ, ahead=True)
    run().request("PATCH", BALL, READ, body={"colour": "blue"})
    assert run().find(BALL, READ, ahead=True) == {"colour": "blue"}
    assert run().request("POST", POLICY, READ, repeatable=True, ahead=True) == {"etag": "2"}
    assert run().find(ELSEWHERE, READ, ahead=True) == {"pieces": 32}


def test_a_write_that_is_refused_empties_it_too(run, google, refuse):
    run(fills=True).find(BALL, READ, ahead=True)
    google.answer("PATCH", BALL, refuse(409, "ABORTED", "somebody was faster"))
    with pytest.raises(ApiError):
        run().request("PATCH", BALL, READ, body={})
    assert run().find(BALL, READ, ahead=True) == {"colour": "blue"}


def test_what_is_read_ahead_while_something_is_written_is_old(run, google, monkeypatch):
    send = google.request

    def another_task_reads_ahead_first(method, url, **options):
        if method == "PATCH":
            run(fills=True).find(BALL, READ, ahead=True)
        return send(method, url, **options)

    monkeypatch.setattr(google, "request", another_task_reads_ahead_first)
    run().request("PATCH", BALL, READ, body={"colour": "blue"})
    assert run().find(BALL, READ, ahead=True) == {"colour": "blue"}


def test_another_identity_and_another_run_ask_themselves(run, monkeypatch):
    run(fills=True).find(BALL, READ, ahead=True)
    assert run(identity="auditor").find(BALL, READ, ahead=True) == {"colour": "blue"}
    monkeypatch.setattr(_ahead, "run", "4712")
    assert run().find(BALL, READ, ahead=True) == {"colour": "blue"}


def test_a_minute_later_it_is_too_old_and_goes(run, tmp_path):
    first = run(fills=True)
    first.find(BALL, READ, ahead=True)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0
    before = time.time() - 61
    os.utime(file, (before, before))
    assert run().find(BALL, READ, ahead=True) == {"colour": "blue"}
    first.forget_old_answers()
    assert list(tmp_path.iterdir()) == []


def test_other_questions_have_other_answers(run, google):
    first = run(fills=True)
    first.find(BALL, READ, ahead=True)
    assert run().find(BALL, READ, params={"view": "FULL"}, ahead=True) == {"colour": "blue"}


def test_a_process_of_its_own_keeps_and_finds_nothing(run, google, tmp_path, monkeypatch):
    monkeypatch.setattr(_ahead, "run", "")
    run(fills=True).find(BALL, READ, ahead=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_a_look_and_no_failure(run, tmp_path):
    run(fills=True)
    tmp_path.rmdir()
    assert run(fills=True).find(BALL, READ, ahead=True) == {"colour": "red"}
    assert run().find(BALL, READ, ahead=True) == {"colour": "blue"}


def test_who_reads_ahead_does_not_ask_for_each_resource_whether_its_api_was_just_enabled(run, google, refuse):
    metadata = {"service": "toys.googleapis.com", "consumer": "projects/1"}
    disabled = refuse(403, "PERMISSION_DENIED", "disabled.", reason="SERVICE_DISABLED", metadata=metadata)
    google.answer("GET", BALL, disabled)
    with pytest.raises(ApiError, match=r"HTTP 403"):
        run(fills=True).find(BALL, READ, ahead=True)
    assert [one.url for one in google.sent] == [BALL]
