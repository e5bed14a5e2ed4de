"""What releases leave behind is deleted by count and age, and nothing that serves, has a part of the traffic, or can be gone back to."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.rehearsal import PROJECT, REGION, ROOT, Rehearsal, Run

LOCATION = f"projects/{PROJECT}/locations/{REGION}"
REVISIONS = f"run.googleapis.com/v2/{LOCATION}/services/polls/revisions"
VERSIONS = f"artifactregistry.googleapis.com/v1/{LOCATION}/repositories/polls/packages/polls/versions"
STATIC = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-static/o"
RELEASES = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-releases/o"
WITHIN_SECONDS = 120
#: By count alone: everything here was made a moment ago.
KEEP = ("-e", "djangogcp_keep_days=0", "-e", "djangogcp_keep_releases=2")


def short(names: list[dict[str, Any]]) -> set[str]:
    return {one["name"].rpartition("/")[2] for one in names}


def revisions(cloud: Rehearsal) -> set[str]:
    return short(cloud.api(REVISIONS)["revisions"])


def images(cloud: Rehearsal) -> set[str]:
    return short(cloud.api(VERSIONS)["versions"])


def files(cloud: Rehearsal) -> set[str]:
    return {one["name"] for one in cloud.api(STATIC).get("items", [])}


def records(cloud: Rehearsal) -> dict[int, Any]:
    names = [one["name"] for one in cloud.api(f"{RELEASES}?prefix=releases/").get("items", [])]
    return {
        int(name[-11:-5]): cloud.api(f"{RELEASES}/{name.replace('/', '%2F')}?alt=media") for name in names
    }


def state(cloud: Rehearsal) -> list[set[Any]]:
    return [revisions(cloud), images(cloud), files(cloud), set(records(cloud))]


def ok(cloud: Rehearsal, playbook: str, *options: str) -> Run:
    run = cloud.playbook(playbook, *options)
    assert run.status == 0, run.output
    return run


@pytest.fixture(scope="module")
def released(
    rehearsal: Rehearsal, model_site: Rehearsal, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, ...]:
    """Four more releases of the model site, each with a style sheet of its own and another image; how the last was deployed."""
    folder = tmp_path_factory.mktemp("copy") / "app"
    shutil.copytree(ROOT / "app", folder)
    options = ("-e", f"djangogcp_source_dir={folder}")
    sheet = next(iter(sorted(folder.glob("**/static/**/*.css"))))
    for number in range(1, 5):
        sheet.write_text(f"{sheet.read_text('utf-8')}\n/* {number} */\n", "utf-8")
        ok(model_site, "deploy.yml", *options)
    return options


@pytest.fixture(scope="module")
def backup(model_site: Rehearsal, released: tuple[str, ...]) -> str:
    """The id of a backup that the first release made before a destructive migration, beside one that somebody else made."""
    url = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/djangogcp/backupRuns"
    made = []
    for _ in range(2):
        made.append(model_site.api(url, method="POST", body={})["backupContext"]["backupId"])
        until(lambda: model_site.api(f"{url}/{made[-1]}")["status"] == "SUCCESSFUL")
    first = min(records(model_site))
    record = {**records(model_site)[first], "schema": {"backup": made[0]}}
    upload = RELEASES.replace("/storage/v1/", "/upload/storage/v1/")
    model_site.api(f"{upload}?uploadType=media&name=releases/{first:06}.json", method="POST", body=record)
    return str(made[0])


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {WITHIN_SECONDS} s"
        time.sleep(0.1)


def backups(cloud: Rehearsal) -> set[str]:
    url = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/djangogcp/backupRuns"
    return {one["id"] for one in cloud.api(url).get("items", [])}


def test_nothing_goes_by_itself_and_within_the_days(deployed: Rehearsal, released: tuple[str, ...]) -> None:
    before = state(deployed)
    run = ok(deployed, "playbooks/prune.yml", *released, "-e", "djangogcp_keep_releases=1")
    assert run.counts("polls")["changed"] == 0
    assert "Nothing of polls goes." in run.output
    assert state(deployed) == before


def test_check_mode_tells_exactly_what_goes(
    deployed: Rehearsal, released: tuple[str, ...], backup: str
) -> None:
    before, kept, made = state(deployed), records(deployed), backups(deployed)
    planned = ok(deployed, "playbooks/prune.yml", *released, *KEEP, "--check", "--diff")
    assert state(deployed) == before
    assert backups(deployed) == made
    newest = sorted(kept)[-2:]
    ran = ok(deployed, "playbooks/prune.yml", *released, *KEEP, "--diff")
    after = state(deployed)
    assert [line for line in planned.output.splitlines() if line.startswith("-")] == [
        line for line in ran.output.splitlines() if line.startswith("-")
    ]
    for name in before[0] - after[0]:
        assert f"delete revision {name} of 20" in planned.output
    for digest in before[1] - after[1]:
        assert f"polls@{digest} (" in planned.output
    assert after[0] == {kept[number]["traffic"]["after"] for number in newest}
    assert after[1] == {kept[number]["app"]["image"].rpartition("@")[2] for number in newest}
    assert after[3] == set(newest)
    # Of each style sheet before: its one hashed file, and the list.
    gone = before[2] - after[2]
    assert len([name for name in gone if name.endswith(".css")]) == len(kept) - 2
    assert {name for name in gone if name.startswith(".collected/")} == {
        f".collected/{kept[number]['app']['image'].rpartition(':')[2]}.json"
        for number in kept
        if number not in newest
    }
    assert "static files of gs://" in planned.output
    assert f"delete backup {backup} of 20" in planned.output
    assert made - backups(deployed) == {backup}
    again = ok(deployed, "playbooks/prune.yml", *released, *KEEP)
    assert again.counts("polls")["changed"] == 0
    assert deployed.get("polls", "/-/ready").status_code == 200
    assert ok(deployed, "deploy.yml", *released).counts("polls")["changed"] == 0


def test_the_oldest_kept_release_can_be_gone_back_to_and_a_pruned_one_is_one_message(
    deployed: Rehearsal, released: tuple[str, ...]
) -> None:
    ok(deployed, "playbooks/prune.yml", *released, *KEEP)
    first = min(records(deployed))
    refused = deployed.playbook("playbooks/rollback.yml", *released, "-e", f"release={first - 1}")
    assert refused.status != 0
    text = " ".join(refused.output.split())
    assert f"There is no record of release {first - 1}." in text
    assert f"It can be rolled back to release {first} (" in text
    image = records(deployed)[first]["app"]["image"]
    ok(deployed, "playbooks/rollback.yml", *released)
    assert deployed.service("polls")["template"]["containers"][0]["image"] == image
    page = deployed.get("polls", "/")
    assert page.status_code == 200


def test_what_somebody_has_moved_the_traffic_to_stays(deployed: Rehearsal, released: tuple[str, ...]) -> None:
    ok(deployed, "deploy.yml", *released, "-e", "djangogcp_threads=3", "-e", roll_forward(deployed))
    older = records(deployed)[max(records(deployed))]["traffic"]["before"]
    ok(deployed, "deploy.yml", *released, "-e", "djangogcp_threads=4")
    ok(deployed, "deploy.yml", *released, "-e", "djangogcp_threads=5")
    name = deployed.service("polls")["name"]
    deployed.api(
        f"run.googleapis.com/v2/{name}?updateMask=traffic",
        method="PATCH",
        body={
            "traffic": [
                {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": older, "percent": 100}
            ]
        },
    )
    run = ok(
        deployed,
        "playbooks/prune.yml",
        *released,
        "-e",
        "djangogcp_keep_days=0",
        "-e",
        "djangogcp_keep_releases=1",
    )
    assert run.counts("polls")["failed"] == 0
    assert older in revisions(deployed)
    assert deployed.get("polls", "/-/ready").status_code == 200


def roll_forward(cloud: Rehearsal) -> str:
    """A rollback is gone over by its name."""
    return f"djangogcp_roll_forward_from={cloud.service('polls')['latestReadyRevision'].rpartition('/')[2]}"


def test_a_prune_takes_its_turn(deployed: Rehearsal, released: tuple[str, ...]) -> None:
    lock = {
        "owner": "bob@example.com",
        "reason": "a deploy of polls",
        "host": "laptop",
        "lifetime_seconds": 9000,
    }
    deployed.api(
        f"storage.googleapis.com/upload/storage/v1/b/{PROJECT}-polls-releases/o?uploadType=media&name=lock.json",
        method="POST",
        body=lock,
    )
    before = state(deployed)
    refused = deployed.playbook("playbooks/prune.yml", *released, *KEEP)
    assert refused.status != 0
    assert "is held by bob@example.com on laptop since" in refused.output
    assert state(deployed) == before
    deployed.api(f"{RELEASES}/lock.json", method="DELETE", status=204)


def test_variables_out_of_range_are_refused(deployed: Rehearsal) -> None:
    run = deployed.playbook(
        "playbooks/prune.yml", "-e", "djangogcp_keep_releases=0", "-e", "djangogcp_keep_days=-1"
    )
    assert run.status != 0
    for name in ("djangogcp_keep_releases", "djangogcp_keep_days"):
        assert run.output.count(f"- {name} is ") == 1
    assert "expected an integer from 1 to 50" in run.output
