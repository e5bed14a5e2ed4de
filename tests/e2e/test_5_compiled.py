"""What has no wheel is compiled in the build of a container, and the site that runs has what it is linked with and no compiler."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from gcp_emulator.databases.mysql.binaries import find_binaries

from tests.e2e import projects
from tests.e2e.rehearsal import Rehearsal, engine_answers

SITE = "compiled"
#: What PyPI has as source distributions only, in versions for Python 3.11 to 3.13.
SOURCES = ("mysqlclient==2.2.7", "psycopg2==2.9.10")

if not find_binaries():
    pytest.skip("no MySQL server program is here: make mysql brings one", allow_module_level=True)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A site whose drivers of databases are made from their sources, deployed in containers, with nothing said of Debian's packages."""
    if not engine_answers():
        pytest.skip("no container engine answers")
    folder = tmp_path_factory.mktemp("compiled")
    source = projects.unedited(folder / "project")
    with (source / "requirements.txt").open("a", encoding="utf-8") as requirements:
        requirements.write("\n".join((*SOURCES, "")))
    inventory = projects.inventory(
        folder / "hosts.yml",
        {SITE: {"djangogcp_source_dir": str(source), "djangogcp_database_version": "MYSQL_8_0"}},
    )
    found = Rehearsal(folder / "home", REHEARSAL_PROFILE="instant", REHEARSAL_RUNTIME="docker")
    try:
        found.start()
        run = found.playbook("deploy.yml", inventory=inventory)
        assert run.status == 0, run.output
        yield found
    finally:
        found.make("rehearse-clean")


def test_the_superuser_logs_in_through_the_driver_that_was_compiled(rehearsal: Rehearsal) -> None:
    session = projects.logged_in(rehearsal, SITE)
    assert "Site administration" in session.get(rehearsal.url(SITE) + "/admin/", timeout=60).text


def test_the_image_that_runs_has_the_libraries_and_no_compiler(rehearsal: Rehearsal) -> None:
    code = (
        "import shutil, MySQLdb, psycopg2; "
        "print(MySQLdb.get_client_info(), psycopg2.__libpq_version__ > 0, [p for p in ('gcc', 'cc', 'pkg-config') if shutil.which(p)])"
    )
    run = rehearsal.playbook(
        "playbooks/manage.yml",
        *("-e", json.dumps({"manage_command": ["shell", "-c", code]})),
        inventory=rehearsal.home.parent / "hosts.yml",
    )
    assert run.status == 0, run.output
    assert re.search(r"\d+\.\d+\.\d+ True \[\]", run.output), run.output
