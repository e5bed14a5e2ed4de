"""What a person is shown of a site's log."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.e2e.rehearsal import Rehearsal

WITHIN_SECONDS = 60


def test_what_the_site_and_its_commands_printed_and_its_requests(deployed: Rehearsal) -> None:
    assert deployed.get("polls", "/-/live").status_code == 200
    run = deployed.playbook("playbooks/logs.yml", "-e", "log_lines=1000")
    assert run.status == 0, run.output
    assert run.counts("polls")["changed"] == 0
    assert re.search(r"^  \S+Z polls-migrate Running migrations:$", run.output, re.MULTILINE)
    assert re.search(r"^  \S+Z polls-0000\d-\w+ GET /-/live 200 \d\.\d+s$", run.output, re.MULTILINE)


def test_a_text_a_severity_and_a_time_choose(deployed: Rehearsal) -> None:
    assert deployed.get("polls", "/nowhere-at-all").status_code == 404
    found = deployed.playbook(
        "playbooks/logs.yml", "-e", "log_search=/NOWHERE-at-all", "-e", "log_severity=warning"
    )
    assert re.search(r"^  \S+Z polls-\S+ GET /nowhere-at-all 404 ", found.output, re.MULTILINE)
    assert "GET /-/live" not in found.output
    nothing = deployed.playbook("playbooks/logs.yml", "-e", "log_severity=emergency", "-e", "log_since=30m")
    assert "Nothing within 30m." in nothing.output


def test_what_comes_is_shown_as_it_comes(deployed: Rehearsal, tmp_path: Path) -> None:
    printed = tmp_path / "run"
    with deployed.going_on(
        printed, "playbooks/logs.yml", "-e", "log_since=1s", "-e", "log_follow=true"
    ) as run:
        deadline = time.monotonic() + WITHIN_SECONDS
        number = 0
        while not re.search(
            r"^\[polls\] \S+Z polls-\S+ GET /-/live\?\d+ 200 ", printed.read_text("utf-8"), re.MULTILINE
        ):
            assert time.monotonic() < deadline, printed.read_text("utf-8")
            assert run.poll() is None, printed.read_text("utf-8")
            number += 1
            assert deployed.get("polls", f"/-/live?{number}").status_code == 200
            time.sleep(1)


def test_what_cannot_be_asked_for_is_refused_in_one_message(deployed: Rehearsal) -> None:
    run = deployed.playbook(
        "playbooks/logs.yml",
        "-e",
        "log_since=soon",
        "-e",
        "log_lines=0",
        "-e",
        "log_severity=bad",
        "-e",
        "log_follow=maybe",
    )
    assert run.status != 0
    for name in ("log_since", "log_lines", "log_severity", "log_follow"):
        assert run.output.count(f"- {name} is ") == 1
