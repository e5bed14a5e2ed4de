"""Whole runs: what the filters and modules refuse by themselves, the playbooks refuse for every host, and nothing has changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.filter.site_problems import MADE_OF

from tests.bad_input.test_variables import ANY_TEXT, ROLE, SITE
from tests.e2e.projects import startproject
from tests.integration.cloud import PROJECT, Cloud

ROOT = Path(__file__).resolve().parents[2]


class Literal(str):
    """A string that Ansible must not take for a template, as a survey or a secret store hands it over."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(Literal, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text)))


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    """A file that appears if something runs what it should only look at."""
    return tmp_path / "owned"


def playbook(
    cloud: Cloud,
    tmp_path: Path,
    name: str,
    hosts: dict[str, dict[str, Any]],
    *options: str,
    failing: int | None = None,
) -> str:
    """What a playbook prints that has to fail and to change nothing.

    Args:
        failing: how many hosts are told to have failed; all of them if not given.
    """
    project = tmp_path / "project"
    if not project.exists():
        startproject(project)
    site = {
        "djangogcp_project": PROJECT,
        "djangogcp_region": "us-central1",
        "djangogcp_source_dir": str(project),
        "djangogcp_superuser_email": "admin@example.com",
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    inventory = tmp_path / "hosts.yml"
    sites = {"sites": {"hosts": hosts, "vars": site}}
    inventory.write_text(yaml.dump(sites, Dumper=_Dumper, allow_unicode=False), "utf-8")
    before = cloud.resources()
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            name,
            "-i",
            str(inventory),
            *options,
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(tmp_path), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "4000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout
    assert "changed=0" in done.stdout
    assert not re.search(r"changed=[1-9]", done.stdout)
    assert done.stdout.count("failed=1") == (len(hosts) if failing is None else failing)
    assert cloud.resources() == before
    told = re.findall(r"^fatal: \[.*\]: FAILED! => ?\n((?:(?:  .*)?\n)+?)(?=\S)", done.stdout, re.MULTILINE)
    assert told != [], done.stdout
    return "\n".join(re.sub(r"^  ", "", message, flags=re.MULTILINE) for message in told)


def test_wrong_variables_of_several_sites_are_all_named_and_nothing_of_them_runs(
    cloud: Cloud, tmp_path: Path, owned: Path
) -> None:
    # Without a target nobody knows what it takes.
    site = {name: option for name, option in SITE.items() if name != "djangogcp_target"}
    texts = [name for name, option in site.items() if option["type"] == "str" and name not in ANY_TEXT]
    # Which preview is meant is looked at before what it is like (tests/e2e/test_8_previews.py).
    others = {*ANY_TEXT, "preview"}
    own = [name for name, option in ROLE.items() if option["type"] in ("str", "int") and name not in others]
    hosts: dict[str, dict[str, Any]] = {
        "shell": dict.fromkeys(texts, f"$(touch {owned})`touch {owned}`; touch {owned}"),
        "jinja": dict.fromkeys(
            texts, Literal(f"{{{{ lookup('pipe', 'touch {owned}') }}}}{{{{ 1234 * 7 }}}}")
        ),
        "long": dict.fromkeys(texts, "x " * 5000),
        "unicode": dict.fromkeys(site, "näme\U0001f4a9\u202e"),
        "roles": dict.fromkeys(own, "many $(id)"),
    }
    output = playbook(cloud, tmp_path, "deploy.yml", hosts)
    assert not owned.exists()
    assert "8638" not in output
    assert len(output) < 100_000
    for name in site.keys() - MADE_OF.keys():
        # Wrong once for each site that sets it, and never more.
        times = sum(name in variables for variables in hosts.values())
        assert output.count(f"\n- {name} is ") + output.count(f"\n- {name} has ") == times, name
    for name in own:
        assert output.count(f"\n- {name} is ") == 1, name
    for host in hosts:
        assert f"{host} cannot be deployed as it is described. Nothing was changed." in output


def test_a_command_that_is_none_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    commands = {"quote": "'", "list": [], "text": "", "map": {"a": 1}, "null": Literal("a\x00b")}
    hosts = {name: {"manage_command": command} for name, command in commands.items()}
    output = playbook(cloud, tmp_path, "playbooks/manage.yml", hosts)
    assert output.count("\n- manage_command is ") == len(hosts)


def test_no_command_is_told_with_an_example(cloud: Cloud, tmp_path: Path) -> None:
    output = playbook(cloud, tmp_path, "playbooks/manage.yml", {"polls": {}})
    assert output.strip() == (
        "manage_command is not set: expected the arguments of manage.py. Nothing was run. Run again with, for instance, -e"
        " manage_command='showmigrations --list'."
    )


def test_a_text_that_is_yaml_is_the_list_or_the_dictionary_that_it_says(cloud: Cloud, tmp_path: Path) -> None:
    """As a survey of AWX sends it. What is of another kind is refused, and what is in it is looked at."""
    answers = {
        "fine": {
            "djangogcp_domains": "[www.example.com]",
            "djangogcp_labels": "team: web",
            "djangogcp_region": "nowhere1",
        },
        "other": {"djangogcp_domains": "www.example.com", "djangogcp_labels": "[team]"},
        "inside": {"djangogcp_domains": "[not a host]", "djangogcp_database_flags": "max_connections: [1]"},
    }
    output = playbook(cloud, tmp_path, "deploy.yml", answers)
    told = {text.partition(" cannot be deployed")[0].strip(): text for text in output.split("\n\n")}
    assert told["fine"].count("\n- ") == 1
    assert "\n- djangogcp_region is 'nowhere1'" in told["fine"]
    assert "\n- djangogcp_domains is 'www.example.com': expected a list." in told["other"]
    assert "\n- djangogcp_labels is '[team]': expected a dictionary." in told["other"]
    assert "\n- djangogcp_domains is 'not a host': expected host names" in told["inside"]
    assert "\n- djangogcp_database_flags.max_connections is [1]: expected" in told["inside"]


def test_a_confirmation_that_is_no_boolean_deletes_nothing(cloud: Cloud, tmp_path: Path) -> None:
    names = {"east": "destroy_data", "west": "destroy_instance"}
    hosts = {host: {"destroy_confirm": host, name: "perhaps"} for host, name in names.items()}
    output = playbook(cloud, tmp_path, "playbooks/destroy.yml", hosts)
    for name in names.values():
        assert output.count(f"\n- {name} is 'perhaps': expected true or false.") == 1


@pytest.fixture
def twins() -> dict[str, dict[str, Any]]:
    """Two hosts of one site, two of one database, one whose uploads would be in the public bucket of another, and a right one."""
    return {
        "eu": {"djangogcp_site": "twin"},
        "us": {"djangogcp_site": "twin"},
        "shop": {"djangogcp_database_name": "blog", "djangogcp_media_bucket": f"{PROJECT}-blog-static"},
        "blog": {"djangogcp_database_tier": "db-custom-2-7680"},
        "fine": {"djangogcp_database_instance": "fine"},
    }


SITE_PROBLEM = f"djangogcp_site is 'twin' for eu and us in the project {PROJECT}: expected a name of its own for each host"
DATABASE_PROBLEM = f"djangogcp_database_name is 'blog' for blog and shop in the database instance djangogcp of the project {PROJECT}: expected"
BUCKET_PROBLEM = f"The bucket {PROJECT}-blog-static is djangogcp_media_bucket of shop and djangogcp_static_bucket of blog: expected"
TIER_PROBLEM = "djangogcp_database_tier is 'db-custom-2-7680' for blog and 'db-custom-1-3840' for eu, shop and us: expected one value"


@pytest.mark.parametrize("name", ["deploy.yml", "playbooks/provision.yml", "playbooks/status.yml"])
def test_names_that_two_sites_have_are_refused_before_anything_changes(
    cloud: Cloud, tmp_path: Path, twins: dict[str, dict[str, Any]], name: str
) -> None:
    output = playbook(cloud, tmp_path, name, twins, failing=1)
    for problem in (SITE_PROBLEM, DATABASE_PROBLEM, BUCKET_PROBLEM, TIER_PROBLEM):
        assert output.count(problem) == 1, problem
    assert "fine" not in output


@pytest.mark.parametrize(("host", "problem"), [("us", "for us and eu"), ("shop", "for shop and blog")])
def test_a_site_that_is_deployed_alone_does_not_take_what_is_another_ones(
    cloud: Cloud, tmp_path: Path, twins: dict[str, dict[str, Any]], host: str, problem: str
) -> None:
    assert problem in playbook(cloud, tmp_path, "deploy.yml", twins, "--limit", host, failing=1)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["-e", "destroy_confirm=twin"], "djangogcp_site is 'twin' for eu and us in"),
        (["-e", "destroy_confirm=twin", "--limit", "us"], "djangogcp_site is 'twin' for us and eu in"),
        (["-e", "destroy_confirm=blog", "-e", "destroy_data=true"], DATABASE_PROBLEM),
    ],
)
def test_what_another_site_has_as_well_is_not_destroyed(
    cloud: Cloud, tmp_path: Path, twins: dict[str, dict[str, Any]], options: list[str], problem: str
) -> None:
    failing = 2 if options == ["-e", "destroy_confirm=twin"] else 1
    output = playbook(cloud, tmp_path, "playbooks/destroy.yml", twins, *options, failing=failing)
    assert output.count(problem) == failing
    assert "cannot be destroyed as it is described. Nothing was changed." in output
    assert TIER_PROBLEM not in output


@pytest.mark.parametrize(
    ("meant", "address", "refusal"),
    [
        (
            "emulator",
            "",
            "this environment leads to Google Cloud. Nothing was asked of anybody. Rehearse with: make rehearse",
        ),
        (
            "google",
            "127.0.0.1:8910",
            "this shell leads to the emulator at 127.0.0.1:8910. Nothing was asked of anybody. Leave the",
        ),
        # The environment does not tell, and an emulator answers.
        (
            "google",
            "",
            "it is an emulator that answers. Nothing was changed. Leave the rehearsal with: rehearsal_off",
        ),
    ],
)
def test_a_run_that_is_meant_for_the_other_cloud_is_refused(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meant: str, address: str, refusal: str
) -> None:
    monkeypatch.setenv("GCP_EMULATOR_ADDRESS", address)
    assert refusal in playbook(cloud, tmp_path, "deploy.yml", {"shop": {"djangogcp_cloud": meant}})
