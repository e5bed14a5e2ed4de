"""What AWX offers of this project, by its own rules: the verbs as playbooks, the inventories as inventory files, and nothing else.

The rules are awx/main/utils/ansible.py and Project.playbooks and Project.inventories in awx/main/models/projects.py of
https://github.com/ansible/awx. AWX looks at all files of a project's branch and follows no symbolic link to a folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_docs import tracked
from tests.contract.wire import ROOT

#: A line that begins a play, or imports a playbook. AWX does not know the full name ansible.builtin.import_playbook.
PLAYBOOK = re.compile(r"^\s*?-?\s*?(?:hosts|include|import_playbook):\s*?.*?$")
INVENTORY = re.compile(r"^[a-zA-Z0-9_.=\[\]]")
#: How many lines of a file without a suffix AWX looks at.
LOOKED_AT = 10


def looked_into() -> Iterator[Path]:
    """The files in folders that AWX does not leave out."""
    left_out = {"roles", "tasks", "group_vars", "host_vars"}
    for name in tracked():
        path = Path(name)
        if not left_out & set(path.parts[:-1]) and not any(part.startswith(".") for part in path.parts[:-1]):
            yield path


def is_playbook(path: Path) -> bool:
    if path.suffix not in (".yml", ".yaml") or not (ROOT / path).is_file():
        return False
    lines = (ROOT / path).read_text("utf-8", errors="ignore").splitlines()
    return any(PLAYBOOK.match(line) for line in lines) or lines[:1] == ["$ANSIBLE_VAULT;"]


def is_inventory(path: Path) -> bool:
    if not (ROOT / path).is_file():
        return False
    if path.name in ("inventory", "hosts") or path.suffix == ".ini" or os.access(ROOT / path, os.X_OK):
        return True
    if path.suffix:
        return False
    lines = (ROOT / path).read_text("utf-8", errors="ignore").splitlines(keepends=True)[:LOOKED_AT]
    return all(INVENTORY.match(line) for line in lines)


def test_the_playbooks_that_awx_offers_are_the_verbs() -> None:
    offered = sorted(str(path) for path in looked_into() if is_playbook(path))
    verbs = sorted(f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml"))
    assert offered == ["deploy.yml", *verbs]


def test_the_inventories_that_awx_offers_are_inventories() -> None:
    offered = sorted(str(path) for path in looked_into() if is_inventory(path))
    assert offered == [f"inventories/{name}/hosts" for name in ("local", "prod", "staging")]


@pytest.mark.parametrize("folder", ["playbooks", "inventories"])
def test_awx_looks_into_the_folders_of_both(folder: str) -> None:
    assert [path for path in looked_into() if path.parts[0] == folder]
