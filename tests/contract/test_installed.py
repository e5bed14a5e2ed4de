"""The tarball installed in an empty folder, as from Galaxy, with the oldest and the newest ansible-core: no checkout, no configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.contract.wire import COLLECTION, ROOT
from tests.integration import ansibles

SITE = {
    "djangogcp_project": "my-project",
    "djangogcp_region": "europe-west1",
    "djangogcp_source_dir": str(ROOT / "app"),
    "djangogcp_superuser_email": "you@example.com",
}
TWO_LINES = "[sites]\npolls\n"
MATCHED_NOBODY = "No site was matched: "
PLAYBOOKS = sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml"))


@dataclass(frozen=True)
class Installed:
    """A folder with an inventory and nothing else, and the collection in another one."""

    programs: Path
    collections: Path
    folder: Path

    def play(
        self, playbook: str, *options: str, inventory: str | None = TWO_LINES, **environment: str
    ) -> tuple[int, str]:
        """Exit status and output of one of the collection's playbooks."""
        if inventory is not None:
            (self.folder / "hosts").write_text(inventory, "utf-8")
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GCP_"))
        }
        done = subprocess.run(
            [self.programs / "ansible-playbook", f"org.djangogcp.{playbook}", "-i", "hosts", *options],
            cwd=self.folder,
            env={
                **inherited,
                "HOME": str(self.folder),
                "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
                "ANSIBLE_NOCOLOR": "1",
                "COLUMNS": "4000",
                "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module", params=["the suite's own", *ansibles.OTHERS])
def programs(request: pytest.FixtureRequest) -> Path:
    """The programs of one ansible-core."""
    own = Path(sys.executable).parent
    found = ansibles.programs(request.param) if request.param in ansibles.OTHERS else own
    if found is None:
        pytest.skip(f"no Python here runs ansible-core {request.param}")
    return found


@pytest.fixture(scope="module")
def collections(tarball: Path, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tarball is installed."""
    folder = tmp_path_factory.mktemp("collections")
    command = [programs / "ansible-galaxy", "collection", "install", "--offline", "-p", folder, tarball]
    # Not in the checkout, whose own collection would do.
    environment = {**os.environ, "HOME": str(folder)}
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture
def installed(programs: Path, collections: Path, tmp_path: Path) -> Installed:
    return Installed(programs, collections, tmp_path)


def test_an_inventory_of_two_lines_in_an_empty_folder_is_enough(installed: Installed) -> None:
    """Nothing is asked of another machine, and the modules run where Ansible does: what is missing is told by preflight."""
    status, output = installed.play("deploy", "-vv", "-e", json.dumps(SITE))
    assert status != 0
    assert "/nowhere.json" in output, output
    assert "UNREACHABLE" not in output
    assert "starts a Python of its own" not in output
    assert "WARNING" not in output


def test_an_inventory_has_its_way(installed: Installed) -> None:
    python = installed.folder / "python"
    python.write_text(f'#!/bin/sh\nexec {installed.programs / "python"} "$@"\n', "utf-8")
    python.chmod(0o700)
    inventory = f"[sites]\npolls ansible_python_interpreter={python}\n"
    _status, output = installed.play("deploy", "-vv", "-e", json.dumps(SITE), inventory=inventory)
    assert f"ansible_python_interpreter is {python}, not " in output
    _status, output = installed.play(
        "deploy",
        "-e",
        json.dumps(SITE),
        inventory="[sites]\npolls ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n",
    )
    assert "UNREACHABLE" in output


# The playbook adopt reads a folder, and asks for no site.
@pytest.mark.parametrize("playbook", [playbook for playbook in PLAYBOOKS if playbook != "adopt"])
def test_no_host_matched_is_an_error(installed: Installed, playbook: str) -> None:
    status, output = installed.play(playbook, inventory=None)
    assert status != 0
    assert (
        f"{MATCHED_NOBODY}the inventory ({installed.folder}/hosts) has no host in the group sites. Check -i."
        in output
    )


@pytest.mark.parametrize(
    ("inventory", "options", "reason"),
    [
        ("[sitez]\npolls\nshop\n", (), "has no host in the group sites. Check -i."),
        ("[sites]\n[other]\nshop\n", (), "has no host in the group sites. Check -i."),
        (
            "[sites]\npolls\nblog\n[other]\nshop\n",
            ("--limit", "shop"),
            "--limit shop leaves out polls, blog.",
        ),
    ],
)
def test_why_no_host_was_matched_is_told_once(
    installed: Installed, inventory: str, options: tuple[str, ...], reason: str
) -> None:
    status, output = installed.play(
        "deploy",
        *options,
        "-e",
        json.dumps(SITE),
        inventory=inventory,
        ANSIBLE_STDOUT_CALLBACK="org.djangogcp.lines",
    )
    assert status != 0
    assert output.count(MATCHED_NOBODY) == 1
    assert reason in output


def test_a_limit_to_some_sites_is_no_error(installed: Installed) -> None:
    options = ("--list-hosts", "--limit", "shop,other")
    status, output = installed.play("deploy", *options, inventory="[sites]\npolls\nshop\n[rest]\nother\n")
    assert status == 0, output
    assert "shop" in output
    assert "polls" not in output
    assert "other" not in output.partition("pattern")[2]


def test_an_error_is_printed_once_and_line_by_line(installed: Installed) -> None:
    status, output = installed.play("deploy", ANSIBLE_STDOUT_CALLBACK="org.djangogcp.lines")
    assert status != 0
    told = output.partition("fatal: [polls]: FAILED! =>")[2].splitlines()
    assert told[1] == "  polls cannot be deployed as it is described. Nothing was changed."
    assert told[2].startswith("  - djangogcp_project is not set: expected ")
    for name in ("djangogcp_project", "djangogcp_region", "djangogcp_source_dir"):
        assert output.count(f"- {name} is not set") == 1, output


def test_an_error_of_a_module_is_printed_once(installed: Installed) -> None:
    _status, output = installed.play(
        "deploy", "-e", json.dumps(SITE), ANSIBLE_STDOUT_CALLBACK="org.djangogcp.lines"
    )
    assert output.count("/nowhere.json") == 1, output
    assert "\n  Failed to find credentials for Google Cloud: " in output


def test_all_missing_libraries_are_told_at_once(installed: Installed) -> None:
    without = installed.folder / "without"
    for package in ("requests", "google"):
        (without / package).mkdir(parents=True)
    (without / "requests" / "__init__.py").write_text("raise ImportError('not installed')\n", "utf-8")
    (without / "google" / "__init__.py").write_text("", "utf-8")
    _status, output = installed.play("deploy", "-e", json.dumps(SITE), PYTHONPATH=str(without))
    assert "required Python library (requests and google-auth)" in output
    assert "-m pip install requests google-auth" in output


def test_ansible_builder_finds_what_an_execution_environment_needs(collections: Path) -> None:
    done = subprocess.run(
        [ansibles.builder(), "introspect", collections], check=True, capture_output=True, text=True
    )
    found = yaml.safe_load(done.stdout)
    listed = [
        line for line in (COLLECTION / "requirements.txt").read_text("utf-8").splitlines() if line[0] != "#"
    ]
    assert [line.partition("  # ")[0] for line in found["python"]] == listed
    assert {line.partition(">")[0] for line in listed} == {"google-auth", "requests"}
    assert found.get("system", []) == []
