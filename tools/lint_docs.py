"""Has antsibull-docs look at the documentation of the collection's plugins, as docs.ansible.com would show it.

antsibull-docs takes a symbolic link among plugins for another name of what it leads to. The links in plugins/action are none: each is the
action of the module of its name (decision 16), and without them it finds the modules. So it gets a copy that has everything else.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

COLLECTION = (
    Path(__file__).resolve().parent.parent / "collections" / "ansible_collections" / "org" / "djangogcp"
)
_LEFT_OUT = shutil.ignore_patterns("action", "__pycache__", "tests")


def main() -> int:
    """Prints what is wrong; returns antsibull-docs' exit status."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "ansible_collections", "org", "djangogcp")
        shutil.copytree(COLLECTION, copy, ignore=_LEFT_OUT)
        command = ["antsibull-docs", "lint-collection-docs", "--plugin-docs", str(copy)]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
