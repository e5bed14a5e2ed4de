"""Sites that share a project, an instance and their quotas of requests: one run makes them all, and tells once what it waits for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from gcp_emulator.engine.operations import Profile

from emulator.tests.running import PROJECT, RunningEmulator
from tests.integration.cloud import REGION, Cloud

ROOT = Path(__file__).resolve().parents[2]
SITES = ("east", "north", "south")
SCALE = 0.005
#: What the project may send in a minute, which is less than the sites want to: by API and limit.
QUOTAS = {
    "sqladmin.googleapis.com": {"defaultPerMinutePerUser": 8},
    "secretmanager.googleapis.com": {
        "ReadRequestsPerMinutePerProject": 6,
        "WriteRequestsPerMinutePerProject": 5,
    },
}
PLAYBOOK = f"""
- hosts: all
  gather_facts: false
  module_defaults:
    group/org.djangogcp.gcp:
      project: {PROJECT}
  tasks:
    - name: Ensure the instance
      org.djangogcp.sql_instance:
        name: shared
        region: {REGION}
        database_version: MYSQL_8_4
        edition: ENTERPRISE
        tier: db-n1-standard-1

    - name: Ensure the secrets
      org.djangogcp.secretmanager_secrets:
        secrets:
          - name: "{{{{ inventory_hostname }}}}-database"
            generate: {{}}
          - name: "{{{{ inventory_hostname }}}}-key"
            generate: {{}}

    - name: Ensure the database
      org.djangogcp.sql_database:
        instance: shared
        name: "{{{{ inventory_hostname }}}}"
        charset: utf8mb4

    - name: Ensure the users
      org.djangogcp.sql_users:
        instance: shared
        users:
          - name: "{{{{ inventory_hostname }}}}"
            password_secret: "{{{{ inventory_hostname }}}}-database"
          - name: "{{{{ inventory_hostname }}}}-guest"
            password_secret: "{{{{ inventory_hostname }}}}-key"
"""


class Minutes:
    """A clock whose minutes end when three calls were refused in them: as many are on a slow machine as on a fast one."""

    def __init__(self, running: RunningEmulator) -> None:
        self._requests = running.context.requests

    def __call__(self) -> float:
        refused = sum(entry.status == 429 for entry in self._requests.after())
        return refused // 3 * 60 * SCALE


@dataclass(frozen=True)
class Crowd:
    """The sites' project, and what the first run of the playbook printed."""

    cloud: Cloud
    folder: Path
    first: str

    @property
    def refused(self) -> set[str]:
        """The hosts of the APIs whose quota refused something."""
        entries = self.cloud.running.call(self.cloud.running.context.requests.after)
        return {entry.host for entry in entries if entry.status == 429}


def run(folder: Path) -> str:
    """What ansible-playbook prints, which must not fail."""
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", folder / "hosts.yml", folder / "play.yml"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(folder), "ANSIBLE_FORKS": str(len(SITES))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    # Not pytest's folder: paths of sockets have to be short.
    folder = Path(tempfile.mkdtemp(prefix="quotas-"))
    same = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    inventory = {"all": {"hosts": dict.fromkeys(SITES), "vars": same}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory), "utf-8")
    (folder / "play.yml").write_text(PLAYBOOK, "utf-8")
    (folder / "runtime").mkdir(mode=0o700)
    running = RunningEmulator(folder / "state", Profile("realistic", SCALE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "runtime"))
        cloud = Cloud(running, patch)
        for host, limits in QUOTAS.items():
            for limit, value in limits.items():
                running.call(running.context.quotas.limit, running.number, host, limit, value)
        patch.setattr(running.context.quotas, "_now", Minutes(running))
        running.plan({"method": "sql.databases.insert", "kind": "too_many_operations", "count": 2})
        yield Crowd(cloud, folder, run(folder))
    running.stop()
    shutil.rmtree(folder)


def test_everything_is_there_though_the_quotas_were_short(crowd: Crowd) -> None:
    assert crowd.refused == set(QUOTAS)
    base = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/shared"
    databases = {one["name"] for one in crowd.cloud.api(f"{base}/databases")["items"]}
    assert set(SITES) <= databases
    users = {one["name"] for one in crowd.cloud.api(f"{base}/users")["items"]}
    assert {f"{site}{kind}" for site in SITES for kind in ("", "-guest")} <= users


def test_of_what_is_waited_for_one_line_tells(crowd: Crowd) -> None:
    told = re.findall(r"Wait for the quota of ([\w.]+)", crowd.first)
    assert sorted(told) == sorted(QUOTAS)
    for word in ("HTTP 429", "RATE_LIMIT_EXCEEDED", "Too many operations", "FAILED"):
        assert word not in crowd.first


def test_another_run_changes_nothing(crowd: Crowd) -> None:
    again = run(crowd.folder)
    assert re.findall(r"changed=(\d+)", again) == ["0"] * len(SITES)
