"""Bad input: one clear message before anything changes, and an exit status that is not 0."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.rehearsal import PROJECT, REGION, ROOT, Rehearsal


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the local inventory, to be spoilt."""
    copy = tmp_path / "inventory"
    shutil.copytree(ROOT / "inventories" / "local", copy)
    return copy


def refused(rehearsal: Rehearsal, *options: str, inventory: str | Path = "inventories/local") -> str:
    """The output of a deploy that has to fail and to change nothing."""
    before = len(changes(rehearsal))
    run = rehearsal.playbook("deploy.yml", *options, inventory=inventory)
    assert run.status != 0, run.output
    assert run.changed_tasks() == []
    assert "Traceback" not in run.output
    assert len(changes(rehearsal)) == before
    return run.output


def changes(rehearsal: Rehearsal) -> list[str]:
    """The names of everything in the project that a deploy makes."""
    services = rehearsal.api(f"run.googleapis.com/v2/projects/{PROJECT}/locations/us-central1/services")
    secrets = rehearsal.api(f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets")
    buckets = rehearsal.api(f"storage.googleapis.com/storage/v1/b?project={PROJECT}")
    accounts = rehearsal.api(f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts")
    return [
        *(service["name"] for service in services.get("services", [])),
        *(secret["name"] for secret in secrets.get("secrets", [])),
        *(bucket["name"] for bucket in buckets.get("items", [])),
        *(account["name"] for account in accounts.get("accounts", [])),
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-e", "djangogcp_regoin=us-east1"], ["djangogcp_regoin", "djangogcp_region"]),
        (["-e", "djangogcp_region=us-centrall1"], ["djangogcp_region", "us-centrall1", "us-central1"]),
        (["-e", "djangogcp_project="], ["djangogcp_project"]),
        (["-e", "djangogcp_project=no-such-project"], ["no-such-project"]),
        (["-e", "djangogcp_source_dir=/nonexistent"], ["djangogcp_source_dir", "/nonexistent"]),
        (["-e", "djangogcp_wsgi_module=nowhere.wsgi:application"], ["nowhere.wsgi"]),
        (["-e", "djangogcp_database_edition=ENTERPRISE", "-e", "djangogcp_database_tier=db-perf-optimized-N-2"],
         ["db-perf-optimized-N-2", "ENTERPRISE"]),
        (["-e", '{"djangogcp_max_instances": "many"}'], ["djangogcp_max_instances", "many"]),
        (["-e", '{"djangogcp_max_instances": 5000}'], ["connections"]),
        (["-e", "djangogcp_superuser_email=nobody"], ["djangogcp_superuser_email", "nobody"]),
        (["-e", f"djangogcp_site={'x' * 60}"], ["63"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else value,
)  # fmt: skip
def test_a_wrong_variable_is_refused(deployed: Rehearsal, options: list[str], expected: list[str]) -> None:
    output = refused(deployed, *options)
    for text in expected:
        assert text in output


def test_a_folder_without_manage_py_is_refused(deployed: Rehearsal, tmp_path: Path) -> None:
    assert "manage.py" in refused(deployed, "-e", f"djangogcp_source_dir={tmp_path}")


def test_missing_credentials_are_explained(deployed: Rehearsal) -> None:
    line = "GOOGLE_APPLICATION_CREDENTIALS=/nonexistent.json ansible-playbook deploy.yml -i inventories/local"
    run = deployed.shell(line)
    assert run.status != 0
    assert "GOOGLE_APPLICATION_CREDENTIALS" in run.output or "application-default login" in run.output
    assert "Traceback" not in run.output


def test_a_missing_permission_is_named_with_a_role(deployed: Rehearsal) -> None:
    project = f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}"
    policy = deployed.api(f"{project}:getIamPolicy", method="POST", body={})
    without = [b for b in policy["bindings"] if b["role"] != "roles/run.admin"]
    assert len(without) == len(policy["bindings"]) - 1
    changed = deployed.api(
        f"{project}:setIamPolicy", method="POST", body={"policy": {**policy, "bindings": without}}
    )
    try:
        run = deployed.playbook("deploy.yml")
        assert run.status != 0
        assert "run.services.create" in run.output
        assert "roles/run.admin" in run.output
        assert run.changed_tasks() == []
    finally:
        restored = {"policy": {**policy, "etag": changed["etag"]}}
        deployed.api(f"{project}:setIamPolicy", method="POST", body=restored)
        # The grant takes effect later, as in Google Cloud.
        deployed.once_in_force(f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/services")


@pytest.mark.parametrize("environment", ["prod", "staging"])
def test_an_inventory_that_was_not_filled_in_is_refused(deployed: Rehearsal, environment: str) -> None:
    output = refused(deployed, inventory=f"inventories/{environment}")
    assert "djangogcp_project" in output


def test_a_stale_lock_is_no_obstacle(tmp_path: Path) -> None:
    other = Rehearsal(tmp_path / "other")
    other.state.mkdir(parents=True)
    (other.state / "emulator.lock").write_text(json.dumps({"pid": os.getpid(), "port": 1}), "utf-8")
    run = other._run([str(ROOT / ".venv/bin/gcp-emulator"), "start", "--state", str(other.state)], 90)
    assert run.status == 0, run.output
    assert (
        other._run([str(ROOT / ".venv/bin/gcp-emulator"), "stop", "--state", str(other.state)], 90).status
        == 0
    )
