"""ansible-core in other versions than the suite's own, each in a virtual environment below .cache."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from tests.pythons import CACHE, alone, install, pythons, version_of

#: The oldest and the newest that the collection is for, with the Python that each needs at least.
OTHERS = {"2.18.19": (3, 11), "2.21.5": (3, 12)}
BUILDER = "3.1.0"
_WITH = ("requests", "google-auth")


def programs(core: str) -> Path | None:
    """The folder with ansible-playbook and python of a version; None where no Python can run it."""
    least = OTHERS[core]
    python = next((found for found in pythons() if least <= version_of(found) < (3, 14)), None)
    if python is None:
        return None
    folder = CACHE / f"ansible-{core}-{'.'.join(map(str, version_of(python)))}"
    with alone("ansibles"):
        install(python, folder, f"ansible-core=={core}", *(f"{name}=={version(name)}" for name in _WITH))
    return folder / "bin"


def builder() -> Path:
    """ansible-builder, which makes the images that AWX runs collections in."""
    folder = CACHE / f"ansible-builder-{BUILDER}"
    with alone("ansibles"):
        install(sys.executable, folder, f"ansible-builder=={BUILDER}")
    return folder / "bin" / "ansible-builder"
