"""A module in Ansible's own process gives what it gives as a process of its own, and hides as much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration import ansibles
from tests.integration.cloud import PROJECT, Cloud

ROOT = Path(__file__).resolve().parents[2]
VALUE = "correct-horse-battery-staple"
PLAYBOOK = """
- hosts: all
  gather_facts: false
  module_defaults:
    group/org.djangogcp.gcp:
      project: {project}
  tasks:
    - name: Make a secret
      org.djangogcp.secrets:
        secrets:
          - name: "{folder.name}-{{{{ inventory_hostname }}}}"
            value: {value}
      register: made

    - name: Fail
      org.djangogcp.sql_instance:
        name: ABSENT
        tier: 7
        colour: red
      register: refused
      ignore_errors: true

    - name: Run with another environment
      org.djangogcp.project_info:
      environment:
        GOOGLE_APPLICATION_CREDENTIALS: /nowhere.json
      register: elsewhere
      ignore_errors: true

    - name: Tell
      ansible.builtin.copy:
        content: "{{{{ {{'made': made, 'refused': refused, 'elsewhere': elsewhere}} | to_json }}}}"
        dest: "{folder}/{{{{ inventory_hostname }}}}.json"
"""


@pytest.fixture(scope="module", params=["the suite's own", *ansibles.OTHERS])
def output(
    request: pytest.FixtureRequest, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The folder of the results and what ansible-playbook printed at -vvvv with --diff, with each ansible-core."""
    own = Path(sys.executable).parent
    programs = ansibles.programs(request.param) if request.param in ansibles.OTHERS else own
    if programs is None:
        pytest.skip(f"no Python here runs ansible-core {request.param}")
    folder = tmp_path_factory.mktemp("in-process")
    # Another name for the same interpreter is taken for another interpreter.
    apart = folder / "python"
    apart.write_text(f'#!/bin/sh\nexec {programs / "python"} "$@"\n', "utf-8")
    apart.chmod(0o700)
    hosts = {
        "here": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "apart": {"ansible_python_interpreter": str(apart)},
    }
    inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory), "utf-8")
    (folder / "play.yml").write_text(PLAYBOOK.format(project=PROJECT, value=VALUE, folder=folder), "utf-8")
    done = subprocess.run(
        [
            str(programs / "ansible-playbook"),
            "-vvvv",
            "--diff",
            "-i",
            str(folder / "hosts.yml"),
            str(folder / "play.yml"),
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(folder), "ANSIBLE_REMOTE_TMP": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def results(folder: Path, host: str) -> dict[str, Any]:
    """What the tasks of a host returned, without what differs by itself: the host's name and the time."""
    text = (folder / f"{host}.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text.replace(f"{folder.name}-{host}", "in-process"))
    del found["made"]["secrets"][0]["create_time"]
    return found


def test_the_results_are_the_same(output: tuple[Path, str]) -> None:
    folder, _printed = output
    here, apart = results(folder, "here"), results(folder, "apart")
    assert here["made"]["changed"]
    assert here["made"]["secrets"][0]["version"] == "1"
    assert here["refused"]["msg"].startswith("colour is unknown: expected one of access_token, ")
    for result in (here, apart):
        for one in result.values():
            one.pop("exception", None)
    assert here == apart


def test_only_the_host_with_ansibles_interpreter_starts_no_python(output: tuple[Path, str]) -> None:
    _folder, printed = output
    tasks = printed.split("\nTASK [")
    for title in ("Make a secret", "Fail", "Run with another environment"):
        section = next(task for task in tasks if task.startswith(title))
        assert "<apart> EXEC" in section
        assert "<here> EXEC" not in section


def test_a_task_with_an_environment_gets_it(output: tuple[Path, str]) -> None:
    folder, _printed = output
    assert "/nowhere.json" in results(folder, "here")["elsewhere"]["msg"]


def test_nothing_shows_the_value(cloud: Cloud, output: tuple[Path, str]) -> None:
    folder, printed = output
    assert f"{folder.name}-here" in printed
    assert VALUE not in printed
