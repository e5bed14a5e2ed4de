"""What AWX offers of this project, by its own rules: the verbs as playbooks, the inventories as inventory files, and nothing else. And
what its jobs print and record, run by its own runner.

The rules are awx/main/utils/ansible.py and Project.playbooks and Project.inventories in awx/main/models/projects.py of
https://github.com/ansible/awx. AWX looks at all files of a project's branch and follows no symbolic link to a folder.
"""

from __future__ import annotations

import base64
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import pytest

from tests.contract.test_docs import tracked
from tests.contract.wire import ROOT
from tests.e2e.projects import recipe
from tests.faults.world import World
from tests.integration import ansibles

BIN = Path(sys.executable).parent
OLDEST, NEWEST = ansibles.OTHERS
SITE = {
    "djangogcp_project": "my-project",
    "djangogcp_region": "europe-west1",
    "djangogcp_source_dir": "app",
    "djangogcp_superuser_email": "you@example.com",
}
#: A line that begins a play, or imports a playbook. AWX does not know the full name ansible.builtin.import_playbook.
PLAYBOOK = re.compile(r"^\s*?-?\s*?(?:hosts|include|import_playbook):\s*?.*?$")
INVENTORY = re.compile(r"^[a-zA-Z0-9_.=\[\]]")
#: How many lines of a file without a suffix AWX looks at.
LOOKED_AT = 10


def looked_into() -> Iterator[Path]:
    """The files in folders that AWX does not leave out."""
    left_out = {"roles", "tasks", "group_vars", "host_vars"}
    for name in tracked():
        path = Path(name)
        if not left_out & set(path.parts[:-1]) and not any(part.startswith(".") for part in path.parts[:-1]):
            yield path


def is_playbook(path: Path) -> bool:
    if path.suffix not in (".yml", ".yaml") or not (ROOT / path).is_file():
        return False
    lines = (ROOT / path).read_text("utf-8", errors="ignore").splitlines()
    return any(PLAYBOOK.match(line) for line in lines) or lines[:1] == ["$ANSIBLE_VAULT;"]


def is_inventory(path: Path) -> bool:
    if not (ROOT / path).is_file():
        return False
    if path.name in ("inventory", "hosts") or path.suffix == ".ini" or os.access(ROOT / path, os.X_OK):
        return True
    if path.suffix:
        return False
    lines = (ROOT / path).read_text("utf-8", errors="ignore").splitlines(keepends=True)[:LOOKED_AT]
    return all(INVENTORY.match(line) for line in lines)


def test_the_playbooks_that_awx_offers_are_the_verbs() -> None:
    offered = sorted(str(path) for path in looked_into() if is_playbook(path))
    verbs = sorted(f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml"))
    assert offered == ["deploy.yml", *verbs]


def test_the_inventories_that_awx_offers_are_inventories() -> None:
    offered = sorted(str(path) for path in looked_into() if is_inventory(path))
    assert offered == [f"inventories/{name}/hosts" for name in ("local", "prod", "staging")]


@pytest.mark.parametrize("folder", ["playbooks", "inventories"])
def test_awx_looks_into_the_folders_of_both(folder: str) -> None:
    assert [path for path in looked_into() if path.parts[0] == folder]


# Jobs ------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A job that has ended: its status, what it printed without colours, its events, and the folder with all that is kept of it."""

    status: str
    output: str
    events: list[dict[str, Any]]
    artifacts: Path

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind, in their order."""
        return [event for event in self.events if event["event"] == kind]


def plain(text: str) -> str:
    """A text as a person sees it, without the codes of colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@dataclass(frozen=True)
class Awx:
    """The folder of a job as AWX makes it, with the project copied without .git."""

    folder: Path

    def job(self, inventory: Path, *options: str, programs: Path = BIN, **environment: str) -> Job:
        """Runs deploy.yml. The path of collections is what AWX exports: its own, then ansible.cfg's."""
        paths = [
            "/runner/requirements_collections",
            "collections",
            "~/.ansible/collections",
            "/usr/share/ansible/collections",
        ]
        # Variables of an earlier job would win, which in AWX has a folder of its own.
        shutil.rmtree(self.folder / "env", ignore_errors=True)
        done = ansible_runner.run(
            private_data_dir=str(self.folder),
            playbook="deploy.yml",
            inventory=str(inventory),
            cmdline=" ".join(["-u root", *options]),
            envvars={
                "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(paths),
                "GCP_PROJECT": "",
                "GCP_AUTH_KIND": "serviceaccount",
                "GCP_ENV_TYPE": "tower",
                **environment,
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            },
            quiet=True,
        )
        with done.stdout as stdout:
            output = plain(stdout.read())
        return Job(str(done.status), output, list(done.events), Path(done.config.artifact_dir))


@pytest.fixture(scope="module")
def awx(tmp_path_factory: pytest.TempPathFactory) -> Awx:
    folder = tmp_path_factory.mktemp("awx")
    ignored = shutil.ignore_patterns(
        ".git", ".venv", ".cache", ".rehearsal", ".mypy_cache", ".ruff_cache", "__pycache__"
    )
    shutil.copytree(ROOT, folder / "project", symlinks=True, ignore=ignored)
    return Awx(folder)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables that an execution environment sets which is made as the handbook says."""
    folder = tmp_path_factory.mktemp("execution-environment")
    (folder / "execution-environment.yml").write_text(recipe("execution environment"), "utf-8")
    subprocess.run(
        [ansibles.builder(), "create", "--output-filename", "Containerfile"], cwd=folder, check=True
    )
    text = (folder / "context" / "Containerfile").read_text("utf-8")
    return dict(re.findall(r"^ENV (\w+)=(\S+)$", text, re.MULTILINE))


def programs_of(core: str) -> Path:
    found = ansibles.programs(core)
    if found is None:
        pytest.skip(f"no Python here runs ansible-core {core}")
    return found


def exported(folder: Path, **variables: str) -> Path:
    """The inventory of one site as AWX gives it to a job: a script that tells the exported variables."""
    own = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        **SITE,
        **variables,
    }
    told = {
        "all": {"children": ["sites"]},
        "sites": {"hosts": ["polls"]},
        "_meta": {"hostvars": {"polls": own}},
    }
    script = folder / "hosts"
    script.write_text(f"#!{sys.executable}\nprint({json.dumps(json.dumps(told))})\n", "utf-8")
    script.chmod(0o700)
    return script


def test_awx_takes_the_path_of_collections_from_ansible_cfg() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "ansible.cfg")
    assert parser.get("defaults", "collections_path") == "collections"
    assert set(parser["defaults"]) == {
        "collections_path",
        "callbacks_enabled",
        # A job of AWX has another one, and does not look at this.
        "stdout_callback",
    }


@pytest.mark.parametrize("option", ["--syntax-check", "--list-tasks"])
def test_a_job_finds_the_collection(awx: Awx, tmp_path: Path, option: str) -> None:
    job = awx.job(exported(tmp_path), option)
    assert job.status == "successful", job.output
    assert "playbook: " in job.output
    if option == "--list-tasks":
        assert "preflight" in job.output


def test_a_job_takes_an_empty_project_for_none(awx: Awx, tmp_path: Path) -> None:
    job = awx.job(exported(tmp_path, djangogcp_project=""))
    assert job.status == "failed"
    assert "djangogcp_project" in job.output
    assert "Traceback" not in job.output


@pytest.mark.parametrize("core", ["the suite's own", OLDEST, NEWEST])
def test_a_job_tells_an_error_once_and_line_by_line(
    awx: Awx, image: dict[str, str], tmp_path: Path, core: str
) -> None:
    programs = programs_of(core) if core in ansibles.OTHERS else BIN
    wrong = exported(tmp_path, djangogcp_region="europe_west", djangogcp_cpu="three")
    job = awx.job(wrong, programs=programs, **image)
    assert job.status == "failed"
    (failed,) = job.of("runner_on_failed")
    told = plain(failed["stdout"]).splitlines()
    assert told[:3] == [
        "fatal: [polls]: FAILED! => ",
        "  polls cannot be deployed as it is described. Nothing was changed.",
        "  - djangogcp_region is 'europe_west': expected a location such as europe-west1.",
    ], failed["stdout"]
    # As data it is in the event, too, and nowhere else on the page.
    assert "- djangogcp_cpu is 'three'" in failed["event_data"]["res"]["msg"]
    assert job.output.count("'europe_west'") == job.output.count("'three'") == 1, job.output


def test_a_job_tells_the_error_of_a_module_once(awx: Awx, image: dict[str, str], tmp_path: Path) -> None:
    nowhere = {"GCP_AUTH_KIND": "application", "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"}
    job = awx.job(exported(tmp_path), programs=programs_of(NEWEST), **nowhere, **image)
    assert job.status == "failed"
    assert job.output.count("/nowhere.json") == 1, job.output
    assert "\n  Failed to find credentials for Google Cloud: " in job.output


# Whole deploys ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("world"), 1)
    yield found
    found.stop()


def secrets_of(world: World, project: str) -> dict[str, str]:
    """What nobody may read in a job: the values of all secrets, and what the operator logs in with."""
    base = f"secretmanager.googleapis.com/v1/projects/{project}/secrets"
    found = {}
    for secret in world.api(base)["secrets"]:
        name = secret["name"].rpartition("/")[2]
        payload = world.api(f"{base}/{name}/versions/latest:access")["payload"]["data"]
        found[name] = base64.b64decode(payload).decode()
    credentials = Path(world.variables(project)["GOOGLE_APPLICATION_CREDENTIALS"]).read_text("utf-8")
    return {**found, "the operator's token": json.loads(credentials)["refresh_token"]}


def test_jobs_deploy_and_keep_what_was_deployed_but_no_secret(
    awx: Awx, image: dict[str, str], world: World
) -> None:
    """The first deploy by the oldest core, and one that changes nothing by the newest; both tell all that they can."""
    project = world.project()
    inventory = world.inventory(project, {"site": {}})
    variables = {
        name: value for name, value in world.variables(project).items() if "ANSIBLE_CALLBACK" not in name
    } | {"GCP_AUTH_KIND": "application"}
    jobs = [
        awx.job(inventory, "-vvv", "--diff", programs=programs_of(core), **variables, **image)
        for core in (OLDEST, NEWEST)
    ]
    for job in jobs:
        assert job.status == "successful", f"{job.output[-4000:]}\n{world.log()[-2000:]}"
        (ended,) = job.of("playbook_on_stats")
        site = ended["event_data"]["artifact_data"]["djangogcp_out_sites"]["site"]
        assert site["address"].startswith("https://site-")
        assert site["revision"].startswith("site-")
        assert site["address"] in job.output
    assert jobs[0].of("runner_on_failed") == jobs[1].of("runner_on_failed") == []
    secrets = secrets_of(world, project)
    kept = [path for job in jobs for path in sorted(job.artifacts.rglob("*")) if path.is_file()]
    texts = {str(path): path.read_text("utf-8", errors="replace") for path in kept}
    # The secrets are spoken of, by their names.
    for name in secrets.keys() - {"the operator's token"}:
        assert any(name in text for text in texts.values()), name
    found = [
        (name, path)
        for name, value in secrets.items()
        for path, text in texts.items()
        if value in text or json.dumps(value)[1:-1] in text
    ]
    assert found == []
