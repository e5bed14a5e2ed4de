# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says at the end of a deploy what one wants to know of all its sites, in one block, and keeps it in the statistics of the run."""

from __future__ import annotations

import os
import shlex
import time
import typing as t
from pathlib import Path

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.org.djangogcp.plugins.plugin_utils._summary import Site, as_stats, lines

#: The statistic. AWX hands it to the next job of a workflow as a variable, where preflight takes djangogcp_out_* for no setting.
STATISTIC = "djangogcp_out_sites"
display = Display()


class ActionModule(ActionBase):
    """Runs once for all hosts of the play, and asks nobody: the roles have handed over what it tells."""

    _requires_connection = False
    _VALID_ARGS = frozenset()

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        variables = task_vars or {}
        result: dict[str, t.Any] = super().run(tmp, variables)
        left = list(variables["ansible_play_hosts"])
        failed = [host for host in variables["ansible_play_hosts_all"] if host not in left]
        facts = {host: variables["hostvars"][host] for host in left}
        began = min(float(found.get("djangogcp_out_began", time.time())) for found in facts.values())
        seconds = time.time() - began
        sites = {host: Site.from_facts(found) for host, found in facts.items()}
        is_check = bool(variables.get("ansible_check_mode"))
        text = lines(sites, failed, seconds, _commands(variables.get("preview")), is_check=is_check)
        display.display("\n".join(text))
        statistics = {} if is_check else {STATISTIC: as_stats(sites, seconds)}
        return {
            **result,
            "changed": False,
            "ansible_stats": {"data": statistics, "per_host": False, "aggregate": True},
        }


def _commands(preview: t.Any) -> dict[str, str]:
    """What to type for other playbooks, in the way in which this one was started, of the same preview if there is one.

    Files of variables are said again. A variable that was typed may be of this run alone, or for few.
    """
    (started, *_others) = context.CLIARGS.get("args") or ("org.djangogcp.deploy",)
    sources = context.CLIARGS.get("inventory") or ()
    options = "".join(f" -i {shlex.quote(_as_typed(source))}" for source in sources)
    files = (one[1:] for one in context.CLIARGS.get("extra_vars") or () if one.startswith("@"))
    options += "".join(f" -e {shlex.quote('@' + _as_typed(file))}" for file in files)
    options += f" -e preview={shlex.quote(str(preview))}" if preview not in (None, "") else ""
    return {
        name: f"ansible-playbook {shlex.quote(_beside(started, name))}{options}"
        for name in ("password", "status", "manage", "preview_absent")
    }


def _as_typed(source: str) -> str:
    """An inventory below the working directory without that; Ansible makes every path an absolute one."""
    relative = os.path.relpath(source) if os.path.isabs(source) else source
    return source if relative.startswith("..") else relative


def _beside(started: str, name: str) -> str:
    """A playbook as a file beside the one that was started, or by its full name where there is none."""
    folder = Path(started).parent
    for path in (folder / "playbooks" / f"{name}.yml", folder / f"{name}.yml"):
        if started.endswith((".yml", ".yaml")) and path.exists():
            return str(path)
    return f"org.djangogcp.{name}"
