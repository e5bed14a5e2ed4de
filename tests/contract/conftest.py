"""The collection as a stranger gets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.wire import ROOT


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection, as ``make build`` builds it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, ROOT / "tools" / "build.py", folder], check=True)
    return next(folder.glob("org-djangogcp-*.tar.gz"))
