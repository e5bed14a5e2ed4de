"""Files of tasks that a deploy runs: when, in which order, with what they can know, and which ones there have to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import Rehearsal, Run

SITE = "shop"
#: By hook what it writes down, beside its name.
KNOWN = {
    "before_build": "{{ djangogcp_site }}",
    "after_build": "{{ djangogcp_out_image.uri is search('sha256:') }}",
    "before_commands": "{{ djangogcp_out_app.image == djangogcp_out_image.uri }}",
    "after_commands": "{{ djangogcp_out_migrations | default([]) | length > 0 }}",
    "before_traffic": "{{ djangogcp_out_candidate.name is match('shop-') }}",
    "after_traffic": "{{ djangogcp_out_target.uri is match('https://shop-') }}",
    "after_release": "{{ djangogcp_out_recorded.number }}",
    "on_failure": "{{ djangogcp_out_stopped_at }}",
}


@dataclass
class Shop:
    """A site with a hook of each kind, which write into one file what they know."""

    rehearsal: Rehearsal
    project: Path
    home: Path

    def describe(self, **variables: Any) -> None:
        site = {
            **projects.small_site(self.project),
            "djangogcp_hooks": {name: f"hooks/{name}.yml" for name in KNOWN},
            **variables,
        }
        projects.inventory(self.home / "hosts.yml", {SITE: site})

    def play(self, playbook: str, *options: str, **variables: Any) -> tuple[Run, list[str]]:
        """A playbook, and what hooks have written meanwhile."""
        self.describe(**variables)
        (self.home / "written").unlink(missing_ok=True)
        run = self.rehearsal.playbook(playbook, *options, inventory=self.home / "hosts.yml")
        written = self.home / "written"
        return run, written.read_text("utf-8").splitlines() if written.exists() else []

    def serving(self) -> str:
        """The revision that has all the traffic."""
        service = self.rehearsal.service(SITE)
        [one] = [one for one in service["trafficStatuses"] if one.get("percent") == 100]
        return str(one.get("revision") or service["latestReadyRevision"].rpartition("/")[2])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "hooks").mkdir()
    for name, known in KNOWN.items():
        # A shell of check mode writes nothing.
        task = f"""
- name: Write down that it ran, {name}
  ansible.builtin.shell: echo "{name} $KNOWN" >>{folder}/written
  environment:
    KNOWN: "{known}"
"""
        (folder / "hooks" / f"{name}.yml").write_text(task, "utf-8")
    rehearsal = Rehearsal(folder / "home", REHEARSAL_SCALE="0.01")
    rehearsal.start()
    try:
        yield Shop(rehearsal, projects.plain_project(folder / "project"), folder)
    finally:
        rehearsal.make("rehearse-clean")


def test_hooks_run_in_the_order_of_a_deploy_and_know_what_it_has_done(shop: Shop) -> None:
    run, written = shop.play("deploy.yml")
    assert run.status == 0, run.output
    assert written == [
        "before_build shop",
        "after_build True",
        "before_commands True",
        "after_commands True",
        "before_traffic True",
        "after_traffic True",
        "after_release 1",
    ]
    run, written = shop.play("deploy.yml")
    assert run.status == 0, run.output
    assert written == ["before_build shop"], "nothing is built, run or released"
    run, written = shop.play(
        "deploy.yml",
        "-e",
        "djangogcp_threads=2",
        djangogcp_strategy="canary",
        djangogcp_canary_step_seconds=1,
    )
    assert run.status == 0, run.output
    # No command has to run for it.
    assert [line.partition(" ")[0] for line in written] == [
        "before_build",
        "before_traffic",
        "after_traffic",
        "after_release",
    ]


def test_who_only_asks_runs_none_and_check_mode_does_what_it_does_to_all_tasks(shop: Shop) -> None:
    status, written = shop.play("playbooks/status.yml")
    assert status.status == 0, status.output
    assert written == []
    assert "Write down" not in status.output
    check, written = shop.play("deploy.yml", "--check", djangogcp_threads=3)
    assert check.status == 0, check.output
    assert written == []
    assert "Write down that it ran, before_build" in check.output
    assert "Write down that it ran, before_traffic" not in check.output, "there is no new revision"


def test_a_failure_runs_its_hook_and_tells_where_it_stopped(shop: Shop) -> None:
    run, written = shop.play("deploy.yml", djangogcp_settings_module="nowhere")
    assert run.status != 0
    assert written == ["before_build shop", "before_commands True", "on_failure commands"]
    (shop.project / "requirements.txt").rename(shop.home / "requirements.txt")
    (shop.project / "requirements.txt").write_text("no-such-package-of-anybody==1\n", "utf-8")
    try:
        run, written = shop.play("deploy.yml")
    finally:
        (shop.home / "requirements.txt").rename(shop.project / "requirements.txt")
    assert run.status != 0
    assert written == ["before_build shop", "on_failure infrastructure"]


def test_a_hook_that_fails_stops_the_deploy_before_it_has_traffic(shop: Shop) -> None:
    (shop.home / "hooks" / "refuse.yml").write_text(
        "- name: Refuse\n  ansible.builtin.fail:\n    msg: Not on a Friday.\n", "utf-8"
    )
    hooks = {
        "before_traffic": ["hooks/before_traffic.yml", "hooks/refuse.yml"],
        "on_failure": "hooks/on_failure.yml",
    }
    before = shop.serving()
    run, written = shop.play("deploy.yml", djangogcp_hooks=hooks, djangogcp_threads=4)
    assert run.status != 0
    assert "Not on a Friday." in run.output
    assert written == ["before_traffic True", "on_failure promote"]
    assert shop.serving() == before
    back, written = shop.play("playbooks/promote.yml")
    assert back.status == 0, back.output
    assert [line.partition(" ")[0] for line in written] == [
        "before_traffic",
        "after_traffic",
        "after_release",
    ]


def test_what_is_not_there_is_refused_before_anything_changes(shop: Shop) -> None:
    run, written = shop.play("deploy.yml", djangogcp_hooks={"after_relase": "hooks/x.yml"})
    assert run.status != 0
    assert "djangogcp_hooks.after_relase is 'hooks/x.yml': expected a path of a file of tasks" in run.output
    run, written = shop.play(
        "deploy.yml", djangogcp_hooks={"after_release": ["hooks/on_failure.yml", "hooks/x.yml"]}
    )
    assert run.status != 0
    told = " ".join(run.output.split())
    assert (
        f"djangogcp_hooks.after_release is 'hooks/x.yml': expected a file of tasks, absolute or below {shop.home}"
        in told
    )
    assert run.changed_tasks() == written == []
