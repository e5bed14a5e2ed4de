# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The packages of Debian that a project lists in the file that Heroku's buildpack of apt reads, or Binder.

Sources: https://github.com/heroku/heroku-buildpack-apt (README.md and bin/compile), https://repo2docker.readthedocs.io, "apt.txt".
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.plugin_utils._text import text

if t.TYPE_CHECKING:
    from pathlib import Path

FILES = ("Aptfile", "apt.txt")


@dataclasses.dataclass
class SystemPackages:
    """What is installed of Debian.

    Attributes:
        file: the file that says it, relative to the root; "" if there is none.
        names: the packages, each once, in the order of the file.
        problem: why they cannot be installed.
    """

    file: str = ""
    names: list[str] = dataclasses.field(default_factory=list)
    problem: str = ""


def find(root: Path, manage_dir: str) -> SystemPackages:
    """What a project lists, looked for beside manage.py and in each folder above it up to the root."""
    folder = manage_dir
    while True:
        for name in FILES:
            if os.path.isfile(root / folder / name):
                return _of(root, os.path.join(folder, name))
        if not folder:
            return SystemPackages()
        folder = os.path.dirname(folder)


def _of(root: Path, file: str) -> SystemPackages:
    found = SystemPackages(file)
    for line in text(root / file).splitlines():
        for word in re.sub(r"(?:^|\s)#.*", "", line).split():
            if word.startswith(":") or "://" in word or word.endswith(".deb"):
                found.problem = (
                    f"{file} lists {rules.one_line(line.strip())!r}, and only packages of Debian itself are installed:"
                    " name one, or write a Dockerfile"
                )
                return found
            if not rules.DEBIAN_PACKAGE.test(word):
                found.problem = (
                    f"{file} lists {rules.one_line(word)!r}: expected {rules.DEBIAN_PACKAGE.expected}"
                )
                return found
            found.names += [word] if word not in found.names else []
    return found
