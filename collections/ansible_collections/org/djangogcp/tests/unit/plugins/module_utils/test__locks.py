# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who holds a lock, when it may be taken from them, and what a run gives back at its end."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess

import pytest
import requests
from ansible_collections.org.djangogcp.plugins.module_utils import _ahead, _locks, _progress
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._locks import (
    Held,
    Lock,
    LockedError,
    Locks,
    Process,
    why_free,
)

URL = "https://storage.googleapis.com/storage/v1/b/b/o/lock.json"
UPLOAD = "https://storage.googleapis.com/upload/storage/v1/b/b/o"
TAKEN = (
    412,
    {"error": {"code": 412, "message": "At least one of the pre-conditions you specified did not hold."}},
)
#: 2026-01-31 12:00:00 UTC.
SINCE = 1769860800.0
BOB = Lock("1", "bob@example.com", "a deploy of polls", 600, "laptop", None)
WORDS = "bob@example.com on laptop since 2026-01-31 12:00:00 UTC, at most until 2026-01-31 12:10:00 UTC, for a deploy of polls"


def held_by(google, lock, generation="7"):
    """Somebody holds the lock."""
    google.answer(
        "GET",
        URL,
        {"generation": generation, "timeCreated": "2026-01-31T12:00:00.000Z"},
        json.loads(lock.encoded()),
    )


def test_a_lock_is_free_when_its_time_is_over():
    held = Held(BOB, "7", SINCE)
    assert why_free(held, SINCE + 599) == ""
    assert why_free(held, SINCE + 600) == "its time is over"
    assert why_free(held, None) == "", "a server that does not tell the time"
    assert str(held) == WORDS


def test_a_lock_without_a_time_is_never_free():
    held = Held(Lock.from_json({"process": "one by hand"}), "7", SINCE)
    assert why_free(held, SINCE * 2) == ""
    assert "somebody on an unknown machine since" in str(held)
    assert "until it is unlocked, for an unknown reason" in str(held)


def test_a_process_is_known_to_have_ended_only_where_it_ran():
    here = Process.of(os.getpid())
    assert not here.has_ended()
    # Its number was given to another one.
    assert dataclasses.replace(here, started="1").has_ended()
    with subprocess.Popen(["sleep", "60"]) as other:
        process = Process.of(other.pid)
        other.kill()
    assert process.has_ended()
    assert not dataclasses.replace(process, space="another machine").has_ended()
    assert Process.of(other.pid) is None


def test_a_process_that_nobody_has_asked_how_it_ended_has_ended():
    with subprocess.Popen(["sleep", "60"]) as child:
        process = Process.of(child.pid)
        child.kill()
        # It is there as a zombie until the end of the block.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.has_ended()


@pytest.mark.parametrize("is_reaped", [True, False])
def test_what_a_killed_run_has_left_behind_takes_no_lock(client, google, monkeypatch, is_reaped):
    """It would be held by nobody, and nobody could know."""
    with subprocess.Popen(["sleep", "60"]) as run:
        monkeypatch.setattr(_ahead, "run", str(run.pid))
        run.kill()
        if is_reaped:
            run.wait()
        else:
            os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(LockedError, match="the run that asked for it has ended"):
            Locks(client, "b", "lock.json").acquire(BOB, 0, "")
    assert google.sent == []


def test_a_lock_that_is_held_is_waited_for_and_then_told(client, google, fake_clock, monkeypatch):
    told = []
    monkeypatch.setattr(_progress, "tell", told.append)
    google.answer("POST", UPLOAD, TAKEN)
    metadata = {"generation": "7", "timeCreated": "2026-01-31T12:00:00.000Z"}
    google.answer("GET", URL, *[metadata, json.loads(BOB.encoded())] * 50)
    with pytest.raises(LockedError) as error:
        Locks(client, "b", "lock.json").acquire(Lock.new("me", "x", 60), 70, "Unlock it.")
    assert (
        str(error.value)
        == f"The lock gs://b/lock.json is held by {WORDS}. It was waited for 1 min 10 s. Unlock it."
    )
    assert told == [f"Wait for the lock of {WORDS}: {time}" for time in ("0 s", "30 s", "1 min 0 s")]
    assert sum(fake_clock.slept) == 70


def test_a_lock_whose_answer_was_lost_is_known_again(client, google):
    mine = Lock.new("me", "x", 60)
    google.answer("POST", UPLOAD, TAKEN)
    held_by(google, mine)
    assert Locks(client, "b", "lock.json").acquire(mine, 0, "") == ("7", [])


def test_a_lock_that_is_over_is_taken_by_its_generation_and_told(client, google, make_response):
    google.answer("POST", UPLOAD, TAKEN, {"generation": "8"})
    answer = make_response(json.loads(BOB.encoded()), headers={"Date": "Sat, 31 Jan 2026 13:00:00 GMT"})
    google.answer("GET", URL, {"generation": "7", "timeCreated": "2026-01-31T12:00:00.000Z"}, answer)
    google.answer("DELETE", URL, (204, ""))
    generation, told = Locks(client, "b", "lock.json").acquire(Lock.new("me", "x", 60), 0, "")
    assert generation == "8"
    assert told == [f"The lock gs://b/lock.json was taken from {WORDS}: its time is over."]
    (deleted,) = [one for one in google.sent if one.method == "DELETE"]
    assert deleted.params == {"ifGenerationMatch": "7"}


@pytest.mark.parametrize("gives_up", [False, True])
def test_a_lock_that_is_there_and_not_deleted_is_deleted_again(client, google, gives_up):
    found = {"generation": "7", "timeCreated": "2026-01-31T12:00:00.000Z"}, json.loads(BOB.encoded())
    google.answer("GET", URL, *found, *found)
    google.answer("DELETE", URL, TAKEN, TAKEN if gives_up else (204, ""))
    locks = Locks(client, "b", "lock.json")
    if gives_up:
        with pytest.raises(DjangoGcpError, match="refuses twice to delete"):
            locks.release("7")
    else:
        assert locks.release("7") == ""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """This process as a run that holds a lock."""
    monkeypatch.setattr(_ahead, "run", str(os.getpid()))
    monkeypatch.setattr(_locks, "default_cache_dir", lambda: str(tmp_path))
    return os.getpid()


def interrupted(run, monkeypatch, google):
    """What a run that ends now tells."""
    session = requests.Session()
    session.delete = lambda url, auth=None, **options: google.request(
        "DELETE", url, auth=auth, params=options["params"]
    )
    monkeypatch.setattr(_locks, "new_session", lambda: session)
    told = []
    _locks.leave(run, told.append)
    return told


def test_an_interrupted_run_gives_back_what_it_holds(client, google, run, monkeypatch, tmp_path):
    google.answer("POST", UPLOAD, {"generation": "8"})
    google.answer("DELETE", URL, (204, ""))
    Locks(client, "b", "lock.json").acquire(Lock.new("me", "x", 60), 0, "")
    token = {"value": "token-1", "expiry": None, "quota_project": ""}
    (tmp_path / f"{client.identity}.json").write_text(json.dumps(token), "utf-8")
    assert interrupted(run, monkeypatch, google) == [
        "The run was interrupted. Its lock gs://b/lock.json is given back."
    ]
    assert google.sent[-1].params == {"ifGenerationMatch": "8"}
    assert interrupted(run, monkeypatch, google) == []


def test_an_interrupted_run_without_a_token_leaves_the_lock_to_the_next_one(client, google, run, monkeypatch):
    google.answer("POST", UPLOAD, {"generation": "8"})
    Locks(client, "b", "lock.json").acquire(Lock.new("me", "x", 60), 0, "")
    assert interrupted(run, monkeypatch, google) == [
        "The run was interrupted, and its lock gs://b/lock.json could not be given back. The next run on this machine takes it."
    ]


def test_a_run_that_has_given_its_lock_back_has_nothing_left(client, google, run, monkeypatch):
    google.answer("POST", UPLOAD, {"generation": "8"})
    google.answer("DELETE", URL, (204, ""))
    locks = Locks(client, "b", "lock.json")
    locks.acquire(Lock.new("me", "x", 60), 0, "")
    assert locks.release("8") == ""
    assert interrupted(run, monkeypatch, google) == []
    assert interrupted(run + 1, monkeypatch, google) == [], "not this process"
