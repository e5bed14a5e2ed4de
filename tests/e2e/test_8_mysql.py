"""Two stock projects with MySQL, unedited: one over Cloud Run's socket, one at a private address, where users of 8.4 log in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from gcp_emulator.databases.mysql.binaries import find_binaries

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, ROOT, Rehearsal, Run

if not find_binaries():
    pytest.skip("no MySQL server program is here: make mysql brings one", allow_module_level=True)

SQL = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
#: By site what it asks for, beside an instance of its own.
SITES: dict[str, dict[str, Any]] = {
    "socket": {"djangogcp_database_version": "MYSQL_8_0"},
    "private": {"djangogcp_database_version": "MYSQL_8_4", "djangogcp_network": "sites"},
}
every_site = pytest.mark.parametrize("site", SITES)


@dataclass(frozen=True)
class Shops:
    """The sites after the run that deployed both at once."""

    rehearsal: Rehearsal
    inventory: Path
    source: Path
    run: Run

    def playbook(self, playbook: str, *options: str) -> Run:
        return self.rehearsal.playbook(playbook, *options, inventory=self.inventory)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shops]:
    """In a project with a network that somebody has prepared, and no organisation that forbids anything."""
    folder = tmp_path_factory.mktemp("mysql")
    seed = yaml.safe_load((ROOT / "rehearsal" / "strict.yaml").read_text("utf-8"))
    del seed["organizations"][0]["org_policies"]
    (folder / "seed.yaml").write_text(yaml.safe_dump(seed), "utf-8")
    source = projects.unedited(folder / "project")
    common = {"djangogcp_source_dir": str(source), "djangogcp_database_deletion_protection": False}
    inventory = projects.inventory(
        folder / "hosts.yml",
        {
            site: {**common, **asked, "djangogcp_database_instance": f"{site}-db"}
            for site, asked in SITES.items()
        },
    )
    rehearsal = Rehearsal(
        folder / "home", REHEARSAL_PROFILE="instant", REHEARSAL_SEED=str(folder / "seed.yaml")
    )
    rehearsal.start()
    try:
        run = rehearsal.playbook("deploy.yml", "--forks", "2", inventory=inventory)
        assert run.status == 0, run.output
        yield Shops(rehearsal, inventory, source, run)
    finally:
        rehearsal.make("rehearse-clean")


@every_site
def test_the_superuser_logs_in(shops: Shops, site: str) -> None:
    session = projects.logged_in(shops.rehearsal, site)
    assert "Site administration" in session.get(shops.rehearsal.url(site) + "/admin/", timeout=60).text


@every_site
def test_every_character_is_kept(shops: Shops, site: str) -> None:
    database = shops.rehearsal.api(f"{SQL}/{site}-db/databases/{site}")
    assert database["charset"] == "utf8mb4"
    users = [one["name"] for one in shops.rehearsal.api(f"{SQL}/{site}-db/users")["items"]]
    assert {f"{site}_migrator", f"{site}_web_1"} <= set(users)
    session = projects.logged_in(shops.rehearsal, site)
    address = f"{shops.rehearsal.url(site)}/admin/auth/group/add/"
    form = {
        "csrfmiddlewaretoken": projects.csrf_token(session.get(address, timeout=60)),
        "name": "Café \N{HOT BEVERAGE}",
    }
    answer = session.post(address, data=form, headers={"Referer": address}, timeout=60)
    assert "Café \N{HOT BEVERAGE}" in answer.text


def test_the_private_site_has_no_other_way(shops: Shops) -> None:
    addresses = shops.rehearsal.api(f"{SQL}/private-db")["ipAddresses"]
    (private,) = [one["ipAddress"] for one in addresses if one["type"] == "PRIVATE"]
    address = shops.rehearsal.secret("private-web-database-url")
    assert f"@{private}:3306/" in address
    assert "/cloudsql/" in shops.rehearsal.secret("socket-web-database-url")


@every_site
def test_again_changes_nothing(shops: Shops, site: str) -> None:
    again = shops.playbook("deploy.yml", "--limit", site)
    assert again.status == 0, again.output
    assert again.counts(site)["changed"] == 0, again.output


@every_site
def test_the_database_passwords_are_rotated(shops: Shops, site: str) -> None:
    """The web's by another user, so that what serves logs in all the time."""
    before = shops.rehearsal.secret(f"{site}-web-database-url")
    url = f"{shops.rehearsal.url(site)}/admin/login/"
    rotated = shops.playbook("playbooks/rotate.yml", "--limit", site, "-e", "rotate=database_password")
    assert rotated.status == 0, rotated.output
    assert shops.rehearsal.secret(f"{site}-web-database-url") != before
    assert shops.rehearsal.session().get(url, timeout=60).status_code == 200
    users = [one["name"] for one in shops.rehearsal.api(f"{SQL}/{site}-db/users")["items"]]
    assert f"{site}_web_2" in users
    session = projects.logged_in(shops.rehearsal, site)
    assert "Site administration" in session.get(shops.rehearsal.url(site) + "/admin/", timeout=60).text
    # Its commands run with the new password of the migrator.
    after = shops.playbook("deploy.yml", "--limit", site)
    assert after.status == 0, after.output
    assert "run migrate" in after.output


def test_what_is_destructive_is_refused_and_with_leave_migrated_after_a_backup(shops: Shops) -> None:
    """On a server that commits with each statement of a schema."""
    fields = '[("id", models.BigAutoField(primary_key=True)), ("text", models.TextField())]'
    projects.add_migration(shops.source, "notes", "initial", f'CreateModel("Note", {fields})')
    added = shops.playbook("deploy.yml", "--limit", "socket")
    assert added.status == 0, added.output
    assert "1 additive, 0 destructive, 0 unknown." in " ".join(added.output.split())
    projects.add_migration(shops.source, "notes", "shorter", 'RemoveField("note", "text")')
    refused = shops.playbook("deploy.yml", "--limit", "socket")
    assert refused.status != 0
    assert "the migrations of this release are destructive" in " ".join(refused.output.split())
    assert "Nothing was migrated or released" in refused.output
    backups = f"{SQL}/socket-db/backupRuns"
    assert not [one for one in shops.rehearsal.api(backups).get("items", []) if one["type"] == "ON_DEMAND"]
    allowed = shops.playbook(
        "deploy.yml", "--limit", "socket", "-e", "djangogcp_allow_destructive_migrations=true"
    )
    assert allowed.status == 0, allowed.output
    assert [one for one in shops.rehearsal.api(backups)["items"] if one["type"] == "ON_DEMAND"]
    assert "notes.0002_shorter" in allowed.output


def test_a_site_is_destroyed_with_its_users(shops: Shops) -> None:
    gone = shops.playbook(
        "playbooks/destroy.yml",
        "--limit",
        "socket",
        "-e",
        "destroy_confirm=socket",
        "-e",
        "destroy_data=true",
    )
    assert gone.status == 0, gone.output
    left = [one["name"] for one in shops.rehearsal.api(f"{SQL}/socket-db/users")["items"]]
    assert not [name for name in left if name.startswith("socket_")]
    assert shops.rehearsal.get("private", "/admin/login/").status_code == 200
