"""`manage.py deploy` of an unmodified django-simple-deploy with this project's plugin, in a project that a stranger has just started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.contract.wire import COLLECTION, ROOT
from tests.faults.world import OPERATOR, World
from tests.pythons import CACHE, alone, install

PLUGIN = ROOT / "dsd"
CORE = "1.4.1"
#: What is installed beside it, also what builds the plugin: nothing is fetched for each run.
_WITH = ("django==5.2.*", "setuptools==80.9.0")
_SITE = {"--project-id": "my-project", "--region": "europe-west1", "--superuser-email": "you@example.com"}
_GIT = dict.fromkeys(
    ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
    "somebody@example.com",
)


@dataclass(frozen=True)
class Project:
    """A folder under git with a stock project that has django-simple-deploy in its settings."""

    folder: Path
    programs: Path

    def deploy(
        self,
        *options: str,
        answer: str = "",
        collections: Path = ROOT / "collections",
        environment: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        """Exit status and output of ``manage.py deploy``."""
        done = subprocess.run(
            [self.programs / "python", "manage.py", "deploy", *options],
            cwd=self.folder,
            env={
                **os.environ,
                **_GIT,
                **(environment or {}),
                "ANSIBLE_COLLECTIONS_PATH": str(collections),
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
            input=answer,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def git(self, *arguments: str) -> str:
        """What git prints."""
        return subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env={**os.environ, **_GIT},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    @property
    def inventory(self) -> Path:
        return self.folder / "inventories" / "corner-shop" / "hosts.yml"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with django-simple-deploy and the plugin as it is now."""
    # What builds it writes beside what it builds.
    source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("plugin") / "dsd")
    folder = CACHE / f"django-simple-deploy-{CORE}"
    with alone("dsd"):
        install(sys.executable, folder, f"django-simple-deploy=={CORE}", *_WITH)
        options = ("--no-deps", "--no-build-isolation", "--force-reinstall")
        subprocess.run([folder / "bin" / "pip", "install", "-q", *options, source], check=True)
    return folder / "bin"


@pytest.fixture
def project(programs: Path, tmp_path: Path) -> Project:
    subprocess.run([programs / "django-admin", "startproject", "corner_shop", tmp_path], check=True)
    settings = tmp_path / "corner_shop" / "settings.py"
    text = settings.read_text("utf-8")
    settings.write_text(
        text.replace("INSTALLED_APPS = [", 'INSTALLED_APPS = [\n    "django_simple_deploy",'), "utf-8"
    )
    (tmp_path / "requirements.txt").write_text("django\n", "utf-8")
    found = Project(tmp_path, programs)
    found.git("init", "-q")
    found.git("add", ".")
    found.git("commit", "-q", "-m", "begin")
    return found


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("world"), 1)
    yield found
    found.stop()


def test_the_plugin_is_of_the_version_of_the_collection() -> None:
    plugin = tomllib.loads((PLUGIN / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert plugin == yaml.safe_load((COLLECTION / "galaxy.yml").read_text("utf-8"))["version"]


def test_a_project_is_told_of_and_gets_an_inventory(project: Project) -> None:
    said = [word for option in _SITE.items() for word in option]
    status, output = project.deploy(*said)
    assert status == 0, output
    assert "Deployment target: Google Cloud" in output
    assert "A month, in US dollars" in output
    assert f"ansible-playbook org.djangogcp.deploy -i {project.inventory.parent}" in output
    written = yaml.safe_load(project.inventory.read_text("utf-8"))["sites"]
    assert list(written["hosts"]) == ["corner-shop"]
    assert {name: written["vars"][name] for name in written["vars"] if name != "djangogcp_source_dir"} == {
        "djangogcp_project": "my-project",
        "djangogcp_region": "europe-west1",
        "djangogcp_superuser_email": "you@example.com",
    }
    project.git("add", ".")
    project.git("commit", "-q", "-m", "configured")
    changed = project.inventory.read_text("utf-8") + "# mine\n"
    project.inventory.write_text(changed, "utf-8")
    status, output = project.deploy("--ignore-unclean-git", *said)
    assert status == 0, output
    assert "is there already, and is used as it is" in output
    assert project.inventory.read_text("utf-8") == changed


def test_a_region_of_another_platform_is_not_asked_for(project: Project) -> None:
    status, output = project.deploy("--deployed-project-name", "Bakery")
    assert status == 0, output
    written = yaml.safe_load((project.folder / "inventories/bakery/hosts.yml").read_text("utf-8"))["sites"]
    assert written["vars"]["djangogcp_region"] == "us-central1"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--automate-all",), "--automate-all needs --project-id"),
        (("--region", "europe_west"), "region is europe_west: expected a location such as europe-west1"),
    ],
)
def test_what_cannot_be_is_refused(project: Project, options: tuple[str, ...], told: str) -> None:
    status, output = project.deploy("--no-logging", *options)
    assert status != 0
    assert told in output
    assert "Traceback" not in output
    assert not project.inventory.exists()


def test_without_the_collection_nothing_is_changed(project: Project, tmp_path: Path) -> None:
    status, output = project.deploy("--no-logging", collections=tmp_path / "none")
    assert status != 0
    assert "ansible-galaxy collection install org.djangogcp" in output
    assert project.git("status", "--porcelain") == ""


def test_everything_is_automated_after_a_yes(project: Project, world: World) -> None:
    name = world.project()
    options = ("--automate-all", "--project-id", name, "--superuser-email", OPERATOR)
    variables = {
        key: value for key, value in world.variables(name).items() if key not in ("PATH", "ANSIBLE_HOME")
    }
    status, output = project.deploy(*options, answer="no\n", environment=variables)
    assert status == 0, output
    assert not project.inventory.exists()
    project.git("checkout", "-q", ".")
    project.git("clean", "-q", "-d", "-f")
    status, output = project.deploy(*options, answer="yes\n", environment=variables)
    assert status == 0, output + world.log()
    assert "Deployed one site in " in output
    assert "costs money" in output
    assert project.git("status", "--porcelain") == ""
    assert "inventories/corner-shop/hosts.yml" in project.git("show", "--stat", "--format=%s")
