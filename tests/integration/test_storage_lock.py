"""The module storage_lock: one holder at a time, and nothing taken from anybody in silence."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _ahead
from ansible_collections.org.djangogcp.plugins.module_utils._locks import Process

from tests.integration.cloud import NOBODY, PROJECT, REGION, Cloud, Result

BUCKET = f"{PROJECT}-locks"
OBJECT = f"storage.googleapis.com/storage/v1/b/{BUCKET}/o/lock.json"
UPLOAD = f"storage.googleapis.com/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=lock.json"
TAKE = {"bucket": BUCKET, "owner": "alice@example.com", "reason": "a deploy of polls"}
AWAY = {"bucket": BUCKET, "state": "absent"}


@pytest.fixture(autouse=True)
def nobody_holds_it(cloud: Cloud) -> Iterator[None]:
    """A bucket without a lock, before and after."""
    cloud.ok("storage_buckets", buckets=[{"name": BUCKET, "location": REGION}])
    yield
    cloud.ok("storage_lock", **AWAY)


def held(**changed: Any) -> dict[str, Any]:
    """What is in the object while another machine holds the lock."""
    return {
        "id": "1",
        "owner": "bob@example.com",
        "reason": "a rollback",
        "lifetime_seconds": 3600,
        "host": "laptop",
        "process": {"space": "elsewhere", "pid": 1, "started": "1"},
        **changed,
    }


def warned(result: Result) -> str:
    """The last warning, which a newer ansible-core hands over with more than its text."""
    last = result["warnings"][-1]
    return str(last if isinstance(last, str) else last["event"]["msg"])


def test_a_lock_is_taken_told_and_given_back(cloud: Cloud) -> None:
    planned = cloud.ok("storage_lock", check=True, **TAKE)
    assert planned["actions"] == [f"take the lock gs://{BUCKET}/lock.json"]
    assert cloud.absent(OBJECT)

    generation = cloud.ok("storage_lock", lifetime_seconds=600, **TAKE)["generation"]
    assert cloud.api(OBJECT)["generation"] == generation
    content = cloud.api(f"{OBJECT}?alt=media")
    assert (content["owner"], content["reason"], content["lifetime_seconds"]) == (
        "alice@example.com",
        "a deploy of polls",
        600,
    )

    message = cloud.error("storage_lock", unlock_command="unlock it", **TAKE)
    assert message.startswith(f"The lock gs://{BUCKET}/lock.json is held by alice@example.com on ")
    assert " for a deploy of polls. " in message
    assert message.endswith(" If it is certain that it has ended, unlock: unlock it")

    planned = cloud.ok("storage_lock", check=True, generation=generation, **AWAY)
    assert planned["actions"] == [f"give back the lock gs://{BUCKET}/lock.json"]
    assert cloud.api(OBJECT)["generation"] == generation
    cloud.ok("storage_lock", generation=generation, **AWAY)
    assert cloud.absent(OBJECT)


def test_a_lock_of_another_run_is_not_given_back(cloud: Cloud) -> None:
    generation = cloud.ok("storage_lock", **TAKE)["generation"]
    assert cloud.ok("storage_lock", **AWAY)["held"]["owner"] == "alice@example.com"
    cloud.api(UPLOAD, method="POST", body=held())
    warning = warned(cloud.ok("storage_lock", generation=generation, **AWAY))
    assert warning.startswith(f"The lock gs://{BUCKET}/lock.json was taken from this run before its end.")
    assert "It is held by bob@example.com on laptop since " in warning
    assert cloud.api(f"{OBJECT}?alt=media")["owner"] == "bob@example.com"


def test_a_lock_is_taken_away_by_who_says_so_and_it_is_told_whose_it_was(cloud: Cloud) -> None:
    cloud.api(UPLOAD, method="POST", body=held())
    planned = cloud.ok("storage_lock", check=True, **AWAY)
    assert planned["changed"] is True
    assert cloud.api(f"{OBJECT}?alt=media")["owner"] == "bob@example.com"
    found = cloud.ok("storage_lock", **AWAY)
    assert (found["changed"], found["held"]["owner"], found["held"]["reason"]) == (
        True,
        "bob@example.com",
        "a rollback",
    )
    assert cloud.absent(OBJECT)
    again = cloud.ok("storage_lock", **AWAY)
    assert (again["changed"], again["held"]) == (False, None)


def test_a_lock_of_another_machine_is_taken_only_when_its_time_is_over(cloud: Cloud) -> None:
    cloud.api(UPLOAD, method="POST", body=held())
    assert "is held by bob@example.com on laptop" in cloud.error("storage_lock", **TAKE)
    cloud.ok("storage_lock", **AWAY)
    cloud.api(UPLOAD, method="POST", body=held(lifetime_seconds=1))
    # Cloud Storage's clock tells whole seconds.
    warning = warned(cloud.ok("storage_lock", wait_timeout=30, **TAKE))
    assert "was taken from bob@example.com on laptop since " in warning
    assert warning.endswith(": its time is over.")
    assert cloud.api(f"{OBJECT}?alt=media")["owner"] == "alice@example.com"


def test_a_lock_of_a_run_on_this_machine_that_was_killed_is_taken_at_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "60"]) as run:
        monkeypatch.setattr(_ahead, "run", str(run.pid))
        cloud.ok("storage_lock", **TAKE)
        monkeypatch.setattr(_ahead, "run", str(os.getpid()))
        assert "is held by alice@example.com" in cloud.error("storage_lock", **TAKE)
        run.kill()
    warning = warned(cloud.ok("storage_lock", **TAKE))
    assert warning.endswith(
        f": process {run.pid} of this machine, which held it, has ended without giving it back."
    )
    here = Process.of(os.getpid())
    assert here is not None
    assert cloud.api(f"{OBJECT}?alt=media")["process"] == json.loads(json.dumps(here.__dict__))


def test_a_bucket_that_is_not_there_is_told(cloud: Cloud) -> None:
    message = cloud.error("storage_lock", **{**TAKE, "bucket": f"{PROJECT}-no-locks"})
    assert message == (
        f"Failed to take the lock gs://{PROJECT}-no-locks/lock.json: there is no such bucket. Make it with the playbook provision, or"
        " deploy without --tags."
    )


def test_a_caller_without_roles_learns_which_permission_is_missing(cloud: Cloud) -> None:
    message = cloud.error("storage_lock", user=NOBODY, **TAKE)
    assert "(HTTP 403 " in message
    assert "storage.objects.create" in message
    assert "roles/storage.objectAdmin" in message
