"""One release at a time (two at once, an interruption, a kill, a lock that was left), the records of releases, and the way back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.rehearsal import PROJECT, REGION, ROOT, Rehearsal

BUCKET = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-releases"
LOCK = f"{BUCKET}/o/lock.json"
UPLOAD = (
    f"storage.googleapis.com/upload/storage/v1/b/{PROJECT}-polls-releases/o?uploadType=media&name=lock.json"
)
WITHIN_SECONDS = 120
#: The whole run, on a machine that does nothing else; other tests may run beside it.
WITHIN_SECONDS_BACK = 15
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


@pytest.mark.parametrize(
    ("end", "memory"),
    [
        # As a terminal does it, and as who ends a job does.
        (lambda run: os.killpg(run, signal.SIGINT), "768Mi"),
        (lambda run: os.kill(run, signal.SIGTERM), "896Mi"),
    ],
    ids=["SIGINT", "SIGTERM"],
)
def test_an_interrupted_release_gives_the_lock_back(
    deployed: Rehearsal, tmp_path: Path, end: Callable[[int], None], memory: str
) -> None:
    printed = tmp_path / "run"
    with deployed.going_on(printed, "deploy.yml", "-e", f"djangogcp_memory={memory}") as run:
        until("migrating", lambda: "command | Run migrate" in printed.read_text("utf-8"))
        assert is_held(deployed)
        # A person in a hurry presses until it has ended.
        for _press in range(60000):
            end(run.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(0.001)
                break
        assert run.returncode
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


def records(cloud: Rehearsal) -> list[Any]:
    """The records as they lie in the bucket, the oldest first."""
    names = [one["name"] for one in cloud.api(f"{BUCKET}/o?prefix=releases/").get("items", [])]
    return [cloud.api(f"{BUCKET}/o/{name.replace('/', '%2F')}?alt=media") for name in names]


def test_each_release_leaves_a_record_and_is_listed(deployed: Rehearsal) -> None:
    before = records(deployed)
    served = deployed.service("polls")["latestReadyRevision"].rpartition("/")[2]
    run = deployed.playbook("deploy.yml", "-e", "djangogcp_threads=3")
    assert run.status == 0, run.output
    *kept, record = records(deployed)
    assert kept == before, "records are never changed"
    service = deployed.service("polls")
    container = service["template"]["containers"][0]
    assert record["traffic"] == {"before": served, "after": service["latestReadyRevision"].rpartition("/")[2]}
    assert record["app"]["image"] == container["image"]
    assert (record["result"], record["step"], record["who"]) == ("released", "", "operator@example.com")
    pinned = {
        one["valueSource"]["secretKeyRef"]["secret"].rpartition("/")[2]: one["valueSource"]["secretKeyRef"][
            "version"
        ]
        for one in container["env"]
        if "valueSource" in one
    }
    assert {name: str(record["app"]["secret_versions"][name]) for name in pinned} == pinned
    assert not [secret for secret in deployed.secret_values() if secret in str(record)]

    listed = deployed.playbook("playbooks/releases.yml")
    assert listed.counts("polls")["changed"] == 0
    digest = container["image"].partition("@")[2][:19]
    (line,) = [line for line in listed.output.splitlines() if line.endswith("released, serves")]
    assert line.split() == [
        str(len(kept) + 1),
        record["ended"],
        "operator@example.com",
        digest,
        "released,",
        "serves",
    ]
    as_json = deployed.playbook("playbooks/releases.yml", "-e", "format=json").output
    found, _end = json.JSONDecoder().raw_decode(
        as_json, as_json.index("{", as_json.index("Show the releases"))
    )
    assert found["serving"] == [{"revision": record["traffic"]["after"], "release": len(kept) + 1}]
    assert found["releases"][0]["source"] == record["source"]
    status = deployed.playbook("playbooks/status.yml").output
    assert re.search(rf'"release": \[\s*"{len(kept) + 1}"\s*\]', status), status


def test_a_release_that_stops_leaves_a_record_too(deployed: Rehearsal) -> None:
    before = records(deployed)
    run = deployed.playbook(
        "deploy.yml",
        "-e",
        "djangogcp_admin_path=/nowhere/",
        "-e",
        "release_smoke_timeout_seconds=1",
        "-e",
        "djangogcp_threads=4",
    )
    assert run.status != 0
    *kept, record = records(deployed)
    assert kept == before
    assert (record["result"], record["step"]) == ("failed", "try_out")
    assert record["traffic"]["before"] == record["traffic"]["after"] != ""
    assert "failed at try_out" in deployed.playbook("playbooks/releases.yml").output


def test_what_serves_without_a_record_is_said(deployed: Rehearsal) -> None:
    before = records(deployed)
    assert deployed.playbook("deploy.yml").status == 0
    for name in [one["name"] for one in deployed.api(f"{BUCKET}/o?prefix=releases/")["items"]]:
        deployed.api(f"{BUCKET}/o/{name.replace('/', '%2F')}", method="DELETE", status=204)
    revision = deployed.service("polls")["latestReadyRevision"].rpartition("/")[2]
    for playbook in ("playbooks/releases.yml", "playbooks/status.yml"):
        run = deployed.playbook(playbook)
        assert run.status == 0, run.output
        assert revision in run.output
        assert "has no record: it was deployed by hand, or before there were records" in " ".join(
            run.output.split()
        )
    assert before
    assert records(deployed) == [], "none is made up"
    assert deployed.playbook("playbooks/releases.yml", "-e", "format=xml").status != 0


def images(cloud: Rehearsal) -> set[str]:
    """The images of all that runs the site: the service and the jobs."""
    jobs = cloud.api(f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/jobs")["jobs"]
    containers = [job["template"]["template"]["containers"][0] for job in jobs if "/polls-" in job["name"]]
    return {one["image"] for one in [*containers, cloud.service("polls")["template"]["containers"][0]]}


def variables(cloud: Rehearsal) -> dict[str, str]:
    container = cloud.service("polls")["template"]["containers"][0]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def revision_of(cloud: Rehearsal) -> str:
    return str(cloud.service("polls")["latestReadyRevision"].rpartition("/")[2])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model site's source, to be changed."""
    folder = tmp_path_factory.mktemp("copy") / "app"
    shutil.copytree(ROOT / "app", folder)
    return folder


def test_a_rollback_brings_back_image_variables_and_jobs_and_only_a_change_takes_the_traffic_again(
    deployed: Rehearsal, copy: Path
) -> None:
    first = deployed.playbook("deploy.yml", "-e", "djangogcp_threads=5")
    assert first.status == 0, first.output
    old_images, old_variables, number = images(deployed), variables(deployed), len(records(deployed))
    (copy / "changed.txt").write_text("second", "utf-8")
    new = ("-e", f"djangogcp_source_dir={copy}", "-e", "djangogcp_threads=6")
    second = deployed.playbook("deploy.yml", *new)
    assert second.status == 0, second.output
    assert images(deployed).isdisjoint(old_images)
    # Somebody else tries something, without traffic.
    service = deployed.service("polls")
    serving = revision_of(deployed)
    template = service["template"]
    template["containers"][0]["env"].append({"name": "BY_HAND", "value": "yes"})
    pinned = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": serving, "percent": 100}]
    url = f"run.googleapis.com/v2/{service['name']}"
    deployed.api(
        f"{url}?updateMask=template,traffic", method="PATCH", body={"template": template, "traffic": pinned}
    )
    until("tried by hand", lambda: revision_of(deployed) != serving)

    began = time.monotonic()
    back = deployed.playbook("playbooks/rollback.yml", *new)
    seconds = time.monotonic() - began
    assert back.status == 0, back.output
    assert seconds < WITHIN_SECONDS_BACK, f"it took {seconds:.0f} s"
    assert "update job polls-migrate" in back.output
    assert "run migrate" not in back.output
    assert images(deployed) == old_images
    assert variables(deployed) == old_variables, "and not those of the revision that somebody else tries"
    (share,) = [one for one in deployed.service("polls")["trafficStatuses"] if one.get("percent")]
    assert (share["type"], share["percent"]) == ("TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", 100)
    record = records(deployed)[-1]
    assert (record["rollback_of"], record["result"]) == (number, "released")
    assert record["traffic"] == {"before": serving, "after": revision_of(deployed)}
    assert deployed.get("polls", "/-/ready").status_code == 200
    assert f"released, a rollback to {number}, serves" in deployed.playbook("playbooks/releases.yml").output

    # As from a schedule.
    serving = revision_of(deployed)
    again = deployed.playbook("deploy.yml", *new)
    assert again.status != 0
    assert f"run again with -e djangogcp_roll_forward_from={serving}" in " ".join(again.output.split())
    assert revision_of(deployed) == serving
    assert images(deployed) == old_images
    assert not is_held(deployed)
    assert deployed.playbook("playbooks/status.yml", *new).status == 0

    (copy / "changed.txt").write_text("mended", "utf-8")
    mended = deployed.playbook("deploy.yml", *new)
    assert mended.status == 0, mended.output
    assert images(deployed).isdisjoint(old_images)
    assert revision_of(deployed) != serving
    assert deployed.playbook("deploy.yml", *new).counts("polls")["changed"] == 0


def test_a_rollback_is_refused_before_anything_changes_and_tells_what_can_be_gone_back_to(
    deployed: Rehearsal,
) -> None:
    secret = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/polls-secret-key"
    assert deployed.playbook("deploy.yml", "-e", "djangogcp_threads=7").status == 0
    deployed.api(
        f"{secret}:addVersion", method="POST", body={"payload": {"data": "YW5vdGhlci1zZWNyZXQta2V5"}}
    )
    assert deployed.playbook("deploy.yml", "-e", "djangogcp_threads=7").status == 0
    before, serving = records(deployed), revision_of(deployed)
    number = len(before)

    def refusal(*options: str) -> str:
        run = deployed.playbook("playbooks/rollback.yml", *options)
        assert run.status != 0
        assert run.counts("polls")["changed"] == 0
        assert (records(deployed), revision_of(deployed)) == (before, serving)
        return " ".join(run.output.split())

    assert "- There is no record of release 999." in refusal("-e", "release=999")
    assert f"- Release {number} serves." in refusal("-e", f"release={number}")
    assert "- release is 'last': expected an integer." in refusal("-e", "release=last")
    old = before[-2]["app"]["secret_versions"]["polls-secret-key"]
    deployed.api(f"{secret}/versions/{old}:disable", method="POST", body={})
    told = refusal()
    assert (
        f"- Release {number - 1} cannot be had back: version {old} of secret polls-secret-key is disabled."
        in told
    )
    deployed.api(f"{secret}/versions/{old}:enable", method="POST", body={})
    run = deployed.playbook("playbooks/rollback.yml")
    assert run.status == 0, run.output
    assert records(deployed)[-1]["app"]["secret_versions"]["polls-secret-key"] == old


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
