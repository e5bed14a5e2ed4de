"""`make rehearse SOURCE=...` deploys any project, and all that it tells is about that one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import Rehearsal, Run


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rehearsal, Run]]:
    """A rehearsal of a stock project in a folder of its own, and the run that deployed it."""
    folder = tmp_path_factory.mktemp("own")
    source = projects.startproject(folder / "My Shop")
    rehearsal = Rehearsal(folder / "home", REHEARSAL_SCALE="0.01")
    try:
        run = rehearsal.make("rehearse", f"SOURCE={source}")
        assert run.status == 0, run.output
        yield rehearsal, run
    finally:
        rehearsal.make("rehearse-clean")


def test_the_end_is_about_the_own_project(shop: tuple[Rehearsal, Run]) -> None:
    rehearsal, run = shop
    summary = run.output.rpartition("PLAY RECAP")[2]
    assert f"for a browser      {rehearsal.browser_url('my-shop')}/\n" in summary
    assert f"its admin          {rehearsal.browser_url('my-shop')}/admin/\n" in summary
    assert "admin login        admin\n" in summary
    assert "polls" not in run.output
    assert "not in Google Cloud" in run.output.partition("PLAY [")[0]


def test_the_password_is_that_of_the_own_project(shop: tuple[Rehearsal, Run]) -> None:
    rehearsal, _ = shop
    shown = rehearsal.make("rehearse-password")
    assert shown.output.strip() == rehearsal.secret("my-shop-superuser-password")
    assert projects.logged_in(rehearsal, "my-shop").cookies


def test_the_status_is_that_of_the_own_project(shop: tuple[Rehearsal, Run]) -> None:
    rehearsal, _ = shop
    shown = rehearsal.make("rehearse-status")
    assert shown.status == 0, shown.output
    assert rehearsal.url("my-shop") in shown.output
    assert "polls" not in shown.output


def test_an_inventory_of_ones_own_is_rehearsed_in_the_project_that_it_names(
    shop: tuple[Rehearsal, Run], tmp_path: Path
) -> None:
    rehearsal, _ = shop
    variables = {
        **projects.small_site(projects.startproject(tmp_path / "project")),
        "djangogcp_project": "company-prod",
        # Inventories of production may say so; a rehearsal of one is asked for by name.
        "djangogcp_cloud": "google",
    }
    inventory = projects.inventory(tmp_path / "hosts.yml", {"news": variables})
    run = rehearsal.make("rehearse", f"INVENTORY={inventory}")
    assert run.status == 0, run.output
    assert "project company-prod" in run.output.partition("PLAY [")[0]
    assert rehearsal.make("rehearse-status").output.count("news") > 0
    # In a shell that leads to the rehearsal, the same inventory is refused.
    refused = rehearsal.playbook("deploy.yml", inventory=inventory)
    assert refused.status != 0
    assert "Leave the rehearsal with: rehearsal_off" in refused.output
