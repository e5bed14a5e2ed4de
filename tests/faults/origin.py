"""The deploy that nothing happened to: what it called, what it asked the modules, what it left."""

from __future__ import annotations

from pathlib import Path

from tests.faults.deploys import Deploys
from tests.faults.walk import Walk, recorded
from tests.faults.world import World, message_of

#: Empty projects, of which every test takes some.
_PROJECTS = 60


class Origin:
    """One undisturbed deploy of the fixture project, and what compares others with it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, _PROJECTS)
        project = self.world.project()
        record = folder / "record.jsonl"
        status, output = self.world.deploy(project, FAULTS_RECORD=str(record))
        assert status == 0, message_of(output)
        self.want = self.world.snapshot(project)
        #: Every method that a deploy calls, in the order of the first calls.
        self.methods = list(dict.fromkeys(call["method"] for call in self.world.calls()))
        runs, build = recorded(record, self.world.calls())
        self.walk = Walk(self.world, runs, build, project)
        self.deploys = Deploys(self.world, self.want, self.methods)
