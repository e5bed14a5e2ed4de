"""A module in Ansible's own process gives what it gives as a process of its own, and hides as much."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration import ansibles
from tests.integration.cloud import PROJECT, Cloud

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections" / "ansible_collections" / "org" / "djangogcp"
VALUE = "correct-horse-battery-staple"
PLAYBOOK = """
- hosts: all
  gather_facts: false
  module_defaults:
    group/org.djangogcp.gcp:
      project: {project}
  tasks:
    - name: Make a secret
      org.djangogcp.secretmanager_secrets:
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
      org.djangogcp.resourcemanager_project_info:
      environment:
        GOOGLE_APPLICATION_CREDENTIALS: /nowhere.json
      register: elsewhere
      ignore_errors: true

    - name: Give one item a token
      org.djangogcp.resourcemanager_project_info:
      environment: "{{{{ item }}}}"
      loop:
        - {{}}
        - GCP_AUTH_KIND: accesstoken
          GCP_ACCESS_TOKEN: ya29.of-nobody
        - {{}}
      register: with_token
      ignore_errors: true

    - name: Ask for what templates compute
      org.djangogcp.run_service:
        name: computed
        location: us-central1
        template:
          max_instance_request_concurrency: "{{{{ 8 * 10 }}}}"
          session_affinity: "{{{{ 1 == 1 }}}}"
          scaling:
            cpu_utilization: "{{{{ 1 / 2 }}}}"
          containers:
            - image: us-docker.pkg.dev/cloudrun/container/hello
              ports:
                - container_port: "{{{{ 8000 + 80 }}}}"
              liveness_probe: "{{{{ {{}} }}}}"
              startup_probe:
                tcp_socket: {{}}
                http_get: "{{{{ omit }}}}"
      check_mode: true
      register: computed

    - name: Name a file of the playbook's folder
      org.djangogcp.resourcemanager_project_info:
        auth_kind: serviceaccount
        service_account_file: key.json
      register: relative
      ignore_errors: true

- hosts: all
  gather_facts: false
  tasks:
    - name: Give one item a project
      org.djangogcp.resourcemanager_project_info:
      environment: "{{{{ item }}}}"
      loop:
        - GCP_PROJECT: {project}
        - {{}}
      register: with_project
      ignore_errors: true

    - name: Look around
      org.djangogcp.look:
        warning: "{{{{ item.warning | default(omit) }}}}"
      environment: "{{{{ item.environment | default({{}}) }}}}"
      loop:
        - warning: only for {folder.name}-{{{{ inventory_hostname }}}}
          environment:
            GCE_METADATA_HOST: metadata.example.com
            TMPDIR: /var/tmp
            NUMBER: 7
        - {{}}
      register: looked

    - name: Tell
      ansible.builtin.copy:
        content: >-
          {{{{ {{'made': made, 'refused': refused, 'elsewhere': elsewhere, 'with_token': with_token, 'relative': relative, 'computed': computed,
                'with_project': with_project, 'looked': looked}} | to_json }}}}
        dest: "{folder}/{{{{ inventory_hostname }}}}.json"
"""
#: A module that says what it finds in its process, and leaves what it can.
LOOK = """
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common import warnings


def main():
    module = AnsibleModule(argument_spec={"warning": {"type": "str"}})
    of_others = [*warnings._global_warnings, *warnings._global_deprecations]
    if module.params["warning"]:
        module.warn(module.params["warning"])
        module.deprecate(module.params["warning"], version="9.0.0", collection_name="org.djangogcp")
    from google.auth.compute_engine import _metadata

    names = ("GCE_METADATA_HOST", "TMPDIR", "NUMBER", "LEFT")
    found = {
        "environment": {name: os.environ.get(name) for name in names},
        "metadata": _metadata._GCE_METADATA_HOST,
        "temporary": tempfile.gettempdir(),
        "folder": os.getcwd(),
        "of_others": [str(one) for one in of_others],
    }
    os.environ["LEFT"] = "something"
    os.environ.pop("HOME", None)
    os.chdir("/")
    module.exit_json(**found)


if __name__ == "__main__":
    main()
"""
#: The key of a service account that nobody can use.
KEY = json.dumps(
    {
        "client_email": "a@example.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        "private_key": "none",
    }
)
#: How the hosts run modules: in Ansible's process, and in one of their own for two reasons.
HERE, OFF, APART = "here", "off", "apart"


PROJECT_VARIABLES = ("GCP_PROJECT", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT", "GCE_PROJECT")


def with_look(folder: Path) -> Path:
    """A copy of the collections' folder with one module more."""
    copy = folder / "ansible_collections" / "org" / "djangogcp"
    shutil.copytree(COLLECTION, copy, symlinks=True, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    (copy / "plugins" / "modules" / "look.py").write_text(LOOK, "utf-8")
    (copy / "plugins" / "action" / "look.py").symlink_to("../plugin_utils/in_process.py")
    return folder


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
    same = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    hosts = {
        HERE: same,
        OFF: {**same, "ansible_djangogcp_in_process": False},
        APART: {"ansible_python_interpreter": str(apart)},
    }
    inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory), "utf-8")
    (folder / "play.yml").write_text(PLAYBOOK.format(project=PROJECT, value=VALUE, folder=folder), "utf-8")
    (folder / "key.json").write_text(KEY, "utf-8")
    collections = with_look(folder / "collections")
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
        env={
            **{name: value for name, value in os.environ.items() if name not in PROJECT_VARIABLES},
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_LOCAL_TEMP": str(folder),
            "ANSIBLE_REMOTE_TMP": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def results(folder: Path, host: str) -> dict[str, Any]:
    """What the tasks of a host returned, without what differs by itself: the host's name, the time, places of errors."""
    text = (folder / f"{host}.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text.replace(f"{folder.name}-{host}", "in-process"))
    del found["made"]["secrets"][0]["create_time"]
    for result in found.values():
        for one in (result, *result.get("results", ())):
            one.pop("exception", None)
    return found


@pytest.mark.parametrize("other", [OFF, APART])
def test_the_results_are_the_same(output: tuple[Path, str], other: str) -> None:
    folder, _printed = output
    here = results(folder, HERE)
    assert here["made"]["changed"]
    assert here["made"]["secrets"][0]["version"] == "1"
    assert here["refused"]["msg"].startswith("colour is unknown: expected one of access_token, ")
    assert here == results(folder, other)


def test_text_that_a_template_made_of_a_number_is_that_number(output: tuple[Path, str]) -> None:
    folder, _printed = output
    template = results(folder, HERE)["computed"]["service"]["template"]
    (container,) = template["containers"]
    assert (template["max_instance_request_concurrency"], template["session_affinity"]) == (80, True)
    assert template["scaling"]["cpu_utilization"] == 0.5
    assert container["ports"] == [{"name": None, "container_port": 8080}]
    assert container["liveness_probe"] is None
    assert container["startup_probe"]["tcp_socket"] == {"port": None}
    assert container["startup_probe"]["http_get"] is None


def test_what_one_item_is_given_the_next_does_not_have(output: tuple[Path, str]) -> None:
    folder, _printed = output
    here = results(folder, HERE)
    before, other, after = here["with_token"]["results"]
    assert [bool(one.get("failed")) for one in (before, other, after)] == [False, True, False]
    assert "HTTP 401" in other["msg"]
    named, unnamed = here["with_project"]["results"]
    assert not named.get("failed")
    assert unnamed["failed"]
    assert "project" in unnamed["msg"]
    first, second = here["looked"]["results"]
    assert first["environment"] == {
        "GCE_METADATA_HOST": "metadata.example.com",
        "TMPDIR": "/var/tmp",
        "NUMBER": "7",
        "LEFT": None,
    }
    assert (first["metadata"], first["temporary"]) == ("metadata.example.com", "/var/tmp")
    assert set(second["environment"].values()) == {os.environ.get("TMPDIR"), None}
    assert second["metadata"] != "metadata.example.com"
    assert (first["of_others"], second["of_others"]) == ([], [])


def test_a_warning_of_one_item_is_shown_as_often_as_it_is_else(output: tuple[Path, str]) -> None:
    folder, printed = output
    section = next(task for task in printed.split("\nTASK [") if task.startswith("Look around"))
    # Also where Ansible breaks the line.
    shown = {
        host: " ".join(section.split()).count(f"only for {folder.name}-{host}") for host in (HERE, OFF, APART)
    }
    assert shown[HERE] == shown[OFF] == shown[APART] >= 2


def test_a_relative_path_begins_at_the_playbook(output: tuple[Path, str]) -> None:
    folder, _printed = output
    here = results(folder, HERE)
    assert [one["folder"] for one in here["looked"]["results"]] == [str(folder)] * 2
    assert "No such file" not in here["relative"]["msg"]
    assert "Unable to load PEM file" in here["relative"]["msg"]


def test_why_a_python_is_started_is_said_once_for_each_task(output: tuple[Path, str]) -> None:
    _folder, printed = output
    section = next(task for task in printed.split("\nTASK [") if task.startswith("Look around"))
    lines = [line for line in section.splitlines() if " starts a Python of its own: " in line]
    assert sorted(line.partition("> ")[0] for line in lines) == ["<apart", "<off"]
    assert any(line.endswith(": ansible_djangogcp_in_process is false.") for line in lines)
    assert any(": ansible_python_interpreter is " in line for line in lines)


def test_only_the_host_with_ansibles_interpreter_starts_no_python(output: tuple[Path, str]) -> None:
    _folder, printed = output
    tasks = printed.split("\nTASK [")
    for title in ("Make a secret", "Fail", "Run with another environment", "Look around"):
        section = next(task for task in tasks if task.startswith(title))
        assert "<apart> EXEC" in section
        assert "<off> EXEC" in section
        assert "<here> EXEC" not in section


def test_a_task_with_an_environment_gets_it(output: tuple[Path, str]) -> None:
    folder, _printed = output
    assert "/nowhere.json" in results(folder, HERE)["elsewhere"]["msg"]


def test_nothing_shows_the_value(cloud: Cloud, output: tuple[Path, str]) -> None:
    folder, printed = output
    assert f"{folder.name}-here" in printed
    assert VALUE not in printed
