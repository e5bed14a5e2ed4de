"""The deployed rehearsals of the end-to-end tests. Each is deployed once, and every file gets it as it was then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import Rehearsal, Run, engine_answers


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A rehearsal in a folder of its own, deployed with ``make rehearse``."""
    found = Rehearsal(tmp_path_factory.mktemp("rehearsal"), REHEARSAL_SCALE="0.03")
    yield found
    found.make("rehearse-clean")


@pytest.fixture(scope="session")
def first_run(rehearsal: Rehearsal) -> Run:
    """The first ``make rehearse``; everything else needs it to have succeeded."""
    run = rehearsal.make("rehearse")
    assert run.status == 0, run.output
    rehearsal.save()
    return run


@pytest.fixture(scope="module")
def model_site(rehearsal: Rehearsal, first_run: Run) -> Rehearsal:
    """The rehearsal after the first run, whatever other files did to it."""
    rehearsal.restore()
    return rehearsal


@pytest.fixture(scope="module")
def in_containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Another rehearsal, deployed in the containers of this machine's engine; skipped where there is none."""
    if not engine_answers():
        pytest.skip("no container engine answers")
    found = Rehearsal(
        tmp_path_factory.mktemp("containers"), REHEARSAL_SCALE="0.01", REHEARSAL_RUNTIME="docker"
    )
    try:
        run = found.make("rehearse")
        assert run.status == 0, run.output
        yield found
    finally:
        found.make("rehearse-clean")


@pytest.fixture
def deployed(request: pytest.FixtureRequest) -> Rehearsal:
    """The rehearsal with the site deployed: in processes, or in containers where a test asks for it with `both_runtimes`."""
    if getattr(request, "param", "process") == "docker":
        return request.getfixturevalue("in_containers")
    return request.getfixturevalue("model_site")


@dataclass(frozen=True)
class SideBySide:
    """Several sites in an empty project of their own, and the run that deployed them all at once."""

    rehearsal: Rehearsal
    inventory: Path
    first_run: Run

    def playbook(self, playbook: str, *options: str) -> Run:
        """A playbook on all sites at the same time."""
        return self.rehearsal.playbook(playbook, "--forks", "3", *options, inventory=self.inventory)


@pytest.fixture(scope="session")
def three_sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SideBySide]:
    """The sites east, north and south of one small project, deployed from nothing."""
    folder = tmp_path_factory.mktemp("side-by-side")
    rehearsal = Rehearsal(folder / "home", REHEARSAL_SCALE="0.01")
    rehearsal.start()
    site = projects.small_site(projects.startproject(folder / "project"))
    # South lets everybody in by a grant, which some organisations ask for.
    sites = {"east": site, "north": site, "south": {**site, "djangogcp_public_by": "all_users"}}
    inventory = projects.inventory(folder / "hosts.yml", sites)
    try:
        run = rehearsal.playbook("deploy.yml", "--forks", "3", inventory=inventory)
        rehearsal.save()
        yield SideBySide(rehearsal, inventory, run)
    finally:
        rehearsal.make("rehearse-clean")


@pytest.fixture(scope="module")
def side_by_side(three_sites: SideBySide) -> SideBySide:
    """The three sites after their first run, whatever other files did to them."""
    three_sites.rehearsal.restore()
    return three_sites
