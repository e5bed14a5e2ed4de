"""One project of each kind, all of them in one rehearsal with one database instance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e import projects
from tests.e2e.rehearsal import Rehearsal, Run
from tests.e2e.test_4_browser import CHROMIUM, QUIET
from tests.kinds.kinds import KINDS
from tests.pythons import pythons, version_of


@dataclass(frozen=True)
class Sites:
    """The sites, each called like its kind, and what the playbook said when they were deployed.

    Attributes:
        sources: by kind the folder of the project; those that no Python of this machine can run are left out.
        made: by kind the contents of each of its files before the deploy.
    """

    rehearsal: Rehearsal
    inventory: Path
    sources: dict[str, Path]
    made: dict[str, dict[Path, bytes]]
    run: Run

    def deploy(self) -> Run:
        """Deploys them again."""
        return _deploy(self.rehearsal, self.inventory)


def _deploy(rehearsal: Rehearsal, inventory: Path) -> Run:
    # The machine has two CPUs: more at a time are not sooner there.
    return rehearsal.playbook("deploy.yml", "--forks", "3", inventory=inventory)


def files(folder: Path) -> dict[Path, bytes]:
    """What the files of a project hold, but for what Python and Git keep for themselves."""
    kept = {".git", ".venv", "__pycache__"}
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not kept & set(path.relative_to(folder).parts)
    }


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """Every kind, deployed at once."""
    folder = tmp_path_factory.mktemp("kinds")
    newest = max(map(version_of, pythons()))
    kinds = {name: kind for name, kind in KINDS.items() if kind.python <= newest}
    sources = {name: folder / name for name in kinds}
    for name, kind in kinds.items():
        sources[name].mkdir()
        kind.make(sources[name])
    inventory = projects.inventory(
        folder / "hosts.yml",
        {
            name: {
                "djangogcp_source_dir": str(sources[name]),
                # So that all of them find connections in the smallest instance; no kind needs it.
                "djangogcp_max_instances": 1,
                "djangogcp_threads": 2,
                **kind.variables,
            }
            for name, kind in kinds.items()
        },
    )
    rehearsal = Rehearsal(folder / "home", REHEARSAL_PROFILE="instant")
    try:
        rehearsal.start()
        made = {name: files(source) for name, source in sources.items()}
        yield Sites(rehearsal, inventory, sources, made, _deploy(rehearsal, inventory))
    finally:
        rehearsal.make("rehearse-clean")


@pytest.fixture
def site(sites: Sites, name: str) -> Sites:
    """The sites, for a test of the one called ``name``; skipped where no Python of this machine can run it."""
    if name not in sites.sources:
        pytest.skip(
            f"{KINDS[name].title} needs Python {'.'.join(map(str, KINDS[name].python))} or a newer one"
        )
    return sites


@pytest.fixture(scope="session")
def changed(sites: Sites) -> Run:
    """A line of each project is changed, and they are deployed again."""
    for name in sites.sources:
        path, old, new = KINDS[name].change
        text = (sites.sources[name] / path).read_text("utf-8")
        assert text.count(old) == 1, f"{name}: {path} has {old!r} {text.count(old)} times"
        (sites.sources[name] / path).write_text(text.replace(old, new), "utf-8")
    return sites.deploy()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all kinds."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; install the package chromium")
    # The other layers run at the same time.
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()
