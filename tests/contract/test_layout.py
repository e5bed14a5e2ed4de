"""The checkout and the tarball run the same playbooks."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.contract.wire import COLLECTION, ROOT
from tools import engine

BIN = Path(sys.executable).parent
ENTRY_POINTS = sorted([ROOT / "deploy.yml", *(ROOT / "playbooks").rglob("*.yml")])
INVENTORIES = sorted(path.name for path in (ROOT / "inventories").iterdir())
SITE = {
    "djangogcp_project": "my-project",
    "djangogcp_region": "europe-west1",
    "djangogcp_source_dir": "app",
    "djangogcp_superuser_email": "you@example.com",
}


def ansible(tool: str, *arguments: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """The output of one of Ansible's tools, which must succeed."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GCP_"))
    }
    done = subprocess.run(
        [str(BIN / tool), *map(str, arguments)],
        cwd=cwd,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("playbook", ENTRY_POINTS, ids=lambda path: path.name)
def test_an_entry_point_is_three_lines_that_import_the_collections_playbook(playbook: Path) -> None:
    plays = yaml.safe_load(playbook.read_text("utf-8"))
    assert len(playbook.read_text("utf-8").strip().splitlines()) == 3
    # AWX does not know the full name, and would not offer the playbook.
    assert [set(play) for play in plays] == [{"name", "import_playbook"}]
    assert plays[0]["import_playbook"] == f"org.djangogcp.{playbook.stem}"


def test_no_folder_of_tests_is_passed_over(pytestconfig: pytest.Config) -> None:
    """pytest leaves out folders by their names, and says nothing."""
    passed_over = pytestconfig.getini("norecursedirs")
    found = [
        path for folder in pytestconfig.getini("testpaths") for path in (ROOT / folder).rglob("test_*.py")
    ]
    assert len(found) > 100
    assert [
        path
        for path in found
        for name in path.relative_to(ROOT).parts[:-1]
        if any(fnmatch.fnmatch(name, pattern) for pattern in passed_over)
    ] == []


def test_every_playbook_of_the_collection_has_an_entry_point() -> None:
    assert sorted(path.stem for path in ENTRY_POINTS) == sorted(
        path.stem for path in (COLLECTION / "playbooks").glob("*.yml")
    )


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_the_playbooks_are_sound_with_every_inventory(inventory: str) -> None:
    output = ansible("ansible-playbook", "--syntax-check", "-i", f"inventories/{inventory}", *ENTRY_POINTS)
    assert "WARNING" not in output
    for playbook in ENTRY_POINTS:
        assert f"playbook: {playbook}" in output


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_an_inventory_holds_sites(inventory: str) -> None:
    listed = json.loads(ansible("ansible-inventory", "--list", "-i", f"inventories/{inventory}"))
    assert listed["sites"]["hosts"] != []


@pytest.mark.parametrize("playbook", ENTRY_POINTS, ids=lambda path: path.name)
def test_a_playbook_works_from_any_folder_without_configuration(playbook: Path, tmp_path: Path) -> None:
    options = ("--list-tasks", "-i", ROOT / "inventories" / "prod")
    listed = ansible("ansible-playbook", playbook, *options, cwd=tmp_path, HOME=str(tmp_path))
    # Nothing is deployed where a project is only read.
    first = "adopt | " if playbook.stem == "adopt" else "preflight"
    assert f"org.djangogcp.{first}" in listed or f" : {first}" in listed or f"{first} : " in listed


def test_the_whole_project_cannot_be_built_as_a_collection(tmp_path: Path) -> None:
    built = subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", ROOT, "--output-path", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode != 0
    assert f"'{ROOT}/galaxy.yml' is missing the following mandatory keys" in built.stderr
    way = "git+https://github.com/djangogcp/djangogcp.git#/collections/ansible_collections/org/djangogcp"
    for path in (ROOT / "galaxy.yml", COLLECTION / "README.md"):
        assert way in path.read_text("utf-8"), path


def test_the_collection_needs_no_other_one() -> None:
    assert yaml.safe_load((COLLECTION / "galaxy.yml").read_text("utf-8"))["dependencies"] == {}
    required = yaml.safe_load((ROOT / "collections" / "requirements.yml").read_text("utf-8"))
    assert (required or {}).get("collections") == []


def test_the_emulators_image_has_what_the_emulator_needs_in_the_versions_that_are_tested() -> None:
    def pinned(path: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9-]+==[^ ]+)", (ROOT / path).read_text("utf-8"), re.MULTILINE))

    image = pinned("emulator/requirements.txt")
    needed = tomllib.loads((ROOT / "emulator/pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert set(needed) <= {line.partition("==")[0] for line in image}
    assert image <= pinned("requirements/rehearse.txt")


def test_the_engines_images_are_those_that_are_named() -> None:
    parts = [path.read_text("utf-8") for path in (ROOT / "compose").glob("*.yaml")]
    named = set(re.findall(r"^    image: (\S+)$", "".join(parts), re.MULTILINE))
    for path in ("app/Dockerfile", "emulator/Dockerfile"):
        text = (ROOT / path).read_text("utf-8")
        version = re.search(r"^ARG PYTHON_VERSION=(\S+)$", text, re.MULTILINE)
        assert version is not None
        for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
            named.add(base.replace("${PYTHON_VERSION}", version[1]))
    servers = yaml.safe_load((COLLECTION / "extensions/servers/inventory.yml").read_text("utf-8"))["servers"]
    named |= {host["molecule_base"] for host in servers["hosts"].values()}
    assert {image.name for image in engine.IMAGES} == {name for name in named if not name.endswith(":local")}


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (
            {"engine": "20.10.24+dfsg1", "compose": "2.26.1"},
            "the engine that answers is 20.10.24.* needs 25.0 or newer",
        ),
        ({"engine": "28.2.2", "compose": "none"}, "the compose that answers is none; .* needs 2.21 or newer"),
    ],
)
def test_an_engine_that_is_too_old_is_told(
    found: dict[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "HOME", tmp_path)
    monkeypatch.setattr(engine, "version", lambda: found)
    with pytest.raises(engine.EngineError, match=complaint):
        engine.up()


def test_the_change_log_is_sound() -> None:
    ansible("antsibull-changelog", "lint", cwd=COLLECTION)


# ------------------------------------------------------------------ the tarball


def test_the_tarball_holds_the_collection_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as file:
        names = {member.name for member in file.getmembers() if member.isfile()}
    assert {name.partition("/")[0] for name in names} <= {
        "CHANGELOG.md",
        "CHANGELOG.rst",
        "FILES.json",
        "LICENSE",
        "MANIFEST.json",
        "README.md",
        "bindep.txt",
        "changelogs",
        "docs",
        "extensions",
        "meta",
        "playbooks",
        "plugins",
        "requirements.txt",
        "roles",
        "tests",
    }
    assert not [name for name in names if "/output/" in name or name.endswith((".pyc", ".tar.gz"))]
    for kind in (
        "playbooks/*.yml",
        "plugins/modules/*.py",
        "plugins/module_utils/**/*.py",
        "roles/*/tasks/main.yml",
    ):
        here = {str(path.relative_to(COLLECTION)) for path in COLLECTION.glob(kind)}
        assert here - names == set()


def test_the_tarball_has_the_change_log_of_its_release(tarball: Path) -> None:
    version = yaml.safe_load((COLLECTION / "galaxy.yml").read_text("utf-8"))["version"]
    with tarfile.open(tarball) as file:
        member = file.extractfile("CHANGELOG.md")
        assert member is not None
        # Markdown's backslashes aside.
        text = member.read().decode().replace("\\", "")
    assert f"## v{version}" in text
    assert "First release: one command deploys a Django project" in text


def test_the_installed_collection_deploys(tarball: Path, tmp_path: Path) -> None:
    installed = tmp_path / "collections"
    ansible("ansible-galaxy", "collection", "install", "--offline", "-p", installed, tarball, cwd=tmp_path)
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(installed)}
    inventory = ROOT / "inventories" / "prod"
    ansible(
        "ansible-playbook",
        "org.djangogcp.deploy",
        "--syntax-check",
        "-i",
        inventory,
        cwd=tmp_path,
        **environment,
    )
    documented = ansible("ansible-doc", "-t", "module", "-l", "org.djangogcp", cwd=tmp_path, **environment)
    assert documented.count("org.djangogcp.") == len(list((COLLECTION / "plugins" / "modules").glob("*.py")))
