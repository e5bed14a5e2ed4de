"""The seam between a release and where it runs: a target that is no role of the collection deploys to a folder."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, REGION, ROOT, Rehearsal, Run

COLLECTIONS = f"{ROOT / 'collections'}:{ROOT / 'tests' / 'e2e' / 'targets'}"


class Folder:
    """A site whose target is a folder."""

    def __init__(self, home: Path) -> None:
        self.rehearsal = Rehearsal(
            home / "home", REHEARSAL_SCALE="0.01", ANSIBLE_COLLECTIONS_PATH=COLLECTIONS
        )
        self.path = home / "served"
        self._home = home
        self._site = {
            **projects.small_site(projects.plain_project(home / "project")),
            "djangogcp_target": "tests.targets.folder",
            "folder_path": str(self.path),
        }

    def play(self, playbook: str, *options: str, **variables: object) -> Run:
        """A playbook on the site."""
        sites = {"shelf": {**self._site, **variables}}
        return self.rehearsal.playbook(
            playbook, *options, inventory=projects.inventory(self._home / "hosts.yml", sites)
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    found = Folder(tmp_path_factory.mktemp("folder"))
    found.rehearsal.start()
    yield found
    found.rehearsal.make("rehearse-clean")


def test_a_target_says_what_it_does_not_take(folder: Folder) -> None:
    refused = folder.play("deploy.yml", djangogcp_cpu="8")
    assert refused.status != 0
    assert "- djangogcp_cpu is 8: a folder has fewer." in refused.output
    refused = folder.play("deploy.yml", djangogcp_strategy="canary")
    assert "- djangogcp_strategy is canary: a link leads to one folder." in refused.output
    assert refused.changed_tasks() == []


def test_a_release_that_fails_its_try_out_has_no_traffic(folder: Folder) -> None:
    for _ in range(2):
        run = folder.play("deploy.yml", folder_is_broken=True)
        assert run.status != 0
        assert "out: it is broken (/" in run.output
        assert "Nothing is current." in run.output
    assert not (folder.path / "current").exists()


def test_a_release_is_served_and_a_second_run_changes_nothing(folder: Folder) -> None:
    secrets = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
    body = {"replication": {"automatic": {}}}
    folder.rehearsal.api(f"{secrets}?secretId=token", method="POST", body=body)
    body = {"payload": {"data": base64.b64encode(b"not-for-folders").decode()}}
    folder.rehearsal.api(f"{secrets}/token:addVersion", method="POST", body=body)
    asked = {"TOKEN": "token", "TOKEN_FILE": {"name": "token", "path": "/run/secrets/token"}}
    variables = {
        "djangogcp_secrets": asked,
        "djangogcp_background_workers": {"worker": "celery -A shop worker"},
    }
    run = folder.play("deploy.yml", **variables)
    assert run.status == 0, run.output
    current = folder.path / "current"
    assert {path.name for path in current.iterdir()} == {"app.json", "migrate", "collectstatic", "superuser"}
    app = json.loads((current / "app.json").read_text("utf-8"))
    assert app["environment"]["ALLOWED_HOSTS"] == "folder.example.com"
    assert app["secrets"]["DATABASE_URL"] == "shelf-web-database-url"
    assert app["command_secrets"]["DATABASE_URL"] == "shelf-migrator-database-url"
    assert app["secrets"]["TOKEN"] == app["command_secrets"]["TOKEN"] == "token"
    assert (
        app["environment"]["TOKEN_FILE"] == app["command_environment"]["TOKEN_FILE"] == "/run/secrets/token"
    )
    assert app["secret_files"] == {"/run/secrets/token": "token"}
    assert app["secret_versions"]["token"] == "1"
    assert not any(value in str(app) for value in folder.rehearsal.secret_values())
    [worker] = app["workers"]
    assert (worker["command"], worker["args"]) == (["/bin/sh", "-c"], ["exec celery -A shop worker"])
    assert worker["secrets"] == app["secrets"]
    assert worker["environment"] == app["command_environment"]
    assert folder.play("deploy.yml", **variables).changed_tasks() == []
    # Nothing of Cloud Run was needed, not even its API.
    services = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/services"
    assert "has not been used in project" in str(folder.rehearsal.api(services, status=403))


def test_what_is_old_goes_and_what_serves_stays(folder: Folder) -> None:
    (folder.path / "tried-once").mkdir()
    run = folder.play("playbooks/prune.yml", djangogcp_keep_days=0)
    assert run.status == 0, run.output
    assert "delete release tried-once" in run.output
    assert not (folder.path / "tried-once").exists()
    assert (folder.path / "current" / "app.json").exists()


def test_status_manage_and_destroy_name_no_target(folder: Folder) -> None:
    status = folder.play("playbooks/status.yml")
    assert status.status == 0, status.output
    assert f"file://{folder.path}/current" in status.output
    examined = folder.play("playbooks/doctor.yml")
    assert "ok: traffic: " in examined.output, examined.output
    assert "ok: drift: " in examined.output
    assert examined.status == 0
    ran = folder.play("playbooks/manage.yml", "-e", "manage_command='check --deploy'")
    assert ran.status == 0, ran.output
    assert "manage ran" in ran.output
    gone = folder.play("playbooks/destroy.yml", "-e", "destroy_confirm=shelf", "-e", "destroy_data=true")
    assert gone.status == 0, gone.output
    assert not folder.path.exists()


def test_a_target_that_there_is_not_is_refused(folder: Folder) -> None:
    for name in ("cloud_rnu", "preflight", "../cloud_run"):
        refused = folder.play("deploy.yml", djangogcp_target=name)
        assert refused.status != 0
        assert (
            "expected cloud_run, compute_engine, or the full name of a role that is a target"
            in refused.output
        )
