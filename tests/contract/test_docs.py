"""What README and handbook say is so: commands are run by a test, paths and variables exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.action.summary import STATISTIC

from tests.contract.wire import COLLECTION, ROOT

PAGES = (ROOT / "README.md", ROOT / "docs" / "handbook.md", ROOT / "docs" / "when-it-goes-wrong.md")
#: Every command of the pages: the folder or file whose tests run it, and the text there that does.
RUN_BY = {
    "ansible-playbook playbooks/adopt.yml -e source_dir=../shop": (
        "tests/first_hour",
        '"playbooks/adopt.yml"',
    ),
    "make rehearse": ("tests/e2e", 'make("rehearse")'),
    "make rehearse-password": ("tests/e2e", 'make("rehearse-password")'),
    "make rehearse-status": ("tests/e2e", 'make("rehearse-status")'),
    "make rehearse-stop": ("tests/e2e", 'make("rehearse-stop")'),
    "make rehearse-clean": ("tests/e2e", 'make("rehearse-clean")'),
    "docker compose up --wait": ("tests/compose", "timed('up', '--wait')"),
    "make test": (".ci/run", "exec make test"),
    ". .rehearsal/env && ansible-playbook deploy.yml -i inventories/local --check --diff": (
        "tests/e2e",
        'shell("ansible-playbook deploy.yml -i inventories/local --check --diff")',
    ),
    "ansible-playbook deploy.yml -i inventories/prod": (
        "tests/e2e",
        'inventory=f"inventories/{environment}"',
    ),
    "ansible-playbook playbooks/provision.yml -i inventories/prod": (
        "tests/e2e",
        '"playbooks/provision.yml"',
    ),
    'ansible-playbook playbooks/manage.yml -i inventories/prod -e \'{"manage_command": ["check", "--deploy"]}\'': (
        "tests/e2e",
        '"playbooks/manage.yml"',
    ),
    "ansible-playbook playbooks/password.yml -i inventories/prod": ("tests/e2e", '"playbooks/password.yml"'),
    "ansible-playbook playbooks/status.yml -i inventories/prod": ("tests/e2e", '"playbooks/status.yml"'),
    "ansible-playbook playbooks/logs.yml -i inventories/prod": ("tests/e2e", '"playbooks/logs.yml"'),
    "ansible-playbook playbooks/console.yml -i inventories/prod": ("tests/e2e", '"playbooks/console.yml"'),
    "ansible-playbook playbooks/rollback.yml -i inventories/prod": ("tests/e2e", '"playbooks/rollback.yml"'),
    "ansible-playbook playbooks/promote.yml -i inventories/prod": ("tests/e2e", '"playbooks/promote.yml"'),
    "ansible-playbook playbooks/releases.yml -i inventories/prod": ("tests/e2e", '"playbooks/releases.yml"'),
    "ansible-playbook deploy.yml -i inventories/prod -e preview=NAME": ("tests/e2e", '"preview=pr1"'),
    "ansible-playbook playbooks/previews.yml -i inventories/prod": ("tests/e2e", '"playbooks/previews.yml"'),
    "ansible-playbook playbooks/preview_absent.yml -i inventories/prod -e preview=NAME": (
        "tests/e2e",
        '"playbooks/preview_absent.yml"',
    ),
    "ansible-playbook playbooks/maintenance.yml -i inventories/prod -e maintenance=on": (
        "tests/e2e",
        '"playbooks/maintenance.yml"',
    ),
    "ansible-playbook playbooks/rotate.yml -i inventories/prod -e rotate=secret_key": (
        "tests/e2e",
        '"playbooks/rotate.yml"',
    ),
    "ansible-playbook playbooks/doctor.yml -i inventories/prod": ("tests/e2e", '"playbooks/doctor.yml"'),
    "ansible-playbook playbooks/prune.yml -i inventories/prod": ("tests/e2e", '"playbooks/prune.yml"'),
    "ansible-playbook playbooks/unlock.yml -i inventories/prod": ("tests/e2e", '"playbooks/unlock.yml"'),
    "ansible-playbook playbooks/destroy.yml -i inventories/prod -e destroy_confirm=SITE": (
        "tests/e2e",
        '"playbooks/destroy.yml"',
    ),
}


def commands() -> list[str]:
    """Every line of the console blocks and every command of the table of verbs."""
    found: list[str] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            found += [line.strip() for line in block.splitlines() if line.strip()]
        found += re.findall(r"^\| `(ansible-playbook [^`]+)` \|", text, re.MULTILINE)
    return list(dict.fromkeys(found))


def specification() -> dict[str, Any]:
    """The argument specification of the role preflight."""
    text = (COLLECTION / "roles/preflight/meta/argument_specs.yml").read_text("utf-8")
    return dict(yaml.safe_load(text)["argument_specs"])


def tracked() -> list[str]:
    """The paths of all files under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split("\0") if path]


def test_the_table_of_this_file_holds_exactly_the_commands_of_the_pages() -> None:
    assert sorted(commands()) == sorted(RUN_BY)


@pytest.mark.parametrize("command", RUN_BY)
def test_a_test_runs_the_command(command: str) -> None:
    where, text = RUN_BY[command]
    path = ROOT / where
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    assert any(text in file.read_text("utf-8") for file in files), f"nothing in {where} has {text}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    named = re.findall(r"`([A-Za-z_.][\w.-]*/[\w./-]*)`", text) + re.findall(r"\]\(([^):#]+)\)", text)
    #: What is made by running something, is the reader's own, or is no path of this repository.
    foreign = re.compile(
        r"\.rehearsal/|/cloudsql|roles/|settings/\w+\.py|(?:projects|inventories)/[A-Z]|.*\.googleapis\.com"
    )
    paths = [name for name in named if not foreign.match(name)]
    missing = [name for name in paths if not (ROOT / name).exists() and not (page.parent / name).exists()]
    assert paths != []
    assert missing == []


@pytest.mark.parametrize("page", [*PAGES, COLLECTION / "README.md"], ids=str)
def test_every_variable_that_a_page_names_exists(page: Path) -> None:
    known = {name for entry in specification().values() for name in entry["options"]}
    text = page.read_text("utf-8")
    # What a deploy leaves in the statistics of its run is no variable that a person sets.
    known.add(STATISTIC)
    # What roles hand over, which hooks may read.
    for tasks in (COLLECTION / "roles").glob("*/tasks/*.yml"):
        known |= set(
            re.findall(r"^ +(?:register: )?(djangogcp_out_[a-z_]+)\b", tasks.read_text("utf-8"), re.MULTILINE)
        )
    named = set(re.findall(r"\b(?:djangogcp|destroy)_[a-z_]+\b", text))
    assert named - known == set()


def test_the_inventories_name_variables_that_exist() -> None:
    known = set(specification()["site"]["options"])
    for path in (ROOT / "inventories").rglob("*.yml"):
        assert set(re.findall(r"\bdjangogcp_[a-z_]+\b", path.read_text("utf-8"))) - known == set(), path


def test_make_help_lists_every_verb() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^  make ([a-z-]+)", printed, re.MULTILINE)
    assert sorted(listed) == sorted(targets) == sorted(" ".join(phony).split())


def test_every_role_is_documented() -> None:
    roles = sorted(path for path in (COLLECTION / "roles").iterdir() if path.is_dir())
    assert roles != []
    for role in roles:
        text = (role / "meta" / "argument_specs.yml").read_text("utf-8")
        for entry, found in yaml.safe_load(text)["argument_specs"].items():
            for key in ("short_description", "description"):
                assert found.get(key), f"{role.name}, entry point {entry}, has no {key}"
            for option, described in found.get("options", {}).items():
                assert described.get("description"), f"{role.name}: {option}"


#: The targets that are in the collection.
TARGETS = sorted(
    path.parents[1]
    for path in (COLLECTION / "roles").glob("*/tasks/try_out.yml")
    if (path.parent / "needs.yml").exists()
)


def test_every_entry_point_that_is_used_has_a_specification() -> None:
    used = re.compile(
        r'name: "?(?:org\.djangogcp\.(\w+)|\{\{ djangogcp_out_target_role \}\})"?\n(?:\s+tasks_from: (\w+)\n)?'
    )
    # Roles that are used alone are used by their scenarios.
    alone = (COLLECTION / "extensions" / "servers").iterdir()
    folders = [COLLECTION / "playbooks", *(COLLECTION / "roles").glob("*/tasks"), *alone]
    texts = [path.read_text("utf-8") for folder in folders for path in folder.glob("*.yml")]
    called = {(role, entry or "main") for text in texts for role, entry in used.findall(text)}
    entries = {(role, entry) for role, entry in called if role}
    for target in TARGETS:
        entries |= {
            (target.name, entry)
            for role, entry in called
            if not role and (target / f"tasks/{entry}.yml").is_file()
        }
    # A role that is used alone has an example of its own.
    of_sites = {
        path.name for path in (COLLECTION / "roles").iterdir() if not (path / "meta/example.md").is_file()
    }
    assert {role for role, _ in entries} >= of_sites
    for role, entry in entries:
        known = yaml.safe_load(
            (COLLECTION / "roles" / role / "meta" / "argument_specs.yml").read_text("utf-8")
        )
        assert entry in known["argument_specs"], f"{role}: {entry}"


def test_every_entry_point_of_a_target_is_described() -> None:
    """By the page on targets, by the target of the collection, and by that of the tests."""
    called = {
        entry
        for path in (COLLECTION / "roles").glob("*/tasks/*.yml")
        for entry in re.findall(
            r'name: "\{\{ (?:djangogcp_out_target_role|__preflight_target_role) \}\}"\n\s+tasks_from: (\w+)',
            path.read_text("utf-8"),
        )
    }
    page = (ROOT / "docs" / "targets.md").read_text("utf-8")
    every, _, splitting = page.partition("A target that can split the traffic")
    of_all, of_some = (set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) for part in (every, splitting))
    assert of_all | of_some == called
    for role, entries in (
        (COLLECTION / "roles" / "cloud_run", called),
        (COLLECTION / "roles" / "compute_engine", of_all),
        (ROOT / "tests/e2e/targets/ansible_collections/tests/targets/roles/folder", of_all),
    ):
        assert entries <= {path.stem for path in (role / "tasks").glob("*.yml")}, role


#: Words of where this was made, in pieces so that this file does not hold them.
FORBIDDEN = (
    "/work" + "/",
    "/root" + "/",
    "/tmp/" + "team",
    "../" + "shared",
    "sub" + "agent",
    "py" + "pi.org",
    "pythonhosted" + ".org",
    "proxy.golang" + ".org",
    "registry.npmjs" + ".org",
    "galaxy.ansible" + ".com",
    "dev" + "pi",
    "arti" + "factory",
)


def test_no_file_names_the_place_where_it_was_made_or_a_package_registry() -> None:
    found = []
    for name in tracked():
        path = ROOT / name
        if (
            path.is_symlink()
            or "/discovery/" in name
            or path.suffix in {".png", ".ico"}
            or not path.is_file()
        ):
            continue
        text = path.read_bytes().decode("utf-8", "replace").lower()
        found += [f"{name}: {word}" for word in FORBIDDEN if word in text]
    assert found == []


def test_no_tracked_file_is_made_by_a_tool() -> None:
    made = re.compile(
        r"(^|/)(__pycache__|\.rehearsal|\.venv|\.cache|dist|output)/|\.(pyc|sqlite3?|tar\.gz|retry|log)$"
    )
    assert [name for name in tracked() if made.search(name)] == []


def test_each_door_has_a_guard_that_a_test_holds() -> None:
    """SECURITY.md names the tests; a row without one, or a test that was renamed, fails."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    doors = text.partition("**Doors")[2].partition("**What is not defended**")[0]
    rows = [line for line in doors.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`([\w/.]+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            assert re.search(rf"^ *def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), (
                file,
                test,
            )
    for page in re.findall(r"\]\((docs/[^)]+)\)", text):
        assert (ROOT / page).is_file(), page
