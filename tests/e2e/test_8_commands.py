"""What a release runs before its new revision: other commands than usual, each with its time, its memory, and what its failure means."""

from __future__ import annotations

import json

from tests.e2e.rehearsal import PROJECT, REGION, Rehearsal, Run

JOBS = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/jobs"
COMMANDS = [
    "migrate",
    {"command": "clearsessions", "timeout_seconds": 120, "memory": "640Mi"},
    {"command": "warm_up_nothing --all", "on_failure": "continue"},
    "superuser",
]


def deploy(cloud: Rehearsal, commands: list[object]) -> Run:
    return cloud.playbook("deploy.yml", "-e", json.dumps({"djangogcp_release_commands": commands}))


def executions(cloud: Rehearsal, command: str) -> int:
    return len(cloud.api(f"{JOBS}/polls-{command}/executions").get("executions", []))


def test_each_has_its_time_its_memory_and_its_meaning_of_a_failure(deployed: Rehearsal) -> None:
    released = deploy(deployed, COMMANDS)
    assert released.status == 0, released.output
    task = deployed.api(f"{JOBS}/polls-clearsessions")["template"]["template"]
    assert task["timeout"] == "120s"
    assert task["containers"][0]["resources"]["limits"]["memory"] == "640Mi"
    assert task["containers"][0]["args"] == ["clearsessions"]
    assert deployed.api(f"{JOBS}/polls-migrate")["template"]["template"]["timeout"] == "1800s"
    assert executions(deployed, "clearsessions") == 1

    told = " ".join(released.output.split())
    assert "Unknown command: 'warm_up_nothing'" in told
    assert "It may fail (on_failure in djangogcp_release_commands): the release goes on" in told
    before = executions(deployed, "warm-up-nothing")
    again = deploy(deployed, COMMANDS)
    assert again.status == 0, again.output
    assert executions(deployed, "warm-up-nothing") == before + 1
    assert executions(deployed, "clearsessions") == 1
    assert deployed.get("polls", "/-/live").status_code == 200


def test_one_that_must_not_fail_stops_the_release(deployed: Rehearsal) -> None:
    serves = deployed.service("polls")["latestReadyRevision"]
    run = deploy(deployed, ["migrate", "no_such_command"])
    assert run.status != 0
    assert "Unknown command: 'no_such_command'" in run.output
    assert deployed.service("polls")["latestReadyRevision"] == serves


def test_a_release_without_any_command_deploys(deployed: Rehearsal) -> None:
    run = deploy(deployed, [])
    assert run.status == 0, run.output
    assert deployed.get("polls", "/-/live").status_code == 200


def test_what_is_no_command_is_refused_at_once(deployed: Rehearsal) -> None:
    for wrong in (["migrate --fake"], [{"command": "x", "cpu": 2}], ["loaddata a", "loaddata b"]):
        run = deploy(deployed, wrong)
        assert run.status != 0
        assert "djangogcp_release_commands" in run.output
        assert run.counts("polls")["changed"] == 0
