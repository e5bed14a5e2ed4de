# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The inventory of a site that is written for the folder of a project: its name, and the variables that are not as the defaults have them."""

from __future__ import annotations

import os
import re
import textwrap
import typing as t
from pathlib import Path

import yaml
from ansible_collections.org.djangogcp.plugins.plugin_utils._text import text

FILE = "hosts.yml"
#: Where a person has no say: Google's own default in its guides, and one of the cheapest.
REGION = "us-central1"
#: Contains "ssl", one of the words that Google refuses in the id of a project with INVALID_ARGUMENT, so nobody can own it
#: (https://cloud.google.com/resource-manager/docs/creating-managing-projects).
REHEARSAL_PROJECT = "djangogcp-rehearsal-ssl"
SUPERUSER_EMAIL = "admin@example.com"
_ADMIN = re.compile(r"""path\(\s*r?["']\^?([^"']*)["']\s*,\s*admin\.site\.urls""")
_DEFAULT_ADMIN = "/admin/"
_HEALTH = "-/live"
#: Names of folders that tell nothing of the project: that above names it.
_GENERAL = {"src", "source", "backend", "server", "code"}
_SKIPPED = {"venv", "env", "node_modules", "site-packages", "__pycache__"}
_MAX_FILES = 5000


def site_name(folder: Path) -> str:
    """The name of the site of a project in a folder."""
    named = folder.parent if folder.name.lower() in _GENERAL and folder.parent.name else folder
    name = re.sub(r"[^a-z0-9]+", "-", named.name.lower()).strip("-")[:20].strip("-")
    # Two characters at least, of which the first is a letter.
    return name if re.match(r"[a-z].", name) else f"site-{name}".strip("-")


def paths_of(folder: Path, has_overlay: bool) -> dict[str, str]:
    """The variables of addresses that a project does not have as the defaults say.

    Args:
        folder: the project.
        has_overlay: whether the image has the settings overlay, which answers at the health addresses.
    """
    code = "\n".join(text(path) for path in python_files(folder))
    found: dict[str, str] = {}
    if not has_overlay and _HEALTH not in code:
        found.update(djangogcp_startup_path="", djangogcp_liveness_path="")
    admin = _ADMIN.search(code)
    path = f"/{admin[1]}" if admin else ""
    return found if path == _DEFAULT_ADMIN else {**found, "djangogcp_admin_path": path}


def content(name: str, variables: t.Mapping[str, t.Any], heading: str) -> str:
    """The text of an inventory with one site.

    Args:
        name: the site's.
        variables: what is set for it.
        heading: what its first lines say.
    """
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    dumped = yaml.safe_dump(dict(variables), sort_keys=False, width=1000)
    return f"{comment}sites:\n  hosts:\n    {name}:\n  vars:\n{textwrap.indent(dumped, '    ')}"


def python_files(folder: Path) -> t.Iterator[Path]:
    """The modules of a project, without what is installed beside it."""
    count = 0
    for here, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if name not in _SKIPPED and not name.startswith("."))
        for name in sorted(files):
            if name.endswith(".py"):
                count += 1
                if count > _MAX_FILES:
                    return
                yield Path(here, name)
