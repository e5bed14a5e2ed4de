"""One release at a time: two deploys at once, one that is interrupted, one that is killed, and a lock that somebody takes away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.rehearsal import PROJECT, Rehearsal

BUCKET = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-releases"
LOCK = f"{BUCKET}/o/lock.json"
UPLOAD = (
    f"storage.googleapis.com/upload/storage/v1/b/{PROJECT}-polls-releases/o?uploadType=media&name=lock.json"
)
WITHIN_SECONDS = 120
#: What changes every job, so that the migration runs again.
CHANGED = ("-e", "djangogcp_memory=640Mi")


def until(what: str, holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not {what} within {WITHIN_SECONDS} s"
        time.sleep(0.02)


def is_held(cloud: Rehearsal) -> bool:
    return bool(cloud.api(f"{BUCKET}/o?prefix=lock").get("items"))


@pytest.fixture(autouse=True)
def unlocked(deployed: Rehearsal) -> None:
    assert not is_held(deployed), "an earlier test left it"


def test_a_second_deploy_is_refused_while_the_first_releases_and_waits_when_told_so(
    deployed: Rehearsal, tmp_path: Path
) -> None:
    printed = tmp_path / "first"
    serves = deployed.service("polls")["latestReadyRevision"]
    with deployed.going_on(printed, "deploy.yml", *CHANGED) as first:
        until("held", lambda: is_held(deployed))
        os.kill(first.pid, signal.SIGSTOP)
        second = deployed.playbook("deploy.yml")
        assert second.status != 0
        assert "/lock.json is held by operator@example.com on " in second.output
        assert ", for a deploy of polls. If it is certain that it has ended, unlock:" in second.output
        assert "ansible-playbook org.djangogcp.unlock --limit polls" in second.output
        assert second.output.count("is held by") == 1
        assert second.counts("polls")["changed"] == 0
        assert deployed.service("polls")["latestReadyRevision"] == serves
        assert is_held(deployed), "the lock of the first one is not the second one's to give back"

        waits = tmp_path / "third"
        with deployed.going_on(
            waits, "deploy.yml", *CHANGED, "-e", "djangogcp_lock_wait_seconds=600"
        ) as third:
            until(
                "waited for",
                lambda: "Wait for the lock of operator@example.com on" in waits.read_text("utf-8"),
            )
            os.kill(first.pid, signal.SIGCONT)
            assert first.wait(600) == 0, printed.read_text("utf-8")
            assert third.wait(600) == 0, waits.read_text("utf-8")
    assert not is_held(deployed)
    assert deployed.service("polls")["template"]["containers"][0]["resources"]["limits"]["memory"] == "640Mi"


def test_a_failed_release_gives_the_lock_back(deployed: Rehearsal) -> None:
    run = deployed.playbook(
        "deploy.yml", "-e", "djangogcp_startup_path=/nowhere/", "-e", "djangogcp_settings_module=nowhere"
    )
    assert run.status != 0
    assert not is_held(deployed)
    assert deployed.get("polls", "/-/live").status_code == 200


def test_an_interrupted_release_gives_the_lock_back(deployed: Rehearsal, tmp_path: Path) -> None:
    printed = tmp_path / "run"
    with deployed.going_on(printed, "deploy.yml", "-e", "djangogcp_memory=768Mi") as run:
        until("migrating", lambda: "command | Run migrate" in printed.read_text("utf-8"))
        assert is_held(deployed)
        # As a terminal does it.
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(60) != 0
    output = printed.read_text("utf-8")
    assert f"Its lock gs://{PROJECT}-polls-releases/lock.json is given back." in output
    assert not is_held(deployed)


def test_the_lock_of_a_killed_release_is_taken_by_the_next_one_and_told(
    deployed: Rehearsal, tmp_path: Path
) -> None:
    with deployed.going_on(tmp_path / "run", "deploy.yml", "-e", "djangogcp_memory=1Gi") as run:
        until("held", lambda: is_held(deployed))
        run.kill()
    assert is_held(deployed)
    again = deployed.playbook("deploy.yml")
    assert again.status == 0, again.output
    told = " ".join(again.output.split())
    assert f"was taken from operator@example.com on {os.uname().nodename} since" in told
    assert "of this machine, which held it, has ended without giving it back." in told
    assert not is_held(deployed)


def test_a_lock_that_somebody_left_is_taken_away_by_the_verb(deployed: Rehearsal) -> None:
    left = {
        "owner": "bob@example.com",
        "reason": "a deploy of polls",
        "host": "laptop",
        "lifetime_seconds": 9000,
    }
    deployed.api(UPLOAD, method="POST", body=left)
    assert "is held by bob@example.com on laptop since" in deployed.playbook("deploy.yml").output

    check = deployed.playbook("playbooks/unlock.yml", "--check")
    assert check.counts("polls")["changed"] == 1
    assert is_held(deployed)
    run = deployed.playbook("playbooks/unlock.yml")
    assert run.counts("polls")["changed"] == 1
    assert "The lock of polls was held by bob@example.com on laptop since" in " ".join(run.output.split())
    assert not is_held(deployed)

    again = deployed.playbook("playbooks/unlock.yml")
    assert again.counts("polls")["changed"] == 0
    assert "Nobody releases polls: there was no lock." in again.output


def test_an_unchanged_deploy_makes_three_calls_for_it(deployed: Rehearsal) -> None:
    assert deployed.playbook("deploy.yml").status == 0
    number = deployed.requests()[-1]["number"]
    assert deployed.playbook("deploy.yml").counts("polls")["changed"] == 0
    calls = [call["http"] for call in deployed.requests(number) if "polls-releases" in call["path"]]
    assert calls == ["GET", "POST", "DELETE"]


def test_nobody_but_who_deploys_may_do_anything_in_the_bucket(deployed: Rehearsal) -> None:
    bucket = deployed.api(BUCKET)
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert bucket["labels"]["site"] == "polls"
    policy = deployed.api(f"{BUCKET}/iam")
    assert [one["role"] for one in policy.get("bindings", []) if "legacy" not in one["role"]] == []
    assert deployed.session().get(f"https://{LOCK}", timeout=10).status_code in (
        requests.codes.unauthorized,
        requests.codes.forbidden,
    )
