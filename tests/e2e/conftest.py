"""One deployed rehearsal for all end-to-end tests; they run in file order and leave it deployed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.rehearsal import Rehearsal, Run


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
    return run


@pytest.fixture
def deployed(rehearsal: Rehearsal, first_run: Run) -> Rehearsal:
    """The rehearsal with the site deployed."""
    return rehearsal
