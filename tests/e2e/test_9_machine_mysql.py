"""A project as Django writes it, with MySQL and a Procfile, on a virtual machine: over the socket of Google's own proxy, by the login of 8.4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gcp_emulator.databases.mysql.binaries import find_binaries

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, Rehearsal, Run, engine_answers

if not find_binaries():
    pytest.skip("no MySQL server program is here: make mysql brings one", allow_module_level=True)


@dataclass(frozen=True)
class Shop:
    """The site after its first deploy."""

    rehearsal: Rehearsal
    inventory: Path
    run: Run

    def play(self, playbook: str, *options: str) -> Run:
        target = f"@{self.rehearsal.home}/target.yml"
        return self.rehearsal.playbook(playbook, "-e", target, *options, inventory=self.inventory)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    if not engine_answers():
        pytest.skip("no container engine answers")
    folder = tmp_path_factory.mktemp("q")
    source = projects.unedited(folder / "project")
    (source / "Procfile").write_text("web: gunicorn mysite.wsgi --workers 3\n", "utf-8")
    asked = {
        "djangogcp_source_dir": str(source),
        "djangogcp_database_version": "MYSQL_8_4",
        "djangogcp_database_deletion_protection": False,
    }
    inventory = projects.inventory(folder / "hosts.yml", {"shop": asked})
    rehearsal = Rehearsal(folder / "home", REHEARSAL_SCALE="0.01")
    try:
        yield Shop(
            rehearsal,
            inventory,
            rehearsal.make("rehearse", "TARGET=compute_engine", f"INVENTORY={inventory}"),
        )
    finally:
        rehearsal.make("rehearse-clean")


def test_it_is_served_and_its_superuser_is_in_the_database(shop: Shop) -> None:
    assert shop.run.status == 0, shop.run.output
    said = " ".join(shop.run.output.split())
    assert "the machine serves mysite.wsgi:application by gunicorn with djangogcp_workers" in said
    instance = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/djangogcp"
    assert str(shop.rehearsal.api(instance)["databaseVersion"]).startswith("MYSQL_8_4")
    listed = shop.play(
        "playbooks/manage.yml",
        "-e",
        "manage_command=\"shell -v 0 -c 'from django.contrib.auth.models import User; from django.db import connection;"
        ' print(connection.vendor, list(User.objects.values_list(\\"username\\", flat=True)))\'"',
    )
    assert listed.status == 0, listed.output
    assert "mysql ['admin']" in listed.output
